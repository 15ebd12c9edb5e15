//! Eases off before a service throttles, by the share of a limit that it reports to be in use.
//!
//! Graph sends `x-ms-throttle-limit-percentage` on successes above 0.8 of a limit, up to 1.8. A success without it
//! counts as 0.8. The level is the mean of such reports, each weighing less by the second, since replies overtake
//! each other. The law:
//! - The rate falls from all to a tenth over 0.08 above a reference, which is 0.8 at first. Where somebody else uses half
//!   of a limit that is counted by a bucket, the level comes to rest some 0.04 above it, the rate at the free half.
//! - The reference follows the level up by 0.0075 a minute, to 0.98 at most, and down at once. So a level that stands is
//!   believed to be harmless, until it is not: where a service counts by windows, a budget that uses its limit alone
//!   and fully is reported at 0.99 all night, and that is no reason to go slower all night. In a bucket this uses up the
//!   reserve by a few requests a minute; when it is empty, a 429 tells.
//! - A report that says no more than what we ourselves sent in the quota's period is no sign of anybody else: so a service
//!   reports that counts by windows, or whose bucket holds one request. It is believed to be harmless.
//! - When a run meets a level that is high already, nothing is known of how it came to be: the reference begins at 0.04
//!   below it, at half the rate.
//!
//! Pure: time comes in as an argument. The numbers 0.8 and 1.8 are from Microsoft's page on Graph throttling limits.

use std::time::Duration;

use tokio::time::Instant;

/// Up to this the service sends no header.
const TOLD_MIN: f64 = 0.8;
const TOLD_MAX: f64 = 1.8;
/// The time after which a report weighs a third of what it did.
const MEMORY: Duration = Duration::from_secs(1);
/// From all of the rate to none of it.
const WIDTH: f64 = 0.08;
/// What a level that was met is above the reference: half the rate.
const MET_ABOVE: f64 = WIDTH / 2.0;
const REFERENCE_MAX: f64 = 0.98;
const CREEP_PER_S: f64 = 0.0075 / 60.0;

/// Slower than this, a batch would not end; from here on the stops alone must do.
pub(super) const SHARE_MIN: f64 = 0.1;

/// By how much a report may differ from our own count: replies overtake each other, and the count has steps of a sixtieth.
const OURS_WITHIN: f64 = 0.03;

/// A slower rate while the service reports that a limit is nearly reached, or passed.
#[derive(Debug)]
pub(super) struct Usage {
    level: f64,
    reference: f64,
    at: Instant,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Usage {
        Usage { level: TOLD_MIN, reference: TOLD_MIN, at: now }
    }

    /// A request succeeded, and the service reported that this fraction of a limit is in use, or nothing. `ours` is the
    /// fraction that we ourselves used in the last period.
    pub(super) fn reported(&mut self, now: Instant, fraction: Option<f64>, ours: f64) {
        let told = fraction.filter(|told| !told.is_nan()).map(|told| match (told - ours).abs() <= OURS_WITHIN {
            true => self.reference,
            false => told,
        });
        let told = told.unwrap_or(TOLD_MIN).clamp(TOLD_MIN, TOLD_MAX);
        let passed_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        if self.level == TOLD_MIN && told - MET_ABOVE > TOLD_MIN {
            self.level = told;
            self.reference = (told - MET_ABOVE).min(REFERENCE_MAX);
            return;
        }
        let weight = 1.0 - (-passed_s / MEMORY.as_secs_f64()).exp();
        self.level += weight * (told - self.level);
        // Or quiet would never be told from nearly quiet.
        if self.level < TOLD_MIN + 0.001 && told == TOLD_MIN {
            self.level = TOLD_MIN;
        }
        self.reference = (self.reference + CREEP_PER_S * passed_s).min(self.level).min(REFERENCE_MAX);
    }

    /// Share of the full rate that may be used, 0.1 to 1.
    pub(super) fn share(&self) -> f64 {
        (1.0 - (self.level - self.reference) / WIDTH).clamp(SHARE_MIN, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        usage: Usage,
        now: Instant,
    }

    impl World {
        fn new() -> World {
            let now = Instant::now();
            World { usage: Usage::new(now), now }
        }

        /// The same report ten times a second, for so many seconds.
        fn told(&mut self, fraction: Option<f64>, seconds: u32) -> f64 {
            for _ in 0..10 * seconds {
                self.now += Duration::from_millis(100);
                self.usage.reported(self.now, fraction, 0.0);
            }
            self.usage.share()
        }

        /// From 0.8 to there, at so much a second.
        fn rises(&mut self, to: f64, per_s: f64) -> f64 {
            let mut level = 0.8;
            while level < to {
                level += per_s / 10.0;
                self.now += Duration::from_millis(100);
                self.usage.reported(self.now, Some(level), 0.0);
            }
            self.usage.share()
        }
    }

    #[test]
    fn silence_and_nonsense_are_no_reason_to_go_slower() {
        let mut world = World::new();
        assert_eq!(world.told(None, 10), 1.0);
        assert_eq!(world.told(Some(f64::NAN), 10), 1.0);
        assert_eq!(world.told(Some(0.8), 10), 1.0);
        assert_eq!(world.told(Some(-7.0), 10), 1.0);
    }

    #[test]
    fn a_rising_level_slows_down_to_the_floor() {
        let half = World::new().rises(0.84, 0.003);
        assert!((0.5..0.6).contains(&half), "{half}");
        assert_eq!(World::new().rises(0.9, 0.003), SHARE_MIN);
        assert_eq!(World::new().rises(1.8, 0.003), SHARE_MIN);
    }

    #[test]
    fn quiet_frees_within_seconds() {
        let mut world = World::new();
        world.rises(0.9, 0.003);
        assert_eq!(world.told(None, 6), 1.0);
        let again = world.rises(0.84, 0.003);
        assert!((0.5..0.6).contains(&again), "{again}");
    }

    #[test]
    fn one_reply_that_overtook_others_changes_little() {
        let mut world = World::new();
        world.rises(0.83, 0.003);
        let before = world.usage.share();
        world.now += Duration::from_millis(10);
        world.usage.reported(world.now, None, 0.0);
        assert!((world.usage.share() - before).abs() < 0.02);
    }

    #[test]
    fn a_high_level_that_is_met_halves_the_rate_and_is_believed_in_time() {
        let mut world = World::new();
        let met = world.told(Some(0.99), 1);
        assert!((0.5..0.51).contains(&met), "{met}");
        let later = world.told(Some(0.99), 300);
        assert!(later > 0.85, "{later}");
    }

    #[test]
    fn a_level_above_the_limit_is_never_believed() {
        let mut world = World::new();
        assert_eq!(world.told(Some(f64::INFINITY), 3_600), SHARE_MIN);
    }

    #[test]
    fn what_we_ourselves_used_is_no_reason_to_go_slower() {
        let mut world = World::new();
        for _ in 0..100 {
            world.now += Duration::from_secs(1);
            world.usage.reported(world.now, Some(1.0), 1.0);
            world.usage.reported(world.now, Some(0.87), 0.89);
        }
        assert_eq!(world.usage.share(), 1.0);
        world.usage.reported(world.now, Some(1.0), 0.5);
        assert!(world.usage.share() < 1.0);
    }
}
