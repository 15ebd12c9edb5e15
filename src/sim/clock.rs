//! The time, as a value. The rules of the simulated tenant never ask what time it is: they are told, so that a
//! test can pass thirty seconds in no time. Only the edge that serves requests holds a [`SimClock`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct SimTime(pub(super) i64);

impl SimTime {
    pub(super) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }

    pub(super) fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(ms))
    }

    /// Milliseconds from `earlier` to this moment; none when the order is the other way round.
    pub(super) fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// `2026-01-31T23:59:59`, UTC without a zone: the form of dates inside Graph's errors.
    pub(super) fn plain_text(self) -> String {
        self.formatted("%Y-%m-%dT%H:%M:%S")
    }

    /// `2026-01-31T23:59:59Z`: the form of dates inside Graph's objects.
    pub(super) fn zulu_text(self) -> String {
        self.formatted("%Y-%m-%dT%H:%M:%SZ")
    }

    /// Seconds since 1970.
    pub(super) fn seconds(self) -> u64 {
        self.ms_since(Self(0)) / 1_000
    }

    fn formatted(self, pattern: &str) -> String {
        let timestamp = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        timestamp.strftime(pattern).to_string()
    }
}

/// The real clock. It takes the calendar's time once and then counts on without jumps, since a corrected system
/// clock must not fill or empty a throttling bucket.
#[derive(Debug)]
pub(super) struct SimClock {
    started: Instant,
    started_at: SimTime,
}

impl SimClock {
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since_epoch.map_or(0, |passed| passed.as_millis());
        Self { started: Instant::now(), started_at: SimTime(i64::try_from(ms).unwrap_or(i64::MAX)) }
    }

    pub(super) fn now(&self) -> SimTime {
        let passed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_at.plus_ms(passed_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_graphs_two_forms() {
        let moment = SimTime(1_700_000_000_123);
        assert_eq!(moment.plain_text(), "2023-11-14T22:13:20");
        assert_eq!(moment.zulu_text(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn time_never_runs_backwards_in_differences() {
        assert_eq!(SimTime(5).ms_since(SimTime(9)), 0);
        assert_eq!(SimTime(9).ms_since(SimTime(5)), 4);
    }
}
