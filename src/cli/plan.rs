//! `cutover plan`: read live state, write nothing to any target; what would change, what speaks against it, what it would cost.

use super::args::{Global, PlanArgs};
use super::connect::{Cast, Hitch, Target, person};
use super::context::{Batch, print_json};
use super::exit::Exit;
use super::failure::Failure;
use super::forecast::{Forecast, PlanFinding};
use super::signals;
use super::waits::{Cut, Waits, trouble_of};
use super::work::{preflight_failure, warn_of};
use crate::batch::plan_file::{SEAL_COLUMN, seal_cell};
use crate::batch::{InputError, Row, Visit};
use crate::core::Problem;
use crate::job::{Job, RowView, Settings};
use crate::journal::{RowNumber, Seal};
use crate::progress::print;
use crate::report::{PlanLine, write_plan};
use crate::runner::Services;
use crate::runner::client::{RunAbort, ServiceClient};
use crate::runner::directory::{Answer, ask};
use crate::runner::plan::{Plan, RowPlan, plan_row, plan_seal};
use crate::runner::plan_rows::{Beside, settle};
use crate::runner::preflight::{Check, prepare};
use crate::runner::start::each_row;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Rows read at once.
const ROWS_IN_FLIGHT_MAX: usize = 32;

/// How often somebody who waits is told how far it is.
const WORD_EVERY: Duration = Duration::from_secs(10);

/// A row that the file's own rules have nothing against.
struct Good {
    number: u64,
    line: u64,
    key: String,
    values: Vec<Option<String>>,
}

/// What is made while rows are read.
struct Planning<'a> {
    batch: &'a Batch,
    whole: Seal,
    forecast: Forecast,
    lines: BTreeMap<u64, PlanLine>,
}

/// A row that was read, and what it cost.
struct Read {
    row: Good,
    plan: RowPlan,
    reads: u32,
}

pub(super) async fn main(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let batch = Batch::open(&args.batch)?;
    batch.must_be_usable()?;
    let target = Target::named(args.target.target.as_deref())?;
    let identity = target.identity();
    let mut planning = Planning {
        whole: plan_seal(&batch.job.digest, &batch.params, &identity, &batch.input.digest),
        forecast: Forecast::new(&batch.job, identity),
        lines: BTreeMap::new(),
        batch: &batch,
    };
    let good = planning.lint()?;
    let cast = cast(global, &batch, &good);
    let (sender, commands) = mpsc::channel(1);
    signals::hear(sender);
    let mut waits = Waits::new(commands, &target);
    let hitch = Hitch::new();
    let connecting = target.connect(Uuid::now_v7(), &batch.job, cast, &hitch);
    let connected = waits.wait(|| hitch.words(), connecting).await;
    let connected = connected.map_err(Cut::into_failure)??;
    let services = &connected.services;
    let rate = services.registry.main().paced().full_rate();
    let reading = read(&mut planning, services, good);
    let read = waits.wait(|| trouble_of(services), reading).await;
    connected.close().await;
    read.map_err(Cut::into_failure)??;
    let path = planning.write(&args.report)?;
    let mut forecast = planning.forecast;
    forecast.plan = path.display().to_string();
    forecast.reckon(rate)?;
    forecast.findings.sort_by_key(|finding| finding.row);
    if args.json {
        print_json(&forecast)?;
    } else {
        forecast.tell(&batch.job);
    }
    Ok(if forecast.findings.is_empty() { Exit::Good } else { Exit::Findings })
}

/// Who plays in the simulated tenant, which is used as an earlier run left it, and only looked at.
fn cast(global: &Global, batch: &Batch, good: &[Good]) -> Cast {
    let state = super::sim::state_dir(global, &batch.input.digest);
    let people = good.iter().filter_map(|row| person(&batch.job.layout, &row.values));
    Cast { people: people.collect(), state: state.exists().then_some(state) }
}

/// The preflight, and then every row.
async fn read(planning: &mut Planning<'_>, services: &Arc<Services>, good: Vec<Good>) -> Result<(), Failure> {
    let (job, params) = (&planning.batch.job, &planning.batch.params);
    let ready = prepare(job, params, services).await.map_err(no_answer)?;
    warn_of(ready.unknown());
    let warnings = ready.warnings().map(PlanFinding::of_run);
    planning.forecast.findings.extend(warnings);
    let bad: Vec<&Check> = ready.bad().collect();
    match &ready.settings {
        Some(settings) if bad.is_empty() => rows(planning, services, settings, good).await,
        Some(_) | None => Err(preflight_failure(&bad)),
    }
}

async fn rows(
    planning: &mut Planning<'_>,
    services: &Arc<Services>,
    settings: &Settings,
    good: Vec<Good>,
) -> Result<(), Failure> {
    let job = Arc::clone(&planning.batch.job);
    let all = good.len();
    let mut word_at = Instant::now() + WORD_EVERY;
    let mut rows = good.into_iter();
    let mut tasks = JoinSet::new();
    let mut seen = Vec::with_capacity(all);
    loop {
        while tasks.len() < ROWS_IN_FLIGHT_MAX
            && let Some(row) = rows.next()
        {
            let (job, services) = (Arc::clone(&job), Arc::clone(services));
            tasks.spawn(one(job, settings.clone(), services, row));
        }
        let Some(ended) = tasks.join_next().await else {
            break;
        };
        let read = ended.map_err(|error| Failure::program(error.to_string()))?;
        let Read { row, plan, reads } = read.map_err(no_answer)?;
        planning.forecast.reads += u64::from(reads);
        seen.push(Beside { row: RowNumber(row.number), line: row.line, key: row.key, plan });
        if Instant::now() >= word_at {
            word_at += WORD_EVERY;
            print(format_args!("{} of {all} rows read", all - rows.len() - tasks.len()));
        }
    }
    seen.sort_by_key(|row| row.row);
    settle(&mut seen);
    seen.into_iter().for_each(|row| planning.take(row));
    Ok(())
}

fn no_answer(RunAbort(problem): RunAbort) -> Failure {
    Failure::of_problem(Exit::Fault, &problem)
}

async fn one(job: Arc<Job>, settings: Settings, services: Arc<Services>, row: Good) -> Result<Read, RunAbort> {
    let mut client = ServiceClient::new(&services, format!("plan/{}", row.number));
    let view = match bind(&job, &settings, &row.values, &services).await? {
        Ok(view) => view,
        Err(problem) => {
            return Ok(Read { row, plan: RowPlan::against(problem), reads: 0 });
        }
    };
    let plan = plan_row(&job, &view, &mut client).await?;
    Ok(Read { reads: client.take_costs().reads, plan, row })
}

/// The row as the job sees it, with what the on-premises directory says of it where that is asked; or what speaks against it.
async fn bind(
    job: &Arc<Job>,
    settings: &Settings,
    values: &[Option<String>],
    services: &Services,
) -> Result<Result<RowView, Problem>, RunAbort> {
    let inquiries = services.directory.as_ref();
    let directory = match ask(inquiries, job, settings, values, &|| false).await? {
        Answer::NotAsked | Answer::Parked => None,
        Answer::Entry(entry) => Some(entry),
        Answer::Against(problem) => return Ok(Err(problem)),
    };
    let view = RowView::new(job, settings, values, directory);
    Ok(view.map_err(|error| error.problem()))
}

impl Planning<'_> {
    /// What the file alone says.
    fn lint(&mut self) -> Result<Vec<Good>, Failure> {
        let settings = Settings::new(&self.batch.params, &serde_json::Map::new());
        let batch = self.batch;
        let mut good: BTreeMap<u64, Good> = BTreeMap::new();
        let rows = each_row::<InputError>(&batch.job, &settings, &batch.input, |item| {
            match item {
                Visit::Row { row, findings } => {
                    let key = key_of(batch, &row);
                    for finding in &findings {
                        self.find(PlanFinding::in_file(row.number, &key, finding));
                    }
                    if row.faulty {
                        self.refuse(row.number, &key, findings.iter().find(|one| one.is_error()));
                    } else {
                        good.insert(row.number, Good::new(&row, key));
                    }
                }
                Visit::Clash(finding) => {
                    if let Some(row) = finding.row.and_then(|row| good.remove(&row)) {
                        self.find(PlanFinding::in_file(row.number, &row.key, &finding));
                        self.refuse(row.number, &row.key, Some(&finding));
                    }
                }
            }
            Ok(())
        });
        self.forecast.rows = rows.map_err(Failure::unusable)?;
        Ok(good.into_values().collect())
    }

    fn find(&mut self, finding: PlanFinding) {
        self.forecast.findings.push(finding);
    }

    fn refuse(&mut self, row: u64, key: &str, finding: Option<&crate::batch::Finding>) {
        self.forecast.refused += 1;
        let problem = finding.map(|finding| {
            let advice = finding.suggestion.clone().unwrap_or_default();
            [finding.rule.to_string(), finding.message.clone(), advice]
        });
        self.line(row, key, "refused", problem);
    }

    fn line(&mut self, row: u64, key: &str, change: &'static str, problem: Option<[String; 3]>) -> &mut PlanLine {
        let line = self.lines.entry(row).or_default();
        line.row = row;
        key.clone_into(&mut line.key);
        line.change = change;
        line.problem = problem;
        line.seal = seal_cell(self.whole.0, None);
        line
    }

    /// Counts a row that was read.
    fn take(&mut self, read: Beside) {
        let Beside { row, key, plan, .. } = read;
        for warning in &plan.warnings {
            self.find(PlanFinding::warning(row.0, &key, warning));
        }
        let whole = self.whole.0;
        let line = match &plan.plan {
            Plan::Unchanged => {
                self.forecast.unchanged += 1;
                self.line(row.0, &key, "unchanged", None)
            }
            Plan::Change(steps) => {
                let names = self.count(steps);
                let line = self.line(row.0, &key, "change", None);
                line.steps = names;
                line
            }
            Plan::Refused(problems) => {
                self.forecast.refused += 1;
                for problem in problems {
                    self.find(PlanFinding::against(row.0, &key, problem));
                }
                let problem = Problem::all(problems.clone());
                let problem = problem.map(|one| [one.code, one.message, one.advice]);
                self.line(row.0, &key, "refused", problem)
            }
        };
        line.report = plan.report;
        line.seal = seal_cell(whole, plan.seal.map(|seal| seal.0));
    }

    /// Counts the steps of a row, and answers their names.
    fn count(&mut self, steps: &[crate::job::StepId]) -> Vec<String> {
        self.forecast.writes += steps.len() as u64;
        let steps = steps.iter().filter_map(|id| self.batch.job.step(*id));
        let steps: Vec<_> = steps.collect();
        let looks = steps.iter().filter(|step| step.observe_after).count();
        // One more read to verify.
        self.forecast.reads += looks as u64 + 1;
        for step in &steps {
            *self.forecast.changes.entry(step.name.clone()).or_default() += 1;
        }
        steps.iter().map(|step| step.name.clone()).collect()
    }

    fn write(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let path = folder.join("plan.csv");
        let columns = self.batch.job.report.iter();
        let columns: Vec<&str> = columns.map(|(name, _)| name.as_str()).collect();
        Ok(write_plan(&path, &columns, SEAL_COLUMN, self.lines.values())?)
    }
}

impl Good {
    fn new(row: &Row, key: String) -> Good {
        let values = row.values.iter();
        Good {
            number: row.number,
            line: row.line,
            key,
            values: values.map(|value| value.as_ref().map(ToString::to_string)).collect(),
        }
    }
}

fn key_of(batch: &Batch, row: &Row) -> String {
    let cell = batch.input.mapping.cell(batch.job.layout.key);
    cell.and_then(|cell| row.cells.get(cell)).cloned().unwrap_or_default()
}
