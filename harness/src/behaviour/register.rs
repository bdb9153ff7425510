//! A register, and clients that read and write it: what the `linearizable` checker judges.
//!
//! A request's body is `r` to read, or `w` and a number to write; the reply to a read is the number. A client notes what it
//! asks and what it is answered; an operation without an answer may have been carried out.

use std::time::Duration;

use tokio::time::Instant;

use super::body::{Inbox, NothingCame};
use super::message::{self, Kind};
use super::{Setup, Whom};
use crate::random::Random;
use crate::record::{Ask, What};
use crate::world::order::PidText;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The share of a client's operations that are writes.
const WRITES: f64 = 0.5;

/// Holds one number, 0 at first.
pub(super) async fn register(mut inbox: Inbox) {
    let mut value: u64 = 0;
    while let Some(message) = inbox.next().await {
        if message.kind != Kind::Request {
            continue;
        }
        let body = message.body();
        if let Some(number) =
            body.strip_prefix(b"w").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        {
            value = number;
        }
        let reply = message.reply(inbox.context.pid(), Some(value.to_string().as_bytes()));
        inbox.send(message.from, reply).await;
    }
}

/// Reads and writes the register `args.to` at random, one operation after another, about every `args.every_ms`, and
/// `args.count` times in all.
pub(super) async fn client(mut inbox: Inbox, setup: Setup) {
    let text =
        |key: &str| setup.args.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let number = |key: &str, or: u64| setup.args.get(key).and_then(|value| value.as_u64()).unwrap_or(or);
    let to = Whom::parse(&text("to"));
    let (every, count) = (Duration::from_millis(number("every_ms", 50).max(1)), number("count", 50));
    let mut random = Random::apart(setup.seed, &format!("client {}", setup.label));
    let me = PidText(inbox.context.pid());
    let mut operation = 0;
    while operation < count {
        if pass_time(&mut inbox, every.mul_f64(0.5 + random.share())).await.is_none() {
            return;
        }
        let Some(register) = setup.resolve(&to) else { continue };
        // Every value is written once, so that it tells who wrote it.
        let ask = if random.happens(WRITES) {
            Ask::Write((me.0.serial() << 32 | operation) ^ me.0.incarnation().raw().rotate_left(40))
        } else {
            Ask::Read
        };
        let body = match ask {
            Ask::Read => "r".to_owned(),
            Ask::Write(value) => format!("w{value}"),
        };
        inbox.scene().recorder().note(What::Asked { client: me, operation, ask });
        let request = message::write(Kind::Request, me.0, operation, body.as_bytes());
        inbox.send(register, request).await;
        let until = Instant::now() + PATIENCE;
        loop {
            match inbox.next_within(until.saturating_duration_since(Instant::now())).await {
                Ok(Some(reply)) if reply.kind == Kind::Reply && reply.number == operation => {
                    let text = String::from_utf8_lossy(reply.body()).into_owned();
                    let value = if ask == Ask::Read { text.parse().ok() } else { None };
                    inbox.scene().recorder().note(What::Answered { client: me, operation, value });
                    break;
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(NothingCame) => break,
            }
        }
        operation += 1;
    }
    while inbox.next().await.is_some() {}
}

/// Lets time pass and takes whatever comes; `None` when the process is to end.
async fn pass_time(inbox: &mut Inbox, time: Duration) -> Option<()> {
    let until = Instant::now() + time;
    loop {
        match inbox.next_within(until.saturating_duration_since(Instant::now())).await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(NothingCame) => return Some(()),
        }
    }
}
