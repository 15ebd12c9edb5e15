//! `cutover resume`: continue an interrupted run from the journal alone. `cutover retry`: a new try for rows of a run that ended
//! failed, reverted, held or stranded.

use super::args::{ResumeArgs, TargetArgs};
use super::connect::Target;
use super::context::{existing_journal, schedule};
use super::ending::finish;
use super::work::{RunStage, work};
use super::{Exit, Failure, Global};
use crate::job::Job;
use crate::journal::{RunRecord, RunState};
use crate::machine::Outcome;
use crate::progress::{name_run, print};
use crate::runner::reopen::{Retried, may_be_retried};
use std::sync::Arc;

pub(super) async fn main(global: &Global, args: &ResumeArgs, retried: Option<Retried>) -> Result<Exit, Failure> {
    let schedule = schedule(&args.work)?;
    let journal = existing_journal(global, if retried.is_some() { "retry" } else { "resume" })?;
    let run = journal.find(args.run.as_deref())?;
    let id = run.id();
    name_run(id);
    let is_over = match retried {
        Some(_) => retriable(&run) == 0,
        None => run.state == RunState::Finished,
    };
    if is_over && run.is_complete() {
        print(match retried {
            Some(_) => {
                format!("no row of run {id} ended failed, reverted, held or stranded; there is nothing to retry")
            }
            None => format!("run {id} has finished; nothing is left to do"),
        });
        return finish(global, &args.work, &journal, &run, spec(&run, &args.target));
    }
    let (target, job) = target_and_job(&run, &args.target)?;
    let session = journal.resume(&run)?;
    let stage = retried.map_or_else(
        || {
            print(format_args!("continuing run {id}"));
            RunStage::Begun
        },
        RunStage::Retry,
    );
    work(global, &args.work, schedule, journal, (session, stage), job, target).await
}

/// Rows that a retry takes where none are named.
fn retriable(run: &RunRecord) -> u64 {
    let outcomes = Outcome::ALL.into_iter().filter(|outcome| may_be_retried(*outcome));
    outcomes.map(|outcome| run.outcome_count(outcome)).sum()
}

fn spec<'a>(run: &'a RunRecord, given: &'a TargetArgs) -> &'a str {
    given.target.as_deref().unwrap_or(&run.header.target_spec)
}

/// The target of a run, which must be the one it was started against, and the job as it was when the run began.
///
/// # Errors
/// Another target, mistakes in its file, or a job of another version of the program.
pub(super) fn target_and_job(run: &RunRecord, given: &TargetArgs) -> Result<(Target, Arc<Job>), Failure> {
    let target = Target::named(Some(spec(run, given)))?;
    let (then, now) = (&run.header.target, target.identity());
    if *then != now {
        return Err(Failure::usage(
            "usage",
            format!("run {} was started against {then}, and this is {now}", run.id()),
            "name the connection file it was started with; nothing was sent",
        ));
    }
    let origin = format!("{} (as run {} was begun with)", run.header.job, run.id());
    let job = crate::job::parse(&origin, &run.header.job_source).map_err(|mistakes| {
        let message = format!("{mistakes}\n{}", mistakes.listing());
        Failure::usage("usage", message, format!("it was written for cutover {}; use that version", run.header.program))
    })?;
    Ok((target, Arc::new(job)))
}
