//! Reading a run when its journal's checkpoint cannot be used: on a full or read-only disk, or when its folder is gone.
//!
//! The log alone is enough. It is folded once more into a checkpoint of its own, in the system's folder for temporary files,
//! which costs no memory that grows with the rows and is removed with the reader. Nothing is written to the journal.

use super::checkpoint::SledStore;
use super::error_run::JournalError;
use super::log::inspect;
use super::medium::Medium;
use super::open::replay;
use super::run::RunId;
use super::store::Store;
use super::view::RunReader;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder for a checkpoint that goes with its reader.
pub(super) fn temporary_folder() -> Result<TempDir, JournalError> {
    let folder = tempfile::Builder::new().prefix("cutover-").tempdir();
    folder.map_err(|source| JournalError::File {
        what: "temporary folder in",
        path: std::env::temp_dir(),
        source,
    })
}

/// Reads a run after all work on it has ended.
pub struct LastReader {
    reader: RunReader,
    // Removed when the reader has let go of what is in it.
    _folder: Option<TempDir>,
}

impl LastReader {
    pub(super) fn of(reader: RunReader) -> LastReader {
        LastReader {
            reader,
            _folder: None,
        }
    }

    /// # Errors
    /// [`JournalError`] when the log cannot be read, or the temporary folder not be used.
    pub(super) fn from_log_alone(
        log: Box<dyn Medium>,
        id: RunId,
    ) -> Result<LastReader, JournalError> {
        let folder = temporary_folder()?;
        let store: Arc<dyn Store> = Arc::new(SledStore::open(folder.path())?.store);
        replay(&store, id, None, |from, visit| inspect(&*log, from, visit))?;
        Ok(LastReader {
            reader: RunReader::new(log, id, store),
            _folder: Some(folder),
        })
    }
}

impl Deref for LastReader {
    type Target = RunReader;

    fn deref(&self) -> &RunReader {
        &self.reader
    }
}

impl DerefMut for LastReader {
    fn deref_mut(&mut self) -> &mut RunReader {
        &mut self.reader
    }
}
