//! The CSV files of a report: the columns of each, and the lines that a row has in it.

use super::error::ReportError;
use super::outcome::{ExposedPerson, OutcomeRow, rfc3339};
use super::sink::Sink;
use super::summary::RunSummary;
use super::table::CsvTable;
use crate::core::{Problem, defused};
use crate::journal::{RunRecord, UnixMillis};
use crate::machine::Outcome;
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// The columns that the file of every job begins with.
const OUTCOMES: &str = "row,key,outcome,step,attempts,writes,started_at,finished_at,duration_ms,exposed_ms,\
     error_code,error,advice,request_id";
const EXPOSED: &str = "row,key,object_id,upn_now,upn_home,since,doubtful,advice";
const WARNED: &str = "row,line,key,object_id,code,warning,advice";

/// The cells of one line.
type Cells<'a> = Vec<Cow<'a, str>>;

/// Makes the lines of a row: mostly none or one.
type ToLines = for<'r> fn(&'r OutcomeRow<'_>) -> Vec<Cells<'r>>;

/// A CSV file of a report.
struct CsvSink {
    path: PathBuf,
    heading: Vec<String>,
    lines: ToLines,
    /// None as long as there is nothing to say in a file that is left out when it is empty.
    table: Option<CsvTable>,
}

/// A line a row.
pub(super) fn outcomes(path: &Path, run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    always(path, columns(OUTCOMES).chain(run.header.report_columns.iter().cloned()), outcome_lines)
}

/// The rows that are neither done nor unchanged, with their cells as they were, so that the file can be run again.
pub(super) fn unfinished(path: &Path, run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    let heading = run.header.input.header.iter().cloned();
    always(path, heading.chain(columns("cutover_outcome,cutover_error")), unfinished_lines)
}

/// Who cannot sign in now.
pub(super) fn exposed(path: &Path, _run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    Ok(if_any(path, EXPOSED, exposed_lines))
}

/// Rows that are done and still need somebody's attention, a line a warning.
pub(super) fn warned(path: &Path, _run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    Ok(if_any(path, WARNED, warned_lines))
}

fn columns(names: &str) -> impl Iterator<Item = String> {
    names.split(',').map(str::to_owned)
}

fn always(path: &Path, heading: impl Iterator<Item = String>, lines: ToLines) -> Result<Box<dyn Sink>, ReportError> {
    let heading: Vec<String> = heading.collect();
    let table = Some(CsvTable::create(path, &heading)?);
    Ok(Box::new(CsvSink { path: path.to_owned(), heading, lines, table }))
}

/// A file that is there only when it has a line.
fn if_any(path: &Path, heading: &str, lines: ToLines) -> Box<dyn Sink> {
    Box::new(CsvSink { path: path.to_owned(), heading: columns(heading).collect(), lines, table: None })
}

impl Sink for CsvSink {
    fn row(&mut self, row: &OutcomeRow<'_>) -> Result<(), ReportError> {
        for line in (self.lines)(row) {
            let table = match self.table.take() {
                Some(table) => table,
                None => CsvTable::create(&self.path, &self.heading)?,
            };
            self.table.insert(table).line(line)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _summary: &RunSummary) -> Result<bool, ReportError> {
        match self.table {
            Some(table) => table.finish().map(|_| true),
            // An old one is not true any more.
            None => match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ReportError::of_file(&self.path)(error)),
                Ok(()) | Err(_) => Ok(false),
            },
        }
    }
}

fn outcome_lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
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

fn unfinished_lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    if matches!(row.outcome, Outcome::Done | Outcome::Unchanged) {
        return Vec::new();
    }
    let mut line: Cells<'r> = row.input.cells.iter().map(Into::into).collect();
    line.push(row.outcome.word().into());
    line.push(defused(row.record.problem().map_or("", |problem| &problem.message)));
    vec![line]
}

fn exposed_lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    let line = |person: &'r ExposedPerson| {
        let text = |value: &'r Option<String>| defused(value.as_deref().unwrap_or_default());
        vec![
            person.row.to_string().into(),
            defused(&person.key),
            text(&person.object_id),
            text(&person.upn_now),
            defused(&person.upn_home),
            text(&person.since),
            if person.doubtful { "yes" } else { "no" }.into(),
            Cow::Owned(row.exposed_advice(person)),
        ]
    };
    row.exposed.iter().map(line).collect()
}

fn warned_lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    let line = |warning: &'r Problem| {
        vec![
            row.input.number.to_string().into(),
            row.input.line.to_string().into(),
            defused(row.key()),
            defused(row.own_cell("object_id").unwrap_or_default()),
            defused(&warning.code),
            defused(&warning.message),
            defused(&warning.advice),
        ]
    };
    row.warnings().iter().map(line).collect()
}
