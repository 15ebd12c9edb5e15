//! Where the logs of a journal lie: one file a run, by the run's name.
//!
//! A [`Disk`] makes, finds and removes them, and gives out the [`Medium`] that is written or read. [`FileDisk`] is a folder;
//! simulations bring a disk of their own, which loses what was not synced.

use super::error_run::JournalError;
use super::lock::in_use;
use super::medium::{FileMedium, Medium, copy_all};
use super::open::make_private;
use super::reserve::Reserve;
use super::run::RunId;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The logs of a journal.
pub trait Disk: Send + Sync {
    /// The runs that have a log, oldest first.
    ///
    /// # Errors
    /// [`JournalError::File`] when they cannot be listed.
    fn logs(&self) -> Result<Vec<RunId>, JournalError>;

    /// Makes the log of a new run, its name durable.
    ///
    /// # Errors
    /// [`JournalError::File`], also when it is there already.
    fn create(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError>;

    /// The log of a run, to be appended to.
    ///
    /// # Errors
    /// [`JournalError::File`]; [`JournalError::Lock`] while another process appends to it.
    fn open(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError>;

    /// The log of a run, to be read only, beside whoever appends to it.
    ///
    /// # Errors
    /// [`JournalError::File`].
    fn open_to_read(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError>;

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

    /// Writes a log that was deleted while it was open to where it was. Nothing is written over.
    ///
    /// # Errors
    /// [`JournalError::File`].
    fn put_back(&self, run: RunId, log: &dyn Medium) -> Result<(), JournalError> {
        let mut copy = self.create(run)?;
        copy_all(log, &mut *copy).map_err(|source| self.failed(run, source))
    }

    /// An error of the log of a run that is none of the medium's own.
    fn failed(&self, run: RunId, source: io::Error) -> JournalError;
}

/// The folder of the logs, inside the journal's.
const FOLDER: &str = "runs";

/// A folder of log files.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    folder: PathBuf,
}

impl FileDisk {
    /// The logs of the journal in `dir`.
    #[must_use]
    pub fn of(dir: &Path) -> FileDisk {
        FileDisk {
            dir: dir.to_owned(),
            folder: dir.join(FOLDER),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}.log"))
    }

    fn medium(
        &self,
        run: RunId,
        open: fn(&Path) -> io::Result<FileMedium>,
    ) -> Result<Box<dyn Medium>, JournalError> {
        match open(&self.path(run)) {
            Ok(medium) => Ok(Box::new(medium)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(in_use(&self.dir).into())
            }
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

impl Disk for FileDisk {
    fn logs(&self) -> Result<Vec<RunId>, JournalError> {
        let unreadable = |source| JournalError::File {
            what: "folder",
            path: self.folder.clone(),
            source,
        };
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            logs.extend(name.and_then(|name| Uuid::parse_str(name).ok()).map(RunId));
        }
        logs.sort();
        Ok(logs)
    }

    fn create(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        make_private(&self.folder).map_err(|source| self.failed(run, source))?;
        self.medium(run, FileMedium::create)
    }

    fn open(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        self.medium(run, FileMedium::open)
    }

    fn open_to_read(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        self.medium(run, FileMedium::open_to_read)
    }

    fn remove(&self, run: RunId) -> Result<(), JournalError> {
        std::fs::remove_file(self.path(run)).map_err(|source| self.failed(run, source))
    }

    fn reserve(&self) -> Result<Option<Reserve>, JournalError> {
        Reserve::make(&self.dir).map(Some)
    }

    fn failed(&self, run: RunId, source: io::Error) -> JournalError {
        JournalError::File {
            what: "log",
            path: self.path(run),
            source,
        }
    }
}
