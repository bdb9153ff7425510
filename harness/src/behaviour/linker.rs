//! A process that links itself to another and takes that back, over and over.

use std::time::Duration;

use tokio::time::Instant;

use super::body::{Inbox, NothingCame};
use super::{Setup, Whom};

/// Links itself to `args.to` every `args.every_ms`, and takes that back at once. It traps exits; one that comes over a
/// link that it has taken back is a mistake of the runtime.
pub(super) async fn linker(mut inbox: Inbox, setup: Setup) {
    inbox.context.trap_exit(true);
    let to = Whom::parse(setup.args.get("to").and_then(|to| to.as_str()).unwrap_or_default());
    let every_ms = setup.args.get("every_ms").and_then(|ms| ms.as_u64()).unwrap_or(100).max(1);
    let every = Duration::from_millis(every_ms);
    let mut next = Instant::now() + every;
    loop {
        match inbox.next_within(next.saturating_duration_since(Instant::now())).await {
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(NothingCame) => next += every,
        }
        if let Some(other) = setup.resolve(&to) {
            inbox.link(other);
            inbox.unlink(other).await;
        }
    }
}
