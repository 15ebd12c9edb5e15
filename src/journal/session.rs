//! One process working on one run: copying its rows in, committing transitions, and keeping the checkpoint in step.
//!
//! The log's writer answers as soon as a group is durable; a second thread then brings the checkpoint up to it. So a row
//! never waits for the checkpoint, and the checkpoint never says what the log does not.

use super::committer::{CommitError, Committer, Record};
use super::disk::Disk;
use super::entry::{Adoption, Entry};
use super::error_run::JournalError;
use super::keeper::{Checkpointer, Writing};
use super::ledger::{Ledger, Mark, Moved, read_owner, read_row, read_runs};
use super::log::Log;
use super::medium::Medium;
use super::open::{FIRST_ROW, genesis, takers};
use super::reserve::{OnReserve, Shortage};
use super::row::{Facts, RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader, RunId, RunRecord, Stop};
use super::scratch::LastReader;
use super::store::Store;
use super::view::RunReader;
use crate::core::Problem;
use crate::machine::Event;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Input rows in one record: few enough to be read for one row, enough that a million need few keys.
const ROWS_PER_RECORD: usize = 256;

/// A run being worked on.
pub struct Session {
    /// The log, to be read at the end whatever has become of its name.
    log: Mutex<Box<dyn Medium>>,
    shortage: Shortage,
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
    committer: Committer<Mark>,
    checkpointer: Checkpointer,
    header: Arc<RunHeader>,
    /// The other runs against the same target that have not come to their end.
    others: Vec<RunId>,
}

impl Session {
    pub(super) fn resume(
        disk: &Arc<dyn Disk>,
        run: RunRecord,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Session, JournalError> {
        let reserve = disk.reserve()?;
        let medium = OnReserve::new(disk.open(run.id())?, reserve);
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
        let others = unfinished_beside(&*store, &run)?;
        let shortage = log.shortage().clone();
        let ledger = Ledger::new(Arc::clone(&store), run.clone());
        let checkpointer =
            Checkpointer::start(ledger, Arc::clone(&store), writing, shortage.clone())
                .map_err(no_thread)?;
        let listener = checkpointer.listener();
        let committer = match writing {
            Writing::Threads => Committer::spawn(log, listener).map_err(no_thread)?,
            Writing::Inline { barrier, .. } => Committer::inline(log, listener, barrier),
        };
        Ok(Session {
            log: Mutex::new(disk.open_to_read(run.id())?),
            shortage,
            disk: Arc::clone(disk),
            store,
            committer,
            checkpointer,
            header: Arc::new(run.header),
            others,
        })
    }

    /// What the run was started with.
    #[must_use]
    pub fn header(&self) -> &Arc<RunHeader> {
        &self.header
    }

    /// What the system said when room on the disk became short, if it did. Everything still becomes durable then, out of the
    /// reserve; it is enough to bring the rows under way to safety, and for nothing else.
    #[must_use]
    pub fn shortage(&self) -> Option<&str> {
        self.shortage.reason()
    }

    /// The run as the checkpoint has it, a moment behind the log.
    #[must_use]
    pub fn run(&self) -> RunRecord {
        self.checkpointer.run()
    }

    /// Begins a run whose rows were copied; from here on it can be resumed.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn begin(&self, copied: Copied, at: UnixMillis) -> Result<(), JournalError> {
        let rows = copied.rows;
        let record = record(&Entry::Imported { rows, at }, Mark::Imported { rows, at })?;
        Ok(self.committer.commit(vec![record]).await?)
    }

    /// Ends the work of this process without a word in the log.
    pub(super) fn abandon(self) {
        // What was not durable yet belongs to a run that is about to be forgotten.
        let _lost = self.committer.close();
        let _unusable = self.checkpointer.close();
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

    /// The same as far as the checkpoint has it now, a moment behind the log.
    ///
    /// # Errors
    /// [`JournalError::File`] when the log cannot be opened.
    pub fn glance(&self) -> Result<RunReader, JournalError> {
        RunReader::open(&*self.disk, self.header.id, Arc::clone(&self.store))
    }

    /// A row as the checkpoint has it now.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn row(&self, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
        read_row(&*self.store, self.header.id, row)
    }

    /// The row that an account is, as the checkpoint has it now.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn owner(&self, account: &str) -> Result<Option<RowNumber>, JournalError> {
        read_owner(&*self.store, self.header.id, account)
    }

    /// The row of another run that has changed an account and has not ended.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn half_way_elsewhere(
        &self,
        account: &str,
    ) -> Result<Option<(RunId, RowNumber)>, JournalError> {
        for run in &self.others {
            let Some(row) = read_owner(&*self.store, *run, account)? else {
                continue;
            };
            let record = read_row(&*self.store, *run, row)?;
            if record.is_some_and(|record| record.ended_at.is_none() && record.has_begun_writing())
            {
                return Ok(Some((*run, row)));
            }
        }
        Ok(None)
    }

    /// Ends the work of this process on the run and answers where it stands, as far as that is known.
    #[must_use]
    pub fn close(self, at: UnixMillis, stop: Stop) -> Closed {
        let posted = closing(at, stop).and_then(|record| Ok(self.committer.post(vec![record])?));
        let ended = self.committer.close().map_err(JournalError::from);
        let (run, checkpoint) = self.checkpointer.close();
        Closed {
            run,
            fault: posted.and(ended.map(|_| ())).err(),
            log: self
                .log
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            disk: self.disk,
            store: self.store,
            checkpoint,
        }
    }
}

fn unfinished_beside(store: &dyn Store, run: &RunRecord) -> Result<Vec<RunId>, JournalError> {
    let runs = read_runs(store)?;
    let takers = takers(&runs);
    let others = runs.into_iter().filter(|other| {
        let goes_on = !takers.contains_key(&other.id()) && run.header.adopts != Some(other.id());
        goes_on
            && other.id() != run.id()
            && other.header.target == run.header.target
            && !other.is_complete()
    });
    Ok(others.map(|other| other.id()).collect())
}

fn closing(at: UnixMillis, stop: Stop) -> Result<Record<Mark>, JournalError> {
    let entry = Entry::Closed {
        at,
        stop: stop.clone(),
    };
    record(&entry, Mark::Closed { at, stop })
}

/// A run that this process has worked on.
pub struct Closed {
    /// Where it stands, as far as that is known.
    pub run: RunRecord,
    /// Why the log could not be ended, where it could not: what came last may not be durable.
    pub fault: Option<JournalError>,
    log: Box<dyn Medium>,
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
    /// Why the checkpoint cannot be used.
    checkpoint: Option<String>,
}

impl Closed {
    /// Where the run stands, for whoever can make nothing of less than all of it.
    ///
    /// # Errors
    /// [`JournalError`] when the last records could not be made durable or the checkpoint failed.
    pub fn whole(self) -> Result<RunRecord, JournalError> {
        match (self.fault, self.checkpoint) {
            (Some(fault), _) => Err(fault),
            (None, Some(why)) => Err(JournalError::Checkpoint(why)),
            (None, None) => Ok(self.run),
        }
    }

    /// Puts the log back where it was, if somebody has deleted it meanwhile: it is still open here, and nowhere else. Answers
    /// whether it was so.
    ///
    /// # Errors
    /// [`JournalError::File`] when it cannot be written there.
    pub fn put_back(&self) -> Result<bool, JournalError> {
        if !self.log.is_deleted() {
            return Ok(false);
        }
        self.disk.put_back(self.run.id(), &*self.log)?;
        Ok(true)
    }

    /// Reads the run's rows: from the checkpoint, or, when that has failed, from the log alone.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read, or there is no room for a checkpoint anywhere.
    pub fn reader(self) -> Result<LastReader, JournalError> {
        match self.checkpoint {
            None => {
                let reader = RunReader::new(self.log, self.run.id(), self.store);
                Ok(LastReader::of(reader))
            }
            Some(why) => {
                tracing::info!("the report is made from the log alone: {why}");
                LastReader::from_log_alone(self.log, self.run.id())
            }
        }
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
    dir: PathBuf,
    waiting: Vec<InputRow>,
    rows: u64,
    rejected: RowSet,
}

impl Import {
    pub(super) fn begin(
        dir: &Path,
        disk: &Arc<dyn Disk>,
        header: RunHeader,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Import, JournalError> {
        let start = genesis(header.id);
        let reserve = disk.reserve()?;
        let medium = OnReserve::new(disk.create(header.id)?, reserve);
        let mut log = Log::create(medium, start.hash)?;
        let first = Entry::Began(Box::new(header.clone())).encode()?;
        log.append_group(&[first])?;
        let run = RunRecord::new(header, log.head());
        Ok(Import {
            session: Session::start(disk, run, log, store, writing)?,
            dir: dir.to_owned(),
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
            self.write_waiting()?;
        }
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), JournalError> {
        let rows = std::mem::take(&mut self.waiting);
        let first = rows.first().map_or(FIRST_ROW, |row| row.number);
        let record = record(&Entry::Rows(rows), Mark::Rows { first })?;
        let posted = self.session.committer.post(vec![record]);
        self.with_room(posted.map_err(JournalError::from))
    }

    /// What is kept back is for people who are half way, and nobody is yet: rows that do not fit without it are removed,
    /// since they may be what fills the disk.
    fn with_room(&self, result: Result<(), JournalError>) -> Result<(), JournalError> {
        let Some(why) = self.session.shortage() else {
            return result;
        };
        // Left behind they are removed when the journal is opened next.
        let _left_behind = self.session.disk.remove(self.session.header.id);
        Err(JournalError::NoRoom {
            dir: self.dir.clone(),
            source: io::Error::new(io::ErrorKind::StorageFull, why.to_owned()),
        })
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

    /// Goes on with a row from where another run left it.
    ///
    /// # Errors
    /// [`JournalError`] when the log failed.
    pub fn adopt(&mut self, adoption: Adoption) -> Result<(), JournalError> {
        let moved = Mark::Moved(Box::new(Moved::adopted(adoption.clone())));
        let record = record(&Entry::Adopted(Box::new(adoption)), moved)?;
        Ok(self.session.committer.post(vec![record])?)
    }

    /// Ends the copying and begins the run: one that it takes over from cannot go on from here on.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn finish(self, at: UnixMillis) -> Result<Session, JournalError> {
        let (session, copied) = self.copied().await?;
        session.begin(copied, at).await?;
        Ok(session)
    }

    /// Ends the copying: all rows are on the disk, and the run has not begun.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn copied(mut self) -> Result<(Session, Copied), JournalError> {
        if !self.waiting.is_empty() {
            self.write_waiting()?;
        }
        // All rows are on the disk before it is asked whether they found room, and before the run can be resumed.
        let written = self.session.committer.commit(Vec::new()).await;
        self.with_room(written.map_err(JournalError::from))?;
        let copied = Copied { rows: self.rows };
        Ok((self.session, copied))
    }
}

/// All rows of a run are in the journal, and it has not begun. A run that never begins is forgotten.
#[derive(Debug)]
pub struct Copied {
    rows: u64,
}

impl Copied {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
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
