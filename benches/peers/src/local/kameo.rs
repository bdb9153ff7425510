//! The workloads on kameo.

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

use regatta_benches::local::{Countdown, System, TURN, made};

pub(crate) struct Kameo;

impl System for Kameo {
    const NAME: &'static str = "kameo";

    async fn spawn(waves: u64, wave: u64) {
        let spawner = tokio::spawn(async move {
            for _ in 0..waves {
                let started: Vec<_> = (0..wave)
                    .map(|_| {
                        let started = Waits::spawn_with_mailbox(Waits, mailbox::unbounded());
                        started.kill();
                        started
                    })
                    .collect();
                for started in started {
                    started.wait_for_shutdown().await;
                }
            }
        });
        spawner.await.expect("it does not panic");
    }

    async fn park(count: u64) -> Box<dyn Send> {
        let mut kept = Vec::new();
        for _ in 0..count {
            kept.push(Waits::spawn_with_mailbox(Waits, mailbox::unbounded()));
        }
        for waits in &kept {
            waits.wait_for_startup().await;
        }
        Box::new(kept)
    }

    async fn ping_pong(pairs: u64, rounds: u64) {
        let mut pings = Vec::new();
        for _ in 0..pairs {
            let pong = Pong::spawn_with_mailbox(Pong, mailbox::unbounded());
            let ping = Ping { pong, rounds };
            let ping = Ping::spawn_with_mailbox(ping, mailbox::unbounded());
            ping.tell(Back).await.expect("it lives");
            pings.push(ping);
        }
        for ping in pings {
            ping.wait_for_shutdown().await;
        }
    }

    async fn fan_in(senders: u64, each: u64, body: usize) {
        let sink = Sink { left: senders * each };
        let sink = Sink::spawn_with_mailbox(sink, mailbox::unbounded());
        for _ in 0..senders {
            let to = sink.clone();
            tokio::spawn(async move {
                for sent in 0..each {
                    to.tell(Body(made(body))).await.expect("it lives");
                    if sent % TURN == TURN - 1 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        sink.wait_for_shutdown().await;
    }

    async fn call(clients: u64, rounds: u64) -> bool {
        let server = Server::spawn_with_mailbox(Server { sum: 0 }, mailbox::unbounded());
        let done = Countdown::new(clients);
        for _ in 0..clients {
            let (server, done) = (server.clone(), done.clone());
            tokio::spawn(async move {
                for round in 0..rounds {
                    let answer = server.ask(Add(round)).await.expect("it answers");
                    std::hint::black_box(answer);
                }
                done.arrive();
            });
        }
        done.wait().await;
        server.kill();
        server.wait_for_shutdown().await;
        true
    }
}

#[derive(Actor)]
struct Waits;

struct Turn(ActorRef<Ping>);
struct Back;

#[derive(Actor)]
struct Pong;

impl Message<Turn> for Pong {
    type Reply = ();

    async fn handle(&mut self, Turn(ping): Turn, _: &mut Context<Self, ()>) {
        // Whoever asked may have all its rounds.
        let _ = ping.tell(Back).await;
    }
}

#[derive(Actor)]
struct Ping {
    pong: ActorRef<Pong>,
    rounds: u64,
}

impl Message<Back> for Ping {
    type Reply = ();

    async fn handle(&mut self, _: Back, context: &mut Context<Self, ()>) {
        if self.rounds == 0 {
            self.pong.kill();
            context.actor_ref().kill();
        } else {
            self.rounds -= 1;
            let turn = Turn(context.actor_ref().clone());
            self.pong.tell(turn).await.expect("it lives");
        }
    }
}

struct Body(#[expect(dead_code, reason = "carried and dropped, as a message nobody reads")] Vec<u8>);

#[derive(Actor)]
struct Sink {
    left: u64,
}

impl Message<Body> for Sink {
    type Reply = ();

    async fn handle(&mut self, body: Body, context: &mut Context<Self, ()>) {
        std::hint::black_box(body);
        self.left -= 1;
        if self.left == 0 {
            context.actor_ref().kill();
        }
    }
}

struct Add(u64);

#[derive(Actor)]
struct Server {
    sum: u64,
}

impl Message<Add> for Server {
    type Reply = u64;

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self, u64>) -> u64 {
        self.sum += amount;
        self.sum
    }
}
