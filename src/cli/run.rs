//! `cutover run`: start a run, or pick up the unfinished one of the same job, rows and target.

use super::args::RunArgs;
use super::connect::Target;
use super::consent::must_ask;
use super::context::{JobBatch, journal, schedule};
use super::ending::finish;
use super::half_way::refusal;
use super::work::{RunStage, work};
use super::{Exit, Failure, Global};
use crate::batch::{Finding, PlanFile};
use crate::journal::{Adoption, Copied, Journal, RunRecord, Session};
use crate::progress::{counted, name_run, print, print_finding, warn};
use crate::runner::half_way::take_over;
use crate::runner::plan::plan_seal;
use crate::runner::start::{Before, Order, copy, look_back};
use crate::runner::{Clock, SystemClock};
use crate::values::Severity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Findings shown one by one on the terminal; the rest is counted, and `check` shows them all.
const FINDINGS_SHOWN_MAX: u64 = 20;

pub(super) async fn main(global: &Global, args: &RunArgs) -> Result<Exit, Failure> {
    let schedule = schedule(&args.work)?;
    let batch = JobBatch::open(&args.batch)?;
    let target = Target::named(args.target.target.as_deref())?;
    let plan = args.plan.as_deref().map(|path| {
        let (job, input) = (&batch.job.digest, &batch.input.digest);
        let whole = plan_seal(job, &batch.params, &target.identity(), input);
        PlanFile::open(path, whole.0)
    });
    let plan = plan.transpose()?;
    let journal = journal(global, "run")?;
    let adopted = args.adopt_run.as_deref();
    let adopted = adopted.map(|run| journal.find(Some(run))).transpose()?;
    let order = Order {
        plan: plan.as_ref().map(|plan| plan.digest().clone()),
        adopts: adopted.map(|run| run.id()),
        ..batch.order(&target)
    };
    let before = if args.fresh { Before::New } else { look_back(&journal, &order)? };
    let opening = match before {
        Before::New => {
            let adoptions = take_over(&journal, &order, SystemClock.now());
            let adoptions = adoptions.map_err(|error| refusal(error, global))?;
            let must_ask = must_ask(&target, args.work.yes)?;
            let (session, copied) = start(&journal, &batch, &order, plan, adoptions)?;
            (session, RunStage::New { copied, must_ask })
        }
        Before::Unfinished(run) => {
            name_run(run.id());
            print(format_args!("continuing run {}", run.id()));
            (journal.resume(&run)?, RunStage::Begun)
        }
        Before::Finished(run) => {
            name_run(run.id());
            print(format_args!(
                "run {} of these rows has finished; nothing is left to do (--fresh starts a new one)",
                run.id()
            ));
            return finish(global, &args.work, &journal, &run, &target.spec);
        }
        Before::Different(run, differences) => return Err(different(&run, &differences)),
    };
    work(global, &args.work, schedule, journal, opening, Arc::clone(&batch.job), target).await
}

/// Copies the rows into the journal. The first findings are shown on standard error, then a count.
fn start(
    journal: &Journal,
    batch: &JobBatch,
    order: &Order<'_>,
    plan: Option<PlanFile>,
    adoptions: BTreeMap<u64, Adoption>,
) -> Result<(Session, Copied), Failure> {
    if let Some(from) = order.adopts {
        let people = counted(adoptions.len() as u64, "person who is", "people who are");
        print(format_args!("{people} half way in run {from} would be taken over; that run can then not be resumed"));
    }
    batch.tell_dialect();
    let mut found = 0;
    let mut show = |finding: &Finding| {
        found += 1;
        if found <= FINDINGS_SHOWN_MAX {
            print_finding(finding);
        }
    };
    let (import, summary) = copy(journal, order, plan, adoptions, &SystemClock, &mut show)?;
    let copied = import.copied()?;
    let more = found.saturating_sub(FINDINGS_SHOWN_MAX);
    if more > 0 {
        let (job, file) = (&batch.job.name, batch.input.file.display());
        print_finding(format_args!("… and {more} more; `cutover check {job} {file}` shows them all"));
    }
    let errors = summary.count(Severity::Error);
    if errors > 0 {
        let errors = counted(errors, "error", "errors");
        warn(format_args!("{errors} in the file; the rows with errors are refused, the others are worked on"));
    }
    Ok(copied)
}

fn different(run: &RunRecord, differences: &[String]) -> Failure {
    let id = run.id();
    let message = format!("run {id} has not finished, and this is not the same:\n  {}", differences.join("\n  "));
    let help = format!(
        "`cutover resume {id}` continues it as it was started; `--fresh` starts a new run next to it; nothing was sent"
    );
    Failure::usage("run-differs", message, help)
}
