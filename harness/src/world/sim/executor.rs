//! Tasks of the simulation: who is ready, who runs next, who stands still.
//!
//! Time goes in turns. A turn runs everything that was ready at its beginning: first the schedulers of the nodes, in an
//! order that the seed chooses, each with its processes first in, first out; then the nodes' loops, then the harness. What they make ready belongs to the next turn. So the answers of
//! all processes that one batch of datagrams has woken leave together, as on a real runtime.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use regatta::actor::Spawner;

use super::{Sim, State};
use crate::logs;
use crate::run::tasks::Run;

/// A future as tasks are given.
pub(super) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a task is, in the order in which the kinds run within a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The scheduler of a node's processes, or an order to a node.
    Process,
    /// The loop of a node.
    Loop,
    /// A part of the harness.
    Harness,
}

/// A task. The kind comes first, so that a set of tasks is in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId {
    pub(super) kind: Kind,
    number: u64,
}

/// Whose a task is: one start of a node, or the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnerId(pub(super) u64);

impl OwnerId {
    /// The harness itself.
    pub(super) const HARNESS: Self = Self(0);
}

/// What is known of an owner.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// It stands still: its tasks do not run.
    pub(super) paused: bool,
    /// Those of its tasks that were ready when they could not run.
    parked: BTreeSet<TaskId>,
    /// Its tasks.
    pub(super) tasks: BTreeSet<TaskId>,
    /// The node's name.
    node: Option<Arc<str>>,
}

/// A task and what it does. The body is away while it runs.
pub(super) struct Slot {
    owner: OwnerId,
    body: Option<Body>,
    waker: Waker,
}

struct TaskWaker {
    task: TaskId,
    sim: Weak<Sim>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(sim) = self.sim.upgrade() else { return };
        let runner = {
            let mut ready = sim.ready();
            ready.tasks.insert(self.task);
            ready.runner.take()
        };
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

impl Sim {
    /// A new owner of tasks.
    pub(super) fn add_owner(&self, node: &str) -> OwnerId {
        let mut state = self.state();
        let id = OwnerId(state.owners.keys().last().map_or(1, |last| last.0 + 1));
        state.owners.insert(id, Owner { node: Some(node.into()), ..Owner::default() });
        id
    }

    /// Starts a task. An owner that has ended starts none: the task is dropped.
    pub(super) fn spawn(self: &Arc<Self>, owner: OwnerId, kind: Kind, body: Body) {
        let mut state = self.state();
        let task = TaskId { kind, number: state.next_task };
        let Some(of) = state.owners.get_mut(&owner) else {
            drop(state);
            return drop(body);
        };
        of.tasks.insert(task);
        state.next_task += 1;
        let waker = Waker::from(Arc::new(TaskWaker { task, sim: Arc::downgrade(self) }));
        state.tasks.insert(task, Slot { owner, body: Some(body), waker: waker.clone() });
        drop(state);
        waker.wake();
    }

    /// Ends an owner: its tasks are dropped where they stand, the loops first, so that nothing of the others' end leaves.
    pub(super) fn end_owner(&self, owner: OwnerId) {
        let mut bodies = Vec::new();
        {
            let mut state = self.state();
            let Some(ended) = state.owners.remove(&owner) else { return };
            for task in ended.tasks.into_iter().rev() {
                bodies.extend(state.tasks.remove(&task).and_then(|slot| slot.body));
            }
        }
        // A body that is dropped may do anything: no lock is held.
        bodies.into_iter().for_each(drop);
    }

    /// Tasks that an owner has.
    pub(super) fn tasks_of(&self, owner: OwnerId) -> usize {
        self.state().owners.get(&owner).map_or(0, |owner| owner.tasks.len())
    }

    /// Holds an owner still, or lets it go on.
    pub(super) fn hold(&self, owner: OwnerId, paused: bool) {
        let parked = {
            let mut state = self.state();
            let Some(of) = state.owners.get_mut(&owner) else { return };
            of.paused = paused;
            if paused { BTreeSet::new() } else { std::mem::take(&mut of.parked) }
        };
        self.ready().tasks.extend(parked);
    }

    /// Runs everything that is ready; whether anything ran.
    pub(super) fn turn(&self) -> bool {
        let ready = std::mem::take(&mut self.ready().tasks);
        if ready.is_empty() {
            return false;
        }
        let batch = self.state().batch(ready);
        let ran = !batch.is_empty();
        for task in batch {
            self.run(task);
        }
        if ran {
            self.state().timeline.take_a_turn();
        }
        ran
    }

    /// Polls one task.
    fn run(&self, task: TaskId) {
        let (mut body, waker, node) = {
            let mut state = self.state();
            // It may have ended, or been ended, earlier in this turn.
            let Some(slot) = state.tasks.get_mut(&task) else { return };
            let Some(body) = slot.body.take() else { return };
            let (owner, waker) = (slot.owner, slot.waker.clone());
            (body, waker, state.owners.get(&owner).and_then(|owner| owner.node.clone()))
        };
        let _entered = logs::enter(node);
        let poll = body.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.state();
        match poll {
            Poll::Pending => {
                if let Some(slot) = state.tasks.get_mut(&task) {
                    slot.body = Some(body);
                    return;
                }
            }
            Poll::Ready(()) => {
                if let Some(slot) = state.tasks.remove(&task)
                    && let Some(owner) = state.owners.get_mut(&slot.owner)
                {
                    owner.tasks.remove(&task);
                }
            }
        }
        // Dropped without the lock: it may do anything.
        drop(state);
        drop(body);
    }

    /// Notes who runs the simulation, and tells whether anything is ready.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut ready = self.ready();
        if !ready.tasks.is_empty() {
            return Poll::Ready(());
        }
        ready.runner = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Drops every task: the simulation is over.
    pub(super) fn clear(&self) {
        let owners: Vec<OwnerId> = self.state().owners.keys().rev().copied().collect();
        for owner in owners {
            self.end_owner(owner);
        }
    }
}

impl State {
    /// Those of the ready tasks that may run, in the order of this turn.
    fn batch(&mut self, ready: BTreeSet<TaskId>) -> Vec<TaskId> {
        let mut kinds: [Vec<TaskId>; 3] = Default::default();
        for task in ready {
            let Some(slot) = self.tasks.get(&task) else { continue };
            let Some(owner) = self.owners.get_mut(&slot.owner) else { continue };
            if owner.paused {
                owner.parked.insert(task);
            } else {
                kinds[task.kind as usize].push(task);
            }
        }
        for tasks in &mut kinds {
            self.order.shuffle(tasks);
        }
        kinds.concat()
    }
}

/// Where the tasks of one node run.
pub(super) struct NodeSpawner {
    pub(super) sim: Arc<Sim>,
    pub(super) owner: OwnerId,
    /// Whether what is spawned now is the node's loop.
    pub(super) starting: std::sync::atomic::AtomicBool,
}

impl Spawner for NodeSpawner {
    fn spawn(&self, task: Body) {
        let starting = self.starting.load(std::sync::atomic::Ordering::Relaxed);
        let kind = if starting { Kind::Loop } else { Kind::Process };
        self.sim.spawn(self.owner, kind, task);
    }
}

/// Where the harness's own tasks run.
pub(crate) struct HarnessTasks(pub(crate) Arc<Sim>);

impl Run for HarnessTasks {
    fn run(&self, task: Body) {
        self.0.spawn(OwnerId::HARNESS, Kind::Harness, task);
    }
}
