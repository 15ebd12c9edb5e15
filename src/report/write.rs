//! Writing a report: every row once, from the journal into all sinks. A new file is a function that begins its sink, and a line in
//! [`SINKS`].

use super::csv_files;
use super::error::ReportError;
use super::liveness::Liveness;
use super::outcome::OutcomeRow;
use super::sink::{Sink, SummarySink};
use super::summary::RunSummary;
use crate::core::remove_abandoned_parts;
use crate::journal::{RowRecord, RunReader, RunRecord};
use std::path::{Path, PathBuf};

type Begin = fn(&Path, &RunRecord) -> Result<Box<dyn Sink>, ReportError>;

/// Every file of a report, in the order in which they are named to people.
const SINKS: [(&str, Begin); 5] = [
    (super::OUTCOMES, csv_files::outcomes),
    (super::UNFINISHED, csv_files::unfinished),
    (super::SUMMARY, |path, _run| Ok(Box::new(SummarySink(path.to_owned())))),
    (super::EXPOSED, csv_files::exposed),
    (super::WARNED, csv_files::warned),
];

/// A report that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its folder.
    pub dir: PathBuf,
    /// The files in it.
    pub files: Vec<&'static str>,
}

impl Report {
    /// Where one of its files is; None if it was left out.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.files.contains(&name).then(|| self.dir.join(name))
    }
}

/// Writes all report files of a run into a folder, which is made if it is not there.
///
/// # Errors
/// [`ReportError`].
pub fn write(
    run: &RunRecord,
    reader: &mut RunReader,
    dir: &Path,
    live: &Liveness,
) -> Result<(Report, RunSummary), ReportError> {
    make_folder(dir)?;
    let begin = SINKS.map(|(name, begin)| Ok((name, begin(&dir.join(name), run)?)));
    let mut sinks: Vec<(&str, Box<dyn Sink>)> = begin.into_iter().collect::<Result<_, ReportError>>()?;
    let mut exposed = Vec::new();
    let not_begun = RowRecord::default();
    reader.each::<ReportError>(|input, record| {
        let row = OutcomeRow::new(run, live, input, record.unwrap_or(&not_begun));
        exposed.extend(row.exposed.clone());
        sinks.iter_mut().try_for_each(|(_, sink)| sink.row(&row))
    })?;
    let summary = RunSummary::of(run, exposed, live);
    let mut files = Vec::new();
    for (name, sink) in sinks {
        if sink.finish(&summary)? {
            files.push(name);
        }
    }
    let dir = dir.to_owned();
    Ok((Report { dir, files }, summary))
}

/// Makes the folder of a report, and clears away what killed processes left there.
///
/// # Errors
/// [`ReportError`] when it cannot be made.
pub fn make_folder(dir: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(dir).map_err(ReportError::of_file(dir))?;
    remove_abandoned_parts(dir);
    Ok(())
}
