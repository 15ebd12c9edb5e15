//! How many requests the service took lately: a count by the second over the last minute. Pure, and of a fixed size
//! whatever the rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Older requests say more about an hour ago than about now.
const WINDOW: Duration = Duration::from_secs(60);
const SLOT: Duration = Duration::from_secs(1);

/// Requests that were taken since a moment, at most a minute ago.
#[derive(Debug)]
pub(super) struct Taken {
    since: Instant,
    /// When a slot began, and how many were taken in it.
    slots: VecDeque<(Instant, u32)>,
}

impl Taken {
    /// Begins to count.
    pub(super) fn since(now: Instant) -> Taken {
        Taken {
            since: now,
            slots: VecDeque::new(),
        }
    }

    /// A request was taken.
    pub(super) fn add(&mut self, now: Instant) {
        match self.slots.back_mut() {
            Some((began, count)) if now < *began + SLOT => *count = count.saturating_add(1),
            Some(_) | None => self.slots.push_back((now, 1)),
        }
        while let Some((began, _)) = self.slots.front()
            && *began + WINDOW < now
        {
            self.since = *began + SLOT;
            self.slots.pop_front();
        }
    }

    /// Requests a second, and the time that this is a mean of.
    pub(super) fn rate(&self, now: Instant) -> (f64, Duration) {
        let from = self
            .since
            .max(now.checked_sub(WINDOW).unwrap_or(self.since));
        let counted = self.slots.iter().filter(|(began, _)| *began >= from);
        let count: f64 = counted.map(|(_, count)| f64::from(*count)).sum();
        let over = now.saturating_duration_since(from);
        if over.is_zero() {
            return (0.0, over);
        }
        (count / over.as_secs_f64(), over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty a second for so long.
    fn steady(start: Instant, seconds: u32) -> (Taken, Instant) {
        let mut taken = Taken::since(start);
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
        assert_eq!(Taken::since(now).rate(now), (0.0, Duration::ZERO));
    }
}
