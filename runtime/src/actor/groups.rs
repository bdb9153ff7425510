//! Process groups, by the rules of OTP's `pg`: a process may join a group many times, its memberships end with it, and
//! the members on other nodes are those that their nodes have told of.
//!
//! A group exists while it has members. The table and a member's cell say the same of local memberships: both change
//! under the table's lock and then the cell's, and a process that has ended joins nothing, so its end sees all that it
//! is in. Whoever watches a group is told of each change in the order in which the table made them: the entries are put
//! into mailboxes under the table's lock, and what that wakes is woken after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use regatta_proto::id::{Incarnation, Name, Pid, Reference};
use thiserror::Error;

use super::cell::{After, Cell};
use super::context::Context;
use super::error::SendError;
use super::received::Received;
use super::runtime::Runtime;
use crate::sync::RwLock;

/// Why a process did not join a group. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The process is not alive, or not of this runtime.
    #[error("no such process in this runtime")]
    NoProc,
    /// The text is no name: 1 to 255 bytes without control characters.
    #[error("not a name of a group: use 1 to 255 bytes without control characters")]
    BadName,
}

/// Where a message to a group went. Accepted, not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupSent {
    /// Processes of this runtime that have it in their mailbox.
    pub processes: usize,
    /// Other nodes that it is on its way to; each hands it to its own members.
    pub nodes: usize,
    /// Processes of this runtime whose mailbox did not take it, and nodes that it could not be sent to.
    pub failed: usize,
}

/// What one process has to do with groups.
#[derive(Debug, Default)]
pub(crate) struct Grouped {
    /// How often it is a member, by group.
    joined: BTreeMap<Name, u32>,
    /// The groups that it watches.
    watches: BTreeMap<Reference, Name>,
}

impl Grouped {
    /// The groups that it is in.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.joined.keys().cloned().collect()
    }
}

/// All groups of one runtime.
#[derive(Default)]
pub(crate) struct Groups {
    table: RwLock<BTreeMap<Name, Group>>,
}

#[derive(Default)]
struct Group {
    /// How often each process is a member, here and on other nodes.
    members: BTreeMap<Pid, u32>,
    watchers: BTreeMap<Reference, Arc<Cell>>,
}

impl Group {
    /// Sets how often a process is a member, and tells the watchers of the difference: whom that wakes.
    fn set(&mut self, group: &Name, pid: Pid, count: u32) -> Vec<After> {
        let before = match count {
            0 => self.members.remove(&pid),
            _ => self.members.insert(pid, count),
        };
        let before = before.unwrap_or(0);
        let pids = vec![pid; before.abs_diff(count) as usize];
        if pids.is_empty() {
            return Vec::new();
        }
        let tell = |(reference, cell): (&Reference, &Arc<Cell>)| {
            let (reference, group, pids) = (*reference, group.clone(), pids.clone());
            let told = if count > before {
                Received::GroupJoined { reference, group, pids }
            } else {
                Received::GroupLeft { reference, group, pids }
            };
            cell.lock().push_signal(cell, told)
        };
        self.watchers.iter().map(tell).collect()
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.watchers.is_empty()
    }

    fn local(&self, here: Incarnation) -> impl Iterator<Item = (u64, u32)> {
        let range = Pid::new(here, 0)..=Pid::new(here, u64::MAX);
        self.members.range(range).map(|(pid, count)| (pid.serial(), *count))
    }

    /// One member of each other node.
    fn nodes(&self, here: Incarnation) -> Vec<Pid> {
        let mut nodes = Vec::new();
        let mut next = self.members.range(..).next();
        while let Some((pid, _)) = next {
            if pid.incarnation() != here {
                nodes.push(*pid);
            }
            let behind = Pid::new(pid.incarnation(), u64::MAX);
            next = self.members.range((std::ops::Bound::Excluded(behind), std::ops::Bound::Unbounded)).next();
        }
        nodes
    }
}

fn settle(afters: Vec<After>) {
    afters.into_iter().for_each(After::settle);
}

impl Groups {
    /// How many groups have members.
    pub(crate) fn len(&self) -> usize {
        self.table.read().values().filter(|group| !group.members.is_empty()).count()
    }

    /// The memberships and watches of a process that has ended.
    pub(crate) fn release(&self, rt: &Runtime, cell: &Cell, grouped: &Grouped) {
        let mut afters = Vec::new();
        let mut watchers = Vec::new();
        let mut table = self.table.write();
        for name in grouped.joined.keys() {
            let Some(group) = table.get_mut(name) else { continue };
            afters.extend(group.set(name, cell.pid(), 0));
            tell_node(rt, name, cell.serial(), 0);
            if group.is_empty() {
                table.remove(name);
            }
        }
        for (reference, name) in &grouped.watches {
            let Some(group) = table.get_mut(name) else { continue };
            watchers.extend(group.watchers.remove(reference));
            if group.is_empty() {
                table.remove(name);
            }
        }
        drop(table);
        drop(watchers);
        settle(afters);
    }

    /// Tells the node of all memberships here: it has just come.
    pub(crate) fn announce(&self, rt: &Runtime) {
        for (name, group) in &*self.table.write() {
            for (serial, count) in group.local(rt.incarnation()) {
                tell_node(rt, name, serial, count);
            }
        }
    }

    fn joined(&self, rt: &Runtime, name: Name, cell: &Arc<Cell>) -> Result<(), JoinError> {
        let mut table = self.table.write();
        let count = {
            let mut state = cell.lock();
            let grouped = &mut state.cold_mut().ok_or(JoinError::NoProc)?.grouped;
            let count = grouped.get_or_insert_default().joined.entry(name.clone()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let afters = table.entry(name.clone()).or_default().set(&name, cell.pid(), count);
        tell_node(rt, &name, cell.serial(), count);
        drop(table);
        settle(afters);
        Ok(())
    }

    fn left(&self, rt: &Runtime, name: &str, cell: &Arc<Cell>) -> bool {
        let mut table = self.table.write();
        let Some((name, _)) = table.get_key_value(name) else { return false };
        let name = name.clone();
        let count = {
            let mut state = cell.lock();
            let Some(grouped) = state.cold_if_any().and_then(|cold| cold.grouped.as_mut()) else {
                return false;
            };
            let Some(count) = grouped.joined.get_mut(&name) else { return false };
            *count -= 1;
            let count = *count;
            if count == 0 {
                grouped.joined.remove(&name);
            }
            count
        };
        let group = table.get_mut(&name).expect("just found");
        let afters = group.set(&name, cell.pid(), count);
        tell_node(rt, &name, cell.serial(), count);
        if group.is_empty() {
            table.remove(&name);
        }
        drop(table);
        settle(afters);
        true
    }

    fn watch(&self, name: Name, cell: &Arc<Cell>, reference: Reference) -> Option<Vec<Pid>> {
        let mut table = self.table.write();
        let watches = |grouped: &mut Grouped| grouped.watches.insert(reference, name.clone());
        let mut state = cell.lock();
        watches(state.cold_mut()?.grouped.get_or_insert_default());
        drop(state);
        let group = table.entry(name).or_default();
        group.watchers.insert(reference, cell.clone());
        Some(listed(&group.members))
    }

    fn unwatch(&self, cell: &Arc<Cell>, reference: Reference) -> bool {
        let mut table = self.table.write();
        let mut state = cell.lock();
        let grouped = state.cold_if_any().and_then(|cold| cold.grouped.as_mut());
        let Some(name) = grouped.and_then(|grouped| grouped.watches.remove(&reference)) else { return false };
        drop(state);
        let watcher = table.get_mut(&name).and_then(|group| group.watchers.remove(&reference));
        if table.get(&name).is_some_and(Group::is_empty) {
            table.remove(&name);
        }
        drop(table);
        drop(watcher);
        true
    }

    fn local_serials(&self, name: &str, here: Incarnation) -> Vec<u64> {
        let table = self.table.read();
        table.get(name).map_or_else(Vec::new, |group| group.local(here).map(|(serial, _)| serial).collect())
    }
}

/// Each process as often as it is a member.
fn listed(members: &BTreeMap<Pid, u32>) -> Vec<Pid> {
    members.iter().flat_map(|(pid, count)| std::iter::repeat_n(*pid, *count as usize)).collect()
}

/// Called with the table locked, so that the node hears of changes in their order.
fn tell_node(rt: &Runtime, group: &Name, serial: u64, count: u32) {
    if let Some(remote) = rt.remote() {
        remote.membership(group, serial, count);
    }
}

impl Runtime {
    /// Makes a process of this runtime a member of a group, once more if it is one already.
    ///
    /// ```
    /// use regatta::Runtime;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let rt = Runtime::new();
    /// let workers: Vec<_> = (0..2)
    ///     .map(|_| rt.spawn(|mut ctx| async move { assert_eq!(ctx.recv().await.message().unwrap(), "work") }))
    ///     .collect();
    /// for worker in &workers {
    ///     rt.join_group("workers", worker.pid()).expect("it is alive");
    /// }
    /// let sent = rt.send_group("workers", "work").await;
    /// assert_eq!(sent.processes, 2);
    /// for worker in workers {
    ///     worker.join().await;
    /// }
    /// assert!(rt.group_members("workers").is_empty(), "memberships end with the process");
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JoinError`]; nothing was changed then.
    pub fn join_group(&self, group: impl AsRef<str>, pid: Pid) -> Result<(), JoinError> {
        let name = Name::new(group).map_err(|_| JoinError::BadName)?;
        let cell = self.local(pid).ok_or(JoinError::NoProc)?;
        self.groups().joined(self, name, &cell)
    }

    /// Takes one membership of a process of this runtime back. Returns whether it had one.
    pub fn leave_group(&self, group: impl AsRef<str>, pid: Pid) -> bool {
        self.local(pid).is_some_and(|cell| self.groups().left(self, group.as_ref(), &cell))
    }

    /// The members of a group, here and on other nodes, each as often as it has joined.
    #[must_use]
    pub fn group_members(&self, group: impl AsRef<str>) -> Vec<Pid> {
        let table = self.groups().table.read();
        table.get(group.as_ref()).map_or_else(Vec::new, |group| listed(&group.members))
    }

    /// The members of a group that are processes of this runtime, each as often as it has joined.
    #[must_use]
    pub fn local_group_members(&self, group: impl AsRef<str>) -> Vec<Pid> {
        let table = self.groups().table.read();
        let Some(group) = table.get(group.as_ref()) else { return Vec::new() };
        let here = self.incarnation();
        let local = group.local(here);
        local
            .flat_map(|(serial, count)| std::iter::repeat_n(Pid::new(here, serial), count as usize))
            .collect()
    }

    /// All groups that have members, in the order of their names.
    #[must_use]
    pub fn groups_with_members(&self) -> Vec<Name> {
        let table = self.groups().table.read();
        let groups = table.iter().filter(|(_, group)| !group.members.is_empty());
        groups.map(|(name, _)| name.clone()).collect()
    }

    /// Makes the local process `watcher` hear of every change to a group, with [`Received::GroupJoined`] and
    /// [`Received::GroupLeft`], and gives the members as they are now: nothing is missed and nothing told twice. The
    /// group need not have members. `None` if `watcher` is not alive here, or `group` is no name.
    pub fn monitor_group(&self, watcher: Pid, group: impl AsRef<str>) -> Option<(Reference, Vec<Pid>)> {
        let name = Name::new(group).ok()?;
        let reference = self.reference();
        let members = self.groups().watch(name, &self.local(watcher)?, reference)?;
        Some((reference, members))
    }

    /// Takes a watch of a group back; what is in the mailbox already stays. Returns whether there was one.
    pub fn demonitor_group(&self, watcher: Pid, reference: Reference) -> bool {
        self.local(watcher).is_some_and(|cell| self.groups().unwatch(&cell, reference))
    }

    /// Sends `payload` to every member of a group, once to each process, however often it has joined. Waits while links
    /// to other nodes are above their high-water mark, never on a mailbox.
    ///
    /// The message is encoded once and goes to each node once; that hands it to whoever is a member there when it
    /// arrives. Called inside a body, it keeps its place in that process's order.
    pub fn send_group(
        &self,
        group: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = GroupSent> + Send {
        let (group, payload) = (Name::new(group).ok(), payload.into());
        async move { self.send_group_from(self.sender(), group, payload, true).await }
    }

    pub(crate) async fn send_group_from(
        &self,
        from: u64,
        group: Option<Name>,
        payload: Bytes,
        waits: bool,
    ) -> GroupSent {
        let mut sent = GroupSent::default();
        let Some(name) = group else { return sent };
        let (serials, mut nodes) = {
            let table = self.groups().table.read();
            let Some(group) = table.get(&name) else { return sent };
            let here = self.incarnation();
            (group.local(here).map(|(serial, _)| serial).collect::<Vec<_>>(), group.nodes(here))
        };
        for serial in serials {
            match self.send_to(serial, payload.clone()) {
                Ok(()) => sent.processes += 1,
                Err(_) => sent.failed += 1,
            }
        }
        let Some(remote) = self.remote() else {
            sent.failed += nodes.len();
            return sent;
        };
        while !nodes.is_empty() {
            let results = remote.broadcast(from, &name, &payload, &nodes);
            let mut busy = Vec::new();
            for (node, result) in nodes.into_iter().zip(results) {
                match result {
                    Ok(()) => sent.nodes += 1,
                    Err(SendError::Busy) if waits => busy.push(node),
                    Err(_) => sent.failed += 1,
                }
            }
            for node in &busy {
                remote.ready(*node).await;
            }
            nodes = busy;
        }
        sent
    }

    /// A message to a group has come from another node: hands it to the members here.
    pub(crate) fn deliver_group(&self, group: &str, payload: &Bytes) {
        for serial in self.groups().local_serials(group, self.incarnation()) {
            // What a mailbox does not take is counted; there is nobody to tell.
            let _refused = self.send_to(serial, payload.clone());
        }
    }

    /// The node is gone: nobody tells of members on other nodes any more.
    pub(crate) fn forget_remote_members(&self) {
        let here = self.incarnation();
        let mut afters = Vec::new();
        let mut table = self.groups().table.write();
        for (name, group) in table.iter_mut() {
            let far = group.members.keys().filter(|pid| pid.incarnation() != here);
            for pid in far.copied().collect::<Vec<_>>() {
                afters.extend(group.set(name, pid, 0));
            }
        }
        table.retain(|_, group| !group.is_empty());
        drop(table);
        settle(afters);
    }

    /// A process of another node is so often a member of a group now.
    pub(crate) fn remote_membership(&self, name: &Name, pid: Pid, count: u32) {
        let mut table = self.groups().table.write();
        let group = table.entry(name.clone()).or_default();
        let afters = group.set(name, pid, count);
        if group.is_empty() {
            table.remove(name);
        }
        drop(table);
        settle(afters);
    }
}

impl Context {
    /// Joins a group, once more if this process is a member already. Its memberships end with it.
    ///
    /// # Errors
    /// [`JoinError`]; nothing was changed then.
    pub fn join_group(&self, group: impl AsRef<str>) -> Result<(), JoinError> {
        self.runtime().join_group(group, self.pid())
    }

    /// Takes one membership back. Returns whether this process had one.
    pub fn leave_group(&self, group: impl AsRef<str>) -> bool {
        self.runtime().leave_group(group, self.pid())
    }

    /// Hears of every change to a group from now on: see [`Runtime::monitor_group`]. `None` if `group` is no name.
    pub fn monitor_group(&self, group: impl AsRef<str>) -> Option<(Reference, Vec<Pid>)> {
        self.runtime().monitor_group(self.pid(), group)
    }

    /// Takes a watch of a group back; what is in the mailbox already stays. Returns whether there was one.
    pub fn demonitor_group(&self, reference: Reference) -> bool {
        self.runtime().demonitor_group(self.pid(), reference)
    }

    /// Sends `payload` to every member of a group: see [`Runtime::send_group`].
    pub fn send_group(
        &self,
        group: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = GroupSent> + Send {
        let (group, payload, from) = (Name::new(group).ok(), payload.into(), self.pid().serial());
        self.runtime().send_group_from(from, group, payload, true)
    }
}
