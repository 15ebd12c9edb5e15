//! The troubles a tenant can be asked to make. Each has a probability per request; which request meets which is
//! decided from the request's own identity.

use clap::Args;
use clap::builder::ArgPredicate;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

const SERVER_ERRORS: [u16; 4] = [500, 502, 503, 504];

/// Latency and troubles. Probabilities go from 0 to 1, and their sum too.
#[derive(Debug, Clone, Copy, PartialEq, Default, Args)]
pub struct Faults {
    /// Latency of every answer, in milliseconds
    #[arg(long = "latency", value_name = "MS", default_value = "20", hide_default_value = true)]
    pub latency_base_ms: u64,
    /// More latency, up to so many milliseconds
    // A latency that was given gets none on top, unless that was given, too.
    #[arg(long = "jitter", value_name = "MS", default_value_if("latency_base_ms", ArgPredicate::IsPresent, "0"))]
    #[arg(default_value = "40", hide_default_value = true)]
    pub latency_jitter_ms: u64,
    /// Share of requests answered 5xx before they are applied
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub error_before: f64,
    /// Share of requests answered 5xx after they were applied
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub error_after: f64,
    /// Share of connections cut before the request is applied
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub drop_before: f64,
    /// Share of connections cut after the request was applied
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub drop_after: f64,
    /// Share of requests answered 429 without need
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub throttle: f64,
    /// Share of requests whose token is declared expired
    #[arg(long, value_name = "P", default_value_t = 0.0)]
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
