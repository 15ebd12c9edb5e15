//! Reading a run's rows: what they were in the input, and where they are now.

use super::cache::{read_owner, read_row, read_rows, read_runs};
use super::error::JournalError;
use super::fold::RunFold;
use super::line::Entry;
use super::log::{inspect, read_record};
use super::log_file::LogFile;
use super::open::replay;
use super::row::{RowNumber, RowRecord};
use super::run::{InputRow, RunId, RunRecord};
use super::sled_store::SledStore;
use super::store::Store;
use std::sync::Arc;
use tempfile::TempDir;

/// Reads one run as it was at one moment. Holds one piece of the input at a time.
pub struct RunReader {
    fold: RunFold,
    log: Box<dyn LogFile>,
    /// Where the rows are that have ended; none for whoever asks only for those that have not.
    store: Option<Arc<dyn Store>>,
    chunk: Vec<InputRow>,
    /// The folder of a checkpoint that goes with its reader; dropped after the store in it.
    _folder: Option<TempDir>,
}

impl RunReader {
    pub(super) fn new(fold: RunFold, log: Box<dyn LogFile>, store: Option<Arc<dyn Store>>) -> RunReader {
        RunReader { fold, log, store, chunk: Vec::new(), _folder: None }
    }

    /// Reads a run from a checkpoint in a temporary folder, after bringing it up to the log. Nothing is written to the
    /// journal.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read, or the temporary folder not be used.
    pub(super) fn in_folder(
        folder: TempDir,
        store: SledStore,
        log: Box<dyn LogFile>,
        id: RunId,
    ) -> Result<RunReader, JournalError> {
        let store: Arc<dyn Store> = Arc::new(store);
        let known = read_runs(&*store)?.into_iter().find(|known| known.id() == id);
        let fold = replay(&store, id, known, |from, visit| inspect(&*log, from, visit))?;
        let fold = fold.ok_or(JournalError::NoBeginning)?;
        Ok(RunReader { _folder: Some(folder), ..RunReader::new(fold, log, Some(store)) })
    }

    /// Reads a run when its journal's checkpoint cannot be used: on a full or read-only disk, or when its folder is gone. The
    /// log is folded once more into a checkpoint of its own.
    ///
    /// # Errors
    /// As [`RunReader::in_folder`].
    pub(super) fn from_log_alone(log: Box<dyn LogFile>, id: RunId) -> Result<RunReader, JournalError> {
        let folder = temporary_folder()?;
        let (store, _) = SledStore::open(folder.path())?;
        RunReader::in_folder(folder, store, log, id)
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
        let rows = self.fold.exposed().map(|(row, record)| (row, record.clone()));
        self.with_input(rows.collect())
    }

    /// The rows that were written to and have not ended, in the order of the input: no more than were ever in flight.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read.
    pub fn half_way(&mut self) -> Result<Vec<(InputRow, RowRecord)>, JournalError> {
        let rows = self.fold.active().filter(|(_, record)| record.is_half_way());
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
        match read_record(&*self.log, offset)?.map(|record| Entry::decode(&record)).transpose()? {
            Some(Entry::Rows(rows)) => Ok(rows),
            _ => {
                Err(JournalError::Checkpoint(format!("no rows lie at byte {offset} of the log, where it says they do")))
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

/// A folder for a checkpoint that goes with its reader.
pub(super) fn temporary_folder() -> Result<TempDir, JournalError> {
    let folder = tempfile::Builder::new().prefix("cutover-").tempdir();
    folder.map_err(|source| JournalError::File { what: "temporary folder in", path: std::env::temp_dir(), source })
}
