//! Beginning a run, or finding the one that the same line began before.
//!
//! A run line is always safe to repeat: it goes on with the unfinished run of the same job, rows, parameters and target, and
//! says so when there is nothing left. What looks like the same run but differs is refused, with what differs.

use super::services::Clock;
use crate::batch::{Digest, Finding, FindingCounts, Input, InputError, PlanFile, PlanFileError, Row, Visit};
use crate::core::Problem;
use crate::job::{Job, Settings};
use crate::journal::{
    Adoption, Import, InputFacts, InputRow, Journal, JournalError, Planned, RowNumber, RunHeader, RunId, RunRecord,
    RunState, Seal, takers,
};
use crate::machine::{Rules, StepTraits};
use crate::values::{Rule, Violation};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Looks in a row that teach nothing before the machine gives up; in practice the patience in time ends sooner.
const LOOKS_MAX: u32 = 1_000;

/// What a run line asks for.
pub struct Order<'a> {
    /// The name of the run, should it be a new one.
    pub run: RunId,
    /// The job.
    pub job: &'a Job,
    /// Its parameters, all of them.
    pub params: BTreeMap<String, String>,
    /// The file.
    pub input: &'a Input,
    /// Which tenant.
    pub target: String,
    /// What was given as `--target`.
    pub target_spec: String,
    /// The budget of writes.
    pub write_quota: String,
    /// Who asks.
    pub operator: String,
    /// SHA-256 of the plan to execute, if one is.
    pub plan: Option<Digest>,
    /// The run to take people over from who are half way in it.
    pub adopts: Option<RunId>,
}

/// What the journal has of what a run line asks for.
#[derive(Debug)]
pub enum Before {
    /// Nothing.
    New,
    /// A run to go on with.
    Unfinished(Box<RunRecord>),
    /// A run that has ended.
    Finished(Box<RunRecord>),
    /// A run that looks like it and differs; in what.
    Different(Box<RunRecord>, Vec<String>),
}

/// Looks for a run that the same line began.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub fn look_back(journal: &Journal, order: &Order<'_>) -> Result<Before, JournalError> {
    let path = absolute(order.input);
    let mut runs = journal.runs()?;
    runs.reverse();
    let takers = takers(&runs);
    runs.retain(|run| {
        let header = &run.header;
        if takers.contains_key(&run.id()) || order.adopts == Some(run.id()) {
            return false;
        }
        let same_rows = header.input.digest == order.input.digest || header.input.path == path;
        header.job == order.job.name && same_rows
    });
    let is_finished = |run: &RunRecord| run.is_complete() && run.state == RunState::Finished;
    let (finished, unfinished): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_finished);
    let mut different = None;
    for run in unfinished {
        let differences = differences(&run, order);
        if differences.is_empty() {
            return Ok(Before::Unfinished(Box::new(run)));
        }
        different.get_or_insert((run, differences));
    }
    if let Some((run, differences)) = different {
        return Ok(Before::Different(Box::new(run), differences));
    }
    let same = finished.into_iter().find(|run| differences(run, order).is_empty());
    Ok(same.map_or(Before::New, |run| Before::Finished(Box::new(run))))
}

fn differences(run: &RunRecord, order: &Order<'_>) -> Vec<String> {
    let (header, input) = (&run.header, &run.header.input);
    let changed = |what: &str, name: &str, then: &Digest, now: &Digest| {
        (then != now).then(|| format!("the {what} {name} has changed (SHA-256 then {then}, now {now})"))
    };
    let was = |what: &str, then: &str, now: &str| (then != now).then(|| format!("{what} was {then}, now it is {now}"));
    let plan = |digest: &Option<Digest>| {
        digest.as_ref().map_or_else(|| "none".into(), |digest| format!("the one with SHA-256 {digest}"))
    };
    let adopts = order.adopts.filter(|_| header.adopts != order.adopts);
    let of_run = [
        changed("file", &input.path, &input.digest, &order.input.digest),
        changed("job", &header.job, &header.job_digest, &order.job.digest),
        was("the target", &header.target, &order.target),
        was("the plan it executes", &plan(&header.plan), &plan(&order.plan)),
        adopts.map(|from| format!("it has not taken over the people of run {from}")),
    ];
    let of_params = order.params.iter().map(|(name, now)| {
        let then = header.params.get(name).map_or("not there", String::as_str);
        was(&format!("the parameter {name}"), then, now)
    });
    of_run.into_iter().chain(of_params).flatten().collect()
}

fn absolute(input: &Input) -> String {
    let path = std::fs::canonicalize(&input.file).unwrap_or_else(|_| input.file.clone());
    path.display().to_string()
}

/// The machine's bounds for a job.
#[must_use]
pub fn rules_of(job: &Job) -> Rules {
    Rules {
        steps: job.steps.iter().map(|step| StepTraits { exposes: step.exposes }).collect(),
        attempts_max: job.limits.attempts,
        undo_attempts_max: job.limits.undo_attempts,
        looks_max: LOOKS_MAX,
    }
}

fn header(order: &Order<'_>, clock: &dyn Clock) -> RunHeader {
    let job = order.job;
    let mapping = order.input.mapping.clone();
    RunHeader {
        id: order.run,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        job: job.name.clone(),
        job_source: job.source.to_string(),
        job_digest: job.digest.clone(),
        rules: rules_of(job),
        steps: job.steps.iter().map(|step| step.name.clone()).collect(),
        report_columns: job.report.iter().map(|(name, _)| name.clone()).collect(),
        params: order.params.clone(),
        input: InputFacts {
            path: absolute(order.input),
            digest: order.input.digest.clone(),
            header: order.input.header.clone(),
            key_cell: mapping.cell(job.layout.key).unwrap_or(0),
            mapping,
        },
        target: order.target.clone(),
        target_spec: order.target_spec.clone(),
        write_quota: order.write_quota.clone(),
        operator: order.operator.clone(),
        started_at: clock.now(),
        plan: order.plan.clone(),
        adopts: order.adopts,
    }
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BeginError {
    /// The file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] InputError),
    /// The plan to execute.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanFileError),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

/// Reads every row of a file, lets the job look at it too, and shows rows and findings.
///
/// # Errors
/// [`InputError`] from reading, and those of `visit`.
pub fn each_row<E: From<InputError>>(
    job: &Job,
    settings: &Settings,
    input: &Input,
    mut visit: impl FnMut(Visit) -> Result<(), E>,
) -> Result<u64, E> {
    let mut judge = |row: &Row, findings: &mut Vec<Finding>| objections(job, settings, row, findings);
    let mut shown = |item: Visit| match visit(item) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    };
    match input.rows(&job.layout, &mut judge, &mut shown)? {
        ControlFlow::Continue(rows) => Ok(rows),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What the job's own checks say of a row.
fn objections(job: &Job, settings: &Settings, row: &Row, findings: &mut Vec<Finding>) {
    if findings.iter().any(Finding::is_error) {
        return;
    }
    let found = job.objections(settings, &row.values);
    let found = found.unwrap_or_else(|error| vec![error.problem()]);
    findings.extend(found.into_iter().map(|problem| {
        let message = format!("{}; {}", problem.message, problem.advice);
        let rule = Rule::Job(problem.code);
        Violation::error(rule, message).in_row(row.number, row.line)
    }));
}

/// Copies a file's rows into a new run of the journal, each with what the plan says of it, where one is executed, and where it
/// is taken over from another run ([`take_over`](super::half_way::take_over)). Faulty rows end refused at once.
///
/// # Errors
/// [`BeginError`]; nothing was sent, and the run does not exist.
pub fn copy(
    journal: &Journal,
    order: &Order<'_>,
    mut plan: Option<PlanFile>,
    mut adoptions: BTreeMap<u64, Adoption>,
    clock: &dyn Clock,
    tell: &mut dyn FnMut(&Finding),
) -> Result<(Import, FindingCounts), BeginError> {
    let settings = Settings::new(&order.params, &serde_json::Map::new());
    let key = order.input.mapping.cell(order.job.layout.key);
    let mut import = journal.begin(header(order, clock))?;
    let mut summary = FindingCounts::default();
    each_row::<BeginError>(order.job, &settings, order.input, |item| {
        let findings = match item {
            Visit::Row { row, findings } => {
                let planned = match &mut plan {
                    Some(plan) => Some(planned(plan, &row, key)?),
                    None => None,
                };
                import.push(InputRow { number: RowNumber(row.number), line: row.line, cells: row.cells, planned })?;
                if let Some(adoption) = adoptions.remove(&row.number) {
                    import.adopt(adoption)?;
                }
                findings
            }
            Visit::Clash(finding) => vec![finding],
        };
        for finding in &findings {
            summary.add(finding);
            tell(finding);
        }
        let errors = findings.iter().filter(|finding| finding.is_error());
        let row = errors.clone().find_map(|finding| finding.row);
        if let (Some(row), Some(problem)) = (row, Problem::all(errors.map(refusal).collect())) {
            import.reject(RowNumber(row), clock.now(), problem)?;
        }
        Ok(())
    })?;
    Ok((import, summary))
}

/// The key is compared as it stands in the file.
fn planned(plan: &mut PlanFile, row: &Row, key: Option<usize>) -> Result<Planned, PlanFileError> {
    let key = key.and_then(|cell| row.cells.get(cell));
    let seal = plan.seal_of(row.number, key.map_or("", String::as_str))?;
    Ok(seal.map_or(Planned::Absent, |seal| Planned::Sealed(Seal(seal))))
}

fn refusal(finding: &Finding) -> Problem {
    let place = match (finding.line, &finding.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, _) => String::new(),
    };
    Problem {
        code: finding.rule.to_string(),
        message: format!("{place}{}", finding.message),
        advice: match &finding.suggestion {
            Some(suggestion) => format!("correct the file; suggested: {suggestion}"),
            None => "correct the file and run the row again".into(),
        },
    }
}
