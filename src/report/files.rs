//! Writing the report files, in one pass over the rows.

use super::gathered::{ExposedPerson, exposed_now, exposed_person, key_of, reported, warnings_of};
use super::summary::{Liveness, Summary, rfc3339};
use super::table::{ReportError, Table, beside, failed, make_folder, put_in_place};
use crate::core::Problem;
use crate::core::defused;
use crate::journal::{InputRow, RowRecord, RunReader, RunRecord};
use crate::machine::Outcome;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The columns every job's `outcomes.csv` begins with.
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

/// The columns of `exposed.csv`.
const EXPOSED_COLUMNS: [&str; 8] = [
    "row",
    "key",
    "object_id",
    "upn_now",
    "upn_home",
    "since",
    "doubtful",
    "advice",
];

/// The columns of `warned.csv`.
const WARNED_COLUMNS: [&str; 7] = [
    "row",
    "line",
    "key",
    "object_id",
    "code",
    "warning",
    "advice",
];

/// Where the report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPaths {
    /// One line a row.
    pub outcomes: PathBuf,
    /// The rows that need another try or a person; as input for the same job.
    pub unfinished: PathBuf,
    /// Who cannot work now, where there is somebody.
    pub exposed: Option<PathBuf>,
    /// Rows that are done although somebody should know something, where there are some.
    pub warned: Option<PathBuf>,
    /// The numbers.
    pub summary: PathBuf,
}

/// Writes all report files of a run into a folder, which is made if it is not there.
///
/// # Errors
/// [`ReportError`].
pub fn write(
    run: &RunRecord,
    reader: &mut RunReader,
    dir: &Path,
    live: &Liveness,
) -> Result<(ReportPaths, Summary), ReportError> {
    make_folder(dir)?;
    let own = run.header.report_columns.iter().map(String::as_str);
    let heading: Vec<&str> = COLUMNS.into_iter().chain(own).collect();
    let mut outcomes = Table::create(dir.join("outcomes.csv"), &heading)?;
    let header = run.header.input.header.iter().map(String::as_str);
    let heading: Vec<&str> = header.chain(["cutover_outcome", "cutover_error"]).collect();
    let mut unfinished = Table::create(dir.join("unfinished.csv"), &heading)?;
    let mut warned = Rare::new(dir.join("warned.csv"), &WARNED_COLUMNS);
    let mut away = Vec::new();
    reader.each::<ReportError>(|input, record| {
        if let Some(record) = record {
            away.extend(exposed_now(run, live, input, record));
            for line in warned_lines(run, input, record) {
                warned.line(&line)?;
            }
        }
        outcomes.line(
            outcome_line(run, live, input, record)
                .iter()
                .map(|cell| defused(cell)),
        )?;
        if let Some(line) = unfinished_line(input, record) {
            unfinished.line(line)?;
        }
        Ok(())
    })?;
    let mut exposed = Rare::new(dir.join("exposed.csv"), &EXPOSED_COLUMNS);
    for person in &away {
        exposed.line(&exposed_line(run, person))?;
    }
    let summary = Summary::of(run, away, live);
    let paths = ReportPaths {
        outcomes: outcomes.finish()?,
        unfinished: unfinished.finish()?,
        exposed: exposed.finish()?,
        warned: warned.finish()?,
        summary: write_json(&dir.join("summary.json"), &summary)?,
    };
    Ok((paths, summary))
}

/// A file that is there only when something stands in it: one that is not true any more is removed.
struct Rare<'h> {
    path: PathBuf,
    heading: &'h [&'h str],
    table: Option<Table>,
}

impl<'h> Rare<'h> {
    fn new(path: PathBuf, heading: &'h [&'h str]) -> Rare<'h> {
        Rare {
            path,
            heading,
            table: None,
        }
    }

    fn line(&mut self, cells: &[String]) -> Result<(), ReportError> {
        let table = match self.table.take() {
            Some(table) => table,
            None => Table::create(self.path.clone(), self.heading)?,
        };
        let table = self.table.insert(table);
        table.line(cells.iter().map(|cell| defused(cell)))
    }

    fn finish(self) -> Result<Option<PathBuf>, ReportError> {
        match self.table {
            Some(table) => table.finish().map(Some),
            None => match std::fs::remove_file(&self.path) {
                Ok(()) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(failed(&self.path, source)),
            },
        }
    }
}

fn exposed_line(run: &RunRecord, person: &ExposedPerson) -> Vec<String> {
    vec![
        person.row.to_string(),
        person.key.clone(),
        person.object_id.clone().unwrap_or_default(),
        person.upn_now.clone().unwrap_or_default(),
        person.upn_home.clone(),
        person.since.clone().unwrap_or_default(),
        if person.doubtful { "yes" } else { "no" }.to_owned(),
        exposed_advice(run, person),
    ]
}

fn exposed_advice(run: &RunRecord, person: &ExposedPerson) -> String {
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
        false => format!(
            "{place}; `cutover resume {}` brings them to their end",
            run.id()
        ),
    }
}

/// One line for each thing that somebody should know of a row that is done.
fn warned_lines(run: &RunRecord, input: &InputRow, record: &RowRecord) -> Vec<[String; 7]> {
    let warnings = warnings_of(record).iter();
    let line = |warning: &Problem| {
        [
            input.number.to_string(),
            input.line.to_string(),
            key_of(run, input).to_owned(),
            reported(run, record, "object_id").unwrap_or_default(),
            warning.code.clone(),
            warning.message.clone(),
            warning.advice.clone(),
        ]
    };
    warnings.map(line).collect()
}

/// What to do about a row: what its problem says, and of one that is not at its end, who goes on with it.
fn advice(run: &RunRecord, live: &Liveness, input: &InputRow, record: &RowRecord) -> String {
    let problem = record.problem().map(|problem| problem.advice.clone());
    if record.outcome() != Outcome::Pending {
        return problem.unwrap_or_default();
    }
    match live {
        Liveness::Live { .. } => problem.unwrap_or_default(),
        Liveness::TakenOver { by } if record.is_half_way() => {
            format!("half way; run {by} goes on with it")
        }
        Liveness::TakenOver { .. } => "not begun; run it anew".to_owned(),
        Liveness::Nobody => match exposed_person(run, input, record) {
            Some(person) => exposed_advice(run, &person),
            None if record.is_half_way() => {
                format!("half way; `cutover resume {}` goes on with it", run.id())
            }
            None => format!("not begun; `cutover resume {}` goes on", run.id()),
        },
    }
}

fn outcome_line(
    run: &RunRecord,
    live: &Liveness,
    input: &InputRow,
    record: Option<&RowRecord>,
) -> Vec<String> {
    let key = key_of(run, input).to_owned();
    let blank = RowRecord::default();
    let record = record.unwrap_or(&blank);
    let time = |at: Option<u64>| at.map_or_else(String::new, rfc3339);
    let duration = record.begun_at.zip(record.ended_at);
    let duration = duration.map(|(from, to)| to.saturating_sub(from).to_string());
    let step = record.last_step.map_or("", |step| run.step_name(step));
    let problem = record.problem();
    let mut line = vec![
        input.number.to_string(),
        key,
        record.outcome().to_string(),
        step.to_owned(),
        record.attempts.to_string(),
        record.writes.to_string(),
        time(record.begun_at),
        time(record.ended_at),
        duration.unwrap_or_default(),
        record.exposed_ms.to_string(),
        problem.map_or_else(String::new, |problem| problem.code.clone()),
        problem.map_or_else(String::new, |problem| problem.message.clone()),
        advice(run, live, input, record),
        record.request_id.clone().unwrap_or_default(),
    ];
    let own = run.header.report_columns.len();
    line.extend((0..own).map(|at| record.report.get(at).cloned().unwrap_or_default()));
    line
}

/// The original cells and why the row is not finished; None for a row that is.
/// The cells stay as they are: they are read again.
fn unfinished_line<'a>(
    input: &'a InputRow,
    record: Option<&'a RowRecord>,
) -> Option<Vec<Cow<'a, str>>> {
    let outcome = record.map_or(Outcome::Pending, RowRecord::outcome);
    match outcome {
        Outcome::Done | Outcome::Unchanged => return None,
        Outcome::Refused
        | Outcome::Failed
        | Outcome::Reverted
        | Outcome::Held
        | Outcome::Stranded
        | Outcome::Pending => {}
    }
    let problem = record.and_then(RowRecord::problem);
    let mut line: Vec<Cow<'_, str>> = input.cells.iter().map(Into::into).collect();
    line.push(outcome.word().into());
    line.push(problem.map_or("".into(), |problem| defused(&problem.message)));
    Some(line)
}

fn write_json(path: &Path, summary: &Summary) -> Result<PathBuf, ReportError> {
    let text = serde_json::to_string_pretty(summary)
        .map_err(|error| failed(path, io::Error::other(error)))?;
    let written = beside(path).and_then(|mut file| {
        file.write_all((text + "\n").as_bytes())?;
        Ok(file)
    });
    put_in_place(written.map_err(|source| failed(path, source))?, path)?;
    Ok(path.to_owned())
}
