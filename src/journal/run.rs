//! One run as the journal keeps it: what it was started with, and where it stands.

use super::exposures::Exposures;
use super::row::{RowNumber, UnixMillis};
use super::scan::Head;
use crate::batch::{Digest, Mapping};
use crate::machine::{Outcome, Rules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The name of a run: a UUID v7, so that runs sort by their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The file a run read its rows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFacts {
    /// Its path, absolute where that could be had.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its headings.
    pub header: Vec<String>,
    /// Which of them the job's columns are.
    pub mapping: Mapping,
    /// Which of them identifies a row.
    pub key_cell: usize,
}

impl InputFacts {
    /// The cell of a row that identifies it to people.
    #[must_use]
    pub fn key<'r>(&self, row: &'r InputRow) -> &'r str {
        row.cells.get(self.key_cell).map_or("", String::as_str)
    }
}

/// What a run was started with. It is the first record of its log and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Its name.
    pub id: RunId,
    /// The version of the program that began it.
    pub program: String,
    /// The job's name.
    pub job: String,
    /// The job file, whole.
    pub job_source: String,
    /// SHA-256 of it.
    pub job_digest: Digest,
    /// The machine's bounds, from the job.
    pub rules: Rules,
    /// The names of the job's steps, in order.
    pub steps: Vec<String>,
    /// The names of the job's report columns.
    pub report_columns: Vec<String>,
    /// The parameters, all of them.
    pub params: BTreeMap<String, String>,
    /// The input.
    pub input: InputFacts,
    /// Which tenant it is for, without secrets.
    pub target: String,
    /// What was given as `--target`.
    pub target_spec: String,
    /// The budget of writes it was started with, as in a connection file.
    pub write_quota: String,
    /// Who started it, and where.
    pub operator: String,
    /// When.
    pub started_at: UnixMillis,
    /// SHA-256 of the plan it executes, if it does.
    pub plan: Option<Digest>,
    /// The run whose people who were half way it has taken over, if it has: that one must not go on.
    pub adopts: Option<RunId>,
}

/// Why a process stopped working on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// Every row has ended.
    Finished,
    /// Somebody asked for it.
    Requested(String),
    /// The failure policy, or a fault that outlasted its patience.
    Fault(String),
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Its rows are being copied into the journal; nothing was sent.
    Importing,
    /// A process works on it, or did until it was killed.
    Open,
    /// The last process stopped before the end.
    Stopped(Stop),
    /// Every row has ended.
    Finished,
}

/// How many rows are where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    ended: [u64; Outcome::ALL.len()],
}

impl Counts {
    /// Counts a row that ended.
    pub fn add(&mut self, outcome: Outcome) {
        self.ended[outcome as usize] += 1;
    }

    /// Counts a row that begins again.
    pub fn remove(&mut self, outcome: Outcome) {
        let ended = &mut self.ended[outcome as usize];
        *ended = ended.saturating_sub(1);
    }

    /// Rows that ended so. For pending rows ask [`RunRecord::outcome_count`].
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.ended[outcome as usize]
    }

    /// All rows that ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ended.iter().sum()
    }
}

/// Rows that are done and of which somebody should know the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warned {
    /// How many.
    pub rows: u64,
    /// What it is, as it is told of the first of them.
    pub warning: String,
    /// What to do about it.
    pub advice: String,
}

/// The present state of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// What it was started with.
    #[serde(with = "shared")]
    pub header: Arc<RunHeader>,
    /// Where it stands.
    pub state: RunState,
    /// How many rows it has.
    pub rows: u64,
    /// The rows that ended.
    pub counts: Counts,
    /// Every row up to here was begun.
    pub begun_through: u64,
    /// No row beyond this was begun.
    pub begun_max: u64,
    /// Writes that took effect.
    pub writes: u64,
    /// Reads sent.
    pub reads: u64,
    /// Throttling answers.
    pub throttled: u64,
    /// Rows under way whose person cannot work now, or could not if the process died.
    pub exposed: u64,
    /// How long people could not work.
    pub exposures: Exposures,
    /// Rows that are done although somebody should know something, by its code.
    pub warned: BTreeMap<String, Warned>,
    /// How many rows those are; one may have several warnings.
    pub warned_rows: u64,
    /// Rows that have been written to and have not ended.
    pub half_way: u64,
    /// Since when there are any without a break, while a process works on them.
    pub half_way_since: Option<UnixMillis>,
    /// Milliseconds in which there were any: neither pauses nor the time between two processes count.
    pub half_way_ms: u64,
    /// When the last record was written.
    pub last_at: UnixMillis,
    /// How much of the log this stands for.
    pub head: Head,
}

impl RunRecord {
    /// A run that has just begun.
    #[must_use]
    pub fn new(header: RunHeader, head: Head) -> RunRecord {
        let at = header.started_at;
        RunRecord {
            header: Arc::new(header),
            state: RunState::Importing,
            rows: 0,
            counts: Counts::default(),
            begun_through: 0,
            begun_max: 0,
            writes: 0,
            reads: 0,
            throttled: 0,
            exposed: 0,
            exposures: Exposures::default(),
            warned: BTreeMap::new(),
            warned_rows: 0,
            half_way: 0,
            half_way_since: None,
            half_way_ms: 0,
            last_at: at,
            head,
        }
    }

    /// The name of the run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.header.id
    }

    /// Rows with this outcome.
    #[must_use]
    pub fn outcome_count(&self, outcome: Outcome) -> u64 {
        if outcome == Outcome::Pending {
            return self.rows.saturating_sub(self.counts.total());
        }
        self.counts.of(outcome)
    }

    /// Whether all its rows were copied: before that nothing is sent for it, and it counts as never begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.state != RunState::Importing
    }

    /// Whether every row has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.has_begun() && self.counts.total() >= self.rows
    }

    /// Milliseconds in which rows were worked on, up to the last record.
    #[must_use]
    pub fn worked_ms(&self) -> u64 {
        let now = self.half_way_since;
        let now_ms = now.map_or(0, |since| self.last_at.saturating_sub(since));
        self.half_way_ms.saturating_add(now_ms)
    }

    /// The name of a step.
    #[must_use]
    pub fn step_name(&self, step: crate::job::StepId) -> &str {
        let name = self.header.steps.get(usize::from(step.0));
        name.map_or("?", String::as_str)
    }
}

/// Rows of the input, as they stood in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRow {
    /// Its number.
    #[serde(rename = "row")]
    pub number: RowNumber,
    /// The physical line it begins at.
    pub line: u64,
    /// Its cells, as in the file.
    pub cells: Vec<String>,
    /// What a plan says of it, where the run executes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
}

/// What a plan says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Planned {
    /// That it was seen like this, and is to be changed so.
    Sealed(Seal),
    /// Nothing.
    Absent,
}

/// Half of a SHA-256 over how a person was seen and what is to be done to them: two that are alike stand for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal(pub [u8; 16]);

/// A shared value is stored as itself.
pub(super) mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(value, serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}
