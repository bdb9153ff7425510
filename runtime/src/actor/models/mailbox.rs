//! A mailbox, its bounds, and whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regatta_proto::reason::ExitReason;

use super::{all, aside, check, end, end_of};
use crate::actor::{Context, MailboxLimits, OverflowPolicy, Received, SendError, SpawnOptions};

#[test]
fn what_two_senders_send_is_received_whole_and_in_the_order_of_each() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move {
            let mut next = [0; 2];
            for _ in 0..6 {
                let message = ctx.recv().await.message().expect("nothing else is sent");
                let sender = usize::from(message[0]);
                assert_eq!(message[1], next[sender]);
                next[sender] += 1;
            }
        });
        let to = process.pid();
        let senders = [0_u8, 1].map(|sender| {
            aside(rt, move |rt| {
                (0..3_u8).for_each(|n| rt.try_send(to, vec![sender, n]).expect("it waits for all"))
            })
        });
        assert_eq!(end_of(&process), ExitReason::Normal);
        all(senders);
    });
}

/// Two senders offer three messages each to a mailbox for two: how many were taken, how many were received.
fn offer(policy: OverflowPolicy) {
    check(move |rt| {
        let received = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&received);
        let mailbox = Some(MailboxLimits { messages_max: 2, policy, ..MailboxLimits::default() });
        let body = |mut ctx: Context| {
            ctx.trap_exit(true);
            async move {
                while let Received::Message(_) = ctx.recv().await {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let process = rt.spawn_with(SpawnOptions { mailbox, ..SpawnOptions::default() }, body);
        let to = process.pid();
        let senders = [(); 2].map(|()| {
            aside(rt, move |rt| {
                let taken = (0..3).filter(|_| match rt.try_send(to, "x") {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(error, SendError::MailboxFull);
                        false
                    }
                });
                taken.count()
            })
        });
        let depth = rt.info(to).expect("it lives").mailbox_depth;
        assert!(depth <= 2, "{depth} wait");
        let taken: usize = all(senders).iter().sum();
        // An exit has room of its own.
        rt.exit(to, ExitReason::Shutdown);
        assert_eq!(end_of(&process), ExitReason::Normal);
        let dropped = usize::try_from(rt.stats().dropped_overflow).expect("a few");
        assert_eq!(received.load(Ordering::Relaxed) + dropped, taken, "taken is received or counted");
        assert_eq!(rt.stats().refused_full, 6 - taken as u64);
    });
}

#[test]
fn a_full_mailbox_refuses_and_loses_nothing_that_it_took() {
    offer(OverflowPolicy::Reject);
}

#[test]
fn a_full_mailbox_that_drops_old_messages_counts_each() {
    offer(OverflowPolicy::DropOldest);
}

#[test]
fn a_process_that_is_resumed_receives_what_came_meanwhile() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move {
            for _ in 0..2 {
                ctx.recv().await;
            }
        });
        let pid = process.pid();
        let operator = aside(rt, move |rt| {
            rt.suspend(pid);
            rt.resume(pid);
        });
        let sender =
            aside(rt, move |rt| (0..2).for_each(|_| rt.try_send(pid, "x").expect("it waits for two")));
        assert_eq!(end_of(&process), ExitReason::Normal);
        operator.join().expect("it resumes");
        sender.join().expect("it sends");
    });
}

#[test]
fn a_receive_inside_of_a_sub_executor_is_woken() {
    check(|rt| {
        let process = rt.spawn(|mut ctx| async move {
            // It polls its futures with wakers of its own.
            let mut all = futures_util::stream::FuturesUnordered::new();
            all.push(Box::pin(ctx.recv()));
            let received = futures_util::StreamExt::next(&mut all).await;
            assert_eq!(received.and_then(Received::message).as_deref(), Some(&b"x"[..]));
        });
        let pid = process.pid();
        let sender = aside(rt, move |rt| rt.try_send(pid, "x").expect("it waits"));
        assert_eq!(end_of(&process), ExitReason::Normal);
        sender.join().expect("it sends");
    });
}

#[test]
fn a_kill_meets_a_process_wherever_it_is() {
    check(|rt| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = Dropped(Arc::clone(&dropped));
        let process = rt.spawn(|mut ctx| async move {
            let _guard = guard;
            loop {
                ctx.recv().await;
            }
        });
        let pid = process.pid();
        let sender = aside(rt, move |rt| {
            for _ in 0..2 {
                match rt.try_send(pid, "x") {
                    Ok(()) | Err(SendError::NoProc) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        end(&process);
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "the body is dropped before its end is told");
        sender.join().expect("it sends");
        assert_eq!(end_of(&process), ExitReason::Killed);
    });
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
