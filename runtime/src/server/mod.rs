//! Typed servers: processes that are called and answer (OTP's `gen_server`).
//!
//! A [`Server`] says what it can be asked; a [`ServerRef`] says where it is. Calls are the same wherever that is: on this node
//! the request and the answer are **moved**, to another they are encoded by the server's codec.
//!
//! ```text
//!  caller                                   server
//!  Runtime::call ─► Letter, in the mailbox ─► run: Server::call(request, reply_to)
//!        │  here: the value itself                │
//!        │  away: Signal::Request, encoded        ▼
//!        └── waits in a slot of its own ◄──── ReplyTo::reply (now, or later, from anywhere)
//! ```
//! | File | Its one job |
//! |---|---|
//! | `reference` | where a server is |
//! | `call` | calls and casts, from the caller's side |
//! | `exchange` | a call on this node: the moved request, and where its caller waits |
//! | `reply` | the answer, now or later |
//! | `run` | the server's process |
//! | `start` | starting one |
//! | `codec` | how messages are encoded |
//! | `error` | why a call has no answer |
//!
//! # What must stay true
//! - **A call ends once**: by its answer, by the end of its server, by the loss of the link, or by its deadline.
//! - **An answer never reaches a mailbox**: it goes to whoever waits, or to nobody.
//! - **Who lets go of a [`ReplyTo`] answers**: its caller is told at once that there will be no answer.

mod call;
mod codec;
mod error;
mod exchange;
mod reference;
mod reply;
mod run;
mod start;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

use std::future::Future;

use regatta_proto::reason::ExitReason;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use call::CALL_TIMEOUT;
pub use codec::{CodecError, LocalOnly};
pub use error::{CallError, StartError};
pub use reference::{ServerPlace, ServerRef};
pub use reply::ReplyTo;
pub use start::ServerOptions;

use crate::actor::{Context, Received};

/// What a server can be sent, and sends: any type that serde can encode.
///
/// It is only encoded when it leaves the node. What cannot leave it is wrapped in [`LocalOnly`].
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

/// A process that is called and answers.
///
/// ```
/// use regatta::{CallError, Context, ExitReason, Next, ReplyTo, Runtime, Server};
/// use serde::{Deserialize, Serialize};
///
/// struct Counter(u64);
///
/// #[derive(Serialize, Deserialize)]
/// enum Ask {
///     Value,
///     Add(u64),
/// }
///
/// impl Server for Counter {
///     type Args = u64;
///     type Call = Ask;
///     type Reply = u64;
///     type Cast = ();
///
///     async fn init(start: u64, _: &mut Context) -> Result<Self, ExitReason> {
///         Ok(Self(start))
///     }
///
///     async fn call(&mut self, ask: Ask, caller: ReplyTo<Self>, _: &mut Context) -> Next {
///         if let Ask::Add(more) = ask {
///             self.0 += more;
///         }
///         caller.reply(self.0);
///         Next::Continue
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rt = Runtime::new();
/// let counter = rt.start::<Counter>(5).await?;
/// assert_eq!(rt.call(&counter, Ask::Add(2)).await?, 7);
/// rt.stop(&counter, ExitReason::Normal).await?;
/// assert!(matches!(rt.call(&counter, Ask::Value).await, Err(CallError::NotSent(_))));
/// # Ok(())
/// # }
/// ```
pub trait Server: Sized + Send + 'static {
    /// What it is started with. It never leaves the node.
    type Args: Send + 'static;
    /// A request that wants an answer.
    type Call: Message;
    /// The answer.
    type Reply: Message;
    /// A request that wants none; `()` if there is no such thing.
    type Cast: Message;

    /// Makes the server, inside its process. Whoever starts it waits for this.
    ///
    /// # Errors
    /// The reason that the process ends with; whoever starts it is given it.
    fn init(args: Self::Args, ctx: &mut Context) -> impl Future<Output = Result<Self, ExitReason>> + Send;

    /// Handles a call. The answer is given with [`ReplyTo::reply`], here, or later from wherever the `caller` was taken to.
    fn call(
        &mut self,
        request: Self::Call,
        caller: ReplyTo<Self>,
        ctx: &mut Context,
    ) -> impl Future<Output = Next> + Send;

    /// Handles a request that wants no answer. The default does nothing.
    fn cast(&mut self, request: Self::Cast, ctx: &mut Context) -> impl Future<Output = Next> + Send {
        let _ = (request, ctx);
        async { Next::Continue }
    }

    /// Handles what is no typed request: plain messages, trapped exits, downs. The default does nothing.
    fn info(&mut self, received: Received, ctx: &mut Context) -> impl Future<Output = Next> + Send {
        let _ = (received, ctx);
        async { Next::Continue }
    }

    /// The server ends in an orderly way: it stops itself ([`Next::Stop`]), is stopped ([`Runtime::stop`]), or traps exits and
    /// its parent asks it to end. Not called when it panics, is killed, or does not trap. The default does nothing.
    ///
    /// [`Runtime::stop`]: crate::Runtime::stop
    fn terminate(&mut self, reason: &ExitReason, ctx: &mut Context) -> impl Future<Output = ()> + Send {
        let _ = (reason, ctx);
        async {}
    }

    /// Encodes a message that leaves the node: by default with [postcard](https://postcard.jamesmunns.com/wire-format), which
    /// is compact and does not describe itself. Both nodes must agree.
    ///
    /// # Errors
    /// The message cannot be encoded.
    fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
        codec::encode(message)
    }

    /// Decodes what [`Server::encode`] has encoded. The bytes are a peer's: any may come.
    ///
    /// # Errors
    /// The bytes are no such message.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        codec::decode(bytes)
    }
}

/// What a server does after it has handled something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It waits for the next request.
    Continue,
    /// It ends with this reason, after [`Server::terminate`].
    Stop(ExitReason),
}
