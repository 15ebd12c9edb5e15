//! What a report says of single people: who cannot work now, who is done and still needs somebody, how long people could not
//! work. Gathered in the one pass over the rows that a report makes anyway.

use super::summary::{Liveness, rfc3339};
use crate::core::Problem;
use crate::journal::{InputRow, RowRecord, RunRecord};
use crate::machine::Outcome;
use serde::Serialize;

/// Somebody who cannot work now, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExposedPerson {
    /// Their row.
    pub row: u64,
    /// What identifies it.
    pub key: String,
    /// The account, where it is known.
    pub object_id: Option<String>,
    /// The UPN they have now, or may have.
    pub upn_now: Option<String>,
    /// The UPN they belong at.
    pub upn_home: String,
    /// Since when: RFC 3339, UTC.
    pub since: Option<String>,
    /// A write is not answered: they may be at home after all.
    pub doubtful: bool,
    /// The row is over, and going on with the run brings nobody back.
    pub stranded: bool,
}

/// People who are done and of whom somebody should know the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warned {
    /// Its code.
    pub code: String,
    /// How many they are.
    pub rows: u64,
    /// What it is, as it is told of the first of them.
    pub warning: String,
    /// What to do about it.
    pub advice: String,
}

/// What somebody should know of rows that are done, by its code.
pub(super) fn warned(run: &RunRecord) -> Vec<Warned> {
    let warned = run.warned.iter().map(|(code, warned)| Warned {
        code: code.clone(),
        rows: warned.rows,
        warning: warned.warning.clone(),
        advice: warned.advice.clone(),
    });
    warned.collect()
}

/// The person of a row, if they cannot work now. People whom another run has taken over are that run's.
pub(super) fn exposed_now(
    run: &RunRecord,
    live: &Liveness,
    input: &InputRow,
    record: &RowRecord,
) -> Option<ExposedPerson> {
    match live {
        Liveness::TakenOver { .. } if record.is_half_way() => None,
        Liveness::Nobody | Liveness::Live { .. } | Liveness::TakenOver { .. } => {
            exposed_person(run, input, record)
        }
    }
}

/// What somebody should know of a row that is done; those that are not have a reason of their own.
pub(super) fn warnings_of(record: &RowRecord) -> &[Problem] {
    match record.outcome() {
        Outcome::Done => &record.warnings,
        Outcome::Unchanged
        | Outcome::Refused
        | Outcome::Failed
        | Outcome::Reverted
        | Outcome::Held
        | Outcome::Stranded
        | Outcome::Pending => &[],
    }
}

/// The person of a row, if they cannot work now.
pub(super) fn exposed_person(
    run: &RunRecord,
    input: &InputRow,
    record: &RowRecord,
) -> Option<ExposedPerson> {
    let exposure = record.exposure(&run.header.rules)?;
    let key = key_of(run, input);
    Some(ExposedPerson {
        row: input.number.0,
        key: key.to_owned(),
        object_id: reported(run, record, "object_id"),
        upn_now: reported(run, record, "upn_after"),
        upn_home: key.trim().to_owned(),
        since: exposure.since.map(rfc3339),
        doubtful: exposure.doubtful,
        stranded: record.outcome() == Outcome::Stranded,
    })
}

/// What identifies a row, as it stands in the file.
pub(super) fn key_of<'i>(run: &RunRecord, input: &'i InputRow) -> &'i str {
    let cell = input.cells.get(run.header.input.key_cell);
    cell.map_or("", String::as_str)
}

/// A cell of the job's own columns, if it has that one.
pub(super) fn reported(run: &RunRecord, record: &RowRecord, column: &str) -> Option<String> {
    let columns = &run.header.report_columns;
    let at = columns.iter().position(|name| name == column)?;
    record
        .report
        .get(at)
        .filter(|cell| !cell.is_empty())
        .cloned()
}
