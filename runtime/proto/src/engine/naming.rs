//! Global names: claims of this node on their way to the peers, and the peers' on their way to the host.

use std::time::Instant;

use super::link::{Link, closed};
use super::{Engine, Stop};
use crate::cluster::mesh::LinkIndex;
use crate::cluster::names::Change;
use crate::host::{Event, Host, Owner};
use crate::id::{Name, Pid};
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::wire::control;

impl Engine {
    /// Who holds a global name, as this node sees it.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<Owner> {
        self.names.owner(name)
    }

    /// Claims a global name for a local process and tells the peers.
    ///
    /// # Errors
    /// The owner, if somebody holds the name. Nothing was changed.
    pub fn register(
        &mut self,
        now: Instant,
        name: Name,
        serial: u64,
        host: &mut impl Host,
    ) -> Result<(), Owner> {
        let claim = self.names.claim(name.clone(), serial, host.wall_ms())?;
        let pid = Pid::new(self.me.incarnation, serial);
        host.event(Event::Name { name, owner: Some(Owner { node: self.me.name.clone(), pid }) });
        self.broadcast(now, &control::Names { claimed: vec![claim], withdrawn: vec![] }, host);
        Ok(())
    }

    /// Withdraws a global name if local process `serial` holds it, and tells the peers; whether it did.
    pub fn unregister(&mut self, now: Instant, name: &str, serial: u64, host: &mut impl Host) -> bool {
        let Some(change) = self.names.withdraw(name, serial) else { return false };
        self.withdrawn(now, vec![change], host);
        true
    }

    /// A local process ended: its global names are withdrawn.
    pub fn process_ended(&mut self, now: Instant, serial: u64, host: &mut impl Host) {
        let changes = self.names.process_ended(serial);
        if !changes.is_empty() {
            self.withdrawn(now, changes, host);
        }
    }

    fn withdrawn(&mut self, now: Instant, changes: Vec<Change>, host: &mut impl Host) {
        let withdrawn = changes.iter().map(|change| change.name.to_string()).collect();
        self.report(changes, host);
        self.broadcast(now, &control::Names { claimed: vec![], withdrawn }, host);
    }

    /// Tells the host of names that changed hands; returns the claims of ours that were lost.
    pub(super) fn report(&mut self, changes: Vec<Change>, host: &mut impl Host) -> Vec<String> {
        let mut withdrawn = Vec::new();
        for Change { name, owner, lost } in changes {
            if let (Some(serial), Some(winner)) = (lost, &owner) {
                withdrawn.push(name.to_string());
                host.event(Event::NameLost { name: name.clone(), serial, winner: winner.clone() });
            }
            host.event(Event::Name { name, owner });
        }
        withdrawn
    }

    /// Tells every peer of a change to the names of this node.
    fn broadcast(&mut self, now: Instant, names: &control::Names, host: &mut impl Host) {
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        for index in live {
            // A link that is being looked at is not in its place: it has just heard what we have to say.
            let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
            match link.say(control::Body::Names(names.clone())) {
                Ok(()) => self.touch(index),
                Err(refusal) => self.end(now, index, closed(&refusal), Some(&refusal), host),
            }
        }
    }

    /// A peer changed its claims.
    pub(super) fn heard_names(
        &mut self,
        now: Instant,
        link: &mut Link,
        names: control::Names,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let peer = link.peer.clone().expect("a live link has a peer").id;
        let Some(changes) = self.names.heard(&peer, names, host.wall_ms()) else {
            return Err(Refusal::new(CloseCode::Limit, "the peer claims too many global names").into());
        };
        let withdrawn = self.report(changes, host);
        if !withdrawn.is_empty() {
            let names = control::Names { claimed: vec![], withdrawn };
            self.broadcast(now, &names, host);
            link.say(control::Body::Names(names))?;
        }
        Ok(())
    }
}
