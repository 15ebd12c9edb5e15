//! `plan.csv`: what a run would do with each row, for people to read and for `run --plan` to be held to.

use super::error::ReportError;
use super::table::CsvTable;
use super::write::make_folder;
use crate::core::defused;
use std::path::{Path, PathBuf};

/// The columns every job's plan begins with.
const COLUMNS: [&str; 8] = ["row", "key", "change", "steps", "writes", "code", "message", "advice"];

/// A row of a plan.
#[derive(Debug, Clone, Default)]
pub struct PlanLine {
    /// Its number in the input.
    pub row: u64,
    /// Its key.
    pub key: String,
    /// `change`, `unchanged` or `refused`.
    pub change: &'static str,
    /// The names of the steps, in their order.
    pub steps: Vec<String>,
    /// What speaks against it: code, words, advice.
    pub problem: Option<[String; 3]>,
    /// The job's own columns: how the person is and would be. Empty where nobody was found.
    pub report: Vec<String>,
    /// What a run is held to.
    pub seal: String,
}

/// Writes the plan into a file whose folder is made if it is not there.
///
/// # Errors
/// [`ReportError`].
pub fn write_plan<'l>(
    path: &Path,
    report_columns: &[&str],
    seal_column: &str,
    lines: impl IntoIterator<Item = &'l PlanLine>,
) -> Result<PathBuf, ReportError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        make_folder(dir)?;
    }
    let own = report_columns.iter().copied();
    let heading: Vec<&str> = COLUMNS.into_iter().chain(own).chain([seal_column]).collect();
    let mut table = CsvTable::create(path, &heading)?;
    for line in lines {
        let cells = cells(line, report_columns.len());
        table.line(cells.iter().map(|cell| defused(cell)))?;
    }
    table.finish()
}

fn cells(line: &PlanLine, report_columns: usize) -> Vec<String> {
    let [code, message, advice] = line.problem.clone().unwrap_or_default();
    let mut cells = vec![
        line.row.to_string(),
        line.key.clone(),
        line.change.to_owned(),
        line.steps.join(" "),
        line.steps.len().to_string(),
        code,
        message,
        advice,
    ];
    let mut report = line.report.clone();
    report.resize(report_columns, String::new());
    cells.extend(report);
    cells.push(line.seal.clone());
    cells
}
