//! A small run in memory, whose log tests may forge.

use super::doubles::{Inline, MemoryLogFile, MemoryStore};
use super::error::JournalError;
use super::line::{ChainHash, Entry, Line, Place, resealed, write_line};
use super::log_file::LogFile;
use super::open::Journal;
use super::row::{Facts, RowNumber, Transition};
use super::run::{InputRow, RunHeader, RunId, Stop};
use super::session_tests::header;
use super::storage::Storage;
use super::verify::{Request, Verdict, verify_in};
use crate::core::Problem;
use crate::job::{Decision, StepId};
use crate::machine::{Attempt, Event, Forecast, Look, Observation};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Logs in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryStorage {
    logs: Arc<Mutex<BTreeMap<RunId, MemoryLogFile>>>,
}

impl MemoryStorage {
    pub fn bytes(&self, run: RunId) -> Vec<u8> {
        let medium = self.open_to_read(run).unwrap();
        let mut bytes = vec![0; medium.len().unwrap() as usize];
        super::log_file::read_full(&*medium, 0, &mut bytes).unwrap();
        bytes
    }

    pub fn remove_all(&self) {
        self.logs.lock().unwrap().clear();
    }

    pub fn put(&self, run: RunId, bytes: Vec<u8>) {
        let medium = MemoryLogFile::holding(bytes);
        self.logs.lock().unwrap().insert(run, medium);
    }
}

impl Storage for MemoryStorage {
    fn logs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(self.logs.lock().unwrap().keys().copied().collect())
    }

    fn create(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.put(run, Vec::new());
        self.open(run)
    }

    fn open(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        let logs = self.logs.lock().unwrap();
        let gone = || self.failed(run, io::ErrorKind::NotFound.into());
        Ok(Box::new(logs.get(&run).ok_or_else(gone)?.clone()))
    }

    fn open_to_read(&self, run: RunId) -> Result<Box<dyn LogFile>, JournalError> {
        self.open(run)
    }

    fn remove(&self, run: RunId) -> Result<(), JournalError> {
        self.logs.lock().unwrap().remove(&run);
        Ok(())
    }

    fn failed(&self, run: RunId, source: io::Error) -> JournalError {
        JournalError::File { what: "log", path: run.to_string().into(), source }
    }
}

/// A line taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineParts {
    pub group: u64,
    pub place: Place,
    pub hash: ChainHash,
    pub record: Vec<u8>,
}

/// The lines of a whole log.
pub(super) fn lines(bytes: &[u8]) -> Vec<LineParts> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let parts = lines.map(|bytes| {
        let line = Line::parse(bytes).unwrap();
        LineParts { group: line.group, place: line.place, hash: line.hash, record: line.record(bytes) }
    });
    parts.collect()
}

/// The log of these lines, every checksum computed anew and every hash as it stands.
pub(super) fn mended(lines: &[LineParts]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        resealed(&mut bytes, line.group, line.place, &line.hash, &line.record);
    }
    bytes
}

/// The link that such a line should have.
pub(super) fn hash_of(before: &ChainHash, line: &LineParts) -> ChainHash {
    write_line(&mut Vec::new(), before, line.group, line.place, &line.record).unwrap()
}

/// The log of groups of records, as a run writes it.
pub(super) fn log_of(id: RunId, groups: &[Vec<Entry>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut hash = ChainHash::genesis(id);
    for (group, entries) in (1..).zip(groups) {
        for (left, entry) in (0..entries.len()).rev().zip(entries) {
            let place = if left == 0 { Place::Last } else { Place::Within };
            let record = entry.encode().unwrap();
            hash = write_line(&mut bytes, &hash, group, place, &record).unwrap();
        }
    }
    bytes
}

pub(super) fn run_header() -> RunHeader {
    let dir = tempfile::tempdir().unwrap();
    let mut header = header(dir.path());
    header.id = RunId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
    header.input.path = "in.csv".into();
    header
}

pub(super) fn input_row(number: u64) -> InputRow {
    InputRow {
        number: RowNumber(number),
        line: number + 1,
        cells: vec![format!("p{number}@contoso.com")],
        planned: None,
    }
}

pub(super) fn problem(code: &str) -> Problem {
    Problem { code: code.into(), message: "m".into(), advice: "a".into() }
}

pub(super) fn moved(row: u64, at: u64, events: Vec<Event>) -> Entry {
    let events = events.into_iter().map(|event| (at, event)).collect();
    Entry::Moved(Transition { row: RowNumber(row), events, facts: Facts { reads: 1, ..Facts::default() } })
}

pub(super) fn begun(row: u64) -> Entry {
    let seen = Observation { decision: Decision::Next(StepId(0)), exposed: false };
    moved(row, 10, vec![Event::Admitted, Event::Observed(seen)])
}

pub(super) fn done(row: u64) -> Entry {
    let attempt = Attempt { step: StepId(0), number: 1 };
    let forecast = Forecast { look: Look::Rest, exposed: false };
    let goal = Observation { decision: Decision::Goal, exposed: false };
    let events = vec![Event::Durable(attempt), Event::Applied(attempt, forecast), Event::Observed(goal)];
    moved(row, 20, events)
}

/// Ten records in seven groups: four rows, of which one is refused, one done, one under way and one not begun.
pub(super) fn groups() -> Vec<Vec<Entry>> {
    let rejected = moved(2, 5, vec![Event::Rejected(problem("Guid"))]);
    vec![
        vec![Entry::began(run_header())],
        vec![Entry::Rows((1..=3).map(input_row).collect()), rejected, Entry::Rows(vec![input_row(4)])],
        vec![Entry::Imported { rows: 4, at: 6 }],
        vec![Entry::Opened { at: 7, program: "0".into() }],
        vec![begun(1), begun(3)],
        vec![done(1)],
        vec![Entry::Closed { at: 30, stop: Stop::Requested("enough".into()) }],
    ]
}

/// A journal in memory.
pub(super) struct World {
    pub id: RunId,
    pub disk: MemoryStorage,
    pub store: MemoryStore,
}

impl World {
    /// With one run of these groups, and a checkpoint that is up to it.
    pub fn of(groups: &[Vec<Entry>]) -> World {
        let world = World { id: run_header().id, disk: MemoryStorage::default(), store: MemoryStore::default() };
        world.disk.put(world.id, log_of(world.id, groups));
        world.journal();
        world
    }

    /// Opened as every command does.
    pub fn journal(&self) -> Journal {
        let (disk, store) = (Arc::new(self.disk.clone()), Arc::new(self.store.clone()));
        Journal::assemble(Path::new("journal"), disk, store, Arc::new(Inline::default())).unwrap()
    }

    pub fn lines(&self) -> Vec<LineParts> {
        lines(&self.disk.bytes(self.id))
    }

    /// Verified as it lies there, whatever was done to it.
    pub fn verdict(&self, head: Option<ChainHash>) -> Verdict {
        let request = Request { run: None, head };
        let verdicts = verify_in(Path::new("journal"), &self.disk, &self.store, &request);
        verdicts.unwrap().remove(0)
    }
}
