//! `cutover report`: write the report files again.

use super::args::{Global, ReportArgs};
use super::context::{existing_journal, report_dir};
use super::exit::{Exit, Failure};
use super::live::{Question, ask};
use super::status::to_value;
use crate::progress::say_result;
use crate::report::{self, Liveness};

pub(super) async fn main(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    // The live process may stand in another folder; it is told the whole path.
    let given = args.report.clone().map(absolute);
    let wanted = Question::about(args.run.as_deref());
    let dir = match ask(&global.journal, "/status", &wanted).await? {
        Some(summary) => {
            let run = summary["run"].as_str().unwrap_or_default().to_owned();
            let dir = absolute(report_dir(given.as_ref(), &run));
            let question = Question {
                dir: Some(dir.clone()),
                ..Question::about(Some(&run))
            };
            ask(&global.journal, "/report", &question).await?;
            dir
        }
        None => {
            let journal = existing_journal(global, "report")?;
            let run = journal.find(args.run.as_deref())?;
            let dir = report_dir(given.as_ref(), &run.id().to_string());
            let mut reader = journal.reader(&run)?;
            let (_, summary) = report::write(&run, &mut reader, &dir, &Liveness::Nobody)?;
            tracing::info!("{}", to_value(&summary)?);
            dir
        }
    };
    for file in ["outcomes.csv", "unfinished.csv", "summary.json"] {
        say_result(format_args!("{}", dir.join(file).display()));
    }
    Ok(Exit::Good)
}

fn absolute(path: std::path::PathBuf) -> std::path::PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
