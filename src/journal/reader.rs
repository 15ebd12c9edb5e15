//! Reading a run's rows: what they were in the input, and where they are now.

use super::cache::{Cache, read_owner, read_row, read_rows};
use super::fold::RunFold;
use super::journal_error::JournalError;
use super::line::Entry;
use super::log::{inspect, read_record};
use super::log_file::LogFile;
use super::open::replay;
use super::row::{RowNumber, RowRecord};
use super::run::{InputRow, RunId, RunRecord};
use super::sled_store::SledStore;
use super::store::Store;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tempfile::TempDir;

/// Reads one run as it was at one moment. Holds one piece of the input at a time.
pub struct RunReader {
    fold: RunFold,
    log: Box<dyn LogFile>,
    /// Where the rows are that have ended; none for whoever asks only for those that have not.
    store: Option<Arc<dyn Store>>,
    chunk: Vec<InputRow>,
}

impl RunReader {
    pub(super) fn new(fold: RunFold, log: Box<dyn LogFile>, store: Option<Arc<dyn Store>>) -> RunReader {
        RunReader { fold, log, store, chunk: Vec::new() }
    }

    /// Where the run stands.
    #[must_use]
    pub fn run(&self) -> &RunRecord {
        &self.fold.run
    }

    fn store(&self) -> Result<&dyn Store, JournalError> {
        let missing = || JournalError::Checkpoint("it was not opened".into());
        self.store.as_deref().ok_or_else(missing)
    }

    /// Where a row is now; None when it was not begun.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn row(&self, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
        read_row(self.store()?, self.fold.run.id(), row)
    }

    /// The row that an account is; None when no row that the checkpoint knows has seen it.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn owner(&self, account: &str) -> Result<Option<RowNumber>, JournalError> {
        read_owner(self.store()?, self.fold.run.id(), account)
    }

    /// The rows begun and not ended, those that may be exposed first, each in the order of the input.
    #[must_use]
    pub fn active(&self) -> Vec<(RowNumber, &RowRecord)> {
        let rules = &self.fold.run.header.rules;
        let mut rows: Vec<_> = self.fold.active().collect();
        rows.sort_by_key(|(row, record)| (!record.may_be_exposed(rules), *row));
        rows
    }

    /// The rows whose person cannot work now, or may not be able to, in the order of the input.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read.
    pub fn exposed(&mut self) -> Result<Vec<(InputRow, RowRecord)>, JournalError> {
        let rows = self.fold.exposed();
        let rows = rows.map(|(row, record)| (row, record.clone())).collect();
        self.with_input(rows)
    }

    /// The rows that were written to and have not ended, in the order of the input: no more than were ever in flight.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read.
    pub fn half_way(&mut self) -> Result<Vec<(InputRow, RowRecord)>, JournalError> {
        let rows = self.fold.active();
        let rows = rows.filter(|(_, record)| record.is_half_way());
        let rows = rows.map(|(row, record)| (row, record.clone())).collect();
        self.with_input(rows)
    }

    fn with_input(&mut self, rows: Vec<(RowNumber, RowRecord)>) -> Result<Vec<(InputRow, RowRecord)>, JournalError> {
        let mut found = Vec::new();
        for (row, record) in rows {
            found.extend(self.input(row)?.map(|input| (input, record)));
        }
        Ok(found)
    }

    /// A row as it stood in the input. Reading in order is cheap.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read.
    pub fn input(&mut self, row: RowNumber) -> Result<Option<InputRow>, JournalError> {
        if self.in_chunk(row).is_none() {
            self.chunk.clear();
            if let Some(offset) = self.fold.chunk_of(row) {
                self.chunk = self.rows_at(offset)?;
            }
        }
        Ok(self.in_chunk(row).cloned())
    }

    fn in_chunk(&self, row: RowNumber) -> Option<&InputRow> {
        let first = self.chunk.first()?.number.0;
        let index = usize::try_from(row.0.checked_sub(first)?).ok()?;
        self.chunk.get(index)
    }

    fn rows_at(&self, offset: u64) -> Result<Vec<InputRow>, JournalError> {
        match Entry::decode(&read_record(&*self.log, offset)?)? {
            Entry::Rows(rows) => Ok(rows),
            Entry::Began { .. }
            | Entry::Imported { .. }
            | Entry::Opened { .. }
            | Entry::Moved(_)
            | Entry::Reopened(_)
            | Entry::Adopted(_)
            | Entry::Closed { .. } => {
                Err(JournalError::Checkpoint("it points at a line of the log that holds no rows".into()))
            }
        }
    }

    /// Shows every row in the order of the input, with where it is now.
    ///
    /// # Errors
    /// Those of reading, and those of `visit`.
    pub fn each<E: From<JournalError>>(
        &mut self,
        mut visit: impl FnMut(&InputRow, Option<&RowRecord>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut records = read_rows(self.store()?, self.fold.run.id()).peekable();
        for (_, offset) in self.fold.chunks().iter() {
            for input in &self.rows_at(*offset)? {
                let is_its = |entry: &Result<(RowNumber, RowRecord), JournalError>| {
                    entry.as_ref().is_ok_and(|(row, _)| *row == input.number) || entry.is_err()
                };
                let record = records.next_if(is_its).transpose()?;
                visit(input, record.as_ref().map(|(_, record)| record))?;
            }
        }
        Ok(())
    }
}

/// Reads a run after all work on it has ended.
pub struct LastReader {
    reader: RunReader,
    // Dropped after the reader, which uses the files in it.
    folder: Option<TempDir>,
}

impl LastReader {
    pub(super) fn of(reader: RunReader) -> LastReader {
        LastReader { reader, folder: None }
    }

    /// Reads a run from a checkpoint in a temporary folder.
    pub(super) fn in_folder(reader: RunReader, folder: TempDir) -> LastReader {
        LastReader { reader, folder: Some(folder) }
    }

    /// The reader, and the folder that must outlive it.
    #[must_use]
    pub fn into_parts(self) -> (RunReader, Option<TempDir>) {
        (self.reader, self.folder)
    }

    /// Reads a run when its journal's checkpoint cannot be used: on a full or read-only disk, or when its folder is gone. The
    /// log is folded once more into a checkpoint of its own. Nothing is written to the journal.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read, or the temporary folder not be used.
    pub(super) fn from_log_alone(log: Box<dyn LogFile>, id: RunId) -> Result<LastReader, JournalError> {
        let folder = temporary_folder()?;
        let store: Arc<dyn Store> = Arc::new(SledStore::open(folder.path())?.store);
        let cache = replay(&store, id, None, |from, visit| inspect(&*log, from, visit))?;
        let fold = cache.as_ref().map(Cache::fold).ok_or(JournalError::NoBeginning)?;
        let reader = RunReader::new(fold.clone(), log, Some(store));
        Ok(LastReader::in_folder(reader, folder))
    }
}

/// A folder for a checkpoint that goes with its reader.
pub(super) fn temporary_folder() -> Result<TempDir, JournalError> {
    let folder = tempfile::Builder::new().prefix("cutover-").tempdir();
    folder.map_err(|source| JournalError::File { what: "temporary folder in", path: std::env::temp_dir(), source })
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
