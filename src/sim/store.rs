//! The tenant's memory on disk: an append-only file of JSON lines, each with the state of one user after a write.
//! A line is handed to the operating system before the reply leaves, so a killed process loses nothing it has
//! answered for. A power cut is not survived: nothing is flushed to the drive, as this is a simulation and not the
//! journal. The first line tells which tenant it is; a last line without its end is a write that was never
//! answered, and is cut off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SimError;
use super::clock::UnixMillis;
use super::ledger::WriteRecord;
use super::risk::Risk;
use super::user::{User, UserId};

const FILE_NAME: &str = "tenant.jsonl";
const NEW_FILE_NAME: &str = "tenant.jsonl.new";
const LOCK_NAME: &str = "lock";
/// The version of the file's form that this program writes and reads.
const VERSION: u32 = 1;

/// The first line: which tenant this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    seed: u64,
    population: String,
    /// When the tenant began; dates of the population hang on it.
    pub(super) born: UnixMillis,
}

impl Header {
    pub(super) fn new(seed: u64, population: String, born: UnixMillis) -> Self {
        Self {
            version: VERSION,
            seed,
            population,
            born,
        }
    }

    fn is_of_same_tenant(&self, other: &Self) -> bool {
        (self.version, self.seed, &self.population)
            == (other.version, other.seed, &other.population)
    }
}

/// What became of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// Is like this now, live or deleted.
    Is(User),
    /// Is gone for good.
    Purged(UserId),
}

/// Every other line: a write, the state it left, or both; or what operators made of risks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) write: Option<WriteRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<Fate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) risks: Vec<(UserId, Risk)>,
}

/// An open state directory; no other process can open it meanwhile.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    header: Header,
    file: File,
    /// After a failed append the file may end in half a line, so nothing may follow it.
    broken: bool,
    _lock: File,
}

impl Store {
    /// Opens the directory, making it and the file where they are missing; `header` is what the options say.
    pub(super) fn open(directory: &Path, header: Header) -> Result<Self, SimError> {
        let failed = |source| SimError::State {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = File::create(directory.join(LOCK_NAME)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SimError::StateInUse {
                    path: directory.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let path = directory.join(FILE_NAME);
        let header = match read_header(&path)? {
            Some(found) if found.is_of_same_tenant(&header) => found,
            Some(_) => return Err(SimError::OtherTenant { path }),
            None => {
                write_file(&path, &header, std::iter::empty()).map_err(failed)?;
                header
            }
        };
        let file = open_for_append(&path).map_err(failed)?;
        Ok(Self {
            directory: directory.to_owned(),
            header,
            file,
            broken: false,
            _lock: lock,
        })
    }

    pub(super) fn born(&self) -> UnixMillis {
        self.header.born
    }

    /// Visits every whole line and cuts off a torn last one; gives the number of lines.
    pub(super) fn replay(&mut self, mut visit: impl FnMut(Line)) -> Result<u64, SimError> {
        let path = self.directory.join(FILE_NAME);
        let failed = |source| SimError::State {
            path: path.clone(),
            source,
        };
        let mut reader = BufReader::new(File::open(&path).map_err(failed)?);
        let mut text = Vec::new();
        let mut whole_bytes = 0;
        let mut number = 0;
        while reader.read_until(b'\n', &mut text).map_err(failed)? > 0 {
            if !text.ends_with(b"\n") {
                self.file.set_len(whole_bytes).map_err(failed)?;
                break;
            }
            number += 1;
            whole_bytes += text.len() as u64;
            if number > 1 {
                let unreadable = |source| SimError::StateUnreadable {
                    path: path.clone(),
                    line: number,
                    source,
                };
                visit(serde_json::from_slice(&text).map_err(unreadable)?);
            }
            text.clear();
        }
        Ok(number)
    }

    /// Adds a line. After an error no more are taken until the directory is opened again.
    pub(super) fn append(&mut self, line: &Line) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(
                "an earlier write to the state file failed",
            ));
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let outcome = self.file.write_all(&text);
        self.broken = outcome.is_err();
        outcome
    }

    /// Writes the file anew with these lines only. The old one stays until the new one is whole.
    pub(super) fn compact(&mut self, lines: impl Iterator<Item = Line>) -> Result<(), SimError> {
        let failed = |source| SimError::State {
            path: self.directory.clone(),
            source,
        };
        let (path, new_path) = (
            self.directory.join(FILE_NAME),
            self.directory.join(NEW_FILE_NAME),
        );
        write_file(&new_path, &self.header, lines).map_err(failed)?;
        fs::rename(&new_path, &path).map_err(failed)?;
        self.file = open_for_append(&path).map_err(failed)?;
        Ok(())
    }
}

/// The first line, or nothing when the file is missing or was never begun in full.
fn read_header(path: &Path) -> Result<Option<Header>, SimError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SimError::State {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut text = Vec::new();
    let read = BufReader::new(file).read_until(b'\n', &mut text);
    read.map_err(|source| SimError::State {
        path: path.to_owned(),
        source,
    })?;
    if !text.ends_with(b"\n") {
        return Ok(None);
    }
    let unreadable = |source| SimError::StateUnreadable {
        path: path.to_owned(),
        line: 1,
        source,
    };
    serde_json::from_slice(&text).map(Some).map_err(unreadable)
}

fn write_file(path: &Path, header: &Header, lines: impl Iterator<Item = Line>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut out, header)?;
    out.write_all(b"\n")?;
    for line in lines {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::new(7, "generated:1".to_owned(), UnixMillis(5))
    }

    fn line(upn: &str) -> Line {
        Line {
            fate: Some(Fate::Is(User::new(UserId::from_octets([1; 16]), upn, None))),
            ..Line::default()
        }
    }

    fn lines(directory: &Path) -> Vec<Line> {
        let mut found = Vec::new();
        Store::open(directory, header())
            .unwrap()
            .replay(|line| found.push(line))
            .unwrap();
        found
    }

    #[test]
    fn lines_come_back_and_a_torn_one_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        Store::open(directory.path(), header())
            .unwrap()
            .append(&line("a@c.com"))
            .unwrap();
        let path = directory.path().join(FILE_NAME);
        let whole = fs::metadata(&path).unwrap().len();
        // A torn line may even be good JSON: without its end it was not answered for.
        open_for_append(&path)
            .unwrap()
            .write_all(b"{\"fate\":null}")
            .unwrap();
        assert_eq!(lines(directory.path()), [line("a@c.com")]);
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        let mut store = Store::open(directory.path(), header()).unwrap();
        store.append(&line("b@c.com")).unwrap();
        drop(store);
        assert_eq!(lines(directory.path()), [line("a@c.com"), line("b@c.com")]);
    }

    #[test]
    fn a_line_of_an_earlier_version_is_read() {
        let old = r#"{"write":{"seq":1,"at":5,"id":"87e8cdb8-b76d-49a5-8e02-d720b4243f79","method":"patch",
            "changed":{"jobTitle":{"from":null,"to":"Baker"}},"client_request_id":null},
            "fate":{"Is":{"id":"87e8cdb8-b76d-49a5-8e02-d720b4243f79","upn":"bela.brown@fabrikam.com",
            "immutable_id":"x3e9uh0cI+DJ+oUTadxUiQ==","mail":"AsUpn","sync":"Never","role":"Ordinary","enabled":true,
            "deleted_at":null,"overrides":[["jobTitle","Baker"]]}}}"#;
        let line: Line = serde_json::from_str(old).unwrap();
        assert!(
            matches!(line.fate, Some(Fate::Is(user)) if &*user.upn == "bela.brown@fabrikam.com")
        );
        assert!(line.write.is_some() && line.risks.is_empty());
    }

    #[test]
    fn a_torn_header_is_a_new_tenant_and_damage_inside_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(&path, b"{\"version\":1").unwrap();
        assert_eq!(lines(directory.path()), []);
        open_for_append(&path)
            .unwrap()
            .write_all(b"nonsense\n")
            .unwrap();
        let mut store = Store::open(directory.path(), header()).unwrap();
        assert!(matches!(
            store.replay(|_| {}),
            Err(SimError::StateUnreadable { line: 2, .. })
        ));
    }

    #[test]
    fn another_tenants_state_and_a_second_process_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = Store::open(directory.path(), header()).unwrap();
        assert!(matches!(
            Store::open(directory.path(), header()),
            Err(SimError::StateInUse { .. })
        ));
        drop(first);
        let other = Header::new(8, "generated:1".to_owned(), UnixMillis(5));
        assert!(matches!(
            Store::open(directory.path(), other),
            Err(SimError::OtherTenant { .. })
        ));
    }

    #[test]
    fn a_compacted_file_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path(), header()).unwrap();
        for _ in 0..10 {
            store.append(&line("a@c.com")).unwrap();
        }
        store.compact([line("b@c.com")].into_iter()).unwrap();
        store.append(&line("c@c.com")).unwrap();
        drop(store);
        assert_eq!(lines(directory.path()), [line("b@c.com"), line("c@c.com")]);
        assert_eq!(
            Store::open(directory.path(), header()).unwrap().born(),
            UnixMillis(5)
        );
    }
}
