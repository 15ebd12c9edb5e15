//! `cutover report`: write the report files again.

use super::args::{Global, ReportArgs};
use super::context::{existing_journal, report_dir};
use super::exit::{Exit, Failure};
use super::half_way::{exit_of, exposed_in_words};
use super::live::{Question, ask};
use super::status::to_value;
use crate::progress::say_result;
use crate::report::{self, Liveness};

/// What every report has.
const FILES: [&str; 3] = ["outcomes.csv", "unfinished.csv", "summary.json"];

/// What is there only when something stands in it.
const RARE_FILES: [&str; 2] = ["exposed.csv", "warned.csv"];

pub(super) async fn main(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    // The live process may stand in another folder; it is told the whole path.
    let given = args.report.clone().map(absolute);
    let wanted = Question::about(args.run.as_deref());
    let (dir, summary) = match ask(&global.journal, "/status", &wanted).await? {
        Some(summary) => {
            let run = summary["run"].as_str().unwrap_or_default().to_owned();
            let dir = absolute(report_dir(given.as_ref(), &run));
            let question = Question {
                dir: Some(dir.clone()),
                ..Question::about(Some(&run))
            };
            ask(&global.journal, "/report", &question).await?;
            (dir, summary)
        }
        None => {
            let journal = existing_journal(global, "report")?;
            let run = journal.find(args.run.as_deref())?;
            let dir = report_dir(given.as_ref(), &run.id().to_string());
            let mut reader = journal.reader(&run)?;
            let idle = Liveness::idle(journal.taken_over_by(run.id())?);
            let (_, summary) = report::write(&run, &mut reader, &dir, &idle)?;
            let summary = to_value(&summary)?;
            tracing::info!("{summary}");
            (dir, summary)
        }
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

fn absolute(path: std::path::PathBuf) -> std::path::PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
