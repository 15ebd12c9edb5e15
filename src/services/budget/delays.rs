//! Growing delays, by name. The one place that uses the crate `backoff`, so that every wait of the program grows and
//! ends in a way that can be looked up here.
//!
//! A [`Delays`] gives the next duration and never sleeps. `backoff` has its own randomness without a seed, which would
//! make simulated runs differ; its random share is therefore zero and jitter comes from a seeded source here.

use std::time::Duration;

use backoff::SystemClock;
use backoff::backoff::Backoff;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Half of a delay is random where many wait at once: enough to spread them, and still at least half the wait.
const JITTER_SHARE: f64 = 0.5;

/// Which wait it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Before a row's step is tried again: 0.5 s doubling to 60 s, with jitter, since many rows fail together.
    RowRetry,
    /// Before an undo is tried again that was refused: 1 s doubling to 15 s, without jitter, so that the twelve tries of a job
    /// take two minutes. Somebody may be waiting for it, and those are few.
    Undo,
    /// Before a row is read again because replicas may lag: 0.25 s doubling to 8 s, without jitter.
    ReplicationRead,
    /// A throttled service that did not say how long: 1 s doubling to 120 s, the cap Microsoft's own client uses
    /// (kiota's retry handler). One per budget, so without jitter.
    Throttled,
    /// Between single requests to a target that is down, or for a token: 1 s doubling to 30 s. The cap is what a batch loses at most
    /// after the target is back.
    Probe,
    /// Between tries of a sign-in that is refused: 2 s doubling to 120 s. It takes a person to mend that, so a run that
    /// goes on two minutes after it is mended loses nothing.
    RefusedSignIn,
}

impl Sequence {
    /// First delay and longest delay in milliseconds, and the share that is random.
    fn shape(self) -> (u64, u64, f64) {
        match self {
            Sequence::RowRetry => (500, 60_000, JITTER_SHARE),
            Sequence::Undo => (1_000, 15_000, 0.0),
            Sequence::ReplicationRead => (250, 8_000, 0.0),
            Sequence::Throttled => (1_000, 120_000, 0.0),
            Sequence::Probe => (1_000, 30_000, 0.0),
            Sequence::RefusedSignIn => (2_000, 120_000, 0.0),
        }
    }
}

/// A sequence under way: each call of [`Delays::next_delay`] gives a longer delay, up to the sequence's longest.
#[derive(Debug)]
pub struct Delays {
    growing: ExponentialBackoff<SystemClock>,
    jitter_share: f64,
    random: ChaCha8Rng,
}

impl Delays {
    /// The sequence from its beginning. Equal seeds give equal delays; sequences without jitter ignore the seed.
    #[must_use]
    pub fn new(sequence: Sequence, seed: u64) -> Delays {
        let (first_ms, longest_ms, jitter_share) = sequence.shape();
        let growing = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_millis(first_ms))
            .with_max_interval(Duration::from_millis(longest_ms))
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            // How often something is tried is bounded by attempts elsewhere, never by a clock that tests cannot turn.
            .with_max_elapsed_time(None)
            .build();
        Delays { growing, jitter_share, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next delay. With jitter it lies between half of the plain delay and the plain delay.
    pub fn next_delay(&mut self) -> Duration {
        let longest = self.growing.max_interval;
        // Without an elapsed-time limit the crate always has a next delay; the longest one is right in any case.
        let plain = self.growing.next_backoff().unwrap_or(longest);
        if self.jitter_share == 0.0 {
            return plain;
        }
        plain.mul_f64(1.0 - self.jitter_share * self.random.random::<f64>())
    }

    /// Begins again with the first delay.
    pub fn reset(&mut self) {
        self.growing.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(sequence: Sequence, count: usize) -> Vec<u64> {
        let mut delays = Delays::new(sequence, 1);
        (0..count).map(|_| u64::try_from(delays.next_delay().as_millis()).unwrap()).collect()
    }

    #[test]
    fn doubles_up_to_the_longest() {
        assert_eq!(first(Sequence::ReplicationRead, 7), [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(first(Sequence::Undo, 11).iter().sum::<u64>(), 120_000);
        assert_eq!(first(Sequence::Probe, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(first(Sequence::Throttled, 9)[7..], [120_000, 120_000]);
        assert_eq!(first(Sequence::RefusedSignIn, 8)[5..], [64_000, 120_000, 120_000]);
    }

    #[test]
    fn jitter_stays_in_its_half_and_follows_the_seed() {
        let delays = first(Sequence::RowRetry, 10);
        let plain = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000];
        for (delay, plain) in delays.iter().zip(plain) {
            assert!((plain / 2..=plain).contains(delay), "{delay} of {plain}");
        }
        assert_eq!(delays, first(Sequence::RowRetry, 10));
        let mut other = Delays::new(Sequence::RowRetry, 2);
        assert_ne!(u128::from(delays[0]), other.next_delay().as_millis());
    }

    #[test]
    fn reset_begins_again() {
        let mut delays = Delays::new(Sequence::Probe, 0);
        delays.next_delay();
        delays.next_delay();
        delays.reset();
        assert_eq!(delays.next_delay(), Duration::from_secs(1));
    }
}
