//! The troubles a tenant can be asked to make. Each has a probability per request; which request meets which is
//! decided from the request's own identity.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

const SERVER_ERRORS: [u16; 4] = [500, 502, 503, 504];

/// Latency and troubles. Probabilities go from 0 to 1, and their sum too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// The least that a reply takes, in milliseconds.
    pub latency_base_ms: u64,
    /// What comes on top at most, in milliseconds.
    pub latency_jitter_ms: u64,
    /// A 5xx reply, and nothing was done.
    pub error_before: f64,
    /// A 5xx reply, though the write was made.
    pub error_after: f64,
    /// The connection is lost, and nothing was done.
    pub drop_before: f64,
    /// The connection is lost, though the write was made.
    pub drop_after: f64,
    /// A 429 without any limit being passed.
    pub throttle: f64,
    /// The token ends early: a 401 now, and for everybody who still uses it.
    pub expire_token: f64,
}

/// What happens to one request beside what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InjectedFault {
    ErrorBefore(u16),
    ErrorAfter(u16),
    DropBefore,
    DropAfter,
    Throttle,
    ExpireToken,
}

impl Faults {
    /// No latency and no troubles.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A latency of 20 to 60 ms and no troubles.
    #[must_use]
    pub fn pleasant() -> Self {
        Self { latency_base_ms: 20, latency_jitter_ms: 40, ..Self::none() }
    }

    /// Whether every probability is one, and their sum too.
    pub(super) fn are_possible(&self) -> bool {
        let all = self.table(500).map(|(probability, _)| probability);
        // A little over 1 is rounding: ten tenths do not add up exactly.
        all.iter().all(|p| (0.0..=1.0).contains(p)) && all.iter().sum::<f64>() <= 1.0 + f64::EPSILON * 8.0
    }

    pub(super) fn latency_ms(&self, dice: &mut ChaCha8Rng) -> u64 {
        self.latency_base_ms.saturating_add(dice.random_range(0..=self.latency_jitter_ms))
    }

    pub(super) fn draw(&self, dice: &mut ChaCha8Rng) -> Option<InjectedFault> {
        let mut luck: f64 = dice.random();
        for (probability, fault) in self.table(SERVER_ERRORS[dice.random_range(0..SERVER_ERRORS.len())]) {
            if luck < probability {
                return Some(fault);
            }
            luck -= probability;
        }
        None
    }

    /// Every trouble with its probability; `status` is that of an error, should it be one.
    fn table(&self, status: u16) -> [(f64, InjectedFault); 6] {
        [
            (self.error_before, InjectedFault::ErrorBefore(status)),
            (self.error_after, InjectedFault::ErrorAfter(status)),
            (self.drop_before, InjectedFault::DropBefore),
            (self.drop_after, InjectedFault::DropAfter),
            (self.throttle, InjectedFault::Throttle),
            (self.expire_token, InjectedFault::ExpireToken),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance::Identity;

    #[test]
    fn faults_come_as_often_as_asked_for() {
        let faults = Faults { error_after: 0.2, drop_before: 0.1, ..Faults::none() };
        let mut dice = Identity::for_test(1).dice();
        let drawn: Vec<_> = (0..10_000).map(|_| faults.draw(&mut dice)).collect();
        let count = |test: fn(&Option<InjectedFault>) -> bool| drawn.iter().filter(|fault| test(fault)).count();
        assert!((1_850..2_150).contains(&count(|fault| matches!(fault, Some(InjectedFault::ErrorAfter(_))))));
        assert!((900..1_100).contains(&count(|fault| *fault == Some(InjectedFault::DropBefore))));
        assert!((6_800..7_200).contains(&count(Option::is_none)));
    }

    #[test]
    fn certain_faults_are_certain_and_latency_stays_in_its_range() {
        let mut dice = Identity::for_test(2).dice();
        let certain = Faults { expire_token: 1.0, ..Faults::pleasant() };
        assert!((0..100).all(|_| certain.draw(&mut dice) == Some(InjectedFault::ExpireToken)));
        assert!((0..100).all(|_| (20..=60).contains(&certain.latency_ms(&mut dice))));
    }

    #[test]
    fn impossible_probabilities_are_noticed() {
        assert!(Faults { throttle: 0.5, drop_after: 0.5, ..Faults::none() }.are_possible());
        assert!(!Faults { throttle: 0.6, drop_after: 0.5, ..Faults::none() }.are_possible());
        assert!(!Faults { throttle: -0.1, ..Faults::none() }.are_possible());
        assert!(!Faults { throttle: f64::NAN, ..Faults::none() }.are_possible());
    }
}
