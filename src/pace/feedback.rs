//! What a service that throttles does to a budget: it stops for the time the service names, and it is slower
//! afterwards for as long as that was not enough.
//!
//! Two values, each a pure function of what was reported and when; time comes in as an argument. Neither waits,
//! neither knows the limiter: they answer "stopped until" and "this share of the full rate".

use std::time::Duration;

use tokio::time::Instant;

use super::{Delays, Pause, PauseReason, Sequence, ThrottleReason};

/// A service that says "again at once" is not taken at its word: the requests in flight are still being refused.
const STOP_MS_MIN: u64 = 100;
/// After this a single refused request costs little and tells more than the header did.
const STOP_S_MAX: u64 = 600;
/// Replies 429 within this time belong together even if the stop was shorter: their requests were in flight already.
const EVENT_MS_MIN: u64 = 1_000;
/// An event this soon after a stop ended shows that the stop alone was not enough.
const REPEATED_S_MAX: u64 = 60;
/// What is left of the rate after each repeated event.
const SLOWER: f64 = 0.8;
/// Slower than this, a batch would not end; from here on the stops alone must do.
const SHARE_MIN: f64 = 0.1;
/// How long all must be quiet before the rate grows by one step.
const QUIET_S: u64 = 10;
/// One step of recovery, as a share of the full rate.
const STEP: f64 = 0.05;

/// Usage up to which the service sends no header at all, and the largest it reports (Microsoft's page on Graph
/// throttling limits, `x-ms-throttle-limit-percentage`).
const USAGE_MIN: f64 = 0.8;
const USAGE_MAX: f64 = 1.8;
/// Each begun fifth of the limit above [`USAGE_MIN`] takes one step off the rate. A budget that uses its own quota
/// fully is reported at nearly 1.0 all the time, so more than one step there would waste the night.
const USAGE_PER_STEP: f64 = 0.2;

/// Stops and slower rates that follow from replies 429.
#[derive(Debug)]
pub(super) struct Throttling {
    share: f64,
    last: Option<Event>,
    quiet_since: Instant,
    delays: Delays,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    began: Instant,
    pause: Pause,
}

impl Throttling {
    pub(super) fn new(now: Instant) -> Throttling {
        Throttling {
            share: 1.0,
            last: None,
            quiet_since: now,
            delays: Delays::new(Sequence::Throttled, 0),
        }
    }

    /// A reply 429 arrived.
    pub(super) fn throttled(
        &mut self,
        now: Instant,
        retry_after: Option<Duration>,
        whose: ThrottleReason,
    ) {
        let wish = retry_after.map(bounded);
        if let Some(event) = self.last.as_mut().filter(|event| event.covers(now)) {
            event.extend(wish.map(|delay| now + delay), whose);
            self.quiet_since = event.pause.until;
            return;
        }
        if self.is_repeated(now) {
            self.share = (self.share * SLOWER).max(SHARE_MIN);
        } else {
            self.delays.reset();
        }
        let (reason, delay) = match wish {
            Some(delay) => (PauseReason::RetryAfter(whose), delay),
            None => (PauseReason::Backoff(whose), self.delays.next_delay()),
        };
        let until = now + delay;
        self.last = Some(Event {
            began: now,
            pause: Pause { reason, until },
        });
        self.quiet_since = until;
    }

    /// Lets the rate grow by as many steps as quiet time has passed.
    pub(super) fn settle(&mut self, now: Instant) {
        let quiet = Duration::from_secs(QUIET_S);
        while self.share < 1.0 && now >= self.quiet_since + quiet {
            self.share = (self.share + STEP).min(1.0);
            self.quiet_since += quiet;
        }
    }

    /// The stop in force, if any.
    pub(super) fn pause(&self, now: Instant) -> Option<Pause> {
        self.last
            .map(|event| event.pause)
            .filter(|pause| now < pause.until)
    }

    /// Share of the full rate that may be used, 0.1 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    fn is_repeated(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|event| now <= event.pause.until + Duration::from_secs(REPEATED_S_MAX))
    }
}

impl Event {
    /// Whether a reply that arrives now is of this event rather than a new one.
    fn covers(&self, now: Instant) -> bool {
        now < self.pause.until || now < self.began + Duration::from_millis(EVENT_MS_MIN)
    }

    fn extend(&mut self, until: Option<Instant>, whose: ThrottleReason) {
        let Some(until) = until.filter(|until| *until > self.pause.until) else {
            return;
        };
        self.pause = Pause {
            reason: PauseReason::RetryAfter(whose),
            until,
        };
    }
}

fn bounded(retry_after: Duration) -> Duration {
    retry_after.clamp(
        Duration::from_millis(STOP_MS_MIN),
        Duration::from_secs(STOP_S_MAX),
    )
}

/// A slower rate while the service reports that a limit is nearly reached, or passed.
#[derive(Debug)]
pub(super) struct Usage {
    steps: u32,
    since: Instant,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Usage {
        Usage {
            steps: 0,
            since: now,
        }
    }

    /// The service reports that this fraction of a limit is in use. A smaller report than the last one changes
    /// nothing yet: replies overtake each other, and quiet time will show.
    pub(super) fn reported(&mut self, now: Instant, fraction: f64) {
        if fraction.is_nan() || fraction <= USAGE_MIN {
            return;
        }
        let above = fraction.min(USAGE_MAX) - USAGE_MIN;
        let steps = (above / USAGE_PER_STEP).ceil() as u32;
        if steps >= self.steps {
            self.steps = steps;
            self.since = now;
        }
    }

    /// Takes back one step for each quiet time that passed without as high a report.
    pub(super) fn settle(&mut self, now: Instant) {
        let quiet = Duration::from_secs(QUIET_S);
        while self.steps > 0 && now >= self.since + quiet {
            self.steps -= 1;
            self.since += quiet;
        }
    }

    /// Share of the full rate that may be used, 0.75 to 1.
    pub(super) fn share(&self) -> f64 {
        1.0 - STEP * f64::from(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn replies_in_flight_count_once_and_the_longest_wish_wins() {
        let start = Instant::now();
        let mut throttling = Throttling::new(start);
        for wish in [2, 5, 3] {
            throttling.throttled(start, Some(SECOND * wish), ThrottleReason::Tenant);
        }
        assert_eq!(
            throttling.pause(start),
            Some(Pause {
                reason: PauseReason::RetryAfter(ThrottleReason::Tenant),
                until: after(start, 5.0)
            })
        );
        assert_eq!(throttling.share(), 1.0);
        assert_eq!(throttling.pause(after(start, 5.0)), None);
    }

    #[test]
    fn a_second_event_soon_after_slows_down_and_a_late_one_does_not() {
        let start = Instant::now();
        let mut throttling = Throttling::new(start);
        throttling.throttled(start, Some(SECOND), ThrottleReason::Unstated);
        throttling.throttled(after(start, 61.0), Some(SECOND), ThrottleReason::Unstated);
        assert_eq!(throttling.share(), 0.8);
        throttling.throttled(after(start, 123.0), Some(SECOND), ThrottleReason::Unstated);
        assert_eq!(throttling.share(), 0.8);
    }

    #[test]
    fn the_rate_has_a_floor_and_recovers_in_steps() {
        let start = Instant::now();
        let mut throttling = Throttling::new(start);
        for second in 0..40 {
            throttling.throttled(
                after(start, 2.0 * f64::from(second)),
                None,
                ThrottleReason::Unstated,
            );
            throttling.last = throttling.last.map(|event| Event {
                pause: Pause {
                    until: event.began + SECOND,
                    ..event.pause
                },
                ..event
            });
        }
        assert_eq!(throttling.share(), SHARE_MIN);
        let quiet = throttling.quiet_since;
        throttling.settle(quiet + SECOND * 9);
        assert_eq!(throttling.share(), SHARE_MIN);
        throttling.settle(quiet + SECOND * 10);
        assert!((throttling.share() - 0.15).abs() < 1e-9);
        throttling.settle(quiet + SECOND * 200);
        assert_eq!(throttling.share(), 1.0);
    }

    #[test]
    fn without_a_wish_the_stops_grow() {
        let start = Instant::now();
        let mut throttling = Throttling::new(start);
        let mut now = start;
        let mut stops = Vec::new();
        for _ in 0..4 {
            throttling.throttled(now, None, ThrottleReason::Unstated);
            let until = throttling.pause(now).unwrap().until;
            stops.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(stops, [1, 2, 4, 8]);
    }

    #[test]
    fn absurd_wishes_are_bounded() {
        let start = Instant::now();
        for (wish, stop) in [
            (Duration::ZERO, Duration::from_millis(STOP_MS_MIN)),
            (Duration::MAX, Duration::from_secs(STOP_S_MAX)),
        ] {
            let mut throttling = Throttling::new(start);
            throttling.throttled(start, Some(wish), ThrottleReason::Unstated);
            assert_eq!(throttling.pause(start).unwrap().until - start, stop);
        }
    }

    #[test]
    fn usage_slows_in_proportion_and_wears_off() {
        let start = Instant::now();
        let share_at = |fraction: f64| {
            let mut usage = Usage::new(start);
            usage.reported(start, fraction);
            usage.share()
        };
        assert_eq!(share_at(0.8), 1.0);
        assert_eq!(share_at(f64::NAN), 1.0);
        assert_eq!(share_at(0.99), 0.95);
        assert!((share_at(1.39) - 0.85).abs() < 1e-9);
        assert_eq!(share_at(f64::INFINITY), share_at(1.8));

        let mut usage = Usage::new(start);
        usage.reported(start, 1.1);
        usage.reported(after(start, 5.0), 0.9);
        usage.settle(after(start, 9.0));
        assert_eq!(usage.share(), 0.9);
        usage.settle(after(start, 10.0));
        assert_eq!(usage.share(), 0.95);
        usage.settle(after(start, 30.0));
        assert_eq!(usage.share(), 1.0);
    }
}
