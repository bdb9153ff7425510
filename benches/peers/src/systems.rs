//! The systems that this build can run.

use crate::erlang;
use crate::hydra::{self, Hydra};
use crate::layout::Layout;
use crate::raw::quinn::Quinn;
use crate::raw::udp::Udp;
use crate::regatta::{DEFAULT, Regatta, SLEEPS, SPINS};
#[cfg(feature = "remote-actors")]
use crate::remote::{self, Kameo, Ractor};
use crate::seed::Seed;
use crate::trial::{self, Outcome, Probe, Trial};
use crate::workload::{Failure, Offers, System};

/// One system under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its name in every result and on the command line.
    pub(crate) name: &'static str,
    offers: Offers,
    /// Where it can run; everywhere if there are none.
    layouts: &'static [Layout],
    /// Most far nodes.
    links_max: u32,
    /// Most pairs of client and echo with a message in flight.
    in_flight_max: u32,
    /// Whether this machine has what it needs.
    installed: fn() -> bool,
    /// What it is besides crates, if it is anything.
    version: Option<fn() -> Option<String>>,
    run: fn(&Trial) -> Result<Outcome, Failure>,
}

/// All of them, the seed first.
pub(crate) const SYSTEMS: &[Entry] = &[
    entry::<Seed>(),
    entry::<Regatta<DEFAULT>>(),
    entry::<Regatta<SLEEPS>>(),
    entry::<Regatta<SPINS>>(),
    entry::<Quinn<false>>(),
    entry::<Quinn<true>>(),
    entry::<Udp>(),
    alone::<Hydra>(hydra::LAYOUTS),
    #[cfg(feature = "remote-actors")]
    alone::<Ractor>(remote::LAYOUTS),
    #[cfg(feature = "remote-actors")]
    Entry { in_flight_max: remote::IN_FLIGHT_MAX, ..alone::<Kameo>(remote::LAYOUTS) },
    erlang::<false>("erlang"),
    erlang::<true>("erlang-tls"),
];

const fn entry<S: System>() -> Entry {
    Entry {
        name: S::NAME,
        offers: S::OFFERS,
        layouts: &[],
        links_max: u32::MAX,
        in_flight_max: u32::MAX,
        installed: || true,
        version: None,
        run: trial::run::<S>,
    }
}

/// A system with one node a process of the operating system.
const fn alone<S: System>(layouts: &'static [Layout]) -> Entry {
    Entry { layouts, links_max: 1, ..entry::<S>() }
}

const fn erlang<const TLS: bool>(name: &'static str) -> Entry {
    Entry {
        name,
        offers: erlang::OFFERS,
        layouts: erlang::LAYOUTS,
        links_max: 1,
        in_flight_max: u32::MAX,
        installed: erlang::installed,
        version: Some(erlang::version),
        run: erlang::run::<TLS>,
    }
}

/// The system of that name.
pub(crate) fn named(name: &str) -> Option<Entry> {
    SYSTEMS.iter().copied().find(|entry| entry.name == name)
}

impl Entry {
    /// What it is besides crates, in words.
    pub(crate) fn version(self) -> Option<String> {
        self.version.and_then(|version| version())
    }

    /// Whether this machine has what it needs.
    pub(crate) fn installed(self) -> bool {
        (self.installed)()
    }

    /// Whether `probe` can be asked of it, there.
    pub(crate) fn can(self, layout: Layout, links: u32, probe: Probe) -> bool {
        if links > self.links_max || !(self.layouts.is_empty() || self.layouts.contains(&layout)) {
            return false;
        }
        match probe {
            Probe::RoundTrip | Probe::Flood => true,
            Probe::Saturation(in_flight) => in_flight <= self.in_flight_max,
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
