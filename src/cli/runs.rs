//! `cutover runs`: the runs in the journal.

use super::args::{Global, RunsArgs};
use super::context::{print_json, snapshot};
use super::control::{ControlRequest, ask};
use super::exit::Exit;
use super::failure::Failure;
use crate::journal::{Journal, takers};
use crate::machine::Outcome;
use crate::progress::print_result;
use crate::report::{Liveness, RunSummary, exposed_lines, summarize};

pub(super) async fn main(global: &Global, args: &RunsArgs) -> Result<Exit, Failure> {
    let summaries = match ask(&global.journal, &ControlRequest::Runs).await? {
        Some(summaries) => summaries,
        None => from_journal(global)?,
    };
    if args.json {
        print_json(&summaries)?;
        return Ok(Exit::Good);
    }
    let exposed = summaries.iter().flat_map(|one| exposed_lines(one, &global.journal));
    exposed.for_each(print_result);
    for summary in &summaries {
        print_result(format_args!(
            "{}  {}  {:<11}  {:<16}  {} rows, {} done  {}",
            summary.run,
            summary.started_at,
            summary.state.word(),
            summary.job,
            summary.rows,
            summary.count(Outcome::Done),
            summary.target
        ));
    }
    Ok(Exit::Good)
}

fn from_journal(global: &Global) -> Result<Vec<RunSummary>, Failure> {
    if !Journal::exists(&global.journal)? {
        return Ok(Vec::new());
    }
    let journal = snapshot(global)?;
    let runs = journal.runs();
    let takers = takers(&runs);
    let summaries = runs.iter().map(|run| {
        let idle = Liveness::idle(takers.get(&run.id()).copied());
        Ok(summarize(run, &mut journal.reader(run)?, &idle)?)
    });
    summaries.collect()
}
