//! A sink that writes a CSV file.

use super::Sink;
use crate::report::error::ReportError;
use crate::report::outcome::OutcomeRow;
use crate::report::summary::RunSummary;
use crate::report::table::CsvTable;
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// The cells of one line.
pub(super) type Cells<'a> = Vec<Cow<'a, str>>;

/// Makes the lines of a row: mostly none or one.
pub(super) type ToLines = for<'r> fn(&'r OutcomeRow<'_>) -> Vec<Cells<'r>>;

/// A CSV file of a report.
pub(super) struct CsvSink {
    path: PathBuf,
    heading: Vec<String>,
    lines: ToLines,
    /// None as long as there is nothing to say in a file that is left out when it is empty.
    table: Option<CsvTable>,
}

impl CsvSink {
    /// A file that is always there.
    pub fn always(path: &Path, heading: Vec<String>, lines: ToLines) -> Result<Box<dyn Sink>, ReportError> {
        let table = Some(CsvTable::create(path, &heading)?);
        Ok(Box::new(CsvSink { path: path.to_owned(), heading, lines, table }))
    }

    /// A file that is there only when it has a line.
    pub fn if_any(path: &Path, heading: &[&str], lines: ToLines) -> Box<dyn Sink> {
        let heading = heading.iter().map(ToString::to_string).collect();
        Box::new(CsvSink { path: path.to_owned(), heading, lines, table: None })
    }
}

impl Sink for CsvSink {
    fn row(&mut self, row: &OutcomeRow<'_>) -> Result<(), ReportError> {
        for line in (self.lines)(row) {
            let table = match self.table.take() {
                Some(table) => table,
                None => CsvTable::create(&self.path, &self.heading)?,
            };
            self.table.insert(table).line(line)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _summary: &RunSummary) -> Result<bool, ReportError> {
        match self.table {
            Some(table) => table.finish().map(|_| true),
            // An old one is not true any more.
            None => match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ReportError::of_file(&self.path)(error)),
                Ok(()) | Err(_) => Ok(false),
            },
        }
    }
}
