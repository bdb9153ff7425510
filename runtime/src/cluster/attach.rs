//! Live attach: looking at what runs on another node, page by page, so that its size does not matter.

use regatta_proto::host::{CallError, CallOutcome};
use regatta_proto::id::Pid;
use regatta_proto::wire::control::{Answer, Ask, ListProcesses, ProcessPage, ProcessRow, Question, Reply};

use super::core::Core;
use super::error::AttachError;
use crate::actor::ProcessInfo;

/// Rows that a question asks for.
const PAGE_ROWS: u32 = 1_000;
/// Bytes of rows after which an answer ends; the rest comes with the next question.
const PAGE_BYTES: usize = 32 * 1024;

/// One process of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteProcess {
    /// Its pid, good for sending, linking and monitoring like any other.
    pub pid: Pid,
    /// What it calls itself; empty if nothing.
    pub label: String,
    /// The names it holds on its node.
    pub names: Vec<String>,
    /// Messages that wait in its mailbox.
    pub mailbox: u64,
}

impl Core {
    /// Everything that runs on a node, by ascending serial. Processes that start or end meanwhile may or may not be in
    /// it; every other one is, once.
    pub(crate) async fn remote_processes(&self, node: &str) -> Result<Vec<RemoteProcess>, AttachError> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let ask = Ask::ListProcesses(ListProcesses { after, max: PAGE_ROWS });
            let (incarnation, answer) = self.ask(node, Question { ask: Some(ask) }).await?;
            let Some(Reply::Processes(ProcessPage { rows, more })) = answer.reply else {
                return Err(AttachError::BadAnswer { node: node.to_owned() });
            };
            let last = rows.last().map(|row| row.serial);
            all.extend(rows.into_iter().map(|row| RemoteProcess {
                pid: Pid::new(incarnation, row.serial),
                label: row.label,
                names: row.names,
                mailbox: row.mailbox,
            }));
            match last.filter(|last| more && *last > after) {
                Some(last) => after = last,
                None => return Ok(all),
            }
        }
    }

    async fn ask(
        &self,
        node: &str,
        question: Question,
    ) -> Result<(regatta_proto::id::Incarnation, Answer), AttachError> {
        let no_connection = || AttachError::NoConnection { node: node.to_owned() };
        let peer = self.reach_within(node, self.call_timeout).await.ok_or_else(no_connection)?;
        let call = self.number();
        let outcome = self.begin_call(call).map_err(|source| match source {
            CallError::NotSent => no_connection(),
            source => AttachError::Call { node: node.to_owned(), source },
        })?;
        self.with_engine(|now, engine, host| {
            engine.ask(now, peer.link, call, &question, self.call_timeout, host);
        });
        let outcome = outcome.await.unwrap_or(Err(CallError::LinkLost));
        match outcome {
            Ok(CallOutcome::Answered(answer)) => Ok((peer.peer.incarnation, answer)),
            Ok(CallOutcome::Spawned(_) | CallOutcome::Delivery(_)) => {
                Err(AttachError::BadAnswer { node: node.to_owned() })
            }
            Err(CallError::NotSent) => Err(no_connection()),
            Err(source) => Err(AttachError::Call { node: node.to_owned(), source }),
        }
    }

    /// Answers a peer's question.
    pub(crate) fn answer_to(&self, question: &Question) -> Answer {
        let reply = match &question.ask {
            Some(Ask::ListProcesses(list)) => Reply::Processes(self.page(list)),
            None => Reply::Refused("this node does not know the question".to_owned()),
        };
        Answer { reply: Some(reply) }
    }

    fn page(&self, list: &ListProcesses) -> ProcessPage {
        let max = list.max.clamp(1, PAGE_ROWS) as usize;
        let infos = self.runtime.infos(list.after, max);
        let asked = infos.len();
        let mut rows: Vec<ProcessRow> = Vec::with_capacity(asked);
        let mut bytes = 0;
        for info in infos {
            let row = row(info);
            bytes += row.label.len() + row.names.iter().map(String::len).sum::<usize>() + 32;
            if bytes > PAGE_BYTES && !rows.is_empty() {
                return ProcessPage { rows, more: true };
            }
            rows.push(row);
        }
        ProcessPage { rows, more: asked == max }
    }
}

fn row(info: ProcessInfo) -> ProcessRow {
    // A process may hold more names than fit into a frame; the first ones tell who it is.
    let names = info.names.iter().take(16).map(ToString::to_string).collect();
    let label = info.label.map(|label| label.to_string()).unwrap_or_default();
    ProcessRow { serial: info.pid.serial(), label, names, mailbox: info.mailbox_depth }
}
