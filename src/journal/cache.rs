//! The checkpoint's content: where every run and every row is, so that nobody has to read a whole log to know.
//!
//! It may be thrown away at any time: the log alone is the truth. A batch is atomic and stands for the log up to one place, which
//! it carries. Rows that change several times between two batches are written once.

use super::fold::{Mark, RunFold};
use super::journal_error::JournalError;
use super::row::{RowNumber, RowRecord};
use super::run::{RunId, RunRecord};
use super::scan::Head;
use super::store::{Batch, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows held before a batch is written. Their keys are neighbours, so that a batch touches few pages of the database.
const ROWS_HELD_MAX: usize = 1_000;

/// Accounts in one batch: they are in no order, so that each touches a page of its own.
const OWNERS_PER_BATCH: usize = 100;

/// The checkpoint of one run, and the fold that it is written from.
pub struct Cache {
    store: Arc<dyn Store>,
    fold: Arc<Mutex<RunFold>>,
    rows: BTreeMap<RowNumber, RowRecord>,
    chunks: Vec<(RowNumber, u64)>,
}

impl Cache {
    /// Goes on with a run.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, fold: RunFold) -> Cache {
        Cache { store, fold: Arc::new(Mutex::new(fold)), rows: BTreeMap::new(), chunks: Vec::new() }
    }

    /// The run as far as it was taken in, for readers elsewhere.
    #[must_use]
    pub fn shared(&self) -> Arc<Mutex<RunFold>> {
        Arc::clone(&self.fold)
    }

    /// The run as far as it was taken in.
    pub fn fold(&self) -> MutexGuard<'_, RunFold> {
        locked(&self.fold)
    }

    /// Whether enough was taken in that a batch should be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() + self.chunks.len() >= ROWS_HELD_MAX
    }

    /// Takes in the record that begins at this byte of the log.
    pub fn take(&mut self, offset: u64, mark: Mark) {
        match &mark {
            Mark::Rows { first } => self.chunks.push((*first, offset)),
            Mark::Moved(moved) => {
                self.rows.insert(moved.row, moved.record.clone());
            }
            Mark::Imported { .. } | Mark::Opened { .. } | Mark::Closed { .. } => {}
        }
        self.fold().take(offset, mark);
    }

    /// Writes all that was taken in: the checkpoint stands for the log up to `head` then.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint does not take it; the log is not touched by that.
    pub fn write(&mut self, head: Head) -> Result<(), JournalError> {
        let through = self.begun_through()?;
        let (id, run) = {
            let mut fold = self.fold();
            fold.run.head = head;
            fold.run.begun_through = through;
            (fold.run.id(), encode(&fold.run)?)
        };
        let mut batch = Batch::default();
        for (first, offset) in self.chunks.drain(..) {
            batch.put(keys::chunk(id, first), encode(&offset)?);
        }
        let mut owners = Vec::new();
        let rows = std::mem::take(&mut self.rows);
        for (number, row) in rows {
            match self.fold().held(number) {
                Some(_) => batch.put(keys::held(id, number), Vec::new()),
                None => batch.remove(keys::held(id, number)),
            }
            batch.put(keys::row(id, number), encode(&row)?);
            owners.extend(row.account.map(|account| (account, number)));
        }
        batch.put(keys::run(id), run);
        // One that is ahead of its row says what the log says already.
        for owners in owners.chunks(OWNERS_PER_BATCH) {
            let mut batch = Batch::default();
            for (account, number) in owners {
                batch.put(keys::owner(id, account), encode(number)?);
            }
            self.store.apply(batch)?;
        }
        Ok(self.store.apply(batch)?)
    }

    /// Drops what waits to be written: the checkpoint takes nothing any more, and the log has it all.
    pub fn let_go(&mut self, head: Head) {
        self.fold().run.head = head;
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
    fn begun_through(&self) -> Result<u64, JournalError> {
        let (id, mut through, max) = {
            let run = &self.fold().run;
            (run.id(), run.begun_through, run.begun_max)
        };
        while through < max {
            let next = RowNumber(through + 1);
            if !self.rows.contains_key(&next) && self.store.get(&keys::row(id, next))?.is_none() {
                break;
            }
            through += 1;
        }
        Ok(through)
    }
}

/// A lock that a panic elsewhere does not close: what it guards is whole between two calls.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    postcard::to_stdvec(value).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JournalError> {
    postcard::from_bytes(bytes).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

/// A run as the checkpoint has it.
pub(super) fn read_fold(store: &dyn Store, run: RunRecord) -> Result<RunFold, JournalError> {
    let id = run.id();
    let mut rows = BTreeMap::new();
    for entry in store.scan_prefix(&keys::all_held(id)) {
        let number = keys::number(&entry?.0)?;
        let missing = || JournalError::Checkpoint(format!("row {number} is missing"));
        rows.insert(number, read_row(store, id, number)?.ok_or_else(missing)?);
    }
    let mut chunks = Vec::new();
    for entry in store.scan_prefix(&keys::chunks(id)) {
        let (key, value) = entry?;
        chunks.push((keys::number(&key)?, decode(&value)?));
    }
    Ok(RunFold::new(run, rows, chunks))
}

/// A row as the checkpoint has it.
pub(super) fn read_row(store: &dyn Store, id: RunId, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
    let bytes = store.get(&keys::row(id, row))?;
    bytes.map(|bytes| decode(&bytes)).transpose()
}

/// All rows that the checkpoint has of a run, in order.
pub(super) fn read_rows(
    store: &dyn Store,
    id: RunId,
) -> impl Iterator<Item = Result<(RowNumber, RowRecord), JournalError>> {
    store.scan_prefix(&keys::rows(id)).map(|entry| {
        let (key, value) = entry?;
        Ok((keys::number(&key)?, decode(&value)?))
    })
}

/// The row that an account is, as the checkpoint has it.
pub(super) fn read_owner(store: &dyn Store, id: RunId, account: &str) -> Result<Option<RowNumber>, JournalError> {
    let bytes = store.get(&keys::owner(id, account))?;
    bytes.map(|bytes| decode(&bytes)).transpose()
}

/// Whose every account is.
pub(super) fn read_owners(
    store: &dyn Store,
    id: RunId,
) -> impl Iterator<Item = Result<(String, RowNumber), JournalError>> {
    store.scan_prefix(&keys::owners(id)).map(|entry| {
        let (key, value) = entry?;
        Ok((keys::account(&key), decode(&value)?))
    })
}

/// Every run the checkpoint has, oldest first.
pub(super) fn read_runs(store: &dyn Store) -> Result<Vec<RunRecord>, JournalError> {
    let runs = store.scan_prefix(&keys::RUNS);
    runs.map(|entry| decode(&entry?.1)).collect()
}

/// Forgets a run whose rows were never all copied. The run's own record goes last.
pub(super) fn forget(store: &dyn Store, id: RunId) -> Result<(), JournalError> {
    for prefix in keys::all_of(id) {
        loop {
            let keys: Result<Vec<_>, StoreError> = store.scan_prefix(&prefix).take(ROWS_HELD_MAX).collect();
            let keys = keys?;
            if keys.is_empty() {
                break;
            }
            let mut batch = Batch::default();
            keys.into_iter().for_each(|(key, _)| batch.remove(key));
            store.apply(batch)?;
        }
    }
    Ok(())
}

/// A letter for the kind, the run, and a big-endian number, so that keys sort as rows do.
pub(super) mod keys {
    use super::{JournalError, RowNumber, RunId};

    pub const RUNS: [u8; 1] = *b"r";
    const CHUNK: u8 = b'c';
    const ROW: u8 = b's';
    const HELD: u8 = b'a';
    const OWNER: u8 = b'o';

    pub fn run(id: RunId) -> Vec<u8> {
        prefix(RUNS[0], id)
    }

    pub fn chunk(id: RunId, first: RowNumber) -> Vec<u8> {
        numbered(CHUNK, id, first)
    }

    pub fn chunks(id: RunId) -> Vec<u8> {
        prefix(CHUNK, id)
    }

    pub fn row(id: RunId, row: RowNumber) -> Vec<u8> {
        numbered(ROW, id, row)
    }

    pub fn rows(id: RunId) -> Vec<u8> {
        prefix(ROW, id)
    }

    /// A row that the fold holds.
    pub fn held(id: RunId, row: RowNumber) -> Vec<u8> {
        numbered(HELD, id, row)
    }

    pub fn all_held(id: RunId) -> Vec<u8> {
        prefix(HELD, id)
    }

    pub fn owner(id: RunId, account: &str) -> Vec<u8> {
        let mut key = owners(id);
        key.extend_from_slice(account.as_bytes());
        key
    }

    pub fn owners(id: RunId) -> Vec<u8> {
        prefix(OWNER, id)
    }

    /// The account at the end of such a key.
    pub fn account(key: &[u8]) -> String {
        let account = key.get(1 + size_of::<uuid::Bytes>()..).unwrap_or_default();
        String::from_utf8_lossy(account).into_owned()
    }

    pub fn all_of(id: RunId) -> [Vec<u8>; 5] {
        [owners(id), all_held(id), rows(id), chunks(id), run(id)]
    }

    /// The number at the end of a key.
    pub fn number(key: &[u8]) -> Result<RowNumber, JournalError> {
        let bytes = key.last_chunk::<8>();
        let number = bytes.map(|bytes| RowNumber(u64::from_be_bytes(*bytes)));
        number.ok_or_else(|| JournalError::Checkpoint("a key has no number".into()))
    }

    fn prefix(kind: u8, id: RunId) -> Vec<u8> {
        let mut key = vec![kind];
        key.extend_from_slice(id.0.as_bytes());
        key
    }

    fn numbered(kind: u8, id: RunId, number: RowNumber) -> Vec<u8> {
        let mut key = prefix(kind, id);
        key.extend_from_slice(&number.0.to_be_bytes());
        key
    }
}
