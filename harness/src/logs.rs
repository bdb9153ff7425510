//! What each node of a run has logged, kept apart: the last of it, for a report.
//!
//! A run has a subscriber of its own on the threads that its nodes run on, so that runs side by side, and the subscriber
//! of the program around them, do not mix. Whose line it is follows from the thread, or in a simulation from the task.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::record::Recorder;

/// Bytes that are kept of one node's log.
pub(crate) const LOG_BYTES_MAX: usize = 1 << 20;
/// What is logged when `RUST_LOG` does not say.
const FILTER: &str = "warn,regatta=debug,regatta_proto=debug";

thread_local! {
    static NODE: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
    static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// The logs of one run.
pub(crate) struct Logs {
    kept: Mutex<BTreeMap<Arc<str>, Vec<u8>>>,
    time: Arc<Recorder>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    /// Empty logs; times are the recorder's.
    pub(crate) fn new(time: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), time })
    }

    /// A subscriber that writes here.
    pub(crate) fn dispatch(self: &Arc<Self>) -> Dispatch {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_timer(RunTime(self.time.clone()))
            .with_writer(Sink(self.clone()))
            .finish();
        Dispatch::new(subscriber)
    }

    /// What each node has logged, by name.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(node, log)| (node.to_string(), String::from_utf8_lossy(log).into_owned())).collect()
    }

    fn write(&self, line: &[u8]) {
        let node = NODE.with_borrow(Clone::clone).unwrap_or_else(|| Arc::from("harness"));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let log = kept.entry(node).or_default();
        if log.len() + line.len() > LOG_BYTES_MAX {
            let half = log.len() / 2;
            let cut = log[half..].iter().position(|byte| *byte == b'\n').map_or(half, |at| half + at + 1);
            log.drain(..cut);
        }
        log.extend_from_slice(line);
    }
}

/// Whatever this thread logs from now on is this node's, and goes to this subscriber: for a node's own threads.
pub(crate) fn adopt_thread(node: &Arc<str>, dispatch: &Dispatch) {
    NODE.set(Some(node.clone()));
    GUARD.set(Some(tracing::dispatcher::set_default(dispatch)));
}

/// Whatever this thread logs is this node's until the guard is dropped.
pub(crate) fn enter(node: Option<Arc<str>>) -> Entered {
    Entered(NODE.replace(node))
}

/// Gives the thread its previous node back.
#[must_use]
pub(crate) struct Entered(Option<Arc<str>>);

impl Drop for Entered {
    fn drop(&mut self) {
        NODE.set(self.0.take());
    }
}

/// Time since the run's start.
struct RunTime(Arc<Recorder>);

impl FormatTime for RunTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>12.6}", self.0.now().as_secs_f64())
    }
}

struct Sink(Arc<Logs>);

/// One line on its way.
struct Line(Arc<Logs>);

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone())
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_by_node_and_the_oldest_give_way() {
        let logs = Logs::new(Arc::default());
        tracing::dispatcher::with_default(&logs.dispatch(), || {
            let _n1 = enter(Some("n1".into()));
            tracing::warn!("first");
            {
                let _n2 = enter(Some("n2".into()));
                tracing::warn!("other");
            }
            tracing::warn!("second");
        });
        let texts = logs.texts();
        assert!(texts["n1"].contains("first") && texts["n1"].contains("second"), "{texts:?}");
        assert!(texts["n2"].contains("other") && !texts["n2"].contains("first"), "{texts:?}");
        let _n1 = enter(Some("n1".into()));
        for _ in 0..3 * LOG_BYTES_MAX / 100 {
            logs.write(&[b"x".repeat(99), b"\n".to_vec()].concat());
        }
        let text = &logs.texts()["n1"];
        assert!(
            text.len() <= LOG_BYTES_MAX && text.starts_with('x') && text.lines().all(|line| line.len() == 99)
        );
    }
}
