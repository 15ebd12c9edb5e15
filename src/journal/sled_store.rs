//! The present state of everything, in a sled database: fast to ask, and worth nothing by itself.
//!
//! The log alone is the truth; whatever is wrong here is fixed by building it again from there. So a database that does
//! not open, or panics while it does (sled issues 1533, 1509, 926), is set aside and a fresh one begun, with a word about
//! it. This is the only file that knows sled 0.34 and what to beware of:
//! - its `flush` is no full barrier on Linux (issues 1351, 1452), and its own flusher is off: after a kill an earlier state is
//!   found, to which the caller applies the log's tail;
//! - memory grows with the pages that one batch touches, and does not come back: writing 500,000 keys in random order took
//!   65 MB in batches of 100 and 2.3 GB in batches of 1,000. So keys in no order go in small batches (`cache`);
//! - its threads may hold the file's lock for a moment after the database was dropped;
//! - a damaged page may come to light only when it is read, by a panic: every call turns that into an error (`panic_guard`);
//! - a damaged one may open without some of its entries, or with earlier ones: every entry is read and their sum compared
//!   (`sum`) when it is opened, by two threads, so that damage found under way is fixed by opening it again;
//! - it panics when its last barrier fails as it is closed: that is caught, too;
//! - a barrier may wait for ever when the disk has refused a write (its waiters can miss the word): it is given up after a while.
//!
//! What keys and values mean is decided above. Integers in keys must be big-endian, since sled sorts bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::lock::lock_soon;
use super::storage::CHECKPOINT as DIRECTORY;
use super::store::{Batch, Entries, Store, StoreError};
use panic_guard::quietly;
use sum::Sum;

mod panic_guard;
mod sum;

const DIRECTORY_SET_ASIDE: &str = "checkpoint.damaged-";

/// The version of what is stored here. Another one is not converted, but built again.
const FORMAT: u32 = 6;

/// Where the format and the sum of all other entries are kept: in the same tree, since only changes of one tree are atomic.
const SUM_KEY: &[u8] = b"\0sum";

/// Entries before this key are read by one thread and those after it by another; most bytes are in the rows, which come last.
const MIDDLE: &[u8] = b"s";

/// The file in which sled keeps its data, and which it locks.
const DATA_FILE: &str = "db";

/// How long an earlier use in this process may take to let go of the database. Longer means somebody else has it.
const LET_GO_MS_MAX: u64 = 3000;

/// Measured with a million rows of 200 bytes, each rewritten three times in about the order of the keys: 16 MiB kept the
/// process under 90 MB, writing as well as reading all of them; 32 MiB took about 20 MB more and showed no gain.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// Longest wait for a barrier. It may be long on a slow disk; a checkpoint that is given up is built again from the log.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// Why a database was not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Why {
    /// sled refused to open it, or panicked while it did.
    #[error("it did not open: {0}")]
    WouldNotOpen(String),
    /// Entries are not there, or are not those that were written.
    #[error("it is damaged: of {expected} entries {found} are there, and not all of them are as they were written")]
    NotWhole {
        /// Entries that were written.
        expected: u64,
        /// Entries that were read.
        found: u64,
    },
    /// It was written by another version of this program, or by no version of it.
    #[error("it does not have format {FORMAT}, the one that this version of cutover writes")]
    OtherFormat,
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

/// The checkpoint's database.
#[derive(Debug)]
pub struct SledStore {
    path: PathBuf,
    /// There until it is dropped.
    db: Option<sled::Db>,
    sum: Mutex<Sum>,
}

impl SledStore {
    /// Opens the checkpoint of the journal in `dir`, or begins an empty one, after it has set aside
    /// an old one that cannot be used. The journal's lock must be held.
    ///
    /// # Errors
    /// [`StoreError`] if somebody else has it open, if a bad one cannot be set aside or a fresh one not be made, or if the
    /// system (full, read-only, not allowed) rather than the database is at fault.
    pub fn open(dir: &Path) -> Result<(SledStore, Option<SetAside>), StoreError> {
        let path = dir.join(DIRECTORY);
        wait_until_let_go(&path)?;
        let why = match guarded(&path, || SledStore::attempt(&path)) {
            Ok(Ok(store)) => return Ok((store, None)),
            Ok(Err(why)) => why,
            Err(error) if is_of_the_system(&error.source) => return Err(error),
            Err(error) => Why::WouldNotOpen(error.source.to_string()),
        };
        let moved_to = set_aside(dir, &path)?;
        let store = guarded(&path, || SledStore::fresh(&path, config(&path).open()?))?;
        Ok((store, Some(SetAside { why, moved_to })))
    }

    /// Opens what is there; the inner error says why it must not be used. A database of ours is used only if all of its
    /// entries are there.
    fn attempt(path: &Path) -> sled::Result<Result<SledStore, Why>> {
        let db = config(path).open()?;
        let Some(known) = db.get(SUM_KEY)? else {
            // One that was killed before its first flush is as good as new.
            return Ok(if db.is_empty() { Ok(SledStore::fresh(path, db)?) } else { Err(Why::OtherFormat) });
        };
        let Ok((FORMAT, expected)) = postcard::from_bytes::<(u32, Sum)>(&known) else {
            return Ok(Err(Why::OtherFormat));
        };
        let (first, second) = std::thread::scope(|threads| {
            let second = threads.spawn(|| guarded(path, || sum_of(db.range(MIDDLE..))));
            (sum_of(db.range(..MIDDLE)), second.join())
        });
        let second = match second {
            Ok(Ok(sum)) => sum,
            Ok(Err(error)) => return Err(sled::Error::Io(error.source)),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let found = first?.and(second);
        if found != expected {
            return Ok(Err(Why::NotWhole { expected: expected.entries, found: found.entries }));
        }
        Ok(Ok(SledStore { path: path.to_owned(), db: Some(db), sum: Mutex::new(found) }))
    }

    fn fresh(path: &Path, db: sled::Db) -> sled::Result<SledStore> {
        db.insert(SUM_KEY, stored(Sum::default()))?;
        db.flush()?;
        Ok(SledStore { path: path.to_owned(), db: Some(db), sum: Mutex::default() })
    }

    fn call<R>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<R>) -> Result<R, StoreError> {
        let closed = || sled::Error::Io(io::ErrorKind::NotConnected.into());
        guarded(&self.path, || call(self.db.as_ref().ok_or_else(closed)?))
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        let db = self.db.take();
        if let Err(message) = quietly(|| drop(db)) {
            tracing::warn!("the checkpoint could not be closed, and may have to be rebuilt from the log: {message}");
        }
    }
}

fn stored(sum: Sum) -> Vec<u8> {
    // Two plain numbers and one more always fit.
    postcard::to_stdvec(&(FORMAT, sum)).unwrap_or_default()
}

fn sum_of(entries: sled::Iter) -> sled::Result<Sum> {
    let mut sum = Sum::default();
    for entry in entries {
        let (key, value) = entry?;
        if key != SUM_KEY {
            sum = sum.with(&key, &value);
        }
    }
    Ok(sum)
}

/// Applies changes as one and returns the sum after them.
fn apply_changes(db: &sled::Db, batch: Batch, mut sum: Sum) -> sled::Result<Sum> {
    let mut changes = sled::Batch::default();
    for (key, value) in batch {
        if let Some(old) = db.get(&key)? {
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
    changes.insert(SUM_KEY, stored(sum));
    db.apply_batch(changes)?;
    Ok(sum)
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.call(|db| db.get(key))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let mut found = match self.call(|db| Ok(db.scan_prefix(prefix))) {
            Ok(found) => found,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let entries = std::iter::from_fn(move || guarded(&self.path, || found.next().transpose()).transpose());
        let entries = entries.filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| key == SUM_KEY));
        Box::new(entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = self.call(|db| apply_changes(db, batch, *sum))?;
        Ok(())
    }

    /// On a thread of its own, which is left behind where sled does not come back.
    fn flush(&self) -> Result<(), StoreError> {
        let Some(db) = self.db.clone() else { return self.call(|_| Ok(())) };
        let path = self.path.clone();
        let (sender, ended) = mpsc::channel();
        let flush = move || {
            // Nobody may wait any more.
            let _late = sender.send(guarded(&path, || db.flush().map(drop)));
        };
        let failed = |source| StoreError { path: self.path.clone(), source };
        thread::Builder::new().name("checkpoint-flush".into()).spawn(flush).map_err(failed)?;
        let stuck = format!("the database has not returned from a flush for {} s", FLUSH_MAX.as_secs());
        ended.recv_timeout(FLUSH_MAX).map_err(|_| failed(io::Error::new(io::ErrorKind::TimedOut, stuck)))?
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
    let failed = |source| StoreError { path: path.to_owned(), source };
    let file = match File::open(path.join(DATA_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    match lock_soon(&file, LET_GO_MS_MAX).map_err(failed)? {
        true => Ok(()),
        false => Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "another program has it open: end that one"))),
    }
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new().path(path).flush_every_ms(None).cache_capacity(CACHE_BYTES_MAX)
}

/// Turns a panic of sled into an error. What it leaves behind is not looked at again: after an error of the checkpoint the
/// log is what counts.
fn guarded<R>(path: &Path, call: impl FnOnce() -> sled::Result<R>) -> Result<R, StoreError> {
    let damaged = |message| io::Error::new(io::ErrorKind::InvalidData, format!("it is damaged ({message})"));
    let result = quietly(call).map_err(damaged).and_then(|result| result.map_err(in_words));
    result.map_err(|source| StoreError { path: path.to_owned(), source })
}

/// An error that sled keeps and hands out once more has its fields for words; its kind says the same to people.
fn in_words(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(source) if source.raw_os_error().is_none() => source.kind().into(),
        sled::Error::Io(source) => source,
        other => io::Error::other(other),
    }
}

/// Whether a database fails for a reason that a fresh one would share.
fn is_of_the_system(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    [PermissionDenied, ReadOnlyFilesystem, StorageFull, QuotaExceeded].contains(&error.kind())
}

fn set_aside(dir: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError { path: path.to_owned(), source };
    let mut number = 1;
    let mut moved_to = dir.join(format!("{DIRECTORY_SET_ASIDE}{number}"));
    while moved_to.try_exists().map_err(failed)? {
        number += 1;
        moved_to = dir.join(format!("{DIRECTORY_SET_ASIDE}{number}"));
    }
    std::fs::rename(path, &moved_to).map_err(failed)?;
    Ok(moved_to)
}

#[cfg(test)]
mod tests;
