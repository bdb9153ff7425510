//! The server's process: one loop that takes the next thing out of the mailbox and handles it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Unanswered;
use tokio::sync::oneshot;

use super::exchange::{Cast, Exchange, Lost};
use super::reply::ReplyTo;
use super::{Next, Server, StartError};
use crate::actor::letter::{Letter, Posted, Request};
use crate::actor::{Context, Received, RegisterError, links, poll};

/// How the start went, for whoever waits for it.
pub(super) type Started = oneshot::Sender<Result<(), StartError>>;

/// Asks a server of this node to end in an orderly way.
pub(super) struct Stop(pub(super) ExitReason);

impl Letter for Stop {
    fn bytes(&self) -> u64 {
        0
    }

    fn unanswered(&self, _: Unanswered) {}
}

/// The body of a server's process.
pub(super) async fn serve<S: Server>(
    mut ctx: Context,
    args: S::Args,
    name: Option<String>,
    started: Started,
) -> ExitReason {
    let (mut server, started) = match begin::<S>(&mut ctx, args, name).await {
        Ok(server) => (server, started),
        Err((error, reason)) => {
            // Whoever starts it hears of this by the error alone.
            if let Some(parent) = parent(&ctx) {
                links::unlink(ctx.cell(), parent);
            }
            ctx.ends();
            let _nobody_waits = started.send(Err(error));
            return reason;
        }
    };
    let _nobody_waits = started.send(Ok(()));
    let reason = loop {
        let next = match ctx.next().await {
            Ok(received) => match asked_to_end(&ctx, &received) {
                Some(reason) => break reason,
                None => server.info(received, &mut ctx).await,
            },
            Err(letter) => match Order::<S>::of(letter) {
                Order::Call(request, caller) => server.call(request, caller, &mut ctx).await,
                Order::Cast(request) => server.cast(request, &mut ctx).await,
                Order::Stop(reason) => Next::Stop(reason),
                Order::Nothing => Next::Continue,
            },
        };
        if let Next::Stop(reason) = next {
            break reason;
        }
    };
    ctx.ends();
    server.terminate(&reason, &mut ctx).await;
    reason
}

/// Makes the server: its name first, so that whoever finds the name taken does nothing else.
async fn begin<S: Server>(
    ctx: &mut Context,
    args: S::Args,
    name: Option<String>,
) -> Result<S, (StartError, ExitReason)> {
    if let Some(name) = name {
        ctx.register(name).map_err(|error| {
            let error = match error {
                RegisterError::Taken { by } => StartError::Taken { by },
                RegisterError::BadName => StartError::BadName,
                RegisterError::NoProc => StartError::Init(ExitReason::NoProc),
            };
            let reason = ExitReason::custom(error.to_string());
            (error, reason)
        })?;
    }
    let made = unpanicked(S::init(args, ctx)).await;
    made.map_err(poll::panic_reason)
        .and_then(|made| made)
        .map_err(|reason| (StartError::Init(reason.clone()), reason))
}

/// Gives a panic of `future` as an error.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|poller| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(poller))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

/// The reason of a trapped exit that is a request to end: of the parent, or of the node.
fn asked_to_end(ctx: &Context, received: &Received) -> Option<ExitReason> {
    match received {
        Received::Exit { from, reason } if from.serial() == 0 || Some(*from) == parent(ctx) => {
            Some(reason.clone())
        }
        _ => None,
    }
}

fn parent(ctx: &Context) -> Option<regatta_proto::id::Pid> {
    ctx.runtime().parent(ctx.cell())
}

/// What a letter asks of the server.
enum Order<S: Server> {
    Call(S::Call, ReplyTo<S>),
    Cast(S::Cast),
    Stop(ExitReason),
    /// It was refused: its bytes are no request, or it is for a server of another type.
    Nothing,
}

impl<S: Server> Order<S> {
    fn of(letter: Posted) -> Self {
        let letter: Arc<dyn Letter> = letter.open();
        let any: Arc<dyn Any + Send + Sync> = Arc::clone(&letter) as _;
        let any = match any.downcast::<Exchange<S>>() {
            Ok(exchange) => return Self::call(exchange),
            Err(any) => any,
        };
        let any = match any.downcast::<Cast<S>>() {
            Ok(cast) => return cast.request().map_or(Self::Nothing, Self::Cast),
            Err(any) => any,
        };
        let any = match any.downcast::<Request>() {
            Ok(request) => return Self::remote(request),
            Err(any) => any,
        };
        match any.downcast::<Stop>() {
            Ok(stop) => Self::Stop(stop.0.clone()),
            Err(_) => {
                letter.unanswered(Unanswered::NoServer);
                Self::Nothing
            }
        }
    }

    fn call(exchange: Arc<Exchange<S>>) -> Self {
        match exchange.request() {
            Some(request) => Self::Call(request, ReplyTo::here(exchange)),
            None => {
                exchange.answer(Err(Lost { why: Unanswered::NoReply, panicking: false }));
                Self::Nothing
            }
        }
    }

    fn remote(request: Arc<Request>) -> Self {
        if request.is_call() {
            match S::decode(&request.body) {
                Ok(call) => return Self::Call(call, ReplyTo::away(request)),
                Err(error) => {
                    tracing::debug!(from = %request.from, server = std::any::type_name::<S>(), %error, "no request");
                    request.answer(Err(Unanswered::BadRequest));
                }
            }
        } else {
            match S::decode(&request.body) {
                Ok(cast) => return Self::Cast(cast),
                Err(error) => {
                    tracing::debug!(from = %request.from, server = std::any::type_name::<S>(), %error, "no request");
                }
            }
        }
        Self::Nothing
    }
}
