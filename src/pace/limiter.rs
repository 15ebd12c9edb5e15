//! Governor on tokio's clock: when may the next request leave?
//!
//! Governor keeps a GCRA bucket, which lets `burst + period / interval` requests through in the worst window. So that
//! this is never more than the quota, the burst is taken off the count before the interval is worked out, and a small
//! slack with it, because requests do not arrive at the service as evenly as they leave here.
//!
//! The bucket starts empty: a process killed a moment ago may have used the burst. Knows no queue and no feedback;
//! a slower or faster rate is a new limiter, which carries on from the last permit of the one before.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use tokio::time::Instant;

use super::Quota;

/// Half a percent of the count is burst, and half a percent is slack: at Graph's 3,000 in 150 s fifteen each, which
/// leaves 99 % in use.
const SHARE_DIVISOR: u32 = 200;
/// A quota of one in a period has nothing to take the slack from, so a twentieth is added to its interval: two requests
/// that travel at different speeds still arrive a period apart.
const LONE_SLACK_DIVISOR: u32 = 20;
const NANOS_PER_SECOND: f64 = 1e9;

type Governor = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// Gives permits at an even rate that never exceeds its quota.
#[derive(Debug)]
pub(super) struct Limiter {
    governor: Governor,
    interval: Duration,
}

impl Limiter {
    /// A limiter for this share (above 0, at most 1) of the quota, with an empty burst. Its first permit is due one
    /// interval after `last`, the last permit of a limiter of the same quota, so that a change of rate costs no time;
    /// without one, after now.
    pub(super) fn new(quota: Quota, share: f64, last: Option<Instant>) -> Limiter {
        let burst = burst(quota);
        let interval = full_interval(quota).div_f64(share);
        let now = Instant::now();
        // No more than one interval back, or the burst would not be empty.
        let oldest = now.checked_sub(interval).unwrap_or(now);
        let clock = TokioClock::standing_at(last.unwrap_or(now).max(oldest));
        // Never zero, so the fallback is never taken; it stands for "no limit finer than the clock".
        let governed = governor::Quota::with_period(interval)
            .unwrap_or(governor::Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        let governor = Governor::new(governed, InMemoryState::default(), clock.clone());
        // A fresh bucket is full, so taking its whole burst once cannot fail; it is what empties the bucket.
        let _ = governor.check_n(burst);
        clock.go();
        Limiter { governor, interval }
    }

    /// Takes a permit, or says when the next one is due.
    pub(super) fn try_take(&self) -> Result<(), Instant> {
        self.governor
            .check()
            .map_err(|not_until| self.governor.clock().instant(not_until.earliest_possible()))
    }

    /// Permits per second.
    pub(super) fn rate(&self) -> f64 {
        rate(self.interval)
    }
}

/// Whether a budget of the quota `wanted` is no faster than `allowed` on average, and never sends more than it in any
/// stretch of time of its period.
#[must_use]
pub fn fits(wanted: Quota, allowed: Quota) -> bool {
    let each = |count: Quota, period: Quota| u128::from(count.count()) * period.period().as_nanos();
    let no_faster = each(wanted, allowed) <= each(allowed, wanted);
    let evenly = allowed.period().as_nanos() / full_interval(wanted).as_nanos();
    no_faster && evenly + u128::from(burst(wanted).get()) <= u128::from(allowed.count())
}

/// Permits per second that a quota gives when nothing slows it.
pub(super) fn full_rate(quota: Quota) -> f64 {
    rate(full_interval(quota))
}

fn rate(interval: Duration) -> f64 {
    NANOS_PER_SECOND / interval.as_nanos() as f64
}

fn burst(quota: Quota) -> NonZeroU32 {
    NonZeroU32::new(quota.count() / SHARE_DIVISOR).unwrap_or(NonZeroU32::MIN)
}

/// The time between two permits. Rounded up to the nanosecond and beyond, so that a window that begins and ends with
/// a permit holds no more than the count either; that also keeps it above zero for the largest quotas.
fn full_interval(quota: Quota) -> Duration {
    if quota.count() == 1 {
        return quota.period() + quota.period() / LONE_SLACK_DIVISOR;
    }
    let slack = quota.count() / SHARE_DIVISOR;
    let usable = quota
        .count()
        .saturating_sub(burst(quota).get() + slack)
        .max(1);
    quota.period() / usable + Duration::from_nanos(1)
}

/// Nanoseconds since an origin, by tokio's clock, which tests and simulations can pause and turn. It stands still at
/// the origin until it is let go, so that a bucket can be emptied at a time that is past.
#[derive(Debug, Clone)]
struct TokioClock {
    origin: Instant,
    goes: Arc<AtomicBool>,
}

impl TokioClock {
    fn standing_at(origin: Instant) -> TokioClock {
        TokioClock {
            origin,
            goes: Arc::default(),
        }
    }

    fn go(&self) {
        self.goes.store(true, Ordering::Relaxed);
    }

    fn instant(&self, at: Nanos) -> Instant {
        self.origin + Duration::from(at)
    }
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let passed = match self.goes.load(Ordering::Relaxed) {
            true => self.origin.elapsed(),
            false => Duration::ZERO,
        };
        Nanos::from(passed)
    }
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
        assert_eq!(at_once, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_that_much_slower() {
        let quota = Quota::new(3000, Duration::from_secs(150));
        let slow = Limiter::new(quota, 0.5, None);
        assert!((slow.rate() - full_rate(quota) / 2.0).abs() < 1e-3);
        assert!((full_rate(quota) - 19.8).abs() < 1e-3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_quota_still_gives_permits() {
        let limiter = Limiter::new(Quota::new(u32::MAX, Duration::from_millis(1)), 1.0, None);
        assert!(limiter.rate() >= 1e8);
        time::advance(Duration::from_millis(1)).await;
        assert!((0..100_000).all(|_| limiter.try_take().is_ok()));
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
        assert_eq!(limiter.interval, Duration::from_millis(1_050));
        assert!(fits(quota, quota));
    }

    #[test]
    fn a_quota_fits_within_a_larger_one_and_not_by_its_mean_alone() {
        let fits =
            |wanted: &str, allowed: &str| fits(wanted.parse().unwrap(), allowed.parse().unwrap());
        assert!(fits("12/s", "3000/150s"));
        assert!(fits("20/s", "3000/150s"));
        assert!(!fits("21/s", "3000/150s"));
        assert!(!fits("3001/150s", "3000/150s"));
        assert!(fits("3000/150s", "3000/150s"));
        assert!(
            !fits("3000/150s", "20/s"),
            "it may send fifteen at once beside its twenty a second"
        );
    }

    proptest! {
        #[test]
        fn the_worst_window_holds_no_more_than_the_count(count in 1u32..u32::MAX, millis in 1u64..86_400_000) {
            let quota = Quota::new(count, Duration::from_millis(millis));
            prop_assert!(fits(quota, quota));
        }
    }
}
