//! `cutover report`: write the report files again.

use super::context::{absolute, report_dir, snapshot, warn_unused};
use super::control::{ControlRequest, ask_of_one};
use super::{Exit, Failure, Global};
use crate::progress::print_result;
use crate::report::{Liveness, Report, RunSummary, exposed_lines, write};
use std::path::{Path, PathBuf};

pub(super) async fn main(global: &Global, run: Option<String>, dir: Option<PathBuf>) -> Result<Exit, Failure> {
    let dir = dir.as_deref();
    let (report, summary) = match by_live_process(global, run.clone(), dir).await? {
        Some(written) => written,
        None => from_journal(global, run.as_deref(), dir)?,
    };
    exposed_lines(&summary, &global.journal).iter().for_each(print_result);
    for file in &report.files {
        print_result(report.dir.join(file).display());
    }
    Ok(Exit::of_shown(&summary))
}

/// None when there is no such process, or it ended meanwhile.
async fn by_live_process(
    global: &Global,
    run: Option<String>,
    dir: Option<&Path>,
) -> Result<Option<(Report, RunSummary)>, Failure> {
    let Some(status) = ask_of_one(&global.journal, &ControlRequest::Status { run }).await? else {
        return Ok(None);
    };
    // The live process may have another working directory.
    let dir = absolute(&report_dir(dir, &status.run));
    let request = ControlRequest::Report { run: status.run, dir: dir.clone() };
    let summary = ask_of_one(&global.journal, &request).await?;
    Ok(summary.map(|summary| (Report::in_folder(dir), summary)))
}

fn from_journal(global: &Global, run: Option<&str>, dir: Option<&Path>) -> Result<(Report, RunSummary), Failure> {
    let journal = snapshot(global)?;
    let run = journal.find(run)?;
    let dir = absolute(&report_dir(dir, &run.id().to_string()));
    let idle = Liveness::idle(journal.taken_over_by(run.id()));
    let (mut reader, unused) = journal.rows(&run)?;
    unused.iter().for_each(warn_unused);
    Ok(write(&run, &mut reader, &dir, &idle)?)
}
