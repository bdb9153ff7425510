//! Process groups within one runtime: OTP's `pg`.

use regatta_proto::id::{Incarnation, Name, Pid, Reference};

use super::world::{Probe, dead, parked};
use crate::actor::{GroupSent, JoinError, MailboxLimits, Received, Runtime, SpawnOptions};

fn joined(reference: Reference, pids: &[Pid]) -> Received {
    Received::GroupJoined { reference, group: name(), pids: pids.to_vec() }
}

fn left(reference: Reference, pids: &[Pid]) -> Received {
    Received::GroupLeft { reference, group: name(), pids: pids.to_vec() }
}

fn name() -> Name {
    Name::new("g").expect("a name")
}

#[tokio::test]
async fn a_process_is_a_member_as_often_as_it_has_joined() {
    let rt = Runtime::new();
    let (a, b) = (parked(&rt), parked(&rt));
    for pid in [a.pid(), b.pid(), a.pid()] {
        rt.join_group("g", pid).expect("it is alive");
    }
    assert_eq!(rt.group_members("g"), [a.pid(), a.pid(), b.pid()]);
    assert_eq!(rt.local_group_members("g"), rt.group_members("g"));
    assert!(rt.leave_group("g", a.pid()));
    assert_eq!(rt.group_members("g"), [a.pid(), b.pid()]);
    assert!(rt.leave_group("g", a.pid()));
    assert!(!rt.leave_group("g", a.pid()), "it is no member any more");
    assert!(!rt.leave_group("other", a.pid()));
    assert_eq!(rt.groups_with_members(), [name()]);
    assert!(rt.leave_group("g", b.pid()));
    assert_eq!(rt.groups_with_members(), [], "a group without members is none");
}

#[tokio::test]
async fn memberships_end_with_the_process() {
    let rt = Runtime::new();
    let (a, b) = (parked(&rt), parked(&rt));
    for pid in [a.pid(), a.pid(), b.pid()] {
        rt.join_group("g", pid).expect("it is alive");
    }
    rt.join_group("h", a.pid()).expect("it is alive");
    a.kill();
    a.join().await;
    assert_eq!(rt.group_members("g"), [b.pid()]);
    assert_eq!(rt.groups_with_members(), [name()]);
}

#[tokio::test]
async fn only_a_live_process_of_the_runtime_joins_and_only_a_name_is_joined() {
    let rt = Runtime::new();
    let gone = dead(&rt).await;
    assert_eq!(rt.join_group("g", gone), Err(JoinError::NoProc));
    assert_eq!(rt.join_group("g", Pid::new(Incarnation::from_raw(1), 1)), Err(JoinError::NoProc));
    let a = parked(&rt);
    assert_eq!(rt.join_group("", a.pid()), Err(JoinError::BadName));
    assert_eq!(rt.groups_with_members(), []);
    assert_eq!(rt.monitor_group(gone, "g"), None);
    assert_eq!(rt.monitor_group(a.pid(), ""), None);
    assert_eq!(rt.send_group("", "x").await, GroupSent::default());
}

#[tokio::test]
async fn a_watcher_starts_from_the_members_and_hears_of_each_change_once() {
    let rt = Runtime::new();
    let mut watcher = Probe::start(&rt);
    let (a, b) = (parked(&rt), parked(&rt));
    rt.join_group("g", a.pid()).expect("it is alive");
    let (watch, members) = rt.monitor_group(watcher.pid(), "g").expect("it is alive");
    assert_eq!(members, [a.pid()]);
    rt.join_group("g", a.pid()).expect("it is alive");
    rt.join_group("g", b.pid()).expect("it is alive");
    rt.join_group("h", b.pid()).expect("it is alive");
    rt.leave_group("g", b.pid());
    a.kill();
    a.join().await;
    let (joined_a, joined_b) = (joined(watch, &[a.pid()]), joined(watch, &[b.pid()]));
    let (left_b, left_a) = (left(watch, &[b.pid()]), left(watch, &[a.pid(), a.pid()]));
    assert_eq!(watcher.all().await, [joined_a, joined_b, left_b, left_a]);
    assert_eq!(rt.groups_with_members(), [Name::new("h").expect("a name")]);
    // The group has no members now, and is watched all the same.
    rt.join_group("g", b.pid()).expect("it is alive");
    assert_eq!(watcher.all().await, [joined(watch, &[b.pid()])]);
    assert!(rt.demonitor_group(watcher.pid(), watch));
    assert!(!rt.demonitor_group(watcher.pid(), watch));
    rt.leave_group("g", b.pid());
    assert_eq!(watcher.all().await, []);
}

#[tokio::test]
async fn a_watcher_that_ends_watches_no_more() {
    let rt = Runtime::new();
    let watcher = parked(&rt);
    rt.monitor_group(watcher.pid(), "g").expect("it is alive");
    watcher.kill();
    watcher.join().await;
    let a = parked(&rt);
    rt.join_group("g", a.pid()).expect("it is alive");
    rt.leave_group("g", a.pid());
    assert_eq!(rt.groups_with_members(), []);
}

#[tokio::test]
async fn a_message_to_a_group_reaches_each_process_once() {
    let rt = Runtime::new();
    let mut members = [Probe::start(&rt), Probe::start(&rt)];
    let mut other = Probe::start(&rt);
    for member in &members {
        rt.join_group("g", member.pid()).expect("it is alive");
    }
    rt.join_group("g", members[0].pid()).expect("it is alive");
    let sent = rt.send_group("g", "all").await;
    assert_eq!(sent, GroupSent { processes: 2, nodes: 0, failed: 0 });
    for member in &mut members {
        assert_eq!(member.all().await, [Received::Message("all".into())]);
    }
    assert_eq!(other.all().await, []);
    assert_eq!(rt.send_group("nobody", "x").await, GroupSent::default());
}

#[tokio::test]
async fn a_full_mailbox_is_told_apart_from_those_that_took_the_message() {
    let rt = Runtime::new();
    let limits = MailboxLimits { messages_max: 1, ..MailboxLimits::default() };
    let options = SpawnOptions { mailbox: Some(limits), ..SpawnOptions::default() };
    let small = rt.spawn_with(options, |_| std::future::pending::<()>());
    let large = parked(&rt);
    for pid in [small.pid(), large.pid()] {
        rt.join_group("g", pid).expect("it is alive");
    }
    assert_eq!(rt.send_group("g", "1").await, GroupSent { processes: 2, nodes: 0, failed: 0 });
    assert_eq!(rt.send_group("g", "2").await, GroupSent { processes: 1, nodes: 0, failed: 1 });
}

#[tokio::test]
async fn a_body_joins_watches_sends_and_leaves_for_itself() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let (watch, members) = ctx.monitor_group("g").expect("a name");
        assert_eq!(members, []);
        ctx.join_group("g").expect("it is alive");
        assert_eq!(ctx.recv().await, joined(watch, &[ctx.pid()]));
        ctx.send_group("g", "to myself too").await;
        assert_eq!(ctx.recv().await.message().expect("a message"), "to myself too");
        assert!(ctx.leave_group("g"));
        assert_eq!(ctx.recv().await, left(watch, &[ctx.pid()]));
        assert!(ctx.demonitor_group(watch));
    });
    assert_eq!(process.join().await, crate::ExitReason::Normal);
}
