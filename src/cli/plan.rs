//! `cutover plan`: read live state, write nothing to any target; what would change, what speaks against it, what it would cost.
//!
//! The rows are copied into a journal that is thrown away, as a run copies them into its own, and read by the engine of all passes.
//! What is found waits on disk, so that memory does not grow with the rows.

use super::args::{Global, PlanArgs};
use super::connect::{Cast, Target};
use super::context::{JobBatch, holder};
use super::exit::Exit;
use super::failure::Failure;
use super::forecast::{PlanForecast, permits_given};
use super::reading::{ReadPass, must_be_whole};
use super::sim::cast_of;
use super::waits::Waits;
use super::work::{preflight_failure, warn_of};
use crate::batch::Finding;
use crate::core::Problem;
use crate::journal::{Journal, JournalError, RowNumber, Session};
use crate::report::PlanTable;
use crate::runner::admission::{Admission, Selection};
use crate::runner::claims::named;
use crate::runner::plan::{RowPlan, plan_seal};
use crate::runner::plan_rows::PlanRows;
use crate::runner::preflight::Verdict;
use crate::runner::reading::ReadQuestion;
use crate::runner::spool::Spool;
use crate::runner::start;
use crate::runner::{Clock, SystemClock};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// What the names of the temporary folders begin with.
const FOLDER_PREFIX: &str = "cutover-plan-";

/// What was read of the rows, each as if it were alone.
struct PlannedRows {
    plans: PlanRows,
    rows: u64,
    reads: u64,
}

/// What the file's own rules say of a row, and whether that refuses the row. The advice is a value to use instead.
type InFile = (bool, Problem);

pub(super) async fn main(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let batch = JobBatch::open(&args.batch)?;
    let target = Target::named(args.target.target.as_deref())?;
    let (waits, _commands) = Waits::for_target(&target);
    let folder = temporary_folder()?;
    let journal = Journal::open(folder.path(), &holder("plan", None))?;
    let mut in_file = Spool::new()?;
    let session = copy(&journal, &batch, &target, &mut in_file).await?;
    let mut reader = session.reader().await?;
    let run = session.run();
    let cast = cast_of(global, &[], &run.header, &mut reader, &batch.job)?;
    // The simulated tenant is used as an earlier run left it, and only looked at.
    let cast = Cast { state: cast.state.filter(|state| state.exists()), ..cast };
    let pass = ReadPass::connect(&run, &batch.job, target, cast, waits).await?;
    let mut forecast = PlanForecast::new(&batch.job, &run.header.target, run.rows)?;
    forecast.warn(&pass.ready)?;
    warn_of(pass.ready.of(Verdict::Unknown));
    let settings = pass.ready.settings.clone().filter(|_| pass.ready.of(Verdict::Bad).next().is_none());
    let settings = settings.ok_or_else(|| preflight_failure(&pass.ready))?;
    let services = Arc::clone(&pass.connected.services);
    let before = permits_given(&services);
    let planned = Arc::new(Mutex::new(Some(PlannedRows { plans: PlanRows::new()?, rows: 0, reads: 0 })));
    let sink = Arc::clone(&planned);
    let take = move |row, plan: RowPlan, reads: u32| {
        sink.lock().as_mut().map_or(Ok(()), |planned| {
            planned.rows += 1;
            planned.reads += u64::from(reads);
            planned.plans.take(row, &plan)
        })
    };
    let rows = Selection::Unfinished.count(&run);
    let admission = Admission::new(reader, &run, &batch.job.layout, Selection::Unfinished);
    let end = pass.read(settings, rows, admission, ReadQuestion::Plan(Box::new(take)), None).await;
    let after = permits_given(&services);
    let planned = planned.lock().take().ok_or_else(|| Failure::program("the plan was taken twice"))?;
    must_be_whole(end, planned.rows, rows)?;
    forecast.numbers.reads = planned.reads;
    write(&session, &batch, planned.plans, in_file, &mut forecast, &args.report)?;
    forecast.reckon(&before, &after)?;
    let exit = if forecast.is_clean() { Exit::Good } else { Exit::Findings };
    if args.json {
        forecast.print_json()?;
    } else {
        forecast.print_text();
    }
    Ok(exit)
}

/// A folder for the journal of the plan. Those that killed processes left are cleared away.
fn temporary_folder() -> Result<TempDir, Failure> {
    let folders = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(FOLDER_PREFIX)) {
        if let Ok(Some(owner)) = Journal::holder(&folder.path())
            && !owner.may_live()
        {
            // Another user's stays.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
    tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().map_err(|error| {
        let message = format!("no temporary folder for the rows of the plan: {error}");
        let help = "set TMPDIR to a folder that exists and has room; nothing was read or changed";
        Failure::with(Exit::Fault, message, help)
    })
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
            let advice = suggestion.clone().unwrap_or_default();
            let said = (finding.is_error(), Problem { code: rule.to_string(), message: message.clone(), advice });
            kept = in_file.push(RowNumber(row), &said);
        }
    };
    let (import, _) = start::copy(journal, &order, None, BTreeMap::new(), &SystemClock, &mut keep)?;
    kept?;
    Ok(import.finish(SystemClock.now()).await?)
}

/// Writes `plan.csv`, row by row, and counts.
fn write(
    session: &Session,
    batch: &JobBatch,
    plans: PlanRows,
    in_file: Spool<InFile>,
    forecast: &mut PlanForecast<'_>,
    folder: &Path,
) -> Result<(), Failure> {
    let header = session.header();
    let whole = plan_seal(&batch.job.digest, &batch.params, &header.target, &batch.input.digest);
    let mut others = session.glance()?;
    let mut name = |row| {
        let input = others.input(row)?;
        Ok::<_, JournalError>(named(&header.input, row, input.as_ref()))
    };
    let mut settled = plans.settle(&mut name)?;
    let mut in_file = in_file.finish()?;
    let mut table = PlanTable::create(&folder.join("plan.csv"), &batch.job, whole)?;
    session.glance()?.each::<Failure>(|input, _| {
        let (row, key) = (input.number, header.input.key(input).to_owned());
        let mut refusal = None;
        while let Some((is_error, problem)) = in_file.next_of(row)? {
            forecast.find(row, &key, &problem.code, is_error, &problem.message)?;
            refusal = refusal.or(is_error.then_some(problem));
        }
        let plan = match refusal {
            Some(problem) => {
                forecast.numbers.refused += 1;
                RowPlan::against(problem)
            }
            None => {
                let plan = settled.next_of(row, &mut name)?;
                let plan = plan.ok_or_else(|| Failure::program(format!("row {row} was not planned")))?;
                forecast.take(row, &key, &plan)?;
                plan
            }
        };
        table.row(row, &key, &plan)?;
        Ok(())
    })?;
    forecast.numbers.plan = table.finish()?.display().to_string();
    Ok(())
}
