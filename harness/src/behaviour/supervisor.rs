//! A supervisor whose child runs on another node.

use std::time::Duration;

use regatta::supervisor::{Strategy, Supervisor, SupervisorSpec};
use serde_json::Value;

use super::body::Inbox;
use super::{Order, Setup};

/// Restarts that it takes within [`WITHIN`]: a scenario that loses more nodes than that in so short a time tests something else.
const RESTARTS: u32 = 10;
const WITHIN: Duration = Duration::from_secs(60);

/// Keeps one child, labelled as itself with `/child` behind it and with the behaviour `args.factory` (`sink`), on the first of
/// the nodes `args.on` that starts it, by a supervisor. It ends with its supervisor.
pub(super) async fn supervisor(mut inbox: Inbox, setup: Setup) {
    let Some(node) = setup.scene.node(&setup.node) else { return };
    let places = setup.args.get("on").and_then(Value::as_array).into_iter().flatten();
    let places = places.filter_map(Value::as_str);
    let child = Order { label: format!("{}/child", setup.label), args: Value::Null };
    let child = serde_json::to_vec(&child).expect("a label is JSON");
    let child = node.remote_child("child", places, setup.text("factory").unwrap_or("sink"), child);
    drop(node);
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(RESTARTS, WITHIN).child(child);
    match inbox.context.start_link::<Supervisor>(spec).await {
        Ok(_) => while inbox.next().await.is_some() {},
        Err(error) => tracing::error!(%error, "the supervisor does not start"),
    }
}
