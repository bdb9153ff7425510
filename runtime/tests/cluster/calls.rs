//! Typed servers across nodes: the same conversation, moved and encoded.

use std::time::Duration;

use regatta::server::{CodecError, LocalOnly, ServerOptions};
use regatta::{
    CallError, ClusterNode, Context, ExitReason, Next, Received, ReplyTo, Runtime, SendError, Server,
    ServerRef,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::world::{bind, link, pair, run, shared};

/// Keeps texts; also lets calls go, panics, and answers with what cannot travel.
#[derive(Default)]
struct Ledger {
    lines: Vec<String>,
    kept: Vec<ReplyTo<Self>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Ask {
    Write(String),
    Lines,
    /// A body of so many bytes.
    Large(usize),
    Keep,
    Drop,
    Unsendable,
    Panic,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    Written(usize),
    Lines(Vec<String>),
    Large(Vec<u8>),
    Unsendable(LocalOnly<u8>),
}

impl Server for Ledger {
    type Args = ();
    type Call = Ask;
    type Reply = Answer;
    type Cast = String;

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self::default())
    }

    async fn call(&mut self, ask: Ask, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        match ask {
            Ask::Write(line) => {
                self.lines.push(line);
                caller.reply(Answer::Written(self.lines.len()));
            }
            Ask::Lines => caller.reply(Answer::Lines(self.lines.clone())),
            Ask::Large(len) => caller.reply(Answer::Large(vec![7; len])),
            Ask::Keep => self.kept.push(caller),
            Ask::Drop => drop(caller),
            Ask::Unsendable => caller.reply(Answer::Unsendable(LocalOnly(1))),
            Ask::Panic => panic!("ink on the ledger"),
        }
        Next::Continue
    }

    async fn cast(&mut self, line: String, _: &mut Context) -> Next {
        self.lines.push(line);
        Next::Continue
    }

    async fn info(&mut self, received: Received, _: &mut Context) -> Next {
        self.lines.extend(received.message().map(|message| String::from_utf8_lossy(&message).into_owned()));
        Next::Continue
    }
}

async fn ledger(node: &ClusterNode) -> ServerRef<Ledger> {
    node.runtime().start_with(ServerOptions::named("ledger"), ()).await.expect("it starts")
}

/// Talks to a fresh ledger from a process of `rt`, until the ledger is dead; gives everything that was answered.
async fn conversation(rt: &Runtime, server: ServerRef<Ledger>) -> Vec<String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let speaker = rt.spawn(|mut ctx| async move {
        let mut said = Vec::new();
        let pid = server.to_pid().expect("by pid");
        let monitor = ctx.monitor(pid);
        for line in ["one", "two"] {
            said.push(format!("{:?}", ctx.call(&server, Ask::Write(line.into())).await));
        }
        ctx.cast(&server, "three, cast".into()).await.expect("it lives");
        ctx.send(pid, "four, a plain message").await.expect("it lives");
        said.push(format!("{:?}", ctx.call(&server, Ask::Lines).await));
        let Ok(Answer::Large(large)) = ctx.call(&server, Ask::Large(300_000)).await else {
            panic!("no answer")
        };
        said.push(format!("{} bytes", large.len()));
        let long = "l".repeat(200_000);
        said.push(format!("{:?}", ctx.call(&server, Ask::Write(long)).await));
        said.push(format!("{:?}", ctx.call(&server, Ask::Drop).await));
        let timeout = ctx.call_within(&server, Ask::Keep, Duration::from_millis(20)).await;
        said.push(format!("{timeout:?}"));
        let (first, second, third) = tokio::join!(
            ctx.call(&server, Ask::Keep),
            ctx.call(&server, Ask::Panic),
            ctx.call(&server, Ask::Write("never".into())),
        );
        said.extend([first, second, third].map(|ended| format!("{ended:?}")));
        let (down, of, reason) = ctx.recv().await.down().expect("nothing else came into the mailbox");
        assert!(down == monitor && of == pid);
        said.push(format!("{reason:?}"));
        said.push(format!("{:?}", ctx.call(&server, Ask::Lines).await));
        tell.send(said).expect("the test waits");
    });
    let said = told.await.expect("the conversation comes to its end");
    // Its alarm is set until it ends.
    assert_eq!(speaker.join().await, ExitReason::Normal);
    said
}

#[test]
fn a_conversation_is_the_same_on_one_node_and_across_two() {
    run(async {
        let (a, b) = pair().await;
        let moved = conversation(b.runtime(), ledger(&b).await).await;
        let encoded = conversation(a.runtime(), ledger(&b).await).await;
        assert_eq!(moved, encoded);
        assert_eq!(moved[0], format!("{:?}", Ok::<_, CallError>(Answer::Written(1))));
        let panic = ExitReason::Panic("ink on the ledger".into());
        assert_eq!(moved[8], format!("{:?}", Err::<Answer, _>(CallError::Down(panic))));
        let gone = CallError::NotSent(SendError::NoProc);
        assert_eq!(moved.last(), Some(&format!("{:?}", Err::<Answer, _>(gone))));
        assert_eq!(a.runtime().timer_count(), 0, "no deadline is left behind");
    });
}

#[test]
fn a_server_is_found_by_node_and_name_and_by_its_global_name_from_every_node() {
    run(async {
        let (a, b) = pair().await;
        let server = ledger(&b).await;
        b.register_global("svc/ledger", server.to_pid().expect("by pid"));
        a.settled(|a| a.whereis_global("svc/ledger").is_some()).await;
        let on = ServerRef::<Ledger>::on("b", "ledger").expect("names");
        let global = ServerRef::<Ledger>::global("svc/ledger").expect("a name");
        let mut written = 0;
        for rt in [a.runtime(), b.runtime()] {
            for place in [&server, &on, &global] {
                written += 1;
                let answer = rt.call(place, Ask::Write(String::new())).await;
                assert_eq!(answer, Ok(Answer::Written(written)), "{place:?}");
            }
        }
        a.runtime().cast(&on, "cast".into()).await.expect("it is linked");
        // A cast to a name and a call to a pid are one sender's: they keep their order.
        assert_eq!(a.runtime().call(&server, Ask::Write(String::new())).await, Ok(Answer::Written(8)));
        let nobody = ServerRef::<Ledger>::on("b", "nobody").expect("names");
        let no_proc = Err(CallError::NotSent(SendError::NoProc));
        assert_eq!(a.runtime().call(&nobody, Ask::Lines).await, no_proc);
        let nowhere = ServerRef::<Ledger>::on("c", "ledger").expect("names");
        let no_connection = Err(CallError::NotSent(SendError::NoConnection));
        assert_eq!(a.runtime().call(&nowhere, Ask::Lines).await, no_connection);
    });
}

#[test]
fn a_call_across_a_link_that_is_lost_ends_at_once_and_may_have_happened() {
    run(async {
        let (a, b) = pair().await;
        let server = ledger(&b).await;
        let lost = async {
            // The server has the call once it has handled a later one of the same sender.
            a.runtime().call(&server, Ask::Lines).await.expect("it lives");
            b.shutdown();
        };
        let (kept, ()) = tokio::join!(a.runtime().call(&server, Ask::Keep), lost);
        assert_eq!(kept, Err(CallError::NoConnection));
        assert!(kept.is_err_and(|error| error.may_have_happened()));
        a.settled(|a| a.peers().is_empty()).await;
        let later = a.runtime().call(&server, Ask::Lines).await.expect_err("there is no link");
        assert!(!later.may_have_happened(), "{later:?}");
    });
}

#[test]
fn what_cannot_travel_is_an_error_on_the_side_where_it_is() {
    run(async {
        let (a, b) = pair().await;
        let server = ledger(&b).await;
        assert_eq!(a.runtime().call(&server, Ask::Unsendable).await, Err(CallError::BadReply));
        assert!(b.runtime().call(&server, Ask::Unsendable).await.is_ok(), "it need not travel");
        let huge = Ask::Write("x".repeat(2 << 20));
        let refused = a.runtime().call(&server, huge).await;
        assert!(matches!(refused, Err(CallError::NotSent(SendError::TooLarge { .. }))), "{refused:?}");
        let answer = a.runtime().call(&server, Ask::Large(2 << 20)).await;
        assert_eq!(answer, Err(CallError::BadReply), "an answer above the bound");
        let plain = b.runtime().spawn(|_| std::future::pending::<()>());
        let plain = ServerRef::<Ledger>::pid(plain.pid());
        assert_eq!(a.runtime().call(&plain, Ask::Lines).await, Err(CallError::NoServer));
    });
}

/// Speaks JSON.
struct Json;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Text(String);

impl Server for Json {
    type Args = ();
    type Call = Text;
    type Reply = Text;
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn call(&mut self, Text(text): Text, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        caller.reply(Text(text.to_uppercase()));
        Next::Continue
    }

    fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(message).map_err(CodecError::new)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::new)
    }
}

#[test]
fn a_server_may_have_a_codec_of_its_own_and_survives_bytes_that_are_none() {
    run(async {
        let (a, b) = pair().await;
        let json = b.runtime().start::<Json>(()).await.expect("it starts");
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(a.runtime().call(&json, text("loud")).await, Ok(text("LOUD")));
        // A request in another codec: refused, and not handled.
        let mistaken = ServerRef::<Ledger>::pid(json.to_pid().expect("by pid"));
        assert_eq!(a.runtime().call(&mistaken, Ask::Lines).await, Err(CallError::BadRequest));
        a.runtime().cast(&mistaken, "nobody reads this".into()).await.expect("it is linked");
        assert_eq!(a.runtime().call(&json, text("still")).await, Ok(text("STILL")));
    });
}

#[test]
fn a_reference_in_a_message_means_the_same_server_on_every_node() {
    run(async {
        let identity = shared();
        let (a, b, c) = (bind("a", &identity), bind("b", &identity), bind("c", &identity));
        for (one, other) in [(&a, &b), (&b, &c), (&a, &c)] {
            link(one, other).await;
        }
        let server = ledger(&c).await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let reader = b.runtime().spawn(|mut ctx| async move {
            let bytes = ctx.recv().await.message().expect("a message");
            let server: ServerRef<Ledger> = serde_json::from_slice(&bytes).expect("a reference");
            tell.send(ctx.call(&server, Ask::Write("from b".into())).await).expect("the test waits");
        });
        let bytes = serde_json::to_vec(&server).expect("it can be encoded");
        a.runtime().send(reader.pid(), bytes).await.expect("it is linked");
        assert_eq!(told.await.expect("b has called"), Ok(Answer::Written(1)));
    });
}
