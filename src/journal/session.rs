//! One process working on one run: copying its rows in, committing transitions, and keeping the checkpoint in step.
//!
//! The log's writer answers as soon as a group is durable; a second thread then brings the checkpoint up to it. So a row
//! never waits for the checkpoint, and the checkpoint never says what the log does not.

use super::committer::{CommitError, Committer, Record};
use super::disk::Disk;
use super::entry::Entry;
use super::error_run::JournalError;
use super::keeper::{Checkpointer, Writing};
use super::ledger::{Ledger, Mark, Moved};
use super::log::Log;
use super::open::{FIRST_ROW, genesis};
use super::row::{Facts, RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader, RunRecord, Stop};
use super::store::Store;
use super::view::RunReader;
use crate::machine::{Event, Problem};
use std::sync::Arc;

/// Input rows in one record: few enough to be read for one row, enough that a million need few keys.
const ROWS_PER_RECORD: usize = 256;

/// A run being worked on.
pub struct Session {
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
    committer: Committer<Mark>,
    checkpointer: Checkpointer,
    header: Arc<RunHeader>,
}

impl Session {
    pub(super) fn resume(
        disk: &Arc<dyn Disk>,
        run: RunRecord,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Session, JournalError> {
        let medium = disk.open(run.id())?;
        let (log, _) = Log::open(medium, run.head, |_| Ok::<(), JournalError>(()))?;
        Session::start(disk, run, log, store, writing)
    }

    fn start(
        disk: &Arc<dyn Disk>,
        run: RunRecord,
        log: Log,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Session, JournalError> {
        let no_thread = |source| disk.failed(run.id(), source);
        let ledger = Ledger::new(Arc::clone(&store), run.clone());
        let checkpointer =
            Checkpointer::start(ledger, Arc::clone(&store), writing).map_err(no_thread)?;
        let listener = checkpointer.listener();
        let committer = match writing {
            Writing::Threads => Committer::spawn(log, listener).map_err(no_thread)?,
            Writing::Inline { barrier, .. } => Committer::inline(log, listener, barrier),
        };
        Ok(Session {
            disk: Arc::clone(disk),
            store,
            committer,
            checkpointer,
            header: Arc::new(run.header),
        })
    }

    /// What the run was started with.
    #[must_use]
    pub fn header(&self) -> &Arc<RunHeader> {
        &self.header
    }

    /// The run as the checkpoint has it, a moment behind the log.
    #[must_use]
    pub fn run(&self) -> RunRecord {
        self.checkpointer.run()
    }

    /// Notes that a process begins to work on the run.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn opened(&self, at: UnixMillis) -> Result<(), JournalError> {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let entry = Entry::Opened { at, program };
        let record = record(&entry, Mark::Opened { at })?;
        Ok(self.committer.commit(vec![record]).await?)
    }

    /// Makes a transition durable. `after` is the row it leads to from `before`.
    ///
    /// # Errors
    /// [`JournalError`]; the first one is final, and nothing may be sent after it.
    pub async fn commit(
        &self,
        transition: Transition,
        before: &RowRecord,
        after: &RowRecord,
    ) -> Result<(), JournalError> {
        let record = moved(transition, before, after)?;
        Ok(self.committer.commit(vec![record]).await?)
    }

    /// Hands a transition in without waiting for the disk; it becomes durable before anything committed later.
    ///
    /// # Errors
    /// As [`Session::commit`], for what is known by now.
    pub fn post(
        &self,
        transition: Transition,
        before: &RowRecord,
        after: &RowRecord,
    ) -> Result<(), JournalError> {
        let record = moved(transition, before, after)?;
        Ok(self.committer.post(vec![record])?)
    }

    /// Reads the run's rows as the checkpoint has them; brings the checkpoint up to the log first.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint failed.
    pub fn reader(&self) -> Result<RunReader, JournalError> {
        self.checkpointer.sync()?;
        RunReader::open(&*self.disk, self.header.id, Arc::clone(&self.store))
    }

    /// Ends the work of this process on the run and answers where it stands.
    ///
    /// # Errors
    /// [`JournalError`] when the last records could not be made durable or the checkpoint failed.
    pub fn close(self, at: UnixMillis, stop: Stop) -> Result<RunRecord, JournalError> {
        let entry = Entry::Closed {
            at,
            stop: stop.clone(),
        };
        let record = record(&entry, Mark::Closed { at, stop })?;
        self.committer.post(vec![record])?;
        self.committer.close()?;
        self.checkpointer.sync()?;
        let run = self.checkpointer.run();
        self.checkpointer.close()?;
        Ok(run)
    }
}

fn record(entry: &Entry, tag: Mark) -> Result<Record<Mark>, JournalError> {
    let bytes = entry.encode()?;
    Ok(Record { bytes, tag })
}

fn moved(
    transition: Transition,
    before: &RowRecord,
    after: &RowRecord,
) -> Result<Record<Mark>, JournalError> {
    let moved = Moved::new(&transition, before, after.clone());
    record(&Entry::Moved(transition), Mark::Moved(Box::new(moved)))
}

/// A run whose rows are being copied in.
pub struct Import {
    session: Session,
    waiting: Vec<InputRow>,
    rows: u64,
    rejected: RowSet,
}

impl Import {
    pub(super) fn begin(
        disk: &Arc<dyn Disk>,
        header: RunHeader,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Import, JournalError> {
        let start = genesis(header.id);
        let mut log = Log::create(disk.create(header.id)?, start.hash)?;
        let first = Entry::Began(Box::new(header.clone())).encode()?;
        log.append_group(&[first])?;
        let run = RunRecord::new(header, log.head());
        Ok(Import {
            session: Session::start(disk, run, log, store, writing)?,
            waiting: Vec::new(),
            rows: 0,
            rejected: RowSet::default(),
        })
    }

    /// Copies one row.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed.
    pub fn push(&mut self, row: InputRow) -> Result<(), JournalError> {
        self.rows = row.number.0;
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_PER_RECORD {
            self.write_waiting()?;
        }
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), JournalError> {
        let rows = std::mem::take(&mut self.waiting);
        let first = rows.first().map_or(FIRST_ROW, |row| row.number);
        let record = record(&Entry::Rows(rows), Mark::Rows { first })?;
        Ok(self.session.committer.post(vec![record])?)
    }

    /// Refuses a row that the input itself speaks against. A row is refused once, for the first reason.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed.
    pub fn reject(
        &mut self,
        row: RowNumber,
        at: UnixMillis,
        problem: Problem,
    ) -> Result<(), JournalError> {
        if !self.rejected.insert(row) {
            return Ok(());
        }
        let transition = Transition {
            row,
            at,
            events: vec![Event::Rejected(problem)],
            facts: Facts::default(),
        };
        let before = RowRecord::default();
        let mut after = before.clone();
        after
            .apply(&transition, &self.session.header.rules)
            .map_err(|source| JournalError::Impossible { row, source })?;
        self.session.post(transition, &before, &after)
    }

    /// Ends the copying; from here on the run can be resumed.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn finish(mut self, at: UnixMillis) -> Result<Session, JournalError> {
        if !self.waiting.is_empty() {
            self.write_waiting()?;
        }
        let rows = self.rows;
        let record = record(&Entry::Imported { rows, at }, Mark::Imported { rows, at })?;
        self.session.committer.commit(vec![record]).await?;
        Ok(self.session)
    }
}

/// Which rows were refused already: one bit a row.
#[derive(Debug, Default)]
struct RowSet(Vec<u64>);

impl RowSet {
    fn insert(&mut self, row: RowNumber) -> bool {
        let (word, bit) = ((row.0 / 64) as usize, 1_u64 << (row.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }
}

impl From<&CommitError> for Stop {
    fn from(error: &CommitError) -> Stop {
        Stop::Fault(error.to_string())
    }
}
