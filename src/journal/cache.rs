//! The checkpoint's content: where every run and every row is, so that nobody has to read a whole log to know.
//!
//! It may be thrown away at any time: the log alone is the truth. A batch is atomic and stands for the log up to one place, which
//! it carries. Rows that change several times between two batches are written once.

use super::error::JournalError;
use super::fold::{Mark, RunFold};
use super::row::{RowNumber, RowRecord};
use super::run::{RunId, RunRecord};
use super::store::{Batch, Store, StoreError};
use keys::{CHUNK, HELD, OWNER, ROW, RUN};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows held before a batch is written. Their keys are neighbours, so that a batch touches few pages of the database.
const ROWS_HELD_MAX: usize = 1_000;

/// Accounts in one batch: they are in no order, so that each touches a page of its own.
const OWNERS_PER_BATCH: usize = 100;

/// What the checkpoint of one run lacks.
pub struct Cache {
    store: Arc<dyn Store>,
    rows: BTreeMap<RowNumber, Arc<RowRecord>>,
    chunks: Vec<(RowNumber, u64)>,
}

impl Cache {
    /// Of a run that the checkpoint is up to.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Cache {
        Cache { store, rows: BTreeMap::new(), chunks: Vec::new() }
    }

    /// Whether enough was noted that a batch should be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() + self.chunks.len() >= ROWS_HELD_MAX
    }

    /// Notes the record that begins at this byte of the log.
    pub fn note(&mut self, offset: u64, mark: &Mark) {
        match mark {
            Mark::Rows { first } => self.chunks.push((*first, offset)),
            Mark::Moved(moved) => {
                self.rows.insert(moved.row, Arc::clone(&moved.record));
            }
            Mark::Imported { .. } | Mark::Opened { .. } | Mark::Closed { .. } => {}
        }
    }

    /// Writes all that was noted.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint does not take it; the log is not touched by that.
    pub fn write(&mut self, fold: &mut RunFold) -> Result<(), JournalError> {
        let batches = self.batches(fold)?;
        self.apply(batches)
    }

    /// What there is to write: the checkpoint stands for the log up to the fold's head then.
    ///
    /// # Errors
    /// As [`Cache::write`].
    pub fn batches(&mut self, fold: &mut RunFold) -> Result<Vec<Batch>, JournalError> {
        fold.run.begun_through = self.begun_through(&fold.run)?;
        let id = fold.run.id();
        let (mut batch, mut owners) = (Batch::default(), Vec::new());
        for (first, offset) in self.chunks.drain(..) {
            batch.insert(keys::numbered(CHUNK, id, first), Some(encode(&offset)?));
        }
        let rows = std::mem::take(&mut self.rows);
        for (&number, row) in &rows {
            batch.insert(keys::numbered(HELD, id, number), fold.held(number).map(|_| Vec::new()));
            batch.insert(keys::numbered(ROW, id, number), Some(encode(&**row)?));
            owners.extend(row.account.as_deref().map(|account| (account, number)));
        }
        batch.insert(keys::of(RUN, id), Some(encode(&fold.run)?));
        let mut batches = Vec::new();
        for owners in owners.chunks(OWNERS_PER_BATCH) {
            let entry = |(account, number): &(&str, RowNumber)| Ok((keys::owner(id, account), Some(encode(number)?)));
            batches.push(owners.iter().map(entry).collect::<Result<Batch, JournalError>>()?);
        }
        // Last: owners that are ahead of their rows say what the log says already.
        batches.push(batch);
        Ok(batches)
    }

    /// # Errors
    /// As [`Cache::write`].
    pub fn apply(&self, batches: Vec<Batch>) -> Result<(), JournalError> {
        Ok(batches.into_iter().try_for_each(|batch| self.store.apply(batch))?)
    }

    /// Drops what waits to be written: the checkpoint takes nothing any more, and the log has it all.
    pub fn let_go(&mut self) {
        self.rows.clear();
        self.chunks.clear();
    }

    /// Hands everything written so far to the disk.
    ///
    /// # Errors
    /// As [`Cache::write`].
    pub fn flush(&self) -> Result<(), JournalError> {
        Ok(self.store.flush()?)
    }

    /// Found from the rows themselves, so that a process that goes on with the run and one that reads its log again come to
    /// the same number.
    fn begun_through(&self, run: &RunRecord) -> Result<u64, JournalError> {
        let mut through = run.begun_through;
        while through < run.begun_max {
            let next = RowNumber(through + 1);
            if !self.rows.contains_key(&next) && self.store.get(&keys::numbered(ROW, run.id(), next))?.is_none() {
                break;
            }
            through += 1;
        }
        Ok(through)
    }
}

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    postcard::to_stdvec(value).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JournalError> {
    postcard::from_bytes(bytes).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(store: &dyn Store, key: &[u8]) -> Result<Option<T>, JournalError> {
    store.get(key)?.map(|bytes| decode(&bytes)).transpose()
}

/// A run as the checkpoint has it.
pub(super) fn read_fold(store: &dyn Store, run: RunRecord) -> Result<RunFold, JournalError> {
    let id = run.id();
    let mut rows = BTreeMap::new();
    for entry in store.scan_prefix(&keys::of(HELD, id)) {
        let number = keys::number(&entry?.0)?;
        let missing = || JournalError::Checkpoint(format!("row {number} is missing"));
        rows.insert(number, Arc::new(read_row(store, id, number)?.ok_or_else(missing)?));
    }
    let chunks = read_numbered(store, CHUNK, id).collect::<Result<_, _>>()?;
    Ok(RunFold::new(run, rows, chunks))
}

/// A row as the checkpoint has it.
pub(super) fn read_row(store: &dyn Store, id: RunId, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
    read(store, &keys::numbered(ROW, id, row))
}

/// All rows that the checkpoint has of a run, in order.
pub(super) fn read_rows(
    store: &dyn Store,
    id: RunId,
) -> impl Iterator<Item = Result<(RowNumber, RowRecord), JournalError>> {
    read_numbered(store, ROW, id)
}

fn read_numbered<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    kind: u8,
    id: RunId,
) -> impl Iterator<Item = Result<(RowNumber, T), JournalError>> {
    store.scan_prefix(&keys::of(kind, id)).map(|entry| {
        let (key, value) = entry?;
        Ok((keys::number(&key)?, decode(&value)?))
    })
}

/// The row that an account is, as the checkpoint has it.
pub(super) fn read_owner(store: &dyn Store, id: RunId, account: &str) -> Result<Option<RowNumber>, JournalError> {
    read(store, &keys::owner(id, account))
}

/// Whose every account is.
pub(super) fn read_owners(
    store: &dyn Store,
    id: RunId,
) -> impl Iterator<Item = Result<(String, RowNumber), JournalError>> {
    store.scan_prefix(&keys::of(OWNER, id)).map(|entry| {
        let (key, value) = entry?;
        Ok((keys::account(&key), decode(&value)?))
    })
}

/// Every run the checkpoint has, oldest first.
pub(super) fn read_runs(store: &dyn Store) -> Result<Vec<RunRecord>, JournalError> {
    store.scan_prefix(&[RUN]).map(|entry| decode(&entry?.1)).collect()
}

/// Forgets a run whose rows were never all copied. The run's own record goes last.
pub(super) fn forget(store: &dyn Store, id: RunId) -> Result<(), JournalError> {
    for kind in [OWNER, HELD, ROW, CHUNK, RUN] {
        loop {
            let entries = store.scan_prefix(&keys::of(kind, id)).take(ROWS_HELD_MAX);
            let removed = entries.map(|entry| Ok((entry?.0, None))).collect::<Result<Batch, StoreError>>()?;
            if removed.is_empty() {
                break;
            }
            store.apply(removed)?;
        }
    }
    Ok(())
}

/// A letter for the kind, the run, and a big-endian number, so that keys sort as rows do.
pub(super) mod keys {
    use super::{JournalError, RowNumber, RunId};

    pub const RUN: u8 = b'r';
    /// Where in the log rows of the input lie.
    pub const CHUNK: u8 = b'c';
    pub const ROW: u8 = b's';
    /// A row that the fold holds.
    pub const HELD: u8 = b'a';
    pub const OWNER: u8 = b'o';

    pub fn of(kind: u8, id: RunId) -> Vec<u8> {
        [&[kind], &id.0.as_bytes()[..]].concat()
    }

    pub fn numbered(kind: u8, id: RunId, number: RowNumber) -> Vec<u8> {
        [&of(kind, id)[..], &number.0.to_be_bytes()].concat()
    }

    pub fn owner(id: RunId, account: &str) -> Vec<u8> {
        [&of(OWNER, id)[..], account.as_bytes()].concat()
    }

    /// The account at the end of such a key.
    pub fn account(key: &[u8]) -> String {
        let account = key.get(1 + size_of::<uuid::Bytes>()..).unwrap_or_default();
        String::from_utf8_lossy(account).into_owned()
    }

    /// The number at the end of a key.
    pub fn number(key: &[u8]) -> Result<RowNumber, JournalError> {
        let bytes = key.last_chunk::<8>();
        let number = bytes.map(|bytes| RowNumber(u64::from_be_bytes(*bytes)));
        number.ok_or_else(|| JournalError::Checkpoint("a key has no number".into()))
    }
}
