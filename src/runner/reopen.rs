//! A new try for rows of a run that ended short of their goal: each begins again in the run's own log, which says by whom.

use super::services::Clock;
use crate::journal::{JournalError, RowNumber, Session};
use crate::machine::{Event, Outcome};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Which rows begin again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Retried {
    /// All that ended failed, reverted, held or stranded.
    #[default]
    All,
    /// Those of them with these numbers.
    Numbers(Vec<RangeInclusive<u64>>),
}

impl FromStr for Retried {
    type Err = String;

    /// Reads `3,7-9`.
    fn from_str(text: &str) -> Result<Retried, String> {
        let wrong = || format!("`{text}` names no rows; write numbers and ranges, such as 3,7-9");
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u64>().ok().filter(|row| *row > 0);
            let range = number(from)?..=number(to)?;
            (!range.is_empty()).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Retried::Numbers).ok_or_else(wrong)
    }
}

impl Retried {
    fn has(&self, row: u64, outcome: Outcome) -> bool {
        let named = match self {
            Retried::All => true,
            Retried::Numbers(ranges) => ranges.iter().any(|range| range.contains(&row)),
        };
        named && may_be_retried(outcome)
    }
}

/// Whether a row that ended so may begin again with the cells that it has.
#[must_use]
pub fn may_be_retried(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed | Outcome::Reverted | Outcome::Held | Outcome::Stranded => true,
        Outcome::Done | Outcome::Unchanged | Outcome::Refused | Outcome::Pending => false,
    }
}

/// Lets rows begin again; returns how many. They are durable with whatever is committed next.
///
/// # Errors
/// [`JournalError`]; rows that began again before it stay so.
pub async fn reopen(session: &Session, retried: &Retried, by: &str, clock: &dyn Clock) -> Result<u64, JournalError> {
    // The reader first: it waits until what is known of the run is up to the log.
    let reader = session.reader().await?;
    let mut rows = 0;
    for row in (1..=session.run().begun_max).map(RowNumber) {
        if let Some(record) = reader.row(row)?.filter(|record| retried.has(row.0, record.outcome())) {
            session.reopen(row, record, clock.now(), Event::Retried { by: by.to_owned() })?;
            rows += 1;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_numbers_and_ranges() {
        let rows: Retried = "3, 7-9".parse().unwrap();
        let named = |row| rows.has(row, Outcome::Failed);
        assert_eq!((1..=10).filter(|row| named(*row)).collect::<Vec<_>>(), [3, 7, 8, 9]);
        assert!(!rows.has(3, Outcome::Done));
        for wrong in ["", "0", "3-", "9-7", "a"] {
            assert!(wrong.parse::<Retried>().unwrap_err().contains("3,7-9"), "{wrong}");
        }
    }
}
