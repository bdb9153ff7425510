//! Spawns: on a peer through the runtime, on the asker's own node without it.

use std::sync::Arc;

use regatta::cluster::{CallError, SpawnError};
use regatta::{ExitReason, Pid, SpawnRemote};

use super::Agent;
use crate::behaviour::{Order as ChildOrder, Setup};
use crate::world::order::{Answer, Answered, NoChild, PidText, SpawnOrder, because};

impl Agent {
    pub(super) async fn spawn(self: &Arc<Self>, order: SpawnOrder) -> Answered {
        let spawned = if order.on == self.name {
            self.spawn_here(&order)
        } else {
            let child = ChildOrder { label: order.label.clone(), args: order.args.clone() };
            let child = serde_json::to_vec(&child).map_err(because)?;
            let options = SpawnRemote {
                link: order.link,
                monitor: order.monitor,
                register: order.global.clone(),
                deadline: Some(order.within),
            };
            let (asker, on, factory) = (self.node.clone(), order.on.clone(), order.factory.clone());
            let act = async move { asker.spawn_remote_with(&on, &factory, child, options).await };
            let spawned = self.in_name_of(order.caller.0, act).await?;
            if let Ok(child) = &spawned
                && let Some(monitor) = child.monitor
            {
                self.watched(order.caller, PidText(child.pid), monitor);
            }
            spawned.map(|child| child.pid).map_err(|error| {
                let unconnected = matches!(
                    error,
                    SpawnError::NoConnection { .. }
                        | SpawnError::Call { source: CallError::LinkLost | CallError::NotSent, .. }
                );
                let refused = !unconnected && !error.may_have_happened();
                NoChild { refused, unconnected, message: error.to_string() }
            })
        };
        Ok(Answer::Spawned(spawned.map(PidText)))
    }

    /// Starts the child on the asker's own node, which is no peer of itself.
    fn spawn_here(&self, order: &SpawnOrder) -> Result<Pid, NoChild> {
        let refused = |message: String| NoChild { message, refused: true, unconnected: false };
        let (runtime, caller) = (self.node.runtime(), order.caller.0);
        let setup = Setup {
            label: order.label.clone(),
            args: order.args.clone(),
            node: self.name.clone(),
            seed: self.seed,
            scene: self.scene.clone(),
        };
        let child = self
            .behaviours
            .start(&order.factory, runtime, setup)
            .ok_or_else(|| refused(format!("node `{}` knows no factory `{}`", order.on, order.factory)))?;
        if let Some(name) = &order.global
            && let Err(error) = self.node.try_register_global(name, child)
        {
            runtime.exit(child, ExitReason::Killed);
            return Err(refused(error.to_string()));
        }
        let linked = !order.link || runtime.link(caller, child);
        let monitor = order.monitor.then(|| runtime.monitor(caller, child));
        if let Some(Some(monitor)) = monitor {
            self.watched(order.caller, PidText(child), monitor);
        }
        let lives = linked && monitor.is_none_or(|monitor| monitor.is_some());
        if lives {
            Ok(child)
        } else {
            runtime.exit(child, ExitReason::Killed);
            Err(NoChild {
                message: "the process that asks is gone".to_owned(),
                refused: false,
                unconnected: false,
            })
        }
    }
}
