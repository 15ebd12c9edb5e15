//! What a plan comes to, in numbers, and how it is told.

use super::failure::Failure;
use crate::batch::Finding;
use crate::core::Problem;
use crate::job::Job;
use crate::progress::{counted, print_result, print_text, short};
use crate::runner::preflight::Check;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Findings that are shown one by one on the terminal; `plan.csv` and `--json` have all of them.
const SHOWN_MAX: usize = 20;

/// The severity of what keeps a row from being changed.
const BLOCKS: &str = "error";
/// The severity of what somebody should know.
const WARNS: &str = "warning";

/// What a run would do, in numbers.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    pub job: String,
    pub target: String,
    pub rows: u64,
    pub changes: BTreeMap<String, u64>,
    pub unchanged: u64,
    pub refused: u64,
    pub writes: u64,
    pub reads: u64,
    pub seconds_at_budget: f64,
    /// When it would be finished if it began now, RFC 3339.
    pub finished_at: String,
    pub findings: Vec<PlanFinding>,
    /// Where the plan was written.
    pub plan: String,
}

/// Something that blocks a row (`error`) or that somebody should know (`warning`).
#[derive(Debug, Serialize)]
pub(super) struct PlanFinding {
    /// None where it is about the run as a whole.
    pub row: Option<u64>,
    pub key: Option<String>,
    pub rule: String,
    pub severity: &'static str,
    pub message: String,
}

impl PlanFinding {
    pub fn in_file(row: u64, key: &str, finding: &Finding) -> PlanFinding {
        PlanFinding {
            row: Some(row),
            key: Some(key.to_owned()),
            rule: finding.rule.to_string(),
            severity: if finding.is_error() { BLOCKS } else { WARNS },
            message: finding.message.clone(),
        }
    }

    pub fn against(row: u64, key: &str, problem: &Problem) -> PlanFinding {
        PlanFinding::of_person(row, key, problem, BLOCKS)
    }

    pub fn warning(row: u64, key: &str, problem: &Problem) -> PlanFinding {
        PlanFinding::of_person(row, key, problem, WARNS)
    }

    fn of_person(row: u64, key: &str, problem: &Problem, severity: &'static str) -> PlanFinding {
        PlanFinding {
            row: Some(row),
            key: Some(key.to_owned()),
            rule: problem.code.clone(),
            severity,
            message: format!("{}; {}", problem.message, problem.advice),
        }
    }

    /// Of the run as a whole.
    pub fn of_run(check: &Check) -> PlanFinding {
        PlanFinding {
            row: None,
            key: None,
            rule: check.name.clone(),
            severity: WARNS,
            message: format!("{}; {}", check.detail, check.advice),
        }
    }
}

impl Forecast {
    pub fn new(job: &Job, target: String) -> Forecast {
        let changes = job.steps.iter().map(|step| (step.name.clone(), 0));
        Forecast {
            job: job.name.clone(),
            target,
            rows: 0,
            changes: changes.collect(),
            unchanged: 0,
            refused: 0,
            writes: 0,
            reads: 0,
            seconds_at_budget: 0.0,
            finished_at: String::new(),
            findings: Vec::new(),
            plan: String::new(),
        }
    }

    /// How long the writes take at so many a second, and when they would be made.
    ///
    /// # Errors
    /// The end lies beyond every calendar.
    pub fn reckon(&mut self, writes_per_second: f64) -> Result<(), Failure> {
        let seconds = self.writes as f64 / writes_per_second;
        self.seconds_at_budget = (seconds * 10.0).round() / 10.0;
        let length = jiff::SignedDuration::from_secs_f64(seconds.ceil());
        let end = jiff::Timestamp::now().checked_add(length);
        let end = end.map_err(|error| Failure::program(error.to_string()))?;
        self.finished_at = format!("{end:.0}");
        Ok(())
    }

    /// For a person at a terminal.
    pub fn tell(&self, job: &Job) {
        print_result(format_args!("{} for {} on {}", counted(self.rows, "row", "rows"), self.job, self.target));
        for step in &job.steps {
            let rows = self.changes.get(&step.name).copied().unwrap_or(0);
            print_result(format_args!("  {rows:>7}  {}", step.title));
        }
        print_result(format_args!("  {:>7}  unchanged", self.unchanged));
        print_result(format_args!("  {:>7}  refused", self.refused));
        self.tell_findings();
        let time = short(Duration::from_secs_f64(self.seconds_at_budget));
        print_result(format_args!(
            "{}, some {}; {time} at the budget, finished {} if it began now",
            counted(self.writes, "write", "writes"),
            counted(self.reads, "read", "reads"),
            self.local_end()
        ));
        print_result(format_args!("plan      {} (`cutover run … --plan` executes exactly this)", self.plan));
    }

    /// Each kind with how often it was found and what it says of the first row; then whose change is blocked, one by one.
    fn tell_findings(&self) {
        let mut kinds: BTreeMap<(&str, &str), (u64, &str)> = BTreeMap::new();
        for finding in &self.findings {
            let kind = (finding.severity, finding.rule.as_str());
            kinds.entry(kind).or_insert((0, &finding.message)).0 += 1;
        }
        for ((severity, rule), (count, example)) in kinds {
            print_text(format_args!("  {count:>7}  {rule} ({severity}): {example}\n"));
        }
        let blocked = || self.findings.iter().filter(|one| one.severity == BLOCKS);
        for finding in blocked().take(SHOWN_MAX) {
            let (row, key) = (finding.row.unwrap_or(0), finding.key.as_deref());
            let key = key.unwrap_or_default();
            print_text(format_args!("row {row} {key}: {} [{}]\n", finding.message, finding.rule));
        }
        let more = blocked().count().saturating_sub(SHOWN_MAX);
        if more > 0 {
            let more = counted(more as u64, "more row", "more rows");
            print_text(format_args!("… and {more}; the plan has all of them\n"));
        }
    }

    fn local_end(&self) -> String {
        let zone = jiff::tz::TimeZone::system();
        let end = self.finished_at.parse::<jiff::Timestamp>();
        end.map_or_else(
            |_| self.finished_at.clone(),
            |end| end.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        )
    }
}
