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
    /// If none of them is linked, the start waits for one, and the supervisor with it, for up to
    /// [`Limits::call_timeout`](crate::Limits::call_timeout); then it has failed, and is tried again as any start is. The nodes share
    /// that time: one that is slow does not keep the next from being asked.
    ///
    /// The child is linked to its supervisor: on the far side of a cut it ends with [`ExitReason::NoConnection`] once its node
    /// gives the link up, some seconds after another one was started at the worst. Where two must never run, use
    /// [`run_unique`](Self::run_unique).
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
        if self.places.is_empty() {
            return Err(failed("no node is named to start it on".to_owned()));
        }
        let (clock, within) = (core.runtime.clock().clone(), core.call_timeout);
        let until = clock.now() + within;
        let mut timer = clock.timer();
        timer.set(until);
        // What each of them has said.
        let mut errors: Vec<Option<SpawnError>> = vec![None; self.places.len()];
        let told = |errors: &[Option<SpawnError>]| {
            errors.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        loop {
            // Subscribed before the nodes are asked, so that a link in between is seen.
            let mut changes = core.changes.subscribe();
            for (at, place) in self.places.iter().enumerate() {
                let left = until.saturating_duration_since(clock.now());
                if left.is_zero() || errors[at].as_ref().is_some_and(|error| !may_change(error)) {
                    continue;
                }
                let share = left / u32::try_from(self.places.len() - at).unwrap_or(u32::MAX);
                let options = SpawnRemote { link: true, deadline: Some(share), ..SpawnRemote::default() };
                match core.spawn_remote(place, &self.factory, self.args.clone(), options).await {
                    Ok(child) => return Ok(child.pid),
                    Err(error) => errors[at] = Some(error),
                }
            }
            if !errors.iter().flatten().any(may_change) || core.is_over() {
                return Err(failed(told(&errors)));
            }
            let mut changed = std::pin::pin!(changes.changed());
            let has_changed = std::future::poll_fn(|cx| match changed.as_mut().poll(cx) {
                std::task::Poll::Ready(result) => std::task::Poll::Ready(result.is_ok()),
                std::task::Poll::Pending => timer.poll(cx).map(|()| false),
            });
            if !has_changed.await {
                return Err(failed(told(&errors)));
            }
        }
    }
}

/// Whether a link that comes up may help.
fn may_change(error: &SpawnError) -> bool {
    matches!(
        error,
        SpawnError::NoConnection { .. }
            | SpawnError::Call { source: CallError::NotSent | CallError::LinkLost, .. }
    )
}
