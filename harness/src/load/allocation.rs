//! How often memory is asked for: an allocator that counts, for binaries that install it.
//!
//! Each thread counts in a slot of its own, so that counting takes no locked instruction. Threads beyond the number of
//! slots share the last one, which is then counted atomically.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads that count apart.
const SLOTS: usize = 64;

/// One thread's count, on cache lines of its own.
#[repr(align(128))]
struct Slot(AtomicU64);

static COUNTS: [Slot; SLOTS] = [const { Slot(AtomicU64::new(0)) }; SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// What a thread knows of its counting.
struct Own {
    /// Its slot, once it has one.
    slot: Cell<usize>,
    /// How many [`uncounted`] acts it is in.
    apart: Cell<u32>,
}

thread_local! {
    static OWN: Own = const { Own { slot: Cell::new(usize::MAX), apart: Cell::new(0) } };
}

/// The system's allocator, counted. Install it in a binary:
///
/// ```
/// use regatta_harness::load::allocation::{Counting, allocations};
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting;
///
/// let before = allocations().expect("it is installed");
/// drop(std::hint::black_box(Box::new(7)));
/// assert!(allocations().expect("still") > before);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Counting;

/// Allocations and reallocations of this process so far; `None` where [`Counting`] is not installed.
#[must_use]
pub fn allocations() -> Option<u64> {
    INSTALLED.load(Relaxed).then(|| COUNTS.iter().map(|slot| slot.0.load(Relaxed)).sum())
}

/// Does something whose allocations are not counted: what the harness does for itself is no cost of a message.
pub(crate) fn uncounted<T>(act: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            OWN.with(|own| own.apart.set(own.apart.get() - 1));
        }
    }
    OWN.with(|own| own.apart.set(own.apart.get() + 1));
    let _back = Back;
    act()
}

fn count() {
    let slot = OWN.try_with(|own| {
        if own.apart.get() > 0 {
            return None;
        }
        if own.slot.get() == usize::MAX {
            INSTALLED.store(true, Relaxed);
            own.slot.set(NEXT.fetch_add(1, Relaxed).min(SLOTS - 1));
        }
        Some(own.slot.get())
    });
    // A thread that is ending has no slot any more.
    let Some(slot) = slot.unwrap_or(Some(SLOTS - 1)) else { return };
    match slot {
        own if own < SLOTS - 1 => {
            let count = &COUNTS[own].0;
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
        shared => {
            COUNTS[shared].0.fetch_add(1, Relaxed);
        }
    }
}

// SAFETY: every call is passed on to the system's allocator as it came, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as our caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
