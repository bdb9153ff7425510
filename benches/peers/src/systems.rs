//! The systems that this build can run.

use crate::erlang;
use crate::hydra::Hydra;
use crate::layout::Layout;
use crate::raw::quinn::Quinn;
use crate::raw::udp::Udp;
use crate::regatta::Regatta;
use crate::seed::Seed;
use crate::trial::{self, Outcome, Probe, Trial};
use crate::workload::{Failure, Offers, System};

/// One system under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its name in every result and on the command line.
    pub(crate) name: &'static str,
    offers: Offers,
    run: fn(&Trial) -> Result<Outcome, Failure>,
    /// Whether it is a virtual machine of its own, with its own copy of the workload.
    foreign: bool,
}

/// All of them, the seed first.
pub(crate) const SYSTEMS: [Entry; 9] = [
    entry::<Seed>(),
    entry::<Regatta<true>>(),
    entry::<Regatta<false>>(),
    entry::<Quinn<false>>(),
    entry::<Quinn<true>>(),
    entry::<Udp>(),
    entry::<Hydra>(),
    foreign("erlang", |trial| erlang::run(trial, false)),
    foreign("erlang-tls", |trial| erlang::run(trial, true)),
];

const fn entry<S: System>() -> Entry {
    Entry { name: S::NAME, offers: S::OFFERS, run: trial::run::<S>, foreign: false }
}

const fn foreign(name: &'static str, run: fn(&Trial) -> Result<Outcome, Failure>) -> Entry {
    let offers = Offers { spawn: false, handshake: false, bulk: false, mesh: false, reliable: true, many: false };
    Entry { name, offers, run, foreign: true }
}

/// The system of that name.
pub(crate) fn named(name: &str) -> Option<Entry> {
    SYSTEMS.into_iter().find(|entry| entry.name == name)
}

impl Entry {
    /// Why this machine cannot run it.
    pub(crate) fn missing(self) -> Option<&'static str> {
        if self.foreign { erlang::missing() } else { None }
    }

    /// Whether `probe` can be asked of it in `layout`, over so many links.
    pub(crate) const fn can(self, probe: Probe, layout: Layout, links: u32) -> bool {
        if self.foreign {
            return erlang::can(probe, layout, links);
        }
        let apart = matches!(layout, Layout::TwoProcesses | Layout::TwoProcesses1w) && links == 1;
        if !self.offers.many && !apart {
            return false;
        }
        match probe {
            Probe::RoundTrip | Probe::Saturation(_) | Probe::Flood => true,
            Probe::Loss => self.offers.reliable,
            Probe::Bulk => self.offers.bulk,
            Probe::Spawn => self.offers.spawn,
            Probe::Handshake => self.offers.handshake,
        }
    }

    /// Runs a trial of it, in this process.
    pub(crate) fn run(self, trial: &Trial) -> Result<Outcome, Failure> {
        (self.run)(trial)
    }
}
