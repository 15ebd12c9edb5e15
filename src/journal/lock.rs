//! One process at a time: who holds a journal, and how to reach it.
//!
//! The lock is the operating system's, on the file `lock`, so it ends with the process however that ends, and nothing stale
//! has to be judged by its age or its process id. Who holds it stands beside it in `holder.json`, replaced as a whole:
//! on Windows a locked file cannot be read, and nowhere can a reader see half of it. It names the holder's control port and
//! the token for it, so it is readable by its owner only. It is believed only while the lock is held.
//!
//! What the control port speaks is not known here. On a network file system the lock is as good as that system's own.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const LOCK_FILE: &str = "lock";
const HOLDER_FILE: &str = "holder.json";
const HOLDER_FILE_NEW: &str = "holder.json.new";

/// How long a lock is tried before it counts as held: a process that only looks who holds it has it for an instant, too.
const PATIENCE_MS: u64 = 100;
/// Between two tries.
const TRY_AGAIN_AFTER_MS: u64 = 5;

/// Who holds a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it was started for, such as `run`.
    pub command: String,
    /// The run it works on, once that is known.
    pub run: Option<String>,
    /// Since when, in RFC 3339.
    pub since: String,
    /// How to reach it, if it listens.
    pub control: Option<Control>,
}

/// How to reach the holder on the loopback interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Its TCP port.
    pub port: u16,
    /// What it asks for.
    pub token: ControlToken,
}

/// A secret that lets its bearer steer the live process. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ControlToken(String);

impl ControlToken {
    /// Keeps a token.
    #[must_use]
    pub fn new(token: String) -> ControlToken {
        ControlToken(token)
    }

    /// The token itself, for the request that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlToken(…)")
    }
}

/// Why a journal could not be locked, or its holder not be named.
#[derive(Debug, Error, Diagnostic)]
pub enum LockError {
    /// Another process works on it.
    #[error(
        "the journal `{}` is in use by process {} (`cutover {}`) since {}; nothing was changed",
        dir.display(), holder.pid, holder.command, holder.since
    )]
    #[diagnostic(
        code(journal::in_use),
        help(
            "look at it with `cutover status`, stop it with Ctrl-C where it runs, or name another directory with `--journal`"
        )
    )]
    InUse {
        /// The journal.
        dir: PathBuf,
        /// Who works on it.
        holder: Box<Holder>,
    },

    /// Another process works on it, and has not said who it is.
    #[error("the journal `{}` is in use by a process that has not said who it is; nothing was changed", dir.display())]
    #[diagnostic(
        code(journal::in_use_unnamed),
        help("it may just be starting: try again in a second, or look with `cutover status`")
    )]
    InUseUnnamed {
        /// The journal.
        dir: PathBuf,
    },

    /// The file system did not let us.
    #[error("the journal's lock `{}` cannot be used", path.display())]
    #[diagnostic(
        code(journal::lock),
        help("check that the directory is there, is yours, and can be written")
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// The lock on a journal, held until it is dropped.
#[derive(Debug)]
pub struct JournalLock {
    dir: PathBuf,
    // Closing it gives the lock back.
    _file: File,
}

impl JournalLock {
    /// Takes the lock of the journal in `dir` (which must exist) and says who has it now.
    ///
    /// # Errors
    /// [`LockError::InUse`] or [`LockError::InUseUnnamed`] after 100 ms of trying; [`LockError::Io`].
    pub fn acquire(dir: &Path, holder: &Holder) -> Result<JournalLock, LockError> {
        let path = dir.join(LOCK_FILE);
        let file = private()
            .open(&path)
            .map_err(|source| io_error(&path, source))?;
        if !lock_soon(&file, PATIENCE_MS).map_err(|source| io_error(&path, source))? {
            return Err(in_use(dir));
        }
        let mut lock = JournalLock {
            dir: dir.to_owned(),
            _file: file,
        };
        // The lock is what counts; on a full disk others learn only that somebody has it.
        if let Err(error) = lock.update(holder) {
            tracing::warn!("other processes are not told who has the journal: {error}");
        }
        Ok(lock)
    }

    /// Says anew who holds the journal, such as when its run or its control port is known.
    ///
    /// # Errors
    /// [`LockError::Io`]; what stood there before still stands.
    pub fn update(&mut self, holder: &Holder) -> Result<(), LockError> {
        let new = self.dir.join(HOLDER_FILE_NEW);
        let path = self.dir.join(HOLDER_FILE);
        write_private(&new, holder).map_err(|source| io_error(&new, source))?;
        fs::rename(&new, &path).map_err(|source| io_error(&path, source))
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        // Left behind it would do no harm: nobody believes it once the lock is free.
        let _left_behind = fs::remove_file(self.dir.join(HOLDER_FILE));
    }
}

/// Who holds the journal in `dir`; `None` if nobody does, whatever a process that was killed has left behind.
///
/// # Errors
/// [`LockError::InUseUnnamed`], [`LockError::Io`].
pub fn read_holder(dir: &Path) -> Result<Option<Holder>, LockError> {
    let path = dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(&path, source)),
    };
    // Shared, so that two who look do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => match in_use(dir) {
            LockError::InUse { dir: _, holder } => Ok(Some(*holder)),
            error @ (LockError::InUseUnnamed { .. } | LockError::Io { .. }) => Err(error),
        },
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

/// Tries for so long to lock a file; answers whether it is locked now. The calling thread sleeps meanwhile.
///
/// # Errors
/// Those of the file system.
pub(super) fn lock_soon(file: &File, patience_ms: u64) -> io::Result<bool> {
    for _ in 0..patience_ms / TRY_AGAIN_AFTER_MS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(TRY_AGAIN_AFTER_MS))
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn in_use(dir: &Path) -> LockError {
    let holder = fs::read(dir.join(HOLDER_FILE))
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    match holder {
        Some(holder) => LockError::InUse {
            dir: dir.to_owned(),
            holder: Box::new(holder),
        },
        None => LockError::InUseUnnamed {
            dir: dir.to_owned(),
        },
    }
}

fn write_private(path: &Path, holder: &Holder) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(holder)?;
    let mut file = private().truncate(true).open(path)?;
    file.write_all(&json)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn io_error(path: &Path, source: io::Error) -> LockError {
    LockError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder {
            pid: 4711,
            command: "run".to_owned(),
            run: None,
            since: "2026-01-31T22:00:00Z".to_owned(),
            control: None,
        }
    }

    #[test]
    fn a_second_process_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = JournalLock::acquire(dir.path(), &holder()).unwrap();
        let refused = JournalLock::acquire(dir.path(), &holder())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("process 4711 (`cutover run`) since 2026-01-31T22:00:00Z"),
            "{refused}"
        );
        assert_eq!(read_holder(dir.path()).unwrap(), Some(holder()));
    }

    #[test]
    fn a_lock_that_was_given_back_can_be_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_holder(dir.path()).unwrap(), None);
        drop(JournalLock::acquire(dir.path(), &holder()).unwrap());
        assert_eq!(read_holder(dir.path()).unwrap(), None);
        JournalLock::acquire(dir.path(), &holder()).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        drop(JournalLock::acquire(dir.path(), &holder()).unwrap());
        write_private(&dir.path().join(HOLDER_FILE), &holder()).unwrap();
        assert_eq!(read_holder(dir.path()).unwrap(), None);
        let next = Holder {
            pid: 4712,
            ..holder()
        };
        let _lock = JournalLock::acquire(dir.path(), &next).unwrap();
        assert_eq!(read_holder(dir.path()).unwrap(), Some(next));
    }

    #[test]
    fn the_holder_can_say_more_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = JournalLock::acquire(dir.path(), &holder()).unwrap();
        let control = Control {
            port: 4000,
            token: ControlToken::new("let-me-in".to_owned()),
        };
        let more = Holder {
            run: Some("0198".to_owned()),
            control: Some(control),
            ..holder()
        };
        lock.update(&more).unwrap();
        let read = read_holder(dir.path()).unwrap().unwrap();
        assert_eq!(read, more);
        assert_eq!(
            read.control.as_ref().map(|control| control.token.expose()),
            Some("let-me-in")
        );
        assert!(!format!("{read:?}").contains("let-me-in"));
        let refused = JournalLock::acquire(dir.path(), &more).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("let-me-in"));
    }

    #[test]
    fn a_holder_without_a_name_is_still_a_holder() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = JournalLock::acquire(dir.path(), &holder()).unwrap();
        fs::write(dir.path().join(HOLDER_FILE), "{").unwrap();
        assert!(matches!(
            read_holder(dir.path()),
            Err(LockError::InUseUnnamed { .. })
        ));
        let refused = JournalLock::acquire(dir.path(), &holder());
        assert!(matches!(refused, Err(LockError::InUseUnnamed { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_token() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let _lock = JournalLock::acquire(dir.path(), &holder()).unwrap();
        for name in [LOCK_FILE, HOLDER_FILE] {
            let mode = fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap().path().join("gone");
        let refused = JournalLock::acquire(&dir, &holder())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("gone"), "{refused}");
    }
}
