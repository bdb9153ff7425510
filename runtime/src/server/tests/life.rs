//! How a server starts and ends.

use regatta_proto::reason::ExitReason;
use tokio::sync::mpsc;

use super::world::{Clerk, Desk, clerk, echo};
use crate::actor::{Received, Runtime, SendError};
use crate::server::{ServerOptions, ServerRef, StartError};

fn desk(fails: Option<ExitReason>, panics: bool) -> Desk {
    Desk { notes: mpsc::unbounded_channel().0, traps: false, fails, panics }
}

#[tokio::test]
async fn whoever_starts_a_server_is_told_that_it_failed_and_its_link_does_not_fire() {
    let rt = Runtime::new();
    let parent = rt.spawn(|mut ctx| async move {
        ctx.trap_exit(true);
        let failed = ctx.start_link::<Clerk>(desk(Some(ExitReason::custom("no desk")), false)).await;
        assert_eq!(failed, Err(StartError::Init(ExitReason::custom("no desk"))));
        let panicked = ctx.start_link::<Clerk>(desk(None, true)).await;
        assert_eq!(panicked, Err(StartError::Init(ExitReason::Panic("no pencils".into()))));
        assert_eq!(ctx.recv_timeout(std::time::Duration::ZERO).await, None);
    });
    assert_eq!(parent.join().await, ExitReason::Normal);
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test]
async fn a_linked_server_ends_with_its_parent_and_the_parent_with_it() {
    let rt = Runtime::new();
    let (tell, told) = tokio::sync::oneshot::channel();
    let parent = rt.spawn(|ctx| async move {
        let child = ctx.start_link::<Clerk>(desk(None, false)).await.expect("it starts");
        tell.send(child).expect("the test waits");
        std::future::pending::<()>().await;
    });
    let child = told.await.expect("it starts");
    let child = rt.process(child.to_pid().expect("by pid")).expect("it lives");
    rt.exit(parent.pid(), ExitReason::custom("gone"));
    assert_eq!(child.join().await, ExitReason::custom("gone"));
    assert_eq!(parent.join().await, ExitReason::custom("gone"));
}

#[tokio::test]
async fn a_name_is_taken_before_init_and_refused_to_a_second_server() {
    let rt = Runtime::new();
    let named = || ServerOptions::named("clerk");
    let first = rt.start_with::<Clerk>(named(), desk(None, false)).await.expect("it starts");
    let by = first.to_pid().expect("by pid");
    assert_eq!(rt.whereis("clerk"), Some(by));
    let second = rt.start_with::<Clerk>(named(), desk(None, true)).await;
    assert_eq!(second, Err(StartError::Taken { by }), "its init, which would panic, does not run");
    let bad = rt.start_with::<Clerk>(ServerOptions::named(""), desk(None, false)).await;
    assert_eq!(bad, Err(StartError::BadName));
    let by_name = ServerRef::<Clerk>::named("clerk").expect("a name");
    assert_eq!(rt.call(&by_name, echo("found")).await.as_deref(), Ok("found"));
    assert_eq!(rt.process_count(), 1);
}

#[tokio::test]
async fn a_server_that_is_stopped_handles_what_came_before_and_terminates() {
    let rt = Runtime::new();
    let (server, mut notes) = clerk(&rt, false).await;
    rt.cast(&server, "before".to_owned()).await.expect("it lives");
    assert_eq!(rt.stop(&server, ExitReason::Shutdown).await, Ok(ExitReason::Shutdown));
    assert_eq!(notes.recv().await.as_deref(), Some("before"));
    assert_eq!(notes.recv().await.as_deref(), Some("terminate: shutdown"));
    assert_eq!(notes.recv().await, None);
    assert_eq!(rt.stop(&server, ExitReason::Shutdown).await, Err(SendError::NoProc));
}

#[tokio::test]
async fn a_server_that_traps_terminates_when_its_node_asks_it_to_end_and_hears_of_other_exits() {
    let rt = Runtime::new();
    let (server, mut notes) = clerk(&rt, true).await;
    let pid = server.to_pid().expect("by pid");
    let other = rt.spawn(move |ctx| async move {
        assert!(ctx.exit(pid, ExitReason::custom("please")));
    });
    let exit = Received::Exit { from: other.pid(), reason: ExitReason::custom("please") };
    assert_eq!(notes.recv().await, Some(format!("{exit:?}")), "of somebody else: it is told and goes on");
    rt.exit(pid, ExitReason::Shutdown);
    assert_eq!(notes.recv().await.as_deref(), Some("terminate: shutdown"));
    assert_eq!(notes.recv().await, None);
}

#[tokio::test]
async fn a_server_that_does_not_trap_ends_without_a_word() {
    let rt = Runtime::new();
    let (server, mut notes) = clerk(&rt, false).await;
    let process = rt.process(server.to_pid().expect("by pid")).expect("it lives");
    rt.exit(process.pid(), ExitReason::Shutdown);
    assert_eq!(process.join().await, ExitReason::Shutdown);
    assert_eq!(notes.recv().await, None);
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    let info = rt.info(server.to_pid().expect("by pid")).expect("it lives");
    assert!(info.label.is_some_and(|label| label.ends_with("Clerk")));
}

#[test]
fn a_reference_reads_back_from_its_bytes_and_from_its_text() {
    let places = [
        ServerRef::<Clerk>::pid(regatta_proto::id::Pid::new(regatta_proto::id::Incarnation::from_raw(9), 4)),
        ServerRef::named("clerk").expect("a name"),
        ServerRef::on("london", "clerk").expect("names"),
        ServerRef::global("svc/clerk").expect("a name"),
    ];
    for place in places {
        let bytes = postcard::to_allocvec(&place).expect("it can be encoded");
        assert_eq!(postcard::from_bytes::<ServerRef<Clerk>>(&bytes), Ok(place));
    }
    let nameless = postcard::to_allocvec(&(1_u8, "")).expect("it can be encoded");
    assert!(postcard::from_bytes::<ServerRef<Clerk>>(&nameless).is_err(), "an empty name is none");
}
