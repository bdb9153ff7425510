//! Aliases.

use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use super::world::{Probe, dead, parked};
use crate::actor::{Received, Runtime, SendError};

#[tokio::test]
async fn what_is_sent_to_an_alias_arrives_until_it_is_taken_back() {
    let rt = Runtime::new();
    let asks = rt.spawn(|mut ctx| async move {
        let (one, other) = (ctx.alias(), ctx.alias());
        assert_ne!(one, other);
        ctx.try_send(one, "1").unwrap();
        ctx.try_send(ctx.pid(), "2").unwrap();
        ctx.try_send(other, "3").unwrap();
        assert!(ctx.unalias(one));
        assert!(!ctx.unalias(one), "it is gone");
        assert_eq!(ctx.try_send(one, "late"), Err(SendError::NoProc));
        ctx.try_send(other, "4").unwrap();
        for expected in ["1", "2", "3", "4"] {
            assert_eq!(ctx.recv().await, Received::Message(expected.into()), "in the order of their sending");
        }
    });
    assert_eq!(asks.join().await, ExitReason::Normal);
    assert_eq!(rt.stats().aliases, 0, "the other one went with its process");
}

#[tokio::test]
async fn an_alias_for_one_answer_takes_the_first() {
    let rt = Runtime::new();
    let asks = rt.spawn(|mut ctx| async move {
        let answer = ctx.alias_once();
        ctx.try_send(answer, "first").unwrap();
        assert_eq!(ctx.try_send(answer, "second"), Err(SendError::NoProc));
        assert_eq!(ctx.recv().await, Received::Message("first".into()));
        assert!(!ctx.unalias(answer));
    });
    assert_eq!(asks.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_message_of_another_node_reaches_an_alias_too() {
    let rt = Runtime::new();
    let far = Runtime::new().node_pid();
    let (say, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let asks = rt.spawn(move |mut ctx| async move {
        say.send(ctx.alias()).unwrap();
        assert_eq!(ctx.recv().await, Received::Message("from afar".into()));
    });
    let alias = heard.recv().await.expect("it tells");
    rt.deliver(far, alias.serial(), Signal::Message("from afar".into())).unwrap();
    assert_eq!(asks.join().await, ExitReason::Normal);
    assert_eq!(rt.deliver(far, alias.serial(), Signal::Message("late".into())), Err(SendError::NoProc));
}

#[tokio::test]
async fn an_alias_is_for_messages_alone_and_for_its_owner_to_take_back() {
    let rt = Runtime::new();
    let (say, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let owner = rt.spawn(move |mut ctx| async move {
        say.send(ctx.alias()).unwrap();
        ctx.recv().await;
    });
    let alias = heard.recv().await.expect("it tells");
    assert!(!rt.is_alive(alias) && !rt.kill(alias) && rt.info(alias).is_none());
    assert!(rt.register("n", alias).is_err());
    let mut probe = Probe::start(&rt);
    let reference = rt.monitor(probe.pid(), alias).expect("the probe lives");
    let down = Received::Down { reference, pid: alias, reason: ExitReason::NoProc };
    assert_eq!(probe.all().await, [down]);
    let thief = rt.spawn(move |ctx| async move { assert!(!ctx.unalias(alias)) });
    assert_eq!(thief.join().await, ExitReason::Normal);
    rt.try_send(alias, "it works").unwrap();
    assert_eq!(owner.join().await, ExitReason::Normal);
    assert_ne!(dead(&rt).await, alias);
    parked(&rt).kill();
}
