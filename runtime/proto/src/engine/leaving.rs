//! The end of a node in good order: what its processes had sent is delivered, then every link says goodbye.
//!
//! A link that leaves ends its lanes behind what is queued. Once the peer has acknowledged all of it, up to the ends, the
//! link is closed; a peer reads what has arrived before it looks at the goodbye. Whatever takes longer than
//! [`Limits::leave_timeout`](crate::limits::Limits::leave_timeout) is given up. What peers send meanwhile is taken as ever.

use std::time::Instant;

use super::Engine;
use super::link::{Exchange, Link, Phase};
use crate::cluster::mesh::LinkIndex;
use crate::host::{Host, LinkEnd};
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;

impl Engine {
    /// Ends every link with a word of goodbye, behind what was sent before. The engine takes no more dials, its own or
    /// others', and no more to send.
    pub fn shutdown(&mut self, now: Instant, host: &mut impl Host) {
        if self.shut_down {
            return;
        }
        let steps = self.claimant.leave();
        self.take_steps(now, steps, host);
        self.tell_ballots(now, host);
        self.shut_down = true;
        self.leave_by = Some(now + self.limits.leave_timeout);
        self.endpoint.set_server_config(None);
        for index in 0..self.links.len() as LinkIndex {
            match self.links[index as usize].as_deref() {
                Some(link) if link.phase == Phase::Live => self.touch(index),
                Some(_) => self.goodbye(now, index, host),
                None => {}
            }
        }
    }

    /// Whether a link that is to end may do so: the peer has all that was sent.
    pub(super) fn has_left(&self, link: &mut Link) -> bool {
        if !self.shut_down || link.phase != Phase::Live {
            return false;
        }
        let written = link.sender.end(&mut link.connection);
        // The control stream, and questions that this node will not answer any more, stay open.
        let theirs = link.exchanges.values().filter(|exchange| !matches!(exchange, Exchange::Asked { .. }));
        written && link.connection.streams().send_streams() <= 1 + theirs.count()
    }

    /// The links that have not ended yet have had their time.
    pub(super) fn leave_at_last(&mut self, now: Instant, host: &mut impl Host) {
        if self.leave_by.is_none_or(|by| by > now) {
            return;
        }
        self.leave_by = None;
        for index in 0..self.links.len() as LinkIndex {
            self.goodbye(now, index, host);
        }
    }

    pub(super) fn goodbye(&mut self, now: Instant, index: LinkIndex, host: &mut impl Host) {
        let goodbye = Refusal::new(CloseCode::Shutdown, "node shutdown");
        self.end(now, index, LinkEnd::Shutdown, Some(&goodbye), host);
    }
}
