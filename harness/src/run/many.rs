//! Many runs at the same time, within what the machine has.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::sync::watch;

use super::{Outcome, RunOptions, RunReport};
use crate::scenario::{Scenario, World};

/// Nodes from which a scenario in real time takes two places: five that mostly wait for each other keep half a core busy.
const HEAVY_NODES: usize = 8;

/// One run that is to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Where.
    pub world: World,
    /// With which seed.
    pub seed: u64,
    /// Whether a run that passes is made again, to see that it repeats: in virtual time both must be equal.
    pub twice: bool,
}

impl Job {
    /// Makes the run. A panic of the harness is the run's outcome, and nobody else's.
    fn run(&self, options: &RunOptions) -> RunReport {
        let asked = options.explain;
        let options = RunOptions { seed: self.seed, ..options.clone() };
        let twice = self.twice && self.world == World::Sim;
        let options = RunOptions { explain: options.explain || twice, ..options };
        let once = || super::run(self.scenario.clone(), self.world, &options);
        let run = || {
            let mut first = once();
            if twice && first.outcome == Outcome::Pass {
                let second = once();
                if first.digest == second.digest {
                    first.remains = first.remains.filter(|_| asked);
                } else {
                    let message = difference(&first, &second);
                    first.add(Outcome::Invalid, "digest", message);
                }
            }
            first
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let mut report = RunReport::new(self.scenario.clone(), self.world, self.seed);
            report.add(Outcome::Internal, "harness", format!("it panicked: {text}"));
            report
        })
    }

    /// How many of `places` it takes. What measures takes all: nothing runs beside it.
    #[must_use]
    pub fn weight(&self, places: usize) -> usize {
        if !self.scenario.loads.is_empty() {
            places
        } else if self.world != World::Sim && self.scenario.nodes.len() >= HEAVY_NODES {
            2.min(places)
        } else {
            1
        }
    }
}

/// Where two runs with one seed went different ways.
fn difference(one: &RunReport, other: &RunReport) -> String {
    let hex = |digest: Option<u64>| digest.map_or_else(String::new, |it| format!("{it:016x}"));
    let mut message = format!(
        "the run does not repeat: with the same seed its digest was {}, and then {}",
        hex(one.digest),
        hex(other.digest)
    );
    if let (Some(one), Some(other)) = (&one.remains, &other.remains) {
        let datagrams = one.captured.iter().zip(&other.captured).find(|(one, other)| {
            (one.at_ns, one.from, one.to, one.data.len(), one.dropped)
                != (other.at_ns, other.from, other.to, other.data.len(), other.dropped)
        });
        if let Some((one, other)) = datagrams {
            for datagram in [one, other] {
                message.push_str(&format!(
                    "\ndatagram at {} ns from {} to {}, {} bytes",
                    datagram.at_ns,
                    datagram.from,
                    datagram.to,
                    datagram.data.len()
                ));
            }
        }
        let events = one.events.iter().zip(&other.events).find(|(one, other)| one != other);
        if let Some((one, other)) = events {
            for event in [one, other] {
                message.push_str(&format!("\nevent at {} ns: {:?}", event.at_ns, event.what));
            }
        }
    }
    message
}

/// What becomes of the jobs, as it happens.
#[derive(Debug)]
pub enum Progress {
    /// The job with this index has begun.
    Begun(usize),
    /// It has ended.
    Ended(usize, Box<RunReport>),
}

/// Runs all jobs, in order, as many at a time as fit into `places`; tells of each as it begins and ends. Once `stop` is
/// true none begins any more.
pub fn run_all(
    jobs: &[Job],
    places: usize,
    stop: &watch::Receiver<bool>,
    options: &RunOptions,
    mut tell: impl FnMut(Progress),
) {
    let places = places.max(1);
    let (done, ended): (Sender<(usize, usize, RunReport)>, Receiver<_>) = channel();
    let mut waiting: VecDeque<usize> = (0..jobs.len()).collect();
    let (mut free, mut running) = (places, 0);
    thread::scope(|scope| {
        loop {
            while let Some(&next) = waiting.front()
                && !*stop.borrow()
            {
                let job = &jobs[next];
                let weight = job.weight(places);
                if weight > free {
                    break;
                }
                waiting.pop_front();
                free -= weight;
                running += 1;
                tell(Progress::Begun(next));
                let told = done.clone();
                let run = move || {
                    // The other end waits for as long as anything runs.
                    let _ = told.send((next, weight, job.run(options)));
                };
                let builder = thread::Builder::new().name(format!("run {next}"));
                if let Err(error) = builder.spawn_scoped(scope, run) {
                    let mut report = RunReport::new(job.scenario.clone(), job.world, job.seed);
                    report.add(Outcome::Internal, "harness", format!("no thread: {error}"));
                    let _ = done.send((next, weight, report));
                }
            }
            if running == 0 {
                return;
            }
            let Ok((index, weight, report)) = ended.recv() else { return };
            (free, running) = (free + weight, running - 1);
            tell(Progress::Ended(index, Box::new(report)));
        }
    });
}
