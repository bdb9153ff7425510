//! Who does a loop's work: the loop, or the thread that spins for it.
//!
//! Nobody has it twice, and nobody never. The thread has it from when the loop hands it over until the thread gives it back.
//! If the loop is woken meanwhile, the thread is told to do what there is; once it has given the work back, the loop is woken in any
//! case. So a wake-up is never lost between them ([`models`]).

use std::task::Waker;

use atomic_waker::AtomicWaker;

use crate::sync::atomic::{AtomicBool, Ordering};

/// What the thread and the loop know of each other.
#[derive(Debug)]
pub(super) struct Baton {
    /// The thread has the work.
    away: AtomicBool,
    /// The loop was woken meanwhile.
    nudged: AtomicBool,
    /// The thread is to end.
    stopped: AtomicBool,
    /// The work panicked on the thread.
    broken: AtomicBool,
    /// What wakes the loop.
    waker: AtomicWaker,
}

impl Baton {
    pub(super) fn new() -> Self {
        Self {
            away: AtomicBool::new(false),
            nudged: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    // ------------------------------------------------------------------------------------------------- by the loop

    /// The thread has the work from now on, once it is woken.
    pub(super) fn hand_over(&self, waker: &Waker) {
        self.waker.register(waker);
        self.away.store(true, Ordering::SeqCst);
    }

    /// The loop was woken: whether the thread has the work. Then the thread does what the loop was woken for, or wakes it again.
    ///
    /// # Panics
    /// The work panicked there, as it would have here.
    pub(super) fn is_away(&self, waker: &Waker) -> bool {
        assert!(!self.broken.load(Ordering::SeqCst), "the loop's work panicked on its thread");
        if !self.away.load(Ordering::SeqCst) {
            return false;
        }
        self.waker.register(waker);
        self.nudged.store(true, Ordering::SeqCst);
        // Either this sees that the thread has given it back, or the thread wakes the waker, which is registered by now.
        self.away.load(Ordering::SeqCst)
    }

    /// The thread is to end; it must be woken.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    // ----------------------------------------------------------------------------------------------- by the thread

    /// Whether the thread has the work.
    pub(super) fn is_here(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    /// Whether the loop was woken since the last look.
    pub(super) fn take_nudge(&self) -> bool {
        // Most looks find nothing: a read alone leaves the cache line shared.
        self.nudged.load(Ordering::SeqCst) && self.nudged.swap(false, Ordering::SeqCst)
    }

    /// The loop has the work again; `broken` if that panicked.
    pub(super) fn give_back(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
        self.away.store(false, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
#[cfg(feature = "model")]
mod models {
    use std::sync::Arc;
    use std::task::Wake;

    use shuttle::thread::{self, Thread};

    use super::*;
    use crate::sync::atomic::AtomicUsize;

    const RUNS: usize = 5_000;
    const MESSAGES: usize = 2;

    /// A task on a thread of its own.
    struct Task {
        woken: AtomicBool,
        thread: Thread,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::SeqCst);
            self.thread.unpark();
        }
    }

    /// What is queued for the loop, as the queues in front of an engine are: whoever queues wakes a loop that is not seen awake.
    struct Queue {
        queued: AtomicUsize,
        awake: AtomicBool,
        waker: AtomicWaker,
    }

    impl Queue {
        fn push(&self) {
            self.queued.fetch_add(1, Ordering::SeqCst);
            if !self.awake.load(Ordering::SeqCst) {
                self.waker.wake();
            }
        }

        fn take(&self) -> usize {
            self.awake.store(false, Ordering::SeqCst);
            self.queued.swap(0, Ordering::SeqCst)
        }
    }

    #[test]
    fn what_is_queued_is_taken_whoever_has_the_work() {
        let run = || {
            let baton = Arc::new(Baton::new());
            let queue = Arc::new(Queue {
                queued: AtomicUsize::new(0),
                awake: AtomicBool::new(false),
                waker: AtomicWaker::new(),
            });
            let taken = Arc::new(AtomicUsize::new(0));
            let spinner = {
                let (baton, queue, taken) = (baton.clone(), queue.clone(), taken.clone());
                thread::spawn(move || {
                    while !baton.is_stopped() {
                        if !baton.is_here() {
                            thread::park();
                            continue;
                        }
                        queue.awake.store(true, Ordering::SeqCst);
                        for _ in 0..2 {
                            if baton.take_nudge() || queue.queued.load(Ordering::SeqCst) > 0 {
                                taken.fetch_add(queue.take(), Ordering::SeqCst);
                                queue.awake.store(true, Ordering::SeqCst);
                            }
                        }
                        baton.give_back(false);
                    }
                })
            };
            let sender = {
                let queue = queue.clone();
                thread::spawn(move || (0..MESSAGES).for_each(|_| queue.push()))
            };
            let task = Arc::new(Task { woken: AtomicBool::new(true), thread: thread::current() });
            let waker = Waker::from(task.clone());
            while taken.load(Ordering::SeqCst) < MESSAGES {
                if !task.woken.swap(false, Ordering::SeqCst) {
                    // Woken by nobody for what is queued, it would stay here: a deadlock.
                    thread::park();
                    continue;
                }
                queue.waker.register(&waker);
                if baton.is_away(&waker) {
                    continue;
                }
                taken.fetch_add(queue.take(), Ordering::SeqCst);
                baton.hand_over(&waker);
                spinner.thread().unpark();
            }
            baton.stop();
            spinner.thread().unpark();
            sender.join().expect("it ends");
            spinner.join().expect("it ends");
        };
        shuttle::check_random(run, RUNS);
    }
}
