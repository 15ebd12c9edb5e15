//! Reading a run's rows: what they were in the input, and where they are now.

use super::disk::Disk;
use super::entry::Entry;
use super::error_run::JournalError;
use super::keys;
use super::ledger::{StoredRow, decode, read_owner, read_row};
use super::log::read_record;
use super::medium::Medium;
use super::row::{RowNumber, RowRecord};
use super::run::{InputRow, RunId};
use super::scan::Position;
use super::store::Store;
use std::sync::Arc;

/// Reads one run. Cheap to make; holds one record of input rows at a time.
pub struct RunReader {
    id: RunId,
    store: Arc<dyn Store>,
    log: Box<dyn Medium>,
    chunk: Vec<InputRow>,
}

impl RunReader {
    pub(super) fn open(
        disk: &dyn Disk,
        id: RunId,
        store: Arc<dyn Store>,
    ) -> Result<Self, JournalError> {
        Ok(RunReader::new(disk.open_to_read(id)?, id, store))
    }

    pub(super) fn new(log: Box<dyn Medium>, id: RunId, store: Arc<dyn Store>) -> Self {
        RunReader {
            id,
            store,
            log,
            chunk: Vec::new(),
        }
    }

    /// Where a row is; None when it was not begun.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn row(&self, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
        read_row(&*self.store, self.id, row)
    }

    /// The row that an account is; None when no row that the checkpoint knows has seen it.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn owner(&self, account: &str) -> Result<Option<RowNumber>, JournalError> {
        read_owner(&*self.store, self.id, account)
    }

    /// The rows begun and not ended, those that are exposed first, each in the order of the input.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn active(&self) -> Result<Vec<RowNumber>, JournalError> {
        let mut rows = Vec::new();
        for entry in self.store.scan_prefix(&keys::all_active(self.id)) {
            let (key, value) = entry?;
            let exposed = is_exposed(&value);
            if let Some(row) = keys::number(&key) {
                rows.push((!exposed, row));
            }
        }
        rows.sort();
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Whether somebody cannot work now, or may not be able to.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn has_exposed(&self) -> Result<bool, JournalError> {
        for entry in self.store.scan_prefix(&keys::all_active(self.id)) {
            if is_exposed(&entry?.1) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rows that were written to and have not ended, in the order of the input: no more than were ever in flight.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn half_way(&mut self) -> Result<Vec<(InputRow, RowRecord)>, JournalError> {
        let mut rows = self.active()?;
        rows.sort();
        let mut found = Vec::new();
        for row in rows {
            let record = self.row(row)?.filter(RowRecord::is_half_way);
            if let Some(record) = record
                && let Some(input) = self.input(row)?
            {
                found.push((input, record));
            }
        }
        Ok(found)
    }

    /// A row as it stood in the input. Reading in order is cheap.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read.
    pub fn input(&mut self, row: RowNumber) -> Result<Option<InputRow>, JournalError> {
        if self.held(row).is_none() {
            self.load(row)?;
        }
        Ok(self.held(row).cloned())
    }

    fn held(&self, row: RowNumber) -> Option<&InputRow> {
        let first = self.chunk.first()?.number.0;
        let index = usize::try_from(row.0.checked_sub(first)?).ok()?;
        self.chunk.get(index)
    }

    fn load(&mut self, row: RowNumber) -> Result<(), JournalError> {
        let from = keys::chunk(self.id, RowNumber(0));
        let to = keys::chunk(self.id, RowNumber(row.0.saturating_add(1)));
        self.chunk.clear();
        if let Some(entry) = self.store.range(&from[..]..&to[..]).next_back() {
            let position: Position = decode(&entry?.1)?;
            self.chunk = self.rows_at(position)?;
        }
        Ok(())
    }

    fn rows_at(&self, position: Position) -> Result<Vec<InputRow>, JournalError> {
        match Entry::decode(&read_record(&*self.log, position)?)? {
            Entry::Rows(rows) => Ok(rows),
            Entry::Began(_)
            | Entry::Imported { .. }
            | Entry::Opened { .. }
            | Entry::Moved(_)
            | Entry::Adopted(_)
            | Entry::Closed { .. } => Err(JournalError::Checkpoint(
                "it points at a record of the log that holds no rows".into(),
            )),
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
        let store = Arc::clone(&self.store);
        let (rows, chunks) = (keys::rows(self.id), keys::chunks(self.id));
        let mut records = store.scan_prefix(&rows).peekable();
        for entry in store.scan_prefix(&chunks) {
            let (_, value) = entry.map_err(JournalError::from)?;
            let rows = self.rows_at(decode(&value)?)?;
            for input in &rows {
                let is_its = |entry: &Result<(Vec<u8>, Vec<u8>), _>| {
                    let key = entry.as_ref().ok().map(|(key, _)| keys::number(key));
                    key.is_none_or(|number| number == Some(input.number))
                };
                let record = match records.next_if(is_its) {
                    Some(entry) => {
                        Some(decode::<StoredRow>(&entry.map_err(JournalError::from)?.1)?.record)
                    }
                    None => None,
                };
                visit(input, record.as_ref())?;
            }
        }
        Ok(())
    }
}

/// What the checkpoint notes beside an active row.
fn is_exposed(value: &[u8]) -> bool {
    value.first().is_some_and(|flag| *flag != 0)
}
