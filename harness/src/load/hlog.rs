//! Interval logs of response times: nanoseconds, in HdrHistogram's format.

use std::time::Duration;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

/// One interval.
#[derive(Debug, Clone)]
pub struct Interval {
    /// When it began, since the measurement did.
    pub begun: Duration,
    /// How long it was.
    pub length: Duration,
    /// Its response times in nanoseconds.
    pub times: Histogram<u64>,
}

/// The log of intervals, with a tag that names the load.
#[must_use]
pub fn write<'a>(id: &str, intervals: impl IntoIterator<Item = Line<'a>>) -> String {
    let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("response times in nanoseconds").with_max_value_divisor(1e9);
    if let Ok(mut log) = builder.begin_log_with(&mut text, &mut serializer) {
        for (begun, length, times) in intervals {
            if log.write_histogram(times, begun, length, Tag::new(id)).is_err() {
                break;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// When an interval began, how long it was, and its response times in nanoseconds.
pub type Line<'a> = (Duration, Duration, &'a Histogram<u64>);

/// The intervals of a log, in order.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn read(text: &str) -> Result<Vec<Interval>, String> {
    let mut deserializer = Deserializer::new();
    let mut intervals = Vec::new();
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        let entry = entry.map_err(|error| format!("no interval log: {error:?}"))?;
        let LogEntry::Interval(line) = entry else { continue };
        let bytes = base64::engine::general_purpose::STANDARD.decode(line.encoded_histogram());
        let bytes = bytes.map_err(|error| format!("an interval is not base64: {error}"))?;
        let times: Histogram<u64> = deserializer
            .deserialize(&mut &bytes[..])
            .map_err(|error| format!("an interval is no histogram: {error}"))?;
        intervals.push(Interval { begun: line.start_timestamp(), length: line.duration(), times });
    }
    Ok(intervals)
}

/// All intervals in one; `None` without any.
#[must_use]
pub fn whole(intervals: &[Interval]) -> Option<Histogram<u64>> {
    let mut all = intervals.first()?.times.clone();
    // Logs may come from other builds, with other bounds.
    all.auto(true);
    for interval in &intervals[1..] {
        all.add(&interval.times).ok()?;
    }
    Some(all)
}
