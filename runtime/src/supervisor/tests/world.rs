//! A family whose children note when they start and how they end, and do as they are told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use crate::actor::{Received, Runtime};
use crate::server::ServerRef;
use crate::supervisor::{ChildSpec, Supervisor, SupervisorSpec};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What has happened, in its order.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    /// What has happened since the last look.
    pub(crate) fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A child that notes its start and, if it is asked to end, its end. A message is the reason that it ends with: empty is
/// normal, `panic` a panic, `deaf` makes it not end when it is asked to.
pub(crate) fn child(diary: &Diary, id: &'static str) -> ChildSpec {
    let diary = diary.clone();
    ChildSpec::process(id, move |mut ctx| {
        let diary = diary.clone();
        ctx.trap_exit(true);
        async move {
            diary.note(format!("{id} starts"));
            loop {
                match ctx.recv().await {
                    Received::Message(order) if order == "panic" => panic!("as ordered"),
                    Received::Message(order) if order == "deaf" => std::future::pending().await,
                    Received::Message(order) if order.is_empty() => return ExitReason::Normal,
                    Received::Message(order) if order == "shutdown" => return ExitReason::Shutdown,
                    Received::Message(order) => return ExitReason::custom(order),
                    Received::Exit { reason, .. } => {
                        diary.note(format!("{id} ends: {reason}"));
                        return reason;
                    }
                    _ => {}
                }
            }
        }
    })
}

/// Starts a supervisor and forgets the first starts.
pub(crate) async fn family(rt: &Runtime, diary: &Diary, spec: SupervisorSpec) -> ServerRef<Supervisor> {
    let supervisor = rt.start::<Supervisor>(spec).await.expect("it starts");
    settle(rt).await;
    diary.read();
    supervisor
}

/// The process of a child.
pub(crate) async fn pid(rt: &Runtime, supervisor: &ServerRef<Supervisor>, id: &str) -> Option<Pid> {
    let children = supervisor.which_children(rt).await.expect("it lives");
    children.into_iter().find(|child| child.id == id).and_then(|child| child.pid())
}

/// Gives a child an order and waits until everything that follows has happened.
pub(crate) async fn order(rt: &Runtime, supervisor: &ServerRef<Supervisor>, id: &str, order: &'static str) {
    let pid = pid(rt, supervisor, id).await.expect("it runs");
    rt.send(pid, order).await.expect("it lives");
    settle(rt).await;
}

/// Time stands still while anything can run: when this is over, nothing can.
pub(crate) async fn settle(_: &Runtime) {
    tokio::time::sleep(MS).await;
}
