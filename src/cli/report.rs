//! `cutover report`: write the report files again.

use super::args::{Global, ReportArgs};
use super::context::{report_dir, snapshot, tell_unused};
use super::exit::{Exit, Failure};
use super::half_way::{exit_of, exposed_in_words};
use super::live::{Question, WRITE_REPORT, ask};
use super::status::to_value;
use crate::progress::say_result;
use crate::report::{self, Liveness};
use serde_json::Value;
use std::path::PathBuf;

/// What every report has.
const FILES: [&str; 3] = ["outcomes.csv", "unfinished.csv", "summary.json"];

/// What is there only when something stands in it.
const RARE_FILES: [&str; 2] = ["exposed.csv", "warned.csv"];

pub(super) async fn main(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    let (dir, summary) = match by_live_process(global, args).await? {
        Some(written) => written,
        None => by_ourselves(global, args)?,
    };
    exposed_in_words(&summary, &global.journal)
        .iter()
        .for_each(say_result);
    for file in FILES {
        say_result(format_args!("{}", dir.join(file).display()));
    }
    for file in RARE_FILES {
        let path = dir.join(file);
        if path.exists() {
            say_result(path.display());
        }
    }
    Ok(exit_of(&summary))
}

/// None when there is no such process, or it ended meanwhile.
async fn by_live_process(
    global: &Global,
    args: &ReportArgs,
) -> Result<Option<(PathBuf, Value)>, Failure> {
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
    Ok(written.map(|_| (dir, summary)))
}

fn by_ourselves(global: &Global, args: &ReportArgs) -> Result<(PathBuf, Value), Failure> {
    let journal = snapshot(global)?;
    let run = journal.find(args.run.as_deref())?;
    let given = args.report.clone().map(absolute);
    let dir = report_dir(given.as_ref(), &run.id().to_string());
    let (mut reader, unused) = journal.rows(&run)?;
    if let Some(why) = unused {
        tell_unused(&why);
    }
    let idle = Liveness::idle(journal.taken_over_by(run.id()));
    let (_, summary) = report::write(&run, &mut reader, &dir, &idle)?;
    let summary = to_value(&summary)?;
    tracing::info!("{summary}");
    Ok((dir, summary))
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
