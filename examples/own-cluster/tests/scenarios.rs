//! Every file below `scenarios`, each of its cells, in each of its worlds, as a test.

use std::collections::BTreeMap;
use std::process::ExitCode;

use own_cluster::Office;
use regatta_harness::behaviour::message::Kind;
use regatta_harness::behaviour::{Behaviours, Inbox, Setup};
use regatta_harness::expect::history::History;
use regatta_harness::record::What;

fn main() -> ExitCode {
    let mut behaviours = Behaviours::default();
    // As a `behaviour` of a `[[process]]`, and as a `factory` of a `spawn` step.
    behaviours.add("office", office);
    behaviours.add_checker("a-reply-for-each-request", replies);
    regatta_harness::suite(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"), behaviours)
}

/// The office of this crate behind the harness's mailbox, which checks order, size and checksum of what comes.
async fn office(mut inbox: Inbox, _setup: Setup) {
    let mut office = Office::default();
    while let Some(message) = inbox.next().await {
        if message.kind == Kind::Request {
            let ticket = office.sell().to_string();
            let reply = message.reply(inbox.context.pid(), Some(ticket.as_bytes()));
            inbox.send(message.from, reply).await;
        }
    }
}

/// Nobody is answered twice, and nobody who did not ask.
fn replies(history: &History) -> Result<(), String> {
    let mut open: BTreeMap<_, u64> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::Received(passage) if passage.kind == "request" => {
                *open.entry((passage.from.0, passage.number)).or_default() += 1;
            }
            What::Sent(passage) if passage.kind == "reply" => {
                match open.get_mut(&(passage.to.0, passage.number)) {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => return Err(format!("`{}` was answered unasked", history.label(passage.to.0))),
                }
            }
            _ => {}
        }
    }
    Ok(())
}
