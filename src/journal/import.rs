//! Copying a batch's rows into the journal as a run begins, so that the run depends on no file that somebody may edit.
//!
//! Nothing waits for these records one by one, so they are written here, in large groups, on the thread that reads the file.

use super::cache::Cache;
use super::error::JournalError;
use super::fold::{Mark, Moved, RunFold};
use super::line::{Adoption, Entry};
use super::log::Log;
use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader};
use super::session::{Copied, JournalParts, Session, moved, record};
use super::writer::Record;
use crate::core::Problem;
use crate::machine::Event;
use std::sync::Arc;

/// Input rows in one record: few enough to be read for one row, enough that a million need few keys.
pub(super) const ROWS_PER_RECORD: usize = 256;

/// Bytes of records that are written as one group.
const GROUP_BYTES: usize = 2 << 20;

/// A run whose rows are being copied in.
pub struct Import {
    parts: JournalParts,
    log: Log,
    fold: RunFold,
    cache: Cache,
    records: Vec<Record>,
    bytes: usize,
    waiting: Vec<InputRow>,
    rows: u64,
    rejected: RowSet,
}

impl Import {
    pub(super) fn begin(parts: &JournalParts, header: RunHeader) -> Result<Import, JournalError> {
        let id = header.id;
        let reserve = parts.storage.reserve()?;
        let mut log = Log::create(parts.storage.create(id)?, id).with_reserve(reserve);
        let first = Entry::began(header);
        log.append_group(&[first.encode()?])?;
        let fold = RunFold::begun_by(first, log.head())?;
        Ok(Import {
            parts: parts.clone(),
            log,
            fold,
            cache: Cache::new(parts.store.clone()),
            records: Vec::new(),
            bytes: 0,
            waiting: Vec::new(),
            rows: 0,
            rejected: RowSet::default(),
        })
    }

    /// Copies one row.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed, or had to touch the reserve.
    pub fn push(&mut self, row: InputRow) -> Result<(), JournalError> {
        self.rows = row.number.0;
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_PER_RECORD {
            self.take_waiting()?;
        }
        Ok(())
    }

    fn take_waiting(&mut self) -> Result<(), JournalError> {
        let rows = std::mem::take(&mut self.waiting);
        match rows.first().map(|row| row.number) {
            Some(first) => self.add(record(&Entry::Rows(rows), Mark::Rows { first })?),
            None => Ok(()),
        }
    }

    /// Refuses a row that the input itself speaks against. A row is refused once, for the first reason.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed.
    pub fn reject(&mut self, row: RowNumber, at: UnixMillis, problem: Problem) -> Result<(), JournalError> {
        if !self.rejected.insert(row) {
            return Ok(());
        }
        let event = Event::Rejected(problem);
        let mut record = RowRecord::default();
        let taken = record.take(at, event.clone(), &self.fold.run.header.rules);
        taken.map_err(|source| JournalError::Impossible { row, source })?;
        self.add(moved(Transition::of(row, at, event), &Arc::new(record))?)
    }

    /// Goes on with a row from where another run left it.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed.
    pub fn adopt(&mut self, adoption: Adoption) -> Result<(), JournalError> {
        let mark = Mark::Moved(Box::new(Moved::adopted(adoption.clone())));
        self.add(record(&Entry::Adopted(Box::new(adoption)), mark)?)
    }

    fn add(&mut self, record: Record) -> Result<(), JournalError> {
        self.bytes += record.json.len();
        self.records.push(record);
        if self.bytes >= GROUP_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        let written = self.log.append_group(&records);
        self.must_have_room()?;
        for (offset, record) in written?.into_iter().zip(records) {
            self.cache.note(offset, &record.mark);
            self.fold.take(offset, record.mark);
        }
        self.fold.run.head = self.log.head();
        if self.cache.is_full() {
            let written = self.cache.write(&mut self.fold);
            if let Err(JournalError::Store(error)) = &written
                && let Some(full) = error.want_of_room()
            {
                self.log.shortage().note(full);
            }
            self.must_have_room()?;
            written?;
        }
        Ok(())
    }

    /// What is kept back is for people who are half way, and nobody is yet: rows that do not fit without it are removed,
    /// since they may be what fills the disk.
    fn must_have_room(&self) -> Result<(), JournalError> {
        let Some(why) = self.log.shortage().reason() else {
            return Ok(());
        };
        // Left behind they are removed when the journal is opened next.
        let _left_behind = self.parts.storage.remove(self.fold.run.id());
        Err(self.parts.no_room(why))
    }

    /// Ends the copying and begins the run: one that it takes over from cannot go on from here on.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn finish(self, at: UnixMillis) -> Result<Session, JournalError> {
        let (session, copied) = self.copied()?;
        session.begin(copied, at).await?;
        Ok(session)
    }

    /// Ends the copying: all rows are on the disk, and the run has not begun. Needs a runtime.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub fn copied(mut self) -> Result<(Session, Copied), JournalError> {
        self.take_waiting()?;
        self.write()?;
        let session = Session::start(&self.parts, self.cache, self.fold, self.log)?;
        Ok((session, Copied { rows: self.rows }))
    }
}

/// A set of rows: one bit a row.
#[derive(Debug, Default)]
pub(super) struct RowSet(Vec<u64>);

impl RowSet {
    /// Whether a row is in it.
    pub(super) fn contains(&self, row: RowNumber) -> bool {
        let word = usize::try_from(row.0 / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & (1 << (row.0 % 64)) != 0)
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, row: RowNumber) {
        let word = usize::try_from(row.0 / 64).ok();
        if let Some(word) = word.and_then(|word| self.0.get_mut(word)) {
            *word &= !(1 << (row.0 % 64));
        }
    }

    /// Adds a row; returns whether it is new.
    pub(super) fn insert(&mut self, row: RowNumber) -> bool {
        let (word, bit) = ((row.0 / 64) as usize, 1_u64 << (row.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }
}
