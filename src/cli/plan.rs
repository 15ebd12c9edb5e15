//! `cutover plan`: read live state, write nothing to any target; what would change, what speaks against it, what it would cost.
//!
//! The rows are copied into a journal that is thrown away, as a run copies them into its own, and read by the engine of all passes.
//! What is found waits on disk, so that memory does not grow with the rows.

use super::args::{Global, PlanArgs};
use super::connect::{Cast, Target};
use super::context::{JobBatch, holder};
use super::exit::Exit;
use super::failure::Failure;
use super::forecast::{PermitsGiven, PlanForecast};
use super::reading::{connect, must_be_whole, read};
use super::run::begin_failure;
use super::signals;
use super::sim::cast_of;
use super::waits::Waits;
use super::work::{preflight_failure, warn_of};
use crate::batch::Finding;
use crate::batch::plan_file::{SEAL_COLUMN, seal_cell};
use crate::core::Problem;
use crate::journal::{InputRow, Journal, JournalError, RowNumber, Seal, Session};
use crate::report::{PlanRow, PlanTable};
use crate::runner::SystemClock;
use crate::runner::admission::{Admission, Selection};
use crate::runner::claims::named;
use crate::runner::plan::{Plan, RowPlan, plan_seal};
use crate::runner::plan_rows::PlanRows;
use crate::runner::preflight::{Check, Ready};
use crate::runner::reading::ReadQuestion;
use crate::runner::spool::Spool;
use crate::runner::start::begin;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What was read of the rows, each as if it were alone.
struct PlannedRows {
    plans: PlanRows,
    rows: u64,
    reads: u64,
}

/// What the file's own rules say of a row: the rule, whether it refuses the row, the words, and a value to use instead.
type InFile = (String, bool, String, Option<String>);

pub(super) async fn main(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let batch = JobBatch::open(&args.batch)?;
    batch.must_be_usable()?;
    let target = Target::named(args.target.target.as_deref())?;
    let (sender, commands) = mpsc::channel(1);
    signals::hear(sender);
    let mut waits = Waits::new(commands, &target);
    let folder = tempfile::Builder::new().prefix("cutover-plan-").tempdir();
    let folder = folder.map_err(|error| {
        let message = format!("no temporary folder for the rows of the plan: {error}");
        Failure::with(
            Exit::Fault,
            message,
            "set TMPDIR to a folder that exists and has room; nothing was read or changed",
        )
    })?;
    let journal = Journal::open(folder.path(), &holder("plan", None))?;
    let mut in_file = Spool::new()?;
    let session = copy(&journal, &batch, &target, &mut in_file).await?;
    let mut reader = session.reader().await?;
    let run = session.run();
    let cast = cast_of(global, &[], &run.header, &mut reader, &batch.job)?;
    // The simulated tenant is used as an earlier run left it, and only looked at.
    let cast = Cast { state: cast.state.filter(|state| state.exists()), ..cast };
    let (connected, ready) = connect(&run, &batch.job, target, cast, &mut waits).await?;
    let mut forecast = PlanForecast::new(&batch.job, run.header.target.clone(), run.rows)?;
    forecast.warn(&ready);
    let settings = fit(ready);
    let before = PermitsGiven::of(&connected.services);
    let planned = PlannedRows { plans: PlanRows::new()?, rows: 0, reads: 0 };
    let planned = Arc::new(Mutex::new(Some(planned)));
    let sink = Arc::clone(&planned);
    let take = move |row, plan: RowPlan, reads: u32| {
        let mut planned = sink.lock().unwrap_or_else(PoisonError::into_inner);
        planned.as_mut().map_or(Ok(()), |planned| {
            planned.rows += 1;
            planned.reads += u64::from(reads);
            planned.plans.take(row, &plan)
        })
    };
    let rows = Selection::Unfinished.count(&run);
    let admission = Admission::new(reader, &run, &batch.job.layout)?;
    let end = match settings {
        Ok(settings) => {
            let question = ReadQuestion::Plan(Box::new(take));
            Ok(read((rows, &run), &batch.job, &connected, settings, admission, question, (waits, None)).await)
        }
        Err(failure) => Err(failure),
    };
    let reads = PermitsGiven::of(&connected.services).since(&before);
    connected.close().await;
    let planned = planned.lock().unwrap_or_else(PoisonError::into_inner).take();
    let planned = planned.ok_or_else(|| Failure::program("the plan was taken twice"))?;
    must_be_whole(end?, planned.rows, rows)?;
    forecast.reads = planned.reads;
    write(&session, &batch, planned.plans, in_file, &mut forecast, &args.report)?;
    forecast.reckon(&reads)?;
    forecast.print(&batch.job, args.json)?;
    Ok(if forecast.is_clean() { Exit::Good } else { Exit::Findings })
}

/// Copies the rows, and keeps what the file's own rules say of them.
async fn copy(
    journal: &Journal,
    batch: &JobBatch,
    target: &Target,
    in_file: &mut Spool<InFile>,
) -> Result<Session, Failure> {
    let order = batch.order(target);
    let mut kept = Ok(());
    let mut keep = |finding: &Finding| {
        if let (Some(row), Ok(())) = (finding.row, &kept) {
            let Finding { rule, message, suggestion, .. } = finding;
            let said = (rule.to_string(), finding.is_error(), message.clone(), suggestion.clone());
            kept = in_file.push(RowNumber(row), &said);
        }
    };
    let begun = begin(journal, &order, None, BTreeMap::new(), &SystemClock, &mut keep).await;
    let (session, _) = begun.map_err(begin_failure)?;
    kept?;
    Ok(session)
}

fn fit(ready: Ready) -> Result<crate::job::Settings, Failure> {
    warn_of(ready.unknown());
    let bad: Vec<&Check> = ready.bad().collect();
    match &ready.settings {
        Some(settings) if bad.is_empty() => Ok(settings.clone()),
        Some(_) | None => Err(preflight_failure(&bad)),
    }
}

/// Writes `plan.csv`, row by row, and counts.
fn write(
    session: &Session,
    batch: &JobBatch,
    plans: PlanRows,
    in_file: Spool<InFile>,
    forecast: &mut PlanForecast,
    folder: &Path,
) -> Result<(), Failure> {
    let header = session.header();
    let whole = plan_seal(&batch.job.digest, &batch.params, &header.target, &batch.input.digest);
    let key_cell = header.input.key_cell;
    let key = |input: &InputRow| input.cells.get(key_cell).cloned().unwrap_or_default();
    let mut others = session.glance()?;
    let mut name = |row| {
        let input = others.input(row)?;
        let name = input.map(|input| named(row, input.line, &key(&input)));
        Ok::<_, JournalError>(name.unwrap_or_else(|| format!("row {row}")))
    };
    let mut settled = plans.settle(&mut name)?;
    let mut in_file = in_file.finish()?;
    let columns: Vec<&str> = batch.job.report.iter().map(|(name, _)| name.as_str()).collect();
    let mut table = PlanTable::create(&folder.join("plan.csv"), &columns, SEAL_COLUMN)?;
    session.glance()?.each::<Failure>(|input, _| {
        let (row, key) = (input.number, key(input));
        let mut refusal = None;
        while let Some((rule, is_error, message, suggestion)) = in_file.next_of(row)? {
            forecast.find(row, &key, &rule, is_error, message.clone())?;
            let advice = suggestion.unwrap_or_default();
            refusal = refusal.or(is_error.then_some(Problem { code: rule, message, advice }));
        }
        let plan = match refusal {
            Some(problem) => {
                forecast.refused += 1;
                RowPlan::against(problem)
            }
            None => {
                let plan = settled.next_of(row, &mut name)?;
                let plan = plan.ok_or_else(|| Failure::program(format!("row {row} was not planned")))?;
                forecast.take(&batch.job, row, &key, &plan)?;
                plan
            }
        };
        table.line(&line(batch, whole, row, &key, &plan))?;
        Ok(())
    })?;
    forecast.plan = table.finish()?.display().to_string();
    Ok(())
}

fn line<'a>(batch: &'a JobBatch, whole: Seal, row: RowNumber, key: &'a str, plan: &'a RowPlan) -> PlanRow<'a> {
    let (change, steps, problem) = match &plan.plan {
        Plan::Unchanged => ("unchanged", &[][..], None),
        Plan::Change(steps) => ("change", &steps[..], None),
        Plan::Refused(problems) => ("refused", &[][..], Problem::all(problems.clone())),
    };
    let steps = steps.iter().filter_map(|id| Some(batch.job.step(*id)?.name.as_str()));
    let seal = seal_cell(whole.0, plan.seal.map(|seal| seal.0));
    PlanRow { row: row.0, key, change, steps: steps.collect(), problem, report: &plan.report, seal }
}
