//! A small run in memory, whose log tests may forge.

use super::Writing;
use super::disk::Disk;
use super::entry::Entry;
use super::error_run::JournalError;
use super::frame::{ChainHash, HEADER_BYTES, Header, Place, crc_of, encode};
use super::medium::Medium;
use super::memory::MemoryMedium;
use super::memory_store::MemoryStore;
use super::open::{Journal, genesis};
use super::row::{Facts, RowNumber, Transition};
use super::run::{InputRow, RunHeader, RunId, Stop};
use super::session_tests::header;
use super::snapshot::Snapshot;
use super::verify::{Request, Scratch, Verdict};
use crate::core::Problem;
use crate::job::{Decision, StepId};
use crate::machine::{Attempt, Event, Forecast, Look, Observation};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

pub(super) const INLINE: Writing = Writing::Inline {
    barrier: Duration::ZERO,
    groups_per_write: 3,
};

/// Logs in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    logs: Arc<Mutex<BTreeMap<RunId, MemoryMedium>>>,
}

impl MemoryDisk {
    pub fn bytes(&self, run: RunId) -> Vec<u8> {
        let medium = self.open_to_read(run).unwrap();
        let mut bytes = vec![0; medium.len().unwrap() as usize];
        super::medium::read_full(&*medium, 0, &mut bytes).unwrap();
        bytes
    }

    pub fn remove_all(&self) {
        self.logs.lock().unwrap().clear();
    }

    pub fn put(&self, run: RunId, bytes: Vec<u8>) {
        let medium = MemoryMedium::holding(bytes);
        self.logs.lock().unwrap().insert(run, medium);
    }
}

impl Disk for MemoryDisk {
    fn logs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(self.logs.lock().unwrap().keys().copied().collect())
    }

    fn create(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        self.put(run, Vec::new());
        self.open(run)
    }

    fn open(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        let logs = self.logs.lock().unwrap();
        let gone = || self.failed(run, io::ErrorKind::NotFound.into());
        Ok(Box::new(logs.get(&run).ok_or_else(gone)?.clone()))
    }

    fn open_to_read(&self, run: RunId) -> Result<Box<dyn Medium>, JournalError> {
        self.open(run)
    }

    fn remove(&self, run: RunId) -> Result<(), JournalError> {
        self.logs.lock().unwrap().remove(&run);
        Ok(())
    }

    fn failed(&self, run: RunId, source: io::Error) -> JournalError {
        JournalError::File {
            what: "log",
            path: run.to_string().into(),
            source,
        }
    }
}

/// A frame taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub group: u64,
    pub place: Place,
    pub hash: ChainHash,
    pub payload: Vec<u8>,
}

/// The frames of a whole log.
pub(super) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some(header) = Header::parse(rest) {
        frames.push(Frame {
            group: header.group,
            place: header.place,
            hash: header.hash,
            payload: rest[HEADER_BYTES..header.frame_bytes()].to_vec(),
        });
        rest = &rest[header.frame_bytes()..];
    }
    frames
}

/// The log of these frames, every checksum mended and every hash as it stands.
pub(super) fn mended(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let (group, last) = (frame.group, frame.place == Place::Last);
        let crc = crc_of(group, frame.place, &frame.hash, &frame.payload);
        bytes.extend((frame.payload.len() as u32).to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        bytes.extend((group | u64::from(last) << 63).to_le_bytes());
        bytes.extend(frame.hash.as_bytes());
        bytes.extend(&frame.payload);
    }
    bytes
}

/// The log of groups of records, as a run writes it.
pub(super) fn log_of(id: RunId, groups: &[Vec<Entry>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut hash = genesis(id).hash;
    for (group, entries) in (1..).zip(groups) {
        for (at, entry) in entries.iter().enumerate() {
            let place = if at + 1 == entries.len() {
                Place::Last
            } else {
                Place::Within
            };
            let payload = entry.encode().unwrap();
            hash = encode(&mut bytes, &hash, group, place, &payload).unwrap();
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
    Problem {
        code: code.into(),
        message: "m".into(),
        advice: "a".into(),
    }
}

pub(super) fn moved(row: u64, at: u64, events: Vec<Event>) -> Entry {
    Entry::Moved(Transition {
        row: RowNumber(row),
        at,
        events,
        facts: Facts {
            reads: 1,
            ..Facts::default()
        },
    })
}

pub(super) fn begun(row: u64) -> Entry {
    let seen = Observation {
        decision: Decision::Next(StepId(0)),
        exposed: false,
    };
    moved(row, 10, vec![Event::Admitted, Event::Observed(seen)])
}

pub(super) fn done(row: u64) -> Entry {
    let attempt = Attempt {
        step: StepId(0),
        number: 1,
    };
    let forecast = Forecast {
        look: Look::Rest,
        exposed: false,
    };
    let goal = Observation {
        decision: Decision::Goal,
        exposed: false,
    };
    let events = vec![
        Event::Durable(attempt),
        Event::Applied(attempt, forecast),
        Event::Observed(goal),
    ];
    moved(row, 20, events)
}

/// Ten records in seven groups: four rows, of which one is refused, one done, one under way and one not begun.
pub(super) fn groups() -> Vec<Vec<Entry>> {
    let rejected = moved(2, 5, vec![Event::Rejected(problem("Guid"))]);
    vec![
        vec![Entry::Began(Box::new(run_header()))],
        vec![
            Entry::Rows((1..=3).map(input_row).collect()),
            rejected,
            Entry::Rows(vec![input_row(4)]),
        ],
        vec![Entry::Imported { rows: 4, at: 6 }],
        vec![Entry::Opened {
            at: 7,
            program: "0".into(),
        }],
        vec![begun(1), begun(3)],
        vec![done(1)],
        vec![Entry::Closed {
            at: 30,
            stop: Stop::Requested("enough".into()),
        }],
    ]
}

/// A journal in memory.
pub(super) struct World {
    pub id: RunId,
    pub disk: MemoryDisk,
    pub store: MemoryStore,
}

impl World {
    /// With one run of these groups, and a checkpoint that is up to it.
    pub fn of(groups: &[Vec<Entry>]) -> World {
        let world = World {
            id: run_header().id,
            disk: MemoryDisk::default(),
            store: MemoryStore::default(),
        };
        world.disk.put(world.id, log_of(world.id, groups));
        world.journal();
        world
    }

    /// Opened as every command does.
    pub fn journal(&self) -> Journal {
        let (disk, store) = (Arc::new(self.disk.clone()), Arc::new(self.store.clone()));
        Journal::assemble(Path::new("journal"), disk, store, INLINE).unwrap()
    }

    pub fn frames(&self) -> Vec<Frame> {
        frames(&self.disk.bytes(self.id))
    }

    /// Verified as it lies there, whatever was done to it.
    pub fn verdict(&self, head: Option<ChainHash>) -> Verdict {
        let journal = Snapshot::of(
            Path::new("journal"),
            Arc::new(self.disk.clone()),
            Arc::new(self.store.clone()),
        );
        let request = Request {
            run: None,
            head,
            scratch: Scratch::Memory,
        };
        journal.verify(&request).unwrap().remove(0)
    }
}
