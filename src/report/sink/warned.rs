//! `warned.csv`: rows that are done and still need somebody's attention, a line a warning.

use super::Sink;
use super::csv_sink::{Cells, CsvSink};
use crate::core::{Problem, defused};
use crate::journal::RunRecord;
use crate::report::error::ReportError;
use crate::report::outcome::OutcomeRow;
use std::path::Path;

const COLUMNS: [&str; 7] = ["row", "line", "key", "object_id", "code", "warning", "advice"];

pub(super) fn begin(path: &Path, _run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    Ok(CsvSink::if_any(path, &COLUMNS, lines))
}

fn lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    let line = |warning: &'r Problem| {
        vec![
            row.input.number.to_string().into(),
            row.input.line.to_string().into(),
            defused(row.key()),
            defused(row.own_cell("object_id").unwrap_or_default()),
            defused(&warning.code),
            defused(&warning.message),
            defused(&warning.advice),
        ]
    };
    row.warnings().iter().map(line).collect()
}
