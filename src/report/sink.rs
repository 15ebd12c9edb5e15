//! What a file of a report is: a sink, which gets every row once, in the order of the input, and the summary at the end. And
//! `summary.json`, which is made of the summary alone.

use super::error::ReportError;
use super::outcome::OutcomeRow;
use super::summary::RunSummary;
use crate::core::AtomicFile;
use std::io::{self, Write};
use std::path::PathBuf;

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

/// The run in numbers, as JSON.
pub(super) struct SummarySink(pub PathBuf);

impl Sink for SummarySink {
    fn row(&mut self, _row: &OutcomeRow<'_>) -> Result<(), ReportError> {
        Ok(())
    }

    fn finish(self: Box<Self>, summary: &RunSummary) -> Result<bool, ReportError> {
        let write = || -> io::Result<()> {
            let text = serde_json::to_string_pretty(summary)?;
            let mut file = AtomicFile::create(&self.0)?;
            writeln!(file, "{text}")?;
            file.commit().map(drop)
        };
        write().map_err(ReportError::of_file(&self.0))?;
        Ok(true)
    }
}
