//! Mailboxes: order, bounds, and what a receive takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::reason::ExitReason;
use tokio::sync::oneshot;

use super::world::{Probe, dead, parked};
use crate::actor::{
    Context, MailboxLimits, OverflowPolicy, ProcessHandle, Received, Runtime, SendError, SpawnOptions,
};

fn bounded(limits: MailboxLimits) -> Runtime {
    Runtime::builder().mailbox(limits).build()
}

#[tokio::test]
async fn messages_and_signals_arrive_in_the_order_in_which_they_were_sent() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let linked = parked(&rt);
    rt.link(probe.pid(), linked.pid());
    rt.try_send(probe.pid(), "first").unwrap();
    linked.kill();
    linked.join().await;
    rt.try_send(probe.pid(), "last").unwrap();
    let exit = Received::Exit { from: linked.pid(), reason: ExitReason::Killed };
    let message = |text: &'static str| Received::Message(text.into());
    assert_eq!(probe.all().await, [message("first"), exit, message("last")]);
}

#[tokio::test]
async fn a_full_mailbox_tells_the_sender_and_stays_as_it_is() {
    let rt = bounded(MailboxLimits { messages_max: 2, ..MailboxLimits::default() });
    let mut probe = Probe::start(&rt);
    // The probe has not run yet: nothing has been handled.
    assert_eq!(rt.try_send(probe.pid(), "a"), Ok(()));
    assert_eq!(rt.send(probe.pid(), "b").await, Ok(()), "a local send never waits");
    assert_eq!(rt.try_send(probe.pid(), "c"), Err(SendError::MailboxFull));
    assert_eq!(rt.send(probe.pid(), "c").await, Err(SendError::MailboxFull));
    assert_eq!(rt.stats().refused_full, 2);
    assert_eq!(rt.info(probe.pid()).unwrap().mailbox_depth, 2);
    tokio::task::yield_now().await;
    assert_eq!(probe.all().await, ["a", "b"].map(|text| Received::Message(text.into())));
}

#[tokio::test]
async fn the_bound_on_bytes_counts_bodies_and_lets_a_smaller_one_in() {
    let rt = bounded(MailboxLimits { bytes_max: 10, ..MailboxLimits::default() });
    let process = parked(&rt);
    assert_eq!(rt.try_send(process.pid(), vec![0; 8]), Ok(()));
    assert_eq!(rt.try_send(process.pid(), vec![0; 3]), Err(SendError::MailboxFull));
    assert_eq!(rt.try_send(process.pid(), vec![0; 2]), Ok(()));
    let info = rt.info(process.pid()).unwrap();
    assert_eq!((info.mailbox_depth, info.mailbox_bytes), (2, 10));
}

#[tokio::test]
async fn a_processs_own_bounds_replace_those_of_the_runtime() {
    let rt = bounded(MailboxLimits { messages_max: 1, ..MailboxLimits::default() });
    let mailbox = Some(MailboxLimits { messages_max: 3, ..MailboxLimits::default() });
    let roomy =
        rt.spawn_with(SpawnOptions { mailbox, ..SpawnOptions::default() }, |_| std::future::pending::<()>());
    let taken = (0..5).filter(|_| rt.try_send(roomy.pid(), "x").is_ok()).count();
    assert_eq!(taken, 3);
}

#[tokio::test]
async fn exits_and_downs_find_room_in_a_full_mailbox() {
    let rt = bounded(MailboxLimits { messages_max: 1, ..MailboxLimits::default() });
    let mut probe = Probe::start(&rt);
    let target = parked(&rt);
    rt.link(probe.pid(), target.pid());
    let reference = rt.monitor(probe.pid(), target.pid()).unwrap();
    rt.try_send(probe.pid(), "full").unwrap();
    target.kill();
    // The target runs before the probe's next turn is over: the order of the turns does not matter here.
    target.join().await;
    let (pid, reason) = (target.pid(), ExitReason::Killed);
    tokio::task::yield_now().await;
    assert_eq!(
        probe.all().await,
        [
            Received::Message("full".into()),
            Received::Exit { from: pid, reason: reason.clone() },
            Received::Down { reference, pid, reason }
        ]
    );
}

#[tokio::test]
async fn what_a_process_leaves_unread_is_counted_at_its_end() {
    let rt = Runtime::new();
    let process = parked(&rt);
    for _ in 0..3 {
        rt.try_send(process.pid(), "unread").unwrap();
    }
    process.kill();
    process.join().await;
    assert_eq!(rt.stats().dropped_unread, 3);
    assert_eq!(rt.try_send(process.pid(), "late"), Err(SendError::NoProc));
    assert_eq!(rt.stats().refused_no_proc, 1);
    assert_eq!(rt.try_send(dead(&rt).await, "late"), Err(SendError::NoProc));
}

#[tokio::test]
async fn a_selective_receive_leaves_the_others_in_their_order() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let wanted = Received::Message("wanted".into());
        assert_eq!(ctx.recv_match(|received| *received == wanted).await, wanted);
        let mut rest = Vec::new();
        while let Some(received) = ctx.recv_timeout(Duration::ZERO).await {
            rest.extend(received.message());
        }
        assert_eq!(rest, ["one", "two", "three"]);
    });
    for text in ["one", "two", "wanted", "three"] {
        rt.try_send(process.pid(), text).unwrap();
    }
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    let rt = Runtime::new();
    let (given_up, was_given_up) = tokio::sync::oneshot::channel();
    let process = rt.spawn(|mut ctx| async move {
        tokio::select! {
            biased;
            received = ctx.recv() => panic!("nothing is there yet, but {received:?}"),
            () = tokio::task::yield_now() => {}
        }
        given_up.send(()).unwrap();
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&b"one"[..]));
        tokio::select! {
            biased;
            _ = ctx.recv_match(|_| false) => unreachable!("it takes nothing"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&b"two"[..]), "seen, not taken");
    });
    was_given_up.await.unwrap();
    rt.try_send(process.pid(), "one").unwrap();
    rt.try_send(process.pid(), "two").unwrap();
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_receive_without_a_wait_takes_all_that_is_there_and_nothing_that_comes_later() {
    const MANY: usize = 1_000;
    let rt = Runtime::new();
    let sender = rt.clone();
    let process = rt.spawn(|mut ctx| async move {
        for number in 0..MANY {
            // More than one turn's worth: between two turns it does not take the mailbox for empty.
            assert!(ctx.recv_timeout(Duration::ZERO).await.is_some(), "message {number} is there");
        }
        let to = ctx.pid();
        tokio::spawn(async move { sender.try_send(to, "later").unwrap() });
        assert_eq!(ctx.recv_timeout(Duration::ZERO).await, None);
        assert_eq!(ctx.recv().await, Received::Message("later".into()));
    });
    for _ in 0..MANY {
        rt.try_send(process.pid(), "x").unwrap();
    }
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_process_that_asks_again_and_again_without_a_wait_lets_others_run_and_can_be_ended() {
    let rt = Runtime::new();
    let restless = rt.spawn(|mut ctx| async move {
        loop {
            assert_eq!(ctx.recv_timeout(Duration::ZERO).await, None);
        }
    });
    let other = rt.spawn(|_| async {});
    assert_eq!(other.join().await, ExitReason::Normal);
    restless.kill();
    assert_eq!(restless.join().await, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_receive_with_a_timeout_ends_at_it_and_takes_what_comes_before() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let began = tokio::time::Instant::now();
        assert_eq!(ctx.recv_timeout(Duration::from_secs(60)).await, None);
        assert!(began.elapsed() >= Duration::from_secs(60));
        assert!(ctx.recv_timeout(Duration::from_secs(60)).await.is_some());
    });
    let pid = process.pid();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(90)).await;
        rt.try_send(pid, "in time").unwrap();
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_flooded_process_lets_others_run() {
    const FLOOD: u64 = 10_000;
    let rt = Runtime::new();
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    let flooded = rt.spawn(|mut ctx| async move {
        for _ in 0..FLOOD {
            ctx.recv().await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let other = rt.spawn(|_| async move {
        assert!(handled.load(Ordering::Relaxed) < FLOOD, "its turn came only after the flood");
    });
    let body = Bytes::from_static(b"x");
    for _ in 0..FLOOD {
        rt.try_send(flooded.pid(), body.clone()).unwrap();
    }
    assert_eq!(other.join().await, ExitReason::Normal);
    assert_eq!(flooded.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_suspended_process_receives_nothing_until_it_is_resumed() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let first = ctx.recv().await.message().unwrap();
        ExitReason::custom(first)
    });
    assert!(rt.suspend(process.pid()));
    rt.try_send(process.pid(), "waited").unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rt.info(process.pid()).unwrap().mailbox_depth, 1);
    assert!(rt.resume(process.pid()));
    assert!(!rt.resume(process.pid()), "only once");
    assert_eq!(process.join().await, ExitReason::custom("waited"));
    assert!(!rt.suspend(process.pid()), "it is gone");
}

/// A process that waits until it is told to begin, and then gives back all messages that are there.
struct Slow {
    process: ProcessHandle,
    begin: oneshot::Sender<()>,
    seen: oneshot::Receiver<Vec<Bytes>>,
}

impl Slow {
    fn start(rt: &Runtime, limits: MailboxLimits) -> Self {
        let (begin, begun) = oneshot::channel::<()>();
        let (tell, seen) = oneshot::channel();
        let options = SpawnOptions { mailbox: Some(limits), ..SpawnOptions::default() };
        let process = rt.spawn_with(options, |mut ctx| {
            ctx.trap_exit(true);
            async move {
                begun.await.expect("the test says when");
                let mut messages = Vec::new();
                while let Some(received) = ctx.recv_timeout(Duration::ZERO).await {
                    messages.extend(received.message());
                }
                tell.send(messages).expect("the test waits");
                std::future::pending::<()>().await;
            }
        });
        Self { process, begin, seen }
    }

    async fn read(self) -> Vec<Bytes> {
        self.begin.send(()).expect("it waits");
        self.seen.await.expect("it lives")
    }
}

#[tokio::test]
async fn a_full_mailbox_drops_the_newest_or_the_oldest_message_if_that_is_its_policy() {
    for (policy, left) in
        [(OverflowPolicy::DropNewest, ["1", "2", "3"]), (OverflowPolicy::DropOldest, ["3", "4", "5"])]
    {
        let rt = Runtime::new();
        let slow = Slow::start(&rt, MailboxLimits { messages_max: 3, policy, ..MailboxLimits::default() });
        let pid = slow.process.pid();
        for text in ["1", "2", "3", "4", "5"] {
            assert_eq!(rt.try_send(pid, text), Ok(()), "the sender is told nothing");
        }
        let info = rt.info(pid).unwrap();
        assert_eq!((info.mailbox_depth, info.mailbox_bytes), (3, 3));
        assert_eq!(rt.stats().dropped_overflow, 2);
        assert_eq!(slow.read().await, left, "{policy:?}");
        assert_eq!(rt.info(pid).unwrap().mailbox_depth, 0);
    }
}

#[tokio::test]
async fn as_many_old_messages_are_dropped_as_a_new_one_needs_and_signals_never() {
    let rt = Runtime::new();
    let policy = OverflowPolicy::DropOldest;
    let slow = Slow::start(&rt, MailboxLimits { bytes_max: 10, policy, ..MailboxLimits::default() });
    let pid = slow.process.pid();
    rt.exit(pid, ExitReason::custom("a signal in front"));
    for len in [4, 4, 2, 7] {
        assert_eq!(rt.try_send(pid, vec![b'x'; len]), Ok(()));
    }
    assert_eq!(rt.stats().dropped_overflow, 2);
    assert_eq!(rt.info(pid).unwrap().mailbox_depth, 3, "two messages and the exit");
    assert_eq!(rt.try_send(pid, vec![b'x'; 11]), Ok(()), "too large for any mailbox of this bound");
    assert_eq!(rt.stats().dropped_overflow, 5, "it took all others with it, and was dropped itself");
    assert_eq!(slow.read().await, [""; 0]);
}

#[tokio::test]
async fn a_process_whose_policy_is_to_exit_ends_with_the_first_message_too_many_though_it_traps() {
    let rt = Runtime::new();
    let policy = OverflowPolicy::ExitReceiver;
    let slow = Slow::start(&rt, MailboxLimits { messages_max: 1, policy, ..MailboxLimits::default() });
    assert_eq!(rt.try_send(slow.process.pid(), "1"), Ok(()));
    assert_eq!(rt.try_send(slow.process.pid(), "2"), Err(SendError::MailboxFull));
    assert_eq!(slow.process.join().await, ExitReason::custom("mailbox overflow"));
}

#[tokio::test]
async fn messages_that_may_be_dropped_keep_their_order_while_they_are_received() {
    let rt = Runtime::new();
    let policy = OverflowPolicy::DropOldest;
    let limits = MailboxLimits { messages_max: 4, policy, ..MailboxLimits::default() };
    let options = SpawnOptions { mailbox: Some(limits), ..SpawnOptions::default() };
    let process = rt.spawn_with(options, |mut ctx| async move {
        let send = |ctx: &Context, range: std::ops::Range<u8>| {
            range.for_each(|number| ctx.try_send(ctx.pid(), vec![number]).expect("nobody is told"));
        };
        send(&ctx, 0..4);
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&[0][..]));
        send(&ctx, 4..7);
        for number in 3..7 {
            assert_eq!(ctx.recv().await.message().as_deref(), Some(&[number][..]));
        }
        // What a selective receive has passed over is not dropped.
        send(&ctx, 10..12);
        let wanted = |received: &Received| *received == Received::Message(vec![11].into());
        ctx.recv_match(wanted).await;
        send(&ctx, 20..30);
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&[10][..]));
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&[27][..]));
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn behind_a_full_mailbox_a_receive_after_a_mark_looks_only_at_what_came_after_it() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        for _ in 0..10_000 {
            ctx.try_send(ctx.pid(), "waits").unwrap();
        }
        let mut looks = 0;
        for round in 0..1_000_u32 {
            let mark = ctx.mark();
            ctx.try_send(ctx.pid(), round.to_le_bytes().to_vec()).unwrap();
            let answer = ctx.recv_match_after(mark, |received| {
                looks += 1;
                matches!(received, Received::Message(body) if **body == round.to_le_bytes())
            });
            answer.await;
        }
        assert_eq!(looks, 1_000, "one look for each answer, and none at what waits");
        for _ in 0..10_000 {
            assert_eq!(ctx.recv().await, Received::Message("waits".into()));
        }
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_mark_keeps_its_place_whatever_is_received_before_it() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let put = |ctx: &crate::Context, text: &'static str| ctx.try_send(ctx.pid(), text).unwrap();
        let is = |text: &'static str| move |received: &Received| *received == Received::Message(text.into());
        for text in ["a", "b", "x"] {
            put(&ctx, text);
        }
        let mark = ctx.mark();
        put(&ctx, "x");
        ctx.recv().await;
        ctx.recv_match(is("b")).await;
        ctx.recv_match_after(mark, is("x")).await;
        assert_eq!(ctx.recv_match_after_timeout(mark, Duration::ZERO, |_| true).await, None);
        assert_eq!(ctx.recv().await, Received::Message("x".into()), "the one of before");
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_selective_receive_without_time_takes_what_is_there_though_its_turn_is_over() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        for number in 0..1_000_u32 {
            ctx.try_send(ctx.pid(), number.to_le_bytes().to_vec()).expect("there is room");
        }
        // Far more than one turn's worth, and none of them waits.
        for number in 0..1_000_u32 {
            let found = ctx.recv_match_timeout(Duration::ZERO, |_| true).await;
            assert_eq!(found, Some(Received::Message(number.to_le_bytes().to_vec().into())));
        }
        assert_eq!(ctx.recv_match_timeout(Duration::ZERO, |_| true).await, None);
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}
