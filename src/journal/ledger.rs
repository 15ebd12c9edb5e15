//! The checkpoint's content: where every run and every row is, kept in step with the log.
//!
//! A [`Ledger`] takes the records of one run's log in their order and writes, now and then, one batch with the rows that
//! changed and the run's own record, which says how much of the log the batch stands for. Rows that changed several times
//! in between are written once. Live records come with the row they lead to; when a log is read again, the row is folded
//! anew. Nothing here touches the log.

use super::entry::{Adoption, Entry};
use super::error_run::JournalError;
use super::keys;
use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{Counts, RunId, RunRecord, RunState, Stop};
use super::scan::{Head, Position};
use super::store::{Batch, Store, StoreError};
use crate::machine::RowState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows held before a batch is written.
const ROWS_HELD_MAX: usize = 2_000;

/// What a record of the log means for the checkpoint.
#[derive(Debug, Clone)]
pub enum Mark {
    /// Rows were copied, from this one on.
    Rows {
        /// The first of them.
        first: RowNumber,
    },
    /// All rows were copied.
    Imported {
        /// How many.
        rows: u64,
        /// When.
        at: UnixMillis,
    },
    /// A process began to work.
    Opened {
        /// When.
        at: UnixMillis,
    },
    /// A row moved.
    Moved(Box<Moved>),
    /// A process stopped.
    Closed {
        /// When.
        at: UnixMillis,
        /// Why.
        stop: Stop,
    },
}

/// A row that moved, and by how much its numbers grew.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Which row.
    pub row: RowNumber,
    /// When.
    pub at: UnixMillis,
    /// Where it is now.
    pub record: RowRecord,
    /// Writes that took effect.
    pub writes: u32,
    /// Reads sent.
    pub reads: u32,
    /// Throttling answers.
    pub throttled: u32,
}

impl Moved {
    /// What a transition made of a row.
    #[must_use]
    pub fn new(transition: &Transition, before: &RowRecord, after: RowRecord) -> Moved {
        Moved {
            row: transition.row,
            at: transition.at,
            writes: after.writes - before.writes,
            reads: after.reads - before.reads,
            throttled: after.throttled - before.throttled,
            record: after,
        }
    }

    /// A row that goes on from where another run left it.
    #[must_use]
    pub fn adopted(adoption: Adoption) -> Moved {
        Moved {
            row: adoption.row,
            at: adoption.at,
            record: adoption.record.taken_over(),
            writes: 0,
            reads: 0,
            throttled: 0,
        }
    }
}

/// A row and how much of the log it stands for. A kill between two parts of a long batch leaves rows that are ahead of the
/// run's own record; what they stand for already must not be folded in twice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredRow {
    /// Where the last record that was folded in begins.
    pub(super) through: u64,
    /// The row.
    pub(super) record: RowRecord,
}

/// The checkpoint of one run, being written.
pub struct Ledger {
    store: Arc<dyn Store>,
    run: RunRecord,
    rows: BTreeMap<u64, StoredRow>,
    /// Rows were found to be ahead: the run's numbers have to be counted anew.
    recount: bool,
    chunks: Vec<(RowNumber, Position)>,
}

impl Ledger {
    /// Goes on with a run.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, run: RunRecord) -> Ledger {
        Ledger {
            store,
            run,
            rows: BTreeMap::new(),
            recount: false,
            chunks: Vec::new(),
        }
    }

    /// The run as far as it was taken in.
    #[must_use]
    pub fn run(&self) -> &RunRecord {
        &self.run
    }

    /// Whether enough was taken in that a batch should be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() + self.chunks.len() >= ROWS_HELD_MAX
    }

    /// Takes in one record.
    pub fn take(&mut self, position: Position, mark: Mark) {
        match mark {
            Mark::Rows { first } => self.chunks.push((first, position)),
            Mark::Imported { rows, at } => {
                self.run.rows = rows;
                self.run.state = RunState::Open;
                self.run.last_at = at;
            }
            Mark::Opened { at } => self.opened(at),
            Mark::Moved(moved) => self.moved(position, *moved),
            Mark::Closed { at, stop } => self.closed(at, stop),
        }
    }

    fn opened(&mut self, at: UnixMillis) {
        self.run.active_ms = self.run.worked_ms();
        self.run.state = RunState::Open;
        self.run.session_at = at;
        self.run.last_at = at;
    }

    fn closed(&mut self, at: UnixMillis, stop: Stop) {
        self.run.last_at = at;
        self.run.active_ms = self.run.worked_ms();
        self.run.state = match stop {
            Stop::Finished => RunState::Finished,
            Stop::Requested(_) | Stop::Fault(_) => RunState::Stopped(stop),
        };
    }

    fn moved(&mut self, position: Position, moved: Moved) {
        let Moved {
            row,
            at,
            record,
            writes,
            reads,
            throttled,
        } = moved;
        if matches!(record.state, RowState::Ended(_)) {
            self.run.counts.add(record.outcome());
        }
        self.run.writes += u64::from(writes);
        self.run.reads += u64::from(reads);
        self.run.throttled += u64::from(throttled);
        self.note_moved(row, at);
        let through = position.offset;
        self.rows.insert(row.0, StoredRow { through, record });
    }

    fn note_moved(&mut self, row: RowNumber, at: UnixMillis) {
        self.run.last_at = self.run.last_at.max(at);
        self.run.begun_max = self.run.begun_max.max(row.0);
    }

    /// Found from the rows themselves, so that a process that goes on with the run and one that reads its log again come to
    /// the same number.
    fn begun_through(&self) -> Result<u64, JournalError> {
        let mut through = self.run.begun_through;
        while through < self.run.begun_max && self.row(RowNumber(through + 1))?.is_some() {
            through += 1;
        }
        Ok(through)
    }

    /// Takes in one record that is read again from the log.
    ///
    /// # Errors
    /// A record that does not follow from those before it.
    pub fn replay(&mut self, position: Position, entry: Entry) -> Result<(), JournalError> {
        let mark = match entry {
            Entry::Began(_) => return Ok(()),
            Entry::Rows(rows) => Mark::Rows {
                first: rows.first().map_or(RowNumber(0), |row| row.number),
            },
            Entry::Imported { rows, at } => Mark::Imported { rows, at },
            Entry::Opened { at, program: _ } => Mark::Opened { at },
            Entry::Moved(transition) => match self.refold(position, &transition)? {
                Some(moved) => Mark::Moved(Box::new(moved)),
                None => return Ok(()),
            },
            Entry::Closed { at, stop } => Mark::Closed { at, stop },
            Entry::Adopted(adoption) => match self.readopt(position, *adoption)? {
                Some(moved) => Mark::Moved(Box::new(moved)),
                None => return Ok(()),
            },
        };
        self.take(position, mark);
        Ok(())
    }

    /// None when the row stands for this record already.
    fn readopt(
        &mut self,
        position: Position,
        adoption: Adoption,
    ) -> Result<Option<Moved>, JournalError> {
        let known = self.row(adoption.row)?;
        if self.is_ahead(position, known.as_ref(), adoption.row, adoption.at) {
            return Ok(None);
        }
        Ok(Some(Moved::adopted(adoption)))
    }

    /// Whether the row stands for this record already.
    fn is_ahead(
        &mut self,
        position: Position,
        known: Option<&StoredRow>,
        row: RowNumber,
        at: UnixMillis,
    ) -> bool {
        let ahead = known.is_some_and(|row| row.through >= position.offset);
        if ahead {
            self.recount = true;
            self.note_moved(row, at);
        }
        ahead
    }

    /// None when the row stands for this record already.
    fn refold(
        &mut self,
        position: Position,
        transition: &Transition,
    ) -> Result<Option<Moved>, JournalError> {
        let known = self.row(transition.row)?;
        if self.is_ahead(position, known.as_ref(), transition.row, transition.at) {
            return Ok(None);
        }
        let before = known.map_or_else(RowRecord::default, |row| row.record);
        let mut after = before.clone();
        after
            .apply(transition, &self.run.header.rules)
            .map_err(|source| JournalError::Impossible {
                row: transition.row,
                source,
            })?;
        Ok(Some(Moved::new(transition, &before, after)))
    }

    fn row(&self, row: RowNumber) -> Result<Option<StoredRow>, JournalError> {
        match self.rows.get(&row.0) {
            Some(row) => Ok(Some(row.clone())),
            None => read_stored(&*self.store, self.run.id(), row),
        }
    }

    /// Writes rows that were read again, leaving the run's own record where it was: until the end of the log is reached,
    /// another kill must find the same work to do.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub fn write_rows(&mut self) -> Result<(), JournalError> {
        let batch = self.rows_batch()?;
        Ok(self.store.apply(batch)?)
    }

    /// Ends the reading of a log up to `head`.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub fn caught_up(&mut self, head: Head) -> Result<(), JournalError> {
        self.write_rows()?;
        if std::mem::take(&mut self.recount) {
            self.count_anew()?;
        }
        self.write(head)
    }

    fn count_anew(&mut self) -> Result<(), JournalError> {
        self.run.counts = Counts::default();
        (self.run.writes, self.run.reads, self.run.throttled) = (0, 0, 0);
        for entry in self.store.scan_prefix(&keys::rows(self.run.id())) {
            let row: StoredRow = decode(&entry?.1)?;
            if matches!(row.record.state, RowState::Ended(_)) {
                self.run.counts.add(row.record.outcome());
            }
            self.run.writes += u64::from(row.record.writes);
            self.run.reads += u64::from(row.record.reads);
            self.run.throttled += u64::from(row.record.throttled);
        }
        Ok(())
    }

    /// Writes all that was taken in, the run's own record last: it stands for the log up to `head`.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint does not take it; the log is not touched by that.
    pub fn write(&mut self, head: Head) -> Result<(), JournalError> {
        self.run.head = head;
        self.run.begun_through = self.begun_through()?;
        let mut batch = self.rows_batch()?;
        batch.put(keys::run(self.run.id()), encode(&self.run)?);
        Ok(self.store.apply(batch)?)
    }

    /// Lets go of what waits to be written, up to `head`: the checkpoint takes nothing any more, and the log has it all.
    pub fn let_go(&mut self, head: Head) {
        self.run.head = head;
        self.rows.clear();
        self.chunks.clear();
    }

    fn rows_batch(&mut self) -> Result<Batch, JournalError> {
        let id = self.run.id();
        let mut batch = Batch::default();
        for (first, position) in self.chunks.drain(..) {
            batch.put(keys::chunk(id, first), encode(&position)?);
        }
        for (number, row) in std::mem::take(&mut self.rows) {
            let number = RowNumber(number);
            match &row.record.state {
                RowState::Ended(_) => batch.remove(keys::active(id, number)),
                RowState::Waiting | RowState::Active(_) => {
                    let exposed = row.record.may_be_exposed(&self.run.header.rules);
                    batch.put(keys::active(id, number), vec![u8::from(exposed)]);
                }
            }
            if let Some(account) = &row.record.account {
                batch.put(keys::owner(id, account), encode(&number)?);
            }
            batch.put(keys::row(id, number), encode(&row)?);
        }
        Ok(batch)
    }
}

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    postcard::to_stdvec(value).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, JournalError> {
    postcard::from_bytes(bytes).map_err(|error| JournalError::Checkpoint(error.to_string()))
}

/// A row as the checkpoint has it.
pub(super) fn read_row(
    store: &dyn Store,
    id: RunId,
    row: RowNumber,
) -> Result<Option<RowRecord>, JournalError> {
    Ok(read_stored(store, id, row)?.map(|row| row.record))
}

/// The row that an account is, as the checkpoint has it.
pub(super) fn read_owner(
    store: &dyn Store,
    id: RunId,
    account: &str,
) -> Result<Option<RowNumber>, JournalError> {
    let bytes = store.get(&keys::owner(id, account))?;
    bytes.map(|bytes| decode(&bytes)).transpose()
}

fn read_stored(
    store: &dyn Store,
    id: RunId,
    row: RowNumber,
) -> Result<Option<StoredRow>, JournalError> {
    let bytes = store.get(&keys::row(id, row))?;
    bytes.map(|bytes| decode(&bytes)).transpose()
}

/// Every run the checkpoint has, oldest first.
pub(super) fn read_runs(store: &dyn Store) -> Result<Vec<RunRecord>, JournalError> {
    store
        .scan_prefix(&keys::RUNS)
        .map(|entry| decode(&entry?.1))
        .collect()
}

/// Forgets a run whose rows were never all copied.
pub(super) fn forget(store: &dyn Store, id: RunId) -> Result<(), JournalError> {
    let mut batch = Batch::default();
    for prefix in keys::all_of(id) {
        let entries: Result<Vec<_>, StoreError> = store.scan_prefix(&prefix).collect();
        for (key, _) in entries? {
            batch.remove(key);
        }
    }
    Ok(store.apply(batch)?)
}
