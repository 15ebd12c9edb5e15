//! `cutover report`: write the report files again.

use super::args::{Global, ReportArgs};
use super::context::{report_dir, snapshot, warn_unused};
use super::control::{ControlRequest, ask};
use super::exit::Exit;
use super::failure::Failure;
use crate::progress::print_result;
use crate::report::{Liveness, Report, RunSummary, exposed_lines, write};
use std::path::PathBuf;

pub(super) async fn main(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    let (report, summary) = match by_live_process(global, args).await? {
        Some(written) => written,
        None => from_journal(global, args)?,
    };
    exposed_lines(&summary, &global.journal).iter().for_each(print_result);
    for file in &report.files {
        print_result(report.dir.join(file).display());
    }
    Ok(Exit::of_shown(&summary))
}

/// None when there is no such process, or it ended meanwhile.
async fn by_live_process(global: &Global, args: &ReportArgs) -> Result<Option<(Report, RunSummary)>, Failure> {
    let run = args.run.clone();
    let status = ask(&global.journal, &ControlRequest::Status { run }).await?;
    let Some(run) = status.and_then(|mut all| all.pop()).map(|one| one.run) else {
        return Ok(None);
    };
    // The live process may have another working directory.
    let dir = absolute(report_dir(args.report.as_ref(), &run));
    let request = ControlRequest::Report { run, dir: dir.clone() };
    let written = ask(&global.journal, &request).await?;
    let summary = written.and_then(|mut all| all.pop());
    Ok(summary.map(|summary| (Report::in_folder(dir), summary)))
}

fn from_journal(global: &Global, args: &ReportArgs) -> Result<(Report, RunSummary), Failure> {
    let journal = snapshot(global)?;
    let run = journal.find(args.run.as_deref())?;
    let dir = absolute(report_dir(args.report.as_ref(), &run.id().to_string()));
    let idle = Liveness::idle(journal.taken_over_by(run.id()));
    let (mut reader, unused) = journal.rows(&run)?;
    unused.iter().for_each(warn_unused);
    Ok(write(&run, &mut reader, &dir, &idle)?)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
