//! Where the logs of a journal lie: one file a run, by the run's name.
//!
//! A [`Storage`] makes, finds and removes them, and gives out the [`LogFile`] that is written or read. [`FolderStorage`] is a folder;
//! simulations bring a disk of their own, which loses what was not synced.

use super::error::JournalError;
use super::lock::in_use;
use super::log_file::{DiskLogFile, LogFile, copy_all, make_private, private};
use super::reserve::{Reserve, is_want_of_room};
use super::run::RunId;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The logs of a journal.
pub trait Storage: Send + Sync {
    /// The runs that have a log, oldest first.
    ///
    /// # Errors
    /// [`JournalError::File`] when they cannot be listed.
    fn logs(&self) -> Result<Vec<RunId>, JournalError>;

    /// Makes the log of a new run, its name durable.
    ///
    /// # Errors
    /// [`JournalError::File`], also when it is there already.
    fn create(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError>;

    /// The log of a run, to be appended to.
    ///
    /// # Errors
    /// [`JournalError::File`]; [`JournalError::Lock`] while another process appends to it.
    fn open(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError>;

    /// The log of a run, to be read only, beside whoever appends to it.
    ///
    /// # Errors
    /// [`JournalError::File`].
    fn open_to_read(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError>;

    /// Removes the log of a run.
    ///
    /// # Errors
    /// [`JournalError::File`].
    fn remove(&self, run: RunId) -> Result<(), JournalError>;

    /// What is kept back for the moment when the disk is full, where that can happen.
    ///
    /// # Errors
    /// [`JournalError::NoRoom`], [`JournalError::File`].
    fn reserve(&self) -> Result<Option<Reserve>, JournalError> {
        Ok(None)
    }

    /// Keeps what readers want to know at once of a run, over what was kept of it before. It may be lost.
    ///
    /// # Errors
    /// Those of the file system; nothing depends on it.
    fn write_summary(&self, run: RunId, summary: &[u8]) -> io::Result<()> {
        let _nowhere = (run, summary);
        Ok(())
    }

    /// What was kept last, if it is there.
    fn read_summary(&self, run: RunId) -> Option<Vec<u8>> {
        let _nowhere = run;
        None
    }

    /// Writes a log that was deleted while it was open to where it was. Nothing is written over.
    ///
    /// # Errors
    /// [`JournalError::File`].
    fn put_back(&self, run: RunId, log: &dyn LogFile) -> Result<(), JournalError> {
        let mut copy = self.create(run)?;
        copy_all(log, &mut *copy).map_err(|source| self.failed(run, source))
    }

    /// An error of the log of a run that is none of the file's own.
    fn failed(&self, run: RunId, source: io::Error) -> JournalError;
}

/// The folder of the logs, inside the journal's.
const FOLDER: &str = "runs";

/// The folder of the checkpoint, inside the journal's. What is in it can be built again from the logs.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// A folder of log files.
#[derive(Debug)]
pub struct FolderStorage {
    dir: PathBuf,
    folder: PathBuf,
}

impl FolderStorage {
    /// The logs of the journal in `dir`.
    #[must_use]
    pub fn of(dir: &Path) -> FolderStorage {
        FolderStorage { dir: dir.to_owned(), folder: dir.join(FOLDER) }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}.log"))
    }

    fn summary_path(&self, run: RunId) -> PathBuf {
        self.dir.join(CHECKPOINT).join(format!("{run}.json"))
    }

    /// The runs whose summaries are kept.
    pub(super) fn summaries(&self) -> Vec<RunId> {
        let entries = std::fs::read_dir(self.dir.join(CHECKPOINT));
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        paths.filter_map(|path| run_of(&path, "json")).collect()
    }

    fn file(&self, run: RunId, open: fn(&Path) -> io::Result<DiskLogFile>) -> Result<Box<dyn LogFile>, JournalError> {
        match open(&self.path(run)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use(&self.dir)),
            Err(source) => Err(self.failed(run, source)),
        }
    }

    /// Makes sure that no other process writes to any of the logs.
    ///
    /// # Errors
    /// [`JournalError::Lock`] when one does, [`JournalError::File`].
    pub fn must_be_free(&self) -> Result<(), JournalError> {
        let free = |run| self.open(run).map(drop);
        self.logs()?.into_iter().try_for_each(free)
    }
}

impl Storage for FolderStorage {
    fn logs(&self) -> Result<Vec<RunId>, JournalError> {
        let unreadable = |source| JournalError::File { what: "folder", path: self.folder.clone(), source };
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            logs.extend(run_of(&path, "log"));
        }
        logs.sort();
        Ok(logs)
    }

    fn create(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        make_private(&self.folder).map_err(|source| self.failed(run, source))?;
        self.file(run, DiskLogFile::create)
    }

    fn open(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.file(run, DiskLogFile::open)
    }

    fn open_to_read(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.file(run, DiskLogFile::open_to_read)
    }

    fn remove(&self, run: RunId) -> Result<(), JournalError> {
        let _may_not_be_there = std::fs::remove_file(self.summary_path(run));
        std::fs::remove_file(self.path(run)).map_err(|source| self.failed(run, source))
    }

    fn reserve(&self) -> Result<Option<Reserve>, JournalError> {
        let reserve = Reserve::make(&self.dir).map_err(|source| {
            let dir = self.dir.clone();
            match is_want_of_room(&source) {
                true => JournalError::NoRoom { dir, source },
                false => JournalError::File { what: "reserve in", path: dir, source },
            }
        });
        reserve.map(Some)
    }

    fn write_summary(&self, run: RunId, summary: &[u8]) -> io::Result<()> {
        let path = self.summary_path(run);
        let part = path.with_extension("part");
        private().truncate(true).open(&part)?.write_all(summary)?;
        std::fs::rename(part, path)
    }

    fn read_summary(&self, run: RunId) -> Option<Vec<u8>> {
        std::fs::read(self.summary_path(run)).ok()
    }

    fn failed(&self, run: RunId, source: io::Error) -> JournalError {
        JournalError::File { what: "log", path: self.path(run), source }
    }
}

/// The run that a file is named after.
fn run_of(path: &Path, extension: &str) -> Option<RunId> {
    let stem = path.file_stem()?.to_str()?;
    let is_it = path.extension().is_some_and(|is| is == extension);
    Uuid::parse_str(stem).ok().filter(|_| is_it).map(RunId)
}
