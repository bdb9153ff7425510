//! Links and monitors that cross a link, so that its loss fires each of them exactly once.
//!
//! The processes themselves know whom they are linked to and whom they watch. This table only remembers which of that
//! goes by which link: it is filled as the signals pass, in the order of their lanes, and emptied when the link ends.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::id::{Pid, Reference};
use crate::link::outgoing::Track;
use crate::signal::Signal;

/// What crosses one link.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// Local process and remote process that are linked.
    links: BTreeSet<(u64, u64)>,
    /// Local process that took its link back, remote process: the number of the act, until it is acknowledged.
    unlinking: BTreeMap<(u64, u64), u64>,
    /// Our monitors on the peer's processes: watcher and target by reference.
    monitoring: BTreeMap<Reference, (u64, Pid)>,
    /// Our calls that the peer has not answered: caller and target by reference.
    asking: BTreeMap<Reference, (u64, Pid)>,
    /// The peer's monitors on our processes: local target, remote watcher, reference.
    watched: BTreeSet<(u64, u64, Reference)>,
    /// Remote spawns that were given up before their answer: a child that starts all the same must be told.
    given_up: FxHashMap<u64, Wanted>,
}

/// What the loss of a link does, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A local process was linked to a process of the peer.
    Link { local: u64, remote: u64 },
    /// A local process had taken its link back, and the acknowledgement can come no more.
    Unlink { local: u64, remote: u64, id: u64 },
    /// A local process monitored a process of the peer.
    Monitor { watcher: u64, target: Pid, reference: Reference },
    /// A process of the peer monitored a local one.
    Watcher { target: u64, watcher: u64, reference: Reference },
}

impl Watches {
    /// What counts against the bound of a link. Calls do not: whoever makes them bounds them.
    pub(crate) fn len(&self) -> usize {
        let given_up = self.given_up.len();
        self.links.len() + self.unlinking.len() + self.monitoring.len() + self.watched.len() + given_up
    }

    /// A frame of ours is on its way.
    pub(crate) fn sent(&mut self, track: &Track) {
        match track {
            Track::Linked { local, remote } => {
                self.unlinking.remove(&(*local, remote.serial()));
                self.links.insert((*local, remote.serial()));
            }
            Track::Unlinking { local, remote, id } => {
                self.links.remove(&(*local, remote.serial()));
                self.unlinking.insert((*local, remote.serial()), *id);
            }
            Track::Unlinked { local, remote } => {
                self.links.remove(&(*local, remote.serial()));
            }
            Track::Monitoring { watcher, reference, target } => {
                self.monitoring.insert(*reference, (*watcher, *target));
            }
            Track::Demonitored { reference, .. } => {
                self.monitoring.remove(reference);
                self.asking.remove(reference);
            }
            Track::Asking { caller, reference, target } => {
                self.asking.insert(*reference, (*caller, *target));
            }
            Track::DownSent { target, watcher, reference } => {
                self.watched.remove(&(*target, watcher.serial(), *reference));
            }
            Track::Watched { target, watcher, reference } => {
                self.watched.insert((*target, watcher.serial(), *reference));
            }
            Track::Call { .. } => {}
        }
    }

    /// A signal of the peer's process `from` arrived for the local process `to`; whether it may be delivered.
    pub(crate) fn received(&mut self, from: u64, to: u64, signal: &Signal) -> bool {
        match signal {
            // Sent before the peer knew that the link was taken back: it makes none.
            Signal::Link if self.unlinking.contains_key(&(to, from)) => {}
            Signal::Link => {
                self.links.insert((to, from));
            }
            Signal::Unlink { .. } => {
                self.links.remove(&(to, from));
            }
            Signal::LinkExit(_) => {
                self.links.remove(&(to, from));
                self.unlinking.remove(&(to, from));
            }
            Signal::UnlinkAck { id } => {
                if self.unlinking.get(&(to, from)) == Some(id) {
                    self.unlinking.remove(&(to, from));
                }
            }
            Signal::Monitor { reference } => {
                self.watched.insert((to, from, *reference));
            }
            Signal::Demonitor { reference } => {
                self.watched.remove(&(to, from, *reference));
            }
            // An answer to a call that was given up, or to nobody's, is dropped.
            Signal::Reply { reference, .. } => return self.asking.remove(reference).is_some(),
            Signal::Down { reference, .. } if self.asking.remove(reference).is_some() => {}
            // A monitor that we do not have (any more), or that is on somebody else, does not fire.
            Signal::Down { reference, .. } => {
                let ours = self.monitoring.get(reference);
                if !ours.is_some_and(|(watcher, target)| *watcher == to && target.serial() == from) {
                    return false;
                }
                if !planted!(DownTwice) {
                    self.monitoring.remove(reference);
                }
            }
            Signal::Message(_) | Signal::Request { .. } | Signal::Exit(_) => {}
        }
        true
    }

    /// A child was started for us, linked or monitored from the start.
    pub(crate) fn spawned(&mut self, wanted: Wanted, child: Pid) {
        if wanted.link {
            self.links.insert((wanted.caller, child.serial()));
        }
        if let Some(reference) = wanted.monitor {
            self.monitoring.insert(reference, (wanted.caller, child));
        }
    }

    /// The caller of a remote spawn no longer waits for its answer.
    pub(crate) fn gave_up(&mut self, call: u64, wanted: Wanted) {
        if wanted.link || wanted.monitor.is_some() {
            self.given_up.insert(call, wanted);
        }
    }

    /// A remote spawn was answered too late: what the child has towards a caller that does not know it.
    pub(crate) fn answered_late(&mut self, call: u64) -> Option<Wanted> {
        self.given_up.remove(&call)
    }

    /// The link is lost: everything fires, once.
    pub(crate) fn lost(self) -> impl Iterator<Item = Loss> {
        let links = self.links.into_iter().map(|(local, remote)| Loss::Link { local, remote });
        let unlinking =
            self.unlinking.into_iter().map(|((local, remote), id)| Loss::Unlink { local, remote, id });
        let monitoring = self
            .monitoring
            .into_iter()
            .chain(self.asking)
            .map(|(reference, (watcher, target))| Loss::Monitor { watcher, target, reference });
        let watched = self.watched.into_iter().map(|(target, watcher, reference)| Loss::Watcher {
            target,
            watcher,
            reference,
        });
        links.chain(unlinking).chain(monitoring).chain(watched)
    }
}

/// What a caller asked to have with the child of a remote spawn, until the answer comes.
#[derive(Debug, Default)]
pub(crate) struct SpawnWatches(FxHashMap<u64, Wanted>);

/// Link and monitor that one caller wants with its child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) caller: u64,
    pub(crate) link: bool,
    pub(crate) monitor: Option<Reference>,
}

impl SpawnWatches {
    pub(crate) fn asked(&mut self, call: u64, wanted: Wanted) {
        self.0.insert(call, wanted);
    }

    pub(crate) fn take(&mut self, call: u64) -> Option<Wanted> {
        self.0.remove(&call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::reason::ExitReason;

    fn remote(serial: u64) -> Pid {
        Pid::new(Incarnation::from_raw(9), serial)
    }

    #[test]
    fn what_is_set_up_when_the_link_is_lost_fires_once() {
        let (r1, r2, r3) = (Reference::from_raw(1), Reference::from_raw(2), Reference::from_raw(3));
        let mut watches = Watches::default();
        watches.sent(&Track::Linked { local: 1, remote: remote(5) });
        assert!(watches.received(5, 1, &Signal::Link), "both ends link: still one link");
        watches.sent(&Track::Monitoring { watcher: 1, reference: r1, target: remote(5) });
        watches.sent(&Track::Monitoring { watcher: 1, reference: r2, target: remote(6) });
        watches.sent(&Track::Demonitored { watcher: 1, reference: r2 });
        watches.received(6, 2, &Signal::Monitor { reference: r3 });
        watches.sent(&Track::Linked { local: 2, remote: remote(7) });
        watches.sent(&Track::Unlinking { local: 2, remote: remote(7), id: 4 });
        assert!(watches.received(7, 2, &Signal::Link), "it crosses the unlink: no link");
        let lost: Vec<Loss> = watches.lost().collect();
        assert_eq!(
            lost,
            [
                Loss::Link { local: 1, remote: 5 },
                Loss::Unlink { local: 2, remote: 7, id: 4 },
                Loss::Monitor { watcher: 1, target: remote(5), reference: r1 },
                Loss::Watcher { target: 2, watcher: 6, reference: r3 },
            ]
        );
    }

    #[test]
    fn what_has_fired_or_was_taken_back_does_not_fire_again() {
        let r1 = Reference::from_raw(1);
        let down = Signal::Down { reference: r1, reason: ExitReason::Normal };
        let mut watches = Watches::default();
        watches.sent(&Track::Monitoring { watcher: 1, reference: r1, target: remote(5) });
        assert!(!watches.received(6, 1, &down), "another process's down");
        assert!(!watches.received(5, 2, &down), "another process's monitor");
        assert!(watches.received(5, 1, &down));
        assert!(!watches.received(5, 1, &down), "exactly one down per monitor");
        watches.received(7, 3, &Signal::Link);
        watches.received(7, 3, &Signal::LinkExit(ExitReason::Normal));
        assert_eq!(watches.lost().count(), 0);
    }

    #[test]
    fn a_call_ends_once_by_its_answer_its_servers_end_or_the_loss_of_the_link() {
        let calls: Vec<Reference> = (1..=5).map(Reference::from_raw).collect();
        let reply = |reference| Signal::Reply { reference, result: Ok(bytes::Bytes::new()) };
        let mut watches = Watches::default();
        for &reference in &calls {
            // The name's holder answers with a serial that the caller does not know.
            watches.sent(&Track::Asking { caller: 1, reference, target: remote(0) });
        }
        assert_eq!(watches.len(), 0, "calls do not count against the bound of links and monitors");
        assert!(watches.received(9, 1, &reply(calls[0])));
        assert!(!watches.received(9, 1, &reply(calls[0])), "answered twice");
        let down = Signal::Down { reference: calls[1], reason: ExitReason::Killed };
        assert!(watches.received(9, 1, &down));
        assert!(!watches.received(9, 1, &reply(calls[1])), "answered after its end");
        watches.sent(&Track::Demonitored { watcher: 1, reference: calls[2] });
        assert!(!watches.received(9, 1, &reply(calls[2])), "the caller had given up");
        let lost: Vec<Loss> = watches.lost().collect();
        let ends = |reference| Loss::Monitor { watcher: 1, target: remote(0), reference };
        assert_eq!(lost, [ends(calls[3]), ends(calls[4])]);
    }

    #[test]
    fn an_unlink_is_remembered_until_it_is_acknowledged_crossed_by_an_exit_or_linked_over() {
        let ack = |id| Signal::UnlinkAck { id };
        let mut watches = Watches::default();
        for (serial, id) in [(5, 1), (5, 2), (6, 3), (7, 4)] {
            watches.sent(&Track::Linked { local: 1, remote: remote(serial) });
            watches.sent(&Track::Unlinking { local: 1, remote: remote(serial), id });
        }
        assert!(watches.received(5, 1, &ack(1)), "of the first of two: the second is still under way");
        assert_eq!(watches.len(), 3);
        watches.received(5, 1, &ack(2));
        watches.received(6, 1, &Signal::LinkExit(ExitReason::Normal));
        watches.sent(&Track::Linked { local: 1, remote: remote(7) });
        assert!(watches.received(7, 1, &ack(4)), "late: the new link stays");
        assert_eq!(watches.lost().collect::<Vec<_>>(), [Loss::Link { local: 1, remote: 7 }]);
    }
}
