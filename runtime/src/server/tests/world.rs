//! A server that does what it is asked to.

use std::time::Duration;

use regatta_proto::reason::ExitReason;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::actor::{Context, Received, Runtime};
use crate::server::{LocalOnly, Next, ReplyTo, Server, ServerRef};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Answers, keeps, drops, panics, stops; and notes what happens to it.
pub(crate) struct Clerk {
    notes: mpsc::UnboundedSender<String>,
    kept: Vec<ReplyTo<Self>>,
}

/// How a clerk starts.
pub(crate) struct Desk {
    pub(crate) notes: mpsc::UnboundedSender<String>,
    pub(crate) traps: bool,
    pub(crate) fails: Option<ExitReason>,
    pub(crate) panics: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    Echo(String),
    /// Answer when somebody says `Answer`.
    Keep,
    Answer(String),
    /// Drop the call.
    Drop,
    Panic,
    Stop,
    /// Receive inside of the call, for a while.
    Receive,
    /// Cannot leave the node.
    Local(LocalOnly<u8>),
}

impl Server for Clerk {
    type Args = Desk;
    type Call = Ask;
    type Reply = String;
    type Cast = String;

    async fn init(desk: Desk, ctx: &mut Context) -> Result<Self, ExitReason> {
        ctx.trap_exit(desk.traps);
        assert!(!desk.panics, "no pencils");
        match desk.fails {
            Some(reason) => Err(reason),
            None => Ok(Self { notes: desk.notes, kept: Vec::new() }),
        }
    }

    async fn call(&mut self, ask: Ask, caller: ReplyTo<Self>, ctx: &mut Context) -> Next {
        match ask {
            Ask::Echo(text) => caller.reply(text),
            Ask::Keep => self.kept.push(caller),
            Ask::Answer(text) => {
                let kept = self.kept.drain(..).filter(ReplyTo::is_waiting);
                let answered = kept.map(|kept| kept.reply(text.clone())).count();
                caller.reply(answered.to_string());
            }
            Ask::Drop => drop(caller),
            Ask::Panic => panic!("out of ink"),
            Ask::Stop => return Next::Stop(ExitReason::custom("done for today")),
            Ask::Receive => {
                let received = ctx.recv_timeout(MS).await;
                caller.reply(format!("{received:?}"));
            }
            Ask::Local(LocalOnly(number)) => caller.reply(number.to_string()),
        }
        Next::Continue
    }

    async fn cast(&mut self, text: String, _: &mut Context) -> Next {
        self.note(text)
    }

    async fn info(&mut self, received: Received, _: &mut Context) -> Next {
        self.note(format!("{received:?}"))
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context) {
        self.note(format!("terminate: {reason}"));
    }
}

impl Clerk {
    fn note(&self, text: String) -> Next {
        // The test may have seen enough.
        let _ = self.notes.send(text);
        Next::Continue
    }
}

/// A clerk, and what it notes.
pub(crate) async fn clerk(rt: &Runtime, traps: bool) -> (ServerRef<Clerk>, mpsc::UnboundedReceiver<String>) {
    let (notes, seen) = mpsc::unbounded_channel();
    let desk = Desk { notes, traps, fails: None, panics: false };
    (rt.start::<Clerk>(desk).await.expect("it starts"), seen)
}

pub(crate) fn echo(text: &str) -> Ask {
    Ask::Echo(text.to_owned())
}
