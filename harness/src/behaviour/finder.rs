//! Finds global names: how long a registration takes to be known elsewhere is the time until it answers.

use super::Setup;
use super::body::Inbox;
use super::message::Kind;

/// Replies to a request once its node knows the global name that is the request's body.
pub(super) async fn finder(mut inbox: Inbox, setup: Setup) {
    let Some(node) = setup.scene.node(&setup.node) else { return };
    while let Some(message) = inbox.next().await {
        if message.kind != Kind::Request {
            continue;
        }
        let Ok(name) = std::str::from_utf8(message.body()) else { continue };
        node.settled(|node| node.whereis_global_pid(name).is_some()).await;
        let reply = message.reply(inbox.context.pid(), Some(&[]));
        inbox.send(message.from, reply).await;
    }
}
