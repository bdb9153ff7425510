//! How the cluster forms and stays together: members tell each other of members, and are dialled.

use std::time::Instant;

use super::link::{Dial, Link, closed};
use super::{Engine, Stop};
use crate::cluster::members::{self, MemberInfo, Standing};
use crate::cluster::mesh::LinkIndex;
use crate::host::{Event, Host, NodeChange};
use crate::id::NodeId;
use crate::wire::control::{self, Body};

impl Engine {
    /// The other nodes that this one knows, by name.
    pub fn members(&self) -> impl Iterator<Item = MemberInfo> {
        self.members.all()
    }

    /// Whether there may be members for which [`Engine::want`] does anything: this node links with few, or another one does.
    pub fn is_sparse(&self) -> bool {
        self.members.is_sparse()
    }

    /// Somebody here wants a link with a node that this one has heard of and does not link with unasked: it is dialled. Whether
    /// that is under way; it ends with [`Event::Up`] or [`Event::Unreached`]. A node that was linked and is lost, or did not
    /// answer a moment ago, is not dialled for that. To be followed by a look at [`Engine::poll_timeout`].
    pub fn want(&mut self, now: Instant, which: impl Fn(&NodeId) -> bool) -> bool {
        !self.shut_down && self.members.want(which, now)
    }

    /// A node that is not linked is gone for good, as its operator knows: what it held is free, nobody dials it any more, and it
    /// does not count as a voter once the votes that it may have given are over. Others are told. Whether it was known.
    ///
    /// # Errors
    /// It is linked, with this node or with another one that is. Nothing was changed.
    pub fn forget(&mut self, now: Instant, node: &str, host: &mut impl Host) -> Result<bool, NodeId> {
        let known = self.members.all().find(|member| member.id.name.as_str() == node);
        let Some(MemberInfo { id, standing, .. }) = known else { return Ok(false) };
        if standing == Standing::Left {
            return Ok(true);
        }
        if !self.view.seen_by(id.incarnation).is_empty() {
            return Err(id);
        }
        let Some(node) = self.members.forget(node, now)? else { return Ok(false) };
        self.left(node, false, host);
        Ok(true)
    }

    /// A link is live: its peer is a member, and learns of the others.
    pub(super) fn member_linked(
        &mut self,
        now: Instant,
        link: &mut Link,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let peer = link.peer.as_ref().expect("a live link has a peer").id.clone();
        self.members.make_room(&peer.name);
        self.detector.link_up(&peer, link.id.generation, now);
        self.pulse_due.get_or_insert_with(|| now + self.limits.pulse);
        self.replaced(now, &peer, host);
        self.members.link_up(&peer, link.id.generation, link.addr, now);
        if let Some(wanted) = link.wanted.take() {
            self.members.dial_ended(&wanted, false, now);
        }
        for members in self.members.introduction(&peer.name, now) {
            link.say(Body::Members(members))?;
        }
        if let Some(links) = self.view.introduction() {
            link.say(Body::Links(links))?;
        }
        host.event(Event::Node { node: peer, change: NodeChange::Up });
        Ok(())
    }

    /// A peer speaks of itself and of others.
    pub(super) fn heard_members(
        &mut self,
        now: Instant,
        link: &Link,
        members: &control::Members,
        host: &mut impl Host,
    ) {
        let peer = &link.peer.as_ref().expect("a live link has a peer").id;
        let hearsay = self.members.heard(peer, members, now);
        if hearsay.is_open {
            self.view.link_up(peer);
            self.links_changed(now);
        }
        for node in hearsay.left {
            self.left(node, false, host);
        }
    }

    /// Tells peers of newcomers, and dials whom it is time to dial.
    pub(super) fn tend_members(&mut self, now: Instant, host: &mut impl Host) {
        if self.shut_down {
            return;
        }
        let news = self.members.take_news(now);
        if !news.is_empty() {
            let live: Vec<LinkIndex> = self.mesh.live_links().collect();
            for index in live {
                let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
                let to = &link.peer.as_ref().expect("a live link has a peer").id.name;
                let others = news.iter().filter(|(from, member)| from != to && member.node != to.as_str());
                let members: Vec<_> = others.map(|(_, member)| member.clone()).collect();
                for members in members::in_messages(members) {
                    if let Err(refusal) = link.say(Body::Members(members)) {
                        self.end(now, index, closed(&refusal), Some(&refusal), host);
                        break;
                    }
                }
                self.touch(index);
            }
        }
        while let Some((name, addr)) = self.members.take_due(now) {
            let server_name = self.credentials.server_name(Some(&name));
            match self.dial(now, addr, &server_name, Dial::Member) {
                Ok(index) => {
                    let link = self.links[index as usize].as_mut().expect("just added");
                    link.wanted = Some(name);
                    link.open_by = Some(now + self.limits.redial_timeout);
                }
                // No such address for this socket: the next one may do.
                Err(_) => self.members.dial_ended(&name, false, now),
            }
        }
    }
}
