//! Governor on tokio's time: when may the next request leave?
//!
//! Governor keeps a GCRA bucket, which lets `burst + period / interval` requests through in the worst window. So that
//! this is never more than the quota, the burst is taken off the period before the interval is worked out, and a small
//! slack with it, because requests do not arrive at the service as evenly as they leave here.
//!
//! The burst is a time, not a number: it makes up for timers and waiters that are late, and no more. A larger one would let
//! twenty people begin at once after any lull, and all of them would then wait for each other while they cannot sign in.
//! Governor counts in whole cells, so a permit is several of them.
//!
//! The bucket starts empty: a process killed a moment ago may have used the burst. Knows no queue and no feedback;
//! a slower or faster rate is a new limiter, which carries on from the last permit of the one before.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock as _, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use tokio::time::Instant;

use super::Quota;

/// What one permit costs: so many that a burst of some milliseconds is a whole number of cells at slow rates, too.
const CELLS: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Half a percent of the period is burst, and half a percent is slack: at Graph's 3,000 in 150 s that leaves 99.4 % in use.
const SHARE_DIVISOR: u32 = 200;
/// Longer than a timer or a commit is late.
const BURST_MAX: Duration = Duration::from_millis(40);
/// By so much two requests differ in the time they travel, whatever the period.
const TRAVEL: Duration = Duration::from_millis(10);
/// At most this part of the period is given up for it.
const TRAVEL_DIVISOR: u32 = 100;
/// A quota of a few has nothing in reserve at the service either, so at least this part of an interval is slack.
const LONE_SLACK_DIVISOR: u32 = 25;

/// On a clock that stands until it is set, so that a bucket can be emptied at a time that is past, and tests and simulations can
/// pause and turn tokio's.
type Governor = RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>;

/// Gives permits at an even rate that never exceeds its quota.
#[derive(Debug)]
pub(super) struct Limiter {
    governor: Governor,
    /// When governor's clock began.
    origin: Instant,
    interval: Duration,
}

impl Limiter {
    /// A limiter for this share (above 0, at most 1) of the quota, with an empty burst. Its first permit is due one
    /// interval after `last`, the last permit of a limiter of the same quota, so that a change of rate costs no time;
    /// without one, after now.
    pub(super) fn new(quota: Quota, share: f64, last: Option<Instant>) -> Limiter {
        let cell = full_cell(quota).div_f64(share);
        let interval = cell * CELLS.get();
        let burst = burst_cells(quota, cell);
        let now = Instant::now();
        // No more than one interval back, or the burst would not be empty.
        let oldest = now.checked_sub(interval).unwrap_or(now);
        let origin = last.unwrap_or(now).max(oldest);
        // Never zero, so the fallback is never taken; it stands for "no limit finer than the clock".
        let governed = governor::Quota::with_period(cell)
            .unwrap_or(governor::Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        let governor = Governor::new(governed, InMemoryState::default(), FakeRelativeClock::default());
        // A fresh bucket is full, so taking its whole burst once cannot fail; it is what empties the bucket.
        let _ = governor.check_n(burst);
        Limiter { governor, origin, interval }
    }

    /// Takes a permit, or says when the next one is due.
    pub(super) fn try_take(&self) -> Result<(), Instant> {
        let clock = self.governor.clock();
        clock.advance(self.origin.elapsed().saturating_sub(clock.now().into()));
        match self.governor.check_n(CELLS) {
            // The burst is never smaller than one permit, so no permit is ever too large for it.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(self.origin + Duration::from(not_until.earliest_possible())),
        }
    }

    /// Permits per second.
    pub(super) fn rate(&self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }
}

/// Whether a budget of the quota `wanted` is no faster than `allowed` on average, and never sends more than it in any
/// stretch of time of its period.
pub fn fits(wanted: Quota, allowed: Quota) -> bool {
    let each = |count: Quota, period: Quota| u128::from(count.count()) * period.period().as_nanos();
    let no_faster = each(wanted, allowed) <= each(allowed, wanted);
    let cell = full_cell(wanted);
    let evenly = allowed.period().as_nanos() / cell.as_nanos();
    let cells = evenly + u128::from(burst_cells(wanted, cell).get());
    no_faster && cells / u128::from(CELLS.get()) <= u128::from(allowed.count())
}

/// Permits per second that a quota gives when nothing slows it.
pub(super) fn full_rate(quota: Quota) -> f64 {
    1.0 / (full_cell(quota) * CELLS.get()).as_secs_f64()
}

/// A permit, and what is saved up of the next ones in the time of a burst.
fn burst_cells(quota: Quota, cell: Duration) -> NonZeroU32 {
    let saved = burst(quota).as_nanos() / cell.as_nanos();
    // Bounded by the longest burst in nanoseconds, so the fallback is never taken.
    CELLS.saturating_add(u32::try_from(saved).unwrap_or(u32::MAX))
}

fn burst(quota: Quota) -> Duration {
    (quota.period() / SHARE_DIVISOR).min(BURST_MAX)
}

fn slack(quota: Quota) -> Duration {
    let period = quota.period();
    let of_few = period / quota.count().saturating_mul(LONE_SLACK_DIVISOR);
    let travel = (period / TRAVEL_DIVISOR).min(TRAVEL);
    (period / SHARE_DIVISOR).max(travel).max(of_few)
}

/// The time between two cells. Rounded up to the nanosecond and beyond, so that a window that begins and ends with
/// a permit holds no more than the count either; that also keeps it above zero for the largest quotas.
fn full_cell(quota: Quota) -> Duration {
    let spread = quota.period() + burst(quota) + slack(quota);
    let cells = u128::from(quota.count()) * u128::from(CELLS.get());
    // A little more than a day at most, far from the bound.
    let nanos = u64::try_from(spread.as_nanos() / cells).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::time;

    #[tokio::test(start_paused = true)]
    async fn the_burst_is_empty_at_first_and_fills() {
        let limiter = Limiter::new(Quota::new(3000, Duration::from_secs(150)), 1.0, None);
        let due = limiter.try_take().unwrap_err();
        assert_eq!(due - Instant::now(), limiter.interval);
        time::advance(Duration::from_secs(10)).await;
        let at_once = (0..100).take_while(|_| limiter.try_take().is_ok()).count();
        assert_eq!(at_once, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_that_much_slower() {
        let quota = Quota::new(3000, Duration::from_secs(150));
        let slow = Limiter::new(quota, 0.5, None);
        assert!((slow.rate() - full_rate(quota) / 2.0).abs() < 1e-3);
        assert!(full_rate(quota) >= 0.994 * 20.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_quota_still_gives_permits() {
        let limiter = Limiter::new(Quota::new(u32::MAX, Duration::from_millis(1)), 1.0, None);
        assert!(limiter.rate() >= 1e7);
        time::advance(Duration::from_millis(1)).await;
        assert!((0..70).all(|_| limiter.try_take().is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_rate_costs_no_time_and_gives_no_burst() {
        let quota = Quota::new(3000, Duration::from_secs(150));
        let last = Instant::now();
        time::advance(Duration::from_millis(30)).await;
        let next = Limiter::new(quota, 0.5, Some(last));
        assert_eq!(next.try_take().unwrap_err() - last, next.interval);
        time::advance(Duration::from_secs(10)).await;
        let late = Limiter::new(quota, 0.5, Some(last));
        let at_once = (0..100).take_while(|_| late.try_take().is_ok()).count();
        assert_eq!(at_once, 1, "the one that was due");
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_a_second_leaves_room_between_two() {
        let quota = Quota::new(1, Duration::from_secs(1));
        let limiter = Limiter::new(quota, 1.0, None);
        let room = limiter.interval - Duration::from_millis(1_045);
        assert!(room < Duration::from_micros(1), "{:?}", limiter.interval);
        assert!(fits(quota, quota));
    }

    /// Also where a second allows few, and the timers are late.
    #[tokio::test(start_paused = true)]
    async fn small_quotas_are_used_too() {
        for (text, share) in [("1/s", 0.95), ("2/s", 0.97), ("20/s", 0.98), ("60/s", 0.98)] {
            let limiter = Limiter::new(text.parse().unwrap(), 1.0, None);
            let (begun, mut permits) = (Instant::now(), 0);
            while begun.elapsed() < Duration::from_secs(100) {
                match limiter.try_take() {
                    Ok(()) => permits += 1,
                    Err(due) => time::sleep_until(due + Duration::from_millis(2)).await,
                }
            }
            let quota: Quota = text.parse().unwrap();
            let used = f64::from(permits) / 100.0 / quota.per_second();
            assert!(used >= share, "{text}: {used}");
        }
    }

    #[test]
    fn a_quota_fits_within_a_larger_one_and_not_by_its_mean_alone() {
        let fits = |wanted: &str, allowed: &str| fits(wanted.parse().unwrap(), allowed.parse().unwrap());
        assert!(fits("12/s", "3000/150s"));
        assert!(fits("20/s", "3000/150s"));
        assert!(!fits("21/s", "3000/150s"));
        assert!(!fits("3001/150s", "3000/150s"));
        assert!(fits("3000/150s", "3000/150s"));
        assert!(!fits("3000/150s", "20/s"), "it may send fifteen at once beside its twenty a second");
    }

    proptest! {
        #[test]
        fn the_worst_window_holds_no_more_than_the_count(count in 1u32..u32::MAX, millis in 1u64..86_400_000) {
            let quota = Quota::new(count, Duration::from_millis(millis));
            prop_assert!(fits(quota, quota));
        }
    }
}
