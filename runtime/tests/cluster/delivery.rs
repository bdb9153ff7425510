//! Messages without order, in datagrams, and with word of their arrival, by name and by pid.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use regatta::actor::{AckError, MailboxLimits, OverflowPolicy, SpawnOptions};
use regatta::cluster::{NodeAckError, NodeSendError};
use regatta::{Bytes, Context, Limits, Pid, Runtime, SendError};

use super::world::{Apart, Probe, bind, link, pair, park, run, shared};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `act` as a process of `runtime`, and gives what came of it.
async fn within<T: Send + 'static, F>(runtime: &Runtime, act: impl FnOnce(Context) -> F + Send + 'static) -> T
where
    F: Future<Output = T> + Send + 'static,
{
    let (done, result) = tokio::sync::oneshot::channel();
    runtime.spawn(|ctx| async move { drop(done.send(act(ctx).await)) });
    result.await.expect("the process does not end before")
}

/// A process that never reads, with room for one message.
fn full(runtime: &Runtime) -> Pid {
    let mailbox =
        MailboxLimits { messages_max: 1, policy: OverflowPolicy::Reject, ..MailboxLimits::default() };
    let options = SpawnOptions { mailbox: Some(mailbox), ..SpawnOptions::default() };
    let process = runtime.spawn_with(options, |_| park());
    runtime.try_send(process.pid(), "the only one").expect("there is room");
    process.pid()
}

#[test]
fn every_way_reaches_a_process_here_and_on_another_node() {
    run(async {
        let (a, b) = pair().await;
        for to in [&a, &b] {
            let mut probe = Probe::start(to);
            let pid = probe.pid();
            to.runtime().register("svc", pid).expect("the name is free");
            a.send_unordered(to.name(), "svc", b"1").await.expect("accepted");
            assert_eq!(probe.message().await, "1");
            a.send_datagram(to.name(), "svc", b"2").expect("accepted");
            assert_eq!(probe.message().await, "2");
            a.send_acked(to.name(), "svc", b"3", PATIENCE).await.expect("delivered");
            assert_eq!(probe.message().await, "3");
            within(a.runtime(), move |ctx| async move {
                ctx.send_unordered(pid, "4").await.expect("accepted");
            })
            .await;
            assert_eq!(probe.message().await, "4");
            within(a.runtime(), move |ctx| async move { ctx.send_datagram(pid, "5").expect("accepted") })
                .await;
            assert_eq!(probe.message().await, "5");
            within(a.runtime(), move |ctx| async move {
                ctx.send_acked(pid, "6", PATIENCE).await.expect("delivered");
            })
            .await;
            assert_eq!(probe.message().await, "6");
        }
    });
}

#[test]
fn an_acknowledgement_says_why_a_message_was_not_delivered() {
    run(async {
        let (a, b) = pair().await;
        for to in [&a, &b] {
            let full = full(to.runtime());
            to.runtime().register("full", full).expect("the name is free");
            let whom = || (to.name().to_owned(), "full".to_owned());
            let (node, name) = whom();
            let sent = a.send_acked(to.name(), "full", b"x", PATIENCE).await;
            assert_eq!(sent, Err(NodeAckError::MailboxFull { node, name }));
            let node = to.name().to_owned();
            let sent = a.send_acked(to.name(), "nobody", b"x", PATIENCE).await;
            assert_eq!(sent, Err(NodeAckError::NoProc { node, name: "nobody".to_owned() }));
            let gone = to.runtime().spawn(|_| async {});
            let (gone, ended) = (gone.pid(), gone.join().await);
            assert_eq!(ended, regatta::ExitReason::Normal);
            let sent = within(a.runtime(), move |ctx| async move {
                (ctx.send_acked(full, "x", PATIENCE).await, ctx.send_acked(gone, "x", PATIENCE).await)
            });
            assert_eq!(sent.await, (Err(AckError::MailboxFull), Err(AckError::NoProc)));
        }
        let node = "nowhere".to_owned();
        let sent = a.send_acked("nowhere", "svc", b"x", PATIENCE).await;
        assert_eq!(sent, Err(NodeAckError::NotSent(NodeSendError::NoConnection { node })));
    });
}

#[test]
fn a_message_that_nobody_acknowledges_may_have_been_delivered_and_the_error_says_so() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), Apart::bind("b", &identity));
        link(&a, &b.node).await;
        let probe = Probe::start(&b.node);
        b.node.runtime().register("svc", probe.pid()).expect("the name is free");
        let _dead = b.kill().await;
        let sent = a.send_acked("b", "svc", b"x", Duration::from_millis(50)).await.expect_err("no answer");
        assert!(matches!(sent, NodeAckError::Unknown { .. }) && sent.may_have_happened(), "{sent}");
    });
}

#[test]
fn a_datagram_that_is_too_large_is_an_error_that_says_what_fits() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&b);
        b.runtime().register("svc", probe.pid()).expect("the name is free");
        let Err(NodeSendError::TooLarge { max, .. }) = a.send_datagram("b", "svc", &[0; 2_000]) else {
            panic!("2,000 bytes are too much for a datagram");
        };
        a.send_datagram("b", "svc", &vec![1; max]).expect("what fits");
        assert_eq!(probe.message().await.len(), max);
        let large =
            within(a.runtime(), move |ctx| async move { ctx.send_datagram(probe.pid(), vec![0; 2_000]) });
        assert!(matches!(large.await, Err(SendError::TooLarge { len: 2_000, .. })));
    });
}

/// A message that shows whether it is whole.
fn sealed(number: u32, len: usize) -> Bytes {
    let mut body = vec![number as u8; len.max(8)];
    body[..4].copy_from_slice(&number.to_be_bytes());
    let len = u32::try_from(body.len()).expect("it is small");
    body[4..8].copy_from_slice(&len.to_be_bytes());
    body.into()
}

fn is_whole(body: &[u8]) -> bool {
    let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
    body.len() >= 8
        && number(4) as usize == body.len()
        && body[8..].iter().all(|byte| *byte == number(0) as u8)
}

#[test]
fn senders_that_are_killed_ten_thousand_times_in_the_middle_of_a_send_cut_no_message() {
    run(async {
        let identity = shared();
        // A queue that a few messages fill: most senders wait in their send when they are killed.
        let limits = Limits { queue_bytes_high: 32 * 1024, queue_bytes_low: 8 * 1024, ..Limits::default() };
        let a = regatta::ClusterNode::builder("a", Runtime::new(), &identity).limits(limits);
        let a = a.bind(super::world::anywhere()).expect("the node starts");
        let b = bind("b", &identity);
        link(&a, &b).await;
        let (seen, result) = tokio::sync::oneshot::channel();
        let sink = b.runtime().spawn(|mut ctx| async move {
            let (mut whole, mut cut) = (0, 0);
            while let Some(body) = ctx.recv().await.message().filter(|body| !body.is_empty()) {
                *if is_whole(&body) { &mut whole } else { &mut cut } += 1;
            }
            let _ = seen.send((whole, cut));
        });
        let to = sink.pid();
        for round in 0..10_000_u32 {
            let accepted = Arc::new(AtomicU32::new(0));
            let counted = accepted.clone();
            let sender = a.runtime().spawn(move |ctx| async move {
                // All of them together fit into the receiver's mailbox, should it get no turn.
                for number in 0..5 {
                    // Some of them have a stream of their own.
                    let len =
                        if (round + number).is_multiple_of(97) { 70_000 } else { 300 + number as usize };
                    let body = sealed(round, len);
                    let sent = match (round + number) % 3 {
                        0 => ctx.send(to, body).await.map_err(AckError::NotSent),
                        1 => ctx.send_unordered(to, body).await.map_err(AckError::NotSent),
                        _ => ctx.send_acked(to, body, PATIENCE).await,
                    };
                    sent.expect("the link holds, and the receiver has room");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                std::future::pending::<()>().await;
            });
            // In its first send, or in one of the next three.
            while accepted.load(Ordering::Relaxed) < round % 4 {
                tokio::task::yield_now().await;
            }
            assert!(a.runtime().exit(sender.pid(), regatta::ExitReason::Killed));
            assert_eq!(sender.join().await, regatta::ExitReason::Killed);
        }
        a.runtime().send(to, Bytes::new()).await.expect("accepted");
        let (whole, cut) = result.await.expect("the sink counts");
        assert_eq!(cut, 0, "of {whole}");
        // Of 15,000 at least a third is in order, and before the end.
        assert!(whole >= 5_000, "{whole} messages arrived");
    });
}
