//! Messages and calls that steps make.

use std::sync::Arc;

use regatta::{ClusterNode, ExitReason, Pid, Received, SendError};
use tokio::sync::oneshot;

use super::Agent;
use crate::behaviour::message::{self, HEADER_BYTES, Kind, Message};
use crate::behaviour::{OWN_LABEL, Scene};
use crate::scenario::action::{Address, CallResult};
use crate::world::order::{Answer, Answered, CallOrder, Refused, SendOrder};

impl Agent {
    pub(super) async fn send(self: &Arc<Self>, order: SendOrder) -> Answered {
        let node = self.node.clone();
        if let Some(from) = order.from {
            let sent = self.in_name_of(from.0, send_row(node, self.scene.clone(), from.0, order)).await?;
            return sent.map(|()| Answer::Done).map_err(Refused::Because);
        }
        let mut ends = Vec::new();
        for _ in 0..order.senders.max(1) {
            let (node, scene, order) = (node.clone(), self.scene.clone(), order.clone());
            let (done, ended) = oneshot::channel();
            self.node.runtime().spawn(move |context| async move {
                context.set_label(format!("{OWN_LABEL}sender"));
                // The harness may have given the run up.
                let _ = done.send(send_row(node, scene, context.pid(), order).await);
            });
            ends.push(ended);
        }
        for end in ends {
            let sent = end.await.map_err(|_| Refused::Because("a sender ended early".to_owned()))?;
            sent.map_err(Refused::Because)?;
        }
        Ok(Answer::Done)
    }

    pub(super) async fn call(&self, order: CallOrder) -> Answered {
        let CallOrder { target, payload, deadline } = order;
        let body = vec![b'x'; usize::try_from(payload).unwrap_or(0).saturating_sub(HEADER_BYTES)];
        let (done, ended) = oneshot::channel();
        let (number, scene) = (self.scene.number(), self.scene.clone());
        self.node.runtime().spawn(move |mut context| async move {
            context.set_label(format!("{OWN_LABEL}call"));
            context.monitor(target.0);
            let request = message::write(Kind::Request, context.pid(), number, &body);
            scene.sent(&request, target.0);
            let sent = context.send(target.0, request).await;
            let answer = match sent {
                Err(SendError::NoProc | SendError::StaleIncarnation) => Ok(Err(CallResult::NoProc)),
                Err(SendError::NoConnection) => Ok(Err(CallResult::NoConnection)),
                Err(error) => Err(Refused::Because(format!("the request was not sent: {error}"))),
                Ok(()) => Ok(loop {
                    match context.recv_timeout(deadline).await {
                        None => break Err(CallResult::Timeout),
                        Some(Received::Down { reason: ExitReason::NoConnection, .. }) => {
                            break Err(CallResult::NoConnection);
                        }
                        Some(Received::Down { .. }) => break Err(CallResult::NoProc),
                        Some(Received::Message(bytes)) => {
                            let reply = Message::read(bytes);
                            if let Some(reply) = &reply {
                                scene.passed(true, reply, context.pid());
                            }
                            if let Some(reply) =
                                reply.filter(|it| it.kind == Kind::Reply && it.number == number)
                            {
                                break Ok(String::from_utf8_lossy(reply.body()).into_owned());
                            }
                        }
                        Some(_) => {}
                    }
                }),
            };
            // The harness may have given the run up.
            let _ = done.send(answer);
        });
        let answer = ended.await.map_err(|_| Refused::Because("the caller ended early".to_owned()))?;
        answer.map(Answer::Called)
    }
}

/// Sends numbered messages: by name where the address is a name, so that the cluster routes them.
async fn send_row(node: ClusterNode, scene: Arc<Scene>, me: Pid, order: SendOrder) -> Result<(), String> {
    let size = usize::try_from(order.payload).unwrap_or(HEADER_BYTES).max(HEADER_BYTES);
    let mut buffer = vec![0; size];
    for number in order.first..order.first + order.count {
        message::seal(&mut buffer, Kind::Data, me, number);
        scene.sent(&buffer, order.target.0);
        match &order.route {
            Address::Global(name) => {
                node.send_global(name, &buffer).await.map_err(|error| error.to_string())?;
            }
            Address::Local { name, node: there } => {
                node.send(there, name, &buffer).await.map_err(|error| error.to_string())?;
            }
            Address::Label(_) => {
                node.runtime()
                    .send(order.target.0, buffer.clone())
                    .await
                    .map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}
