//! Reading a journal as it is at this moment, whoever works on it: what `status`, `runs` and `report` do.
//!
//! Takes no lock and writes nothing to the journal, so it holds nobody up, and works on a read-only disk. Where a run stands is
//! read from its summary and the log's tail, in the same time however many rows it has. Only whoever wants every row needs the
//! checkpoint: it is copied to the system's folder for temporary files and brought up to the log there. A copy that is not
//! whole, because it was written to meanwhile or is damaged, is not used, and built again from the log.

use super::error::JournalError;
use super::error::LogError;
use super::fold::RunFold;
use super::open::{find, takers};
use super::reader::{RunReader, temporary_folder};
use super::run::{RunId, RunRecord};
use super::sled_store::{SledStore, Why, copy};
use super::storage::{FolderStorage, Storage};
use super::summary::{self, fold_of};
use std::io;
use std::path::{Path, PathBuf};

/// A journal as it was at one moment.
pub struct Snapshot {
    dir: PathBuf,
    storage: FolderStorage,
    /// Of every run that has begun, oldest first.
    folds: Vec<RunFold>,
}

impl Snapshot {
    /// Reads the journal in a folder.
    ///
    /// # Errors
    /// [`JournalError`]: not allowed, damaged, or written by another version.
    pub fn take(dir: &Path) -> Result<Snapshot, JournalError> {
        let mut snapshot = Snapshot { dir: dir.to_owned(), storage: FolderStorage::of(dir), folds: Vec::new() };
        snapshot.look().map_err(|error| error.or_not_allowed(dir))?;
        Ok(snapshot)
    }

    fn look(&mut self) -> Result<(), JournalError> {
        let logs = self.storage.logs()?;
        let has_begun = |run: &RunId| summary::read(&self.storage, *run).is_some_and(|fold| fold.run.has_begun());
        if let Some(run) = self.storage.summaries().into_iter().find(|run| !logs.contains(run) && has_begun(run)) {
            return Err(JournalError::LogGone { run, dir: self.dir.clone() });
        }
        for id in logs {
            match fold_of(&self.storage, id) {
                Ok(fold) => self.folds.extend(fold.filter(|fold| fold.run.has_begun())),
                // One that never began is removed when the journal is opened to work on it.
                Err(JournalError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All runs, oldest first; one whose rows are still being copied has not begun.
    #[must_use]
    pub fn runs(&self) -> Vec<RunRecord> {
        self.folds.iter().map(|fold| fold.run.clone()).collect()
    }

    /// The run whose name begins so; without one the newest in which somebody cannot work, else the newest.
    ///
    /// # Errors
    /// [`JournalError::NoRun`], [`JournalError::UnknownRun`], [`JournalError::AmbiguousRun`].
    pub fn find(&self, prefix: Option<&str>) -> Result<RunRecord, JournalError> {
        find(self.runs(), &self.dir, prefix)
    }

    /// The run that has taken over the people who are half way in this one, if one has.
    #[must_use]
    pub fn taken_over_by(&self, id: RunId) -> Option<RunId> {
        takers(&self.runs()).get(&id).copied()
    }

    /// Reads where a run stands and who is under way in it; of no other row.
    ///
    /// # Errors
    /// [`JournalError::File`] when its log cannot be opened.
    pub fn reader(&self, run: &RunRecord) -> Result<RunReader, JournalError> {
        let is_it = |fold: &&RunFold| fold.run.id() == run.id();
        let fold = self.folds.iter().find(is_it).ok_or(JournalError::NoBeginning)?;
        let log = self.storage.open_to_read(run.id())?;
        Ok(RunReader::new(fold.clone(), log, None))
    }

    /// Reads every row of a run. Also returns why the journal's checkpoint was not used, if it was not.
    ///
    /// # Errors
    /// [`JournalError`]: not allowed, damaged, or no room for temporary files.
    pub fn rows(&self, run: &RunRecord) -> Result<(RunReader, Option<Why>), JournalError> {
        let id = run.id();
        match self.copied(id) {
            Err(error) if may_be_of_the_moment(&error) => {
                tracing::info!("the checkpoint is not used, the log is read instead: {error}");
                let log = self.storage.open_to_read(id)?;
                Ok((RunReader::from_log_alone(log, id)?, None))
            }
            reader => reader,
        }
    }

    fn copied(&self, id: RunId) -> Result<(RunReader, Option<Why>), JournalError> {
        let folder = temporary_folder()?;
        copy(&self.dir, folder.path()).map_err(|error| JournalError::Checkpoint(error.to_string()))?;
        let (store, set_aside) = SledStore::open(folder.path())?;
        let reader = RunReader::in_folder(folder, store, self.storage.open_to_read(id)?, id)?;
        Ok((reader, set_aside.map(|set_aside| set_aside.why)))
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
