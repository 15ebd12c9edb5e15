//! `cutover report`: write the report files again.

use super::args::{Global, ReportArgs};
use super::context::{report_dir, snapshot};
use super::exit::{Exit, Failure};
use super::live::{Question, WRITE_REPORT, ask};
use super::status::to_value;
use crate::progress::say_result;
use crate::report::{self, Liveness};
use std::path::PathBuf;

pub(super) async fn main(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    let dir = match by_live_process(global, args).await? {
        Some(dir) => dir,
        None => by_ourselves(global, args)?,
    };
    for file in ["outcomes.csv", "unfinished.csv", "summary.json"] {
        say_result(format_args!("{}", dir.join(file).display()));
    }
    Ok(Exit::Good)
}

/// None when there is no such process, or it ended meanwhile.
async fn by_live_process(global: &Global, args: &ReportArgs) -> Result<Option<PathBuf>, Failure> {
    let wanted = Question::about(args.run.as_deref());
    let Some(summary) = ask(&global.journal, "/status", &wanted).await? else {
        return Ok(None);
    };
    let run = summary["run"].as_str().unwrap_or_default();
    // The live process may stand in another folder; it is told the whole path.
    let given = args.report.clone().map(absolute);
    let dir = absolute(report_dir(given.as_ref(), run));
    let question = Question {
        dir: Some(dir.clone()),
        ..Question::about(Some(run))
    };
    let written = ask(&global.journal, WRITE_REPORT, &question).await?;
    Ok(written.map(|_| dir))
}

fn by_ourselves(global: &Global, args: &ReportArgs) -> Result<PathBuf, Failure> {
    let journal = snapshot(global)?;
    let run = journal.find(args.run.as_deref())?;
    let given = args.report.clone().map(absolute);
    let dir = report_dir(given.as_ref(), &run.id().to_string());
    let mut reader = journal.reader(&run)?;
    let (_, summary) = report::write(&run, &mut reader, &dir, &Liveness::Nobody)?;
    tracing::info!("{}", to_value(&summary)?);
    Ok(dir)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
