//! `unfinished.csv`: the rows that are neither done nor unchanged, with their cells as they were, so that it can be run again.

use super::Sink;
use super::csv_sink::{Cells, CsvSink};
use crate::core::defused;
use crate::journal::RunRecord;
use crate::machine::Outcome;
use crate::report::error::ReportError;
use crate::report::outcome::OutcomeRow;
use std::path::Path;

pub(super) fn begin(path: &Path, run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    let mut heading = run.header.input.header.clone();
    heading.extend(["cutover_outcome", "cutover_error"].map(str::to_owned));
    CsvSink::always(path, heading, lines)
}

fn lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    if matches!(row.outcome, Outcome::Done | Outcome::Unchanged) {
        return Vec::new();
    }
    let mut line: Cells<'r> = row.input.cells.iter().map(Into::into).collect();
    line.push(row.outcome.word().into());
    line.push(defused(row.record.problem().map_or("", |problem| &problem.message)));
    vec![line]
}
