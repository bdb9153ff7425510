//! A client of a group: calls its members in turn, and the next one when a member is gone.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::body::{Inbox, NothingCame};
use super::message::{self, Kind};
use super::{NoReply, Setup};

/// Calls a member of the group `args.to` every `args.every_ms` (100), and waits for `args.deadline_ms` (1000) for its reply.
/// When the member turns out to be gone, the next one is asked within the same deadline. Calls that had no reply by then
/// are counted as failed.
pub(super) async fn caller(mut inbox: Inbox, setup: Setup) {
    let group = setup.text("to").unwrap_or_default().to_owned();
    let every = Duration::from_millis(setup.number("every_ms", 100).max(1));
    let deadline = Duration::from_millis(setup.number("deadline_ms", 1_000));
    let (runtime, mut turn) = (inbox.context.runtime().clone(), 0);
    let mut next = Instant::now() + every;
    for number in 0.. {
        loop {
            match inbox.next_within(next.saturating_duration_since(Instant::now())).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(NothingCame) => break,
            }
        }
        next += every;
        let until = Instant::now() + deadline;
        let mut answered = false;
        while !answered && Instant::now() < until {
            let members = runtime.group_members(&group);
            turn += 1;
            let Some(member) = members.get(turn % members.len().max(1)).copied() else {
                // Nobody is there: looked at again shortly.
                if matches!(inbox.next_within(NOBODY_PAUSE).await, Ok(None)) {
                    return;
                }
                continue;
            };
            let watch = inbox.context.monitor(member);
            let request = message::write(Kind::Request, inbox.context.pid(), number, &[]);
            if inbox.send(member, request).await {
                match inbox.reply_within(number, watch, until.saturating_duration_since(Instant::now())).await
                {
                    Ok(()) => answered = true,
                    Err(NoReply::Over) => return,
                    Err(NoReply::Gone | NoReply::Late) => {}
                }
            } else if matches!(inbox.next_within(NOBODY_PAUSE).await, Ok(None)) {
                // There is no way to it; there may be none to any.
                return;
            }
            inbox.context.demonitor(watch);
        }
        let tally = inbox.tally();
        tally.calls.fetch_add(1, Relaxed);
        tally.calls_failed.fetch_add(u64::from(!answered), Relaxed);
    }
}

/// How long a group without members is left alone.
const NOBODY_PAUSE: Duration = Duration::from_millis(5);
