//! The tenant's memory on disk: an append-only file of JSON lines, each with the state of one user after a write.
//! A line is handed to the operating system before the reply leaves, so a killed process loses nothing it has
//! replied to. A power cut is not survived: nothing is flushed to the drive, as this is a simulation and not the
//! journal. The first line tells which tenant it is; a last line without its end is a write that nobody was told of,
//! and is cut off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Document, SimError, SimTime};

const FILE_NAME: &str = "tenant.jsonl";
const LOCK_NAME: &str = "lock";
/// The version of the file's form that this program writes and reads.
const VERSION: u32 = 2;

/// The first line: which tenant this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TenantIdentity {
    version: u32,
    seed: u64,
    population: String,
    /// When the tenant began; dates of the population hang on it.
    pub(super) born: SimTime,
}

impl TenantIdentity {
    pub(super) fn new(seed: u64, population: String, born: SimTime) -> Self {
        Self { version: VERSION, seed, population, born }
    }

    fn is_same(&self, other: &Self) -> bool {
        Self { born: other.born, ..self.clone() } == *other
    }
}

/// Every other line: a write, the state it left (None for a purged user), or both; or what operators made of risks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StateLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) write: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<(Uuid, Option<Document>)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) risks: Vec<(Uuid, Document)>,
}

/// An open state directory; no other process can open it meanwhile.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    /// When the tenant began.
    pub(super) born: SimTime,
    /// Reads on where it stopped, and writes at the end.
    file: BufReader<File>,
    lines_read: u64,
    bytes_read: u64,
    /// After a failed append the file may end in half a line, so nothing may follow it.
    is_broken: bool,
    _lock: File,
}

impl StateFile {
    /// Opens the directory, making it and the file where they are missing; `identity` is what the options say.
    pub(super) fn open(directory: &Path, identity: TenantIdentity) -> Result<Self, SimError> {
        let failed = |source| SimError::State(directory.to_owned(), source);
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = File::create(directory.join(LOCK_NAME)).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SimError::StateInUse(directory.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        let (born, file) = (identity.born, BufReader::new(file));
        let mut state = Self { path, born, file, lines_read: 0, bytes_read: 0, is_broken: false, _lock: lock };
        match state.next_line::<TenantIdentity>()? {
            Some(found) if found.is_same(&identity) => state.born = found.born,
            Some(_) => return Err(SimError::OtherTenant(state.path)),
            None => {
                state.append(&identity).map_err(failed)?;
                state.bytes_read = state.file.seek(SeekFrom::End(0)).map_err(failed)?;
                state.lines_read = 1;
            }
        }
        Ok(state)
    }

    /// Visits every whole line that was not read yet.
    pub(super) fn replay(&mut self, mut visit: impl FnMut(StateLine)) -> Result<(), SimError> {
        while let Some(line) = self.next_line()? {
            visit(line);
        }
        Ok(())
    }

    /// The next whole line; a torn last one is cut off.
    fn next_line<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SimError> {
        let failed = |source| SimError::State(self.path.clone(), source);
        let mut text = Vec::new();
        self.file.read_until(b'\n', &mut text).map_err(failed)?;
        if !text.ends_with(b"\n") {
            self.file.get_ref().set_len(self.bytes_read).map_err(failed)?;
            return Ok(None);
        }
        self.lines_read += 1;
        self.bytes_read += text.len() as u64;
        let unreadable = |source| SimError::StateUnreadable(self.path.clone(), self.lines_read, source);
        serde_json::from_slice(&text).map(Some).map_err(unreadable)
    }

    /// Adds a line. After an error no more are taken until the directory is opened again.
    pub(super) fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("an earlier write to the state file failed"));
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let outcome = self.file.get_mut().write_all(&text);
        self.is_broken = outcome.is_err();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance;
    use crate::sim::user;

    fn open_for_append(path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).open(path)
    }

    fn identity() -> TenantIdentity {
        TenantIdentity::new(7, "generated:1".to_owned(), SimTime(5))
    }

    fn line(upn: &str) -> StateLine {
        let id = chance::uuid([1; 16]);
        StateLine { user: Some((id, Some(user::document(id, upn, None)))), ..StateLine::default() }
    }

    fn lines(directory: &Path) -> Vec<StateLine> {
        let mut found = Vec::new();
        let mut file = StateFile::open(directory, identity()).unwrap();
        file.replay(|line| found.push(line)).unwrap();
        found
    }

    #[test]
    fn lines_come_back_and_a_torn_one_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        StateFile::open(directory.path(), identity()).unwrap().append(&line("a@c.com")).unwrap();
        let path = directory.path().join(FILE_NAME);
        let whole = fs::metadata(&path).unwrap().len();
        // A torn line may even be good JSON: without its end nobody was told of it.
        open_for_append(&path).unwrap().write_all(b"{\"user\":null}").unwrap();
        assert_eq!(lines(directory.path()), [line("a@c.com")]);
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        let mut file = StateFile::open(directory.path(), identity()).unwrap();
        file.append(&line("b@c.com")).unwrap();
        drop(file);
        assert_eq!(lines(directory.path()), [line("a@c.com"), line("b@c.com")]);
    }

    #[test]
    fn a_purged_user_is_remembered_as_none() {
        let purged = StateLine { user: Some((chance::uuid([1; 16]), None)), ..StateLine::default() };
        let text = serde_json::to_string(&purged).unwrap();
        assert_eq!(serde_json::from_str::<StateLine>(&text).unwrap(), purged);
    }

    #[test]
    fn a_torn_header_is_a_new_tenant_and_damage_inside_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, b"{\"version\":1").unwrap();
        assert_eq!(lines(directory.path()), []);
        open_for_append(&path).unwrap().write_all(b"nonsense\n").unwrap();
        let mut file = StateFile::open(directory.path(), identity()).unwrap();
        assert!(matches!(file.replay(|_| {}), Err(SimError::StateUnreadable(_, 2, _))));
    }

    #[test]
    fn another_tenants_state_and_a_second_process_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateFile::open(directory.path(), identity()).unwrap();
        let second = StateFile::open(directory.path(), identity());
        assert!(matches!(second, Err(SimError::StateInUse(_))));
        drop(first);
        let other = TenantIdentity::new(8, "generated:1".to_owned(), SimTime(5));
        assert!(matches!(StateFile::open(directory.path(), other), Err(SimError::OtherTenant(_))));
    }
}
