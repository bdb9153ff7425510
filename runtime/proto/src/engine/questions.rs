//! Questions and answers: each exchange has a bidirectional stream of its own, so an answer can only be to its question.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use prost::Message;
use quinn_proto::{Dir, ReadError, StreamId, VarInt};

use super::link::{Exchange, Link};
use super::open::protocol;
use super::{Engine, Stop, live};
use crate::host::{CallError, CallOutcome, Event, Host, LinkId};
use crate::limits::CONTROL_FRAME_BYTES_MAX;
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::link::writer::Writer;
use crate::wire::codec::Deframer;
use crate::wire::control::{self, Answer, Question};

impl Engine {
    /// Asks a peer. The outcome is [`Event::Called`] with the same `call`, by the deadline at the latest.
    pub fn ask(
        &mut self,
        now: Instant,
        link: LinkId,
        call: u64,
        question: &Question,
        deadline: Duration,
        host: &mut impl Host,
    ) {
        let error = match live(&mut self.links, link) {
            None => CallError::NotSent,
            Some(_) if self.calls.len() >= self.limits.calls_max => CallError::TooMany,
            Some(entry) => {
                self.calls.insert(call, link.index, now + deadline);
                entry.questions.push_back((call, encode(question)));
                return self.touch(link.index);
            }
        };
        host.event(Event::Called { call, result: Err(error) });
    }

    /// Answers a question of a peer. Nothing happens if the link or the stream is gone: nobody waits any more.
    pub fn answer(&mut self, link: LinkId, stream: u64, answer: &Answer) {
        let Some(entry) = live(&mut self.links, link) else { return };
        let id = StreamId::from(VarInt::from_u64(stream).expect("the number of a stream"));
        let Some(Exchange::Answering(writer)) = entry.exchanges.get_mut(&id) else { return };
        let mut bytes = encode(answer);
        if bytes.len() > CONTROL_FRAME_BYTES_MAX {
            let reply = control::Reply::Refused("the answer is larger than a frame may be".to_owned());
            bytes = encode(&Answer { reply: Some(reply) });
        }
        writer.push(bytes);
        entry.writing.insert(id);
        self.touch(link.index);
    }

    /// There is something to read on the stream of an exchange.
    pub(super) fn read_exchange(
        &mut self,
        link: &mut Link,
        id: StreamId,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let (asked, deframer) = match link.exchanges.get_mut(&id) {
            Some(Exchange::Asked { call, answer, .. }) => (Some(*call), answer),
            Some(Exchange::Hearing(question)) => (None, question),
            Some(Exchange::Answering(_)) | None => return read_end(link, id),
        };
        let mut receive = link.connection.recv_stream(id);
        let Ok(mut chunks) = receive.read(true) else { return Ok(()) };
        let (mut frame, mut ended) = (None, false);
        while frame.is_none() {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    deframer.push(chunk.bytes);
                    let next = deframer.next(CONTROL_FRAME_BYTES_MAX);
                    frame = next.map_err(|error| Refusal::new(CloseCode::Limit, error))?;
                }
                Ok(None) | Err(ReadError::Reset(_)) => {
                    ended = true;
                    break;
                }
                Err(ReadError::Blocked) => break,
            }
        }
        let _ = chunks.finalize();
        let Some(frame) = frame else {
            return if ended { Err(protocol("a question or an answer was cut").into()) } else { Ok(()) };
        };
        read_end(link, id)?;
        if let Some(call) = asked {
            link.exchanges.remove(&id);
            let answer = Answer::decode(&frame[..]).map_err(protocol)?;
            if self.calls.answered(call, link.id.index) {
                host.event(Event::Called { call, result: answered(answer) });
            }
        } else {
            link.exchanges.insert(id, Exchange::Answering(Writer::new(id)));
            let question = Question::decode(&frame[..]).map_err(protocol)?;
            host.event(Event::Asked { link: link.id, stream: VarInt::from(id).into_inner(), question });
        }
        Ok(())
    }
}

/// Reads to the end of a stream whose one frame has come. Only then does QUIC forget it, and lets the peer open another.
fn read_end(link: &mut Link, id: StreamId) -> Result<(), Stop> {
    let mut receive = link.connection.recv_stream(id);
    let Ok(mut chunks) = receive.read(true) else { return Ok(()) };
    let more = matches!(chunks.next(usize::MAX), Ok(Some(_)));
    let _ = chunks.finalize();
    if more { Err(protocol("more than one frame in a question or an answer").into()) } else { Ok(()) }
}

fn answered(answer: Answer) -> Result<CallOutcome, CallError> {
    match &answer.reply {
        Some(control::Reply::Refused(reason)) => Err(CallError::Refused(reason.escape_debug().to_string())),
        Some(_) => Ok(CallOutcome::Answered(answer)),
        None => Err(CallError::Refused("the peer answered in a way that is not known here".to_owned())),
    }
}

/// Opens streams for questions that wait, and writes what the exchanges have to say.
pub(super) fn write(link: &mut Link) {
    while !link.questions.is_empty()
        && let Some(id) = link.connection.streams().open(Dir::Bi)
    {
        let (call, bytes) = link.questions.pop_front().expect("not empty");
        let mut question = Writer::new(id);
        question.push(bytes);
        link.exchanges.insert(id, Exchange::Asked { call, question, answer: Deframer::default() });
        link.writing.insert(id);
    }
    let Link { writing, exchanges, connection, .. } = link;
    writing.retain(|id| {
        let (writer, last) = match exchanges.get_mut(id) {
            Some(Exchange::Asked { question, .. }) => (question, false),
            Some(Exchange::Answering(answer)) => (answer, true),
            _ => return false,
        };
        // Exchanges are few and small: trying a blocked stream again costs less than remembering which one it was.
        writer.unblocked();
        writer.write(connection, usize::MAX);
        if !writer.is_empty() {
            return true;
        }
        let _ = connection.send_stream(*id).finish();
        if last {
            exchanges.remove(id);
        }
        false
    });
}

fn encode(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    control::put(&mut out, message);
    out.freeze()
}
