//! Children of a supervisor that run on other nodes.

use std::sync::{Arc, Weak};

use regatta_proto::host::CallError;
use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use super::core::Core;
use super::error::SpawnError;
use super::node::ClusterNode;
use super::spawn::SpawnRemote;
use crate::server::StartError;
use crate::supervisor::ChildSpec;

impl ClusterNode {
    /// A child for a supervisor on this node that runs on another one: on the first of `places` that starts it with the
    /// factory that it was taught. When the child ends, or its node is lost, and it is to be started again, they are asked
    /// anew, the first one first. So it runs elsewhere at once when its node is found to be down.
    ///
    /// If none of them is linked, the start waits for one, for up to [`Limits::call_timeout`](crate::Limits::call_timeout);
    /// then it has failed, and counts as a restart like any that does. The child is linked to its supervisor: on the far side
    /// of a cut it ends with [`ExitReason::NoConnection`] as soon as its node finds this one to be lost, which may be a moment
    /// after another one was started. Where two must never run, use [`run_unique`](Self::run_unique).
    ///
    /// ```
    /// use regatta::ClusterNode;
    /// use regatta::supervisor::{Strategy, SupervisorSpec};
    ///
    /// fn spec(node: &ClusterNode) -> SupervisorSpec {
    ///     let resizer = node.remote_child("resizer", ["osaka", "kyoto"], "resizer", Vec::new());
    ///     SupervisorSpec::new(Strategy::OneForOne).child(resizer)
    /// }
    /// ```
    pub fn remote_child(
        &self,
        id: impl Into<String>,
        places: impl IntoIterator<Item = impl Into<String>>,
        factory: impl Into<String>,
        args: Vec<u8>,
    ) -> ChildSpec {
        let remote = Arc::new(Remote {
            core: Arc::downgrade(self.core_handle()),
            places: places.into_iter().map(Into::into).collect(),
            factory: factory.into(),
            args,
        });
        ChildSpec::started_by(id, move |_| {
            let remote = remote.clone();
            Box::pin(async move { remote.start().await })
        })
    }
}

/// How a child is started elsewhere.
struct Remote {
    core: Weak<Core>,
    places: Vec<String>,
    factory: String,
    args: Vec<u8>,
}

impl Remote {
    /// Starts it on the first node that does it.
    async fn start(&self) -> Result<Pid, StartError> {
        let failed = |error: String| StartError::Init(ExitReason::custom(error));
        let Some(core) = self.core.upgrade() else {
            return Err(failed("this node was shut down".to_owned()));
        };
        let (clock, within) = (core.runtime.clock().clone(), core.call_timeout);
        let until = clock.now() + within;
        let mut timer = clock.timer();
        timer.set(until);
        loop {
            // Subscribed before the nodes are asked, so that a link in between is seen.
            let mut changes = core.changes.subscribe();
            let mut errors = Vec::new();
            let mut may_change = false;
            for place in &self.places {
                let deadline = Some(until.saturating_duration_since(clock.now()));
                let options = SpawnRemote { link: true, deadline, ..SpawnRemote::default() };
                match core.spawn_remote(place, &self.factory, self.args.clone(), options).await {
                    Ok(child) => return Ok(child.pid),
                    Err(error) => {
                        may_change |= matches!(
                            error,
                            SpawnError::NoConnection { .. }
                                | SpawnError::Call { source: CallError::NotSent | CallError::LinkLost, .. }
                        );
                        errors.push(error.to_string());
                    }
                }
            }
            if !may_change || core.is_over() {
                return Err(failed(errors.join("; ")));
            }
            let mut changed = std::pin::pin!(changes.changed());
            let has_changed = std::future::poll_fn(|cx| match changed.as_mut().poll(cx) {
                std::task::Poll::Ready(result) => std::task::Poll::Ready(result.is_ok()),
                std::task::Poll::Pending => timer.poll(cx).map(|()| false),
            });
            if !has_changed.await {
                return Err(failed(errors.join("; ")));
            }
        }
    }
}
