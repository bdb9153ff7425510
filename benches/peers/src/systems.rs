//! The systems that this build can run.

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
}

/// All of them, the seed first.
pub(crate) const SYSTEMS: [Entry; 6] = [
    entry::<Seed>(),
    entry::<Regatta<true>>(),
    entry::<Regatta<false>>(),
    entry::<Quinn<false>>(),
    entry::<Quinn<true>>(),
    entry::<Udp>(),
];

const fn entry<S: System>() -> Entry {
    Entry { name: S::NAME, offers: S::OFFERS, run: trial::run::<S> }
}

/// The system of that name.
pub(crate) fn named(name: &str) -> Option<Entry> {
    SYSTEMS.into_iter().find(|entry| entry.name == name)
}

impl Entry {
    /// Whether `probe` can be asked of it.
    pub(crate) const fn can(self, probe: Probe) -> bool {
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
