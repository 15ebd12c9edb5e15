//! `cutover retry`: a new try for rows of a run that ended failed, reverted, held or stranded.

use super::args::{Global, RetryArgs};
use super::connect::Target;
use super::context::{existing_journal, schedule};
use super::ending::finish;
use super::exit::Exit;
use super::failure::Failure;
use super::resume::{job_of, must_be_the_same};
use super::work::{Opening, RunStage, work};
use crate::journal::RunRecord;
use crate::machine::Outcome;
use crate::progress::{name_run, print};
use crate::runner::reopen::may_be_retried;
use std::sync::Arc;

pub(super) async fn main(global: &Global, args: &RetryArgs) -> Result<Exit, Failure> {
    let schedule = schedule(&args.work)?;
    let journal = existing_journal(global, "retry")?;
    let run = journal.find(args.run.as_deref())?;
    let spec = args.target.target.as_deref();
    let spec = spec.unwrap_or(&run.header.target_spec).to_owned();
    name_run(run.id());
    if retriable(&run) == 0 && run.is_complete() {
        let id = run.id();
        print(format_args!("no row of run {id} ended failed, reverted, held or stranded; there is nothing to retry"));
        return finish(global, &args.work, &journal, &run, &spec);
    }
    let target = Target::named(Some(&spec))?;
    must_be_the_same(&run, &target)?;
    let job = Arc::new(job_of(&run)?);
    let session = journal.resume(&run)?;
    let stage = RunStage::Retry(args.rows.clone().unwrap_or_default());
    let opening = Opening { session, stage };
    work(global, &args.work, schedule, journal, opening, job, target).await
}

/// Rows that a retry takes where none are named.
fn retriable(run: &RunRecord) -> u64 {
    let outcomes = Outcome::ALL.into_iter().filter(|outcome| may_be_retried(*outcome));
    outcomes.map(|outcome| run.outcome_count(outcome)).sum()
}
