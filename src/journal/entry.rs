//! The records of a run's log, and their form on disk: a version byte, then postcard.

use super::row::{Transition, UnixMillis};
use super::run::{InputRow, RunHeader, Stop};
use serde::{Deserialize, Serialize};

/// The version of records this program writes, and the only one it reads.
const VERSION: u8 = 1;

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
        "a record of format {found} in the journal was written by another version of cutover; this one reads format {VERSION}"
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
            Some((&found, _)) => Err(EntryError::Version { found }),
            None => Err(EntryError::Malformed("it is empty".into())),
        }
    }
}

fn malformed(error: postcard::Error) -> EntryError {
    EntryError::Malformed(error.to_string())
}
