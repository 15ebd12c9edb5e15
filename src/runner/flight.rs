//! How many rows are worked on at once.
//!
//! Little's law, twice. The budgets allow so many rows a second × the seconds a row takes: more would only wait for permits, some
//! of them with their people exposed. And what is got done, rows a second × the least time that a row's requests have taken: more
//! would only wait for this machine. Rows that wait for it take longer, so a law that went by the time they take would let in
//! ever more of them; by the least time it grows only while more gets done. Both sides are measured while the run goes on.

use super::worker::Effort;
use std::collections::VecDeque;
use tokio::time::Instant;

/// Rows in flight before anything was measured, and the fewest for what gets done: a row that waits for a replica does nothing.
const ROWS_AT_FIRST: usize = 64;

/// Never fewer: a row that waits for a replica must not hold up the rest.
const ROWS_MIN: usize = 16;

/// Never more, unless asked for: beyond this a tenant is no faster, and a crash leaves this many people in doubt.
pub const ROWS_MAX: usize = 256;

/// Room for what the means do not show: rows that take longer than others.
const HEADROOM: f64 = 2.0;

/// Weight of a new row in the moving means.
const WEIGHT: f64 = 0.05;

/// Rows measured before the means are believed.
const ROWS_MEASURED_MIN: u32 = 20;

/// Rows whose ends tell how many end a second.
const ENDS: usize = 64;

/// By so much the least time of a request grows with every row, so that a service that has become slower is seen.
const LEAST_GROWS: f64 = 1.002;

/// The measure of how many rows to work on at once.
#[derive(Debug)]
pub struct Flight {
    cap: usize,
    measured: u32,
    busy_s: f64,
    reads: f64,
    writes: f64,
    /// The least that a row took for each of its requests.
    least_request_s: f64,
    ends: VecDeque<Instant>,
}

impl Flight {
    /// With a cap given by the operator, or the program's.
    #[must_use]
    pub fn new(cap: Option<usize>) -> Flight {
        Flight {
            cap: cap.unwrap_or(ROWS_MAX).max(1),
            measured: 0,
            busy_s: 0.0,
            reads: 0.0,
            writes: 0.0,
            least_request_s: f64::MAX,
            ends: VecDeque::new(),
        }
    }

    /// Learns from a row that ended.
    pub fn learn(&mut self, effort: &Effort, now: Instant) {
        let weight = if self.measured == 0 { 1.0 } else { WEIGHT };
        let blend = |mean: &mut f64, new: f64| *mean += weight * (new - *mean);
        blend(&mut self.busy_s, effort.busy.as_secs_f64());
        blend(&mut self.reads, f64::from(effort.reads));
        blend(&mut self.writes, f64::from(effort.writes));
        self.measured += 1;
        let requests = effort.reads + effort.writes;
        if requests > 0 {
            let each = effort.busy.as_secs_f64() / f64::from(requests);
            self.least_request_s = (self.least_request_s * LEAST_GROWS).min(each);
        }
        self.ends.push_back(now);
        if self.ends.len() > ENDS {
            self.ends.pop_front();
        }
    }

    /// How many rows to work on at once, given what the budgets allow a second.
    #[must_use]
    pub fn rows(&self, reads_per_s: f64, writes_per_s: f64) -> usize {
        if self.measured < ROWS_MEASURED_MIN {
            return ROWS_AT_FIRST.min(self.cap);
        }
        let by_reads = reads_per_s / self.reads.max(0.1);
        let by_writes = writes_per_s / self.writes.max(0.1);
        let by_budget = by_reads.min(by_writes) * self.busy_s * HEADROOM;
        let by_work = self.rows_per_s() * self.least_s() * HEADROOM;
        // A float to integer cast saturates.
        let by_work = (by_work.ceil() as usize).max(ROWS_AT_FIRST);
        (by_budget.ceil() as usize).min(by_work).clamp(ROWS_MIN, ROWS_MAX).min(self.cap)
    }

    /// Rows that ended a second, lately.
    fn rows_per_s(&self) -> f64 {
        let (Some(first), Some(last)) = (self.ends.front(), self.ends.back()) else {
            return 0.0;
        };
        let seconds = last.duration_since(*first).as_secs_f64();
        (self.ends.len() - 1) as f64 / seconds.max(0.001)
    }

    /// What a row would take if no request waited.
    fn least_s(&self) -> f64 {
        self.least_request_s * (self.reads + self.writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// After a hundred rows that took so long each, `per_s` of which ended a second.
    fn flight(cap: Option<usize>, busy_ms: u64, writes: u32, per_s: u32) -> Flight {
        let mut flight = Flight::new(cap);
        let begun = Instant::now();
        for row in 0..100 {
            let effort = Effort { busy: Duration::from_millis(busy_ms), reads: 2, writes };
            flight.learn(&effort, begun + Duration::from_secs(1) / per_s * row);
        }
        flight
    }

    #[test]
    fn follows_from_rate_and_latency() {
        // 20 writes a second, 5 a row, 10 s a row: 4 rows a second × 10 s, doubled.
        assert_eq!(flight(None, 10_000, 5, 4).rows(350.0, 20.0), 80);
        assert_eq!(flight(None, 300, 5, 4).rows(350.0, 20.0), ROWS_MIN);
    }

    #[test]
    fn grows_while_more_gets_done() {
        // 64 rows of 200 ms each end at 320 a second: nothing waits, so twice as many may.
        assert_eq!(flight(None, 200, 5, 320).rows(1e6, 1e6), 128);
        // As many get done, though each takes longer: they wait for this machine.
        let mut full = flight(None, 200, 5, 320);
        let last = *full.ends.back().unwrap();
        for row in 1..=64 {
            let effort = Effort { busy: Duration::from_millis(800), reads: 2, writes: 5 };
            full.learn(&effort, last + Duration::from_secs(1) / 320 * row);
        }
        assert!(full.rows(1e6, 1e6) < 160, "{}", full.rows(1e6, 1e6));
        assert_eq!(flight(None, 200, 5, 2_000).rows(1e6, 1e6), ROWS_MAX);
    }

    #[test]
    fn a_cap_is_a_cap() {
        assert_eq!(flight(Some(3), 10_000, 5, 4).rows(350.0, 20.0), 3);
        assert_eq!(Flight::new(Some(1)).rows(1.0, 1.0), 1);
    }
}
