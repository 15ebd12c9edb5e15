//! Bytes kept back for the moment when the disk is full.
//!
//! A run that cannot write any more cannot help those who are half way either: no write may leave before its intent is
//! durable. So while a run is worked on, a file of real bytes lies in the journal's folder. When the log is refused room, it
//! gives this file up and has enough for every row under way to be brought to safety, forward or back.
//!
//! The bytes do not repeat themselves, since a file system that compresses would keep none of a row of zeros, and they are
//! written rather than asked for, since a file system may promise more than it has. What is shared here between threads is
//! one word only: that room has become short, and why ([`Shortage`]).

use super::log_file::{private, sync_directory_of};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The file in the journal's folder.
const RESERVE_FILE: &str = "reserve";

/// Most rows under way at once, of which each may be half way.
const ROWS_IN_FLIGHT_MAX: u64 = 256;

/// Transitions until a row is in safety: a step forward is one, an undo of all steps with every attempt that the shipped
/// jobs allow stays below this.
const TRANSITIONS_PER_ROW_MAX: u64 = 16;

/// Bytes of one transition, its frame included. Measured with the shipped job: 305 in the middle, 657 at most; a service's
/// long reasons come on top.
const BYTES_PER_TRANSITION_MAX: u64 = 2 << 10;

/// What is kept back: 8 MiB.
pub const RESERVE_BYTES: u64 = ROWS_IN_FLIGHT_MAX * TRANSITIONS_PER_ROW_MAX * BYTES_PER_TRANSITION_MAX;

/// Written at once while the file is made.
const CHUNK_BYTES: usize = 1 << 16;

/// Whether an error says that there is no room, so that giving something up may help. A file that has become too long for
/// its file system or its owner's limit is none of these: room elsewhere does not help it.
#[must_use]
pub fn is_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether room has become short, for everybody who wants to know. It never becomes enough again in the same process: what
/// was kept back is gone then.
#[derive(Debug, Clone, Default)]
pub struct Shortage(Arc<OnceLock<String>>);

impl Shortage {
    /// Says that room is short, and why; only the first reason is kept.
    pub fn note(&self, why: &io::Error) {
        // An error that was passed on by a library is not written for people.
        let text = match why.raw_os_error() {
            Some(_) => why.to_string(),
            None => why.kind().to_string(),
        };
        // The first reason is the one that counts.
        let _known = self.0.set(text);
    }

    /// What the system said, once room is short.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The file, until it is given up or dropped; then it is removed.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// Makes the reserve of the journal in `dir`, or takes over what a killed process has left.
    ///
    /// # Errors
    /// Those of the file system. What was written of it is removed.
    pub fn make(dir: &Path) -> io::Result<Reserve> {
        let reserve = Reserve { path: dir.join(RESERVE_FILE) };
        if !reserve.is_whole() {
            reserve.fill()?;
        }
        Ok(reserve)
    }

    /// Gives the bytes back to the disk. Somebody who needed room may have done so already.
    ///
    /// # Errors
    /// Those of the file system, when the file cannot be removed.
    pub fn give_up(self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = private().truncate(true).open(&self.path)?;
        // Any seed will do: that the bytes do not repeat is all that is wanted.
        let mut bytes = ChaCha8Rng::seed_from_u64(RESERVE_BYTES);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = RESERVE_BYTES;
        while left > 0 {
            // Fits: no more than a chunk.
            let count = left.min(CHUNK_BYTES as u64) as usize;
            bytes.fill_bytes(&mut chunk[..count]);
            file.write_all(&chunk[..count])?;
            left -= count as u64;
        }
        // Some file systems find out only now that they have no room.
        file.sync_all()?;
        sync_directory_of(&self.path)
    }

    fn is_whole(&self) -> bool {
        let found = std::fs::metadata(&self.path);
        found.is_ok_and(|found| found.len() == RESERVE_BYTES && has_its_bytes(&found))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // A reserve that was given up is gone already, and one that is left behind is taken over next time.
        let _left_behind = std::fs::remove_file(&self.path);
    }
}

/// A power cut may leave a file with its length and without its bytes.
#[cfg(unix)]
fn has_its_bytes(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    /// The unit of the number of blocks, whatever the file system's own is.
    const BLOCK_BYTES: u64 = 512;
    found.blocks() * BLOCK_BYTES >= RESERVE_BYTES
}

#[cfg(not(unix))]
fn has_its_bytes(_found: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_reserve_is_there_while_it_is_held_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE);
        let reserve = Reserve::make(dir.path()).unwrap();
        assert!(reserve.is_whole());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(reserve);
        assert!(!path.exists());
        Reserve::make(dir.path()).unwrap().give_up().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_part_of_a_reserve_or_a_hole_is_made_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE);
        std::fs::write(&path, b"short").unwrap();
        assert!(Reserve::make(dir.path()).unwrap().is_whole());
        File::create(&path).unwrap().set_len(RESERVE_BYTES).unwrap();
        let reserve = Reserve::make(dir.path()).unwrap();
        assert!(reserve.is_whole());
        assert_ne!(std::fs::read(&path).unwrap()[..64], [0; 64]);
    }

    #[test]
    fn only_want_of_room_counts_as_such() {
        use io::ErrorKind::*;
        assert!([StorageFull, QuotaExceeded].map(io::Error::from).iter().all(is_want_of_room));
        let others = [FileTooLarge, ReadOnlyFilesystem, PermissionDenied, WriteZero, Other];
        assert!(!others.map(io::Error::from).iter().any(is_want_of_room));
    }

    #[test]
    fn the_first_reason_stays() {
        let shortage = Shortage::default();
        assert_eq!(shortage.reason(), None);
        let passed_on = io::Error::new(io::ErrorKind::StorageFull, "Os { code: 28 }");
        shortage.clone().note(&passed_on);
        shortage.note(&io::ErrorKind::QuotaExceeded.into());
        assert_eq!(shortage.reason(), Some("no storage space"));
    }
}
