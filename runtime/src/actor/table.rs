//! Serial to cell.
//!
//! Serials count up from 1 and are never reused. Neighbouring serials fall into different shards, so that threads that
//! spawn and send rarely meet; each shard is ordered, so that all processes can be listed page by page, in serial
//! order, with no shard locked for longer than its part of one page.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cell::Cell;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// All cells of one runtime.
pub(crate) struct Table {
    next: AtomicU64,
    shards: Box<[Shard]>,
}

/// One shard, on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Shard(RwLock<BTreeMap<u64, Arc<Cell>>>);

impl Table {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(1), shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// A serial that no process had before.
    pub(crate) fn reserve(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many serials were given out.
    pub(crate) fn reserved(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Puts a cell in.
    pub(crate) fn insert(&self, cell: Arc<Cell>) {
        let before = self.shard(cell.serial()).write().insert(cell.serial(), cell);
        debug_assert!(before.is_none(), "a serial was given out twice");
    }

    /// The cell with this serial.
    pub(crate) fn find(&self, serial: u64) -> Option<Arc<Cell>> {
        self.shard(serial).read().get(&serial).cloned()
    }

    /// Takes a cell out. It is dropped by the caller, outside of the lock.
    pub(crate) fn remove(&self, serial: u64) -> Option<Arc<Cell>> {
        self.shard(serial).write().remove(&serial)
    }

    /// How many cells there are. Each shard is counted at its own instant.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().len()).sum()
    }

    /// Up to `max` cells with serials above `after`, in serial order.
    pub(crate) fn page(&self, after: u64, max: usize) -> Vec<Arc<Cell>> {
        let mut page = Vec::new();
        let mut after = after;
        while page.len() < max {
            // Take a slice of every shard. What lies beyond the shortest cut-off slice may have gaps: leave it for the
            // next round.
            let each = ((max - page.len()) / SHARDS + 8).min(SLICE_MAX);
            let mut horizon = u64::MAX;
            let mut slice: Vec<Arc<Cell>> = Vec::new();
            for shard in &self.shards {
                let before = slice.len();
                let cells = shard.0.read();
                let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
                slice.extend(cells.range(from).take(each).map(|(_, cell)| Arc::clone(cell)));
                drop(cells);
                if slice.len() - before == each {
                    horizon = horizon.min(slice.last().map_or(u64::MAX, |cell| cell.serial()));
                }
            }
            slice.retain(|cell| cell.serial() <= horizon);
            slice.sort_unstable_by_key(|cell| cell.serial());
            page.append(&mut slice);
            if horizon == u64::MAX {
                break;
            }
            after = horizon;
        }
        page.truncate(max);
        page
    }

    fn shard(&self, serial: u64) -> &RwLock<BTreeMap<u64, Arc<Cell>>> {
        &self.shards[serial as usize % SHARDS].0
    }
}

/// Entries of one shard that are read under one lock.
const SLICE_MAX: usize = 1_024;
/// Enough that 64 threads rarely meet in one.
const SHARDS: usize = 64;
