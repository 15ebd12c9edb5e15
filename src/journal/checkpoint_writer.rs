//! Keeping the checkpoint in step with the log while a run is worked on.
//!
//! The log's writer tells of every group that became durable; a task takes them in and writes the checkpoint now and then, so
//! that no row waits for it and it never says what the log does not.

use super::blocking::{Blocking, result_of};
use super::cache::Cache;
use super::fold::RunFold;
use super::journal_error::JournalError;
use super::reserve::Shortage;
use super::scan::Head;
use super::storage::Storage;
use super::summary;
use super::writer::Durable;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Groups that may wait for the checkpoint before the log waits for it, too.
const GROUPS_WAITING_MAX: usize = 256;

/// How often the checkpoint is written while rows move: a row that moves several times in between is written once.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How often what readers want to know at once is written: what it lacks is read from the log.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// How often the checkpoint is flushed: what it lacks after a power cut is read from the log again.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

const PANICKED: &str = "writing it panicked";

type Synced = oneshot::Sender<Result<(), String>>;

/// The task that writes the checkpoint, seen from the session.
pub(super) struct CheckpointWriter {
    fold: Arc<Mutex<RunFold>>,
    syncs: mpsc::UnboundedSender<Synced>,
    /// Returns why the checkpoint cannot be used any more, if it cannot.
    task: JoinHandle<Option<String>>,
}

impl CheckpointWriter {
    /// Starts the task; durable groups go into the sender that comes with it.
    pub(super) fn start(
        cache: Cache,
        storage: Arc<dyn Storage>,
        blocking: Arc<dyn Blocking>,
        shortage: Shortage,
    ) -> (CheckpointWriter, mpsc::Sender<Durable>) {
        let (sender, groups) = mpsc::channel(GROUPS_WAITING_MAX);
        let (syncs, asked) = mpsc::unbounded_channel();
        let fold = cache.shared();
        let head = cache.fold().run.head;
        let now = Instant::now();
        let keeper = Keeper {
            cache,
            storage,
            shortage,
            head,
            failed: None,
            dirty: false,
            written: now,
            summarized: now,
            flushed: now,
        };
        let task = tokio::spawn(run(keeper, blocking, groups, asked));
        (CheckpointWriter { fold, syncs, task }, sender)
    }

    /// The run as far as its records were taken in, a moment behind the log.
    pub(super) fn fold(&self) -> Arc<Mutex<RunFold>> {
        Arc::clone(&self.fold)
    }

    /// Brings the checkpoint up to every group that was told.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] when it failed.
    pub(super) async fn sync(&self) -> Result<(), JournalError> {
        let stopped = || JournalError::Checkpoint("its task has stopped".into());
        let (answer, answered) = oneshot::channel();
        self.syncs.send(answer).map_err(|_| stopped())?;
        let result = answered.await.map_err(|_| stopped())?;
        result.map_err(JournalError::Checkpoint)
    }

    #[cfg(test)]
    pub(super) async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }

    /// Ends; the log's writer must be gone. Returns why the checkpoint cannot be used, if it cannot.
    pub(super) async fn close(self) -> Option<String> {
        drop(self.syncs);
        self.task.await.unwrap_or_else(|_| Some(PANICKED.into()))
    }
}

async fn run(
    mut keeper: Keeper,
    blocking: Arc<dyn Blocking>,
    mut groups: mpsc::Receiver<Durable>,
    mut syncs: mpsc::UnboundedReceiver<Synced>,
) -> Option<String> {
    let mut is_asked = true;
    loop {
        let due = keeper.written + WRITE_EVERY;
        let mut sync = None;
        let wait = async {
            tokio::select! {
                biased;
                group = groups.recv() => Ok(group),
                asked = syncs.recv(), if is_asked => Err(asked),
            }
        };
        let came = match keeper.dirty && !keeper.must_hold_back() {
            true => timeout_at(due, wait).await.ok(),
            false => Some(wait.await),
        };
        match came {
            Some(Ok(Some(group))) => keeper.take(group),
            Some(Ok(None)) => break,
            Some(Err(Some(answer))) => sync = Some(answer),
            Some(Err(None)) => is_asked = false,
            None => {}
        }
        if sync.is_none() && !keeper.is_due() {
            continue;
        }
        let is_sync = sync.is_some();
        let write = move || {
            keeper.write_now(is_sync);
            keeper
        };
        let Some(written) = result_of(&*blocking, write).await else {
            return Some(PANICKED.into());
        };
        keeper = written;
        if let Some(answer) = sync {
            // Who asked may have gone.
            let _gone = answer.send(keeper.failed.clone().map_or(Ok(()), Err));
        }
    }
    let end = move || keeper.end();
    result_of(&*blocking, end).await.unwrap_or_else(|| Some(PANICKED.into()))
}

/// What brings the checkpoint up to the log.
struct Keeper {
    cache: Cache,
    storage: Arc<dyn Storage>,
    shortage: Shortage,
    head: Head,
    failed: Option<String>,
    /// Something was taken in and not yet written.
    dirty: bool,
    written: Instant,
    summarized: Instant,
    flushed: Instant,
}

impl Keeper {
    fn take(&mut self, group: Durable) {
        self.head = group.head;
        self.dirty = true;
        for (offset, mark) in group.marks {
            self.cache.take(offset, mark);
        }
        if self.failed.is_some() {
            self.cache.let_go(self.head);
        }
    }

    /// Once room is short, what is left of it belongs to the log: rows in flight are few enough to be held until the end.
    fn must_hold_back(&self) -> bool {
        self.shortage.reason().is_some()
    }

    fn is_due(&self) -> bool {
        let is_late = self.dirty && self.written.elapsed() >= WRITE_EVERY;
        (self.cache.is_full() || is_late) && !self.must_hold_back()
    }

    fn write_now(&mut self, is_sync: bool) {
        if self.must_hold_back() {
            return;
        }
        self.write();
        if is_sync || self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush();
        }
        if self.summarized.elapsed() >= SUMMARY_EVERY {
            self.summarize();
        }
    }

    /// The log has had all that it needs; what room is left may be used now.
    fn end(&mut self) -> Option<String> {
        self.write();
        self.flush();
        self.summarize();
        self.failed.clone()
    }

    fn write(&mut self) {
        self.dirty = false;
        self.written = Instant::now();
        if self.failed.is_none()
            && let Err(error) = self.cache.write(self.head)
        {
            self.fail(&error);
        }
        if self.failed.is_some() {
            self.cache.let_go(self.head);
        }
    }

    fn flush(&mut self) {
        self.flushed = Instant::now();
        if self.failed.is_none()
            && let Err(error) = self.cache.flush()
        {
            self.fail(&error);
        }
    }

    fn summarize(&mut self) {
        self.summarized = Instant::now();
        if let Err(error) = summary::write(&*self.storage, &self.cache.fold()) {
            tracing::debug!("readers have to look into the log: {error}");
        }
    }

    /// The run goes on: the log has everything. But a disk that is full for the checkpoint will soon be for the log.
    fn fail(&mut self, error: &JournalError) {
        if let JournalError::Store(store) = error
            && let Some(full) = store.want_of_room()
        {
            self.shortage.note(full);
        }
        tracing::info!("the checkpoint is out of date and will be rebuilt from the log: {error}");
        self.failed = Some(error.to_string());
    }
}
