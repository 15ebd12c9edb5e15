//! Leaves a target alone that is down: after some failures in a row everything stops, and then single requests, ever
//! further apart, find out whether it is back. So rows do not burn their attempts on a target that cannot answer. A sign-in
//! that is refused stops everything at the first refusal, for nothing can be sent without it.
//!
//! Pure: time comes in as an argument. Throttling is not trouble; a throttled request was answered.

use std::time::Duration;

use tokio::time::Instant;

use super::{Delays, Pause, PauseReason, Sequence, Trouble};

/// Fewer would stop a batch for a hiccup; more would cost as many rows an attempt.
const TROUBLES_IN_A_ROW_MAX: u32 = 5;
/// A service's wish is heeded up to this; then one probe tells more than the header did.
const RETRY_AFTER_S_MAX: u64 = 600;
/// The single request is given up as lost after this, longer than connecting and answering may take together:
/// whoever sent it may have been cancelled and will never report.
const PROBE_S_MAX: u64 = 45;

/// Counts failures in a row and says when to stop.
#[derive(Debug)]
pub(super) struct Breaker {
    in_a_row: u32,
    since: Option<Instant>,
    refused_since: Option<Instant>,
    circuit: Circuit,
    delays: Delays,
    refused_delays: Delays,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    /// Requests pass.
    Closed,
    /// No request passes before the pause has ended; then one does.
    Open(Pause),
    /// That one is under way, and the pause lasts until it must have ended.
    Probing(Pause),
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker {
            in_a_row: 0,
            since: None,
            refused_since: None,
            circuit: Circuit::Closed,
            delays: Delays::new(Sequence::Probe, 0),
            refused_delays: Delays::new(Sequence::RefusedSignIn, 0),
        }
    }

    /// The target answered a request, whatever it said.
    pub(super) fn answered(&mut self) {
        if self.is_troubled() {
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
        match self.circuit {
            Circuit::Closed if !is_final => {}
            // Was in flight when everything stopped: it says nothing new.
            Circuit::Open(_) => {}
            Circuit::Closed | Circuit::Probing(_) => self.open(now, trouble),
        }
    }

    /// The stop in force, if any.
    pub(super) fn pause(&self, now: Instant) -> Option<Pause> {
        match self.circuit {
            Circuit::Closed => None,
            Circuit::Open(pause) | Circuit::Probing(pause) => Some(pause).filter(|pause| now < pause.until),
        }
    }

    /// A request leaves. The first one after a stop is the probe, and no other follows it until it has ended.
    pub(super) fn admitted(&mut self, now: Instant) {
        match self.circuit {
            Circuit::Closed => {}
            Circuit::Open(pause) | Circuit::Probing(pause) => {
                self.circuit = Circuit::Probing(Pause { until: now + Duration::from_secs(PROBE_S_MAX), ..pause });
            }
        }
    }

    /// Since when no request was answered; `None` while the last one was.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Since when the sign-in is refused; `None` while it is not.
    pub(super) fn refused_since(&self) -> Option<Instant> {
        self.refused_since
    }

    /// Whether anything is to be forgotten when the target answers.
    pub(super) fn is_troubled(&self) -> bool {
        self.since.is_some() || self.refused_since.is_some()
    }

    fn open(&mut self, now: Instant, trouble: Trouble) {
        let (reason, delay) = match trouble {
            Trouble::ServerError { retry_after } => {
                let wish = retry_after.unwrap_or_default();
                let wish = wish.min(Duration::from_secs(RETRY_AFTER_S_MAX));
                (PauseReason::ServerErrors, self.delays.next_delay().max(wish))
            }
            Trouble::NoAnswer => (PauseReason::NoAnswer, self.delays.next_delay()),
            Trouble::SignInRefused => (PauseReason::SignInRefused, self.refused_delays.next_delay()),
        };
        let until = now + delay;
        self.circuit = Circuit::Open(Pause { reason, until });
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
            assert_eq!(breaker.pause(now), None);
            assert_eq!(breaker.since(), Some(now));
            breaker.answered();
            assert_eq!(breaker.since(), None);
        }
        assert!(opened(now).pause(now).is_some());
    }

    #[test]
    fn replies_still_in_flight_do_not_lengthen_the_stop() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..200 {
            breaker.failed(now, Trouble::NoAnswer);
        }
        assert_eq!(breaker.pause(now).map(|pause| pause.until), Some(now + SECOND));
    }

    #[test]
    fn probes_go_one_at_a_time_and_further_apart() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.pause(now).map(|pause| pause.until - now), Some(SECOND * seconds));
            now += SECOND * seconds;
            assert_eq!(breaker.pause(now), None);
            breaker.admitted(now);
            assert!(breaker.pause(now).is_some());
            breaker.failed(now, Trouble::NoAnswer);
        }
        breaker.answered();
        assert_eq!(breaker.pause(now), None);
        let again = opened(now).pause(now).map(|pause| pause.until);
        assert_eq!(again, Some(now + SECOND));
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.admitted(now + SECOND);
        let given_up = now + SECOND + Duration::from_secs(PROBE_S_MAX);
        assert!(breaker.pause(given_up - SECOND).is_some());
        assert_eq!(breaker.pause(given_up), None);
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
            assert_eq!(breaker.pause(now), Some(Pause { reason, until }));
            now = until;
            assert_eq!(breaker.pause(now), None);
            breaker.admitted(now);
            breaker.failed(now, Trouble::SignInRefused);
        }
        assert_eq!((breaker.refused_since(), breaker.since()), (Some(begin), None));
        breaker.answered();
        assert_eq!((breaker.refused_since(), breaker.pause(now)), (None, None));
        breaker.failed(now, Trouble::SignInRefused);
        assert_eq!(breaker.pause(now).map(|pause| pause.until), Some(now + SECOND * 2));
    }

    #[test]
    fn silence_and_refusals_have_a_patience_each() {
        let begin = Instant::now();
        let mut breaker = opened(begin);
        breaker.admitted(begin + SECOND);
        breaker.failed(begin + SECOND, Trouble::SignInRefused);
        assert_eq!(breaker.since(), None);
        assert_eq!(breaker.refused_since(), Some(begin + SECOND));
        breaker.failed(begin + SECOND * 2, Trouble::NoAnswer);
        assert_eq!(breaker.since(), Some(begin + SECOND * 2));
        assert_eq!(breaker.refused_since(), Some(begin + SECOND));
    }

    #[test]
    fn the_service_may_ask_for_longer() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..TROUBLES_IN_A_ROW_MAX {
            let retry_after = Some(SECOND * 20);
            breaker.failed(now, Trouble::ServerError { retry_after });
        }
        assert_eq!(breaker.pause(now), Some(Pause { reason: PauseReason::ServerErrors, until: now + SECOND * 20 }));
    }
}
