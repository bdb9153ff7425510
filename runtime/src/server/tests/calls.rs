//! Calls and casts.

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use super::world::{Ask, Clerk, MS, clerk, echo};
use crate::actor::tests::world::{Probe, dead, parked};
use crate::actor::{Context, MailboxLimits, Received, Runtime, SendError};
use crate::server::{CallError, LocalOnly, Next, ReplyTo, Server, ServerOptions, ServerRef};

#[tokio::test]
async fn a_call_is_answered_and_a_cast_is_not() {
    let rt = Runtime::new();
    let (server, mut notes) = clerk(&rt, false).await;
    assert_eq!(rt.call(&server, echo("hello")).await.as_deref(), Ok("hello"));
    rt.cast(&server, "a note".to_owned()).await.expect("it lives");
    assert_eq!(notes.recv().await.as_deref(), Some("a note"));
    let caller = rt.spawn(|ctx| async move {
        assert_eq!(ctx.call(&server, echo("from inside")).await.as_deref(), Ok("from inside"));
    });
    assert_eq!(caller.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn casts_calls_and_messages_of_one_sender_are_handled_in_the_order_of_their_sending() {
    let rt = Runtime::new();
    let (server, mut notes) = clerk(&rt, false).await;
    rt.cast(&server, "1".to_owned()).await.expect("it lives");
    rt.send(server.to_pid().expect("by pid"), "2").await.expect("it lives");
    rt.cast(&server, "3".to_owned()).await.expect("it lives");
    rt.call(&server, echo("")).await.expect("it lives");
    assert_eq!(notes.try_recv().as_deref(), Ok("1"));
    assert_eq!(notes.try_recv(), Ok(format!("{:?}", Received::Message("2".into()))));
    assert_eq!(notes.try_recv().as_deref(), Ok("3"));
}

#[tokio::test]
async fn an_answer_may_be_given_later_and_out_of_another_call() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    let waits = rt.call(&server, Ask::Keep);
    let answers = async {
        tokio::task::yield_now().await;
        rt.call(&server, Ask::Answer("at last".into())).await
    };
    let (waited, answered) = tokio::join!(waits, answers);
    assert_eq!(waited.as_deref(), Ok("at last"));
    assert_eq!(answered.as_deref(), Ok("1"));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_its_late_answer_meets_nobody() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    let caller = rt.spawn(|mut ctx| async move {
        let timeout = ctx.call_within(&server, Ask::Keep, 5 * MS).await;
        assert_eq!(timeout, Err(CallError::Timeout));
        assert!(timeout.is_err_and(|error| error.may_have_happened()));
        let answered = ctx.call(&server, Ask::Answer("too late".into())).await;
        assert_eq!(answered.as_deref(), Ok("0"), "the server sees that nobody waits");
        assert_eq!(ctx.recv_timeout(50 * MS).await, None, "nothing comes into the mailbox");
        assert_eq!(ctx.runtime().timer_count(), 0, "no deadline is left behind");
    });
    assert_eq!(caller.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_call_whose_server_ends_meanwhile_ends_with_its_reason() {
    let rt = Runtime::new();
    let cases: [(Ask, ExitReason); 2] = [
        (Ask::Panic, ExitReason::Panic("out of ink".into())),
        (Ask::Stop, ExitReason::custom("done for today")),
    ];
    for (ask, reason) in cases {
        let (server, _notes) = clerk(&rt, false).await;
        // One that the server keeps, one that it handles as it ends, one that it never comes to.
        let kept = rt.call(&server, Ask::Keep);
        let last = rt.call(&server, ask);
        let unread = rt.call(&server, echo("unread"));
        let (kept, last, unread) = tokio::join!(kept, last, unread);
        for ended in [kept, last, unread] {
            assert_eq!(ended, Err(CallError::Down(reason.clone())));
        }
    }
    let (server, _notes) = clerk(&rt, false).await;
    let killed = async {
        tokio::task::yield_now().await;
        rt.kill(server.to_pid().expect("by pid"))
    };
    let (kept, _) = tokio::join!(rt.call(&server, Ask::Keep), killed);
    assert_eq!(kept, Err(CallError::Down(ExitReason::Killed)));
}

#[tokio::test]
async fn a_call_that_the_server_lets_go_ends_at_once() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    assert_eq!(rt.call(&server, Ask::Drop).await, Err(CallError::NoReply));
    assert_eq!(rt.call(&server, echo("it lives on")).await.as_deref(), Ok("it lives on"));
}

#[tokio::test]
async fn what_cannot_be_a_server_is_told_from_what_is_gone() {
    let rt = Runtime::new();
    let gone = ServerRef::<Clerk>::pid(dead(&rt).await);
    let no_proc = CallError::NotSent(SendError::NoProc);
    assert_eq!(rt.call(&gone, echo("")).await, Err(no_proc.clone()));
    assert_eq!(rt.cast(&gone, String::new()).await, Err(no_proc.clone()));
    let nobody = ServerRef::<Clerk>::named("nobody").expect("a name");
    assert_eq!(rt.call(&nobody, echo("")).await, Err(no_proc));
    assert_eq!(rt.stats().refused_no_proc, 3);
    let process = parked(&rt);
    let plain = ServerRef::<Clerk>::pid(process.pid());
    assert_eq!(rt.call(&plain, echo("")).await, Err(CallError::NoServer));
    assert_eq!(rt.cast(&plain, String::new()).await, Err(CallError::NoServer));
    let far = ServerRef::<Clerk>::pid(Pid::new(regatta_proto::id::Incarnation::from_raw(7), 7));
    let away = CallError::NotSent(SendError::NoConnection);
    assert_eq!(rt.call(&far, echo("")).await, Err(away.clone()));
    let on = ServerRef::<Clerk>::on("london", "clerk").expect("names");
    assert_eq!(rt.call(&on, echo("")).await, Err(away.clone()));
    let global = ServerRef::<Clerk>::global("clerk").expect("a name");
    assert_eq!(rt.call(&global, echo("")).await, Err(away));
}

/// A server of another type than it is taken for.
struct Other;

impl Server for Other {
    type Args = ();
    type Call = u8;
    type Reply = u8;
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn call(&mut self, request: u8, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        caller.reply(request);
        Next::Continue
    }
}

#[tokio::test]
async fn a_call_to_a_server_of_another_type_is_refused_and_changes_nothing() {
    let rt = Runtime::new();
    let other = rt.start::<Other>(()).await.expect("it starts");
    let mistaken = ServerRef::<Clerk>::pid(other.to_pid().expect("by pid"));
    assert_eq!(rt.call(&mistaken, echo("")).await, Err(CallError::NoServer));
    rt.cast(&mistaken, "for nobody".into()).await.expect("a cast is not looked into");
    assert_eq!(rt.call(&other, 7).await, Ok(7));
}

#[tokio::test]
async fn a_server_cannot_call_itself() {
    let rt = Runtime::new();
    let process = rt.spawn(|ctx| async move {
        let me = ServerRef::<Other>::pid(ctx.pid());
        assert_eq!(ctx.call(&me, 1).await, Err(CallError::CallsItself));
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_call_to_a_full_mailbox_is_refused() {
    let rt = Runtime::new();
    let mailbox = Some(MailboxLimits { messages_max: 1, ..MailboxLimits::default() });
    let options = ServerOptions { mailbox, ..ServerOptions::default() };
    let other = rt.start_with::<Other>(options, ()).await.expect("it starts");
    let (first, second) = tokio::join!(rt.call(&other, 1), rt.call(&other, 2));
    assert_eq!(first, Ok(1));
    assert_eq!(second, Err(CallError::NotSent(SendError::MailboxFull)));
    assert_eq!(rt.call(&other, 3).await, Ok(3), "there is room again");
}

#[tokio::test]
async fn what_cannot_leave_the_node_goes_to_a_server_on_it() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    assert_eq!(rt.call(&server, Ask::Local(LocalOnly(7))).await.as_deref(), Ok("7"));
}

#[tokio::test(start_paused = true)]
async fn a_receive_inside_of_a_call_leaves_calls_where_they_are() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    let pid = server.to_pid().expect("by pid");
    let (nothing, echoed) = tokio::join!(rt.call(&server, Ask::Receive), rt.call(&server, echo("kept")));
    assert_eq!(nothing.as_deref(), Ok("None"));
    assert_eq!(echoed.as_deref(), Ok("kept"));
    let send = async { rt.try_send(pid, "a message").expect("it lives") };
    let (received, echoed, ()) =
        tokio::join!(rt.call(&server, Ask::Receive), rt.call(&server, echo("kept")), send);
    assert_eq!(received, Ok(format!("{:?}", Some(Received::Message("a message".into())))));
    assert_eq!(echoed.as_deref(), Ok("kept"));
}

#[tokio::test]
async fn a_caller_keeps_its_mailbox_in_order() {
    let rt = Runtime::new();
    let (server, _notes) = clerk(&rt, false).await;
    let mut probe = Probe::start(&rt);
    let to = probe.pid();
    let caller = rt.spawn(move |mut ctx| async move {
        ctx.try_send(ctx.pid(), "first").expect("room");
        ctx.call(&server, echo("")).await.expect("it lives");
        ctx.try_send(ctx.pid(), "second").expect("room");
        for _ in 0..2 {
            let message = ctx.recv().await.message().expect("a message");
            ctx.try_send(to, message).expect("room");
        }
    });
    caller.join().await;
    assert_eq!(probe.all().await, ["first", "second"].map(|text| Received::Message(text.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_of_each_of_eight_callers_are_answered_each_with_its_own_answer() {
    let rt = Runtime::new();
    let other = rt.start::<Other>(()).await.expect("it starts");
    let callers: Vec<_> = (0..8_u8)
        .map(|caller| {
            let other = other.clone();
            rt.spawn(move |ctx| async move {
                for number in 0..10_000_u32 {
                    let mine = (number as u8).wrapping_mul(8).wrapping_add(caller);
                    assert_eq!(ctx.call(&other, mine).await, Ok(mine));
                }
                assert!(ctx.runtime().timer_count() <= 8, "each caller has one timer");
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().await, ExitReason::Normal);
    }
    assert_eq!(rt.timer_count(), 0);
}
