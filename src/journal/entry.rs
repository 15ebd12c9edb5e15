//! The records of a run's log, and their form on disk: a version byte, then postcard.
//!
//! Format 2 added [`Facts::begun_at`](super::row::Facts::begun_at). It is the last field of the last field of a transition, so
//! a record of format 1 is one of format 2 that ends before the byte that says "none".

use super::row::{Transition, UnixMillis};
use super::run::{InputRow, RunHeader, Stop};
use serde::{Deserialize, Serialize};

/// The version of records this program writes.
const VERSION: u8 = 2;

/// The first version, which is still read.
const VERSION_1: u8 = 1;

/// What a record of the first version lacks.
const NO_BEGUN_AT: u8 = 0;

/// One record of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The first record: what the run was started with.
    Began(Box<RunHeader>),
    /// Some rows of the input.
    Rows(Vec<InputRow>),
    /// The last row was copied; from here on the run can be resumed.
    Imported {
        /// How many rows there are.
        rows: u64,
        /// When.
        at: UnixMillis,
    },
    /// A process began to work on the run.
    Opened {
        /// When.
        at: UnixMillis,
        /// The program's version.
        program: String,
    },
    /// Something happened to a row.
    Moved(Transition),
    /// A process stopped working on the run in good order.
    Closed {
        /// When.
        at: UnixMillis,
        /// Why.
        stop: Stop,
    },
}

/// A record that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Written by another version.
    #[error(
        "a record of format {found} in the journal was written by another version of cutover; this one reads formats {VERSION_1} to {VERSION}"
    )]
    Version {
        /// The format found.
        found: u8,
    },
    /// Not a record.
    #[error("a record of the journal cannot be read: {0}")]
    Malformed(String),
}

impl Entry {
    /// Its bytes.
    ///
    /// # Errors
    /// [`EntryError::Malformed`] never happens for these types, but is not hidden either.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        postcard::to_extend(self, vec![VERSION]).map_err(malformed)
    }

    /// The record in these bytes.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(malformed),
            Some((&VERSION_1, rest)) => {
                let rest = [rest, &[NO_BEGUN_AT]].concat();
                postcard::from_bytes(&rest).map_err(malformed)
            }
            Some((&found, _)) => Err(EntryError::Version { found }),
            None => Err(EntryError::Malformed("it is empty".into())),
        }
    }
}

fn malformed(error: postcard::Error) -> EntryError {
    EntryError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::row::{Facts, RowNumber};
    use crate::machine::Event;

    fn entries() -> [Entry; 2] {
        let moved = Transition {
            row: RowNumber(7),
            at: 9,
            events: vec![Event::Admitted, Event::Lagging],
            facts: Facts::default(),
        };
        let rows = vec![InputRow {
            number: RowNumber(1),
            line: 2,
            cells: vec!["a".into()],
        }];
        [Entry::Moved(moved), Entry::Rows(rows)]
    }

    #[test]
    fn records_of_the_first_format_are_still_read() {
        let [moved, rows] = entries();
        let mut bytes = moved.encode().unwrap();
        assert_eq!(bytes.pop(), Some(NO_BEGUN_AT));
        bytes[0] = VERSION_1;
        assert_eq!(Entry::decode(&bytes), Ok(moved));
        let mut bytes = rows.encode().unwrap();
        bytes[0] = VERSION_1;
        assert_eq!(Entry::decode(&bytes), Ok(rows));
    }

    #[test]
    fn a_record_of_another_version_says_so() {
        let mut bytes = entries()[0].encode().unwrap();
        bytes[0] = VERSION + 1;
        let error = Entry::decode(&bytes).unwrap_err();
        assert_eq!(error, EntryError::Version { found: VERSION + 1 });
    }
}
