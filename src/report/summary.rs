//! The numbers of a run, as `summary.json` and `status --json` give them.

use super::liveness::{Liveness, RunStatus, UnderWay};
use super::outcome::{ExposedPerson, OutcomeRow, rfc3339};
use crate::journal::{JournalError, RunReader, RunRecord, RunState, Stop, Warned};
use crate::machine::Outcome;
use crate::services::budget::Quota;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its name.
    pub run: String,
    /// The job.
    pub job: String,
    /// The target.
    pub target: String,
    /// What was given as `--target` when it was begun.
    pub target_spec: String,
    /// How it stands.
    pub state: RunStatus,
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
    pub outcomes: BTreeMap<String, u64>,
    /// Rows that are done although somebody should know something, by its code.
    pub warnings: BTreeMap<String, u64>,
    /// The same in words.
    pub warned: Vec<WarningGroup>,
    /// How many rows those are; one may have several warnings.
    pub warned_rows: u64,
    /// Writes that took effect.
    pub writes: u64,
    /// Reads sent.
    pub reads: u64,
    /// Replies that said the service was throttling.
    pub throttled: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; null while rows are pending.
    pub finished_at: Option<String>,
    /// How long people could not work.
    pub exposed_ms: ExposureTimes,
    /// Writes a second.
    pub rate: Rate,
    /// How far the journal has it.
    pub journal: LogHead,
}

/// The end of a run's log: noted elsewhere, it proves later that nothing up to here was changed or cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The last link of its hash chain, in hexadecimal digits.
    pub head: String,
    /// How many records it has.
    pub records: u64,
}

/// How long people could not work, over the rows that were exposed at all. Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureTimes {
    /// Half of them no longer than this.
    pub p50: u64,
    /// All but one in a hundred.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Writes a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Over the time in which rows were worked on; pauses do not count.
    pub mean: f64,
    /// What the budget of writes allows.
    pub budget: f64,
    /// The budget that limits the run at present, such as `reads`; null if none does, or no process works on it.
    pub binding: Option<String>,
}

/// People who are done and of whom somebody should know the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningGroup {
    /// Its code.
    pub code: String,
    /// How many they are, and what it is.
    #[serde(flatten)]
    pub people: Warned,
}

/// The numbers of a run: costs the same however many rows it has.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub fn summarize(run: &RunRecord, reader: &mut RunReader, live: &Liveness) -> Result<RunSummary, JournalError> {
    let exposed = reader.exposed()?;
    let exposed = exposed.iter().filter_map(|(input, record)| OutcomeRow::new(run, live, input, record).exposed);
    Ok(RunSummary::of(run, exposed.collect(), live))
}

impl RunSummary {
    pub(super) fn of(run: &RunRecord, exposed: Vec<ExposedPerson>, live: &Liveness) -> RunSummary {
        let outcomes = Outcome::ALL.map(|outcome| (outcome.word().to_owned(), run.outcome_count(outcome)));
        let known = live.live();
        let per_second = || run.header.write_quota.parse().map_or(0.0, Quota::per_second);
        let rate = Rate {
            mean: round(mean_rate(run)),
            budget: round(known.map_or_else(per_second, |live| live.budget)),
            binding: known.and_then(|live| live.binding.clone()),
        };
        let group = |(code, people): (&String, &Warned)| WarningGroup { code: code.clone(), people: people.clone() };
        let (state, reason) = status(run, live);
        RunSummary {
            run: run.id().to_string(),
            job: run.header.job.clone(),
            target: run.header.target.clone(),
            target_spec: run.header.target_spec.clone(),
            taken_over_by: match live {
                Liveness::TakenOver { by } => Some(by.to_string()),
                Liveness::Nobody | Liveness::Live(_) => None,
            },
            warnings: run.warned.iter().map(|(code, people)| (code.clone(), people.rows)).collect(),
            warned: run.warned.iter().map(group).collect(),
            warned_rows: run.warned_rows,
            exposed_ms: ExposureTimes {
                p50: run.exposures.quantile_ms(0.5),
                p99: run.exposures.quantile_ms(0.99),
                max: run.exposures.max_ms(),
            },
            exposed,
            state,
            reason,
            under_way: known.map(|live| live.under_way),
            slow: known.and_then(|live| live.slow.clone()),
            rows: run.rows,
            outcomes: outcomes.into_iter().collect(),
            writes: run.writes,
            reads: run.reads,
            throttled: run.throttled,
            started_at: rfc3339(run.header.started_at),
            finished_at: run.is_complete().then(|| rfc3339(run.last_at)),
            rate,
            journal: LogHead { head: run.head.hash.to_string(), records: run.head.records },
        }
    }

    /// How many rows have this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.word()).copied().unwrap_or(0)
    }

    /// Rows that need no more attention.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.count(Outcome::Done) + self.count(Outcome::Unchanged)
    }

    /// Who cannot sign in, with no process on its way to help: those of a live run are exposed only as long as their writes
    /// take.
    pub fn left_exposed(&self) -> impl Iterator<Item = &ExposedPerson> {
        let is_left = self.under_way.is_none();
        self.exposed.iter().filter(move |_| is_left)
    }
}

fn mean_rate(run: &RunRecord) -> f64 {
    match run.worked_ms() {
        0 => 0.0,
        ms => run.writes as f64 * 1_000.0 / ms as f64,
    }
}

/// How it stands, and why it does not run.
fn status(run: &RunRecord, live: &Liveness) -> (RunStatus, Option<String>) {
    match (live, &run.state) {
        (Liveness::Live(live), _) => (live.state, live.reason.clone()),
        (Liveness::TakenOver { by }, _) => {
            (RunStatus::Stopped, Some(format!("run {by} has taken over the people who were half way")))
        }
        (Liveness::Nobody, RunState::Stopped(Stop::Requested(why) | Stop::Fault(why))) => {
            (RunStatus::Stopped, Some(why.clone()))
        }
        (Liveness::Nobody, RunState::Stopped(Stop::Finished)) => (RunStatus::Stopped, None),
        (Liveness::Nobody, RunState::Finished) => (RunStatus::Finished, None),
        (Liveness::Nobody, RunState::Open | RunState::Importing) => (RunStatus::Interrupted, None),
    }
}

fn round(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
