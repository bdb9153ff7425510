//! The workloads on ractor.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use regatta_benches::local::{Countdown, System, TURN, made};

pub(crate) struct Ractor;

impl System for Ractor {
    const NAME: &'static str = "ractor";

    async fn spawn(waves: u64, wave: u64) {
        let spawner = tokio::spawn(async move {
            for _ in 0..waves {
                let mut started = Vec::new();
                for _ in 0..wave {
                    let (_, ended) = Actor::spawn(None, Ends, ()).await.expect("it starts");
                    started.push(ended);
                }
                for ended in started {
                    let _ = ended.await;
                }
            }
        });
        spawner.await.expect("it does not panic");
    }

    async fn park(count: u64) -> Box<dyn Send> {
        let mut kept = Vec::new();
        for _ in 0..count {
            kept.push(Actor::spawn(None, Waits, ()).await.expect("it starts").0);
        }
        Box::new(kept)
    }

    async fn ping_pong(pairs: u64, rounds: u64) {
        let mut pings = Vec::new();
        for _ in 0..pairs {
            let (pong, _) = Actor::spawn(None, Pong, ()).await.expect("it starts");
            pings.push(Actor::spawn(None, Ping, (pong, rounds)).await.expect("it starts").1);
        }
        for ping in pings {
            let _ = ping.await;
        }
    }

    async fn fan_in(senders: u64, each: u64, body: usize) {
        let (sink, ended) = Actor::spawn(None, Sink, senders * each).await.expect("it starts");
        for _ in 0..senders {
            let to = sink.clone();
            tokio::spawn(async move {
                for sent in 0..each {
                    to.cast(Body(made(body))).expect("it lives");
                    if sent % TURN == TURN - 1 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        let _ = ended.await;
    }

    async fn call(clients: u64, rounds: u64) -> bool {
        let (server, ended) = Actor::spawn(None, Server, ()).await.expect("it starts");
        let done = Countdown::new(clients);
        for _ in 0..clients {
            let (server, done) = (server.clone(), done.clone());
            tokio::spawn(async move {
                for round in 0..rounds {
                    let answer = ractor::call!(server, Add, round).expect("it answers");
                    std::hint::black_box(answer);
                }
                done.arrive();
            });
        }
        done.wait().await;
        server.stop(None);
        let _ = ended.await;
        true
    }
}

struct Ends;

impl Actor for Ends {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        myself.stop(None);
        Ok(())
    }
}

struct Waits;

impl Actor for Waits {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

struct Turn {
    ping: ActorRef<()>,
}

struct Pong;

impl Actor for Pong {
    type Msg = Turn;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Turn>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Turn>, turn: Turn, (): &mut ()) -> Result<(), ActorProcessingErr> {
        // Whoever asked may have all its rounds.
        let _ = turn.ping.cast(());
        Ok(())
    }
}

struct Ping;

impl Actor for Ping {
    type Msg = ();
    type State = (ActorRef<Turn>, u64);
    type Arguments = (ActorRef<Turn>, u64);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (pong, rounds): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        pong.cast(Turn { ping: myself })?;
        Ok((pong, rounds))
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.1 -= 1;
        if state.1 == 0 {
            state.0.stop(None);
            myself.stop(None);
        } else {
            state.0.cast(Turn { ping: myself })?;
        }
        Ok(())
    }
}

struct Body(#[expect(dead_code, reason = "carried and dropped, as a message nobody reads")] Vec<u8>);

struct Sink;

impl Actor for Sink {
    type Msg = Body;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<Body>, count: u64) -> Result<u64, ActorProcessingErr> {
        Ok(count)
    }

    async fn handle(
        &self,
        myself: ActorRef<Body>,
        body: Body,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        std::hint::black_box(body);
        *count -= 1;
        if *count == 0 {
            myself.stop(None);
        }
        Ok(())
    }
}

enum Request {
    Add(u64, RpcReplyPort<u64>),
}
use Request::Add;

struct Server;

impl Actor for Server {
    type Msg = Request;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Request>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Request>,
        Add(amount, reply): Request,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        *sum += amount;
        reply.send(*sum)?;
        Ok(())
    }
}
