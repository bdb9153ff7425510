//! The `send` and `call` steps.

use std::sync::PoisonError;
use std::time::Duration;

use regatta::{ClusterNode, ExitReason, Pid, Received, SendError};
use serde_json::Value;
use tokio::sync::oneshot;

use super::stage::Stage;
use super::steps::{Done, Failed, OK, failed};
use crate::behaviour::OWN_LABEL;
use crate::behaviour::message::{self, HEADER_BYTES, Kind, Message};
use crate::scenario::action::{Actor, Address, CallResult};

impl Stage {
    pub(super) async fn send(
        &self,
        from: &Actor,
        to: &Address,
        count: u64,
        payload: u64,
        senders: u64,
    ) -> Result<Done, Failed> {
        let (node, actor) = self.actor(from)?;
        let target = self.look_up(node.name(), to)?;
        let size = usize::try_from(payload).unwrap_or(HEADER_BYTES).max(HEADER_BYTES);
        let Actor::Process(_) = from else {
            let mut ends = Vec::new();
            for _ in 0..senders.max(1) {
                let (node, to) = (node.clone(), to.clone());
                let (done, ended) = oneshot::channel();
                node.clone().runtime().spawn(move |context| async move {
                    context.set_label(format!("{OWN_LABEL}sender"));
                    let sent = send_row(&node, context.pid(), target, &to, 0..count, size).await;
                    // The harness may have given the run up.
                    let _ = done.send(sent);
                });
                ends.push(ended);
            }
            for end in ends {
                let sent = end.await.map_err(|_| ("a sender ended early".to_owned(), None))?;
                sent.map_err(|message| (message, None))?;
            }
            return Ok(OK);
        };
        let first = {
            let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
            let next = sequences.entry((actor, target)).or_default();
            let first = *next;
            *next += count;
            first
        };
        let (sender, to) = (node.clone(), to.clone());
        let sent = self
            .in_name_of(&node, actor, async move {
                send_row(&sender, actor, target, &to, first..first + count, size).await
            })
            .await?;
        sent.map(|()| OK).map_err(|message| (message, None))
    }

    pub(super) async fn call(
        &self,
        from: &Actor,
        to: &Address,
        payload: u64,
        expect: CallResult,
        within: Duration,
    ) -> Result<Done, Failed> {
        let (node, _) = self.actor(from)?;
        let deadline = if expect == CallResult::Timeout { within / 2 } else { within };
        let away = matches!(to, Address::Local { node, .. } if self.scene.node(node).is_none());
        let target = match self.look_up(node.name(), to) {
            Ok(target) => target,
            Err(_) if away && expect == CallResult::NoConnection => {
                return Ok(("no-connection", Value::Null));
            }
            Err(error) if away => return Err(error),
            Err(_) if expect == CallResult::NoProc => return Ok(("no-proc", Value::Null)),
            Err(error) => return Err(error),
        };
        let body = vec![b'x'; usize::try_from(payload).unwrap_or(0).saturating_sub(HEADER_BYTES)];
        let (done, ended) = oneshot::channel();
        let number = self.scene.number();
        node.runtime().spawn(move |mut context| async move {
            context.set_label(format!("{OWN_LABEL}call"));
            context.monitor(target);
            let request = message::write(Kind::Request, context.pid(), number, &body);
            let sent = context.send(target, request).await;
            let answer = match sent {
                Err(SendError::NoProc | SendError::StaleIncarnation) => Err(CallResult::NoProc),
                Err(_) => Err(CallResult::NoConnection),
                Ok(()) => loop {
                    match context.recv_timeout(deadline).await {
                        None => break Err(CallResult::Timeout),
                        Some(Received::Down { reason: ExitReason::NoConnection, .. }) => {
                            break Err(CallResult::NoConnection);
                        }
                        Some(Received::Down { .. }) => break Err(CallResult::NoProc),
                        Some(Received::Message(bytes)) => {
                            let reply = Message::read(bytes);
                            if let Some(reply) =
                                reply.filter(|it| it.kind == Kind::Reply && it.number == number)
                            {
                                break Ok(String::from_utf8_lossy(reply.body()).into_owned());
                            }
                        }
                        Some(_) => {}
                    }
                },
            };
            // The harness may have given the run up.
            let _ = done.send(answer);
        });
        let answer = ended.await.map_err(|_| ("the caller ended early".to_owned(), None))?;
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
}

/// Sends numbered messages: by name where the address is a name, so that the cluster routes them.
async fn send_row(
    node: &ClusterNode,
    me: Pid,
    target: Pid,
    to: &Address,
    numbers: std::ops::Range<u64>,
    size: usize,
) -> Result<(), String> {
    let mut buffer = vec![0; size];
    for number in numbers {
        message::seal(&mut buffer, Kind::Data, me, number);
        match to {
            Address::Global(name) => {
                node.send_global(name, &buffer).await.map_err(|error| error.to_string())?;
            }
            Address::Local { name, node: there } => {
                node.send(there, name, &buffer).await.map_err(|error| error.to_string())?;
            }
            Address::Label(_) => {
                node.runtime().send(target, buffer.clone()).await.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}
