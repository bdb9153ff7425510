//! Local names.

use super::world::{Probe, dead, parked};
use crate::actor::{Received, RegisterError, Runtime, SendError};

#[tokio::test]
async fn a_message_to_a_name_reaches_its_holder() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    rt.register("svc", probe.pid()).unwrap();
    rt.register("alias", probe.pid()).unwrap();
    rt.send_named("svc", "one").unwrap();
    rt.send_named("alias", "two").unwrap();
    assert_eq!(probe.all().await, ["one", "two"].map(|text| Received::Message(text.into())));
    let names: Vec<String> = rt.info(probe.pid()).unwrap().names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["alias", "svc"], "in order");
    assert_eq!(rt.send_named("nobody", "x"), Err(SendError::NoProc));
}

#[tokio::test]
async fn a_name_belongs_to_one_live_process() {
    let rt = Runtime::new();
    let (first, second) = (parked(&rt), parked(&rt));
    rt.register("svc", first.pid()).unwrap();
    assert_eq!(rt.register("svc", second.pid()), Err(RegisterError::Taken { by: first.pid() }));
    assert!(!rt.unregister("svc", second.pid()), "only its holder's pid gives it up");
    assert!(rt.unregister("svc", first.pid()));
    assert!(!rt.unregister("svc", first.pid()));
    assert_eq!(rt.register("svc", second.pid()), Ok(()));
    assert_eq!(rt.info(first.pid()).unwrap().names, []);
}

#[tokio::test]
async fn the_dead_and_strangers_take_no_name_and_some_texts_are_none() {
    let (rt, other) = (Runtime::new(), Runtime::new());
    let (gone, stranger, process) = (dead(&rt).await, parked(&other), parked(&rt));
    assert_eq!(rt.register("svc", gone), Err(RegisterError::NoProc));
    assert_eq!(rt.register("svc", stranger.pid()), Err(RegisterError::NoProc));
    for text in ["", "a\nb", &"x".repeat(256)] {
        assert_eq!(rt.register(text, process.pid()), Err(RegisterError::BadName), "{text:?}");
    }
    assert_eq!(rt.register("x".repeat(255), process.pid()), Ok(()));
}

#[tokio::test]
async fn whoever_hears_of_a_processs_end_finds_its_names_free() {
    let rt = Runtime::new();
    let holder = parked(&rt);
    rt.register("svc", holder.pid()).unwrap();
    let watched = holder.pid();
    let heir = rt.spawn(move |mut ctx| async move {
        ctx.monitor(watched);
        ctx.recv().await.down().expect("the holder ends");
        ctx.register("svc").expect("the name is free by then");
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    holder.kill();
    holder.join().await;
    // Joined by now: the name was free before that, and the heir takes it at its next turn.
    while rt.send_named("svc", "to the heir").is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rt.info(heir.pid()).unwrap().mailbox_depth, 1);
}

#[tokio::test]
async fn the_end_of_a_process_frees_its_names_and_no_others() {
    let rt = Runtime::new();
    let (ends, stays) = (parked(&rt), parked(&rt));
    rt.register("a", ends.pid()).unwrap();
    rt.register("b", ends.pid()).unwrap();
    rt.register("c", stays.pid()).unwrap();
    ends.kill();
    ends.join().await;
    let free = ["a", "b", "c"].map(|name| rt.register(name, stays.pid()).is_ok());
    assert_eq!(free, [true, true, false]);
}
