//! The supervisor's process: a server whose state is its children.

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use serde::{Deserialize, Serialize};

use super::children::{Children, Key, Life};
use super::control::{ChildInfo, ChildState, Counts, Order, Outcome, Refused};
use super::intensity::Intensity;
use super::leaving::{Child, Leaving};
use super::spec::{ChildKind, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
use super::strategy::{self, Plan};
use crate::actor::cell::SUPERVISES;
use crate::actor::{Context, Received};
use crate::server::{LocalOnly, Next, ReplyTo, Server, StartError};

/// A process that starts other processes, watches them, and starts them again. Start it as any [`Server`], with a
/// [`SupervisorSpec`]; it has started all its children by then.
///
/// ```
/// use regatta::supervisor::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
/// use regatta::{ExitReason, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rt = Runtime::new();
/// let worker = ChildSpec::process("worker", |mut ctx| async move {
///     ctx.register("worker").expect("the one before has ended");
///     let _order = ctx.recv().await;
///     panic!("out of order");
/// });
/// let spec = SupervisorSpec::new(Strategy::OneForOne).child(worker);
/// let supervisor = rt.start::<Supervisor>(spec).await?;
/// let before = rt.whereis("worker").and_then(|pid| rt.process(pid)).expect("it runs");
/// before.kill();
/// before.join().await;
/// // The supervisor has heard of it before it hears of this.
/// let after = supervisor.which_children(&rt).await?[0].pid();
/// assert!(after.is_some_and(|after| after != before.pid()));
/// rt.stop(&supervisor, ExitReason::Shutdown).await?;
/// assert_eq!(rt.process_count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Supervisor {
    strategy: Strategy,
    intensity: Intensity,
    children: Children,
}

/// What a supervisor tells itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Again(Key);

impl Server for Supervisor {
    type Args = SupervisorSpec;
    type Call = Order;
    type Reply = Outcome;
    type Cast = Again;

    async fn init(spec: SupervisorSpec, ctx: &mut Context) -> Result<Self, ExitReason> {
        ctx.trap_exit(true);
        ctx.cell().set(SUPERVISES);
        let SupervisorSpec { strategy, restarts_max, within, children } = spec;
        let mut this = Self {
            strategy,
            intensity: Intensity::new(restarts_max, within),
            children: Children::new(strategy != Strategy::Dynamic),
        };
        for child in children {
            let id = child.id.clone();
            if let Err(refused) = this.start_new(child, ctx).await {
                this.stop_all(ctx).await;
                return Err(ExitReason::custom(format!("child {id:?} did not start: {refused}")));
            }
        }
        Ok(this)
    }

    async fn call(&mut self, order: Order, caller: ReplyTo<Self>, ctx: &mut Context) -> Next {
        let outcome = match order {
            Order::Which => {
                Ok(Outcome::Children(self.children.iter().map(|(_, child)| child.into()).collect()))
            }
            Order::Count => Ok(Outcome::Counts(self.counts())),
            Order::Start(LocalOnly(spec)) => self.start_new(spec, ctx).await.map(Outcome::Started),
            Order::Restart(id) => self.restart(&id, ctx).await.map(Outcome::Started),
            Order::Terminate(id) => match self.children.by_id(&id) {
                Some(key) => Ok(self.terminate_child(key, ctx).await),
                None => Err(Refused::NotFound),
            },
            Order::TerminatePid(pid) => match self.children.by_pid(pid) {
                Some(key) => Ok(self.terminate_child(key, ctx).await),
                None => Err(Refused::NotFound),
            },
            Order::Delete(id) => self.delete(&id).map(|()| Outcome::Done),
        };
        caller.reply(outcome.unwrap_or_else(Outcome::Refused));
        Next::Continue
    }

    async fn cast(&mut self, Again(key): Again, ctx: &mut Context) -> Next {
        // Unless it was stopped, deleted or started meanwhile.
        match self.children.find(key) {
            Some(child) if child.life == Life::Restarting => self.ended(key, &FAILED, ctx).await,
            _ => Next::Continue,
        }
    }

    async fn info(&mut self, received: Received, ctx: &mut Context) -> Next {
        let Received::Exit { from, reason } = received else { return Next::Continue };
        let Some(key) = self.children.by_pid(from) else { return Next::Continue };
        self.children.set(key, Life::Stopped);
        if let Some(child) = self.children.find(key)
            && !reason.is_orderly()
        {
            tracing::warn!(supervisor = %ctx.pid(), child = %child.spec.id, pid = %from, %reason, "a child ended");
        }
        self.ended(key, &reason, ctx).await
    }

    async fn terminate(&mut self, _: &ExitReason, ctx: &mut Context) {
        self.stop_all(ctx).await;
    }
}

impl Supervisor {
    /// A child has ended, or could not be started again.
    async fn ended(&mut self, key: Key, reason: &ExitReason, ctx: &mut Context) -> Next {
        let (keys, members) = match self.strategy {
            Strategy::OneForOne | Strategy::Dynamic => self.children.member(key),
            Strategy::OneForAll | Strategy::RestForOne => self.children.members(),
        };
        let ended = keys.iter().position(|other| *other == key).expect("a known child");
        let Plan { stop, forget, start } = strategy::plan(self.strategy, &members, ended, reason);
        if !start.is_empty() && !self.intensity.restart(ctx.runtime().clock().now()) {
            tracing::error!(supervisor = %ctx.pid(), "too many restarts: the supervisor gives up");
            return Next::Stop(ExitReason::Shutdown);
        }
        for at in stop {
            self.stop(keys[at], ctx).await;
        }
        for at in forget {
            self.children.remove(keys[at]);
        }
        for at in start {
            let key = keys[at];
            if let Err(error) = self.start(key, ctx).await {
                tracing::warn!(supervisor = %ctx.pid(), %error, "a child did not start again");
                self.children.set(key, Life::Restarting);
                // Behind what waits in the mailbox. It counts as one restart more, so that this comes to an end.
                let me = crate::server::ServerRef::<Self>::pid(ctx.pid());
                if ctx.cast(&me, Again(key)).await.is_err() {
                    return Next::Stop(ExitReason::Shutdown);
                }
                break;
            }
        }
        Next::Continue
    }

    async fn start_new(&mut self, spec: ChildSpec, ctx: &Context) -> Result<Pid, Refused> {
        if let Some(key) = self.children.by_id(&spec.id) {
            return Err(self.present(key));
        }
        let key = self.children.add(spec);
        let started = self.start(key, ctx).await;
        if started.is_err() {
            self.children.remove(key);
        }
        started.map_err(Refused::Start)
    }

    async fn start(&mut self, key: Key, ctx: &Context) -> Result<Pid, StartError> {
        let child = self.children.find(key).expect("a known child");
        let start = child.spec.start.clone();
        let pid = start(ctx).await?;
        self.children.set(key, Life::Running(pid));
        Ok(pid)
    }

    async fn restart(&mut self, id: &str, ctx: &Context) -> Result<Pid, Refused> {
        let key = self.children.by_id(id).ok_or(Refused::NotFound)?;
        match self.present(key) {
            Refused::Present => self.start(key, ctx).await.map_err(Refused::Start),
            runs => Err(runs),
        }
    }

    fn delete(&mut self, id: &str) -> Result<(), Refused> {
        let key = self.children.by_id(id).ok_or(Refused::NotFound)?;
        match self.present(key) {
            Refused::Present => {
                self.children.remove(key);
                Ok(())
            }
            runs => Err(runs),
        }
    }

    /// What stands against another child in the place of this one.
    fn present(&self, key: Key) -> Refused {
        match self.children.find(key).map(|child| child.life) {
            Some(Life::Running(pid)) => Refused::Running(pid),
            Some(Life::Restarting) => Refused::Restarting,
            Some(Life::Stopped) => Refused::Present,
            None => Refused::NotFound,
        }
    }

    async fn terminate_child(&mut self, key: Key, ctx: &mut Context) -> Outcome {
        self.stop(key, ctx).await;
        let temporary = self.children.find(key).is_some_and(|child| child.spec.restart == Restart::Temporary);
        if temporary || self.strategy == Strategy::Dynamic {
            self.children.remove(key);
        }
        Outcome::Done
    }

    /// Stops all children: the last one first, or all at once if they have no order.
    async fn stop_all(&mut self, ctx: &mut Context) {
        let keys: Vec<Key> = self.children.iter().map(|(key, _)| key).rev().collect();
        if self.strategy == Strategy::Dynamic {
            let mut leaving = Leaving::new(ctx);
            for key in keys {
                self.ask_to_end(key, &mut leaving, ctx);
            }
            leaving.wait(ctx).await;
        } else {
            for key in keys {
                self.stop(key, ctx).await;
            }
        }
    }

    /// Stops a child, however long its spec says that may take. Afterwards nothing more comes of it.
    async fn stop(&mut self, key: Key, ctx: &mut Context) {
        let mut leaving = Leaving::new(ctx);
        self.ask_to_end(key, &mut leaving, ctx);
        leaving.wait(ctx).await;
    }

    fn ask_to_end(&mut self, key: Key, leaving: &mut Leaving, ctx: &Context) {
        let Some(child) = self.children.find(key) else { return };
        let (life, shutdown) = (child.life, child.spec.shutdown);
        self.children.set(key, Life::Stopped);
        let Life::Running(pid) = life else { return };
        // The monitor tells of its end even if the child has taken its link back.
        let monitor = ctx.monitor(pid);
        let has_exited = !ctx.unlink(pid);
        let killed = shutdown == Shutdown::Kill;
        ctx.exit(pid, if killed { ExitReason::Killed } else { ExitReason::Shutdown });
        let until = match shutdown {
            Shutdown::After(timeout) => ctx.runtime().clock().now().checked_add(timeout),
            Shutdown::Kill | Shutdown::Infinity => None,
        };
        leaving.add(Child { pid, monitor, has_exited, until });
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, child) in self.children.iter() {
            counts.specs += 1;
            counts.active += u64::from(matches!(child.life, Life::Running(_)));
            match child.spec.kind {
                ChildKind::Supervisor => counts.supervisors += 1,
                ChildKind::Worker => counts.workers += 1,
            }
        }
        counts
    }
}

impl From<&super::children::Child> for ChildInfo {
    fn from(child: &super::children::Child) -> Self {
        Self {
            id: child.spec.id.clone(),
            state: match child.life {
                Life::Running(pid) => ChildState::Running(pid),
                Life::Restarting => ChildState::Restarting,
                Life::Stopped => ChildState::Stopped,
            },
            kind: child.spec.kind,
            restart: child.spec.restart,
        }
    }
}

/// A start that failed is no orderly end.
const FAILED: ExitReason = ExitReason::NoProc;
