//! The present state of everything, in a sled database: fast to ask, and worth nothing by itself.
//!
//! The log alone is the truth; whatever is wrong here is answered by building it again from there. So a database that does
//! not open, or panics while it does (sled issues 1533, 1509, 926), is set aside and a fresh one begun, with a word about
//! it. This is the only file that knows sled 0.34 and what to beware of:
//! - its `flush` is no full barrier on Linux (issues 1351, 1452), and its own flusher is off: after a kill an earlier state is
//!   found, to which the caller applies the log's tail;
//! - memory grows with the pages that one batch touches, and does not come back: writing 500,000 keys in random order took
//!   65 MB in batches of 100 and 2.3 GB in batches of 1,000. Hence [`BATCH_CHANGES_MAX`];
//! - its `clear` removes key by key, so [`Store::clear`] begins a new database;
//! - its threads may hold the file's lock for a moment after the database was dropped;
//! - a damaged page may come to light only when it is read, by a panic: every call turns that into an error.
//!
//! What keys and values mean is decided above. Integers in keys must be big-endian, since sled sorts bytes.

use std::any::Any;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::lock::lock_soon;

const DIRECTORY: &str = "checkpoint";
const DIRECTORY_SET_ASIDE: &str = "checkpoint.damaged-";

/// The version of what is stored here. Another one is not converted, but built again.
const FORMAT: u32 = 1;
const FORMAT_TREE: &str = "format";
const FORMAT_KEY: &str = "version";

/// The file in which sled keeps its data, and which it locks.
const DATA_FILE: &str = "db";

/// How long an earlier use in this process may take to let go of the database. Longer means somebody else has it.
const LET_GO_MS_MAX: u64 = 3000;

/// Measured with a million rows of 200 bytes, each rewritten three times in about the order of the keys: 16 MiB kept the
/// process under 90 MB, writing as well as reading all of them; 32 MiB took about 20 MB more and showed no gain.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// Most changes that are applied as one atomic batch; see above for why there is a limit.
pub const BATCH_CHANGES_MAX: usize = 128;

/// An error of the checkpoint. The log is not touched by it.
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// sled says so.
    #[error("the journal's checkpoint `{}` failed; the log is not affected", path.display())]
    #[diagnostic(
        code(journal::checkpoint),
        help(
            "if this comes again, end the program and move the directory away: it is built again from the log"
        )
    )]
    Failed {
        /// The database.
        path: PathBuf,
        /// What sled said.
        #[source]
        source: sled::Error,
    },

    /// sled came upon something that it does not expect.
    #[error("the journal's checkpoint `{}` is damaged ({message}); the log is not affected", path.display())]
    #[diagnostic(
        code(journal::checkpoint_panicked),
        help("end the program and move the directory away: it is built again from the log")
    )]
    Panicked {
        /// The database.
        path: PathBuf,
        /// The message of the panic.
        message: String,
    },

    /// Somebody has it open, against the journal's lock.
    #[error("the journal's checkpoint `{}` is open elsewhere; nothing was changed", path.display())]
    #[diagnostic(
        code(journal::checkpoint_in_use),
        help("end the program that has it open; two must never work on one journal")
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },

    /// Its directory could not be read, moved or removed.
    #[error("the directory of the journal's checkpoint `{}` cannot be used; the log is not affected", path.display())]
    #[diagnostic(
        code(journal::checkpoint_directory),
        help("move it away by hand: it is built again from the log")
    )]
    Directory {
        /// The database.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

/// Why a database was not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Why {
    /// sled refused to open it.
    #[error("it did not open: {0}")]
    WouldNotOpen(String),
    /// sled panicked while opening it.
    #[error("it is damaged: {0}")]
    Panicked(String),
    /// It was written by a later version of this program.
    #[error(
        "it has format {0}, which a newer version of cutover wrote; this one knows format {FORMAT}"
    )]
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
    pub store: Store,
    /// There if an old database was set aside: `store` is empty then.
    pub set_aside: Option<SetAside>,
}

/// Changes to be applied together, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Puts a value, over an old one if there is one.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// How many changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The checkpoint's database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    db: sled::Db,
}

impl Store {
    /// Opens the checkpoint of the journal in `dir`, or begins one. The journal's lock must be held.
    ///
    /// # Errors
    /// [`StoreError::Directory`] if a bad one cannot be set aside; the others if a fresh one cannot be made, or if the
    /// system (full, read-only, not allowed) rather than the database is at fault.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        let path = dir.join(DIRECTORY);
        let why = match Store::attempt(&path) {
            Ok(Ok(store)) => {
                return Ok(Opened {
                    store,
                    set_aside: None,
                });
            }
            Ok(Err(why)) => why,
            Err(StoreError::Failed { source, .. }) if !is_of_the_system(&source) => {
                Why::WouldNotOpen(source.to_string())
            }
            Err(StoreError::Panicked { message, .. }) => Why::Panicked(message),
            Err(
                error @ (StoreError::Failed { .. }
                | StoreError::Directory { .. }
                | StoreError::InUse { .. }),
            ) => return Err(error),
        };
        let moved_to = set_aside(dir, &path)?;
        let store = Store::fresh(path)?;
        Ok(Opened {
            store,
            set_aside: Some(SetAside { why, moved_to }),
        })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = guarded(&self.path, || self.db.get(key))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// Every key that begins so, with its value, in the order of the keys. What changes meanwhile may or may not be seen.
    pub fn scan_prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Result<Entry, StoreError>> {
        self.entries(self.db.scan_prefix(prefix))
    }

    /// Every key in a range, its end excluded, with its value, in the order of the keys; from behind with `rev`. What
    /// changes meanwhile may or may not be seen.
    pub fn range(
        &self,
        range: Range<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry, StoreError>> {
        self.entries(self.db.range(range))
    }

    /// Applies changes in order, up to [`BATCH_CHANGES_MAX`] of them as one atomic batch. More are applied in parts, each
    /// atomic and none before the one ahead of it: who puts the log's position last never has it ahead of what it stands
    /// for. Nothing is durable before [`Store::flush`].
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    pub fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut changes = batch.changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut part = sled::Batch::default();
            for (key, value) in changes.by_ref().take(BATCH_CHANGES_MAX) {
                match value {
                    Some(value) => part.insert(key, value),
                    None => part.remove(key),
                }
            }
            guarded(&self.path, || self.db.apply_batch(part))?;
        }
        Ok(())
    }

    /// Hands everything applied so far to the disk, as far as sled can. Takes some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Panicked`].
    pub fn flush(&self) -> Result<(), StoreError> {
        guarded(&self.path, || self.db.flush())?;
        Ok(())
    }

    /// Throws everything away and begins anew.
    ///
    /// # Errors
    /// [`StoreError::Directory`], and those of making a fresh one.
    pub fn clear(self) -> Result<Store, StoreError> {
        let Store { path, db } = self;
        drop(db);
        std::fs::remove_dir_all(&path).map_err(|source| StoreError::Directory {
            path: path.clone(),
            source,
        })?;
        Store::fresh(path)
    }

    /// Opens what is there; the inner error says why it must not be used.
    fn attempt(path: &Path) -> Result<Result<Store, Why>, StoreError> {
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
            return Store::marked(path.to_owned(), db).map(Ok);
        }
        let format =
            format.and_then(|format| Some(u32::from_be_bytes(format.as_ref().try_into().ok()?)));
        Ok(match format {
            Some(FORMAT) => Ok(Store {
                path: path.to_owned(),
                db,
            }),
            Some(newer) if newer > FORMAT => Err(Why::Newer(newer)),
            Some(_) | None => Err(Why::UnknownFormat),
        })
    }

    fn fresh(path: PathBuf) -> Result<Store, StoreError> {
        let db = guarded(&path, || config(&path).open())?;
        Store::marked(path, db)
    }

    fn marked(path: PathBuf, db: sled::Db) -> Result<Store, StoreError> {
        guarded(&path, || {
            db.open_tree(FORMAT_TREE)?
                .insert(FORMAT_KEY, &FORMAT.to_be_bytes())?;
            db.flush()
        })?;
        Ok(Store { path, db })
    }

    fn entries(&self, found: sled::Iter) -> Entries<'_> {
        Entries {
            path: &self.path,
            found,
        }
    }
}

/// A walk over entries that ends with its first error.
struct Entries<'s> {
    path: &'s Path,
    found: sled::Iter,
}

impl Entries<'_> {
    fn step(
        &mut self,
        next: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<(sled::IVec, sled::IVec)>>,
    ) -> Option<Result<Entry, StoreError>> {
        let entry = guarded(self.path, || next(&mut self.found).transpose()).transpose()?;
        Some(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// sled reports a locked file by words only, and a database that is in use must not be taken for a damaged one.
fn wait_until_let_go(path: &Path) -> Result<(), StoreError> {
    let directory = |source| StoreError::Directory {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path.join(DATA_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(directory(source)),
    };
    if lock_soon(&file, LET_GO_MS_MAX).map_err(directory)? {
        Ok(())
    } else {
        Err(StoreError::InUse {
            path: path.to_owned(),
        })
    }
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .flush_every_ms(None)
        .cache_capacity(CACHE_BYTES_MAX)
}

/// Turns a panic of sled into an error. What it leaves behind is not looked at again: after an error of the checkpoint the
/// log is what counts.
fn guarded<R>(path: &Path, call: impl FnOnce() -> sled::Result<R>) -> Result<R, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(source)) => Err(StoreError::Failed {
            path: path.to_owned(),
            source,
        }),
        Err(panic) => Err(StoreError::Panicked {
            path: path.to_owned(),
            message: message_of(&*panic),
        }),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
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
    let directory = |source| StoreError::Directory {
        path: path.to_owned(),
        source,
    };
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
