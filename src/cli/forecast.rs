//! What a plan comes to, in numbers, and how it is printed. Findings about rows wait on disk until they are.

use super::failure::Failure;
use crate::core::Problem;
use crate::job::Job;
use crate::journal::RowNumber;
use crate::progress::{counted, print_json_text, print_result, print_text, short};
use crate::runner::Services;
use crate::runner::plan::{Plan, RowPlan};
use crate::runner::preflight::{Ready, Verdict};
use crate::runner::spool::Spool;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Findings that are shown one by one on the terminal; `plan.csv` and `--json` have all of them.
const SHOWN_MAX: u64 = 20;

/// Findings about the run as a whole come first.
const OF_RUN: RowNumber = RowNumber(0);

/// What a run would do.
pub(super) struct PlanForecast<'a> {
    job: &'a Job,
    pub numbers: PlanNumbers,
    /// The writes that each budget would have to give.
    writes_of: BTreeMap<String, u64>,
    /// As JSON.
    findings: Spool<String>,
    /// Of each severity and rule how many, and the first one's words.
    kinds: BTreeMap<(&'static str, String), (u64, String)>,
    /// Of those that keep a row from being changed the first ones, for people.
    shown: Vec<String>,
    blocking: u64,
}

/// What a run would do, in numbers.
#[derive(Default, Serialize)]
pub(super) struct PlanNumbers {
    pub job: String,
    pub target: String,
    pub rows: u64,
    pub changes: BTreeMap<String, u64>,
    pub unchanged: u64,
    pub refused: u64,
    pub writes: u64,
    pub reads: u64,
    pub seconds_at_budget: f64,
    /// The budget that makes the run as long as that; None if nothing would be sent.
    pub binding: Option<String>,
    /// When it would be finished if it began now.
    pub finished_at: jiff::Timestamp,
    /// Where the plan was written.
    pub plan: String,
}

/// Something that keeps a row from being changed (`error`) or that somebody should know (`warning`).
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
pub(super) type PermitsGiven = BTreeMap<String, (u64, f64)>;

pub(super) fn permits_given(services: &Services) -> PermitsGiven {
    let budgets = services.registry.iter().flat_map(|endpoint| &endpoint.budgets);
    budgets.map(|budget| (budget.name.clone(), (budget.permits(), budget.full_rate()))).collect()
}

impl PlanForecast<'_> {
    pub fn new<'j>(job: &'j Job, target: &str, rows: u64) -> Result<PlanForecast<'j>, Failure> {
        let changes = job.steps.iter().map(|step| (step.name.clone(), 0)).collect();
        let (name, target) = (job.name.clone(), target.to_owned());
        Ok(PlanForecast {
            job,
            numbers: PlanNumbers { job: name, target, rows, changes, ..PlanNumbers::default() },
            writes_of: BTreeMap::new(),
            findings: Spool::new()?,
            kinds: BTreeMap::new(),
            shown: Vec::new(),
            blocking: 0,
        })
    }

    /// Takes what somebody should know of the run as a whole.
    pub fn warn(&mut self, ready: &Ready) -> Result<(), Failure> {
        ready.of(Verdict::Warning).try_for_each(|check| {
            self.find(OF_RUN, "", &check.name, false, &format!("{}; {}", check.detail, check.advice))
        })
    }

    /// Takes what was found about a row: something that keeps it from being changed, or that somebody should know.
    pub fn find(&mut self, row: RowNumber, key: &str, rule: &str, blocks: bool, message: &str) -> Result<(), Failure> {
        let severity = if blocks { "error" } else { "warning" };
        let kind = self.kinds.entry((severity, rule.to_owned()));
        kind.or_insert_with(|| (0, message.to_owned())).0 += 1;
        if blocks {
            self.blocking += 1;
            if self.blocking <= SHOWN_MAX {
                self.shown.push(format!("row {row} {key}: {message} [{rule}]\n"));
            }
        }
        let of_row = (row != OF_RUN).then_some((row.0, key)).unzip();
        let finding = PlanFinding { row: of_row.0, key: of_row.1, rule, severity, message };
        Ok(self.findings.push(row, &serde_json::json!(finding).to_string())?)
    }

    /// Counts a row that was read.
    pub fn take(&mut self, row: RowNumber, key: &str, plan: &RowPlan) -> Result<(), Failure> {
        let in_words = |problem: &Problem| format!("{}; {}", problem.message, problem.advice);
        for warning in &plan.warnings {
            self.find(row, key, &warning.code, false, &in_words(warning))?;
        }
        let numbers = &mut self.numbers;
        match &plan.plan {
            Plan::Unchanged => numbers.unchanged += 1,
            Plan::Change(steps) => {
                numbers.writes += steps.len() as u64;
                // One more read to verify.
                numbers.reads += 1;
                for step in steps.iter().filter_map(|id| self.job.step(*id)) {
                    numbers.reads += u64::from(step.observe_after);
                    *numbers.changes.entry(step.name.clone()).or_default() += 1;
                }
                for budget in &plan.budgets {
                    *self.writes_of.entry(budget.clone()).or_default() += 1;
                }
            }
            Plan::Refused(problems) => {
                numbers.refused += 1;
                for problem in problems {
                    self.find(row, key, &problem.code, true, &in_words(problem))?;
                }
            }
        }
        Ok(())
    }

    pub fn is_clean(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How long the run takes, and when it would be finished: by the budget that takes longest for what it has to give. The
    /// reads of a run fall to the budgets as those of the plan did.
    ///
    /// # Errors
    /// The end lies beyond every calendar.
    pub fn reckon(&mut self, before: &PermitsGiven, after: &PermitsGiven) -> Result<(), Failure> {
        let given = after.iter().map(|(name, (given, rate))| {
            let then = before.get(name).map_or(0, |(given, _)| *given);
            (name, given.saturating_sub(then), rate)
        });
        let all: u64 = given.clone().map(|(_, given, _)| given).sum();
        let a_read = self.numbers.reads as f64 / all.max(1) as f64;
        let seconds = given.map(|(name, given, rate)| {
            let writes = self.writes_of.get(name).copied().unwrap_or(0);
            (name, (writes as f64 + given as f64 * a_read) / rate)
        });
        let longest = seconds.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, seconds)| *seconds > 0.0);
        self.numbers.binding = longest.map(|(name, _)| name.clone());
        let seconds = longest.map_or(0.0, |(_, seconds)| seconds);
        self.numbers.seconds_at_budget = (seconds * 10.0).round() / 10.0;
        let length = jiff::SignedDuration::from_secs_f64(seconds.ceil());
        let end = jiff::Timestamp::now().checked_add(length).and_then(|end| end.round(jiff::Unit::Second));
        self.numbers.finished_at = end.map_err(|error| Failure::program(error.to_string()))?;
        Ok(())
    }

    /// Prints the findings one after the other, so that memory does not grow with them.
    ///
    /// # Errors
    /// They cannot be read again.
    pub fn print_json(self) -> Result<(), Failure> {
        let head = serde_json::to_string(&self.numbers).map_err(|error| Failure::program(error.to_string()))?;
        print_json_text(&format!("{},\"findings\":[", head.trim_end_matches('}')));
        let mut findings = self.findings.finish()?;
        let mut before = "\n";
        while let Some((_, finding)) = findings.next_item()? {
            print_json_text(&format!("{before}{finding}"));
            before = ",\n";
        }
        print_json_text("]}\n");
        Ok(())
    }

    /// Prints each kind of finding with how often it was found and what it says of the first row; then whose change is blocked, one
    /// by one.
    pub fn print_text(&self) {
        let PlanNumbers { target, rows, unchanged, refused, plan, finished_at, .. } = &self.numbers;
        print_result(format_args!("{} for {} on {target}", counted(*rows, "row", "rows"), self.job.name));
        for step in &self.job.steps {
            let rows = self.numbers.changes.get(&step.name).copied().unwrap_or(0);
            print_result(format_args!("  {rows:>7}  {}", step.title));
        }
        print_result(format_args!("  {unchanged:>7}  unchanged"));
        print_result(format_args!("  {refused:>7}  refused"));
        for ((severity, rule), (count, example)) in &self.kinds {
            print_text(format_args!("  {count:>7}  {rule} ({severity}): {example}\n"));
        }
        self.shown.iter().for_each(print_text);
        let more = self.blocking.saturating_sub(SHOWN_MAX);
        if more > 0 {
            let more = counted(more, "more row", "more rows");
            print_text(format_args!("… and {more}; the plan has all of them\n"));
        }
        let time = short(Duration::from_secs_f64(self.numbers.seconds_at_budget));
        let budget = self.numbers.binding.as_ref().map_or_else(String::new, |budget| format!(" of {budget}"));
        print_result(format_args!(
            "{}, some {}; {time} at the budget{budget}, finished {} if it began now",
            counted(self.numbers.writes, "write", "writes"),
            counted(self.numbers.reads, "read", "reads"),
            finished_at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M %Z")
        ));
        print_result(format_args!("plan      {plan} (`cutover run … --plan` executes exactly this)"));
    }
}
