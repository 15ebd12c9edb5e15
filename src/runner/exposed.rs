//! Who cannot work at this moment, by name: what has to be said when a run must stop without bringing everybody to safety.
//!
//! Kept in memory beside the journal, since it is wanted just when the journal cannot be written or read any more. It knows
//! what an earlier process left as well as what this one did, and never more than the rows that are half way.

use crate::batch::{Layout, Mapping};
use crate::journal::{JournalError, RowNumber, RowRecord, RunReader};
use crate::machine::{Outcome, Rules};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A person who cannot work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The row.
    pub row: RowNumber,
    /// What the job's key column says, such as a UPN.
    pub key: String,
}

/// How a person is kept from work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// They cannot work now.
    Now,
    /// They can, unless the process ends at this moment: a write that exposes may be on its way.
    AtStake,
}

/// Everybody who cannot work now, as far as is known, and whoever could not if the process ended.
#[derive(Debug, Default)]
pub struct Exposed(Mutex<BTreeMap<RowNumber, (String, Away)>>);

impl Exposed {
    /// Notes whether a person can work; None: they can.
    pub fn note(&self, row: RowNumber, key: &str, away: Option<Away>) {
        match away {
            Some(away) => {
                let mut people = self.people();
                let entry = people.entry(row);
                entry.or_insert_with(|| (key.to_owned(), away)).1 = away;
            }
            None => {
                self.people().remove(&row);
            }
        }
    }

    /// Takes in whom an earlier process left exposed.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn take_in(&self, reader: &mut RunReader, mapping: &Mapping, layout: &Layout) -> Result<(), JournalError> {
        for (input, record) in reader.exposed()? {
            if record.exposed() {
                let values = mapping.values(layout, &input.cells);
                self.note(input.number, key_of(layout, &values), Some(Away::Now));
            }
        }
        Ok(())
    }

    /// How many cannot work now.
    #[must_use]
    pub fn count(&self) -> u64 {
        let people = self.people();
        people.values().filter(|(_, away)| *away == Away::Now).count() as u64
    }

    /// How many could not work if the process ended at this moment.
    #[must_use]
    pub fn at_stake(&self) -> u64 {
        self.people().len() as u64
    }

    /// Those who cannot work now, in the order of the input.
    #[must_use]
    pub fn list(&self) -> Vec<Person> {
        let people = self.people();
        let now = people.iter().filter(|(_, (_, away))| *away == Away::Now);
        let person = |(row, (key, _)): (&RowNumber, &(String, Away))| Person { row: *row, key: key.clone() };
        now.map(person).collect()
    }

    fn people(&self) -> MutexGuard<'_, BTreeMap<RowNumber, (String, Away)>> {
        // A map is whole at every point where a thread could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What identifies a row to people.
#[must_use]
pub fn key_of<'v>(layout: &Layout, values: &'v [Option<String>]) -> &'v str {
    let key = values.get(layout.key).and_then(Option::as_deref);
    key.unwrap_or_default()
}

/// Whether the person of a row is kept from work. A row that ended stranded counts until its end is durable and told as that.
#[must_use]
pub fn away(record: &RowRecord, rules: &Rules) -> Option<Away> {
    if record.exposed() || record.outcome() == Outcome::Stranded {
        return Some(Away::Now);
    }
    record.may_be_exposed(rules).then_some(Away::AtStake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_come_and_go_by_their_rows() {
        let exposed = Exposed::default();
        exposed.note(RowNumber(2), "bob", Some(Away::Now));
        exposed.note(RowNumber(1), "ann", Some(Away::AtStake));
        assert_eq!((exposed.count(), exposed.at_stake()), (1, 2));
        exposed.note(RowNumber(1), "ann", Some(Away::Now));
        exposed.note(RowNumber(3), "eve", None);
        assert_eq!((exposed.count(), exposed.at_stake()), (2, 2));
        let names: Vec<String> = exposed.list().into_iter().map(|person| person.key).collect();
        assert_eq!(names, ["ann", "bob"]);
        exposed.note(RowNumber(2), "bob", None);
        assert_eq!(exposed.count(), 1);
    }
}
