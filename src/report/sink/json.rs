//! `summary.json`: the run in numbers.

use super::Sink;
use crate::core::AtomicFile;
use crate::journal::RunRecord;
use crate::report::error::ReportError;
use crate::report::outcome::OutcomeRow;
use crate::report::summary::RunSummary;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

struct JsonSink(PathBuf);

pub(super) fn begin(path: &Path, _run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    Ok(Box::new(JsonSink(path.to_owned())))
}

impl Sink for JsonSink {
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
