//! The failure policy: when so much goes wrong that going on would do harm.

use crate::journal::Counts;
use crate::machine::Outcome;
use std::fmt;
use std::str::FromStr;

/// A share of failures means nothing before this many rows have ended.
const ROWS_BEFORE_SHARE: u64 = 50;

/// Most rows that may end failed, reverted or held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFailed {
    /// A number of rows.
    Rows(u64),
    /// A share of the rows that have ended, in percent, counted from the 50th on.
    Percent(f64),
}

impl FromStr for MaxFailed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of rows (20) nor a share of them (10%)");
        match text.strip_suffix('%') {
            Some(number) => {
                let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
                let sensible = (0.0..=100.0).contains(&percent);
                sensible.then_some(MaxFailed::Percent(percent)).ok_or_else(wrong)
            }
            None => text.parse().map(MaxFailed::Rows).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for MaxFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxFailed::Rows(rows) => write!(f, "{rows}"),
            MaxFailed::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// When to stop a run that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Most rows that may end failed, reverted or held.
    pub max_failed: MaxFailed,
    /// Most rows that may end stranded.
    pub max_stranded: u64,
}

impl Policy {
    /// Why the run has to stop, if it has to. `counts` are the rows that ended while this process worked.
    #[must_use]
    pub fn verdict(&self, counts: &Counts) -> Option<String> {
        let stranded = counts.of(Outcome::Stranded);
        if stranded > self.max_stranded {
            return Some(format!("{stranded} people are stranded (--max-stranded {})", self.max_stranded));
        }
        let failed = counts.of(Outcome::Failed) + counts.of(Outcome::Reverted) + counts.of(Outcome::Held);
        let ended = counts.total();
        let too_many = match self.max_failed {
            MaxFailed::Rows(most) => failed > most,
            MaxFailed::Percent(percent) => ended >= ROWS_BEFORE_SHARE && failed as f64 > ended as f64 * percent / 100.0,
        };
        too_many.then(|| {
            format!("{failed} of {ended} rows ended failed, reverted or held (--max-failed {})", self.max_failed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(done: u64, failed: u64, stranded: u64) -> Counts {
        let mut counts = Counts::default();
        (0..done).for_each(|_| counts.add(Outcome::Done));
        (0..failed).for_each(|_| counts.add(Outcome::Failed));
        (0..stranded).for_each(|_| counts.add(Outcome::Stranded));
        counts
    }

    fn policy(max_failed: &str, max_stranded: u64) -> Policy {
        Policy { max_failed: max_failed.parse().unwrap(), max_stranded }
    }

    #[test]
    fn a_share_counts_from_the_fiftieth_row_on() {
        let policy = policy("10%", 0);
        assert_eq!(policy.verdict(&counts(0, 49, 0)), None);
        assert!(policy.verdict(&counts(44, 6, 0)).is_some());
        assert_eq!(policy.verdict(&counts(45, 5, 0)), None, "10 % is not more than 10 %");
    }

    #[test]
    fn a_number_counts_at_once_and_one_stranded_person_is_one_too_many() {
        assert!(policy("2", 0).verdict(&counts(0, 3, 0)).is_some());
        assert_eq!(policy("2", 0).verdict(&counts(0, 2, 0)), None);
        assert!(policy("100%", 0).verdict(&counts(9, 0, 1)).is_some());
        assert_eq!(policy("100%", 1).verdict(&counts(9, 0, 1)), None);
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
        for text in ["", "ten", "-1", "101%", "%"] {
            assert!(text.parse::<MaxFailed>().unwrap_err().contains("10%"), "{text}");
        }
    }
}
