//! What a plan comes to, in numbers, and how it is printed. PlanFindings about rows wait on disk until they are.

use super::failure::Failure;
use crate::core::Problem;
use crate::job::Job;
use crate::journal::RowNumber;
use crate::progress::{counted, print_json_text, print_result, print_text, short};
use crate::runner::Services;
use crate::runner::plan::{Plan, RowPlan};
use crate::runner::preflight::Ready;
use crate::runner::spool::Spool;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// PlanFindings that are shown one by one on the terminal; `plan.csv` and `--json` have all of them.
const SHOWN_MAX: u64 = 20;

/// The severity of what keeps a row from being changed.
const BLOCKS: &str = "error";
/// The severity of what somebody should know.
const WARNS: &str = "warning";

/// What a run would do, in numbers.
#[derive(Serialize)]
pub(super) struct PlanForecast {
    job: String,
    target: String,
    rows: u64,
    changes: BTreeMap<String, u64>,
    unchanged: u64,
    pub refused: u64,
    writes: u64,
    pub reads: u64,
    seconds_at_budget: f64,
    /// The budget that makes the run as long as that; None if nothing would be sent.
    binding: Option<String>,
    /// When it would be finished if it began now, RFC 3339.
    finished_at: String,
    /// Where the plan was written.
    pub plan: String,
    /// The writes that each budget would have to give.
    #[serde(skip)]
    writes_of: BTreeMap<String, u64>,
    #[serde(skip)]
    findings: PlanFindings,
}

struct PlanFindings {
    /// As JSON.
    of_run: Vec<String>,
    of_rows: Spool<String>,
    /// Of each severity and rule how many, and the first one's words.
    kinds: BTreeMap<(&'static str, String), (u64, String)>,
    /// Of those that keep a row from being changed the first ones, for people.
    shown: Vec<String>,
    blocking: u64,
}

/// Something that blocks a row (`error`) or that somebody should know (`warning`).
#[derive(Serialize)]
struct PlanFinding<'a> {
    /// None where it is about the run as a whole.
    row: Option<u64>,
    key: Option<&'a str>,
    rule: &'a str,
    severity: &'static str,
    message: &'a str,
}

/// How many requests each budget has given, and how many it gives a second.
pub(super) struct PermitsGiven(BTreeMap<String, (u64, f64)>);

impl PermitsGiven {
    pub fn of(services: &Services) -> PermitsGiven {
        let budgets = services.registry.iter().flat_map(|endpoint| &endpoint.budgets);
        let given = budgets.map(|budget| (budget.name().to_owned(), (budget.permits(), budget.full_rate())));
        PermitsGiven(given.collect())
    }

    /// Those since then.
    pub fn since(self, before: &PermitsGiven) -> PermitsGiven {
        let then = |name: &String| before.0.get(name).map_or(0, |(given, _)| *given);
        let since = self.0.into_iter().map(|(name, (given, rate))| {
            let since = given.saturating_sub(then(&name));
            (name, (since, rate))
        });
        PermitsGiven(since.collect())
    }
}

impl PlanForecast {
    pub fn new(job: &Job, target: String, rows: u64) -> Result<PlanForecast, Failure> {
        let changes = job.steps.iter().map(|step| (step.name.clone(), 0));
        Ok(PlanForecast {
            job: job.name.clone(),
            target,
            rows,
            changes: changes.collect(),
            unchanged: 0,
            refused: 0,
            writes: 0,
            reads: 0,
            seconds_at_budget: 0.0,
            binding: None,
            finished_at: String::new(),
            plan: String::new(),
            writes_of: BTreeMap::new(),
            findings: PlanFindings {
                of_run: Vec::new(),
                of_rows: Spool::new()?,
                kinds: BTreeMap::new(),
                shown: Vec::new(),
                blocking: 0,
            },
        })
    }

    /// Takes what somebody should know of the run as a whole.
    pub fn warn(&mut self, ready: &Ready) {
        for check in ready.warnings() {
            let message = format!("{}; {}", check.detail, check.advice);
            let finding = PlanFinding { row: None, key: None, rule: &check.name, severity: WARNS, message: &message };
            let json = self.findings.count(&finding);
            self.findings.of_run.push(json);
        }
    }

    /// Takes what was found about a row.
    pub fn find(
        &mut self,
        row: RowNumber,
        key: &str,
        rule: &str,
        blocks: bool,
        message: String,
    ) -> Result<(), Failure> {
        let severity = if blocks { BLOCKS } else { WARNS };
        let finding = PlanFinding { row: Some(row.0), key: Some(key), rule, severity, message: &message };
        let json = self.findings.count(&finding);
        Ok(self.findings.of_rows.push(row, &json)?)
    }

    /// Counts a row that was read.
    pub fn take(&mut self, job: &Job, row: RowNumber, key: &str, plan: &RowPlan) -> Result<(), Failure> {
        let in_words = |problem: &Problem| format!("{}; {}", problem.message, problem.advice);
        for warning in &plan.warnings {
            self.find(row, key, &warning.code, false, in_words(warning))?;
        }
        match &plan.plan {
            Plan::Unchanged => self.unchanged += 1,
            Plan::Change(steps) => {
                self.writes += steps.len() as u64;
                // One more read to verify.
                self.reads += 1;
                for step in steps.iter().filter_map(|id| job.step(*id)) {
                    self.reads += u64::from(step.observe_after);
                    *self.changes.entry(step.name.clone()).or_default() += 1;
                }
                for budget in &plan.budgets {
                    *self.writes_of.entry(budget.clone()).or_default() += 1;
                }
            }
            Plan::Refused(problems) => {
                self.refused += 1;
                for problem in problems {
                    self.find(row, key, &problem.code, true, in_words(problem))?;
                }
            }
        }
        Ok(())
    }

    pub fn is_clean(&self) -> bool {
        self.findings.kinds.is_empty()
    }

    /// How long the run takes, and when it would be finished: by the budget that takes longest for what it has to give. The
    /// reads of a run fall to the budgets as those of the plan did.
    ///
    /// # Errors
    /// The end lies beyond every calendar.
    pub fn reckon(&mut self, reads: &PermitsGiven) -> Result<(), Failure> {
        let all: u64 = reads.0.values().map(|(given, _)| given).sum();
        let a_read = self.reads as f64 / all.max(1) as f64;
        let seconds = reads.0.iter().map(|(name, (given, rate))| {
            let writes = self.writes_of.get(name).copied().unwrap_or(0);
            (name, (writes as f64 + *given as f64 * a_read) / rate)
        });
        let longest = seconds.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, seconds)| *seconds > 0.0);
        self.binding = longest.map(|(name, _)| name.clone());
        let seconds = longest.map_or(0.0, |(_, seconds)| seconds);
        self.seconds_at_budget = (seconds * 10.0).round() / 10.0;
        let length = jiff::SignedDuration::from_secs_f64(seconds.ceil());
        let end = jiff::Timestamp::now().checked_add(length);
        let end = end.map_err(|error| Failure::program(error.to_string()))?;
        self.finished_at = format!("{end:.0}");
        Ok(())
    }

    /// Prints it, as JSON or for a person at a terminal.
    ///
    /// # Errors
    /// The findings cannot be read again.
    pub fn print(&mut self, job: &Job, json: bool) -> Result<(), Failure> {
        match json {
            true => self.print_json(),
            false => {
                self.print_text(job);
                Ok(())
            }
        }
    }

    /// One after the other, so that memory does not grow with the findings.
    fn print_json(&mut self) -> Result<(), Failure> {
        let head = serde_json::to_string(self).map_err(|error| Failure::program(error.to_string()))?;
        print_json_text(&format!("{},\"findings\":[", head.trim_end_matches('}')));
        let mut before = "\n";
        let mut print = |finding: &str| {
            print_json_text(&format!("{before}{finding}"));
            before = ",\n";
        };
        self.findings.of_run.iter().for_each(|finding| print(finding));
        let mut of_rows = std::mem::replace(&mut self.findings.of_rows, Spool::new()?).finish()?;
        while let Some((_, finding)) = of_rows.next_item()? {
            print(&finding);
        }
        print_json_text("]}\n");
        Ok(())
    }

    fn print_text(&self, job: &Job) {
        print_result(format_args!("{} for {} on {}", counted(self.rows, "row", "rows"), self.job, self.target));
        for step in &job.steps {
            let rows = self.changes.get(&step.name).copied().unwrap_or(0);
            print_result(format_args!("  {rows:>7}  {}", step.title));
        }
        print_result(format_args!("  {:>7}  unchanged", self.unchanged));
        print_result(format_args!("  {:>7}  refused", self.refused));
        self.findings.print();
        let time = short(Duration::from_secs_f64(self.seconds_at_budget));
        let budget = self.binding.as_ref().map_or_else(String::new, |budget| format!(" of {budget}"));
        print_result(format_args!(
            "{}, some {}; {time} at the budget{budget}, finished {} if it began now",
            counted(self.writes, "write", "writes"),
            counted(self.reads, "read", "reads"),
            self.local_end()
        ));
        print_result(format_args!("plan      {} (`cutover run … --plan` executes exactly this)", self.plan));
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

impl PlanFindings {
    /// Counts a finding; returns it as JSON.
    fn count(&mut self, finding: &PlanFinding<'_>) -> String {
        let PlanFinding { row, key, rule, severity, message } = *finding;
        let kind = self.kinds.entry((severity, rule.to_owned()));
        kind.or_insert_with(|| (0, message.to_owned())).0 += 1;
        if severity == BLOCKS {
            self.blocking += 1;
            if self.blocking <= SHOWN_MAX {
                let (row, key) = (row.unwrap_or(0), key.unwrap_or_default());
                self.shown.push(format!("row {row} {key}: {message} [{rule}]\n"));
            }
        }
        serde_json::json!(finding).to_string()
    }

    /// Each kind with how often it was found and what it says of the first row; then whose change is blocked, one by one.
    fn print(&self) {
        for ((severity, rule), (count, example)) in &self.kinds {
            print_text(format_args!("  {count:>7}  {rule} ({severity}): {example}\n"));
        }
        self.shown.iter().for_each(print_text);
        let more = self.blocking.saturating_sub(SHOWN_MAX);
        if more > 0 {
            let more = counted(more, "more row", "more rows");
            print_text(format_args!("… and {more}; the plan has all of them\n"));
        }
    }
}
