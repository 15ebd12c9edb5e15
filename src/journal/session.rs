//! One process working on one run: copying its rows in, committing transitions, and keeping the checkpoint in step.
//!
//! The log's writer answers as soon as a group is durable; a second thread then brings the checkpoint up to it. So a row
//! never waits for the checkpoint, and the checkpoint never says what the log does not.

use super::checkpoint::Store;
use super::committer::{CommitError, Committer, Durable, Record};
use super::entry::Entry;
use super::error_run::JournalError;
use super::ledger::{Ledger, Mark, Moved};
use super::log::Log;
use super::medium::FileMedium;
use super::open::{FIRST_ROW, file_error, genesis};
use super::row::{Facts, RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader, RunRecord, Stop};
use super::scan::Head;
use super::view::RunReader;
use crate::machine::{Event, Problem};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Groups that may wait for the checkpoint before the log waits for it, too.
const GROUPS_WAITING_MAX: usize = 256;

/// How often the checkpoint is flushed: what it lacks after a power cut is read from the log again.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// How often the checkpoint is written while rows move: a row that moves several times in between is written once.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Input rows in one record: few enough to be read for one row, enough that a million need few keys.
const ROWS_PER_RECORD: usize = 256;

enum ToCheckpoint {
    Group(Durable<Mark>),
    /// Write all that was taken in, then answer.
    Sync(SyncSender<Result<(), String>>),
}

/// The checkpoint's thread, seen from the session.
struct Checkpointer {
    sender: SyncSender<ToCheckpoint>,
    thread: JoinHandle<()>,
    run: Arc<Mutex<RunRecord>>,
}

impl Checkpointer {
    fn spawn(ledger: Ledger, store: Arc<Store>) -> std::io::Result<Checkpointer> {
        let (sender, receiver) = sync_channel(GROUPS_WAITING_MAX);
        let run = Arc::new(Mutex::new(ledger.run().clone()));
        let keeper = Keeper {
            head: ledger.run().head,
            ledger,
            store,
            published: Arc::clone(&run),
            failed: None,
            dirty: false,
            written: Instant::now(),
            flushed: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || keeper.run(&receiver))?;
        Ok(Checkpointer {
            sender,
            thread,
            run,
        })
    }

    fn sync(&self) -> Result<(), JournalError> {
        let (answer, answered) = sync_channel(1);
        let gone = || JournalError::Checkpoint("its thread has stopped".into());
        self.sender
            .send(ToCheckpoint::Sync(answer))
            .map_err(|_| gone())?;
        let result = answered.recv().map_err(|_| gone())?;
        result.map_err(JournalError::Checkpoint)
    }
}

/// What the checkpoint's thread owns.
struct Keeper {
    ledger: Ledger,
    store: Arc<Store>,
    head: Head,
    published: Arc<Mutex<RunRecord>>,
    failed: Option<String>,
    /// Something was taken in and not yet written.
    dirty: bool,
    written: Instant,
    flushed: Instant,
}

impl Keeper {
    fn run(mut self, receiver: &Receiver<ToCheckpoint>) {
        loop {
            let patience = if self.dirty { WRITE_EVERY } else { FLUSH_EVERY };
            match receiver.recv_timeout(patience) {
                Ok(ToCheckpoint::Group(group)) => self.take(group),
                Ok(ToCheckpoint::Sync(answer)) => {
                    self.write();
                    self.flush();
                    let result = self.failed.clone().map_or(Ok(()), Err);
                    // Who asked may have gone; there is nobody else to tell.
                    let _gone = answer.send(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.ledger.is_full() || (self.dirty && self.written.elapsed() >= WRITE_EVERY) {
                self.write();
            }
            if self.flushed.elapsed() >= FLUSH_EVERY {
                self.flush();
            }
        }
        self.write();
        self.flush();
    }

    fn take(&mut self, group: Durable<Mark>) {
        self.head = group.head;
        self.dirty = true;
        for (position, record) in group.records {
            self.ledger.take(position, record.tag);
        }
    }

    fn write(&mut self) {
        self.dirty = false;
        self.written = Instant::now();
        if self.failed.is_none() {
            self.failed = self.ledger.write(self.head).err().map(|e| e.to_string());
        }
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        published.clone_from(self.ledger.run());
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.store.flush().err().map(|error| error.to_string());
        }
        self.flushed = Instant::now();
    }
}

/// A run being worked on.
pub struct Session {
    path: PathBuf,
    store: Arc<Store>,
    committer: Committer<Mark>,
    checkpointer: Checkpointer,
    header: Arc<RunHeader>,
}

impl Session {
    pub(super) fn resume(
        path: &Path,
        run: RunRecord,
        store: Arc<Store>,
    ) -> Result<Session, JournalError> {
        let medium = FileMedium::open(path).map_err(|source| file_error(path, source))?;
        let (log, _) = Log::open(medium, run.head, |_| Ok::<(), JournalError>(()))?;
        Session::start(path, run, log, store)
    }

    fn start(
        path: &Path,
        run: RunRecord,
        log: Log,
        store: Arc<Store>,
    ) -> Result<Session, JournalError> {
        let header = Arc::new(run.header.clone());
        let ledger = Ledger::new(Arc::clone(&store), run);
        let checkpointer = Checkpointer::spawn(ledger, Arc::clone(&store))
            .map_err(|source| file_error(path, source))?;
        let sender = checkpointer.sender.clone();
        // The checkpoint's thread outlives the writer; a failed send cannot happen before that, and the log is whole.
        let on_durable = Box::new(move |group| drop(sender.send(ToCheckpoint::Group(group))));
        let committer =
            Committer::spawn(log, on_durable).map_err(|source| file_error(path, source))?;
        Ok(Session {
            path: path.to_owned(),
            store,
            committer,
            checkpointer,
            header,
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
        let run = self.checkpointer.run.lock();
        run.unwrap_or_else(PoisonError::into_inner).clone()
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
        RunReader::open(&self.path, self.header.id, Arc::clone(&self.store))
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
        let run = self.checkpointer.run.lock();
        let run = run.unwrap_or_else(PoisonError::into_inner).clone();
        drop(self.checkpointer.sender);
        let panicked = |_| JournalError::Checkpoint("its thread panicked".into());
        self.checkpointer.thread.join().map_err(panicked)?;
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
        path: &Path,
        header: RunHeader,
        store: Arc<Store>,
    ) -> Result<Import, JournalError> {
        let start = genesis(header.id);
        let medium = FileMedium::create(path).map_err(|source| file_error(path, source))?;
        let mut log = Log::create(medium, start.hash)?;
        let first = Entry::Began(Box::new(header.clone())).encode()?;
        log.append_group(&[first])?;
        let run = RunRecord::new(header, log.head());
        Ok(Import {
            session: Session::start(path, run, log, store)?,
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
