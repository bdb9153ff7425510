//! A process's alarm: set by whoever polls the process, rung by the timers' task, while messages come and the process ends.

use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};
use std::time::{Duration, Instant};

use regatta_proto::id::Incarnation;
use regatta_proto::reason::ExitReason;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::{Threads, end, end_of};
use crate::actor::Runtime;
use crate::clock::{Clock, Timer};

/// A clock that a thread moves by hand.
#[derive(Clone)]
struct Hands(Arc<Mutex<Dial>>);

struct Dial {
    now: Instant,
    sleepers: Vec<(Instant, Waker)>,
}

impl Hands {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Dial { now: Instant::now(), sleepers: Vec::new() })))
    }

    fn move_on(&self) {
        let mut dial = self.0.lock().expect("nobody panics with it");
        dial.now += STEP;
        let now = dial.now;
        let (due, later) = dial.sleepers.drain(..).partition(|(at, _)| *at <= now);
        dial.sleepers = later;
        drop(dial);
        let due: Vec<(Instant, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Clock for Hands {
    fn unix_us(&self) -> u64 {
        1
    }

    fn now(&self) -> Instant {
        self.0.lock().expect("nobody panics with it").now
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Hand { clock: self.clone(), at: None })
    }
}

struct Hand {
    clock: Hands,
    at: Option<Instant>,
}

impl Timer for Hand {
    fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    fn poll(&mut self, poller: &mut Poller<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let mut dial = self.clock.0.lock().expect("nobody panics with it");
        if at <= dial.now {
            return Poll::Ready(());
        }
        dial.sleepers.push((at, poller.waker().clone()));
        Poll::Pending
    }
}

/// Runs `model` in many orders, while time goes on.
fn check(model: impl Fn(&Runtime) + Send + Sync + 'static) {
    let run = move || {
        let hands = Hands::new();
        let rt = Runtime::builder()
            .spawner(Arc::new(Threads))
            .clock(Arc::new(hands.clone()))
            .incarnation(Incarnation::at(1, 1))
            .build();
        let over = Arc::new(AtomicBool::new(false));
        let time = thread::spawn({
            let over = Arc::clone(&over);
            // Whoever is never woken, although its time has come, keeps this going: the checker gives up.
            move || {
                while !over.load(Ordering::SeqCst) {
                    hands.move_on();
                    thread::yield_now();
                }
            }
        });
        model(&rt);
        over.store(true, Ordering::SeqCst);
        time.join().expect("it does not panic");
        assert_eq!(rt.process_count(), 0, "a model ends what it has started");
    };
    shuttle::check_random(run, super::RUNS);
}

#[test]
fn each_deadline_comes_and_no_message_is_lost_to_it() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move {
            let mut messages = 0;
            // The first is set again and again; some are early enough by the one before.
            for steps in [2, 1, 3] {
                messages += u32::from(ctx.recv_timeout(STEP * steps).await.is_some());
            }
            while messages < 2 {
                messages += u32::from(ctx.recv().await.message().is_some());
            }
        });
        let to = process.pid();
        let senders = [(); 2].map(|()| {
            let rt = rt.clone();
            thread::spawn(move || rt.try_send(to, "a message").expect("it waits for two"))
        });
        super::all(senders);
        assert_eq!(end_of(&process), ExitReason::Normal);
    });
}

#[test]
fn an_earlier_deadline_within_a_later_one_comes_first() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move {
            assert_eq!(
                ctx.recv_timeout(STEP * 50).await.and_then(|first| first.message()),
                Some("early".into())
            );
            // The alarm is still set, to later than this.
            assert_eq!(ctx.recv_timeout(STEP).await, None);
        });
        rt.try_send(process.pid(), "early").expect("it waits");
        assert_eq!(end_of(&process), ExitReason::Normal);
    });
}

#[test]
fn a_process_that_is_killed_leaves_no_alarm() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move { while ctx.recv_timeout(STEP).await.is_none() {} });
        end(&process);
        assert_eq!(rt.timers().len(), 0);
    });
}

const STEP: Duration = Duration::from_millis(1);
