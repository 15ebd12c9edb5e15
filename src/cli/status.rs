//! `cutover status` and `cutover runs`: how a run stands, or all of them, also while another process works on one.

use super::context::{print_json, snapshot};
use super::control::{ControlRequest, ask, ask_of_one};
use super::{Exit, Failure, Global};
use crate::journal::{Journal, RunRecord, Snapshot};
use crate::machine::Outcome;
use crate::progress::print_result;
use crate::report::{Liveness, RunSummary, exposed_lines, status_lines, summarize};

pub(super) async fn main(global: &Global, run: Option<String>, json: bool) -> Result<Exit, Failure> {
    let summary = match ask_of_one(&global.journal, &ControlRequest::Status { run: run.clone() }).await? {
        Some(summary) => summary,
        None => {
            let journal = snapshot(global)?;
            summary_of(&journal, &journal.find(run.as_deref())?)?
        }
    };
    if json {
        print_json(&summary)?;
    } else {
        let lines = exposed_lines(&summary, &global.journal);
        lines.iter().chain(&status_lines(&summary)).for_each(print_result);
    }
    Ok(Exit::of_shown(&summary))
}

pub(super) async fn runs(global: &Global, json: bool) -> Result<Exit, Failure> {
    let summaries = match ask(&global.journal, &ControlRequest::Runs).await? {
        Some(summaries) => summaries,
        None if Journal::exists(&global.journal)? => {
            let journal = snapshot(global)?;
            journal.runs().iter().map(|run| summary_of(&journal, run)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    if json {
        print_json(&summaries)?;
        return Ok(Exit::Good);
    }
    let exposed = summaries.iter().flat_map(|one| exposed_lines(one, &global.journal));
    exposed.for_each(print_result);
    for summary in &summaries {
        let RunSummary { run, started_at, state, job, rows, target, .. } = summary;
        let done = summary.count(Outcome::Done);
        print_result(format_args!("{run}  {started_at}  {state:<11}  {job:<16}  {rows} rows, {done} done  {target}"));
    }
    Ok(Exit::Good)
}

fn summary_of(journal: &Snapshot, run: &RunRecord) -> Result<RunSummary, Failure> {
    let idle = Liveness::idle(journal.taken_over_by(run.id()));
    Ok(summarize(run, &mut journal.reader(run)?, &idle)?)
}
