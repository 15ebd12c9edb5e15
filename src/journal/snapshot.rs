//! Reading a journal as it is at this moment, whoever works on it: what `status`, `runs`, `report` and `journal verify` do.
//!
//! Takes no lock and writes nothing to the journal, so it holds nobody up, and works on a read-only disk. The checkpoint is
//! copied to the system's folder for temporary files and brought up to the logs there. What matters is in the logs: a copy that
//! is not whole, because it was written to meanwhile or is damaged, is not used, and built again from them.

use super::checkpoint::{SledStore, Why, copy};
use super::disk::{Disk, FileDisk};
use super::error::LogError;
use super::error_run::JournalError;
use super::ledger;
use super::log::inspect;
use super::open::{find, replay, takers};
use super::run::{RunId, RunRecord, RunState};
use super::scan::Scan;
use super::scratch::temporary_folder;
use super::store::Store;
use super::view::RunReader;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A journal as it was at one moment.
pub struct Snapshot {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: Arc<dyn Store>,
    unused: Option<Why>,
    /// Goes after the store that lies in it.
    _folder: Option<TempDir>,
}

impl Snapshot {
    /// Reads the journal in a folder.
    ///
    /// # Errors
    /// [`JournalError`]: not allowed, damaged, written by another version, or no room for temporary files.
    pub fn take(dir: &Path) -> Result<Snapshot, JournalError> {
        let snapshot = Snapshot::as_it_is(dir)?;
        match snapshot.catch_up() {
            Err(error) if may_be_of_the_moment(&error) => {
                let snapshot = Snapshot::of_logs(dir)?;
                snapshot.catch_up().map(|()| snapshot)
            }
            caught_up => caught_up.map(|()| snapshot),
        }
        .map_err(|error| error.or_not_allowed(dir))
    }

    /// The same without reading the logs: a journal that is to be verified may be damaged.
    ///
    /// # Errors
    /// [`JournalError`]: not allowed, or no room for temporary files.
    pub fn as_it_is(dir: &Path) -> Result<Snapshot, JournalError> {
        let folder = temporary_folder()?;
        match copy(dir, folder.path()) {
            Ok(()) => Snapshot::opened(dir, folder),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let path = dir.to_owned();
                let error = JournalError::File {
                    what: "checkpoint",
                    path,
                    source: error,
                };
                Err(error.or_not_allowed(dir))
            }
            Err(error) => {
                tracing::info!(
                    "the checkpoint cannot be copied, the logs are read instead: {error}"
                );
                Snapshot::of_logs(dir)
            }
        }
    }

    fn of_logs(dir: &Path) -> Result<Snapshot, JournalError> {
        Snapshot::opened(dir, temporary_folder()?)
    }

    fn opened(dir: &Path, folder: TempDir) -> Result<Snapshot, JournalError> {
        let opened = SledStore::open(folder.path())?;
        Ok(Snapshot {
            dir: dir.to_owned(),
            disk: Arc::new(FileDisk::of(dir)),
            store: Arc::new(opened.store),
            unused: opened.set_aside.map(|set_aside| set_aside.why),
            _folder: Some(folder),
        })
    }

    /// A journal on a disk and with a store of the caller's own.
    #[cfg(test)]
    pub(super) fn of(dir: &Path, disk: Arc<dyn Disk>, store: Arc<dyn Store>) -> Snapshot {
        Snapshot {
            dir: dir.to_owned(),
            disk,
            store,
            unused: None,
            _folder: None,
        }
    }

    /// Why the journal's checkpoint was not used, if it was not.
    #[must_use]
    pub fn unused(&self) -> Option<&Why> {
        self.unused.as_ref()
    }

    /// All runs, oldest first; one whose rows are still being copied has not begun.
    ///
    /// # Errors
    /// [`JournalError`] when they cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, JournalError> {
        let mut runs = ledger::read_runs(&*self.store)?;
        runs.retain(has_begun);
        Ok(runs)
    }

    /// The run whose name begins so; without one the newest in which somebody cannot work, else the newest.
    ///
    /// # Errors
    /// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
    pub fn find(&self, prefix: Option<&str>) -> Result<RunRecord, JournalError> {
        let exposed = |run: &RunRecord| self.reader(run)?.has_exposed();
        find(self.runs()?, &self.dir, prefix, &exposed)
    }

    /// The run that has taken over the people who are half way in this one, if one has.
    ///
    /// # Errors
    /// [`JournalError`] when the runs cannot be read.
    pub fn taken_over_by(&self, id: RunId) -> Result<Option<RunId>, JournalError> {
        Ok(takers(&self.runs()?).get(&id).copied())
    }

    /// Reads a run's rows.
    ///
    /// # Errors
    /// [`JournalError::File`] when its log cannot be opened.
    pub fn reader(&self, run: &RunRecord) -> Result<RunReader, JournalError> {
        RunReader::open(&*self.disk, run.id(), Arc::clone(&self.store))
    }

    fn catch_up(&self) -> Result<(), JournalError> {
        let known = ledger::read_runs(&*self.store)?;
        let logs = self.disk.logs()?;
        let is_gone = |run: &&RunRecord| has_begun(run) && !logs.contains(&run.id());
        if let Some(run) = known.iter().find(is_gone) {
            return Err(JournalError::LogGone {
                run: run.id(),
                dir: self.dir.clone(),
            });
        }
        for id in logs {
            let record = known.iter().find(|run| run.id() == id);
            match self.catch_up_run(id, record) {
                // One that never began is removed when the journal is opened to work on it.
                Err(JournalError::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound
                        && !record.is_some_and(has_begun) => {}
                caught_up => caught_up?,
            }
        }
        Ok(())
    }

    pub(super) fn catch_up_run(
        &self,
        id: RunId,
        known: Option<&RunRecord>,
    ) -> Result<(), JournalError> {
        let log = self.disk.open_to_read(id)?;
        let bytes = log.len().map_err(|source| self.disk.failed(id, source))?;
        if let Some(run) = known.filter(|run| run.head.offset == bytes) {
            // Nothing is to be read, but the checkpoint must be this log's.
            Scan::new(&*log, run.head)?;
            return Ok(());
        }
        replay(&self.store, id, known, |from, visit| {
            inspect(&*log, from, visit)
        })?;
        Ok(())
    }
}

/// Whether an error may come of looking while somebody writes: a copy in pieces, or the torn end of a log that was cut off
/// and written on between two looks.
fn may_be_of_the_moment(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Store(_)
            | JournalError::Checkpoint(_)
            | JournalError::Impossible { .. }
            | JournalError::Log(LogError::Damaged { .. })
    )
}

fn has_begun(run: &RunRecord) -> bool {
    match run.state {
        RunState::Importing => false,
        RunState::Open | RunState::Stopped(_) | RunState::Finished => true,
    }
}
