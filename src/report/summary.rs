//! The numbers of a run, as `summary.json` and `status --json` give them.

use crate::journal::{JournalError, RowRecord, RunReader, RunRecord, RunState, Stop, UnixMillis};
use crate::machine::Outcome;
use crate::pace::Quota;
use crate::runner::{Hold, Standing};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Digits that the exposure's percentiles are kept to.
const DIGITS: u8 = 3;

/// Longest exposure that is told apart: 30 days, in milliseconds.
const EXPOSED_MS_MAX: u64 = 30 * 24 * 3_600 * 1_000;

/// What a live process is doing with a run, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// No process works on it.
    Nobody,
    /// A process works on it.
    Live {
        /// Whether it begins rows, and why not.
        standing: Standing,
        /// Whom it works on.
        under_way: UnderWay,
        /// Its budget of writes, which an operator may have lowered.
        writes: Quota,
        /// Why it sends nothing at present, or less than it could, in words.
        slow: Option<String>,
    },
}

/// Whom a live process works on at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UnderWay {
    /// Rows begun and not ended.
    pub rows: u64,
    /// People among them who cannot work now.
    pub exposed: u64,
}

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub run: String,
    /// The job.
    pub job: String,
    /// The target.
    pub target: String,
    /// `running`, `paused`, `draining`, `waiting`, `interrupted`, `stopped` or `finished`.
    pub state: &'static str,
    /// Why it is paused, draining, waiting or stopped; null in the other states.
    pub reason: Option<String>,
    /// Whom a live process works on; null while there is none.
    pub under_way: Option<UnderWay>,
    /// Why a live process sends nothing at present, or less than its budget; null where it does neither.
    pub slow: Option<String>,
    /// All rows.
    pub rows: u64,
    /// Rows by outcome, all eight.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Writes that took effect.
    pub writes: u64,
    /// Reads sent.
    pub reads: u64,
    /// Answers that said the service was throttling.
    pub throttled: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; null while rows are pending.
    pub finished_at: Option<String>,
    /// How long people could not work.
    pub exposed_ms: Exposed,
    /// Writes a second.
    pub rate: Rate,
    /// How far the journal has it.
    pub journal: Chain,
}

/// The end of a run's log: noted elsewhere, it proves later that nothing up to here was changed or cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The last link of its hash chain, in hexadecimal digits.
    pub head: String,
    /// How many records it has.
    pub records: u64,
}

/// How long people could not work, over the rows that were exposed at all. Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Exposed {
    /// Half of them no longer than this.
    pub p50: u64,
    /// All but one in a hundred.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Writes a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Over the time that processes worked on the run.
    pub mean: f64,
    /// What the budget allows.
    pub budget: f64,
}

/// Gathers exposures row by row.
pub(super) struct Exposures(Histogram<u64>);

impl Exposures {
    pub(super) fn new() -> Option<Exposures> {
        // None only if the bounds above were nonsense.
        Histogram::new_with_max(EXPOSED_MS_MAX, DIGITS)
            .ok()
            .map(Exposures)
    }

    pub(super) fn add(&mut self, record: &RowRecord) {
        if record.exposed_ms > 0 {
            self.0.saturating_record(record.exposed_ms);
        }
    }

    pub(super) fn figures(&self) -> Exposed {
        Exposed {
            p50: self.0.value_at_quantile(0.5),
            p99: self.0.value_at_quantile(0.99),
            max: self.0.max(),
        }
    }
}

/// The numbers of a run; reads every row once.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub fn summarize(
    run: &RunRecord,
    reader: &mut RunReader,
    live: &Liveness,
) -> Result<Summary, JournalError> {
    let mut exposures = Exposures::new();
    reader.each::<JournalError>(|_, record| {
        if let (Some(exposures), Some(record)) = (exposures.as_mut(), record) {
            exposures.add(record);
        }
        Ok(())
    })?;
    let exposed = exposures.map_or_else(Exposed::default, |all| all.figures());
    Ok(Summary::of(run, exposed, live))
}

impl Summary {
    pub(super) fn of(run: &RunRecord, exposed_ms: Exposed, live: &Liveness) -> Summary {
        let outcomes = Outcome::ALL.map(|outcome| (outcome.word(), run.outcome_count(outcome)));
        let seconds = run.worked_ms() as f64 / 1_000.0;
        let mean = if seconds > 0.0 {
            run.writes as f64 / seconds
        } else {
            0.0
        };
        let (under_way, slow, quota) = match live {
            Liveness::Nobody => (None, None, run.header.write_quota.parse().ok()),
            Liveness::Live {
                standing: _,
                under_way,
                writes,
                slow,
            } => (Some(*under_way), slow.clone(), Some(*writes)),
        };
        Summary {
            run: run.id().to_string(),
            job: run.header.job.clone(),
            target: run.header.target.clone(),
            state: state_word(run, live),
            reason: reason(run, live),
            under_way,
            slow,
            rows: run.rows,
            outcomes: outcomes.into_iter().collect(),
            writes: run.writes,
            reads: run.reads,
            throttled: run.throttled,
            started_at: rfc3339(run.header.started_at),
            finished_at: run.is_complete().then(|| rfc3339(run.last_at)),
            exposed_ms,
            rate: Rate {
                mean: round(mean),
                budget: round(quota.map_or(0.0, Quota::per_second)),
            },
            journal: Chain {
                head: run.head.hash.to_string(),
                records: run.head.records,
            },
        }
    }
}

fn state_word(run: &RunRecord, live: &Liveness) -> &'static str {
    match (live, &run.state) {
        (Liveness::Live { standing, .. }, _) => match standing {
            Standing::Running => "running",
            Standing::Held(Hold::Operator(_)) => "paused",
            Standing::Held(Hold::Window { .. }) => "waiting",
            Standing::Stopping(_) => "draining",
        },
        (Liveness::Nobody, RunState::Finished) => "finished",
        (Liveness::Nobody, RunState::Stopped(_)) => "stopped",
        (Liveness::Nobody, RunState::Open | RunState::Importing) => "interrupted",
    }
}

fn reason(run: &RunRecord, live: &Liveness) -> Option<String> {
    match (live, &run.state) {
        (Liveness::Live { standing, .. }, _) => match standing {
            Standing::Running => None,
            Standing::Held(hold) => Some(hold.to_string()),
            Standing::Stopping(reason) => Some(reason.text().to_owned()),
        },
        (Liveness::Nobody, RunState::Stopped(Stop::Requested(why) | Stop::Fault(why))) => {
            Some(why.clone())
        }
        (
            Liveness::Nobody,
            RunState::Stopped(Stop::Finished)
            | RunState::Finished
            | RunState::Open
            | RunState::Importing,
        ) => None,
    }
}

fn round(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// A time in UTC as RFC 3339 with milliseconds.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(at) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => String::new(),
    }
}
