//! The `spawn` step: on a peer through the runtime, on the asker's own node without it.

use std::time::Duration;

use regatta::cluster::SpawnError;
use regatta::{ClusterNode, ExitReason, Pid, SpawnRemote};
use serde_json::Value;

use super::stage::Stage;
use super::steps::{Done, Failed, OK, failed, gone, told};
use crate::behaviour::{Order, Setup};
use crate::scenario::action::Spawn;

/// Why there is no child.
struct NoChild {
    /// What was answered, or that nothing was.
    message: String,
    /// Whether somebody said no: a lost connection or a missing answer is no refusal.
    refused: bool,
}

impl Stage {
    pub(super) async fn spawn(&self, spawn: &Spawn, within: Duration) -> Result<Done, Failed> {
        let (node, caller) = self.actor(&spawn.from)?;
        let there = self.scene.node(&spawn.on).ok_or_else(|| gone(&spawn.on))?;
        let spawned = if there.id() == node.id() {
            self.spawn_here(&node, caller, spawn)
        } else {
            self.spawn_there(&node, caller, there.name(), spawn, within).await?
        };
        match (spawned, spawn.refused) {
            (Ok(child), false) => {
                if let Some(name) = &spawn.name {
                    there.runtime().register(name, child).map_err(told)?;
                }
                Ok(OK)
            }
            (Err(none), false) => failed(none.message),
            (Ok(_), true) => failed("the spawn was not refused"),
            (Err(none), true) if none.refused => Ok(("refused", Value::from(none.message))),
            (Err(none), true) => {
                failed(format!("the spawn was not refused, it got no answer: {}", none.message))
            }
        }
    }

    async fn spawn_there(
        &self,
        node: &ClusterNode,
        caller: Pid,
        on: &str,
        spawn: &Spawn,
        within: Duration,
    ) -> Result<Result<Pid, NoChild>, Failed> {
        let order = Order { label: spawn.label.clone(), args: spawn.args.clone().unwrap_or(Value::Null) };
        let order = serde_json::to_vec(&order).map_err(told)?;
        let options = SpawnRemote {
            link: spawn.link,
            monitor: spawn.monitor,
            register: spawn.global.clone(),
            deadline: Some(within),
        };
        let (asker, on, factory) = (node.clone(), on.to_owned(), spawn.factory.clone());
        let spawned =
            self.in_name_of(node, caller, async move {
                asker.spawn_remote_with(&on, &factory, order, options).await
            })
            .await?;
        Ok(spawned.map(|child| child.pid).map_err(|error| {
            let lost = matches!(error, SpawnError::NoConnection { .. });
            NoChild { refused: !lost && !error.may_have_happened(), message: error.to_string() }
        }))
    }

    /// Starts the child on the asker's own node, which is no peer of itself.
    fn spawn_here(&self, node: &ClusterNode, caller: Pid, spawn: &Spawn) -> Result<Pid, NoChild> {
        let refused = |message: String| NoChild { message, refused: true };
        let runtime = node.runtime();
        let setup = Setup {
            label: spawn.label.clone(),
            args: spawn.args.clone().unwrap_or(Value::Null),
            node: spawn.on.clone(),
            scene: self.scene.clone(),
        };
        let child =
            self.options.behaviours.start(&spawn.factory, runtime, setup).ok_or_else(|| {
                refused(format!("node `{}` knows no factory `{}`", spawn.on, spawn.factory))
            })?;
        if let Some(name) = &spawn.global
            && let Err(error) = node.try_register_global(name, child)
        {
            runtime.exit(child, ExitReason::Killed);
            return Err(refused(error.to_string()));
        }
        let lives = (!spawn.link || runtime.link(caller, child))
            && (!spawn.monitor || runtime.monitor(caller, child).is_some());
        if lives {
            Ok(child)
        } else {
            runtime.exit(child, ExitReason::Killed);
            Err(NoChild { message: "the process that asks is gone".to_owned(), refused: false })
        }
    }
}
