//! Response times, kept by intervals: what a percentile plot and a latency-over-time plot are made of.

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

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
        Self { interval: INTERVAL_MIN.max(length / most), intervals: Vec::new() }
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
        let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment("response times in nanoseconds").with_max_value_divisor(1e9);
        let tag = hdrhistogram::serialization::interval_log::Tag::new(id);
        if let Ok(mut log) = builder.begin_log_with(&mut text, &mut serializer) {
            for (index, histogram) in (0u32..).zip(&self.intervals) {
                if log.write_histogram(histogram, self.interval * index, self.interval, tag).is_err() {
                    break;
                }
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back_by_intervals_and_adds_up_to_the_whole() {
        let mut recorder = Recorder::new(Duration::from_secs(1));
        for at_ms in 0..250 {
            recorder.record(Duration::from_millis(at_ms), 1_000 + at_ms);
        }
        let text = recorder.log("latency");
        let mut whole = histogram();
        let mut intervals = 0;
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.expect("a line of the format") {
                assert_eq!(interval.tag().map(|tag| tag.as_str()), Some("latency"));
                let bytes = base64(interval.encoded_histogram());
                let one: Histogram<u64> =
                    Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
                whole.add(&one).expect("the same bounds");
                intervals += 1;
            }
        }
        assert_eq!((intervals, whole.len()), (3, 250));
        assert_eq!(whole, recorder.whole());
    }

    fn base64(text: &str) -> Vec<u8> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }
}
