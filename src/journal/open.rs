//! Opening a journal: the lock, the checkpoint, and the log's tails that the checkpoint does not stand for yet.

use super::checkpoint::{SetAside, SledStore};
use super::disk::{Disk, FileDisk};
use super::entry::Entry;
use super::error_run::JournalError;
use super::frame::ChainHash;
use super::keeper::Writing;
use super::ledger::{self, Ledger};
use super::lock::{ENDING_MS_MAX, Holder, JournalLock, named_holder};
use super::log::{Tail, inspect_durable};
use super::medium::sync_directory_of;
use super::row::RowNumber;
use super::run::{RunHeader, RunId, RunRecord, RunState};
use super::scan::{Group, Head, Scan};
use super::session::{Import, Session};
use super::store::{Store, StoreError};
use super::view::RunReader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open journal. Nobody else can open it while this lives.
pub struct Journal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
    writing: Writing,
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
        let disk = FileDisk::of(dir);
        make_private(disk.folder()).map_err(|source| JournalError::File {
            what: "folder",
            path: dir.to_owned(),
            source,
        })?;
        let mut lock = JournalLock::acquire(dir, ENDING_MS_MAX)?;
        // The lock may be a new file in the place of one that a live process still holds.
        disk.must_be_free()?;
        // The lock is what counts; on a full disk others learn only that somebody has it.
        if let Err(error) = lock.name(holder) {
            tracing::warn!("other processes are not told who has the journal: {error}");
        }
        let opened = SledStore::open(dir).map_err(|error| no_room_or(error, dir))?;
        let journal = Journal {
            dir: dir.to_owned(),
            disk: Arc::new(disk),
            store: Arc::new(opened.store),
            writing: Writing::Threads,
            set_aside: opened.set_aside,
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
        disk: Arc<dyn Disk>,
        store: Arc<dyn Store>,
        writing: Writing,
    ) -> Result<Journal, JournalError> {
        let journal = Journal {
            dir: dir.to_owned(),
            disk,
            store,
            writing,
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
        let disk = FileDisk::of(dir);
        let folder = disk.folder();
        match std::fs::read_dir(folder) {
            Ok(_) => Ok(true),
            Err(error) if is_nothing(&error) => Ok(false),
            Err(source) => Err(JournalError::File {
                what: "folder",
                path: folder.to_owned(),
                source,
            }
            .or_not_allowed(dir)),
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
        named_holder(dir).map_err(|error| JournalError::from(error).or_not_allowed(dir))
    }

    /// A word for the operator when the checkpoint had to be built again.
    #[must_use]
    pub fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The mode of its folder, if others may look into it or change it. A folder that was there before may be shared on
    /// purpose, so its rights are not touched.
    #[cfg(unix)]
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&self.dir).ok()?.permissions().mode() & 0o7777;
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
    pub fn announce(&mut self, holder: &Holder) -> Result<(), JournalError> {
        match &mut self.lock {
            Some(lock) => Ok(lock.name(holder)?),
            None => Ok(()),
        }
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, JournalError> {
        ledger::read_runs(&*self.store)
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
        let exposed = |run: &RunRecord| self.reader(run)?.has_exposed();
        find(self.runs()?, &self.dir, prefix, &exposed)
    }

    /// Begins a run; its rows are to be copied next.
    ///
    /// # Errors
    /// [`JournalError`] when its log or the reserve cannot be made.
    pub fn begin(&self, header: RunHeader) -> Result<Import, JournalError> {
        let store = Arc::clone(&self.store);
        Import::begin(&self.dir, &self.disk, header, store, self.writing)
    }

    /// Forgets a run that has not begun, as if it had never been there.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be removed now; then that is done when the journal is opened next.
    pub fn withdraw(&self, session: Session) -> Result<(), JournalError> {
        let id = session.header().id;
        session.abandon();
        self.discard(id)
    }

    /// Opens a run to go on with it.
    ///
    /// # Errors
    /// [`JournalError`] when its log cannot be opened or the reserve not be made, or another run has taken its people over.
    pub fn resume(&self, run: &RunRecord) -> Result<Session, JournalError> {
        if let Some(by) = self.taken_over_by(run.id())? {
            let run = run.id();
            return Err(JournalError::TakenOver { run, by });
        }
        let store = Arc::clone(&self.store);
        Session::resume(&self.disk, run.clone(), store, self.writing)
    }

    /// Reads a run's rows.
    ///
    /// # Errors
    /// [`JournalError::File`] when its log cannot be opened.
    pub fn reader(&self, run: &RunRecord) -> Result<RunReader, JournalError> {
        RunReader::open(&*self.disk, run.id(), Arc::clone(&self.store))
    }

    /// Brings the checkpoint up to every log.
    fn catch_up(&self) -> Result<(), JournalError> {
        let known = self.runs()?;
        let logs = self.disk.logs()?;
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
            RunState::Importing => ledger::forget(&*self.store, run.id()),
            RunState::Open | RunState::Stopped(_) | RunState::Finished => {
                Err(JournalError::LogGone {
                    run: run.id(),
                    dir: self.dir.clone(),
                })
            }
        }
    }

    fn catch_up_run(&self, id: RunId, known: Option<&RunRecord>) -> Result<(), JournalError> {
        let mut medium = self.disk.open(id)?;
        let bytes = medium
            .len()
            .map_err(|source| self.disk.failed(id, source))?;
        let state = match known {
            Some(run) if run.head.offset == bytes => {
                // Nothing is to be read, but the checkpoint must be this log's.
                Scan::new(&*medium, run.head)?;
                Some(run.state.clone())
            }
            Some(_) | None => {
                let walk = |from, visit: &mut Visit<'_>| inspect_durable(&mut *medium, from, visit);
                replay(&self.store, id, known, walk)?.map(|run| run.state)
            }
        };
        match state {
            // Nothing was sent for a run whose rows were not all copied: it never began.
            None | Some(RunState::Importing) => self.discard(id),
            Some(RunState::Open | RunState::Stopped(_) | RunState::Finished) => Ok(()),
        }
    }

    fn discard(&self, id: RunId) -> Result<(), JournalError> {
        ledger::forget(&*self.store, id)?;
        self.disk.remove(id)
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

/// Brings a checkpoint up to the log of one run, which `walk` shows group by group; answers where the run stands, if the log
/// says anything.
///
/// # Errors
/// [`JournalError`] when the log cannot be believed, or the checkpoint takes nothing.
pub(super) fn replay(
    store: &Arc<dyn Store>,
    id: RunId,
    known: Option<&RunRecord>,
    walk: impl FnOnce(Head, &mut Visit<'_>) -> Result<(Head, Tail), JournalError>,
) -> Result<Option<RunRecord>, JournalError> {
    let mut ledger = known.map(|run| Ledger::new(Arc::clone(store), run.clone()));
    let from = known.map_or_else(|| genesis(id), |run| run.head);
    let (head, _) = walk(from, &mut |group| replay_group(store, &mut ledger, group))?;
    let Some(mut ledger) = ledger else {
        return Ok(None);
    };
    ledger.caught_up(head)?;
    Ok(Some(ledger.run().clone()))
}

fn replay_group(
    store: &Arc<dyn Store>,
    ledger: &mut Option<Ledger>,
    group: &Group<'_>,
) -> Result<(), JournalError> {
    for (position, bytes) in group.records() {
        match ledger {
            Some(ledger) => ledger.replay(position, Entry::decode(bytes)?)?,
            None => *ledger = Some(first(store, bytes, group.head())?),
        }
    }
    match ledger {
        Some(ledger) if ledger.is_full() => ledger.write_rows(),
        Some(_) | None => Ok(()),
    }
}

fn first(store: &Arc<dyn Store>, bytes: &[u8], head: Head) -> Result<Ledger, JournalError> {
    match Entry::decode(bytes)? {
        Entry::Began(header) => {
            let run = RunRecord::new(*header, head);
            Ok(Ledger::new(Arc::clone(store), run))
        }
        Entry::Rows(_)
        | Entry::Imported { .. }
        | Entry::Opened { .. }
        | Entry::Moved(_)
        | Entry::Adopted(_)
        | Entry::Closed { .. } => Err(JournalError::Checkpoint(
            "the log does not begin with the beginning of a run".into(),
        )),
    }
}

/// The newest run in which somebody cannot work and that may still go on, else the newest.
fn most_urgent(
    runs: Vec<RunRecord>,
    dir: &Path,
    exposed: &dyn Fn(&RunRecord) -> Result<bool, JournalError>,
) -> Result<RunRecord, JournalError> {
    let takers = takers(&runs);
    let going_on = runs.iter().filter(|run| !takers.contains_key(&run.id()));
    for run in going_on.rev() {
        if exposed(run)? {
            return Ok(run.clone());
        }
    }
    let none = || JournalError::NoRun {
        dir: dir.to_owned(),
    };
    runs.into_iter().next_back().ok_or_else(none)
}

/// The run whose name begins so, of runs from the oldest on; without one the newest that is `exposed`, else the newest.
///
/// # Errors
/// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
pub(super) fn find(
    mut runs: Vec<RunRecord>,
    dir: &Path,
    prefix: Option<&str>,
    exposed: &dyn Fn(&RunRecord) -> Result<bool, JournalError>,
) -> Result<RunRecord, JournalError> {
    let Some(prefix) = prefix else {
        return most_urgent(runs, dir, exposed);
    };
    let wanted = prefix.to_lowercase();
    runs.retain(|run| run.id().to_string().starts_with(&wanted));
    match runs.len() {
        0 => Err(JournalError::UnknownRun {
            prefix: prefix.to_owned(),
        }),
        1 => Ok(runs.remove(0)),
        _ => Err(JournalError::AmbiguousRun {
            prefix: prefix.to_owned(),
            runs: runs.iter().map(|run| run.id().to_string()).collect(),
        }),
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

pub(super) fn genesis(id: RunId) -> Head {
    Head::genesis(ChainHash::genesis(id.0.as_bytes()))
}

/// A disk that is full is told as that.
fn no_room_or(error: StoreError, dir: &Path) -> JournalError {
    match error.want_of_room() {
        Some(full) => JournalError::NoRoom {
            dir: dir.to_owned(),
            source: full.kind().into(),
        },
        None => error.into(),
    }
}

/// Makes a folder that only its owner can look into: the journal holds names of people. Every folder on the way that is
/// made has a durable name then: a log is worth nothing in a folder that is gone after a power cut.
pub(super) fn make_private(dir: &Path) -> std::io::Result<()> {
    let nameless = nameless_folders(dir);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    nameless
        .into_iter()
        .rev()
        .try_for_each(|made| sync_directory_of(&made))
}

/// The folder itself, whose maker may have been killed before its name was durable, and those above it that are not there
/// yet.
fn nameless_folders(dir: &Path) -> Vec<PathBuf> {
    let above = dir.ancestors().skip(1);
    let missing = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    std::iter::once(dir)
        .chain(missing)
        .map(Path::to_owned)
        .collect()
}

/// The number of the first row.
pub(super) const FIRST_ROW: RowNumber = RowNumber(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a folder is made durable by syncing the folder above it; that is done for every one of these.
    #[test]
    fn every_folder_that_is_made_gets_a_durable_name() {
        let dir = tempfile::tempdir().unwrap();
        let (above, journal) = (dir.path().join("a"), dir.path().join("a/b"));
        let logs = journal.join("runs");
        assert_eq!(nameless_folders(&logs), [logs.clone(), journal, above]);
        make_private(&logs).unwrap();
        assert_eq!(nameless_folders(&logs), [logs]);
        assert_eq!(
            nameless_folders(Path::new("not-there/runs")),
            [Path::new("not-there/runs"), Path::new("not-there")]
        );
    }
}
