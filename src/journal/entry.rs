//! The records of a run's log, and their form on disk: a version byte, then postcard.
//!
//! Format 2 added [`Facts::begun_at`](super::row::Facts::begun_at), format 3 [`RunHeader::plan`] and [`InputRow::planned`],
//! format 4 [`Facts::account`](super::row::Facts::account), [`Facts::warnings`](super::row::Facts::warnings),
//! [`RunHeader::adopts`] and [`Entry::Adopted`]. All fields but [`InputRow::planned`] are the last fields of the last field of
//! their records, so an older record is a newer one that ends before the bytes that say "none". Rows stand in a list and are
//! read in their old form.

use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader, RunId, Stop};
use serde::{Deserialize, Serialize};

/// The version of records this program writes.
const VERSION: u8 = 4;

/// The first version, which is still read.
const VERSION_MIN: u8 = 1;

/// The first version whose rows say what a plan says of them.
const VERSION_PLANNED: u8 = 3;

/// The most that a record of an older version lacks at its end; what it does not lack is not read.
const NONES: [u8; 3] = [0; 3];

/// How postcard marks [`Entry::Rows`].
const ROWS: u8 = 1;

/// A row before format 3.
#[derive(Deserialize)]
struct OldRow {
    number: RowNumber,
    line: u64,
    cells: Vec<String>,
}

impl From<OldRow> for InputRow {
    fn from(old: OldRow) -> InputRow {
        InputRow {
            number: old.number,
            line: old.line,
            cells: old.cells,
            planned: None,
        }
    }
}

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
    /// A row goes on from where another run left it half way.
    Adopted(Box<Adoption>),
}

/// A row that was half way in another run, as this one goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Which row.
    pub row: RowNumber,
    /// When.
    pub at: UnixMillis,
    /// The run that left it.
    pub from: RunId,
    /// Its number there.
    pub from_row: RowNumber,
    /// Where it is.
    pub record: RowRecord,
}

/// A record that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Written by another version.
    #[error(
        "a record of format {found} in the journal was written by another version of cutover; this one reads formats {VERSION_MIN} to {VERSION}"
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
            Some((&old @ VERSION_MIN..VERSION, rest)) => decode_old(old, rest).map_err(malformed),
            Some((&found, _)) => Err(EntryError::Version { found }),
            None => Err(EntryError::Malformed("it is empty".into())),
        }
    }
}

fn decode_old(version: u8, bytes: &[u8]) -> postcard::Result<Entry> {
    if let Some((&ROWS, rows)) = bytes.split_first()
        && version < VERSION_PLANNED
    {
        let rows: Vec<OldRow> = postcard::from_bytes(rows)?;
        return Ok(Entry::Rows(rows.into_iter().map(InputRow::from).collect()));
    }
    postcard::from_bytes(&[bytes, &NONES].concat())
}

fn malformed(error: postcard::Error) -> EntryError {
    EntryError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::row::Facts;
    use crate::journal::test_world::run_header;
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
            planned: None,
        }];
        [Entry::Moved(moved), Entry::Rows(rows)]
    }

    /// As an older version wrote it: without what stands at the end by now.
    fn aged(entry: &Entry, version: u8, lacks: usize) -> Vec<u8> {
        let mut bytes = entry.encode().unwrap();
        let end = bytes.split_off(bytes.len() - lacks);
        assert_eq!(end, NONES[..lacks]);
        bytes[0] = version;
        bytes
    }

    #[test]
    fn records_of_older_formats_are_still_read() {
        let [moved, rows] = entries();
        let began = Entry::Began(Box::new(run_header()));
        for (version, of_moved, of_rows, of_began) in [(1, 3, 1, 2), (2, 2, 1, 2), (3, 2, 0, 1)] {
            let old = aged(&moved, version, of_moved);
            assert_eq!(Entry::decode(&old), Ok(moved.clone()));
            let old = aged(&rows, version, of_rows);
            assert_eq!(Entry::decode(&old), Ok(rows.clone()));
            let old = aged(&began, version, of_began);
            assert_eq!(Entry::decode(&old), Ok(began.clone()));
        }
    }

    #[test]
    fn several_rows_of_an_older_format_are_told_apart() {
        let old = postcard::to_extend(
            &(ROWS, vec![(1u64, 2u64, vec!["a"]), (2, 3, vec!["b"])]),
            vec![2u8],
        );
        let Ok(Entry::Rows(rows)) = Entry::decode(&old.unwrap()) else {
            panic!("these are rows");
        };
        let cells: Vec<_> = rows.iter().map(|row| row.cells.join("")).collect();
        assert_eq!(cells, ["a", "b"]);
    }

    #[test]
    fn a_record_of_another_version_says_so() {
        let mut bytes = entries()[0].encode().unwrap();
        bytes[0] = VERSION + 1;
        let error = Entry::decode(&bytes).unwrap_err();
        assert_eq!(error, EntryError::Version { found: VERSION + 1 });
    }
}
