//! `plan.csv`: what a run would do with each row, for people to read and for `run --plan` to be held to.

use super::error::ReportError;
use super::table::CsvTable;
use super::write::make_folder;
use crate::core::{Problem, defused};
use std::path::{Path, PathBuf};

/// The columns every job's plan begins with.
const COLUMNS: [&str; 8] = ["row", "key", "change", "steps", "writes", "code", "message", "advice"];

/// A row of a plan.
#[derive(Debug)]
pub struct PlanRow<'a> {
    /// Its number in the input.
    pub row: u64,
    /// Its key.
    pub key: &'a str,
    /// `change`, `unchanged` or `refused`.
    pub change: &'static str,
    /// The names of the steps, in their order.
    pub steps: Vec<&'a str>,
    /// What speaks against it.
    pub problem: Option<Problem>,
    /// The job's own columns: how the person is and would be. Empty where nobody was found.
    pub report: &'a [String],
    /// What a run is held to.
    pub seal: String,
}

/// A plan that is being written, row by row in the order of the input. It is in its place only once it is whole.
pub struct PlanTable {
    table: CsvTable,
    report_columns: usize,
}

impl PlanTable {
    /// Begins the file, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn create(path: &Path, report_columns: &[&str], seal_column: &str) -> Result<PlanTable, ReportError> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            make_folder(dir)?;
        }
        let heading = [&COLUMNS, report_columns, &[seal_column]].concat();
        Ok(PlanTable { table: CsvTable::create(path, &heading)?, report_columns: report_columns.len() })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn line(&mut self, line: &PlanRow<'_>) -> Result<(), ReportError> {
        let (row, steps, writes) = (line.row.to_string(), line.steps.join(" "), line.steps.len().to_string());
        let problem = line.problem.as_ref();
        let [code, message, advice] =
            problem.map_or([""; 3], |problem| [&problem.code, &problem.message, &problem.advice]);
        let head = [&row, line.key, line.change, &steps, &writes, code, message, advice];
        let report = line.report.iter().map(String::as_str).chain(std::iter::repeat(""));
        let cells = head.into_iter().chain(report.take(self.report_columns)).chain([line.seal.as_str()]);
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
