//! The workloads on Regatta.

use regatta::{Bytes, Context, ExitReason, Next, Pid, Received, ReplyTo, Runtime, SendError, Server};
use serde::{Deserialize, Serialize};

use super::{Countdown, System, TURN, made};

/// This project.
#[derive(Debug, Clone, Copy)]
pub struct Regatta;

impl System for Regatta {
    const NAME: &'static str = "regatta";

    async fn spawn(waves: u64, wave: u64) {
        let runtime = Runtime::new();
        let body = move |context: regatta::Context| async move {
            for _ in 0..waves {
                let started: Vec<_> = (0..wave).map(|_| context.spawn(|_| async {})).collect();
                for process in started {
                    process.join().await;
                }
            }
        };
        runtime.spawn(body).join().await;
    }

    async fn park(count: u64) -> Box<dyn Send> {
        let runtime = Runtime::new();
        let parked = Countdown::new(count);
        for _ in 0..count {
            let parked = parked.clone();
            runtime.spawn(|mut context| async move {
                parked.arrive();
                drop(parked);
                context.recv().await;
            });
        }
        parked.wait().await;
        Box::new(runtime)
    }

    async fn ping_pong(pairs: u64, rounds: u64) {
        let runtime = Runtime::new();
        let mut pings = Vec::new();
        for _ in 0..pairs {
            let pong = runtime.spawn(move |mut context| async move {
                // The first message says who asks.
                let Received::Message(first) = context.recv().await else { return };
                let ping = pid(context.pid(), &first);
                let _ = context.try_send(ping, first);
                for _ in 1..rounds {
                    let Received::Message(message) = context.recv().await else { return };
                    let _ = context.try_send(ping, message);
                }
            });
            let pong = pong.pid();
            pings.push(runtime.spawn(move |mut context| async move {
                let mut message = Bytes::copy_from_slice(&context.pid().serial().to_le_bytes());
                for _ in 0..rounds {
                    let _ = context.try_send(pong, message);
                    let Received::Message(back) = context.recv().await else { return };
                    message = back;
                }
            }));
        }
        for ping in pings {
            ping.join().await;
        }
    }

    async fn fan_in(senders: u64, each: u64, body: usize) {
        let runtime = Runtime::new();
        let sink = runtime.spawn(move |mut context| async move {
            for _ in 0..senders * each {
                std::hint::black_box(context.recv().await);
            }
        });
        for _ in 0..senders {
            let to = sink.pid();
            runtime.spawn(move |context| async move {
                for sent in 0..each {
                    while let Err(SendError::MailboxFull) = context.try_send(to, made(body)) {
                        context.yield_now().await;
                    }
                    if sent % TURN == TURN - 1 {
                        context.yield_now().await;
                    }
                }
            });
        }
        sink.join().await;
    }

    async fn call(clients: u64, rounds: u64) -> bool {
        let runtime = Runtime::new();
        let server = runtime.start::<Adder>(()).await.expect("it starts");
        let mut callers = Vec::new();
        for _ in 0..clients {
            let server = server.clone();
            callers.push(runtime.spawn(move |context| async move {
                for round in 0..rounds {
                    let answer = context.call(&server, Add(round)).await.expect("it answers");
                    std::hint::black_box(answer);
                }
            }));
        }
        for caller in callers {
            caller.join().await;
        }
        runtime.stop(&server, ExitReason::Normal).await.expect("it lives");
        true
    }
}

#[derive(Serialize, Deserialize)]
struct Add(u64);

struct Adder {
    sum: u64,
}

impl Server for Adder {
    type Args = ();
    type Call = Add;
    type Reply = u64;
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self { sum: 0 })
    }

    async fn call(&mut self, Add(amount): Add, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        self.sum += amount;
        caller.reply(self.sum);
        Next::Continue
    }
}

fn pid(beside: Pid, bytes: &[u8]) -> Pid {
    Pid::new(beside.incarnation(), u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")))
}
