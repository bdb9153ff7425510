//! Making and taking back links.
//!
//! Between local processes both ends change under both locks, so a link is there for both or for none. Across nodes
//! the protocol is OTP's (ERTS, "Distribution Protocol", link protocol): each end has its own entry; an unlink carries
//! a number, the end that sent it ignores exits until the same number comes back, and linking again meanwhile makes the
//! entry active, so that the late acknowledgement finds nothing to remove. The loss of the link between the nodes
//! acknowledges each unlink that is under way across it, so that no entry stays in between for ever.

use std::sync::Arc;

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use super::cell::{Cell, Link, lock_both};
use super::exit;
use super::remote::reason_of;

/// Links `cell` to `other`, anywhere. A dead one gives `cell` an exit with `NoProc`, an unreachable one with
/// `NoConnection`. Returns whether `cell` was alive.
pub(crate) fn link(cell: &Arc<Cell>, other: Pid) -> bool {
    let rt = cell.runtime();
    if other == cell.pid() {
        return cell.is_alive();
    }
    if other.incarnation() != rt.incarnation() {
        return link_remote(cell, other);
    }
    if let Some(peer) = rt.table().find(other.serial()) {
        let (mut mine, mut theirs) = lock_both(cell, &peer);
        let Some(my) = mine.cold_mut() else { return false };
        if my.links.contains_key(&other) {
            return true;
        }
        if let Some(their) = theirs.cold_mut() {
            my.links.insert(other, Link::Active);
            their.links.insert(cell.pid(), Link::Active);
            return true;
        }
    }
    if let Some(my) = cell.lock().cold_mut() {
        my.links.insert(other, Link::Active);
    } else {
        return false;
    }
    exit::take_link_exit(cell, other, ExitReason::NoProc);
    true
}

fn link_remote(cell: &Arc<Cell>, other: Pid) -> bool {
    {
        let mut state = cell.lock();
        let Some(my) = state.cold_mut() else { return false };
        if my.links.insert(other, Link::Active) == Some(Link::Active) {
            return true;
        }
    }
    if let Err(error) = cell.runtime().try_signal(cell.serial(), other, Signal::Link) {
        exit::take_link_exit(cell, other, reason_of(&error));
    }
    true
}

/// Takes the link back. From here on the other's end changes nothing for `cell`. Returns whether there was one: then its exit
/// has not come, and will not.
pub(crate) fn unlink(cell: &Arc<Cell>, other: Pid) -> bool {
    let rt = cell.runtime();
    if other == cell.pid() {
        return false;
    }
    if other.incarnation() != rt.incarnation() {
        unlink_remote(cell, other)
    } else if let Some(peer) = rt.table().find(other.serial()) {
        let (mut mine, mut theirs) = lock_both(cell, &peer);
        if let Some(their) = theirs.cold_if_any() {
            their.links.remove(&cell.pid());
        }
        mine.cold_if_any().is_some_and(|my| my.links.remove(&other).is_some())
    } else {
        forget(cell, other)
    }
}

fn unlink_remote(cell: &Arc<Cell>, other: Pid) -> bool {
    let rt = cell.runtime();
    let id = rt.next_unlink();
    {
        let mut state = cell.lock();
        match state.cold_if_any().and_then(|my| my.links.get_mut(&other)) {
            Some(link @ Link::Active) => *link = Link::Unlinking(id),
            _ => return false,
        }
    }
    if rt.try_signal(cell.serial(), other, Signal::Unlink { id }).is_err() {
        // Nobody will acknowledge: the link is gone with its connection.
        take_unlink_ack(cell, other, id);
    }
    true
}

/// A remote process linked itself to `cell`. Returns whether `cell` was alive.
pub(crate) fn take_link(cell: &Arc<Cell>, from: Pid) -> bool {
    cell.lock().cold_mut().map(|my| my.links.entry(from).or_insert(Link::Active)).is_some()
}

/// A remote process took its link back. The acknowledgement is the caller's to send.
pub(crate) fn take_unlink(cell: &Arc<Cell>, from: Pid) {
    if let Some(my) = cell.lock().cold_if_any()
        && my.links.get(&from) == Some(&Link::Active)
    {
        my.links.remove(&from);
    }
}

/// The other node has seen the unlink with this number.
pub(crate) fn take_unlink_ack(cell: &Arc<Cell>, from: Pid, id: u64) {
    if let Some(my) = cell.lock().cold_if_any()
        && my.links.get(&from) == Some(&Link::Unlinking(id))
    {
        my.links.remove(&from);
    }
}

/// Whether `cell` is linked to `other` and has not taken that back.
pub(crate) fn has(cell: &Arc<Cell>, other: Pid) -> bool {
    cell.lock().cold_if_any().is_some_and(|my| my.links.get(&other) == Some(&Link::Active))
}

/// Removes `cell`'s end of the link, and nothing fires. Returns whether it was there.
pub(crate) fn forget(cell: &Arc<Cell>, other: Pid) -> bool {
    cell.lock().cold_if_any().is_some_and(|my| my.links.remove(&other).is_some())
}
