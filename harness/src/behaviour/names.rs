//! Processes that hold many global names, and that take and lose them all the time.

use std::collections::VecDeque;
use std::time::Duration;

use regatta::Pid;
use regatta::cluster::Quorum;
use tokio::time::Instant;

use super::body::{Inbox, NothingCame};
use super::{OWN_LABEL, Setup};

/// Is ready to run the one process of the cluster that holds the global name `args.name` (its label). The body that it runs
/// is a process `unique/` and that name.
pub(super) async fn unique(mut inbox: Inbox, setup: Setup) {
    let name = setup.text("name").unwrap_or(&setup.label).to_owned();
    // It ends with this process.
    let _candidate = setup.scene.node(&setup.node).map(|node| {
        let label = format!("unique/{name}");
        let candidate = node.run_unique(name, Quorum::default(), move |mut context, _| {
            context.set_label(&label);
            async move {
                loop {
                    context.recv().await;
                }
            }
        });
        candidate.map(|candidate| inbox.context.link(candidate.pid()))
    });
    while inbox.next().await.is_some() {}
}

/// How often a `churn` starts and kills.
const TICK: Duration = Duration::from_millis(10);

/// Holds `args.count` (100) global names: `args.prefix` (its label) and a number.
pub(super) async fn holder(mut inbox: Inbox, setup: Setup) {
    let prefix = setup.text("prefix").unwrap_or(&setup.label).to_owned();
    if let Some(node) = setup.scene.node(&setup.node) {
        for number in 0..setup.number("count", 100) {
            // A name that is taken is missed by whoever counts them.
            node.register_global(format!("{prefix}/{number}"), inbox.context.pid());
        }
    }
    while inbox.next().await.is_some() {}
}

/// Starts `args.per_second` (100) processes a second for `args.seconds` (10), each with a global name, and kills each of
/// them after `args.lives_ms` (50). Names are taken again a second later, by other processes.
pub(super) async fn churn(mut inbox: Inbox, setup: Setup) {
    let Some(node) = setup.scene.node(&setup.node) else { return };
    let (runtime, per_second) = (node.runtime().clone(), setup.number("per_second", 100));
    let total = per_second * setup.number("seconds", 10);
    let lives = Duration::from_millis(setup.number("lives_ms", 50));
    let begun = Instant::now();
    let mut alive: VecDeque<(Instant, Pid)> = VecDeque::new();
    let mut started = 0;
    while started < total || !alive.is_empty() {
        match inbox.next_within(TICK).await {
            Ok(None) => return,
            Ok(Some(_)) => continue,
            Err(NothingCame) => {}
        }
        let now = Instant::now();
        while alive.front().is_some_and(|(until, _)| *until <= now) {
            runtime.kill(alive.pop_front().expect("just seen").1);
        }
        let due = u64::try_from((now - begun).as_millis()).unwrap_or(u64::MAX) * per_second / 1_000;
        while started < due.min(total) {
            let process = runtime.spawn(|mut context| async move {
                context.set_label(format!("{OWN_LABEL}churned"));
                loop {
                    context.recv().await;
                }
            });
            node.register_global(format!("{}/{}", setup.label, started % per_second), process.pid());
            alive.push_back((now + lives, process.pid()));
            started += 1;
        }
    }
    drop(node);
    while inbox.next().await.is_some() {}
}
