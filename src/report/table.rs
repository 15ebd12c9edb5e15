//! CSV files for people and their spreadsheets: UTF-8 with a mark, RFC 4180, nothing that runs as a formula, and in place only
//! when they are whole.

use crate::journal::JournalError;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// What marks a file as UTF-8 for Excel.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How the name of a file begins and ends until it is whole.
const PART: (&str, &str) = (".cutover-", ".part");

/// A part that nobody has written to for so long is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(600);

/// Why a report could not be written. The journal has everything; it can be written again.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// A file.
    #[error("the report `{}` cannot be written", path.display())]
    #[diagnostic(
        code(report::write),
        help(
            "free disk space or name another folder, then `cutover report`: everything is in the journal"
        )
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

/// Makes the folder that reports go to, where it is not there.
///
/// # Errors
/// [`ReportError`] when it cannot be made.
pub fn make_folder(dir: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| failed(dir, source))?;
    remove_abandoned(dir);
    Ok(())
}

/// Removes what a killed process left of a file. What cannot be removed is in nobody's way.
fn remove_abandoned(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name
            .to_str()
            .is_some_and(|name| name.starts_with(PART.0) && name.ends_with(PART.1));
        let written = entry.metadata().and_then(|file| file.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if is_part && age.is_some_and(|age| age > ABANDONED) {
            let _not_removed = std::fs::remove_file(entry.path());
        }
    }
}

/// A heading with another delimiter in it would mislead whoever looks for the file's own, unless it stands in quotes.
fn quoting(heading: &[&str]) -> csv::QuoteStyle {
    let misleads = |name: &&str| name.contains([';', '\t']);
    if heading.iter().any(misleads) {
        csv::QuoteStyle::Always
    } else {
        csv::QuoteStyle::Necessary
    }
}

/// A CSV file on its way: written beside its place, renamed at the end.
pub struct Table {
    path: PathBuf,
    writer: csv::Writer<BufWriter<NamedTempFile>>,
}

impl Table {
    /// Begins a file with its heading.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be made.
    pub fn create(path: PathBuf, heading: &[&str]) -> Result<Table, ReportError> {
        let open = || -> io::Result<BufWriter<NamedTempFile>> {
            let mut file = BufWriter::new(beside(&path)?);
            file.write_all(BOM)?;
            Ok(file)
        };
        let file = open().map_err(|source| failed(&path, source))?;
        let writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(quoting(heading))
            .flexible(true)
            .from_writer(file);
        let mut table = Table { path, writer };
        table.line(heading)?;
        Ok(table)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be written.
    pub fn line<C: AsRef<str>>(
        &mut self,
        cells: impl IntoIterator<Item = C>,
    ) -> Result<(), ReportError> {
        for cell in cells {
            let written = self.writer.write_field(cell.as_ref());
            written.map_err(|error| failed(&self.path, error.into()))?;
        }
        let ended = self.writer.write_record(None::<&[u8]>);
        ended.map_err(|error| failed(&self.path, error.into()))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be made durable or put there.
    pub fn finish(self) -> Result<PathBuf, ReportError> {
        let unbuffered = self.writer.into_inner().map_err(|error| error.into_error());
        let file = unbuffered.and_then(|buffer| buffer.into_inner().map_err(|e| e.into_error()));
        let file = file.map_err(|source| failed(&self.path, source))?;
        put_in_place(file, &self.path)?;
        Ok(self.path)
    }
}

/// Where a file stands until it is whole: beside its place, under a name that nobody can have put there before, so that no link
/// of somebody else's is followed. It goes again if it does not become whole.
pub(super) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(PART.0)
        .suffix(PART.1)
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// The content is on the disk before the name is, so that a power cut leaves no empty file in the place of a good one.
pub(super) fn put_in_place(file: NamedTempFile, path: &Path) -> Result<(), ReportError> {
    let synced = file.as_file().sync_all();
    synced
        .and_then(|()| file.persist(path).map_err(|error| error.error))
        .map(drop)
        .map_err(|source| failed(path, source))
}

pub(super) fn failed(path: &Path, source: io::Error) -> ReportError {
    ReportError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::batch::{Column, Layout, Visit};
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    /// The rows of a file, as the next run of the same job reads them.
    fn read_back(path: &std::path::Path) -> Vec<Vec<String>> {
        let layout = Layout {
            columns: vec![Column {
                name: "upn".into(),
                kind: crate::values::CellKind::Text,
                aliases: Vec::new(),
                required: true,
                unique: None,
            }],
            key: 0,
        };
        let input = crate::batch::open(path, &layout).unwrap();
        let mut rows = vec![input.header.clone()];
        let mut keep = |visit| {
            if let Visit::Row { row, .. } = visit {
                rows.push(row.cells);
            }
            ControlFlow::<()>::Continue(())
        };
        let ended = input.rows(&layout, &mut |_, _| {}, &mut keep).unwrap();
        assert!(ended.is_continue());
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_a_report_quotes_is_read_back(
            heading in "[A-Za-z ,;\"]{1,9}[a-z]",
            rows in prop::collection::vec(("[a-z]{1,8}", "[ a-zä€,;\t\"\r\n=]{0,12}", "[ -~]{0,30}"), 1..9),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let heading = ["upn", &heading, "cutover_outcome", "cutover_error"];
            let mut table = Table::create(dir.path().join("unfinished.csv"), &heading).unwrap();
            let mut written = vec![heading.map(str::to_owned).to_vec()];
            written.extend(rows.into_iter().map(|(upn, note, error)| vec![upn, note, "failed".to_owned(), error]));
            written[1..].iter().for_each(|row| table.line(row).unwrap());
            prop_assert_eq!(read_back(&table.finish().unwrap()), written);
        }
    }

    #[test]
    fn a_heading_with_another_delimiter_in_it_misleads_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let heading = ["upn", ";;;;a"];
        let mut table = Table::create(dir.path().join("unfinished.csv"), &heading).unwrap();
        table.line(["ann", "b"]).unwrap();
        let rows = read_back(&table.finish().unwrap());
        assert_eq!(rows, [heading, ["ann", "b"]]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_somebody_planted_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "as it was").unwrap();
        let place = dir.path().join("outcomes.csv");
        for planted in [dir.path().join("outcomes.csv.part"), place.clone()] {
            std::os::unix::fs::symlink(&victim, planted).unwrap();
        }
        let mut table = Table::create(place.clone(), &["upn"]).unwrap();
        table.line(["ann"]).unwrap();
        table.finish().unwrap();
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "as it was");
        assert!(place.symlink_metadata().unwrap().is_file());
    }
}
