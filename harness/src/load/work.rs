//! Work that a message makes, for services that are not idle: a processor burned for a given time.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Burns the processor for about this long.
///
/// By counting and not by the clock, because reading the clock takes as long as the shortest such time.
pub fn spin(time: Duration) {
    if time.is_zero() {
        return;
    }
    let turns = time.as_nanos() as f64 * turns_per_ns();
    burn(turns as u64);
}

/// Burns so many turns: the same number of instructions each time.
pub fn burn(turns: u64) {
    let mut value = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..turns {
        // Each multiplication waits for the one before.
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(value);
}

/// Allocates so many times, and gives it back.
pub fn allocate(times: u64) {
    for turn in 0..times {
        drop(black_box(Box::new(turn)));
    }
}

/// Turns in a nanosecond on this machine: the best of several short looks, as everything else only slows it down.
fn turns_per_ns() -> f64 {
    static TURNS: OnceLock<f64> = OnceLock::new();
    *TURNS.get_or_init(|| {
        let look = |_| {
            let begun = Instant::now();
            burn(LOOK_TURNS);
            LOOK_TURNS as f64 / begun.elapsed().as_nanos().max(1) as f64
        };
        (0..LOOKS).map(look).fold(0.01, f64::max)
    })
}

const LOOKS: u32 = 20;
const LOOK_TURNS: u64 = 20_000;
