//! `cutover status` and `cutover runs`: how a run stands, or all of them, also while another process works on one.

use super::context::{print_json, snapshot};
use super::control::ask;
use super::{Exit, Failure, Global};
use crate::journal::{Journal, RunRecord, Snapshot};
use crate::machine::Outcome;
use crate::progress::print_result;
use crate::report::{LiveRun, Liveness, RunSummary, exposed_lines, status_lines, summarize};

/// A run, what the journal has of it, and what a live process says.
pub(super) struct View {
    pub journal: Snapshot,
    pub run: RunRecord,
    pub live: Liveness,
}

impl View {
    /// Of the run whose name begins so. Without one it is the newest in which somebody cannot work, and people come and go in a run
    /// that is worked on, so that counts as one.
    ///
    /// # Errors
    /// There is no such run, or the journal may not be read.
    pub async fn of(global: &Global, named: Option<&str>) -> Result<View, Failure> {
        let working = ask(&global.journal).await?;
        let journal = snapshot(global)?;
        let mut run = journal.find(named)?;
        if let Some(live) = working.as_ref().filter(|live| named.is_none() && run.id() < live.run) {
            let begun = journal.runs().into_iter().find(|run| run.id() == live.run);
            run = begun.unwrap_or(run);
        }
        let live = liveness(&journal, &run, working.as_ref());
        Ok(View { journal, run, live })
    }
}

fn liveness(journal: &Snapshot, run: &RunRecord, working: Option<&LiveRun>) -> Liveness {
    match working.filter(|live| live.run == run.id()) {
        Some(live) => Liveness::Live(live.clone()),
        None => Liveness::idle(journal.taken_over_by(run.id())),
    }
}

pub(super) async fn main(global: &Global, run: Option<String>, json: bool) -> Result<Exit, Failure> {
    let View { journal, run, live } = View::of(global, run.as_deref()).await?;
    let summary = summarize(&run, &mut journal.reader(&run)?, &live)?;
    if json {
        print_json(&summary)?;
    } else {
        let lines = exposed_lines(&summary, &global.journal);
        lines.iter().chain(&status_lines(&summary)).for_each(print_result);
    }
    Ok(Exit::of_shown(&summary))
}

pub(super) async fn runs(global: &Global, json: bool) -> Result<Exit, Failure> {
    let mut summaries = Vec::new();
    if Journal::exists(&global.journal)? {
        let working = ask(&global.journal).await?;
        let journal = snapshot(global)?;
        for run in journal.runs() {
            let live = liveness(&journal, &run, working.as_ref());
            summaries.push(summarize(&run, &mut journal.reader(&run)?, &live)?);
        }
    }
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
