//! The `send`, `call` and `spawn` steps.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;

use super::stage::Stage;
use super::steps::{Done, Failed, OK, failed, gone, told};
use crate::scenario::action::{Actor, Address, CallResult, ScopedName, Spawn, SpawnResult};
use crate::world::order::{Answer, CallOrder, Order, PidText, SendOrder, SpawnOrder};

impl Stage {
    pub(super) async fn send(
        &self,
        from: &Actor,
        to: &Address,
        count: u64,
        payload: u64,
        senders: u64,
    ) -> Result<Done, Failed> {
        let (seat, actor) = self.actor(from)?;
        let target = self.look_up(&seat.name, to).await?;
        let own_row = matches!(from, Actor::Process(_));
        let first = if own_row {
            let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
            let next = sequences.entry((actor, target)).or_default();
            std::mem::replace(next, *next + count)
        } else {
            0
        };
        let order = SendOrder {
            from: own_row.then_some(PidText(actor)),
            senders,
            target: PidText(target),
            route: to.clone(),
            first,
            count,
            payload,
        };
        seat.ask(Order::Send(order)).await.map(|_| OK).map_err(told)
    }

    pub(super) async fn call(
        &self,
        from: &Actor,
        to: &Address,
        payload: u64,
        expect: CallResult,
        within: Duration,
    ) -> Result<Done, Failed> {
        let (seat, _) = self.actor(from)?;
        let deadline = if expect == CallResult::Timeout { within / 2 } else { within };
        let away = matches!(to, Address::Local { node, .. } if !self.cluster.is_running(node));
        let target = match self.look_up(&seat.name, to).await {
            Ok(target) => target,
            Err(_) if away && expect == CallResult::NoConnection => {
                return Ok(("no-connection", Value::Null));
            }
            Err(error) if away => return Err(error),
            Err(_) if expect == CallResult::NoProc => return Ok(("no-proc", Value::Null)),
            Err(error) => return Err(error),
        };
        let order = CallOrder { target: PidText(target), payload, deadline };
        let Answer::Called(answer) = seat.ask(Order::Call(order)).await.map_err(told)? else {
            return failed("the node answered something else");
        };
        let word = |result: CallResult| {
            CallResult::ALL.iter().find(|(_, it)| *it == result).map_or("?", |(word, _)| word)
        };
        match (answer, expect) {
            (Ok(text), CallResult::Reply) => {
                Ok(("ok", text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)))
            }
            (Err(end), expected) if end == expected => Ok((word(end), Value::Null)),
            (Ok(_), expected) => {
                failed(format!("the call was answered, where `{}` was expected", word(expected)))
            }
            (Err(end), expected) => failed(format!(
                "the call ended with `{}`, where `{}` was expected",
                word(end),
                word(expected)
            )),
        }
    }

    pub(super) async fn spawn_process(&self, spawn: &Spawn, within: Duration) -> Result<Done, Failed> {
        let (seat, caller) = self.actor(&spawn.from)?;
        let there = self.cluster.seat(&spawn.on).ok_or_else(|| gone(&spawn.on))?;
        let order = SpawnOrder {
            caller: PidText(caller),
            on: spawn.on.clone(),
            factory: spawn.factory.clone(),
            label: spawn.label.clone(),
            args: spawn.args.clone().unwrap_or(Value::Null),
            global: spawn.global.clone(),
            link: spawn.link,
            monitor: spawn.monitor,
            within,
        };
        let Answer::Spawned(spawned) = seat.ask(Order::Spawn(order)).await.map_err(told)? else {
            return failed("the node answered something else");
        };
        match (spawned, spawn.expect) {
            (Ok(child), SpawnResult::Ok) => {
                // The child's node knows; whoever asks next may ask before its word of that is here.
                self.scene.name_process(&spawn.label, child.0);
                if let Some(name) = &spawn.name {
                    let name = ScopedName::Local(name.clone());
                    there.ask(Order::Register { pid: child, name }).await.map_err(told)?;
                }
                Ok(OK)
            }
            (Err(none), SpawnResult::Ok) => failed(none.message),
            (Ok(_), SpawnResult::Refused) => failed("the spawn was not refused"),
            (Err(none), SpawnResult::Refused) if none.refused => Ok(("refused", Value::from(none.message))),
            (Err(none), SpawnResult::Refused) => {
                failed(format!("the spawn was not refused, it got no answer: {}", none.message))
            }
            (Ok(_), SpawnResult::NoConnection) => failed("the process was started all the same"),
            (Err(none), SpawnResult::NoConnection) if none.unconnected => {
                Ok(("no-connection", Value::from(none.message)))
            }
            (Err(none), SpawnResult::NoConnection) => {
                failed(format!("the connection was to be lost, but: {}", none.message))
            }
        }
    }
}
