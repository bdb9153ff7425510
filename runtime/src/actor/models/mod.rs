//! What the model checker tries out: how threads that send, link, kill, register and schedule may interleave, over the same
//! code that runs in an application. `cargo test -p regatta --features model --lib models` runs them.
//!
//! A model is small: a few threads and processes, each with a few things to do. It is run many times, each time in
//! another order, drawn from a seed that a failure prints. Whoever waits for something that never comes is found as a
//! deadlock: there is no clock, and no lookout, that would help. What is shared by atomics alone is taken as sequentially
//! consistent, and the queues of crossbeam as atomic.

mod alarms;
mod calls;
mod exits;
mod mailbox;
mod names;
mod schedulers;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use regatta_proto::id::{Incarnation, Pid};
use regatta_proto::reason::ExitReason;
use shuttle::future::block_on;
use shuttle::thread;

use super::context::Context;
use super::executor::Spawner;
use super::process::ProcessHandle;
use super::received::Received;
use super::runtime::Runtime;

/// Runs `model` in many orders.
fn check(model: impl Fn(&Runtime) + Send + Sync + 'static) {
    let run = move || {
        let clock = Arc::new(crate::clock::SystemClock);
        let incarnation = Incarnation::at(1, 1);
        let rt = Runtime::builder().spawner(Arc::new(Threads)).clock(clock).incarnation(incarnation).build();
        model(&rt);
        assert_eq!(rt.process_count(), 0, "a model ends what it has started");
    };
    shuttle::check_random(run, RUNS);
}

/// Two schedulers, each on a thread of its own.
struct Threads;

impl Spawner for Threads {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(shuttle::future::spawn(task));
    }

    fn workers(&self) -> usize {
        2
    }
}

/// Does something on a thread of its own.
fn aside<T: Send + 'static>(
    rt: &Runtime,
    act: impl FnOnce(&Runtime) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let rt = rt.clone();
    thread::spawn(move || act(&rt))
}

/// Waits for them.
fn all<T, const N: usize>(threads: [thread::JoinHandle<T>; N]) -> [T; N] {
    threads.map(|thread| thread.join().expect("it does not panic"))
}

fn end_of(process: &ProcessHandle) -> ExitReason {
    block_on(process.join())
}

fn end(process: &ProcessHandle) {
    process.kill();
    end_of(process);
}

/// A process that waits until it is ended.
fn parked(rt: &Runtime) -> ProcessHandle {
    rt.spawn(|mut ctx| async move { drop(ctx.recv().await) })
}

/// A process that notes what it receives, until it is told to stop.
struct Witness {
    process: ProcessHandle,
    seen: Arc<std::sync::Mutex<Vec<Received>>>,
}

impl Witness {
    fn start(rt: &Runtime) -> Self {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let body = |mut ctx: Context| {
            ctx.trap_exit(true);
            async move {
                loop {
                    let received = ctx.recv().await;
                    if received == Received::Message(STOP.into()) {
                        return;
                    }
                    notes.lock().expect("nobody panics with it").push(received);
                }
            }
        };
        Self { process: rt.spawn(body), seen }
    }

    fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// All that it has received.
    fn stop(self, rt: &Runtime) -> Vec<Received> {
        rt.try_send(self.pid(), STOP).expect("it lives");
        assert_eq!(end_of(&self.process), ExitReason::Normal);
        std::mem::take(&mut *self.seen.lock().expect("nobody panics with it"))
    }
}

const STOP: &str = "stop";
/// Orders that are tried for each model.
const RUNS: usize = 2_000;
