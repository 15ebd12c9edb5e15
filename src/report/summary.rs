//! The numbers of a run, as `summary.json` and `status --json` give them.

use super::gathered::{ExposedPerson, Warned, exposed_now, warned};
use crate::journal::{JournalError, RunId, RunReader, RunRecord, RunState, Stop, UnixMillis};
use crate::machine::Outcome;
use crate::runner::{Hold, Standing};
use crate::services::budget::Quota;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a live process is doing with a run, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// No process works on it.
    Nobody,
    /// Nor will one: another run has taken over the people who were half way.
    TakenOver {
        /// That run.
        by: RunId,
    },
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

impl Liveness {
    /// Of a run that no process works on.
    #[must_use]
    pub fn idle(taken_over_by: Option<RunId>) -> Liveness {
        taken_over_by.map_or(Liveness::Nobody, |by| Liveness::TakenOver { by })
    }
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
    /// What was given as `--target` when it was begun.
    pub target_spec: String,
    /// `running`, `paused`, `draining`, `waiting`, `interrupted`, `stopped` or `finished`.
    pub state: &'static str,
    /// Why it is paused, draining, waiting or stopped; null in the other states.
    pub reason: Option<String>,
    /// The run that has taken over its people who were half way, if one has.
    pub taken_over_by: Option<String>,
    /// Who cannot work now, in the order of the input.
    pub exposed: Vec<ExposedPerson>,
    /// Whom a live process works on; null while there is none.
    pub under_way: Option<UnderWay>,
    /// Why a live process sends nothing at present, or less than its budget; null where it does neither.
    pub slow: Option<String>,
    /// All rows.
    pub rows: u64,
    /// Rows by outcome, all eight.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Rows that are done although somebody should know something, by its code.
    pub warnings: BTreeMap<String, u64>,
    /// The same in words.
    pub warned: Vec<Warned>,
    /// How many rows those are; one may have several warnings.
    pub warned_rows: u64,
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

/// The numbers of a run: costs the same however many rows it has.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub fn summarize(
    run: &RunRecord,
    reader: &mut RunReader,
    live: &Liveness,
) -> Result<Summary, JournalError> {
    let mut exposed = Vec::new();
    for (input, record) in reader.exposed()? {
        exposed.extend(exposed_now(run, live, &input, &record));
    }
    Ok(Summary::of(run, exposed, live))
}

impl Summary {
    pub(super) fn of(run: &RunRecord, exposed: Vec<ExposedPerson>, live: &Liveness) -> Summary {
        let outcomes = Outcome::ALL.map(|outcome| (outcome.word(), run.outcome_count(outcome)));
        let seconds = run.worked_ms() as f64 / 1_000.0;
        let mean = if seconds > 0.0 {
            run.writes as f64 / seconds
        } else {
            0.0
        };
        let (under_way, slow, quota) = match live {
            Liveness::Nobody | Liveness::TakenOver { .. } => {
                (None, None, run.header.write_quota.parse().ok())
            }
            Liveness::Live {
                standing: _,
                under_way,
                writes,
                slow,
            } => (Some(*under_way), slow.clone(), Some(*writes)),
        };
        let warned = warned(run);
        Summary {
            run: run.id().to_string(),
            job: run.header.job.clone(),
            target: run.header.target.clone(),
            target_spec: run.header.target_spec.clone(),
            taken_over_by: taken_over_by(live),
            warnings: warned
                .iter()
                .map(|one| (one.code.clone(), one.rows))
                .collect(),
            warned,
            warned_rows: run.warned_rows,
            exposed_ms: Exposed {
                p50: run.exposures.quantile_ms(0.5),
                p99: run.exposures.quantile_ms(0.99),
                max: run.exposures.max_ms(),
            },
            exposed,
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

fn taken_over_by(live: &Liveness) -> Option<String> {
    match live {
        Liveness::TakenOver { by } => Some(by.to_string()),
        Liveness::Nobody | Liveness::Live { .. } => None,
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
        (Liveness::TakenOver { .. }, _) => "stopped",
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
        (Liveness::TakenOver { by }, _) => Some(format!(
            "run {by} has taken over the people who were half way"
        )),
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
