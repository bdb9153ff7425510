//! What loads tell of a server that pauses, and of a generator that stalls: on two nodes with real QUIC between them.

use std::time::{Duration, Instant};

use regatta::{ClusterNode, Identity, Pid, Runtime};

use super::open::{self, Offer};
use super::{Enough, Figures, LoadError, Receivers, Source, closed, run, search};
use crate::behaviour::message::{Kind, Message};
use crate::scenario::action::Address;
use crate::scenario::load::{Amount, Arrivals, Load, LoadModel, Round};

const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn load(model: LoadModel, length: Duration) -> Load {
    Load {
        id: "load".to_owned(),
        line: 1,
        after: None,
        from: "a".to_owned(),
        round: Round::One(Address::Global("echo".to_owned())),
        model,
        payload: 64,
        mix: Vec::new(),
        senders: 1,
        warmup: Duration::from_millis(100),
        amount: Amount::Duration(length),
        slices: 1,
        work: Duration::ZERO,
    }
}

/// Two linked nodes, and on the second an echo that pauses once, half a second after its first message, if it `pauses`.
async fn pair(pauses: bool) -> (Source, ClusterNode, Pid) {
    let identity = Identity::generate().expect("an identity");
    let bind = |name| {
        ClusterNode::bind(name, Runtime::new(), ([127, 0, 0, 1], 0).into(), &identity)
            .expect("loopback can be bound")
    };
    let (a, b) = (bind("a"), bind("b"));
    a.connect(b.local_addr().expect("it is bound")).await.expect("they share an identity");
    let echo = b.runtime().spawn(move |mut context| async move {
        let (mut first, mut left) = (None, pauses);
        while let Some(bytes) = context.recv().await.message() {
            let since = first.get_or_insert_with(Instant::now).elapsed();
            if left && since > Duration::from_millis(500) {
                left = false;
                tokio::time::sleep(PAUSE).await;
            }
            let Some(request) = Message::read(bytes).filter(|message| message.kind == Kind::Request) else {
                continue;
            };
            // The load may have ended.
            let _ = context.send(request.from, request.reply(context.pid(), None)).await;
        }
    });
    (Source::new(a, || None), b, echo.pid())
}

fn offer(rate: f64, length: Duration) -> Offer {
    Offer { from: rate, to: rate, arrivals: Arrivals::Constant, warmup: Duration::ZERO, length, seed: 7 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_pause_shows_in_the_open_p99_and_not_in_the_closed_one() {
    let length = Duration::from_secs(2);
    let (a, _b, echo) = pair(true).await;
    let open = load(LoadModel::Open { rate: 1_000.0, arrivals: Arrivals::Constant }, length);
    // On a busy machine the generator may be late, which adds to these times: they can only grow.
    let open = open::run(&open, &a, echo, offer(1_000.0, length), |_| {}).await.expect("it measures");
    let (a, _b, echo) = pair(true).await;
    let closed = closed::run(
        &load(LoadModel::Closed { in_flight: vec![1] }, length),
        &a,
        Receivers::Each([echo].into()),
        1,
    )
    .await;
    let closed = closed.expect("it measures");
    let half = PAUSE.as_nanos() as u64 / 2;
    // Both saw the pause: of the closed load it is one response.
    assert!(open.histogram.max() >= half && closed.histogram.max() >= half);
    // A hundred of two thousand requests were due in it, half of them in its first half.
    assert!(open.histogram.value_at_quantile(0.99) >= half, "{}", open.histogram.value_at_quantile(0.99));
    assert!(closed.histogram.value_at_quantile(0.99) < half, "{}", closed.histogram.value_at_quantile(0.99));
    // From the actual sending it is the same here: nothing kept the generator from sending in time.
    assert!(open.service.expect("an open load has it").value_at_quantile(0.99) >= half);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_that_stalls_is_invalid_and_no_good_latency() {
    let length = Duration::from_secs(1);
    let (a, _b, echo) = pair(false).await;
    let load = load(LoadModel::Open { rate: 1_000.0, arrivals: Arrivals::Constant }, length);
    let stalled = open::run(&load, &a, echo, offer(1_000.0, length), |index| {
        if index == 300 {
            std::thread::sleep(PAUSE);
        }
    });
    let stalled = stalled.await.expect("it measures");
    let Err(LoadError::Late { share, worst }) = open::punctual(&stalled) else {
        panic!("a stall of 100 ms went unnoticed");
    };
    // What was due in the stall, a hundred of a thousand, left late.
    assert!(share >= 0.09 && worst >= PAUSE - Duration::from_millis(2), "{share} {worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_over_rates_tells_what_it_tried_and_a_trial_that_held() {
    let (a, _b, echo) = pair(false).await;
    let load = load(
        LoadModel::Search { in_flight: Vec::new(), goal: None, arrivals: Arrivals::Poisson },
        Duration::from_millis(100),
    );
    let found = match search::run(&load, &a, echo, None, Arrivals::Poisson, 1, Enough::ANY).await {
        Err(LoadError::Inconclusive(why)) => return eprintln!("not judged, on a busy machine: {why}"),
        found => found.expect("it measures"),
    };
    let figures = Figures::of_search(&load, found);
    // The first is at a thousand, and those after it are elsewhere.
    assert!((700.0..1_400.0).contains(&figures.ladder[0].offered_rate), "{}", figures.ladder[0].offered_rate);
    assert!(figures.ladder.len() > 16 && figures.ladder.iter().any(|trial| trial.offered_rate > 2_000.0));
    assert!(figures.rate >= 1.0 && figures.rate_margin.is_some_and(|margin| margin > 0.0), "{figures:?}");
    assert_eq!((figures.errors, figures.replies, figures.model), (0, figures.requests, "search"));
    assert!(figures.p99_us <= 20_000.0, "{}", figures.p99_us);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ramp_of_mixed_sizes_answers_what_it_offers() {
    let (a, _b, echo) = pair(false).await;
    let ramp = LoadModel::Ramp { rate: 200.0, rate_end: 1_800.0, arrivals: Arrivals::Poisson };
    let load = Load { mix: vec![(64, 9), (4_096, 1)], senders: 3, ..load(ramp, Duration::from_secs(1)) };
    let figures = match run(&load, &a, &[echo], None).await {
        Err(LoadError::Late { .. }) => {
            return eprintln!("not judged: the generator could not keep its times");
        }
        figures => figures.expect("it measures"),
    };
    assert_eq!((figures.errors, figures.replies), (0, figures.requests));
    // A thousand on average; four standard deviations of a Poisson process.
    assert!((875..1_125).contains(&figures.requests), "{}", figures.requests);
    assert!(figures.log.lines().count() >= 10, "an interval each 100 ms: {}", figures.log);
}
