//! The records of a file, one after the other, each with the line in which it begins. Knows no columns.
//!
//! csv-core cuts the text into cells. It takes a quote that is never closed for a cell that reaches to the end of the file, so
//! that is found here, and so is a record beyond all measure.

use super::dialect::Dialect;
use super::error::InputError;
use super::lines::LineCounter;
use super::source::{Hashing, RunningDigest, Source};
use crate::values::is_blank;
use csv_core::ReadRecordResult;
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

/// How much is read, and how much decoded text is cut at once, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Longest record, in bytes of UTF-8. Far beyond any honest row, and small enough that a quote that is never closed
/// is found before memory suffers.
const RECORD_BYTES_MAX: u64 = 1 << 20;

type Decoded = DecodeReaderBytes<Hashing<File>, Vec<u8>>;

/// Reads records from the beginning of a file to its end.
pub struct RecordReader<'a, R> {
    path: &'a Path,
    text: BufReader<R>,
    digest: RunningDigest,
    cutter: csv_core::Reader,
    lines: LineCounter,
    /// The cells of a record, without anything between them, and where each of them ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
}

/// A record and where it begins.
pub struct CsvRecord {
    /// Physical line, from 1.
    pub line: u64,
    /// Its cells.
    pub cells: Vec<String>,
}

impl<'a> RecordReader<'a, Decoded> {
    /// Opens a file once more. `path` is the name for messages.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn open(source: &Source, path: &'a Path, dialect: Dialect) -> Result<RecordReader<'a, Decoded>, InputError> {
        let file = source.reader().map_err(|source| InputError::Open(path.to_owned(), source))?;
        let (hashing, digest) = Hashing::new(file);
        let decoded = DecodeReaderBytesBuilder::new()
            .encoding(Some(dialect.encoding))
            .build_with_buffer(hashing, vec![0; BUFFER_BYTES])
            .map_err(InputError::read(path))?;
        let text = BufReader::with_capacity(BUFFER_BYTES, decoded);
        let mut records = RecordReader::new(path, text, digest, dialect.delimiter);
        records.skip_while(|line, _| line <= dialect.preamble_lines).map_err(InputError::read(path))?;
        Ok(records)
    }
}

impl<'a, R: Read> RecordReader<'a, R> {
    fn new(path: &'a Path, text: BufReader<R>, digest: RunningDigest, delimiter: u8) -> RecordReader<'a, R> {
        let cutter = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let lines = LineCounter::default();
        RecordReader { path, text, digest, cutter, lines, cells: vec![0; 1 << 10], ends: vec![0; 1 << 5] }
    }

    /// The next record that holds anything. Lines without any text in their cells are passed over: spreadsheets
    /// leave them at the end of a sheet.
    ///
    /// # Errors
    /// When the file cannot be read on, or cut into records.
    pub fn next(&mut self) -> Result<Option<CsvRecord>, InputError> {
        loop {
            let record = self.read()?;
            if record.as_ref().is_none_or(|record| !record.cells.iter().all(|cell| is_blank(cell))) {
                return Ok(record);
            }
        }
    }

    /// The digest of what was read so far; after the last record, of the whole file.
    pub fn digest(&self) -> &RunningDigest {
        &self.digest
    }

    fn read(&mut self) -> Result<Option<CsvRecord>, InputError> {
        self.skip_while(|_, byte| matches!(byte, b'\r' | b'\n')).map_err(InputError::read(self.path))?;
        let line = self.lines.line();
        let (mut bytes, mut written, mut cells) = (0, 0, 0);
        loop {
            let text = self.text.fill_buf().map_err(InputError::read(self.path))?;
            let is_end = text.is_empty();
            if is_end && bytes == 0 {
                return Ok(None);
            }
            // At the end of the file, a line end shows whether a quote is open: it ends the record, or else belongs to a cell.
            let text = if is_end { b"\n" } else { text };
            let (result, passed, added, ended) =
                self.cutter.read_record(text, &mut self.cells[written..], &mut self.ends[cells..]);
            (written, cells) = (written + added, cells + ended);
            if !is_end {
                self.lines.pass_all(&text[..passed]);
                self.text.consume(passed);
                bytes += passed as u64;
            }
            if bytes > RECORD_BYTES_MAX {
                let is_open = result != ReadRecordResult::Record && self.is_in_quotes();
                return Err(if is_open { self.open_quote(written, cells) } else { self.too_long(line) });
            }
            match result {
                ReadRecordResult::Record => return Ok(Some(CsvRecord { line, cells: self.texts(cells) })),
                ReadRecordResult::InputEmpty if is_end => return Err(self.open_quote(written - added, cells)),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }

    fn texts(&self, count: usize) -> Vec<String> {
        let mut start = 0;
        let text = |end: &usize| {
            let cell = &self.cells[start..*end];
            start = *end;
            // What was decoded is UTF-8 and is cut at ASCII characters.
            String::from_utf8_lossy(cell).into_owned()
        };
        self.ends[..count].iter().map(text).collect()
    }

    /// Passes over bytes for as long as it shall, by the line and the byte itself.
    fn skip_while(&mut self, is_skipped: impl Fn(u64, u8) -> bool) -> io::Result<()> {
        loop {
            let text = self.text.fill_buf()?;
            let mut count = 0;
            while let Some(byte) = text.get(count).filter(|byte| is_skipped(self.lines.line(), **byte)) {
                self.lines.pass(*byte);
                count += 1;
            }
            let is_over = count < text.len() || text.is_empty();
            self.text.consume(count);
            if is_over {
                return Ok(());
            }
        }
    }

    /// Whether a line end would belong to a cell. Nothing can be read after this question.
    fn is_in_quotes(&mut self) -> bool {
        let (result, ..) = self.cutter.read_record(b"\n", &mut [0; 1], &mut [0; 1]);
        result == ReadRecordResult::InputEmpty
    }

    /// The cell that is not closed begins where the last one ended.
    fn open_quote(&self, written: usize, cells: usize) -> InputError {
        let start = cells.checked_sub(1).map_or(0, |last| self.ends[last]);
        let mut inside = LineCounter::default();
        inside.pass_all(&self.cells[start..written]);
        InputError::OpenQuote(self.path.to_owned(), self.lines.line() + 1 - inside.line())
    }

    fn too_long(&self, line: u64) -> InputError {
        InputError::RecordTooLong(self.path.to_owned(), line, RECORD_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The records of a text with their lines. The buffer is small, so that records and line ends fall across its ends.
    fn records(text: &str) -> Result<Vec<(u64, Vec<String>)>, InputError> {
        let (hashing, digest) = Hashing::new(text.as_bytes());
        let mut reader = RecordReader::new(Path::new("x.csv"), BufReader::with_capacity(3, hashing), digest, b',');
        let mut found = Vec::new();
        while let Some(record) = reader.read()? {
            found.push((record.line, record.cells));
        }
        Ok(found)
    }

    fn lines_of(text: &str) -> Vec<u64> {
        records(text).unwrap().into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn records_know_their_lines_for_every_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "", "c,\"d", "d\"", "", "", "e,f", ""].join(end);
            assert_eq!(lines_of(&text), [1, 3, 7], "{end:?}");
        }
    }

    #[test]
    fn lines_before_the_header_are_left_out_and_counted() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["#TYPE \"x", "", "a", "b"].join(end);
            let (hashing, digest) = Hashing::new(text.as_bytes());
            let text = BufReader::with_capacity(3, hashing);
            let mut reader = RecordReader::new(Path::new("x.csv"), text, digest, b',');
            reader.skip_while(|line, _| line <= 2).unwrap();
            let read = [(); 2].map(|()| reader.read().unwrap().unwrap());
            assert_eq!(read.map(|record| (record.line, record.cells.concat())), [(3, "a".into()), (4, "b".into())]);
        }
    }

    #[test]
    fn a_quote_inside_a_cell_is_text() {
        assert_eq!(lines_of("a \"x,b\nc\n"), [1, 2]);
        assert_eq!(lines_of("\"a\" x\",b\nc\n"), [1, 2]);
    }

    #[test]
    fn an_open_quote_is_told_with_its_line() {
        let open_at = |text: &str| match records(text) {
            Err(InputError::OpenQuote(_, line)) => line,
            other => panic!("{other:?}"),
        };
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(open_at(&["a", "b,\"c", "d", ""].join(end)), 2);
            assert_eq!(open_at(&["a", "\"x", "x\",\"c", "d", "e"].join(end)), 3);
            assert_eq!(open_at(&["a", "\""].join(end)), 2);
            assert_eq!(open_at(&format!("a{end}{end}\"{}", format!("x{end}").repeat(1 << 20))), 3);
        }
        let long = records(&"x".repeat(2 << 20));
        assert!(matches!(long, Err(InputError::RecordTooLong(_, 1, _))), "{long:?}");
    }

    proptest! {
        #[test]
        fn cells_are_those_of_the_csv_crate(text in "[aé,\"\r\n]{0,40}") {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> =
                reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
            match records(&text) {
                Ok(found) => {
                    let found: Vec<_> = found.into_iter().map(|(_, cells)| cells).collect();
                    prop_assert_eq!(found, expected);
                }
                Err(error) => prop_assert!(matches!(error, InputError::OpenQuote { .. }), "{:?}", error),
            }
        }
    }
}
