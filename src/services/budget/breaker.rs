//! Leaves a target alone that is down: after some failures in a row everything stops, and then single requests, ever
//! further apart, find out whether it is back. So rows do not burn their attempts on a target that cannot answer. A sign-in
//! that is refused stops everything at the first refusal, for nothing can be sent without it.
//!
//! Pure: time comes in as an argument. Throttling is not trouble; a throttled request was answered.

use std::time::Duration;

use tokio::time::Instant;

use super::gate::{Gate, Permit};
use super::{Delays, Pause, PauseReason, Sequence, Trouble};

/// Fewer would stop a batch for a hiccup; more would cost as many rows an attempt.
const TROUBLES_IN_A_ROW_MAX: u32 = 5;
/// A service's wish is heeded up to this; then one probe tells more than the header did.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// The single request is given up as lost after this, longer than connecting and answering may take together.
const PROBE_MAX: Duration = Duration::from_secs(45);

/// Counts failures in a row and says when to stop.
#[derive(Debug)]
pub(super) struct Breaker {
    in_a_row: u32,
    /// Since when no request was answered; `None` while the last one was.
    pub(super) since: Option<Instant>,
    /// Since when the sign-in is refused; `None` while it is not.
    pub(super) refused_since: Option<Instant>,
    pub(super) gate: Gate,
    delays: Delays,
    refused_delays: Delays,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker {
            in_a_row: 0,
            since: None,
            refused_since: None,
            gate: Gate::Open,
            delays: Delays::new(Sequence::Probe, 0),
            refused_delays: Delays::new(Sequence::RefusedSignIn, 0),
        }
    }

    /// The target answered a request, whatever it said.
    pub(super) fn answered(&mut self) {
        if self.since.is_some() || self.refused_since.is_some() {
            *self = Breaker::new();
        }
    }

    /// A request was not served.
    pub(super) fn failed(&mut self, now: Instant, trouble: Trouble) {
        let is_final = match trouble {
            Trouble::SignInRefused => {
                self.refused_since.get_or_insert(now);
                // Who refuses does answer.
                self.since = None;
                true
            }
            Trouble::ServerError { .. } | Trouble::NoAnswer => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.since.get_or_insert(now);
                self.in_a_row >= TROUBLES_IN_A_ROW_MAX
            }
        };
        match self.gate {
            Gate::Open if !is_final => {}
            // Was in flight when everything stopped: it says nothing new.
            Gate::Stopped(_) => {}
            Gate::Open | Gate::Probing { .. } => self.stop(now, trouble),
        }
    }

    /// A request leaves.
    pub(super) fn admitted(&mut self, now: Instant, permit: Permit) {
        self.gate.admitted(now, permit, PROBE_MAX);
    }

    fn stop(&mut self, now: Instant, trouble: Trouble) {
        let (reason, delay) = match trouble {
            Trouble::ServerError { retry_after } => {
                let wish = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                (PauseReason::ServerErrors, self.delays.next_delay().max(wish))
            }
            Trouble::NoAnswer => (PauseReason::NoAnswer, self.delays.next_delay()),
            Trouble::SignInRefused => (PauseReason::SignInRefused, self.refused_delays.next_delay()),
        };
        self.gate = Gate::Stopped(Pause { reason, until: now + delay });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..TROUBLES_IN_A_ROW_MAX {
            breaker.failed(now, Trouble::NoAnswer);
        }
        breaker
    }

    #[test]
    fn only_failures_in_a_row_stop() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            for _ in 0..TROUBLES_IN_A_ROW_MAX - 1 {
                breaker.failed(now, Trouble::NoAnswer);
            }
            assert_eq!(breaker.gate.pause(now), None);
            assert_eq!(breaker.since, Some(now));
            breaker.answered();
            assert_eq!(breaker.since, None);
        }
        assert!(opened(now).gate.pause(now).is_some());
    }

    #[test]
    fn replies_still_in_flight_do_not_lengthen_the_stop() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..200 {
            breaker.failed(now, Trouble::NoAnswer);
        }
        assert_eq!(breaker.gate.pause(now).map(|pause| pause.until), Some(now + SECOND));
    }

    #[test]
    fn probes_go_one_at_a_time_and_further_apart() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.gate.pause(now).map(|pause| pause.until - now), Some(SECOND * seconds));
            now += SECOND * seconds;
            assert_eq!(breaker.gate.pause(now), None);
            breaker.admitted(now, Permit(1));
            assert!(breaker.gate.pause(now).is_some());
            breaker.failed(now, Trouble::NoAnswer);
        }
        breaker.answered();
        assert_eq!(breaker.gate.pause(now), None);
        let again = opened(now).gate.pause(now).map(|pause| pause.until);
        assert_eq!(again, Some(now + SECOND));
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.admitted(now + SECOND, Permit(1));
        let given_up = now + SECOND + PROBE_MAX;
        assert!(breaker.gate.pause(given_up - SECOND).is_some());
        assert_eq!(breaker.gate.pause(given_up), None);
    }

    #[test]
    fn a_refused_sign_in_stops_at_once_and_is_tried_ever_more_rarely() {
        let begin = Instant::now();
        let mut now = begin;
        let mut breaker = Breaker::new();
        breaker.failed(now, Trouble::SignInRefused);
        for seconds in [2, 4, 8, 16, 32, 64, 120, 120] {
            let until = now + SECOND * seconds;
            let reason = PauseReason::SignInRefused;
            assert_eq!(breaker.gate.pause(now), Some(Pause { reason, until }));
            now = until;
            assert_eq!(breaker.gate.pause(now), None);
            breaker.admitted(now, Permit(1));
            breaker.failed(now, Trouble::SignInRefused);
        }
        assert_eq!((breaker.refused_since, breaker.since), (Some(begin), None));
        breaker.answered();
        assert_eq!((breaker.refused_since, breaker.gate.pause(now)), (None, None));
        breaker.failed(now, Trouble::SignInRefused);
        assert_eq!(breaker.gate.pause(now).map(|pause| pause.until), Some(now + SECOND * 2));
    }

    #[test]
    fn silence_and_refusals_have_a_patience_each() {
        let begin = Instant::now();
        let mut breaker = opened(begin);
        breaker.admitted(begin + SECOND, Permit(1));
        breaker.failed(begin + SECOND, Trouble::SignInRefused);
        assert_eq!(breaker.since, None);
        assert_eq!(breaker.refused_since, Some(begin + SECOND));
        breaker.failed(begin + SECOND * 2, Trouble::NoAnswer);
        assert_eq!(breaker.since, Some(begin + SECOND * 2));
        assert_eq!(breaker.refused_since, Some(begin + SECOND));
    }

    #[test]
    fn the_service_may_ask_for_longer() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..TROUBLES_IN_A_ROW_MAX {
            let retry_after = Some(SECOND * 20);
            breaker.failed(now, Trouble::ServerError { retry_after });
        }
        assert_eq!(
            breaker.gate.pause(now),
            Some(Pause { reason: PauseReason::ServerErrors, until: now + SECOND * 20 })
        );
    }
}
