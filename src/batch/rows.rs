//! The second pass: every row read, checked, shown to the job, and compared with all others.

use memchr::memchr2;
use serde::Serialize;
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::column::Layout;
use super::duplicates::{Clash, Duplicates, Suspects};
use super::error::InputError;
use super::external_sort::HELD_BYTES_MAX;
use super::finding::Finding;
use super::header::is_repeated;
use super::reader::Input;
use super::records::{CsvRecord, RecordReader};
use crate::values::{CellKind, Rule, Violation, is_blank};

/// What ends a file under DOS, and belongs to no cell.
const END_OF_FILE: char = '\u{1a}';

/// One record of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number among the rows, from 1.
    pub number: u64,
    /// The physical line in which it begins, from 1.
    pub line: u64,
    /// The cells as they stand in the file. As many as there are headings, unless the row is ragged: empty cells at
    /// the end are added or left out.
    pub cells: Vec<String>,
    /// The canonical values, one per column of the layout.
    pub values: Vec<Option<String>>,
    /// Whether an error was found that refuses the row. Duplicates are not known yet when a row is shown.
    pub faulty: bool,
}

/// What the second pass shows, in this order: all rows, then all clashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visit {
    /// The next row, with what was found in it.
    Row {
        /// The row.
        row: Row,
        /// Everything found in it, by the rules here and by the job.
        findings: Vec<Finding>,
    },
    /// A row that was shown before has a value that another row has too, and is refused. In the order of rows; a row
    /// may come more than once.
    Clash(Finding),
}

/// Lets the job look at a row and add findings of its own; an error among them makes the row faulty.
pub type Judge<'a> = dyn FnMut(&Row, &mut Vec<Finding>) + 'a;

impl Input {
    /// Reads all rows. `judge` may add to the findings of each; `visit` gets everything and may stop the reading, and
    /// what it stops with is handed back. Otherwise the result is the number of rows.
    ///
    /// The layout must be the one with which the file was opened. Memory does not depend on the number of rows.
    ///
    /// # Errors
    /// When the file cannot be read to its end, or is no longer the one that was opened: then the rows shown so far
    /// must not be used.
    pub fn rows<B>(
        &self,
        layout: &Layout,
        judge: &mut Judge<'_>,
        visit: &mut dyn FnMut(Visit) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, u64>, InputError> {
        let mut duplicates = Duplicates::new(layout, HELD_BYTES_MAX);
        let mut records = self.records_after_header()?;
        let mut count = 0;
        while let Some(record) = records.next()? {
            count += 1;
            let (mut row, mut findings) = self.check(layout, count, record);
            judge(&row, &mut findings);
            row.faulty = findings.iter().any(Finding::is_error);
            duplicates.note(&row.values).map_err(InputError::Temporary)?;
            if let ControlFlow::Break(stop) = visit(Visit::Row { row, findings }) {
                return Ok(ControlFlow::Break(stop));
            }
        }
        if records.digest().so_far() != self.digest {
            return Err(InputError::Changed(self.file.clone()));
        }
        let Some(suspects) = duplicates.finish().map_err(InputError::Temporary)? else {
            return Ok(ControlFlow::Continue(count));
        };
        let clashes = self.clashes(layout, suspects)?;
        let told = self.tell_clashes(layout, clashes, visit)?;
        Ok(told.map_continue(|()| count))
    }

    /// Reads the file once more, to find the rows in which the suspects stand.
    fn clashes(
        &self,
        layout: &Layout,
        mut suspects: Suspects,
    ) -> Result<impl Iterator<Item = io::Result<Clash>>, InputError> {
        let mut records = self.records_after_header()?;
        let mut number = 0;
        while let Some(record) = records.next()? {
            number += 1;
            let values = self.mapping.values(layout, &cells_of(record.cells));
            suspects.note(number, record.line, &values).map_err(InputError::Temporary)?;
        }
        if records.digest().so_far() != self.digest {
            return Err(InputError::Changed(self.file.clone()));
        }
        suspects.finish().map_err(InputError::Temporary)
    }

    fn records_after_header(&self) -> Result<RecordReader<'_, impl Read>, InputError> {
        let mut records = RecordReader::open(&self.source, &self.file, self.dialect)?;
        records.next()?;
        Ok(records)
    }

    fn check(&self, layout: &Layout, number: u64, record: CsvRecord) -> (Row, Vec<Finding>) {
        let line = record.line;
        let mut cells = cells_of(record.cells);
        let mut findings = Vec::new();
        let misplaced = self.swallowed(layout, &cells);
        let misplaced = misplaced.or_else(|| self.no_row(&cells));
        let values = match misplaced.or_else(|| self.ragged(&cells)) {
            // The cells may stand in the wrong columns, so more findings about them would only mislead.
            Some(fault) => {
                findings.push(fault.in_row(number, line));
                self.mapping.values(layout, &cells)
            }
            None => {
                cells.resize(self.header.len(), String::new());
                self.mapping.read(layout, &cells, |column, cell, fault| {
                    findings.push(fault.in_row(number, line).about(&column.name, cell));
                })
            }
        };
        (Row { number, line, cells, values, faulty: false }, findings)
    }

    /// A quote that is closed rows later takes them into one cell, where nobody would ever look for them.
    fn swallowed(&self, layout: &Layout, cells: &[String]) -> Option<Violation> {
        let broken = cells.iter().filter(|cell| memchr2(b'\n', b'\r', cell.as_bytes()).is_some());
        let mut lines = broken.flat_map(|cell| cell.split(['\n', '\r']).skip(1));
        let key = lines.find_map(|line| self.key_in(layout, line))?;
        Some(Violation::error(
            Rule::Ragged,
            format!(
                "has a quote that closes lines later, so that the line of {key} stands inside of a cell; close the quote, \
                 or double it (\"\") where it belongs to the text"
            ),
        ))
    }

    /// The key in a line that looks like a row. A text tells nothing of itself, so the whole line must fit then.
    fn key_in(&self, layout: &Layout, line: &str) -> Option<String> {
        let parts: Vec<&str> = line.split(char::from(self.dialect.delimiter)).collect();
        let column = layout.columns.get(layout.key)?;
        let is_row = match column.kind {
            CellKind::Text => parts.len() == self.header.len(),
            CellKind::Upn | CellKind::Guid | CellKind::ImmutableId => parts.len() > 1 || self.header.len() == 1,
        };
        let key = parts.get(self.mapping.cell(layout.key)?)?.trim_matches('"');
        let (value, _) = column.read(key);
        value.filter(|_| is_row)
    }

    /// What other programs write between rows and behind them.
    fn no_row(&self, cells: &[String]) -> Option<Violation> {
        let is_rule = |cell: &String| cell.chars().all(|c| "-=+_| ".contains(c));
        let message = if is_repeated(&self.header, cells) {
            "is the header again, as if one file was appended to another; delete the line"
        } else if cells.iter().all(is_rule) && cells.iter().any(|cell| cell.len() > 1) {
            "is a line between the rows of a table; take it out"
        } else if self.header.len() > 1 && cells.len() == 1 && is_count(&cells[0]) {
            "is no row but what a database client says of them; take the line out"
        } else {
            return None;
        };
        Some(Violation::error(Rule::NoRow, message))
    }

    /// A row with fewer cells than named columns, or with something beyond the last one.
    fn ragged(&self, cells: &[String]) -> Option<Violation> {
        let headings = self.header.len();
        let named = self.header.iter().rposition(|heading| !is_blank(heading)).map_or(0, |last| last + 1);
        let advice = if named > 1 && self.is_line_in_quotes(cells) {
            "the whole line stands in quotes and so is one cell; take the quotes around it away"
        } else if cells.len() < named {
            "a delimiter is missing, or a line break stands in a cell without quotes"
        } else if cells.iter().skip(headings).any(|cell| !is_blank(cell)) {
            "a cell with the delimiter in it needs quotes"
        } else {
            return None;
        };
        let count = cells.len();
        Some(Violation::error(Rule::Ragged, format!("has {count} cells under {headings} headings; {advice}")))
    }

    fn is_line_in_quotes(&self, cells: &[String]) -> bool {
        matches!(cells, [only] if only.contains(char::from(self.dialect.delimiter)))
    }

    /// Reads the file once more, up to the last clash, since only hashes of the values were kept.
    fn tell_clashes<B>(
        &self,
        layout: &Layout,
        clashes: impl Iterator<Item = io::Result<Clash>>,
        visit: &mut dyn FnMut(Visit) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, InputError> {
        let mut clashes = clashes.peekable();
        if clashes.peek().is_none() {
            return Ok(ControlFlow::Continue(()));
        }
        let mut records = self.records_after_header()?;
        let mut number = 0;
        let mut cells = Vec::new();
        for clash in clashes {
            let clash = clash.map_err(InputError::Temporary)?;
            while number < clash.row {
                number += 1;
                cells = records.next()?.ok_or_else(|| InputError::Changed(self.file.clone()))?.cells;
            }
            if let ControlFlow::Break(stop) = visit(Visit::Clash(self.describe(layout, &clash, &cells))) {
                return Ok(ControlFlow::Break(stop));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn describe(&self, layout: &Layout, clash: &Clash, cells: &[String]) -> Finding {
        let message = format!("has the same value as {}; only one of them can be right", clash.describe_others());
        let finding = Violation::error(Rule::Duplicate, message).in_row(clash.row, clash.line);
        let cell = self.mapping.cell(clash.column).and_then(|index| cells.get(index));
        match layout.columns.get(clash.column) {
            Some(column) => finding.about(&column.name, cell.map_or("", String::as_str)),
            None => finding,
        }
    }
}

/// The cells of a record, without the sign that ends the file.
fn cells_of(mut cells: Vec<String>) -> Vec<String> {
    if let Some(last) = cells.last_mut().filter(|last| last.ends_with(END_OF_FILE)) {
        last.pop();
    }
    cells
}

/// `(2 rows affected)`, `2 rows in set`, and the like in other languages.
fn is_count(cell: &str) -> bool {
    let text = cell.trim();
    let in_brackets = text.starts_with('(') && text.ends_with(')');
    (in_brackets || text.contains("row")) && text.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::batch::column::Column;
    use crate::batch::reader::open;
    use crate::values::Severity;

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
    const ID: &str = "6SNZnFLe6jOI3n68hjO5zA==";
    const OTHER: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn layout() -> Layout {
        let column = |name: &str, kind, group: &str| Column {
            name: name.into(),
            kind,
            aliases: vec![],
            required: name == "upn",
            unique: Some(group.into()),
        };
        let columns = vec![
            column("upn", CellKind::Upn, "UPN"),
            column("temp_upn", CellKind::Upn, "UPN"),
            column("object_guid", CellKind::Guid, "ImmutableID"),
            column("immutable_id", CellKind::ImmutableId, "ImmutableID"),
        ];
        Layout { columns, key: 0 }
    }

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn no_judge(_: &Row, _: &mut Vec<Finding>) {}

    fn read(text: &str) -> (Vec<Row>, Vec<Finding>) {
        let file = file(text);
        let input = open(file.path(), &layout()).unwrap();
        let (mut rows, mut all) = (Vec::new(), Vec::new());
        let mut keep = |visit| {
            match visit {
                Visit::Row { row, findings } => {
                    rows.push(row);
                    all.extend(findings);
                }
                Visit::Clash(finding) => all.push(finding),
            }
            ControlFlow::<()>::Continue(())
        };
        let ended = input.rows(&layout(), &mut no_judge, &mut keep).unwrap();
        assert_eq!(ended, ControlFlow::Continue(rows.len() as u64));
        (rows, all)
    }

    fn places(findings: &[Finding]) -> Vec<(Option<u64>, Option<u64>, Rule, Severity)> {
        findings.iter().map(|found| (found.row, found.line, found.rule.clone(), found.severity)).collect()
    }

    #[test]
    fn rows_keep_their_cells_numbers_lines_and_values() {
        let (rows, findings) = read(&format!(
            "sep=;\r\nupn;note;object_guid\r\na@b.de;\"x\r\ny\";{GUID}\r\n\r\n;;\r\nc@b.de\r;;;\r\n\r\n"
        ));
        // The third line end of "c@b.de\r" is an old one, and its row is too short.
        assert_eq!(places(&findings), [(Some(2), Some(7), Rule::Ragged, Severity::Error)]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].number, rows[0].line, rows[0].faulty), (1, 3, false));
        assert_eq!(rows[0].cells, ["a@b.de", "x\r\ny", GUID]);
        assert_eq!(rows[0].values[0], Some("a@b.de".into()));
        assert_eq!(rows[0].values[1], None);
        assert!(rows[1].faulty);
    }

    #[test]
    fn ragged_rows_are_refused_and_empty_cells_at_the_end_are_not() {
        let (rows, findings) = read("upn,x,,\na@b.de,1,,,,\nb@b.de,1\nc@b.de\nd@b.de,1,2,3,4\n");
        assert_eq!(rows[0].cells, ["a@b.de", "1", "", ""]);
        assert_eq!(rows[1].cells, ["b@b.de", "1", "", ""]);
        let ragged = |row, line| (Some(row), Some(line), Rule::Ragged, Severity::Error);
        assert_eq!(places(&findings), [ragged(3, 4), ragged(4, 5)]);
        assert_eq!(rows[3].cells, ["d@b.de", "1", "2", "3", "4"]);
    }

    #[test]
    fn lines_of_other_programs_are_no_rows() {
        let (rows, findings) = read(&format!(
            "upn,object_guid\n--,-----\na@b.de,{GUID}\n\u{feff}UPN,Object_GUID\n\n(1 rows affected)\n\u{1a}"
        ));
        let no_row = |row, line| (Some(row), Some(line), Rule::NoRow, Severity::Error);
        assert_eq!(places(&findings), [no_row(1, 2), no_row(3, 4), no_row(4, 6)]);
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn the_sign_that_ends_a_file_belongs_to_no_cell() {
        let (rows, findings) = read(&format!("upn,object_guid\na@b.de,{GUID}\u{1a}"));
        assert_eq!((rows[0].cells[1].as_str(), findings), (GUID, vec![]));
    }

    #[test]
    fn a_line_in_quotes_is_told_as_such() {
        let (_, findings) =
            read(&format!("upn,object_guid,x\n\"a@b.de,{GUID},Anna\"\n\"b@b.de,\"\"{GUID}\"\",Bob\"\n"));
        let messages: Vec<bool> = findings.iter().map(|found| found.message.contains("stands in quotes")).collect();
        assert_eq!(messages, [true, true]);
    }

    #[test]
    fn rows_inside_of_a_quote_are_missed() {
        // In a column that nobody reads, in one that is read, and where the quotes are even again.
        for text in [
            format!("a@b.de,{GUID},\"Anna\nb@b.de,{GUID},\"Bob\"\nc@b.de,{OTHER},Cid\n"),
            format!("a@b.de,\"{GUID},Anna\nb@b.de,\"{GUID}\",Bob\nc@b.de,{OTHER},Cid\n"),
        ] {
            let (rows, findings) = read(&format!("upn,object_guid,x\n{text}"));
            assert_eq!(places(&findings), [(Some(1), Some(2), Rule::Ragged, Severity::Error)], "{text}");
            assert!(findings[0].message.contains("b@b.de"), "{}", findings[0]);
            assert_eq!(rows.len(), 2);
        }
        // A text over several lines is fine.
        let (_, findings) =
            read(&format!("upn,object_guid,x\na@b.de,{GUID},\"Anna\nRoom 7, first floor\nanna@b.de\"\n"));
        assert_eq!(findings, []);
    }

    #[test]
    fn both_rows_of_a_clash_are_refused_with_the_value_as_written() {
        let (rows, findings) = read("upn,temp_upn\nA@b.de,a@b.de\n\nx@b.de,\ny@b.de,X@b.de\n");
        assert!(rows.iter().all(|row| !row.faulty));
        let clash = |row, line| (Some(row), Some(line), Rule::Duplicate, Severity::Error);
        assert_eq!(places(&findings), [clash(2, 4), clash(3, 5)]);
        assert_eq!(findings[1].column.as_deref(), Some("temp_upn"));
        assert_eq!(findings[1].value.as_deref(), Some("X@b.de"));
        assert!(findings[1].message.contains("line 4;"), "{}", findings[1]);
    }

    #[test]
    fn a_guid_clashes_with_its_immutable_id() {
        let (_, findings) = read(&format!("upn,object_guid,immutable_id\na@b.de,{GUID},{ID}\nb@b.de,,{ID}\n"));
        let told: Vec<_> = findings.iter().map(|found| (found.row, found.column.as_deref())).collect();
        assert_eq!(told, [(Some(1), Some("object_guid")), (Some(2), Some("immutable_id"))]);
    }

    #[test]
    fn the_job_may_refuse_a_row() {
        let file = file("upn\na@b.de\nb@b.de\n");
        let input = open(file.path(), &layout()).unwrap();
        let mut judge = |row: &Row, findings: &mut Vec<Finding>| {
            if row.number == 2 {
                findings.push(Violation::error(Rule::Job("NoB".into()), "no").in_row(row.number, row.line));
            }
        };
        let mut faulty = Vec::new();
        let mut keep = |visit| {
            if let Visit::Row { row, .. } = visit {
                faulty.push(row.faulty);
            }
            ControlFlow::<()>::Continue(())
        };
        assert!(input.rows(&layout(), &mut judge, &mut keep).is_ok());
        assert_eq!(faulty, [false, true]);
    }

    #[test]
    fn the_visitor_may_stop() {
        let file = file("upn\na@b.de\nb@b.de\n");
        let input = open(file.path(), &layout()).unwrap();
        let ended = input.rows(&layout(), &mut no_judge, &mut |_| ControlFlow::Break("enough")).unwrap();
        assert_eq!(ended, ControlFlow::Break("enough"));
    }

    #[test]
    fn a_file_that_changes_under_way_is_an_error() {
        let file = file("upn\na@b.de\n");
        let input = open(file.path(), &layout()).unwrap();
        fs::write(file.path(), "upn\nb@b.de\n").unwrap();
        let ended = input.rows(&layout(), &mut no_judge, &mut |_| ControlFlow::<()>::Continue(()));
        assert!(matches!(ended, Err(InputError::Changed { .. })));
    }

    #[test]
    fn an_open_quote_in_the_rows_is_an_error_with_its_line() {
        let file = file("upn,x\na@b.de,1\nb@b.de,\"2\nc@b.de,3\n");
        let input = open(file.path(), &layout()).unwrap();
        let ended = input.rows(&layout(), &mut no_judge, &mut |_| ControlFlow::<()>::Continue(()));
        assert!(matches!(ended, Err(InputError::OpenQuote(_, 3))));
    }
}
