//! How many requests there were lately: a count by sixtieths of a window of time. Pure, and of a fixed size whatever the rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const SLOTS: u32 = 60;

/// Requests since a moment, which is no longer ago than the window.
#[derive(Debug)]
pub(super) struct Taken {
    window: Duration,
    since: Instant,
    /// When a slot began, and how many were taken in it.
    slots: VecDeque<(Instant, u32)>,
}

impl Taken {
    /// Begins to count.
    pub(super) fn since(now: Instant, window: Duration) -> Taken {
        Taken { window, since: now, slots: VecDeque::new() }
    }

    /// A request was taken.
    pub(super) fn add(&mut self, now: Instant) {
        let slot = self.window / SLOTS;
        match self.slots.back_mut() {
            Some((began, count)) if now < *began + slot => *count = count.saturating_add(1),
            Some(_) | None => self.slots.push_back((now, 1)),
        }
        while let Some((began, _)) = self.slots.front()
            && *began + self.window < now
        {
            self.since = *began + slot;
            self.slots.pop_front();
        }
    }

    /// Requests a second, and the time that this is a mean of.
    pub(super) fn rate(&self, now: Instant) -> (f64, Duration) {
        let from = self.from(now);
        let over = now.saturating_duration_since(from);
        if over.is_zero() {
            return (0.0, over);
        }
        (self.count(now) / over.as_secs_f64(), over)
    }

    /// Requests in the window that ends now.
    pub(super) fn count(&self, now: Instant) -> f64 {
        let from = self.from(now);
        let counted = self.slots.iter().filter(|(began, _)| *began >= from);
        counted.map(|(_, count)| f64::from(*count)).sum()
    }

    fn from(&self, now: Instant) -> Instant {
        let oldest = now.checked_sub(self.window).unwrap_or(self.since);
        self.since.max(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    /// Twenty a second for so long.
    fn steady(start: Instant, seconds: u32) -> (Taken, Instant) {
        let mut taken = Taken::since(start, WINDOW);
        for n in 1..=20 * seconds {
            taken.add(start + Duration::from_millis(50) * n);
        }
        (taken, start + Duration::from_secs(u64::from(seconds)))
    }

    #[test]
    fn the_mean_counts_the_time_in_which_nothing_was_taken() {
        let (taken, now) = steady(Instant::now(), 10);
        let (rate, over) = taken.rate(now + Duration::from_secs(10));
        assert!((rate - 10.0).abs() < 1e-9, "{rate}");
        assert_eq!(over, Duration::from_secs(20));
    }

    #[test]
    fn only_the_last_minute_counts_and_memory_is_bounded() {
        let (mut taken, mut now) = steady(Instant::now(), 3_600);
        assert!(taken.slots.len() <= 62, "{}", taken.slots.len());
        for _ in 0..120 {
            now += Duration::from_millis(500);
            taken.add(now);
        }
        let (rate, over) = taken.rate(now);
        assert!((rate - 2.0).abs() < 0.5, "{rate}");
        assert!(over <= WINDOW);
        let (rate, _) = taken.rate(now + Duration::from_secs(100));
        assert_eq!(rate, 0.0);
    }

    #[test]
    fn no_time_is_no_rate() {
        let now = Instant::now();
        assert_eq!(Taken::since(now, WINDOW).rate(now), (0.0, Duration::ZERO));
    }
}
