//! How often a stranger can make this node write to its log.
//!
//! Anybody who reaches the socket can fail a handshake as fast as it can send. Each failure is counted by the engine; only
//! some are written down, and the next line says how many were not.

use std::time::{Duration, Instant};

/// Lines of one kind that are written in one period.
const LINES_MAX: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// The lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// When the present period began.
    since: Option<Instant>,
    /// Lines written in it.
    written: u32,
    /// Lines left out since the last one that was written.
    left_out: u64,
}

impl LogLimit {
    /// Whether a line may be written now, and if so, how many were left out before it.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written == LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_ten_lines_a_second_and_the_next_one_says_how_many_were_left_out() {
        let start = Instant::now();
        let mut limit = LogLimit::default();
        let mut flood = |after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            (0..1_000).filter_map(|_| limit.admit(now)).collect::<Vec<u64>>()
        };
        assert_eq!(flood(0), [0; 10]);
        assert_eq!(flood(999), []);
        let mut second = [0; 10];
        second[0] = 1_990;
        assert_eq!(flood(1_000), second);
        // The clock of a caller that was held up lags behind: no new period.
        assert_eq!(flood(500), []);
    }

    #[test]
    fn a_line_now_and_then_is_always_written() {
        let start = Instant::now();
        let mut limit = LogLimit::default();
        for second in 0..100 {
            assert_eq!(limit.admit(start + Duration::from_secs(second)), Some(0));
        }
    }
}
