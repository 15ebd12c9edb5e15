//! One row of a report, with typed fields: what every file of the report is made from. How a field is shown is each file's
//! business.

use super::summary::Liveness;
use crate::core::Problem;
use crate::journal::{InputRow, RowNumber, RowRecord, RunId, RunRecord, UnixMillis};
use crate::machine::Outcome;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A row and how it stands.
pub struct OutcomeRow<'a> {
    /// Its number in the input.
    pub number: RowNumber,
    /// The line of the file at which it begins.
    pub line: u64,
    /// What identifies it, as it stands in the file.
    pub key: &'a str,
    /// Its cells, as in the file.
    pub cells: &'a [String],
    /// How it ended, or that it has not.
    pub outcome: Outcome,
    /// The last step begun.
    pub step: Option<&'a str>,
    /// Writes begun.
    pub attempts: u32,
    /// Writes that took effect.
    pub writes: u32,
    /// When it was begun.
    pub begun_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// For how long the person could not work.
    pub exposed_ms: u64,
    /// Why it ended as it did.
    pub problem: Option<&'a Problem>,
    /// What somebody should know although it is done.
    pub warnings: &'a [Problem],
    /// The service's id of the last request.
    pub request_id: Option<&'a str>,
    /// The account, where it is known.
    pub object_id: Option<&'a str>,
    /// The job's own columns; fewer than it has where nothing is known yet.
    pub own: &'a [String],
    /// How many of those the job has.
    pub own_columns: usize,
    /// Set when the person cannot work now.
    pub exposed: Option<ExposedPerson>,
    half_way: bool,
    run: RunId,
    live: &'a Liveness,
}

/// Somebody who cannot work now, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPerson {
    /// Their row.
    pub row: u64,
    /// What identifies it.
    pub key: String,
    /// The account, where it is known.
    pub object_id: Option<String>,
    /// The UPN they have now, or may have.
    pub upn_now: Option<String>,
    /// The UPN they should have.
    pub upn_home: String,
    /// Since when: RFC 3339, UTC.
    pub since: Option<String>,
    /// A write got no answer: they may be at home after all.
    pub doubtful: bool,
    /// The row has ended, so resuming the run helps nobody.
    pub stranded: bool,
}

impl<'a> OutcomeRow<'a> {
    /// A row of a run. `record` is `RowRecord::default()` for one that was not begun.
    #[must_use]
    pub fn new(run: &'a RunRecord, live: &'a Liveness, input: &'a InputRow, record: &'a RowRecord) -> OutcomeRow<'a> {
        let cell = input.cells.get(run.header.input.key_cell);
        let outcome = record.outcome();
        let mut row = OutcomeRow {
            number: input.number,
            line: input.line,
            key: cell.map_or("", String::as_str),
            cells: &input.cells,
            outcome,
            step: record.last_step.map(|step| run.step_name(step)),
            attempts: record.attempts,
            writes: record.writes,
            begun_at: record.begun_at,
            ended_at: record.ended_at,
            exposed_ms: record.exposed_ms,
            problem: record.problem(),
            // Rows that are not done have a problem, which says more.
            warnings: match outcome {
                Outcome::Done => &record.warnings,
                Outcome::Unchanged
                | Outcome::Refused
                | Outcome::Failed
                | Outcome::Reverted
                | Outcome::Held
                | Outcome::Stranded
                | Outcome::Pending => &[],
            },
            request_id: record.request_id.as_deref(),
            object_id: own_cell(run, record, "object_id"),
            own: &record.report,
            own_columns: run.header.report_columns.len(),
            exposed: None,
            half_way: record.is_half_way(),
            run: run.id(),
            live,
        };
        row.exposed = row.exposed_person(run, record);
        row
    }

    /// People whom another run has taken over are that run's.
    fn exposed_person(&self, run: &RunRecord, record: &RowRecord) -> Option<ExposedPerson> {
        if self.half_way && matches!(self.live, Liveness::TakenOver { .. }) {
            return None;
        }
        let exposure = record.exposure(&run.header.rules)?;
        Some(ExposedPerson {
            row: self.number.0,
            key: self.key.to_owned(),
            object_id: self.object_id.map(str::to_owned),
            upn_now: own_cell(run, record, "upn_after").map(str::to_owned),
            upn_home: self.key.trim().to_owned(),
            since: exposure.since.map(rfc3339),
            doubtful: exposure.doubtful,
            stranded: self.outcome == Outcome::Stranded,
        })
    }

    /// What to do about the row: what its problem says; for a row that has not ended, how it continues.
    #[must_use]
    pub fn advice(&self) -> Cow<'a, str> {
        let of_problem = || Cow::Borrowed(self.problem.map_or("", |problem| &problem.advice));
        if self.outcome != Outcome::Pending {
            return of_problem();
        }
        match (self.live, &self.exposed) {
            (Liveness::Live { .. }, _) => of_problem(),
            (Liveness::TakenOver { by }, _) => match self.half_way {
                true => format!("half way; run {by} continues it").into(),
                false => "not begun; run it again".into(),
            },
            (Liveness::Nobody, Some(person)) => self.exposed_advice(person).into(),
            (Liveness::Nobody, None) => match self.half_way {
                true => format!("half way; `cutover resume {}` continues it", self.run).into(),
                false => format!("not begun; `cutover resume {}` continues", self.run).into(),
            },
        }
    }

    /// What to do about somebody who cannot work.
    #[must_use]
    pub fn exposed_advice(&self, person: &ExposedPerson) -> String {
        let home = &person.upn_home;
        let now = person.upn_now.as_ref().filter(|now| *now != home);
        let place = match (now, person.doubtful) {
            (Some(now), true) => format!("may be at {now} and unable to sign in"),
            (Some(now), false) => format!("cannot sign in: is at {now}"),
            (None, true) => "may be unable to sign in".to_owned(),
            (None, false) => "cannot sign in".to_owned(),
        };
        match person.stranded {
            true => {
                format!("{place}; bring them back to {home} by hand: outcomes.csv says what went wrong")
            }
            false => format!("{place}; `cutover resume {}` finishes the row", self.run),
        }
    }
}

/// A cell of the job's own columns, if it has that one.
fn own_cell<'r>(run: &RunRecord, record: &'r RowRecord, column: &str) -> Option<&'r str> {
    let columns = &run.header.report_columns;
    let at = columns.iter().position(|name| name == column)?;
    let cell = record.report.get(at).filter(|cell| !cell.is_empty());
    cell.map(String::as_str)
}

/// A time in UTC as RFC 3339 with milliseconds.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(at) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => String::new(),
    }
}
