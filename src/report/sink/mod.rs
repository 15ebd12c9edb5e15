//! The files of a report. Each is a sink: it gets every row once, in the order of the input, and the summary at the end. A new
//! file is a module here and a line in [`SINKS`].

mod csv_sink;
mod exposed;
mod json;
mod outcomes;
mod unfinished;
mod warned;

use super::error::ReportError;
use super::outcome::OutcomeRow;
use super::summary::RunSummary;
use crate::journal::RunRecord;
use std::path::Path;

/// One file of a report.
pub trait Sink {
    /// Takes a row.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be written.
    fn row(&mut self, row: &OutcomeRow<'_>) -> Result<(), ReportError>;

    /// Puts the file in its place. Returns whether there is one: some files are left out when they would be empty.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be written.
    fn finish(self: Box<Self>, summary: &RunSummary) -> Result<bool, ReportError>;
}

type Begin = fn(&Path, &RunRecord) -> Result<Box<dyn Sink>, ReportError>;

/// Every file of a report, in the order in which they are named to people.
pub(super) const SINKS: [(&str, Begin); 5] = [
    (super::OUTCOMES, outcomes::begin),
    (super::UNFINISHED, unfinished::begin),
    (super::SUMMARY, json::begin),
    (super::EXPOSED, exposed::begin),
    (super::WARNED, warned::begin),
];
