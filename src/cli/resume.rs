//! `cutover resume`: continue an interrupted run from the journal alone.

use super::args::ResumeArgs;
use super::connect::Target;
use super::context::{existing_journal, schedule};
use super::ending::finish;
use super::work::{Opening, RunStage, work};
use super::{Exit, Failure, Global};
use crate::journal::{RunRecord, RunState};
use crate::progress::{name_run, print};
use std::sync::Arc;

pub(super) async fn main(global: &Global, args: &ResumeArgs) -> Result<Exit, Failure> {
    let schedule = schedule(&args.work)?;
    let journal = existing_journal(global, "resume")?;
    let run = journal.find(args.run.as_deref())?;
    let spec = args.target.target.clone().unwrap_or_else(|| run.header.target_spec.clone());
    name_run(run.id());
    if run.is_complete() && run.state == RunState::Finished {
        print(format_args!("run {} has finished; nothing is left to do", run.id()));
        return finish(global, &args.work, &journal, &run, &spec);
    }
    let target = Target::named(Some(&spec))?;
    must_be_the_same(&run, &target)?;
    let job = job_of(&run)?;
    let session = journal.resume(&run)?;
    print(format_args!("continuing run {}", run.id()));
    work(global, &args.work, schedule, journal, Opening { session, stage: RunStage::Begun }, Arc::new(job), target)
        .await
}

pub(super) fn must_be_the_same(run: &RunRecord, target: &Target) -> Result<(), Failure> {
    let (then, now) = (&run.header.target, target.identity());
    if *then == now {
        return Ok(());
    }
    Err(Failure::usage(
        "usage",
        format!("run {} was started against {then}, and this is {now}", run.id()),
        "name the connection file it was started with; nothing was sent",
    ))
}

/// The job as it was when the run began.
pub(super) fn job_of(run: &RunRecord) -> Result<crate::job::Job, Failure> {
    let origin = format!("{} (as run {} was begun with)", run.header.job, run.id());
    crate::job::parse(&origin, &run.header.job_source).map_err(|mistakes| {
        Failure::usage(
            "usage",
            format!("{mistakes}\n{}", mistakes.listing()),
            format!("it was written for cutover {}; use that version", run.header.program),
        )
    })
}
