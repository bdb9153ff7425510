//! Live attach: what runs on a peer.

use regatta::cluster::AttachError;

use super::world::{Probe, pair, park, run};

#[test]
fn the_pids_of_a_peer_are_those_that_run_there_in_the_order_of_their_start() {
    run(async {
        let (a, b) = pair().await;
        assert_eq!(a.remote_pids("b").await, Ok(vec![]));
        let mut probe = Probe::start(&b);
        let ended = b.runtime().spawn(|_| async {});
        ended.join().await;
        let parked = b.runtime().spawn(|_| park());
        assert_eq!(a.remote_pids("b").await, Ok(vec![probe.pid(), parked.pid()]));
        let listed = a.remote_pids("b").await.expect("it answers")[0];
        a.runtime().send(listed, "found you").await.expect("accepted");
        assert_eq!(probe.message().await, "found you", "a pid from the list is like any other");
    });
}

#[test]
fn labels_names_and_mailboxes_of_a_peer_are_seen() {
    run(async {
        let (a, b) = pair().await;
        let parked = b.runtime().spawn(|_| park());
        b.runtime().set_label(parked.pid(), "the sink");
        b.runtime().register("sink", parked.pid()).expect("the name is free");
        b.runtime().send(parked.pid(), "unread").await.expect("it lives");
        let seen = a.remote_processes("b").await.expect("it answers");
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].label.as_str(), &seen[0].names[..]), ("the sink", &["sink".to_owned()][..]));
        assert_eq!((seen[0].pid, seen[0].mailbox), (parked.pid(), 1));
    });
}

#[test]
fn more_processes_than_fit_into_one_answer_are_all_listed() {
    run(async {
        let (a, b) = pair().await;
        let all: Vec<_> = (0..2_500).map(|_| b.runtime().spawn(|_| park()).pid()).collect();
        assert!(a.remote_pids("b").await == Ok(all), "each of them, once, in order");
    });
}

#[test]
fn a_node_that_is_not_linked_cannot_be_looked_at() {
    run(async {
        let (a, b) = pair().await;
        let nowhere = AttachError::NoConnection { node: "nowhere".to_owned() };
        assert_eq!(a.remote_pids("nowhere").await, Err(nowhere));
        b.shutdown();
        a.settled(|a| a.peers().is_empty()).await;
        assert_eq!(a.remote_pids("b").await, Err(AttachError::NoConnection { node: "b".to_owned() }));
    });
}

#[test]
fn a_peer_can_be_looked_at_as_often_as_one_likes() {
    run(async {
        let (a, b) = pair().await;
        let parked = b.runtime().spawn(|_| park());
        // More often than a link has streams for questions.
        for _ in 0..200 {
            assert_eq!(a.remote_pids("b").await, Ok(vec![parked.pid()]));
        }
    });
}
