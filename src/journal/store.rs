//! What the checkpoint asks of a database: ordered keys, atomic batches of changes, and a flush that may be forgotten.
//!
//! The log alone is the truth, so little is promised here: after a kill or a power cut a store may be as it was after any batch
//! since its last flush, or be gone. [`SledStore`](super::sled_store::SledStore) keeps this on a disk; tests bring one in memory
//! that they can throw back on purpose.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::reserve::is_want_of_room;
use miette::Diagnostic;
use thiserror::Error;

/// An error of the checkpoint. The log is not touched by it.
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// sled says so.
    #[error("the journal's checkpoint `{}` failed; the log is not affected", path.display())]
    #[diagnostic(
        code(journal::checkpoint),
        help(
            "run the same line again: a checkpoint that is not whole is set aside then, and built again from the log"
        )
    )]
    Failed {
        /// The database.
        path: PathBuf,
        /// What the system or the database said.
        #[source]
        source: io::Error,
    },

    /// The database did not come back from a call.
    #[error("the journal's checkpoint `{}` has not answered for {} s; the log is not affected", path.display(), waited.as_secs())]
    #[diagnostic(
        code(journal::checkpoint_stuck),
        help("look at the disk, then run the same line again: the checkpoint is then built again from the log")
    )]
    Stuck {
        /// The database.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },

    /// sled came upon something that it does not expect.
    #[error("the journal's checkpoint `{}` is damaged ({message}); the log is not affected", path.display())]
    #[diagnostic(
        code(journal::checkpoint_panicked),
        help("run the same line again: it is set aside then, and built again from the log")
    )]
    Panicked {
        /// The database.
        path: PathBuf,
        /// The message of the panic.
        message: String,
    },

    /// Somebody has it open, against the journal's lock.
    #[error("the journal's checkpoint `{}` is open elsewhere; nothing was changed", path.display())]
    #[diagnostic(
        code(journal::checkpoint_in_use),
        help("end the program that has it open; two must never work on one journal")
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },

    /// Its directory could not be read, moved or removed.
    #[error("the directory of the journal's checkpoint `{}` cannot be used; the log is not affected", path.display())]
    #[diagnostic(code(journal::checkpoint_directory), help("move it away by hand: it is built again from the log"))]
    Directory {
        /// The database.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// What the system said, when all that is wrong is that the disk has no room.
    #[must_use]
    pub fn want_of_room(&self) -> Option<&io::Error> {
        match self {
            StoreError::Failed { source, .. } | StoreError::Directory { source, .. } => {
                Some(source).filter(|source| is_want_of_room(source))
            }
            StoreError::Stuck { .. } | StoreError::Panicked { .. } | StoreError::InUse { .. } => None,
        }
    }
}

/// Changes to be applied together, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Puts a value, over an old one if there is one.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// The changes, each a key and its new value or none.
    pub fn into_changes(self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        self.changes.into_iter()
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Entries in the order of their keys.
pub type Entries<'s> = Box<dyn Iterator<Item = Result<Entry, StoreError>> + 's>;

/// An ordered map of bytes to bytes.
pub trait Store: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every key that begins so, with its value, in the order of the keys. What changes meanwhile may or may not be seen.
    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_>;

    /// Applies changes in order, all of them or none. Nothing is durable before [`Store::flush`].
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Hands everything applied so far to the disk, as far as the store can. Takes some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    fn flush(&self) -> Result<(), StoreError>;
}
