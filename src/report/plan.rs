//! `plan.csv`: what a run would do with each row, for people to read and for `run --plan` to be held to.

use super::error::ReportError;
use super::table::CsvTable;
use super::write::make_folder;
use crate::batch::plan_file::{SEAL_COLUMN, seal_cell};
use crate::core::{Problem, defused};
use crate::job::Job;
use crate::journal::{RowNumber, Seal};
use crate::runner::plan::{Plan, RowPlan};
use std::path::{Path, PathBuf};

/// The columns every job's plan begins with.
const COLUMNS: [&str; 8] = ["row", "key", "change", "steps", "writes", "code", "message", "advice"];

/// A plan that is being written, row by row in the order of the input. It is in its place only once it is whole.
pub struct PlanTable<'a> {
    table: CsvTable,
    job: &'a Job,
    /// Stands for everything that the plan as a whole was made for.
    whole: Seal,
}

impl<'a> PlanTable<'a> {
    /// Begins the file, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn create(path: &Path, job: &'a Job, whole: Seal) -> Result<PlanTable<'a>, ReportError> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            make_folder(dir)?;
        }
        let of_job = job.report.iter().map(|(name, _)| name.as_str());
        let heading: Vec<&str> = COLUMNS.into_iter().chain(of_job).chain([SEAL_COLUMN]).collect();
        Ok(PlanTable { table: CsvTable::create(path, &heading)?, job, whole })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn row(&mut self, row: RowNumber, key: &str, plan: &RowPlan) -> Result<(), ReportError> {
        let (change, steps, problem) = match &plan.plan {
            Plan::Unchanged => ("unchanged", &[][..], None),
            Plan::Change(steps) => ("change", &steps[..], None),
            Plan::Refused(problems) => ("refused", &[][..], Problem::all(problems.clone())),
        };
        let steps: Vec<&str> = steps.iter().filter_map(|id| Some(self.job.step(*id)?.name.as_str())).collect();
        let (row, names, writes) = (row.to_string(), steps.join(" "), steps.len().to_string());
        let problem = problem.as_ref().map(|problem| [&problem.code, &problem.message, &problem.advice]);
        let [code, message, advice] = problem.map_or([""; 3], |parts| parts.map(String::as_str));
        let seal = seal_cell(self.whole.0, plan.seal.map(|seal| seal.0));
        let head = [&row, key, change, &names, &writes, code, message, advice];
        // Empty where nobody was found.
        let of_job = plan.report.iter().map(String::as_str).chain(std::iter::repeat(""));
        let cells = head.into_iter().chain(of_job.take(self.job.report.len())).chain([seal.as_str()]);
        self.table.line(cells.map(defused))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn finish(self) -> Result<PathBuf, ReportError> {
        self.table.finish()
    }
}
