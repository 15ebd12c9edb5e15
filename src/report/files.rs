//! Writing the report files, in one pass over the rows.

use super::summary::{Exposed, Exposures, Liveness, Summary, rfc3339};
use super::table::{ReportError, Table, beside, failed, make_folder, put_in_place};
use crate::batch::defused;
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

/// Where the report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPaths {
    /// One line a row.
    pub outcomes: PathBuf,
    /// The rows that need another try or a person; as input for the same job.
    pub unfinished: PathBuf,
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
    let mut exposures = Exposures::new();
    reader.each::<ReportError>(|input, record| {
        if let (Some(exposures), Some(record)) = (exposures.as_mut(), record) {
            exposures.add(record);
        }
        outcomes.line(
            outcome_line(run, input, record)
                .iter()
                .map(|cell| defused(cell)),
        )?;
        if let Some(line) = unfinished_line(input, record) {
            unfinished.line(line)?;
        }
        Ok(())
    })?;
    let exposed = exposures.map_or_else(Exposed::default, |all| all.figures());
    let summary = Summary::of(run, exposed, live);
    let paths = ReportPaths {
        outcomes: outcomes.finish()?,
        unfinished: unfinished.finish()?,
        summary: write_json(&dir.join("summary.json"), &summary)?,
    };
    Ok((paths, summary))
}

fn outcome_line(run: &RunRecord, input: &InputRow, record: Option<&RowRecord>) -> Vec<String> {
    let key = input
        .cells
        .get(run.header.input.key_cell)
        .cloned()
        .unwrap_or_default();
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
        problem.map_or_else(String::new, |problem| problem.advice.clone()),
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
