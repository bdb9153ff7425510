//! A thread that sees to it that a body that holds its worker holds up nobody else.
//!
//! A process that blocks its thread, or burns it for long, also keeps what waits in that thread's run queue, and perhaps the
//! scheduler that the executor was to run there next. While schedulers run, this thread looks at all queues every few
//! milliseconds. A queue that is not empty and whose thread has not polled anything since the last look is emptied into
//! the queue from outside, and a sleeping scheduler is woken, from here, so that the executor runs it elsewhere. A process
//! that holds its worker much longer is named in the log.
//!
//! When schedulers have slept for a while it sleeps too; the next turn wakes it. An idle runtime costs nothing.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use regatta_proto::id::Pid;

use super::super::runtime::{Inner, Runtime};
use super::super::staff::Member;
use super::pool::Pool;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// How others reach the thread.
#[derive(Default)]
pub(super) struct Lookout {
    /// It sleeps until it is woken.
    sleeps: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a look saw of one run queue.
#[derive(Clone, Copy)]
struct Seen {
    /// Polls so far, and the process that was polled.
    progress: (u64, u64),
    since: Instant,
    warned: bool,
}

impl Lookout {
    /// A turn begins: somebody must look after it. To be called after the run queue was taken.
    #[inline]
    pub(super) fn attend(&self) {
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    #[cold]
    pub(super) fn wake(&self) {
        self.sleeps.store(false, Ordering::SeqCst);
        if let Some(thread) = &*self.thread.lock() {
            thread.thread().unpark();
        }
    }

    /// Takes the thread, to wait for its end.
    pub(super) fn take(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().take()
    }
}

/// Starts the thread. It ends with the pool. Where the system gives none, the runtime works without.
pub(super) fn start(pool: &Arc<Pool>, runtime: Weak<Inner>, member: Member) {
    // A model has no time, and who is forgotten in it must not be found.
    if cfg!(feature = "model") {
        return;
    }
    let mut thread = pool.lookout.thread.lock();
    if thread.is_some() {
        return;
    }
    let mine = Arc::clone(pool);
    let builder = thread::Builder::new().name("regatta-lookout".to_owned()).stack_size(STACK_BYTES);
    match builder.spawn(move || {
        run(&mine, &runtime);
        drop(member);
    }) {
        Ok(handle) => *thread = Some(handle),
        Err(error) => tracing::warn!(%error, "no thread to look after processes that hold their worker"),
    }
}

fn run(pool: &Pool, runtime: &Weak<Inner>) {
    let now = Instant::now();
    let mut seen: Vec<_> = pool
        .slots()
        .iter()
        .map(|slot| Seen { progress: slot.progress(), since: now, warned: false })
        .collect();
    let mut outside = None;
    let mut quiet = 0;
    while !pool.is_closed() {
        thread::park_timeout(LOOK_EVERY);
        let now = Instant::now();
        let mut idle = true;
        for (slot, seen) in pool.slots().iter().zip(&mut seen) {
            let progress = slot.progress();
            if progress != seen.progress {
                *seen = Seen { progress, since: now, warned: false };
                idle = false;
                continue;
            }
            if !slot.is_empty() {
                pool.rescue(slot);
                idle = false;
            }
            let (_, process) = progress;
            if process != 0 {
                idle = false;
                if !seen.warned && now - seen.since > HELD_TOO_LONG {
                    seen.warned = true;
                    warn(runtime, process, now - seen.since);
                }
            }
        }
        let waits = pool.waits_outside();
        if waits.is_some() {
            idle = false;
            if waits == outside {
                // Whoever was woken for it did not come.
                pool.wake_another();
            }
        }
        outside = waits;
        quiet = if idle { quiet + 1 } else { 0 };
        if quiet > QUIET_LOOKS {
            quiet = 0;
            sleep(pool);
        }
    }
}

/// Sleeps until a turn begins.
fn sleep(pool: &Pool) {
    pool.lookout.sleeps.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    // Whoever has begun a turn before it could see that we sleep is seen here.
    let begun = || pool.slots().iter().any(|slot| slot.is_taken());
    while pool.lookout.sleeps.load(Ordering::SeqCst) && !pool.is_closed() && !begun() {
        thread::park();
    }
    pool.lookout.sleeps.store(false, Ordering::SeqCst);
}

fn warn(runtime: &Weak<Inner>, process: u64, held: Duration) {
    let Some(runtime) = runtime.upgrade().map(Runtime::of) else { return };
    let pid = Pid::new(runtime.incarnation(), process);
    let (label, initial_call) =
        runtime.info(pid).map(|info| (info.label, info.initial_call)).unwrap_or_default();
    tracing::warn!(
        process = %pid,
        label = label.as_deref(),
        initial_call,
        held_ms = held.as_millis() as u64,
        "a process holds its worker: what blocks belongs into `spawn_blocking`"
    );
    // Who sees it counted finds it in the log.
    runtime.held().fetch_add(1, Ordering::Release);
}

/// Between two looks, while schedulers run.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Looks that see nothing, after which it sleeps.
const QUIET_LOOKS: u32 = 50;
/// How long one poll of a process may take before the log says so.
const HELD_TOO_LONG: Duration = Duration::from_millis(500);
/// It calls nothing deep.
const STACK_BYTES: usize = 128 * 1024;
