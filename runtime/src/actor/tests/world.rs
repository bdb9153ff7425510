//! A process that shows what it receives.

use tokio::sync::mpsc;

use crate::actor::{ProcessHandle, Received, Runtime};
use regatta_proto::id::Pid;

/// A process that traps exits and passes on whatever it receives.
pub(crate) struct Probe {
    pub(crate) process: ProcessHandle,
    rt: Runtime,
    inbox: mpsc::UnboundedReceiver<Received>,
}

impl Probe {
    pub(crate) fn start(rt: &Runtime) -> Self {
        let (seen, inbox) = mpsc::unbounded_channel();
        let process = rt.spawn(|mut ctx| {
            ctx.trap_exit(true);
            async move { while seen.send(ctx.recv().await).is_ok() {} }
        });
        Self { process, rt: rt.clone(), inbox }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Everything that is in its mailbox by now.
    pub(crate) async fn all(&mut self) -> Vec<Received> {
        self.rt.try_send(self.pid(), MARK).expect("the probe lives");
        let mut all = Vec::new();
        loop {
            match self.inbox.recv().await.expect("the probe lives") {
                Received::Message(message) if message == MARK => return all,
                received => all.push(received),
            }
        }
    }
}

/// Starts a process that waits for ever.
pub(crate) fn parked(rt: &Runtime) -> ProcessHandle {
    rt.spawn(|_| std::future::pending::<()>())
}

/// A pid that no process has any more.
pub(crate) async fn dead(rt: &Runtime) -> Pid {
    let process = rt.spawn(|_| async {});
    process.join().await;
    process.pid()
}

const MARK: &str = "up to here";
