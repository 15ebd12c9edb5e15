//! CSV files for people and their spreadsheets: UTF-8 with a mark, RFC 4180, nothing that runs as a formula, and in place only
//! when they are whole.

use crate::journal::JournalError;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What marks a file as UTF-8 for Excel.
const BOM: &[u8] = b"\xef\xbb\xbf";

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
pub(super) fn make_folder(dir: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(dir).map_err(|source| failed(dir, source))
}

/// A cell that a spreadsheet would run as a formula gets an apostrophe in front (OWASP's page on CSV injection).
pub(super) fn defused(cell: &str) -> Cow<'_, str> {
    match cell.bytes().next() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') => Cow::Owned(format!("'{cell}")),
        Some(_) | None => Cow::Borrowed(cell),
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
pub(super) struct Table {
    path: PathBuf,
    beside: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
}

impl Table {
    /// Begins a file with its heading.
    pub(super) fn create(path: PathBuf, heading: &[&str]) -> Result<Table, ReportError> {
        let beside = beside(&path);
        let open = || -> io::Result<BufWriter<File>> {
            let mut file = BufWriter::new(File::create(&beside)?);
            file.write_all(BOM)?;
            Ok(file)
        };
        let file = open().map_err(|source| failed(&path, source))?;
        let writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(quoting(heading))
            .flexible(true)
            .from_writer(file);
        let mut table = Table {
            path,
            beside,
            writer,
        };
        table.line(heading)?;
        Ok(table)
    }

    /// Writes one record.
    pub(super) fn line<C: AsRef<str>>(
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
    pub(super) fn finish(self) -> Result<PathBuf, ReportError> {
        let unbuffered = self.writer.into_inner().map_err(|error| error.into_error());
        let file = unbuffered.and_then(|buffer| buffer.into_inner().map_err(|e| e.into_error()));
        let file = file.map_err(|source| failed(&self.path, source))?;
        put_in_place(file, &self.beside, &self.path)?;
        Ok(self.path)
    }
}

/// Where a file stands until it is whole.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// The content is on the disk before the name is, so that a power cut leaves no empty file in the place of a good one.
pub(super) fn put_in_place(file: File, beside: &Path, path: &Path) -> Result<(), ReportError> {
    let synced = file.sync_all();
    drop(file);
    synced
        .and_then(|()| std::fs::rename(beside, path))
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
    use super::{Table, defused};
    use crate::batch::{Column, Kind, Layout, Visit};
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    /// The rows of a file, as the next run of the same job reads them.
    fn read_back(path: &std::path::Path) -> Vec<Vec<String>> {
        let layout = Layout {
            columns: vec![Column {
                name: "upn".into(),
                kind: Kind::Text,
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

    #[test]
    fn formulas_are_defused_and_nothing_else_is_touched() {
        for formula in ["=1+1", "+49", "-2", "@SUM", "\tx"] {
            assert_eq!(defused(formula), format!("'{formula}"));
        }
        for plain in ["", "ann@contoso.com", "a=b", "'quoted"] {
            assert_eq!(defused(plain), plain);
        }
    }
}
