//! What the checkpoint asks of a database: ordered keys, atomic batches of changes, and a flush that may be forgotten.
//!
//! The log alone is the truth, so little is promised here: after a kill or a power cut a store may be as it was after any batch
//! since its last flush, or be gone. [`SledStore`](super::sled_store::SledStore) keeps this on a disk; tests bring one in memory
//! that they can throw back on purpose.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::reserve::is_want_of_room;
use miette::Diagnostic;
use thiserror::Error;

/// An error of the checkpoint's database. The log is not touched by it.
#[derive(Debug, Error, Diagnostic)]
#[error("the journal's checkpoint `{}` cannot be used; the log is not affected", path.display())]
#[diagnostic(
    code(journal::checkpoint),
    help(
        "check the disk and the rights on this folder, then run the same line again: a checkpoint that is not whole is \
         built again from the log. If that fails, too, move it away by hand: no row is lost"
    )
)]
pub struct StoreError {
    /// The database.
    pub path: PathBuf,
    /// What the system or the database said.
    #[source]
    pub source: io::Error,
}

impl StoreError {
    /// What the system said, when all that is wrong is that the disk has no room.
    #[must_use]
    pub fn want_of_room(&self) -> Option<&io::Error> {
        Some(&self.source).filter(|source| is_want_of_room(source))
    }
}

/// Changes to be applied together: keys with their new values, or none for those to be removed.
pub type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Entries in the order of their keys.
pub type Entries<'s> = Box<dyn Iterator<Item = Result<Entry, StoreError>> + 's>;

/// An ordered map of bytes to bytes.
pub trait Store: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every key that begins so, with its value, in the order of the keys. What changes meanwhile may or may not be seen.
    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_>;

    /// Applies changes, all of them or none. Nothing is durable before [`Store::flush`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Hands everything applied so far to the disk, as far as the store can. Takes some milliseconds.
    ///
    /// # Errors
    /// [`StoreError`].
    fn flush(&self) -> Result<(), StoreError>;
}
