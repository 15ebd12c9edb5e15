//! `cutover plan`: read live state, write nothing; what would change, and what it would cost.

use super::args::{Global, PlanArgs};
use super::connect::{Cast, Target, person};
use super::context::{Batch, print_json};
use super::exit::{Exit, Failure};
use crate::batch::{Finding, InputError, Row, Visit};
use crate::job::{Job, RowView, Settings};
use crate::progress::say_result;
use crate::progress::short;
use crate::runner::Services;
use crate::runner::directory::{Answer, ask};
use crate::runner::lookups::look_up;
use crate::runner::plan::{Plan, plan_row};
use crate::runner::start::each_row;
use crate::runner::talk::{Halt, Talk};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Rows read at once.
const ROWS_IN_FLIGHT_MAX: usize = 32;

/// What a run would do, in numbers.
#[derive(Debug, Serialize)]
struct Forecast {
    job: String,
    target: String,
    rows: u64,
    changes: BTreeMap<String, u64>,
    unchanged: u64,
    refused: u64,
    writes: u64,
    reads: u64,
    seconds_at_budget: f64,
    findings: Vec<PlanFinding>,
}

#[derive(Debug, Serialize)]
struct PlanFinding {
    row: u64,
    key: String,
    rule: String,
    severity: &'static str,
    message: String,
}

/// A row that the file's own rules have nothing against.
struct Good {
    number: u64,
    values: Vec<Option<String>>,
}

pub(super) async fn main(global: &Global, args: &PlanArgs) -> Result<Exit, Failure> {
    let batch = Batch::open(&args.batch)?;
    batch.must_be_usable()?;
    let target = Target::named(args.target.target.as_deref())?;
    let identity = target.identity();
    let mut forecast = Forecast {
        job: batch.job.name.clone(),
        target: identity,
        rows: 0,
        changes: batch
            .job
            .steps
            .iter()
            .map(|step| (step.name.clone(), 0))
            .collect(),
        unchanged: 0,
        refused: 0,
        writes: 0,
        reads: 0,
        seconds_at_budget: 0.0,
        findings: Vec::new(),
    };
    let good = lint(&batch, &mut forecast)?;
    let cast = cast(global, &batch, &good);
    let connected = target.connect(Uuid::now_v7(), &batch.job, cast).await?;
    let planned = plan(&batch, &connected.services, good, &mut forecast).await;
    let rate = connected.services.writes.full_rate();
    connected.close().await;
    planned?;
    forecast.seconds_at_budget = forecast.writes as f64 / rate;
    forecast.findings.sort_by_key(|finding| finding.row);
    if args.json {
        print_json(&forecast)?;
    } else {
        print_in_words(&batch.job, &forecast);
    }
    Ok(if forecast.findings.is_empty() {
        Exit::Good
    } else {
        Exit::Findings
    })
}

/// Who plays in the simulated tenant, which is used as an earlier run left it, and only looked at.
fn cast(global: &Global, batch: &Batch, good: &[Good]) -> Cast {
    let state = super::sim::state_dir(global, &batch.input.digest);
    let people = good
        .iter()
        .filter_map(|row| person(&batch.job.layout, &row.values));
    Cast {
        people: people.collect(),
        state: state.exists().then_some(state),
    }
}

fn lint(batch: &Batch, forecast: &mut Forecast) -> Result<Vec<Good>, Failure> {
    let settings = Settings::new(&batch.params, &serde_json::Map::new());
    let mut good: BTreeMap<u64, Good> = BTreeMap::new();
    forecast.rows = each_row::<InputError>(&batch.job, &settings, &batch.input, |item| {
        match item {
            Visit::Row { row, findings } => {
                let key = key_of(batch, &row);
                for finding in &findings {
                    forecast
                        .findings
                        .push(plan_finding(row.number, &key, finding));
                }
                if row.faulty {
                    forecast.refused += 1;
                } else {
                    let values = row
                        .values
                        .iter()
                        .map(|v| v.as_ref().map(ToString::to_string));
                    let values = values.collect();
                    good.insert(
                        row.number,
                        Good {
                            number: row.number,
                            values,
                        },
                    );
                }
            }
            Visit::Clash(finding) => {
                if let Some(row) = finding.row.and_then(|row| good.remove(&row)) {
                    forecast.refused += 1;
                    let key = row.values.get(batch.job.layout.key).cloned().flatten();
                    let key = key.unwrap_or_default();
                    forecast
                        .findings
                        .push(plan_finding(row.number, &key, &finding));
                }
            }
        }
        Ok(())
    })
    .map_err(Failure::unusable)?;
    Ok(good.into_values().collect())
}

fn key_of(batch: &Batch, row: &Row) -> String {
    let cell = batch.input.mapping.cell(batch.job.layout.key);
    cell.and_then(|cell| row.cells.get(cell))
        .cloned()
        .unwrap_or_default()
}

fn plan_finding(row: u64, key: &str, finding: &Finding) -> PlanFinding {
    PlanFinding {
        row,
        key: key.to_owned(),
        rule: finding.rule.to_string(),
        severity: if finding.is_error() {
            "error"
        } else {
            "warning"
        },
        message: finding.message.clone(),
    }
}

async fn plan(
    batch: &Batch,
    services: &Arc<Services>,
    good: Vec<Good>,
    forecast: &mut Forecast,
) -> Result<(), Failure> {
    let mut talk = Talk::new(services, "lookups".into());
    let settings = look_up(&batch.job, &batch.params, &mut talk)
        .await
        .map_err(|problem| Failure::said(Exit::Fault, problem.to_string(), problem.advice))?;
    let mut rows = good.into_iter();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < ROWS_IN_FLIGHT_MAX
            && let Some(row) = rows.next()
        {
            tasks.spawn(one(
                Arc::clone(&batch.job),
                settings.clone(),
                Arc::clone(services),
                row,
            ));
        }
        let Some(ended) = tasks.join_next().await else {
            return Ok(());
        };
        let (row, plan) = ended.map_err(|error| Failure::program(error.to_string()))?;
        let plan = plan.map_err(|Halt(problem)| {
            Failure::said(Exit::Fault, problem.to_string(), problem.advice)
        })?;
        count(batch, forecast, &row, plan);
    }
}

async fn one(
    job: Arc<Job>,
    settings: Settings,
    services: Arc<Services>,
    row: Good,
) -> (Good, Result<Plan, Halt>) {
    let mut talk = Talk::new(&services, format!("plan/{}", row.number));
    let plan = plan_values(&job, &settings, &row.values, &mut talk, &services).await;
    (row, plan)
}

async fn plan_values(
    job: &Arc<Job>,
    settings: &Settings,
    values: &[Option<String>],
    talk: &mut Talk,
    services: &Services,
) -> Result<Plan, Halt> {
    let inquiries = services.directory.as_ref();
    let directory = match ask(inquiries, job, settings, values, &|| false).await? {
        Answer::NotAsked | Answer::Parked => None,
        Answer::Entry(entry) => Some(entry),
        Answer::Against(problem) => return Ok(Plan::Refused(problem)),
    };
    match RowView::new(job, settings, values, directory) {
        Ok(view) => plan_row(job, &view, talk).await,
        Err(error) => Ok(Plan::Refused(crate::runner::sight::job_problem(&error))),
    }
}

fn count(batch: &Batch, forecast: &mut Forecast, row: &Good, plan: Plan) {
    match plan {
        Plan::Unchanged => {
            forecast.unchanged += 1;
            forecast.reads += 1;
        }
        Plan::Change(steps) => {
            forecast.writes += steps.len() as u64;
            // One read before the first write, one to verify.
            forecast.reads += 2;
            for step in steps.iter().filter_map(|id| batch.job.step(*id)) {
                *forecast.changes.entry(step.name.clone()).or_default() += 1;
            }
        }
        Plan::Refused(problem) => {
            forecast.refused += 1;
            forecast.reads += 1;
            let key = row.values.get(batch.job.layout.key).cloned().flatten();
            forecast.findings.push(PlanFinding {
                row: row.number,
                key: key.unwrap_or_default(),
                rule: problem.code,
                severity: "error",
                message: problem.message,
            });
        }
    }
}

fn print_in_words(job: &Job, forecast: &Forecast) {
    say_result(format_args!(
        "{} rows for {} on {}",
        forecast.rows, forecast.job, forecast.target
    ));
    for step in &job.steps {
        let rows = forecast.changes.get(&step.name).copied().unwrap_or(0);
        say_result(format_args!("  {rows:>7}  {}", step.title));
    }
    say_result(format_args!("  {:>7}  unchanged", forecast.unchanged));
    say_result(format_args!("  {:>7}  refused", forecast.refused));
    for finding in &forecast.findings {
        say_result(format_args!(
            "row {} {}: {} [{}]",
            finding.row, finding.key, finding.message, finding.rule
        ));
    }
    let time = short(Duration::from_secs_f64(forecast.seconds_at_budget));
    say_result(format_args!(
        "{} writes, some {} reads; {time} at the budget",
        forecast.writes, forecast.reads
    ));
}
