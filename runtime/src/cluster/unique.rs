//! A process of which there is one in the whole cluster: several nodes are ready to run it, the one that a majority confirms
//! does, and when that one is lost another takes over.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use regatta_proto::id::{Name, ParseIdError, Pid};
use regatta_proto::reason::ExitReason;
use tokio::sync::oneshot;

use super::confirmed::{ConfirmName, ConfirmNameError, FencingToken, OnLoss, Quorum};
use super::core::{Core, Life};
use super::node::ClusterNode;
use crate::actor::{Context, IntoExit, ProcessHandle};

impl ClusterNode {
    /// Makes this node a candidate for running `body` as the one process of the cluster that holds the global name `name`.
    /// Each node that is to be ready calls this with the same name. One of them runs the body, once a majority has confirmed
    /// that nobody else does ([`register_global_confirmed`](Self::register_global_confirmed)); the others wait. When the body
    /// ends, for whatever reason, or its node is lost, or stands on the side of a minority, one of those that can runs it
    /// again, under a higher token. Two never run at the same time on the side of a majority; a process that stood still may
    /// go on for a moment, and is told apart by its token.
    ///
    /// The result is the candidate, a process of this node: give it to a supervisor or keep it. When it ends, so does the
    /// body that it runs, with [`ExitReason::Shutdown`]. End it before the node is shut down; otherwise the body ends a
    /// moment after the node's goodbye.
    ///
    /// ```
    /// use regatta::cluster::Quorum;
    /// # use regatta::{ClusterNode, Identity, Limits, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let id = Identity::generate()?;
    /// # let limits = Limits { lease: std::time::Duration::from_millis(100), ..Limits::default() };
    /// # let builder = ClusterNode::builder("london", Runtime::new(), &id).limits(limits);
    /// # let london = builder.bind("127.0.0.1:0".parse()?)?;
    /// london.run_unique("svc/billing", Quorum::default(), |mut ctx, token| async move {
    ///     println!("this node does the billing now, under {token}");
    ///     while let Some(_bill) = ctx.recv().await.message() {}
    /// })?;
    /// london.settled(|node| node.whereis_global("svc/billing").is_some()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A supervisor on each node that is ready makes it one of its children:
    ///
    /// ```
    /// use regatta::cluster::Quorum;
    /// use regatta::server::StartError;
    /// use regatta::supervisor::{ChildSpec, Restart};
    /// use regatta::{ClusterNode, Context};
    ///
    /// async fn billing(mut ctx: Context) {
    ///     while let Some(_bill) = ctx.recv().await.message() {}
    /// }
    ///
    /// fn child(node: ClusterNode) -> ChildSpec {
    ///     let child = ChildSpec::started_by("billing", move |supervisor| {
    ///         let candidate = node.run_unique("svc/billing", Quorum::default(), |ctx, _| billing(ctx));
    ///         Box::pin(async move {
    ///             let candidate = candidate.map_err(|_| StartError::BadName)?;
    ///             supervisor.link(candidate.pid());
    ///             Ok(candidate.pid())
    ///         })
    ///     });
    ///     // The candidate's normal end is that of its node.
    ///     child.restart(Restart::Transient)
    /// }
    /// ```
    ///
    /// # Errors
    /// The text is no process name.
    pub fn run_unique<F, B>(
        &self,
        name: impl Into<String>,
        quorum: Quorum,
        body: F,
    ) -> Result<ProcessHandle, ParseIdError>
    where
        F: Fn(Context, FencingToken) -> B + Send + Sync + 'static,
        B: Future<Output: IntoExit> + Send + 'static,
    {
        let name = Name::new(name.into())?;
        let (core, body) = (Arc::downgrade(self.core_handle()), Arc::new(body));
        Ok(self.runtime().spawn(move |ctx| async move {
            ctx.set_label(format!("candidate for {name}"));
            let mut candidate = Candidate { core, name, quorum, ctx };
            candidate.stand(&body).await;
        }))
    }
}

/// The process that waits until its node may run the body.
struct Candidate {
    core: Weak<Core>,
    name: Name,
    quorum: Quorum,
    ctx: Context,
}

impl Candidate {
    /// Runs the body whenever this node may, until the node is over.
    async fn stand<F, B>(&mut self, body: &Arc<F>)
    where
        F: Fn(Context, FencingToken) -> B + Send + Sync + 'static,
        B: Future<Output: IntoExit> + Send + 'static,
    {
        let seed = self.ctx.pid().incarnation().raw() ^ self.ctx.pid().serial();
        let mut random = fastrand::Rng::with_seed(seed);
        while self.is_free().await {
            // Of many that see the name free at the same moment, mostly one asks first.
            self.pause(STAGGER_MAX.mul_f64(random.f64())).await;
            let Some(core) = self.core.upgrade() else { return };
            let (go, begins) = oneshot::channel();
            let body = Arc::clone(body);
            let child = self.ctx.spawn(move |ctx| async move {
                match begins.await {
                    Ok(token) => body(ctx, token).await.into_exit(),
                    Err(_) => ExitReason::Shutdown,
                }
            });
            let child = Child { core: self.core.clone(), process: child };
            let options = ConfirmName { quorum: self.quorum, deadline: Some(ATTEMPT), on_loss: OnLoss::Kill };
            match core.register_confirmed(self.name.clone(), child.process.pid(), options).await {
                Ok(token) => {
                    // Only a body that has been killed does not take it.
                    let _gone = go.send(token);
                    drop(core);
                    self.until_the_end_of(&child).await;
                    drop(child);
                    // One that ends at once is not started again and again.
                    self.pause(RESTART_PAUSE).await;
                }
                Err(ConfirmNameError::Shutdown) => return,
                // Another one is quicker, or there is no majority on this side.
                Err(_) => {
                    drop(core);
                    self.pause(RETRY_PAUSE.mul_f64(0.5 + random.f64())).await;
                }
            }
        }
    }

    /// Waits until nobody holds the name, as this node sees it; false when the node is over.
    async fn is_free(&self) -> bool {
        let Some(mut changes) = self.core.upgrade().map(|core| core.changes.subscribe()) else {
            return false;
        };
        loop {
            let Some(core) = self.core.upgrade() else { return false };
            if *core.life.borrow() != Life::Running {
                return false;
            }
            if core.names.read().get(self.name.as_str()).is_none() {
                return true;
            }
            drop(core);
            if changes.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Waits for the end of the body, or of the node.
    async fn until_the_end_of(&self, child: &Child) {
        let Some(mut life) = self.core.upgrade().map(|core| core.life.subscribe()) else { return };
        let mut ended = pin!(child.process.join());
        let mut over = pin!(life.wait_for(|life| *life != Life::Running));
        poll_fn(|poller| match ended.as_mut().poll(poller) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => over.as_mut().poll(poller).map(|_| ()),
        })
        .await;
    }

    /// Lets time pass. What is sent to the candidate is for nobody.
    async fn pause(&mut self, time: Duration) {
        let clock = self.ctx.runtime().clock().clone();
        let until = clock.now() + time;
        loop {
            let left = until.saturating_duration_since(clock.now());
            if left.is_zero() || self.ctx.recv_timeout(left).await.is_none() {
                return;
            }
        }
    }
}

/// A body that runs, or waits for its node to be the one. It ends when its candidate does.
struct Child {
    core: Weak<Core>,
    process: ProcessHandle,
}

impl Drop for Child {
    fn drop(&mut self) {
        let pid: Pid = self.process.pid();
        match self.core.upgrade() {
            Some(core) => {
                core.runtime.exit_from(core.runtime.node_pid(), pid, ExitReason::Shutdown);
            }
            None => self.process.kill(),
        }
    }
}

/// How long those that see the name free wait at most before they ask for it.
const STAGGER_MAX: Duration = Duration::from_millis(150);
/// How long one attempt to have the name confirmed may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// About how long a candidate waits after an attempt in vain.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How long a node waits after the body has ended on it; others need not.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
