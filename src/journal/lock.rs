//! One process at a time: who works on a journal, and how to reach it.
//!
//! The lock is the operating system's, on the file `lock`, so it ends with the process however that ends, and nothing stale
//! has to be judged by its age or its process id. Only processes that write take it. Somebody may delete the file under a live
//! process, so the log that is written to is locked, too ([`log_file`](super::log_file)).
//!
//! Who holds it is said next to it in `holder.json`, replaced as a whole, so that nobody sees half of it. It names the holder's
//! control port and the token for it, so it is readable by its owner only. Readers look there and take no lock; a process
//! that was killed leaves it behind, so it is worth only as much as the answer on that port.
//!
//! What the control port speaks is not known here. On a network file system the lock is as good as that system's own.

use super::error::JournalError;
use super::log_file::private;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const LOCK_FILE: &str = "lock";
const HOLDER_FILE: &str = "holder.json";

/// How long a process that is just ending may keep the lock before it counts as working.
pub(super) const ENDING_MS_MAX: u64 = 4_000;
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

impl Holder {
    /// Whether a process of its number is there; it may be another one by now.
    #[cfg(unix)]
    #[must_use]
    pub fn may_live(&self) -> bool {
        use rustix::io::Errno;
        use rustix::process::{Pid, test_kill_process};
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
    }

    /// Windows is not asked: that would take unsafe code.
    #[cfg(not(unix))]
    #[must_use]
    pub fn may_live(&self) -> bool {
        true
    }
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

/// The lock on a journal, held until it is dropped.
#[derive(Debug)]
pub struct JournalLock {
    dir: PathBuf,
    // Closing it gives the lock back.
    _file: File,
}

impl JournalLock {
    /// Takes the lock of the journal in `dir`, which must exist. Nobody knows yet who has it.
    ///
    /// # Errors
    /// [`JournalError::InUse`] or [`JournalError::InUseUnnamed`] when it is still held after `patience_ms`;
    /// [`JournalError::Lock`].
    pub(super) fn acquire(dir: &Path, patience_ms: u64) -> Result<JournalLock, JournalError> {
        let path = dir.join(LOCK_FILE);
        let failed = |source| JournalError::Lock { path: path.clone(), source };
        let file = private().open(&path).map_err(failed)?;
        match lock_soon(&file, patience_ms).map_err(failed)? {
            true => Ok(JournalLock { dir: dir.to_owned(), _file: file }),
            false => Err(in_use(dir)),
        }
    }

    /// Says who holds the journal, such as when its run or its control port is known. Nothing is written where that is said
    /// already.
    ///
    /// # Errors
    /// [`JournalError::Lock`]; what was there before still is.
    pub(super) fn name(&self, holder: &Holder) -> Result<(), JournalError> {
        if named(&self.dir).as_ref() == Some(holder) {
            return Ok(());
        }
        let path = self.dir.join(HOLDER_FILE);
        let write = || {
            // Under a name that nobody can have planted, and renamed when it is whole.
            let mut new = tempfile::NamedTempFile::new_in(&self.dir)?;
            new.write_all(&serde_json::to_vec_pretty(holder)?)?;
            Ok(new.persist(&path)?)
        };
        let written: io::Result<File> = write();
        written.map(drop).map_err(|source| JournalError::Lock { path, source })
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        // Another process's name is not ours to remove, and one that is left behind does no harm.
        if named(&self.dir).is_some_and(|holder| holder.pid == std::process::id()) {
            let _left_behind = fs::remove_file(self.dir.join(HOLDER_FILE));
        }
    }
}

/// Who says to hold the journal in `dir`. It may have been killed since.
///
/// # Errors
/// [`JournalError::Lock`] when that may not be read.
pub(super) fn named_holder(dir: &Path) -> Result<Option<Holder>, JournalError> {
    let path = dir.join(HOLDER_FILE);
    match fs::read(&path) {
        Ok(json) => Ok(serde_json::from_slice(&json).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Lock { path, source }),
    }
}

fn named(dir: &Path) -> Option<Holder> {
    named_holder(dir).ok().flatten()
}

/// Tries for so long to lock a file; returns whether it is locked now. The calling thread sleeps meanwhile.
///
/// # Errors
/// Those of the file system.
pub(super) fn lock_soon(file: &File, patience_ms: u64) -> io::Result<bool> {
    for _ in 0..patience_ms / TRY_AGAIN_AFTER_MS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(TRY_AGAIN_AFTER_MS)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// The error that names whoever has the journal, as far as they are known.
pub(super) fn in_use(dir: &Path) -> JournalError {
    let dir = dir.to_owned();
    match named(&dir) {
        Some(holder) => JournalError::InUse { dir, holder: Box::new(holder) },
        None => JournalError::InUseUnnamed { dir },
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

    fn acquire(dir: &Path, holder: &Holder) -> Result<JournalLock, JournalError> {
        let lock = JournalLock::acquire(dir, 20)?;
        lock.name(holder)?;
        Ok(lock)
    }

    #[test]
    fn a_second_process_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = acquire(dir.path(), &holder()).unwrap();
        let refused = acquire(dir.path(), &holder()).unwrap_err().to_string();
        assert!(refused.contains("process 4711 (`cutover run`) since 2026-01-31T22:00:00Z"), "{refused}");
        assert_eq!(named_holder(dir.path()).unwrap(), Some(holder()));
    }

    #[test]
    fn a_lock_that_was_given_back_can_be_taken_and_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(named_holder(dir.path()).unwrap(), None);
        let own = Holder { pid: std::process::id(), ..holder() };
        drop(acquire(dir.path(), &own).unwrap());
        assert_eq!(named_holder(dir.path()).unwrap(), None);
        acquire(dir.path(), &own).unwrap();
    }

    #[test]
    fn the_word_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire(dir.path(), &holder()).unwrap();
        drop(lock);
        assert_eq!(named_holder(dir.path()).unwrap(), Some(holder()));
    }

    #[test]
    fn what_a_killed_process_left_holds_nobody_back() {
        let dir = tempfile::tempdir().unwrap();
        drop(acquire(dir.path(), &holder()).unwrap());
        let next = Holder { pid: 4712, ..holder() };
        let _lock = acquire(dir.path(), &next).unwrap();
        assert_eq!(named_holder(dir.path()).unwrap(), Some(next));
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_is_there_may_live_and_one_that_cannot_be_does_not() {
        let of = |pid| Holder { pid, ..holder() };
        assert!(of(std::process::id()).may_live());
        assert!(!of(u32::MAX).may_live());
        assert!(!of(0).may_live());
    }

    #[cfg(unix)]
    #[test]
    fn links_in_the_place_of_its_files_are_not_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "as it was").unwrap();
        let planted = |name: &str| {
            std::os::unix::fs::symlink(&victim, dir.path().join(name)).unwrap();
        };
        planted(HOLDER_FILE);
        drop(acquire(dir.path(), &holder()).unwrap());
        fs::remove_file(dir.path().join(LOCK_FILE)).unwrap();
        planted(LOCK_FILE);
        assert!(matches!(acquire(dir.path(), &holder()), Err(JournalError::Lock { .. })));
        assert_eq!(fs::read_to_string(victim).unwrap(), "as it was");
    }

    #[test]
    fn the_holder_can_say_more_later() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire(dir.path(), &holder()).unwrap();
        let control = Control { port: 4000, token: ControlToken::new("let-me-in".to_owned()) };
        let more = Holder { run: Some("0198".to_owned()), control: Some(control), ..holder() };
        lock.name(&more).unwrap();
        let read = named_holder(dir.path()).unwrap().unwrap();
        assert_eq!(read, more);
        assert_eq!(read.control.as_ref().map(|control| control.token.expose()), Some("let-me-in"));
        assert!(!format!("{read:?}").contains("let-me-in"));
        let refused = acquire(dir.path(), &more).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("let-me-in"));
    }

    #[test]
    fn a_holder_without_a_name_is_still_a_holder() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = acquire(dir.path(), &holder()).unwrap();
        fs::write(dir.path().join(HOLDER_FILE), "{").unwrap();
        assert_eq!(named_holder(dir.path()).unwrap(), None);
        let refused = acquire(dir.path(), &holder());
        assert!(matches!(refused, Err(JournalError::InUseUnnamed { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_token() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let _lock = acquire(dir.path(), &holder()).unwrap();
        for name in [LOCK_FILE, HOLDER_FILE] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap().path().join("gone");
        let refused = acquire(&dir, &holder()).unwrap_err().to_string();
        assert!(refused.contains("gone"), "{refused}");
    }
}
