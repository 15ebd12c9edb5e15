//! CSV files for people and their spreadsheets: UTF-8 with a mark, RFC 4180.

use super::error::ReportError;
use crate::core::AtomicFile;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Marks a file as UTF-8 for Excel.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A CSV file under construction.
pub struct CsvTable {
    path: PathBuf,
    writer: csv::Writer<AtomicFile>,
}

impl CsvTable {
    /// Begins a file with its heading.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be made.
    pub fn create<C: AsRef<str>>(path: &Path, heading: &[C]) -> Result<CsvTable, ReportError> {
        let mut file = AtomicFile::create(path).map_err(ReportError::of_file(path))?;
        file.write_all(BOM).map_err(ReportError::of_file(path))?;
        let writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(quoting(heading))
            .flexible(true)
            .from_writer(file);
        let mut table = CsvTable { path: path.to_owned(), writer };
        table.line(heading)?;
        Ok(table)
    }

    /// Writes one record.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be written.
    pub fn line<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) -> Result<(), ReportError> {
        let mut cells = cells.into_iter();
        let written = cells
            .try_for_each(|cell| self.writer.write_field(cell.as_ref()))
            .and_then(|()| self.writer.write_record(None::<&[u8]>));
        written.map_err(|error| ReportError::of_file(&self.path)(error.into()))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`ReportError`] when it cannot be made durable or put there.
    pub fn finish(self) -> Result<PathBuf, ReportError> {
        let file = self.writer.into_inner().map_err(|error| error.into_error());
        file.and_then(AtomicFile::commit).map_err(ReportError::of_file(&self.path))
    }
}

/// The reader guesses the delimiter from the heading, so another delimiter in it must stand in quotes.
fn quoting<C: AsRef<str>>(heading: &[C]) -> csv::QuoteStyle {
    let misleads = |name: &C| name.as_ref().contains([';', '\t']);
    match heading.iter().any(misleads) {
        true => csv::QuoteStyle::Always,
        false => csv::QuoteStyle::Necessary,
    }
}

#[cfg(test)]
mod tests {
    use super::CsvTable;
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
            let mut table = CsvTable::create(&dir.path().join("unfinished.csv"), &heading).unwrap();
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
        let mut table = CsvTable::create(&dir.path().join("unfinished.csv"), &heading).unwrap();
        table.line(["ann", "b"]).unwrap();
        let rows = read_back(&table.finish().unwrap());
        assert_eq!(rows, [heading, ["ann", "b"]]);
    }
}
