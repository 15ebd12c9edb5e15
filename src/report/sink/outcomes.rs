//! `outcomes.csv`: a line a row.

use super::Sink;
use super::csv_sink::{Cells, CsvSink};
use crate::core::{Problem, defused};
use crate::journal::{RunRecord, UnixMillis};
use crate::report::error::ReportError;
use crate::report::outcome::{OutcomeRow, rfc3339};
use std::borrow::Cow;
use std::path::Path;

/// The columns every job's file begins with.
const COLUMNS: [&str; 14] = [
    "row",
    "key",
    "outcome",
    "step",
    "attempts",
    "writes",
    "started_at",
    "finished_at",
    "duration_ms",
    "exposed_ms",
    "error_code",
    "error",
    "advice",
    "request_id",
];

pub(super) fn begin(path: &Path, run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    let own = run.header.report_columns.iter().map(String::as_str);
    let heading = COLUMNS.into_iter().chain(own).map(str::to_owned);
    CsvSink::always(path, heading.collect(), lines)
}

fn lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    let (run, record) = (row.run, row.record);
    let time = |at: Option<UnixMillis>| at.map_or_else(String::new, rfc3339).into();
    let duration = record.begun_at.zip(record.ended_at);
    let duration = duration.map(|(from, to)| to.saturating_sub(from).to_string());
    let of_problem = |part: fn(&Problem) -> &String| record.problem().map_or("", |one| part(one));
    let mut line: Cells<'r> = vec![
        row.input.number.to_string().into(),
        defused(row.key()),
        row.outcome.word().into(),
        record.last_step.map_or("", |step| run.step_name(step)).into(),
        record.attempts.to_string().into(),
        record.writes.to_string().into(),
        time(record.begun_at),
        time(record.ended_at),
        duration.unwrap_or_default().into(),
        record.exposed_ms.to_string().into(),
        defused(of_problem(|one| &one.code)),
        defused(of_problem(|one| &one.message)),
        Cow::Owned(defused(&row.advice()).into_owned()),
        defused(record.request_id.as_deref().unwrap_or_default()),
    ];
    let known = record.report.iter().map(|cell| defused(cell));
    let unknown = std::iter::repeat(Cow::Borrowed(""));
    line.extend(known.chain(unknown).take(run.header.report_columns.len()));
    vec![line]
}
