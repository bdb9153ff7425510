//! Who polls processes, and when: nobody is forgotten or held up, and with one worker the order is fixed.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as Poller, Wake, Waker};
use std::time::Duration;

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use crate::actor::{Runtime, SpawnOptions, Spawner};

/// Waits for a message, then says so.
fn reporter(rt: &Runtime, heard: &mpsc::Sender<Pid>) -> Pid {
    let heard = heard.clone();
    let body = move |mut ctx: crate::Context| async move {
        while ctx.recv().await.message().is_some() {
            heard.send(ctx.pid()).expect("the test waits");
        }
    };
    rt.spawn(body).pid()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_blocks_its_worker_does_not_hold_up_whom_it_has_woken() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let other = reporter(&rt, &heard);
    let blocks = rt.spawn(move |ctx| async move {
        ctx.try_send(other, "wake up").expect("it lives");
        // Blocks the thread whose run queue the other one is in.
        assert_eq!(hears.recv(), Ok(other));
    });
    assert_eq!(blocks.join().await, ExitReason::Normal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_blocks_its_worker_does_not_hold_up_whoever_is_next() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let (one, other) = (reporter(&rt, &heard), reporter(&rt, &heard));
    let blocks = rt.spawn(move |ctx| async move {
        // The first one waits, so the other one goes before it.
        for woken in [one, other] {
            ctx.try_send(woken, "wake up").expect("it lives");
        }
        let mut heard = [hears.recv(), hears.recv()].map(|pid| pid.expect("both are heard"));
        heard.sort_unstable();
        assert_eq!(heard, [one, other]);
    });
    assert_eq!(blocks.join().await, ExitReason::Normal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_worker_does_not_hold_up_whom_it_has_woken() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let (one, other) = (reporter(&rt, &heard), reporter(&rt, &heard));
    let blocks = tokio::spawn(async move {
        for woken in [one, other] {
            rt.try_send(woken, "wake up").expect("it lives");
            assert_eq!(hears.recv(), Ok(woken));
        }
    });
    blocks.await.expect("it does not panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_blocks_in_a_visit_holds_up_the_visitor_alone() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let other = reporter(&rt, &heard);
    let blocks = rt.spawn(move |mut ctx| async move {
        ctx.recv().await;
        assert_eq!(hears.recv(), Ok(other));
    });
    let visitor = {
        let (rt, blocks) = (rt.clone(), blocks.pid());
        tokio::spawn(async move {
            let mut visit = rt.visit();
            let from = Pid::new(regatta_proto::id::Incarnation::at(1, 1), 1);
            for to in [blocks, other] {
                rt.deliver(from, to.serial(), Signal::Message("wake up".into())).expect("it lives");
            }
            visit.run(u32::MAX, Duration::MAX);
        })
    };
    visitor.await.expect("it does not panic");
    assert_eq!(blocks.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_visit_runs_what_it_has_woken_in_order_and_leaves_the_rest_to_the_schedulers() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let all: Vec<Pid> = (0..5).map(|_| reporter(&rt, &heard)).collect();
    tokio::task::yield_now().await;
    let mut visit = rt.visit();
    for pid in &all {
        rt.try_send(*pid, "wake up").expect("it lives");
    }
    assert!(hears.try_recv().is_err(), "nobody runs before they are run");
    let ran = visit.run(2, Duration::MAX);
    assert_eq!((ran.polls, ran.more), (2, true));
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), all[..2]);
    let ran = visit.run(2, Duration::MAX);
    assert_eq!((ran.polls, ran.more), (2, true));
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), all[2..4]);
    drop(visit);
    tokio::task::yield_now().await;
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), all[4..]);
    assert_eq!(rt.visit().run(2, Duration::MAX).polls, 0, "nothing is left");
}

#[tokio::test]
async fn a_process_that_yields_lets_those_that_are_ready_run_first() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let other = reporter(&rt, &heard);
    let yields = rt.spawn(move |ctx| async move {
        ctx.try_send(other, "wake up").expect("it lives");
        assert!(hears.try_recv().is_err(), "there is one thread");
        ctx.yield_now().await;
        assert_eq!(hears.try_recv(), Ok(other));
    });
    assert_eq!(yields.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_visit_inside_a_process_runs_nothing() {
    let rt = Runtime::new();
    let (heard, hears) = mpsc::channel();
    let other = reporter(&rt, &heard);
    let outer = rt.spawn(move |ctx| async move {
        let mut visit = ctx.runtime().visit();
        ctx.try_send(other, "wake up").expect("it lives");
        assert_eq!(visit.run(8, Duration::MAX).polls, 0);
        assert!(hears.try_recv().is_err());
    });
    assert_eq!(outer.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn processes_that_never_rest_leave_the_executors_other_tasks_their_turns() {
    let rt = Runtime::new();
    let busy: Vec<_> = (0..3)
        .map(|_| {
            rt.spawn(|mut ctx| async move {
                loop {
                    ctx.try_send(ctx.pid(), "again").expect("it lives");
                    ctx.recv().await;
                }
            })
        })
        .collect();
    // A timer needs the executor to look at its drivers.
    tokio::time::sleep(Duration::from_millis(1)).await;
    tokio::task::yield_now().await;
    busy.iter().for_each(crate::ProcessHandle::kill);
    for process in busy {
        assert_eq!(process.join().await, ExitReason::Killed);
    }
}

#[test]
fn a_few_processes_with_short_polls_are_shared_when_they_go_on() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    executor.block_on(async {
        let rt = Runtime::new();
        let (inside, met) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        // They end once two of them are polled at the same time.
        let body = move |ctx: crate::Context| {
            let (inside, met) = (inside.clone(), met.clone());
            async move {
                while met.load(Ordering::Relaxed) == 0 {
                    inside.fetch_add(1, Ordering::SeqCst);
                    let together = (0..50).any(|_| inside.load(Ordering::SeqCst) > 1);
                    met.fetch_add(u64::from(together), Ordering::Relaxed);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    ctx.yield_now().await;
                }
            }
        };
        // Started by a process, they all wait on its thread.
        let parent = rt.spawn(move |ctx| async move {
            for child in [ctx.spawn(&body), ctx.spawn(&body), ctx.spawn(&body)] {
                assert_eq!(child.join().await, ExitReason::Normal);
            }
        });
        assert_eq!(parent.join().await, ExitReason::Normal);
    });
}

#[test]
fn no_message_is_lost_between_workers_that_send_steal_and_sleep() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().expect("a runtime");
    executor.block_on(async {
        let rt = Runtime::new();
        let total = Arc::new(AtomicU64::new(0));
        // Rings of processes that hand a number on until it is used up: most of the time all workers are about to sleep.
        let rings: Vec<_> = (0..8)
            .map(|_| {
                let (rt, total) = (rt.clone(), total.clone());
                tokio::spawn(async move {
                    let first = rt.spawn(move |mut ctx| async move {
                        let hop = |to: Pid| {
                            move |mut ctx: crate::Context| async move {
                                while let Some(message) = ctx.recv().await.message() {
                                    ctx.try_send(to, message).expect("the ring lives");
                                }
                            }
                        };
                        let mut next = ctx.pid();
                        for _ in 0..7 {
                            next = ctx.spawn_link(hop(next)).pid();
                        }
                        for round in 0..500_u64 {
                            ctx.try_send(next, round.to_le_bytes().to_vec()).expect("the ring lives");
                            let back = ctx.recv().await.message().expect("a message");
                            assert_eq!(*back, round.to_le_bytes());
                            total.fetch_add(1, Ordering::Relaxed);
                            if round % 64 == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                        ExitReason::Shutdown
                    });
                    assert_eq!(first.join().await, ExitReason::Shutdown);
                })
            })
            .collect();
        for ring in rings {
            ring.await.expect("the ring closes");
        }
        assert_eq!(total.load(Ordering::Relaxed), 8 * 500);
    });
}

/// Notes the label of each process that the log names.
#[derive(Default)]
struct Labels(Mutex<Vec<String>>);

impl tracing::Subscriber for Labels {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Label<'a>(&'a Labels);
        impl tracing::field::Visit for Label<'_> {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                if field.name() == "label" {
                    self.0.0.lock().unwrap().push(value.to_owned());
                }
            }

            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
        }
        event.record(&mut Label(self));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_body_that_holds_its_worker_is_named_in_the_log_and_counted() {
    let labels = Arc::new(Labels::default());
    tracing::subscriber::set_global_default(Arc::clone(&labels))
        .expect("no other test of this process sets one");
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    executor.block_on(async {
        let rt = Runtime::new();
        let options = SpawnOptions { label: Some("greedy".to_owned()), ..SpawnOptions::default() };
        let greedy = rt.spawn_with(options, |ctx| async move {
            // It lets go as soon as that was noticed.
            while ctx.runtime().stats().held_worker == 0 {
                std::hint::spin_loop();
            }
        });
        assert_eq!(greedy.join().await, ExitReason::Normal);
        rt.shutdown().await;
    });
    assert!(labels.0.lock().unwrap().contains(&"greedy".to_owned()));
}

#[test]
fn the_lookout_ends_with_its_runtime() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let rt = executor.block_on(async {
        let rt = Runtime::new();
        rt.spawn(|_| async {}).join().await;
        rt
    });
    let lookout = rt.schedulers().lookout().expect("two workers have one");
    drop(rt);
    drop(executor);
    lookout.join().expect("it does not panic");
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor of one thread that runs what was woken in the order of the wakes.
#[derive(Default)]
struct Steps {
    tasks: Mutex<Vec<Option<Task>>>,
    woken: Arc<Mutex<VecDeque<usize>>>,
}

struct Woken(usize, Arc<Mutex<VecDeque<usize>>>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}

impl Spawner for Steps {
    fn spawn(&self, task: Task) {
        let mut tasks = self.tasks.lock().unwrap();
        self.woken.lock().unwrap().push_back(tasks.len());
        tasks.push(Some(task));
    }
}

impl Steps {
    /// Runs until nothing is woken.
    fn run(&self) {
        loop {
            let Some(index) = self.woken.lock().unwrap().pop_front() else { return };
            let Some(mut task) = self.tasks.lock().unwrap()[index].take() else { continue };
            let waker = Waker::from(Arc::new(Woken(index, self.woken.clone())));
            if task.as_mut().poll(&mut Poller::from_waker(&waker)).is_pending() {
                self.tasks.lock().unwrap()[index] = Some(task);
            }
        }
    }
}

#[test]
fn with_one_worker_what_runs_follows_from_what_was_done_alone() {
    let trace = || {
        let steps = Arc::new(Steps::default());
        let rt = Runtime::builder().spawner(steps.clone()).build();
        let (ran, order) = mpsc::channel();
        // 100 processes that pass numbers on to others: far more than one turn runs.
        let all: Vec<_> = (0..100)
            .map(|_| {
                let ran = ran.clone();
                rt.spawn(move |mut ctx| async move {
                    while let Some(message) = ctx.recv().await.message() {
                        ran.send((ctx.pid().serial(), message[0])).expect("the test listens");
                        if let Some(less) = message[0].checked_sub(1) {
                            let to = (ctx.pid().serial() * 7 + u64::from(less)) % 100 + 1;
                            let _full = ctx.try_send(Pid::new(ctx.pid().incarnation(), to), vec![less]);
                        }
                    }
                })
            })
            .collect();
        steps.run();
        for process in &all {
            rt.try_send(process.pid(), vec![30]).expect("it lives");
        }
        steps.run();
        drop(ran);
        all.iter().for_each(crate::ProcessHandle::kill);
        steps.run();
        order.into_iter().collect::<Vec<_>>()
    };
    let first = trace();
    assert_eq!(first.len(), 100 * 31);
    let begun: Vec<_> = first.iter().filter(|(_, left)| *left == 30).map(|(serial, _)| *serial).collect();
    assert_eq!(begun, (1..=100).collect::<Vec<_>>(), "in the order in which they were woken");
    assert_eq!(first, trace());
}
