//! How long people could not work, counted so that a percentile costs nothing to ask for.
//!
//! Times up to two seconds are exact; longer ones are kept to a part in a thousand. So the counts stay few, whatever the
//! number of rows, and a row's time can be taken out again when it grows.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Binary digits that a time is kept to.
const DIGITS: u32 = 11;

/// Counts of times, in milliseconds, of the rows that were exposed at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposures {
    /// By the longest time that counts as the same.
    counts: BTreeMap<u64, u64>,
}

impl Exposures {
    /// Replaces what a row was counted with before.
    pub fn replace(&mut self, before_ms: u64, after_ms: u64) {
        if before_ms == after_ms {
            return;
        }
        if before_ms > 0
            && let Some(count) = self.counts.get_mut(&rounded(before_ms))
        {
            *count -= 1;
            self.counts.retain(|_, count| *count > 0);
        }
        if after_ms > 0 {
            *self.counts.entry(rounded(after_ms)).or_default() += 1;
        }
    }

    /// The time that this share of them does not exceed; 0 when nobody was exposed.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> u64 {
        let total: u64 = self.counts.values().sum();
        // Fits: a share of a count that fits.
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (ms, count) in &self.counts {
            seen += count;
            if seen >= wanted {
                return *ms;
            }
        }
        0
    }

    /// The longest.
    #[must_use]
    pub fn max_ms(&self) -> u64 {
        self.counts.keys().next_back().copied().unwrap_or(0)
    }
}

/// The longest time that counts as this one.
fn rounded(ms: u64) -> u64 {
    let dropped = (u64::BITS - ms.leading_zeros()).saturating_sub(DIGITS);
    ms | ((1 << dropped) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times_as_they_are_now() {
        let mut exposures = Exposures::default();
        assert_eq!((exposures.quantile_ms(0.5), exposures.max_ms()), (0, 0));
        for ms in 1..=100 {
            exposures.replace(0, ms);
        }
        assert_eq!(exposures.quantile_ms(0.5), 50);
        assert_eq!(exposures.quantile_ms(0.99), 99);
        exposures.replace(100, 3_600_000);
        let longest = exposures.max_ms();
        assert!((3_600_000..3_603_600).contains(&longest), "{longest}");
        exposures.replace(3_600_000, 0);
        assert_eq!(exposures.max_ms(), 99);
    }
}
