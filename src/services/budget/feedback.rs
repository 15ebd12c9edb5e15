//! What replies 429 do to a budget: it stops, finds out with a single request whether the stop is over, and goes on at
//! about the rate that is free.
//!
//! Not every 429 is a sign of a limit. One that names a limit (`x-ms-throttle-scope`), or asks for ten seconds and more, is an
//! event at once. Any other makes its row wait ([`row_wait`]) and is an event only when there are too many for chance
//! (`refusals.rs`).
//!
//! The law, in shares of the budget's full rate:
//! - **Stop.** The service's `Retry-After`, or 1 s where it gave none; at least 2 s when the event before ended less than
//!   a minute ago, since the stop alone was not enough. Replies to requests that were in flight are of the same event.
//! - **Probe.** After a stop one request goes alone. Services count refused requests too, so going on at full speed into
//!   a bucket that is still empty could keep it empty for ever. If the probe is refused, the next stop is the longer
//!   of what the service says and 1 s doubling to 2 min. A first refusal that names no limit may be chance: another probe
//!   follows within a second.
//! - **Estimate.** What the service took since the event before (a minute at most), over that time, the stop included, is
//!   the best estimate of what is free: at both ends the limit was just used up. The rate goes on at 97 % of it, since others
//!   lose some of theirs until it is found out; at no less than half of what it was, and at no more than 97 %. After less
//!   than 6 s the estimate is worth little: no less than 80 % of what the rate was is then believed.
//! - **Recovery.** From there it grows with the third power of the time and is full after two minutes: hardly at all in the
//!   first half minute, so that it stays where it settled; past what is free within a minute, which is the next event if
//!   the limit still stands; and quickly when it does not. A service that was short of processor time says nothing about a
//!   limit, and is forgotten after half a minute.
//!
//! Measured against token buckets with another app on them (`tests/promises/throttling/`). A value that is a pure function of
//! what was reported and when; it neither waits nor knows the limiter.

use std::time::Duration;

use tokio::time::Instant;

use super::gate::{Gate, Permit};
use super::refusals::Refusals;
use super::taken::Taken;
use super::usage::SHARE_MIN;
use super::{Delays, Pause, PauseReason, Sequence, ThrottleReason};

/// A service that says "again at once" is not taken at its word: the requests in flight are still being refused.
const STOP_MIN: Duration = Duration::from_millis(100);
/// After this a single refused request costs little and tells more than the header did.
const STOP_MAX: Duration = Duration::from_secs(600);
/// A wish as long as this is no hiccup: the service declares a pause, and everybody keeps to it.
const DECLARED_PAUSE_MIN: Duration = Duration::from_secs(10);
/// The least that a row waits after a refusal.
const ROW_WAIT_MIN: Duration = Duration::from_millis(500);
/// Until another request probes after a first one that was refused perhaps by chance.
const PROBE_AGAIN: Duration = Duration::from_millis(1_000);
/// An event this soon after a stop ended shows that the stop alone was not enough.
const REPEATED_MAX: Duration = Duration::from_secs(60);
/// The least stop then. Something is in the bucket again afterwards, and the next estimate has some seconds to go by.
const REPEATED_STOP_MIN: Duration = Duration::from_millis(2_000);
/// The single request is given up as lost after this, since whoever sent it may have been cancelled; another follows.
const PROBE_MAX: Duration = Duration::from_millis(5_000);

/// Older requests say more about an hour ago than about now.
const TAKEN_OVER: Duration = Duration::from_secs(60);
/// A little below what is free, so that the service's own count of it can recover.
const BELOW_FREE: f64 = 0.97;
/// No single event takes more: the budget may have had little to send before it, and then the estimate is too low.
const CUT_MAX: f64 = 0.5;
/// Below this time between two events the estimate is mostly noise.
const BRIEF: Duration = Duration::from_millis(6_000);
/// The least share of the rate that is believed after so brief a time.
const BRIEF_SHARE: f64 = 0.8;
/// A rate that has grown by more than this since the last event, and is not full, is on its way to the next one.
const GROWN: f64 = 1.02;
/// When the rate is full again after the last event.
const RECOVERED_S: f64 = 120.0;
/// The same after a service was short of processor time.
const BUSY_RECOVERED_S: f64 = 30.0;

/// Stops and slower rates that follow from replies 429.
#[derive(Debug)]
pub(super) struct Throttling {
    pub(super) gate: Gate,
    /// What slows the rate.
    pub(super) last: Option<BudgetEvent>,
    taken: Taken,
    refusals: Refusals,
    delays: Delays,
}

/// How long the row waits whose request was refused with 429. Where that stops the budget at once, it has nothing to add.
pub fn row_wait(retry_after: Option<Duration>, whose: ThrottleReason) -> Duration {
    if is_lone(retry_after, whose) { retry_after.unwrap_or_default().max(ROW_WAIT_MIN) } else { Duration::ZERO }
}

/// Whether a refusal may be chance, and concern its row alone.
fn is_lone(retry_after: Option<Duration>, whose: ThrottleReason) -> bool {
    !whose.names_a_limit() && retry_after.is_none_or(|wish| wish < DECLARED_PAUSE_MIN)
}

/// Replies 429 that belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct BudgetEvent {
    pub(super) whose: ThrottleReason,
    began: Instant,
    stopped_until: Instant,
    /// The first permit after the stop: requests with an earlier one were in flight when it began.
    probe: Option<Permit>,
    /// A probe was refused, perhaps by chance, and another followed soon.
    has_probed_again: bool,
    /// The share of the full rate that it left.
    share: f64,
}

impl Throttling {
    pub(super) fn new(now: Instant) -> Throttling {
        Throttling {
            gate: Gate::Open,
            last: None,
            taken: Taken::since(now, TAKEN_OVER),
            refusals: Refusals::new(),
            delays: Delays::new(Sequence::Throttled, 0),
        }
    }

    /// A request leaves.
    pub(super) fn admitted(&mut self, now: Instant, permit: Permit) {
        let probe = self.gate.admitted(now, permit, PROBE_MAX);
        if let (Some(probe), Some(event)) = (probe, &mut self.last) {
            event.probe = Some(probe);
        }
    }

    /// The service took a request, whatever it said of it. Answers whether that ends a stop.
    pub(super) fn taken(&mut self, now: Instant, permit: Permit) -> bool {
        self.taken.add(now);
        match self.gate {
            Gate::Probing { probe, .. } if permit >= probe => {
                self.gate = Gate::Open;
                self.delays.reset();
                self.refusals.forget();
                return true;
            }
            Gate::Open => self.refusals.taken(self.is_growing(now)),
            Gate::Stopped(_) | Gate::Probing { .. } => {}
        }
        false
    }

    /// A request was answered with 429, at this full rate of the budget, in permits a second.
    pub(super) fn throttled(
        &mut self,
        now: Instant,
        permit: Permit,
        retry_after: Option<Duration>,
        whose: ThrottleReason,
        full_rate: f64,
    ) {
        let wish = retry_after.map(|wish| wish.clamp(STOP_MIN, STOP_MAX));
        let is_lone = is_lone(retry_after, whose);
        let was_in_flight = self.was_in_flight(permit);
        match self.gate {
            Gate::Open if was_in_flight && is_lone => {}
            // Nothing leaves while it is stopped, so there it is the probe before this stop.
            Gate::Stopped(_) => self.extend(now, wish, whose),
            Gate::Open | Gate::Probing { .. } if was_in_flight => self.extend(now, wish, whose),
            Gate::Probing { .. } => self.probe_was_refused(now, wish, whose, is_lone),
            Gate::Open if is_lone && !self.refusals.refused(full_rate) => {}
            Gate::Open => self.begin(now, wish, whose, full_rate),
        }
    }

    /// Share of the full rate that may be used, 0.1 to 1.
    pub(super) fn share(&self, now: Instant) -> f64 {
        self.last.map_or(1.0, |event| event.share_at(now))
    }

    /// The full rate has changed by this factor; what is free has not.
    pub(super) fn rescale(&mut self, factor: f64) {
        if let Some(event) = &mut self.last {
            event.share = (event.share / factor).clamp(SHARE_MIN, 1.0);
        }
    }

    /// Whether its request left before the stop of the last event ended.
    fn was_in_flight(&self, permit: Permit) -> bool {
        self.last.is_some_and(|event| event.probe.is_none_or(|probe| permit < probe))
    }

    fn extend(&mut self, now: Instant, wish: Option<Duration>, whose: ThrottleReason) {
        let present = self.gate.pause(now).map(|pause| pause.until);
        let longer = wish.map(|delay| now + delay).filter(|until| present.is_none_or(|present| present < *until));
        if let Some(until) = longer {
            self.close(Pause { reason: PauseReason::RetryAfter(whose), until });
        }
    }

    fn probe_was_refused(&mut self, now: Instant, wish: Option<Duration>, whose: ThrottleReason, is_lone: bool) {
        if let Some(event) = self.last.as_mut().filter(|event| is_lone && !event.has_probed_again) {
            event.has_probed_again = true;
            return self.stop(now, None, PROBE_AGAIN, whose);
        }
        let least = self.delays.next_delay();
        self.stop(now, wish, least, whose);
    }

    fn begin(&mut self, now: Instant, wish: Option<Duration>, whose: ThrottleReason, full_rate: f64) {
        let share = self.share_left(now, full_rate);
        self.refusals.forget();
        let is_repeated = self.last.is_some_and(|event| now <= event.stopped_until + REPEATED_MAX);
        let least = if is_repeated { REPEATED_STOP_MIN } else { Duration::ZERO };
        self.last =
            Some(BudgetEvent { whose, began: now, stopped_until: now, probe: None, has_probed_again: false, share });
        self.taken = Taken::since(now, TAKEN_OVER);
        let own = if wish.is_none() { self.delays.next_delay() } else { Duration::ZERO };
        self.stop(now, wish, least.max(own), whose);
    }

    fn stop(&mut self, now: Instant, wish: Option<Duration>, least: Duration, whose: ThrottleReason) {
        let (reason, delay) = match wish {
            Some(delay) => (PauseReason::RetryAfter(whose), delay.max(least)),
            None => (PauseReason::Backoff(whose), least),
        };
        self.close(Pause { reason, until: now + delay });
    }

    fn close(&mut self, pause: Pause) {
        self.gate = Gate::Stopped(pause);
        if let Some(event) = &mut self.last {
            event.stopped_until = pause.until;
            event.probe = None;
        }
    }

    /// What an event that begins now leaves of the rate.
    fn share_left(&self, now: Instant, full_rate: f64) -> f64 {
        let before = self.share(now);
        let (rate, over) = self.taken.rate(now);
        let mut free = rate / full_rate;
        if over < BRIEF {
            free = free.max(BRIEF_SHARE * before);
        }
        (BELOW_FREE * free).clamp(CUT_MAX * before, BELOW_FREE * before).max(SHARE_MIN)
    }

    fn is_growing(&self, now: Instant) -> bool {
        self.last.is_some_and(|event| {
            let share = event.share_at(now);
            share < 1.0 && share > GROWN * event.share
        })
    }
}

impl BudgetEvent {
    fn share_at(&self, now: Instant) -> f64 {
        let recovered_s = if self.whose == ThrottleReason::ServiceBusy { BUSY_RECOVERED_S } else { RECOVERED_S };
        let passed = now.saturating_duration_since(self.began).as_secs_f64() / recovered_s;
        (self.share + (1.0 - self.share) * passed.powi(3)).min(1.0)
    }
}

#[cfg(test)]
#[path = "feedback_tests.rs"]
mod tests;
