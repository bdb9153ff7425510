//! The workloads on rusm-otp.

use rusm_otp::{Pid, Received, Runtime};

use regatta_benches::local::{Countdown, System, TURN, made};

pub(crate) struct Rusm;

impl System for Rusm {
    const NAME: &'static str = "rusm-otp";

    async fn spawn(waves: u64, wave: u64) {
        let runtime = Runtime::new();
        let spawner = runtime.clone();
        let body = move |_| async move {
            for _ in 0..waves {
                let started: Vec<_> = (0..wave).map(|_| spawner.spawn(|_| async {})).collect();
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
            let send = runtime.clone();
            let pong = runtime.spawn(move |mut context| async move {
                // The first message says who asks.
                let Received::Message(first) = context.recv().await else { return };
                let ping = pid(&first);
                send.send(ping, first);
                for _ in 1..rounds {
                    let Received::Message(message) = context.recv().await else { return };
                    send.send(ping, message);
                }
            });
            let (send, pong) = (runtime.clone(), pong.pid());
            pings.push(runtime.spawn(move |mut context| async move {
                let mut message = context.pid().raw().to_le_bytes().to_vec();
                for _ in 0..rounds {
                    send.send(pong, message);
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
            let (send, to) = (runtime.clone(), sink.pid());
            runtime.spawn(move |_| async move {
                for sent in 0..each {
                    send.send(to, made(body));
                    // Nothing in the system makes a sender stop, so that others run.
                    if sent % TURN == TURN - 1 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        sink.join().await;
    }

    async fn call(_clients: u64, _rounds: u64) -> bool {
        false
    }
}

fn pid(bytes: &[u8]) -> Pid {
    Pid::from_raw(u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")))
}
