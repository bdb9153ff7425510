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

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
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

fn count() {
    let slot = OWN.try_with(|own| {
        if own.get() == usize::MAX {
            INSTALLED.store(true, Relaxed);
            own.set(NEXT.fetch_add(1, Relaxed).min(SLOTS - 1));
        }
        own.get()
    });
    // A thread that is ending has no slot any more.
    match slot.unwrap_or(SLOTS - 1) {
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
