//! Nobody who was woken is forgotten: by schedulers that go to sleep, share and steal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use shuttle::thread;

use super::{all, aside, check, end_of};
use crate::actor::Runtime;
use crate::actor::scheduler::Sleepers;

#[test]
fn processes_that_are_started_from_several_threads_all_run() {
    check(|rt| {
        let ran = Arc::new(AtomicUsize::new(0));
        let starters = [(); 2].map(|()| {
            let ran = Arc::clone(&ran);
            aside(rt, move |rt| {
                for _ in 0..2 {
                    let ran = Arc::clone(&ran);
                    let process = rt.spawn(|ctx| async move {
                        let child = ctx.spawn(|_| async move {
                            ran.fetch_add(1, Ordering::Relaxed);
                        });
                        child.join().await;
                    });
                    assert_eq!(end_of(&process), ExitReason::Normal);
                }
            })
        });
        all(starters);
        assert_eq!(ran.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn processes_that_wake_each_other_go_on() {
    check(|rt| {
        let pong = rt.spawn(|mut ctx| async move {
            for _ in 0..3 {
                let asked = ctx.recv().await.message().expect("nothing else is sent");
                let serial = u64::from_le_bytes(asked[..].try_into().expect("a serial"));
                let _gone = ctx.try_send(Pid::new(ctx.pid().incarnation(), serial), "pong");
            }
        });
        let to = pong.pid();
        let ping = rt.spawn(move |mut ctx| async move {
            for _ in 0..3 {
                ctx.try_send(to, ctx.pid().serial().to_le_bytes().to_vec()).expect("it waits");
                ctx.recv().await;
            }
        });
        assert_eq!(end_of(&ping), ExitReason::Normal);
        assert_eq!(end_of(&pong), ExitReason::Normal);
    });
}

#[test]
fn processes_that_go_before_others_hold_up_nobody() {
    check(|rt| {
        let waits = |rt: &Runtime| rt.spawn(|mut ctx| async move { drop(ctx.recv().await) });
        let waiting = [(); 3].map(|()| waits(rt));
        let to = waiting.each_ref().map(|process| process.pid());
        let wakers = [(); 2].map(|()| {
            let partner = rt.spawn(|mut ctx| async move {
                while ctx.recv().await.message().is_some_and(|message| message != "over") {}
            });
            let pid = partner.pid();
            let waker = rt.spawn(move |ctx| async move {
                for others in to {
                    // The partner is next; the others may have been woken before.
                    ctx.try_send(pid, "go on").expect("it lives");
                    let _gone = ctx.try_send(others, "wake up");
                    ctx.yield_now().await;
                }
                ctx.try_send(pid, "over").expect("it lives");
            });
            [partner, waker]
        });
        wakers.iter().flatten().chain(&waiting).for_each(|process| {
            assert_eq!(end_of(process), ExitReason::Normal);
        });
    });
}

/// Two workers that take work from one queue, and sleep as schedulers do.
struct Mill {
    work: shuttle::sync::atomic::AtomicUsize,
    sleepers: Sleepers,
    /// Who was woken, and how much was done.
    state: shuttle::sync::Mutex<([bool; 2], usize)>,
    bell: shuttle::sync::Condvar,
}

impl Mill {
    fn run(&self, index: usize) {
        let mut searching = false;
        loop {
            while self.take() {
                if std::mem::take(&mut searching) {
                    self.sleepers.found();
                }
                self.state.lock().expect("nobody panics with it").1 += 1;
                self.bell.notify_all();
            }
            self.sleepers.sleep(index, std::mem::take(&mut searching));
            if self.work.load(Ordering::SeqCst) == 0 {
                let mut state = self.state.lock().expect("nobody panics with it");
                while !std::mem::take(&mut state.0[index]) {
                    if state.1 == WORK {
                        return;
                    }
                    state = self.bell.wait(state).expect("nobody panics with it");
                }
            }
            searching = self.sleepers.rise(index);
        }
    }

    fn take(&self) -> bool {
        self.work.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn put(&self) {
        self.work.fetch_add(1, Ordering::SeqCst);
        if let Some(index) = self.sleepers.pick() {
            self.state.lock().expect("nobody panics with it").0[index] = true;
            self.bell.notify_all();
        }
    }
}

const WORK: usize = 3;

#[test]
fn work_that_is_queued_while_all_go_to_sleep_is_found() {
    let run = || {
        let mill = Arc::new(Mill {
            work: shuttle::sync::atomic::AtomicUsize::new(0),
            sleepers: Sleepers::new(),
            state: shuttle::sync::Mutex::new(([false; 2], 0)),
            bell: shuttle::sync::Condvar::new(),
        });
        let workers = [0, 1].map(|index| {
            let mill = Arc::clone(&mill);
            thread::spawn(move || mill.run(index))
        });
        (0..WORK).for_each(|_| mill.put());
        // Who is never woken for work that waits is found as a deadlock.
        all(workers);
    };
    shuttle::check_random(run, super::RUNS);
}
