//! The present state of everything, in a sled database: fast to ask, and worth nothing by itself.
//!
//! The log alone is the truth; whatever is wrong here is answered by building it again from there. So a database that does
//! not open, or panics while it does (sled issues 1533, 1509, 926), is set aside and a fresh one begun, with a word about
//! it. This is the only file that knows sled 0.34 and what to beware of:
//! - its `flush` is no full barrier on Linux (issues 1351, 1452), and its own flusher is off: after a kill an earlier state is
//!   found, to which the caller applies the log's tail;
//! - memory grows with the pages that one batch touches, and does not come back: writing 500,000 keys in random order took
//!   65 MB in batches of 100 and 2.3 GB in batches of 1,000. So keys in no order go in small batches (`cache`);
//! - its threads may hold the file's lock for a moment after the database was dropped;
//! - a damaged page may come to light only when it is read, by a panic: every call turns that into an error (`panic_guard`);
//! - a damaged one may open without some of its entries, or with earlier ones: every entry is read and their sum compared
//!   (`sum`) when it is opened, so that damage found under way is mended by opening it again.
//!
//! What keys and values mean is decided above. Integers in keys must be big-endian, since sled sorts bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use super::lock::lock_soon;
use super::store::{Batch, Entries, Entry, Store, StoreError};
use panic_guard::quietly;
use sum::Sum;

mod panic_guard;
mod sum;

use super::storage::CHECKPOINT as DIRECTORY;
const DIRECTORY_SET_ASIDE: &str = "checkpoint.damaged-";

/// The version of what is stored here. Another one is not converted, but built again.
const FORMAT: u32 = 5;
const FORMAT_TREE: &str = "format";
const FORMAT_KEY: &str = "version";

/// Where the sum of all other entries is kept: beside them, since only changes of one tree are atomic.
const SUM_KEY: &[u8] = b"\0sum";

/// The file in which sled keeps its data, and which it locks.
const DATA_FILE: &str = "db";

/// How long an earlier use in this process may take to let go of the database. Longer means somebody else has it.
const LET_GO_MS_MAX: u64 = 3000;

/// Measured with a million rows of 200 bytes, each rewritten three times in about the order of the keys: 16 MiB kept the
/// process under 90 MB, writing as well as reading all of them; 32 MiB took about 20 MB more and showed no gain.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// Why a database was not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Why {
    /// sled refused to open it.
    #[error("it did not open: {0}")]
    WouldNotOpen(String),
    /// sled panicked while opening it.
    #[error("it is damaged: {0}")]
    Panicked(String),
    /// Entries are not there, or are not those that were written.
    #[error("it is damaged: of {expected} entries {found} are there, and not all of them are as they were written")]
    NotWhole {
        /// Entries that were written.
        expected: u64,
        /// Entries that were read.
        found: u64,
    },
    /// It was written by an earlier version of this program.
    #[error("it has format {0}, which an older version of cutover wrote; this one knows format {FORMAT}")]
    Older(u32),
    /// It was written by a later version of this program.
    #[error("it has format {0}, which a newer version of cutover wrote; this one knows format {FORMAT}")]
    Newer(u32),
    /// Its format is none that this program ever wrote.
    #[error("it does not say that it has format {FORMAT}")]
    UnknownFormat,
}

/// A word to the operator: what became of the old database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the checkpoint was set aside as `{}` and is built again from the log: {why}", moved_to.display())]
pub struct SetAside {
    /// What was wrong with it.
    pub why: Why,
    /// Where it is now; nothing needs it any more.
    pub moved_to: PathBuf,
}

/// An open checkpoint, and whether it had to be begun anew.
#[derive(Debug)]
pub struct Opened {
    /// The checkpoint.
    pub store: SledStore,
    /// There if an old database was set aside: `store` is empty then.
    pub set_aside: Option<SetAside>,
}

/// The checkpoint's database.
#[derive(Debug)]
pub struct SledStore {
    path: PathBuf,
    db: sled::Db,
    sum: Mutex<Sum>,
}

impl SledStore {
    /// Opens the checkpoint of the journal in `dir`, or begins one. The journal's lock must be held.
    ///
    /// # Errors
    /// [`StoreError::Directory`] if a bad one cannot be set aside; the others if a fresh one cannot be made, or if the
    /// system (full, read-only, not allowed) rather than the database is at fault.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        let path = dir.join(DIRECTORY);
        let why = match SledStore::attempt(&path) {
            Ok(Ok(store)) => {
                return Ok(Opened { store, set_aside: None });
            }
            Ok(Err(why)) => why,
            Err(StoreError::Failed { source, .. }) if !is_of_the_system(&source) => {
                Why::WouldNotOpen(source.to_string())
            }
            Err(StoreError::Panicked { message, .. }) => Why::Panicked(message),
            Err(error @ (StoreError::Failed { .. } | StoreError::Directory { .. } | StoreError::InUse { .. })) => {
                return Err(error);
            }
        };
        let moved_to = set_aside(dir, &path)?;
        let store = SledStore::fresh(path)?;
        Ok(Opened { store, set_aside: Some(SetAside { why, moved_to }) })
    }

    /// Opens what is there; the inner error says why it must not be used.
    fn attempt(path: &Path) -> Result<Result<SledStore, Why>, StoreError> {
        wait_until_let_go(path)?;
        let found = guarded(path, || {
            let db = config(path).open()?;
            let format = db.open_tree(FORMAT_TREE)?.get(FORMAT_KEY)?;
            // One that was killed before its first flush is as good as new.
            let is_new = format.is_none() && db.is_empty();
            Ok((db, is_new, format))
        })?;
        let (db, is_new, format) = found;
        if is_new {
            return SledStore::marked(path.to_owned(), db).map(Ok);
        }
        let format = format.and_then(|format| Some(u32::from_be_bytes(format.as_ref().try_into().ok()?)));
        match format {
            Some(FORMAT) => SledStore::whole(path, db),
            Some(newer) if newer > FORMAT => Ok(Err(Why::Newer(newer))),
            Some(0) | None => Ok(Err(Why::UnknownFormat)),
            Some(older) => Ok(Err(Why::Older(older))),
        }
    }

    /// Reads every entry: a database of ours is used only if all of them are there.
    fn whole(path: &Path, db: sled::Db) -> Result<Result<SledStore, Why>, StoreError> {
        let (expected, found) = guarded(path, || {
            let mut sum = Sum::default();
            for entry in db.iter() {
                let (key, value) = entry?;
                if key != SUM_KEY {
                    sum = sum.with(&key, &value);
                }
            }
            Ok((db.get(SUM_KEY)?, sum))
        })?;
        let expected = match expected {
            Some(bytes) => Sum::from_bytes(&bytes),
            None => Some(Sum::default()),
        };
        if expected != Some(found) {
            return Ok(Err(Why::NotWhole { expected: expected.unwrap_or_default().entries(), found: found.entries() }));
        }
        Ok(Ok(SledStore { path: path.to_owned(), db, sum: Mutex::new(found) }))
    }

    fn fresh(path: PathBuf) -> Result<SledStore, StoreError> {
        let db = guarded(&path, || config(&path).open())?;
        SledStore::marked(path, db)
    }

    fn marked(path: PathBuf, db: sled::Db) -> Result<SledStore, StoreError> {
        guarded(&path, || {
            db.open_tree(FORMAT_TREE)?.insert(FORMAT_KEY, &FORMAT.to_be_bytes())?;
            db.flush()
        })?;
        Ok(SledStore { path, db, sum: Mutex::default() })
    }

    /// Applies changes as one and returns the sum after them.
    fn apply_changes(&self, part: BTreeMap<Vec<u8>, Option<Vec<u8>>>, mut sum: Sum) -> sled::Result<Sum> {
        let mut changes = sled::Batch::default();
        for (key, value) in part {
            if let Some(old) = self.db.get(&key)? {
                sum = sum.without(&key, &old);
            }
            match value {
                Some(value) => {
                    sum = sum.with(&key, &value);
                    changes.insert(key, value);
                }
                None => changes.remove(key),
            }
        }
        changes.insert(SUM_KEY, &sum.to_bytes());
        self.db.apply_batch(changes)?;
        Ok(sum)
    }

    fn entries(&self, found: sled::Iter) -> Entries<'_> {
        Box::new(Walk { path: &self.path, found })
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = guarded(&self.path, || self.db.get(key))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_> {
        self.entries(self.db.scan_prefix(prefix))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        // Of several changes of one key the last one counts.
        let changes = batch.into_changes().collect();
        *sum = guarded(&self.path, || self.apply_changes(changes, *sum))?;
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        guarded(&self.path, || self.db.flush())?;
        Ok(())
    }
}

/// A walk over entries that ends with its first error.
struct Walk<'s> {
    path: &'s Path,
    found: sled::Iter,
}

impl Walk<'_> {
    fn step(
        &mut self,
        next: impl Fn(&mut sled::Iter) -> Option<sled::Result<(sled::IVec, sled::IVec)>>,
    ) -> Option<Result<Entry, StoreError>> {
        let mut entry = || guarded(self.path, || next(&mut self.found).transpose()).transpose();
        let mut found = entry()?;
        if found.as_ref().is_ok_and(|(key, _)| key == SUM_KEY) {
            found = entry()?;
        }
        Some(found.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Walk<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// Copies the database of the journal in `dir` into the folder `to`, where it can be opened without the journal's lock. What
/// is written to it meanwhile may leave the copy in pieces, which opening it finds out.
///
/// # Errors
/// Those of the file system.
pub(super) fn copy(dir: &Path, to: &Path) -> io::Result<()> {
    copy_folder(&dir.join(DIRECTORY), &to.join(DIRECTORY))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let Some(entries) = unless_gone(std::fs::read_dir(from))? else {
        return Ok(());
    };
    std::fs::create_dir(to)?;
    for entry in entries {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&path, &copy)?;
        } else if kind.is_file() {
            unless_gone(std::fs::copy(path, copy))?;
        }
    }
    Ok(())
}

/// A database that is in use removes files of its own now and then.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// sled reports a locked file by words only, and a database that is in use must not be taken for a damaged one.
fn wait_until_let_go(path: &Path) -> Result<(), StoreError> {
    let directory = |source| StoreError::Directory { path: path.to_owned(), source };
    let file = match File::open(path.join(DATA_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(directory(source)),
    };
    if lock_soon(&file, LET_GO_MS_MAX).map_err(directory)? {
        Ok(())
    } else {
        Err(StoreError::InUse { path: path.to_owned() })
    }
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new().path(path).flush_every_ms(None).cache_capacity(CACHE_BYTES_MAX)
}

/// Turns a panic of sled into an error. What it leaves behind is not looked at again: after an error of the checkpoint the
/// log is what counts.
fn guarded<R>(path: &Path, call: impl FnOnce() -> sled::Result<R>) -> Result<R, StoreError> {
    match quietly(call) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(source)) => Err(StoreError::Failed { path: path.to_owned(), source }),
        Err(message) => Err(StoreError::Panicked { path: path.to_owned(), message }),
    }
}

/// Whether a database fails for a reason that a fresh one would share.
fn is_of_the_system(error: &sled::Error) -> bool {
    let sled::Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
    )
}

fn set_aside(dir: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    let directory = |source| StoreError::Directory { path: path.to_owned(), source };
    let mut number = 1;
    let moved_to = loop {
        let candidate = dir.join(format!("{DIRECTORY_SET_ASIDE}{number}"));
        if !candidate.try_exists().map_err(directory)? {
            break candidate;
        }
        number += 1;
    };
    std::fs::rename(path, &moved_to).map_err(directory)?;
    Ok(moved_to)
}

#[cfg(test)]
mod tests;
