//! Keeping the checkpoint in step with the log while a run is worked on.
//!
//! The log's writer tells of every group that became durable. A [`Keeper`] takes them in and writes the checkpoint now and
//! then; how often is a [`Cadence`]. Live it has a thread of its own, so that no row waits for the checkpoint; simulations,
//! which must run the same way twice, let it write on the task that commits.

use super::committer::{Durable, OnDurable};
use super::error_run::JournalError;
use super::ledger::{Ledger, Mark};
use super::reserve::Shortage;
use super::run::RunRecord;
use super::scan::Head;
use super::store::Store;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Groups that may wait for the checkpoint before the log waits for it, too.
const GROUPS_WAITING_MAX: usize = 256;

/// How often the checkpoint is flushed: what it lacks after a power cut is read from the log again.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// How often the checkpoint is written while rows move: a row that moves several times in between is written once.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Writes of the checkpoint between two flushes, where they are counted and not timed.
const WRITES_PER_FLUSH: u32 = 8;

/// How a session writes log and checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Each on a thread of its own.
    Threads,
    /// Both on the task that commits, for simulations.
    Inline {
        /// What a barrier of the log takes, by tokio's clock.
        barrier: Duration,
        /// Groups of the log after which the checkpoint is written; at least 1.
        groups_per_write: u32,
    },
}

enum ToCheckpoint {
    Group(Durable<Mark>),
    /// Write all that was taken in, then answer.
    Sync(SyncSender<Result<(), String>>),
}

/// The keeper, seen from the session.
pub(super) struct Checkpointer {
    way: Way,
    run: Arc<Mutex<RunRecord>>,
}

enum Way {
    Thread {
        sender: SyncSender<ToCheckpoint>,
        /// Answers why the checkpoint cannot be used any more, if it cannot.
        thread: JoinHandle<Option<String>>,
    },
    Inline(Arc<Mutex<Keeper>>),
}

impl Checkpointer {
    /// Begins to keep the checkpoint of the ledger's run.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(super) fn start(
        ledger: Ledger,
        store: Arc<dyn Store>,
        writing: Writing,
        shortage: Shortage,
    ) -> std::io::Result<Checkpointer> {
        let run = Arc::new(Mutex::new(ledger.run().clone()));
        let keeper = Keeper {
            head: ledger.run().head,
            ledger,
            store,
            published: Arc::clone(&run),
            failed: None,
            shortage,
            dirty: false,
            cadence: Cadence::of(writing),
        };
        let way = match writing {
            Writing::Threads => Way::spawn(keeper)?,
            Writing::Inline { .. } => Way::Inline(Arc::new(Mutex::new(keeper))),
        };
        Ok(Checkpointer { way, run })
    }

    /// Who is to be told of every durable group.
    pub(super) fn listener(&self) -> OnDurable<Mark> {
        match &self.way {
            Way::Thread { sender, .. } => {
                let sender = sender.clone();
                // The thread outlives the log's writer; a failed send cannot happen before that, and the log is whole.
                Box::new(move |group| drop(sender.send(ToCheckpoint::Group(group))))
            }
            Way::Inline(keeper) => {
                let keeper = Arc::clone(keeper);
                Box::new(move |group| {
                    let mut keeper = locked(&keeper);
                    keeper.take(group);
                    keeper.write_if_due();
                })
            }
        }
    }

    /// The run as the checkpoint has it, a moment behind the log.
    pub(super) fn run(&self) -> RunRecord {
        locked(&self.run).clone()
    }

    /// Brings the checkpoint up to every group that was told.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] when it failed.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        match &self.way {
            Way::Thread { sender, .. } => {
                let (answer, answered) = sync_channel(1);
                let gone = || JournalError::Checkpoint("its thread has stopped".into());
                sender
                    .send(ToCheckpoint::Sync(answer))
                    .map_err(|_| gone())?;
                let result = answered.recv().map_err(|_| gone())?;
                result.map_err(JournalError::Checkpoint)
            }
            Way::Inline(keeper) => locked(keeper).sync().map_err(JournalError::Checkpoint),
        }
    }

    /// Ends; the log's writer must be gone. Answers where the run stands, and why the checkpoint cannot be used, if it
    /// cannot.
    pub(super) fn close(self) -> (RunRecord, Option<String>) {
        let unusable = match self.way {
            Way::Thread { sender, thread } => {
                drop(sender);
                let panicked = |_| Some("its thread panicked".to_owned());
                thread.join().unwrap_or_else(panicked)
            }
            Way::Inline(keeper) => locked(&keeper).end(),
        };
        (locked(&self.run).clone(), unusable)
    }
}

impl Way {
    fn spawn(keeper: Keeper) -> std::io::Result<Way> {
        let (sender, receiver) = sync_channel(GROUPS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || keeper.run(&receiver))?;
        Ok(Way::Thread { sender, thread })
    }
}

/// A lock that a panic elsewhere does not close: what it guards is whole between two calls.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the checkpoint is written and flushed.
enum Cadence {
    /// By the clock.
    Timed { written: Instant, flushed: Instant },
    /// After so many groups.
    Counted { groups: u32, groups_per_write: u32 },
}

impl Cadence {
    fn of(writing: Writing) -> Cadence {
        match writing {
            Writing::Threads => Cadence::Timed {
                written: Instant::now(),
                flushed: Instant::now(),
            },
            Writing::Inline {
                groups_per_write, ..
            } => Cadence::Counted {
                groups: 0,
                groups_per_write: groups_per_write.max(1),
            },
        }
    }

    fn took(&mut self) {
        if let Cadence::Counted { groups, .. } = self {
            *groups += 1;
        }
    }

    fn write_is_due(&self) -> bool {
        match self {
            Cadence::Timed { written, .. } => written.elapsed() >= WRITE_EVERY,
            Cadence::Counted {
                groups,
                groups_per_write,
            } => groups % groups_per_write == 0,
        }
    }

    fn flush_is_due(&self) -> bool {
        match self {
            Cadence::Timed { flushed, .. } => flushed.elapsed() >= FLUSH_EVERY,
            Cadence::Counted {
                groups,
                groups_per_write,
            } => groups % (groups_per_write * WRITES_PER_FLUSH) == 0,
        }
    }

    fn wrote(&mut self) {
        if let Cadence::Timed { written, .. } = self {
            *written = Instant::now();
        }
    }

    fn flushed(&mut self) {
        if let Cadence::Timed { flushed, .. } = self {
            *flushed = Instant::now();
        }
    }
}

/// What brings the checkpoint up to the log.
struct Keeper {
    ledger: Ledger,
    store: Arc<dyn Store>,
    head: Head,
    published: Arc<Mutex<RunRecord>>,
    failed: Option<String>,
    shortage: Shortage,
    /// Something was taken in and not yet written.
    dirty: bool,
    cadence: Cadence,
}

impl Keeper {
    fn run(mut self, receiver: &Receiver<ToCheckpoint>) -> Option<String> {
        loop {
            let patience = if self.dirty { WRITE_EVERY } else { FLUSH_EVERY };
            match receiver.recv_timeout(patience) {
                Ok(ToCheckpoint::Group(group)) => self.take(group),
                Ok(ToCheckpoint::Sync(answer)) => {
                    // Who asked may have gone; there is nobody else to tell.
                    let _gone = answer.send(self.sync());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_if_due();
        }
        self.end()
    }

    /// The log has had all that it needs; what room is left may be used now.
    fn end(&mut self) -> Option<String> {
        self.write();
        self.flush();
        self.failed.clone()
    }

    fn take(&mut self, group: Durable<Mark>) {
        self.head = group.head;
        self.dirty = true;
        for (position, record) in group.records {
            self.ledger.take(position, record.tag);
        }
        self.cadence.took();
    }

    fn sync(&mut self) -> Result<(), String> {
        if !self.must_hold_back() {
            self.write();
            self.flush();
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Once room is short, what is left of it belongs to the log: rows in flight are few enough to be held until the end.
    fn must_hold_back(&self) -> bool {
        self.shortage.reason().is_some()
    }

    fn write_if_due(&mut self) {
        if self.must_hold_back() {
            return;
        }
        if self.ledger.is_full() || (self.dirty && self.cadence.write_is_due()) {
            self.write();
        }
        if self.cadence.flush_is_due() {
            self.flush();
        }
    }

    fn write(&mut self) {
        self.dirty = false;
        self.cadence.wrote();
        if self.failed.is_none()
            && let Err(error) = self.ledger.write(self.head)
        {
            self.fail(&error);
        }
        if self.failed.is_some() {
            self.ledger.let_go(self.head);
        }
        locked(&self.published).clone_from(self.ledger.run());
    }

    fn flush(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.store.flush()
        {
            self.fail(&error.into());
        }
        self.cadence.flushed();
    }

    /// The run goes on: the log has everything. But a disk that is full for the checkpoint will soon be for the log.
    fn fail(&mut self, error: &JournalError) {
        if let JournalError::Store(store) = error
            && let Some(full) = store.want_of_room()
        {
            self.shortage.note(full);
        }
        tracing::info!("the checkpoint is left behind; it is built again from the log: {error}");
        self.failed = Some(error.to_string());
    }
}
