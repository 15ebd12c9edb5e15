//! `cutover status`: how a run stands, also while another process works on it.

use super::args::{Global, StatusArgs};
use super::context::{print_json, snapshot};
use super::control::{ControlRequest, ask};
use super::exit::Exit;
use super::failure::Failure;
use crate::progress::print_result;
use crate::report::{Liveness, RunSummary, exposed_lines, status_lines, summarize};

pub(super) async fn main(global: &Global, args: &StatusArgs) -> Result<Exit, Failure> {
    let run = args.run.clone();
    let summary = match ask(&global.journal, &ControlRequest::Status { run }).await? {
        Some(summaries) => summaries.into_iter().next(),
        None => None,
    };
    let summary = match summary {
        Some(summary) => summary,
        None => from_journal(global, args.run.as_deref())?,
    };
    if args.json {
        print_json(&summary)?;
    } else {
        let lines = exposed_lines(&summary, &global.journal);
        lines.iter().chain(&status_lines(&summary)).for_each(print_result);
    }
    Ok(Exit::of_shown(&summary))
}

fn from_journal(global: &Global, run: Option<&str>) -> Result<RunSummary, Failure> {
    let journal = snapshot(global)?;
    let run = journal.find(run)?;
    let idle = Liveness::idle(journal.taken_over_by(run.id()));
    Ok(summarize(&run, &mut journal.reader(&run)?, &idle)?)
}
