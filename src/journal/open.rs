//! Opening a journal: the lock, the checkpoint, and the log's tails that the checkpoint does not stand for yet.

use super::blocking::{Blocking, OwnThread, Threads};
use super::cache::{self, Cache};
use super::error::JournalError;
use super::fold::RunFold;
use super::import::Import;
use super::lock::{ENDING_MS_MAX, Holder, JournalLock, named_holder};
use super::log::{Log, inspect_durable};
use super::log_file::make_private;
use super::reader::RunReader;
use super::run::{RunHeader, RunId, RunRecord, RunState};
use super::scan::{Group, Head, Scan};
use super::session::{JournalParts, Session};
use super::sled_store::{SetAside, SledStore};
use super::storage::{FolderStorage, Storage};
use super::store::{Store, StoreError};
use super::summary;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// An open journal. Nobody else can open it while this lives.
pub struct Journal {
    parts: JournalParts,
    set_aside: Option<SetAside>,
    /// None for a journal that nobody else could open. Given back last, when all else is closed.
    lock: Option<JournalLock>,
}

impl Journal {
    /// Opens the journal in a folder, which is made if it is not there, and brings the checkpoint up to the log. Waits a few
    /// seconds for a process that is just ending.
    ///
    /// # Errors
    /// [`JournalError`]: in use, not readable, damaged, or written by another version. Nothing was changed then but the
    /// checkpoint.
    pub fn open(dir: &Path, holder: &Holder) -> Result<Journal, JournalError> {
        Journal::exists(dir)?;
        let disk = FolderStorage::of(dir);
        make_private(disk.folder()).map_err(|source| JournalError::File {
            what: "folder",
            path: dir.to_owned(),
            source,
        })?;
        let lock = JournalLock::acquire(dir, ENDING_MS_MAX)?;
        // The lock may be a new file in the place of one that a live process still holds.
        disk.must_be_free()?;
        // The lock is what counts; on a full disk others learn only that somebody has it.
        if let Err(error) = lock.name(holder) {
            tracing::warn!("other processes are not told who has the journal: {error}");
        }
        let (store, set_aside) = SledStore::open(dir).map_err(|error| no_room_or(error, dir))?;
        let journal = Journal {
            parts: JournalParts {
                dir: dir.to_owned(),
                storage: Arc::new(disk),
                store: Arc::new(store),
                log_blocking: log_thread(),
                blocking: Arc::new(Threads),
            },
            set_aside,
            lock: Some(lock),
        };
        journal.catch_up()?;
        Ok(journal)
    }

    /// Opens a journal on a disk and with a store of the caller's own, which nobody else has: for simulations. `dir` is
    /// its name in messages.
    ///
    /// # Errors
    /// As [`Journal::open`], apart from the lock.
    pub fn assemble(
        dir: &Path,
        storage: Arc<dyn Storage>,
        store: Arc<dyn Store>,
        blocking: Arc<dyn Blocking>,
    ) -> Result<Journal, JournalError> {
        let journal = Journal {
            parts: JournalParts { dir: dir.to_owned(), storage, store, log_blocking: Arc::clone(&blocking), blocking },
            set_aside: None,
            lock: None,
        };
        journal.catch_up()?;
        Ok(journal)
    }

    /// Whether there is a journal in a folder at all.
    ///
    /// # Errors
    /// [`JournalError::NotAllowed`] when this user may not look, [`JournalError::File`].
    pub fn exists(dir: &Path) -> Result<bool, JournalError> {
        let disk = FolderStorage::of(dir);
        let folder = disk.folder();
        match std::fs::read_dir(folder) {
            Ok(_) => Ok(true),
            Err(error) if is_nothing(&error) => Ok(false),
            Err(source) => {
                Err(JournalError::File { what: "folder", path: folder.to_owned(), source }.or_not_allowed(dir))
            }
        }
    }

    /// Who says to work on the journal in a folder, if there is one. They may have been killed since.
    ///
    /// # Errors
    /// As [`Journal::exists`].
    pub fn holder(dir: &Path) -> Result<Option<Holder>, JournalError> {
        if !Journal::exists(dir)? {
            return Ok(None);
        }
        named_holder(dir).map_err(|error| error.or_not_allowed(dir))
    }

    /// A word for the operator when the checkpoint had to be built again.
    #[must_use]
    pub fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.parts.dir
    }

    /// The mode of its folder, if others may look into it or change it. A folder that was there before may be shared on
    /// purpose, so its rights are not touched.
    #[cfg(unix)]
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&self.parts.dir).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then_some(mode)
    }

    /// On Windows a folder has the rights of the one above it.
    #[cfg(not(unix))]
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        None
    }

    /// Tells other processes what this one does, unless they can read just that.
    ///
    /// # Errors
    /// [`JournalError::Lock`] when that cannot be written.
    pub fn announce(&self, holder: &Holder) -> Result<(), JournalError> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.name(holder))
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, JournalError> {
        cache::read_runs(&*self.parts.store)
    }

    /// The run that has taken over the people who are half way in this one, if one has.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn taken_over_by(&self, id: RunId) -> Result<Option<RunId>, JournalError> {
        Ok(takers(&self.runs()?).get(&id).copied())
    }

    /// The run whose name begins so; without one the newest in which somebody cannot work, else the newest.
    ///
    /// # Errors
    /// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
    pub fn find(&self, prefix: Option<&str>) -> Result<RunRecord, JournalError> {
        find(self.runs()?, &self.parts.dir, prefix)
    }

    /// Begins a run; its rows are to be copied next.
    ///
    /// # Errors
    /// [`JournalError`] when its log or the reserve cannot be made.
    pub fn begin(&self, header: RunHeader) -> Result<Import, JournalError> {
        Import::begin(&self.parts, header)
    }

    /// Forgets a run that has not begun, as if it had never been there.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be removed now; then that is done when the journal is opened next.
    pub async fn withdraw(&self, session: Session) -> Result<(), JournalError> {
        let id = session.header().id;
        session.abandon().await;
        self.discard(id)
    }

    /// Opens a run to go on with it. Needs a runtime.
    ///
    /// # Errors
    /// [`JournalError`] when its log cannot be opened or the reserve not be made, or another run has taken its people over.
    pub fn resume(&self, run: &RunRecord) -> Result<Session, JournalError> {
        let id = run.id();
        if let Some(by) = self.taken_over_by(id)? {
            return Err(JournalError::TakenOver { run: id, by });
        }
        let storage = &self.parts.storage;
        let reserve = storage.reserve()?;
        let fold = self.fold(run)?;
        let file = storage.open(id)?;
        let (log, _) = Log::open(file, run.head, |_| Ok::<(), JournalError>(()))?;
        let cache = Cache::new(Arc::clone(&self.parts.store));
        Session::start(&self.parts, cache, fold, log.with_reserve(reserve))
    }

    /// Reads a run's rows.
    ///
    /// # Errors
    /// [`JournalError`] when its log cannot be opened or the checkpoint not be read.
    pub fn reader(&self, run: &RunRecord) -> Result<RunReader, JournalError> {
        let log = self.parts.storage.open_to_read(run.id())?;
        let store = Some(Arc::clone(&self.parts.store));
        Ok(RunReader::new(self.fold(run)?, log, store))
    }

    fn fold(&self, run: &RunRecord) -> Result<RunFold, JournalError> {
        cache::read_fold(&*self.parts.store, run.clone())
    }

    /// Brings the checkpoint up to every log.
    fn catch_up(&self) -> Result<(), JournalError> {
        let known = self.runs()?;
        let logs = self.parts.storage.logs()?;
        for run in known.iter().filter(|run| !logs.contains(&run.id())) {
            self.forget_without_log(run)?;
        }
        for id in logs {
            let record = known.iter().find(|run| run.id() == id);
            self.catch_up_run(id, record)?;
        }
        Ok(())
    }

    /// A cut may undo the forgetting of a run that never began, and keep the removal of its log. Any other run must have
    /// one.
    fn forget_without_log(&self, run: &RunRecord) -> Result<(), JournalError> {
        match run.state {
            RunState::Importing => cache::forget(&*self.parts.store, run.id()),
            RunState::Open | RunState::Stopped(_) | RunState::Finished => {
                Err(JournalError::LogGone { run: run.id(), dir: self.parts.dir.clone() })
            }
        }
    }

    fn catch_up_run(&self, id: RunId, known: Option<&RunRecord>) -> Result<(), JournalError> {
        let storage = &self.parts.storage;
        let mut file = storage.open(id)?;
        let bytes = file.len().map_err(|source| storage.failed(id, source))?;
        let state = match known {
            Some(run) if run.head.offset == bytes => {
                // Nothing is to be read, but the checkpoint must be this log's.
                Scan::new(&*file, run.head)?;
                Some(run.state.clone())
            }
            Some(_) | None => {
                let walk = |from, visit: &mut Visit<'_>| inspect_durable(&mut *file, from, visit);
                let fold = replay(&self.parts.store, id, known.cloned(), walk)?;
                fold.map(|fold| {
                    summary::write(&**storage, &fold);
                    fold.run.state
                })
            }
        };
        match state {
            // Nothing was sent for a run whose rows were not all copied: it never began.
            None | Some(RunState::Importing) => self.discard(id),
            Some(RunState::Open | RunState::Stopped(_) | RunState::Finished) => Ok(()),
        }
    }

    fn discard(&self, id: RunId) -> Result<(), JournalError> {
        cache::forget(&*self.parts.store, id)?;
        self.parts.storage.remove(id)
    }
}

/// Which run has taken over the people of which: once its rows are all copied, and for good.
#[must_use]
pub fn takers(runs: &[RunRecord]) -> BTreeMap<RunId, RunId> {
    let whole = runs.iter().filter(|run| run.state != RunState::Importing);
    let takers = whole.filter_map(|run| Some((run.header.adopts?, run.id())));
    takers.collect()
}

/// What is done with every group of a log.
pub(super) type Visit<'v> = dyn FnMut(&Group<'_>) -> Result<(), JournalError> + 'v;

/// Brings a checkpoint up to the log of one run, which `walk` shows group by group; `None` if the log says nothing.
///
/// # Errors
/// [`JournalError`] when the log cannot be believed, or the checkpoint takes nothing.
pub(super) fn replay(
    store: &Arc<dyn Store>,
    id: RunId,
    known: Option<RunRecord>,
    walk: impl FnOnce(Head, &mut Visit<'_>) -> Result<(Head, u64), JournalError>,
) -> Result<Option<RunFold>, JournalError> {
    let from = known.as_ref().map_or_else(|| Head::genesis(id), |run| run.head);
    let mut fold = known.map(|run| cache::read_fold(&**store, run)).transpose()?;
    let mut cache = Cache::new(Arc::clone(store));
    walk(from, &mut |group| {
        RunFold::take_group(&mut fold, group, |offset, mark| cache.note(offset, mark))?;
        match &mut fold {
            Some(fold) if cache.is_full() => cache.write(fold),
            Some(_) | None => Ok(()),
        }
    })?;
    fold.as_mut().map_or(Ok(()), |fold| cache.write(fold))?;
    Ok(fold)
}

/// The newest run in which somebody cannot work and that may still go on, else the newest.
fn most_urgent(runs: Vec<RunRecord>, dir: &Path) -> Result<RunRecord, JournalError> {
    let takers = takers(&runs);
    let is_urgent = |run: &&RunRecord| run.exposed > 0 && !takers.contains_key(&run.id());
    let urgent = runs.iter().rev().find(is_urgent).cloned();
    let dir = dir.to_owned();
    urgent.or_else(|| runs.into_iter().next_back()).ok_or(JournalError::NoRun { dir })
}

/// The run whose name begins so, of runs from the oldest on; without a name the most urgent.
///
/// # Errors
/// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
pub(super) fn find(runs: Vec<RunRecord>, dir: &Path, prefix: Option<&str>) -> Result<RunRecord, JournalError> {
    let Some(prefix) = prefix else {
        return most_urgent(runs, dir);
    };
    let named = chosen(dir, runs.iter().map(RunRecord::id).collect(), Some(prefix))?;
    let found = runs.into_iter().find(|run| named.contains(&run.id()));
    found.ok_or_else(|| JournalError::UnknownRun { prefix: prefix.to_owned() })
}

/// The run whose name begins so; all, if nothing was named.
///
/// # Errors
/// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
pub(super) fn chosen(dir: &Path, mut runs: Vec<RunId>, prefix: Option<&str>) -> Result<Vec<RunId>, JournalError> {
    if runs.is_empty() {
        return Err(JournalError::NoRun { dir: dir.to_owned() });
    }
    let Some(prefix) = prefix.map(str::to_owned) else {
        return Ok(runs);
    };
    runs.retain(|run| run.to_string().starts_with(&prefix.to_lowercase()));
    match runs.len() {
        0 => Err(JournalError::UnknownRun { prefix }),
        1 => Ok(runs),
        _ => Err(JournalError::AmbiguousRun { prefix, runs: runs.iter().map(RunId::to_string).collect() }),
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The runtime's threads serve where the system has none to give now.
fn log_thread() -> Arc<dyn Blocking> {
    match OwnThread::start("journal-log") {
        Ok(thread) => Arc::new(thread),
        Err(_) => Arc::new(Threads),
    }
}

/// A disk that is full is told as that.
fn no_room_or(error: StoreError, dir: &Path) -> JournalError {
    match error.want_of_room() {
        Some(full) => JournalError::NoRoom { dir: dir.to_owned(), source: full.kind().into() },
        None => error.into(),
    }
}
