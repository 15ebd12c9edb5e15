//! How many rows are worked on at once.
//!
//! Little's law: rows in flight = rows a second that the budgets allow × seconds a row takes. More would only wait for
//! permits, and some of them with their people exposed; fewer would leave the budget unused. Both sides are measured while
//! the run goes on.

use super::worker::Effort;

/// Rows in flight before anything was measured.
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

/// The measure of how many rows to work on at once.
#[derive(Debug)]
pub struct Flight {
    cap: usize,
    measured: u32,
    busy_s: f64,
    reads: f64,
    writes: f64,
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
        }
    }

    /// Learns from a row that ended.
    pub fn learn(&mut self, effort: &Effort) {
        let weight = if self.measured == 0 { 1.0 } else { WEIGHT };
        let blend = |mean: &mut f64, new: f64| *mean += weight * (new - *mean);
        blend(&mut self.busy_s, effort.busy.as_secs_f64());
        blend(&mut self.reads, f64::from(effort.reads));
        blend(&mut self.writes, f64::from(effort.writes));
        self.measured += 1;
    }

    /// How many rows to work on at once, given what the budgets allow a second.
    #[must_use]
    pub fn rows(&self, reads_per_s: f64, writes_per_s: f64) -> usize {
        if self.measured < ROWS_MEASURED_MIN {
            return ROWS_AT_FIRST.min(self.cap);
        }
        let by_reads = reads_per_s / self.reads.max(0.1);
        let by_writes = writes_per_s / self.writes.max(0.1);
        let wanted = by_reads.min(by_writes) * self.busy_s * HEADROOM;
        // A float to integer cast saturates.
        (wanted.ceil() as usize)
            .clamp(ROWS_MIN, ROWS_MAX)
            .min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn flight(cap: Option<usize>, busy_ms: u64, writes: u32) -> Flight {
        let mut flight = Flight::new(cap);
        for _ in 0..100 {
            flight.learn(&Effort {
                busy: Duration::from_millis(busy_ms),
                reads: 2,
                writes,
            });
        }
        flight
    }

    #[test]
    fn follows_from_rate_and_latency() {
        // 20 writes a second, 5 a row, 10 s a row: 4 rows a second × 10 s, doubled.
        assert_eq!(flight(None, 10_000, 5).rows(350.0, 20.0), 80);
        assert_eq!(flight(None, 300, 5).rows(350.0, 20.0), ROWS_MIN);
        assert_eq!(flight(None, 300, 5).rows(1e6, 1e6), ROWS_MAX);
    }

    #[test]
    fn a_cap_is_a_cap() {
        assert_eq!(flight(Some(3), 10_000, 5).rows(350.0, 20.0), 3);
        assert_eq!(Flight::new(Some(1)).rows(1.0, 1.0), 1);
    }
}
