//! One process working on one run: committing transitions, and keeping the checkpoint in step.

use super::blocking::Blocking;
use super::cache::{Cache, read_owner, read_row, read_runs};
use super::checkpoint_writer::CheckpointWriter;
use super::error::JournalError;
use super::fold::{Mark, Moved, RunFold};
use super::line::{Entry, Reopening};
use super::log::Log;
use super::log_file::LogFile;
use super::open::takers;
use super::reader::RunReader;
use super::reserve::Shortage;
use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{RunHeader, RunId, RunRecord, Stop};
use super::storage::Storage;
use super::store::Store;
use super::writer::{Record, Writer};
use crate::machine::Event;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A journal's parts, as all that work on it share them.
#[derive(Clone)]
pub(super) struct JournalParts {
    /// The journal's folder, or its name in messages.
    pub dir: PathBuf,
    pub storage: Arc<dyn Storage>,
    pub store: Arc<dyn Store>,
    pub log_blocking: Arc<dyn Blocking>,
    pub blocking: Arc<dyn Blocking>,
}

impl JournalParts {
    /// The disk is full, as the system said in these words.
    pub(super) fn no_room(&self, full: &str) -> JournalError {
        JournalError::NoRoom { dir: self.dir.clone(), source: io::Error::new(io::ErrorKind::StorageFull, full) }
    }
}

/// A run being worked on.
pub struct Session {
    /// The log, to be read at the end whatever has become of its name.
    log: Mutex<Box<dyn LogFile>>,
    shortage: Shortage,
    parts: JournalParts,
    writer: Writer,
    checkpoint: CheckpointWriter,
    header: Arc<RunHeader>,
    /// The other runs against the same target that have not come to their end.
    others: Vec<RunId>,
}

impl Session {
    pub(super) fn start(parts: &JournalParts, cache: Cache, fold: RunFold, log: Log) -> Result<Session, JournalError> {
        let JournalParts { dir: _, storage, store, log_blocking, blocking } = parts.clone();
        let header = Arc::clone(&fold.run.header);
        let others = unfinished_beside(&*store, &fold.run)?;
        let shortage = log.shortage().clone();
        let read = storage.open_to_read(header.id)?;
        let (checkpoint, durable) = CheckpointWriter::start(cache, fold, storage, blocking, shortage.clone());
        Ok(Session {
            log: Mutex::new(read),
            shortage,
            parts: parts.clone(),
            writer: Writer::start(log, log_blocking, durable),
            checkpoint,
            header,
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

    /// Where the run stands, a moment behind the log.
    #[must_use]
    pub fn run(&self) -> RunRecord {
        self.checkpoint.fold().run.clone()
    }

    /// Begins a run whose rows were copied; from here on it can be resumed.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn begin(&self, copied: Copied, at: UnixMillis) -> Result<(), JournalError> {
        let rows = copied.rows;
        self.commit_entry(&Entry::Imported { rows, at }, Mark::Imported { rows, at }).await
    }

    /// Notes that a process begins to work on the run.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be made durable.
    pub async fn opened(&self, at: UnixMillis) -> Result<(), JournalError> {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        self.commit_entry(&Entry::Opened { at, program }, Mark::Opened { at }).await
    }

    async fn commit_entry(&self, entry: &Entry, mark: Mark) -> Result<(), JournalError> {
        Ok(self.writer.commit(record(entry, mark)?).await?)
    }

    /// Makes a transition durable. `record` is the row after it.
    ///
    /// # Errors
    /// [`JournalError`]; the first one is final, and nothing may be sent after it.
    pub async fn commit(&self, transition: Transition, record: &Arc<RowRecord>) -> Result<(), JournalError> {
        Ok(self.writer.commit(moved(transition, record)?).await?)
    }

    /// Hands a transition in without waiting for the disk; it becomes durable before anything committed later.
    ///
    /// # Errors
    /// As [`Session::commit`], for what is known by now.
    pub fn post(&self, transition: Transition, record: &Arc<RowRecord>) -> Result<(), JournalError> {
        Ok(self.writer.post(moved(transition, record)?)?)
    }

    /// Lets a row that is over begin again by such an event. It becomes durable before anything committed later.
    ///
    /// # Errors
    /// [`JournalError`], also when the event cannot happen to the row.
    pub fn reopen(&self, row: RowNumber, was: RowRecord, at: UnixMillis, event: Event) -> Result<(), JournalError> {
        let mut record = was.clone();
        let taken = record.take(at, event.clone(), &self.header.rules);
        taken.map_err(|source| JournalError::Impossible { row, source })?;
        let moved = Transition::of(row, at, event);
        let mark = Moved { row, at, record: Arc::new(record), was: Some(was.clone()) };
        let entry = Entry::Reopened(Box::new(Reopening { was, moved }));
        Ok(self.writer.post(self::record(&entry, Mark::Moved(Box::new(mark)))?)?)
    }

    /// Reads the run's rows as the checkpoint has them; brings the checkpoint up to the log first.
    ///
    /// # Errors
    /// [`JournalError::NoRoom`] when the disk is full, [`JournalError`] when the checkpoint failed otherwise.
    pub async fn reader(&self) -> Result<RunReader, JournalError> {
        match (self.checkpoint.sync().await, self.shortage()) {
            (Err(_), Some(full)) => Err(self.parts.no_room(full)),
            (synced, _) => synced.and_then(|()| self.glance()),
        }
    }

    /// The same as far as it is known now, a moment behind the log.
    ///
    /// # Errors
    /// [`JournalError::File`] when the log cannot be opened.
    pub fn glance(&self) -> Result<RunReader, JournalError> {
        let fold = self.checkpoint.fold().clone();
        let log = self.parts.storage.open_to_read(self.header.id)?;
        Ok(RunReader::new(fold, log, Some(Arc::clone(&self.parts.store))))
    }

    /// A row as the checkpoint has it now.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn row(&self, row: RowNumber) -> Result<Option<RowRecord>, JournalError> {
        read_row(&*self.parts.store, self.header.id, row)
    }

    /// The row that an account is, as the checkpoint has it now.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn owner(&self, account: &str) -> Result<Option<RowNumber>, JournalError> {
        read_owner(&*self.parts.store, self.header.id, account)
    }

    /// The row of another run that has changed an account and has not ended.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn half_way_elsewhere(&self, account: &str) -> Result<Option<(RunId, RowNumber)>, JournalError> {
        let store = &*self.parts.store;
        for run in &self.others {
            let Some(row) = read_owner(store, *run, account)? else {
                continue;
            };
            if read_row(store, *run, row)?.is_some_and(|record| record.is_half_way()) {
                return Ok(Some((*run, row)));
            }
        }
        Ok(None)
    }

    /// Ends the work of this process without a word in the log.
    pub(super) async fn abandon(self) {
        // What was not durable yet belongs to a run that is about to be forgotten.
        let _lost = self.writer.close().await;
        let _unusable = self.checkpoint.close().await;
    }

    /// As a kill does: nothing that waits is written any more.
    #[cfg(test)]
    pub(super) async fn kill(self) {
        self.writer.kill().await;
        self.checkpoint.kill().await;
    }

    /// Ends the work of this process on the run and returns where it stands, as far as that is known.
    pub async fn close(self, at: UnixMillis, stop: Stop) -> Closed {
        let entry = Entry::Closed { at, stop: stop.clone() };
        let posted = record(&entry, Mark::Closed { at, stop }).and_then(|record| Ok(self.writer.post(record)?));
        let ended = self.writer.close().await.map_err(JournalError::from);
        let (fold, checkpoint) = self.checkpoint.close().await;
        Closed {
            run: fold.run.clone(),
            fault: ended.and(posted).err(),
            fold,
            log: self.log.into_inner().unwrap_or_else(PoisonError::into_inner),
            parts: self.parts,
            checkpoint,
        }
    }
}

fn unfinished_beside(store: &dyn Store, run: &RunRecord) -> Result<Vec<RunId>, JournalError> {
    let runs = read_runs(store)?;
    let takers = takers(&runs);
    let others = runs.into_iter().filter(|other| {
        let goes_on = !takers.contains_key(&other.id()) && run.header.adopts != Some(other.id());
        goes_on && other.id() != run.id() && other.header.target == run.header.target && !other.is_complete()
    });
    Ok(others.map(|other| other.id()).collect())
}

/// All rows of a run are in the journal, and it has not begun. A run that never begins is forgotten.
#[derive(Debug)]
pub struct Copied {
    pub(super) rows: u64,
}

impl Copied {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// A run that this process has worked on.
pub struct Closed {
    /// Where it stands, as far as that is known.
    pub run: RunRecord,
    /// Why the log could not be ended, where it could not: what came last may not be durable.
    pub fault: Option<JournalError>,
    fold: RunFold,
    log: Box<dyn LogFile>,
    parts: JournalParts,
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

    /// Puts the log back where it was, if somebody has deleted it meanwhile: it is still open here, and nowhere else. Returns
    /// whether it was so.
    ///
    /// # Errors
    /// [`JournalError::File`] when it cannot be written there.
    pub fn put_back(&self) -> Result<bool, JournalError> {
        if !self.log.is_deleted() {
            return Ok(false);
        }
        self.parts.storage.put_back(self.run.id(), &*self.log)?;
        Ok(true)
    }

    /// Reads the run's rows: from the checkpoint, or, when that has failed, from the log alone.
    ///
    /// # Errors
    /// [`JournalError`] when the log cannot be read, or there is no room for a checkpoint anywhere.
    pub fn reader(self) -> Result<RunReader, JournalError> {
        let Some(why) = self.checkpoint else {
            return Ok(RunReader::new(self.fold, self.log, Some(self.parts.store)));
        };
        tracing::info!("the report is made from the log alone: {why}");
        RunReader::from_log_alone(self.log, self.run.id())
    }
}

pub(super) fn record(entry: &Entry, mark: Mark) -> Result<Record, JournalError> {
    let json = entry.encode()?;
    Ok(Record { json, mark })
}

pub(super) fn moved(transition: Transition, after: &Arc<RowRecord>) -> Result<Record, JournalError> {
    let moved = Moved { row: transition.row, at: transition.at(), record: Arc::clone(after), was: None };
    record(&Entry::Moved(transition), Mark::Moved(Box::new(moved)))
}
