//! Keeping the checkpoint in step with the log while a run is worked on.
//!
//! The log's writer tells of every group that became durable; a task takes them in and writes the checkpoint now and then, so
//! that no row waits for it and it never says what the log does not.

use super::blocking::{Blocking, result_of};
use super::cache::Cache;
use super::error::JournalError;
use super::fold::RunFold;
use super::reserve::Shortage;
use super::storage::Storage;
use super::summary;
use super::writer::Durable;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Groups that may wait for the checkpoint before the log waits for it, too.
const GROUPS_WAITING_MAX: usize = 256;

/// How often the checkpoint is written while rows move: a row that moves several times in between is written once.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How often it is flushed, and what readers want to know at once is written: what these lack after a kill or a power cut is
/// read from the log again.
const KEEP_EVERY: Duration = Duration::from_secs(1);

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
        fold: RunFold,
        storage: Arc<dyn Storage>,
        blocking: Arc<dyn Blocking>,
        shortage: Shortage,
    ) -> (CheckpointWriter, mpsc::Sender<Durable>) {
        let (sender, groups) = mpsc::channel(GROUPS_WAITING_MAX);
        let (syncs, asked) = mpsc::unbounded_channel();
        let fold = Arc::new(Mutex::new(fold));
        let now = Instant::now();
        let shared = Arc::clone(&fold);
        let keeper =
            Keeper { cache, fold: shared, storage, shortage, failed: None, dirty: false, written: now, kept: now };
        let task = tokio::spawn(run(keeper, blocking, groups, asked));
        (CheckpointWriter { fold, syncs, task }, sender)
    }

    /// The run as far as its records were taken in, a moment behind the log.
    pub(super) fn fold(&self) -> MutexGuard<'_, RunFold> {
        locked(&self.fold)
    }

    /// Brings the checkpoint up to every group that was told.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] when it failed.
    pub(super) async fn sync(&self) -> Result<(), JournalError> {
        let stopped = || JournalError::Checkpoint("its task has stopped".into());
        let (answer, answered) = oneshot::channel();
        self.syncs.send(answer).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?.map_err(JournalError::Checkpoint)
    }

    #[cfg(test)]
    pub(super) async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
        // A write that was under way goes on until it ends.
        while Arc::strong_count(&self.fold) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends; the log's writer must be gone. Returns the run, and why the checkpoint cannot be used, if it cannot.
    pub(super) async fn close(self) -> (RunFold, Option<String>) {
        drop(self.syncs);
        let failed = self.task.await.unwrap_or_else(|_| Some(PANICKED.into()));
        let fold = locked(&self.fold).clone();
        (fold, failed)
    }
}

/// A lock that a panic elsewhere does not close: what it guards is whole between two calls.
fn locked(fold: &Mutex<RunFold>) -> MutexGuard<'_, RunFold> {
    fold.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(
    mut keeper: Keeper,
    blocking: Arc<dyn Blocking>,
    mut groups: mpsc::Receiver<Durable>,
    mut syncs: mpsc::UnboundedReceiver<Synced>,
) -> Option<String> {
    loop {
        let mut sync = None;
        tokio::select! {
            biased;
            group = groups.recv() => match group {
                Some(group) => keeper.take(group),
                None => break,
            },
            Some(answer) = syncs.recv() => sync = Some(answer),
            () = sleep_until(keeper.written + WRITE_EVERY), if keeper.dirty && !keeper.must_hold_back() => {}
        }
        if sync.is_none() && !keeper.is_due() {
            continue;
        }
        let is_sync = sync.is_some();
        let write = move || {
            keeper.write_now(is_sync);
            keeper
        };
        match result_of(&*blocking, write).await {
            Some(written) => keeper = written,
            None => return Some(PANICKED.into()),
        }
        if let Some(answer) = sync {
            // Whoever asked may have gone.
            let _gone = answer.send(keeper.failed.clone().map_or(Ok(()), Err));
        }
    }
    let end = move || {
        // The log has had all that it needs; what room is left may be used now.
        keeper.write();
        keeper.keep();
        keeper.failed
    };
    result_of(&*blocking, end).await.unwrap_or_else(|| Some(PANICKED.into()))
}

/// What brings the checkpoint up to the log.
struct Keeper {
    cache: Cache,
    fold: Arc<Mutex<RunFold>>,
    storage: Arc<dyn Storage>,
    shortage: Shortage,
    failed: Option<String>,
    /// Something was taken in and not yet written.
    dirty: bool,
    written: Instant,
    kept: Instant,
}

impl Keeper {
    fn take(&mut self, group: Durable) {
        self.dirty = true;
        let mut fold = locked(&self.fold);
        for (offset, mark) in group.marks {
            if self.failed.is_none() {
                self.cache.note(offset, &mark);
            }
            fold.take(offset, mark);
        }
        fold.run.head = group.head;
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
        if is_sync || self.kept.elapsed() >= KEEP_EVERY {
            self.keep();
        }
    }

    fn write(&mut self) {
        self.dirty = false;
        self.written = Instant::now();
        if self.failed.is_none() {
            let batches = self.cache.batches(&mut locked(&self.fold));
            let written = batches.and_then(|batches| self.cache.apply(batches));
            self.must_work(written);
        }
    }

    fn keep(&mut self) {
        self.kept = Instant::now();
        if self.failed.is_none() {
            let flushed = self.cache.flush();
            self.must_work(flushed);
        }
        summary::write(&*self.storage, &locked(&self.fold).clone());
    }

    /// The run goes on without the checkpoint: the log has everything. But a disk that is full for the checkpoint will soon
    /// be for the log.
    fn must_work(&mut self, done: Result<(), JournalError>) {
        let Err(error) = done else {
            return;
        };
        if let JournalError::Store(store) = &error
            && let Some(full) = store.want_of_room()
        {
            self.shortage.note(full);
        }
        tracing::info!("the checkpoint is out of date and will be rebuilt from the log: {error}");
        self.failed = Some(error.to_string());
        self.cache.let_go();
    }
}
