//! Response times, kept by intervals: what a percentile plot and a latency-over-time plot are made of.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::hlog;

/// The longest time that is told apart, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
/// The most intervals: what comes later counts in the last.
const INTERVALS_MAX: usize = 600;
/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A histogram of nanoseconds up to a minute, with three significant digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are in order")
}

/// Response times by intervals.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    interval: Duration,
    intervals: Vec<Histogram<u64>>,
}

impl Recorder {
    /// For a measurement of about this length.
    pub(super) fn new(length: Duration) -> Self {
        let most = u32::try_from(INTERVALS_MAX).expect("a small number");
        // What is shorter than an interval is one.
        let least = if length.is_zero() { INTERVAL_MIN } else { INTERVAL_MIN.min(length) };
        Self { interval: least.max(length / most), intervals: Vec::new() }
    }

    /// A response that came `at` after the measurement began and took so long.
    pub(super) fn record(&mut self, at: Duration, took_ns: u64) {
        let index = at.as_nanos() / self.interval.as_nanos();
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(INTERVALS_MAX - 1);
        while self.intervals.len() <= index {
            self.intervals.push(histogram());
        }
        self.intervals[index].saturating_record(took_ns.max(1));
    }

    /// Takes another sender's times in.
    pub(super) fn add(&mut self, other: &Self) {
        while self.intervals.len() < other.intervals.len() {
            self.intervals.push(histogram());
        }
        for (own, other) in self.intervals.iter_mut().zip(&other.intervals) {
            // Both have the same bounds, so nothing can be out of range.
            let _ = own.add(other);
        }
    }

    /// All times in one.
    pub(super) fn whole(&self) -> Histogram<u64> {
        let mut whole = histogram();
        for interval in &self.intervals {
            // As above.
            let _ = whole.add(interval);
        }
        whole
    }

    /// The interval log in HdrHistogram's own format, values in nanoseconds, with a tag that names the load.
    pub(super) fn log(&self, id: &str) -> String {
        let begun = |index: u32| self.interval * index;
        let lines = (0u32..).zip(&self.intervals).map(|(index, times)| (begun(index), self.interval, times));
        hlog::write(id, lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_reads_back_by_intervals_and_adds_up_to_the_whole() {
        let mut recorder = Recorder::new(Duration::from_secs(1));
        for at_ms in 0..250 {
            recorder.record(Duration::from_millis(at_ms), 1_000 + at_ms);
        }
        let text = recorder.log("latency");
        assert!(text.lines().any(|line| line.starts_with("Tag=latency,")), "{text}");
        let intervals = hlog::read(&text).expect("a log");
        let whole = hlog::whole(&intervals).expect("intervals");
        assert_eq!((intervals.len(), whole.len()), (3, 250));
        assert_eq!(whole, recorder.whole());
    }
}
