//! Aliases: other pids of a process, which lead to it until they are taken back (OTP's `erlang:alias/0`).
//!
//! Whoever asks for something and stops waiting takes its alias back: an answer that comes later meets nobody, and does not
//! wait in the mailbox for ever. An alias is a pid like any other to whoever sends to it, here or on another node; it is none to
//! whoever links, monitors, names or exits: there is no such process.
//!
//! The table and the owner's cell say the same: both change under the table's lock and then the cell's, and a process that has
//! ended gets no alias, so its end sees all that it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_proto::id::Pid;
use rustc_hash::FxHashMap;

use super::cell::Cell;
use super::context::Context;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The aliases of one runtime.
#[derive(Default)]
pub(crate) struct Aliases {
    given: AtomicU64,
    table: RwLock<FxHashMap<u64, Alias>>,
}

struct Alias {
    owner: Arc<Cell>,
    /// The first message takes it back.
    once: bool,
}

impl Aliases {
    /// Whether a serial is that of an alias, and never that of a process.
    #[inline]
    pub(crate) fn is_one(serial: u64) -> bool {
        serial & ALIAS != 0
    }

    /// Who gets a message that is sent to this alias now.
    pub(crate) fn receiver(&self, serial: u64) -> Option<Arc<Cell>> {
        let aliases = self.table.read();
        let Alias { owner, once } = aliases.get(&serial)?;
        if !once {
            return Some(Arc::clone(owner));
        }
        drop(aliases);
        self.remove(serial)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.read().len()
    }

    fn add(&self, owner: &Arc<Cell>, once: bool) -> u64 {
        let serial = ALIAS | (self.given.fetch_add(1, Ordering::Relaxed) + 1);
        let mut aliases = self.table.write();
        if let Some(my) = owner.lock().cold_mut() {
            my.aliases.insert(serial);
            aliases.insert(serial, Alias { owner: Arc::clone(owner), once });
        }
        serial
    }

    /// Takes an alias back, and gives whose it was.
    fn remove(&self, serial: u64) -> Option<Arc<Cell>> {
        let mut aliases = self.table.write();
        let Alias { owner, .. } = aliases.remove(&serial)?;
        if let Some(my) = owner.lock().cold_if_any() {
            my.aliases.remove(&serial);
        }
        Some(owner)
    }

    /// Takes back the aliases of a process that has ended.
    pub(crate) fn release(&self, held: &BTreeSet<u64>) {
        if held.is_empty() {
            return;
        }
        let mut aliases = self.table.write();
        let released: Vec<_> = held.iter().filter_map(|serial| aliases.remove(serial)).collect();
        drop(aliases);
        drop(released);
    }
}

impl Context {
    /// Another pid of this process, for messages alone, until it is taken back or the process ends. What is sent to it is
    /// received as if it had been sent to the process. Nobody else can take it back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use regatta::{ExitReason, Runtime, SendError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let rt = Runtime::new();
    /// let asks = rt.spawn(|mut ctx| async move {
    ///     let answers = ctx.alias();
    ///     let answer = ctx.recv_timeout(Duration::from_millis(1)).await;
    ///     assert_eq!(answer, None, "nobody was asked");
    ///     assert!(ctx.unalias(answers));
    ///     assert_eq!(ctx.try_send(answers, "too late"), Err(SendError::NoProc));
    /// });
    /// assert_eq!(asks.join().await, ExitReason::Normal);
    /// # }
    /// ```
    pub fn alias(&self) -> Pid {
        self.make_alias(false)
    }

    /// [`Context::alias`] that the first message takes back, whether the mailbox has room for it or not.
    pub fn alias_once(&self) -> Pid {
        self.make_alias(true)
    }

    /// Takes an alias of this process back: what is sent to it from here on meets nobody. What was sent before stays in the
    /// mailbox. Returns whether it was there.
    pub fn unalias(&self, alias: Pid) -> bool {
        let aliases = self.runtime().aliases();
        let mine = |my: &super::cell::Cold| my.aliases.contains(&alias.serial());
        let held = alias.incarnation() == self.pid().incarnation()
            && self.cell().lock().cold().is_ok_and(|cold| cold.is_some_and(mine));
        held && aliases.remove(alias.serial()).is_some()
    }

    fn make_alias(&self, once: bool) -> Pid {
        Pid::new(self.pid().incarnation(), self.runtime().aliases().add(self.cell(), once))
    }
}

/// Set in the serial of an alias. On the wire a serial has 62 bits; no process will ever have such a high one.
const ALIAS: u64 = 1 << 61;
