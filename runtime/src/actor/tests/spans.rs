//! What a log line says about where it comes from.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use regatta_proto::reason::ExitReason;
use tracing_subscriber::fmt::MakeWriter;

use crate::actor::Runtime;
use crate::{ClusterNode, Identity};

/// A log that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// Everything from debug on that this thread logs, until the guard is dropped.
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn line(&self, with: &str) -> String {
        let text = String::from_utf8(self.0.lock().clone()).expect("text");
        let line = text.lines().find(|line| line.contains(with));
        line.unwrap_or_else(|| panic!("no line with `{with}` in:\n{text}")).to_owned()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn what_a_body_logs_names_its_process() {
    let kept = Kept::default();
    let _log = kept.begin();
    let rt = Runtime::new();
    let process = rt.spawn(|ctx| async move {
        tokio::task::yield_now().await;
        tracing::info!("from the body");
        drop(ctx);
    });
    let pid = process.pid();
    assert_eq!(process.join().await, ExitReason::Normal);
    tracing::info!("from outside");
    assert!(kept.line("from the body").contains(&format!("process{{pid={pid}}}")));
    assert!(!kept.line("from outside").contains("process{"));
}

#[tokio::test]
async fn what_a_nodes_loop_logs_names_the_node_and_the_links_generation() {
    let kept = Kept::default();
    let _log = kept.begin();
    let identity = Identity::generate().expect("an identity");
    let bind = |name| ClusterNode::bind(name, Runtime::new(), ([127, 0, 0, 1], 0).into(), &identity);
    let (a, b) = (bind("a").expect("it starts"), bind("b").expect("it starts"));
    a.connect(b.local_addr().expect("it runs")).await.expect("the dial succeeds");
    b.settled(|b| b.peers() == ["a"]).await;
    for node in [&a, &b] {
        let span = format!("node{{name={} incarnation={}}}", node.name(), node.id().incarnation);
        let line = kept.line(&format!("link up node={}", node.name()));
        assert!(line.contains(&span), "{line}");
        assert!(line.contains("generation="), "{line}");
    }
}
