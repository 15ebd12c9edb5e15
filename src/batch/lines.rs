//! Physical lines, and where in them each record begins.
//!
//! The csv crate counts line feeds, which is wrong for old line ends; it does not tell blank lines from the record
//! behind them; and it takes a quote that is never closed for a cell that reaches to the end of the file. So the text
//! passes through here on its way to it: nothing is changed but the lines before the header, which are left out.

use memchr::{memchr, memchr3};
use std::collections::VecDeque;
use std::io::{self, Read};

/// Longest record, in bytes of UTF-8. Far beyond any honest row, and small enough that a quote that is never closed
/// is found before memory suffers.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Counts line ends of all three kinds: CRLF, LF and the old CR.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineCounter {
    ended: u64,
    after_cr: bool,
}

impl LineCounter {
    /// The line of the next byte, from 1.
    pub fn line(&self) -> u64 {
        self.ended + 1
    }

    /// Counts one byte.
    pub fn pass(&mut self, byte: u8) {
        self.ended += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
        self.after_cr = byte == b'\r';
    }

    /// Counts a piece of text at once.
    pub fn pass_all(&mut self, text: &[u8]) {
        let count = |end: u8| text.iter().filter(|byte| **byte == end).count();
        let (feeds, returns) = (count(b'\n'), count(b'\r'));
        let pairs = match returns {
            0 => 0,
            _ => text.windows(2).filter(|pair| *pair == b"\r\n").count(),
        };
        let begun_before = self.after_cr && text.first() == Some(&b'\n');
        self.ended += (feeds + returns - pairs - usize::from(begun_before)) as u64;
        if let Some(last) = text.last() {
            self.after_cr = *last == b'\r';
        }
    }
}

/// Why the text cannot be cut into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A quote is opened in this line and never closed.
    #[error("the quote opened in line {0} is never closed")]
    OpenQuote(u64),
    /// The record that begins in this line is longer than [`RECORD_BYTES_MAX`].
    #[error("the record in line {0} is too long")]
    TooLong(u64),
}

/// Where in a record the next byte stands. The same states as in the csv crate, as far as they decide where records
/// begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    BeforeRecord,
    BeforeCell,
    InCell,
    InQuotes,
    AfterQuote,
}

/// Passes text on and notes in which line each record begins.
pub struct RecordLines<R> {
    inner: R,
    delimiter: u8,
    preamble_lines: u64,
    state: ScanState,
    lines: LineCounter,
    quote_line: u64,
    record_line: u64,
    record_bytes: u64,
    begun: VecDeque<u64>,
    error: Option<RecordError>,
}

impl<R: Read> RecordLines<R> {
    /// Wraps UTF-8 text; so many lines are left out before the first record.
    pub fn new(inner: R, delimiter: u8, preamble_lines: u64) -> RecordLines<R> {
        RecordLines {
            inner,
            delimiter,
            preamble_lines,
            state: ScanState::BeforeRecord,
            lines: LineCounter::default(),
            quote_line: 0,
            record_line: 0,
            record_bytes: 0,
            begun: VecDeque::new(),
            error: None,
        }
    }

    /// The line in which the next record begins, for each record in turn; to be asked once for every record that the
    /// csv crate hands out.
    pub fn next_record_line(&mut self) -> u64 {
        // Never empty where the csv crate sees a record; the last record's line is the closest answer there is.
        self.begun.pop_front().unwrap_or(self.record_line)
    }

    /// What stopped the reading, if the text did and not the system.
    pub fn error(&self) -> Option<RecordError> {
        self.error
    }

    /// Leaves out what belongs to the lines before the header. Returns how many bytes of `buffer` do.
    fn skip_preamble(&mut self, buffer: &[u8]) -> usize {
        for (index, byte) in buffer.iter().enumerate() {
            if self.lines.line() > self.preamble_lines {
                return index;
            }
            self.lines.pass(*byte);
        }
        buffer.len()
    }

    fn scan(&mut self, mut text: &[u8]) -> Result<(), RecordError> {
        while let Some((byte, after)) = text.split_first() {
            if self.state == ScanState::BeforeRecord && !is_line_end(*byte) {
                self.record_line = self.lines.line();
                self.record_bytes = 0;
                self.begun.push_back(self.record_line);
                self.state = ScanState::BeforeCell;
            }
            let inside = self.inside(text);
            if inside == 0 {
                self.step(*byte);
                self.lines.pass(*byte);
                self.record_bytes += 1;
                text = after;
            } else {
                self.lines.pass_all(&text[..inside]);
                self.record_bytes += inside as u64;
                text = &text[inside..];
            }
            if self.record_bytes > RECORD_BYTES_MAX && self.state != ScanState::BeforeRecord {
                return Err(self.overlong());
            }
        }
        Ok(())
    }

    /// How many of the next bytes are of no interest: most of a cell.
    fn inside(&self, text: &[u8]) -> usize {
        let end = match self.state {
            ScanState::InCell => memchr3(self.delimiter, b'\r', b'\n', text),
            ScanState::InQuotes => memchr(b'"', text),
            ScanState::BeforeRecord | ScanState::BeforeCell | ScanState::AfterQuote => Some(0),
        };
        end.unwrap_or(text.len())
    }

    fn step(&mut self, byte: u8) {
        self.state = match self.state {
            ScanState::BeforeRecord => ScanState::BeforeRecord,
            ScanState::BeforeCell if byte == b'"' => {
                self.quote_line = self.lines.line();
                ScanState::InQuotes
            }
            ScanState::InQuotes if byte == b'"' => ScanState::AfterQuote,
            ScanState::InQuotes => ScanState::InQuotes,
            ScanState::AfterQuote if byte == b'"' => ScanState::InQuotes,
            ScanState::BeforeCell | ScanState::InCell | ScanState::AfterQuote => {
                if byte == self.delimiter {
                    ScanState::BeforeCell
                } else if is_line_end(byte) {
                    ScanState::BeforeRecord
                } else {
                    ScanState::InCell
                }
            }
        };
    }

    fn overlong(&self) -> RecordError {
        match self.state {
            ScanState::InQuotes => RecordError::OpenQuote(self.quote_line),
            ScanState::BeforeRecord | ScanState::BeforeCell | ScanState::InCell | ScanState::AfterQuote => {
                RecordError::TooLong(self.record_line)
            }
        }
    }

    fn fail(&mut self, error: RecordError) -> io::Error {
        self.error = Some(error);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl<R: Read> Read for RecordLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.inner.read(buffer)?;
            if count == 0 && self.state == ScanState::InQuotes {
                return Err(self.fail(RecordError::OpenQuote(self.quote_line)));
            }
            let skipped = self.skip_preamble(&buffer[..count]);
            if skipped > 0 && skipped == count {
                continue;
            }
            buffer.copy_within(skipped..count, 0);
            let passed = count - skipped;
            return match self.scan(&buffer[..passed]) {
                Ok(()) => Ok(passed),
                Err(error) => Err(self.fail(error)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(text: &str, preamble_lines: u64) -> Result<Vec<(u64, String)>, RecordError> {
        let lines = RecordLines::new(text.as_bytes(), b',', preamble_lines);
        // A small buffer, so that records and line ends fall across its ends.
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(3).from_reader(lines);
        let mut record = csv::StringRecord::new();
        let mut found = Vec::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(true) => {
                    found.push((reader.get_mut().next_record_line(), record.iter().collect::<Vec<_>>().join("|")))
                }
                Ok(false) => return Ok(found),
                Err(_) => return Err(reader.get_mut().error().unwrap()),
            }
        }
    }

    fn lines_of(text: &str) -> Vec<u64> {
        records(text, 0).unwrap().into_iter().map(|(line, _)| line).collect()
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
            assert_eq!(records(&text, 2).unwrap(), [(3, "a".to_owned()), (4, "b".to_owned())], "{end:?}");
        }
    }

    #[test]
    fn a_quote_inside_a_cell_is_text() {
        assert_eq!(lines_of("a \"x,b\nc\n"), [1, 2]);
        assert_eq!(lines_of("\"a\" x\",b\nc\n"), [1, 2]);
    }

    #[test]
    fn an_open_quote_is_told_with_its_line() {
        assert_eq!(records("a\nb,\"c\nd\n", 0), Err(RecordError::OpenQuote(2)));
        let long = format!("a\n\n\"{}", "x\n".repeat(1 << 20));
        assert_eq!(records(&long, 0), Err(RecordError::OpenQuote(3)));
        assert_eq!(records(&"x".repeat(2 << 20), 0), Err(RecordError::TooLong(1)));
    }

    proptest! {
        #[test]
        fn pieces_count_like_bytes(text in "[a\r\n]{0,12}", cut in 0_usize..12) {
            let mut bytes = LineCounter::default();
            text.bytes().for_each(|byte| bytes.pass(byte));
            let mut pieces = LineCounter::default();
            let (head, tail) = text.split_at(cut.min(text.len()));
            pieces.pass_all(head.as_bytes());
            pieces.pass_all(tail.as_bytes());
            prop_assert_eq!((bytes.line(), bytes.after_cr), (pieces.line(), pieces.after_cr));
        }

        #[test]
        fn every_record_of_the_csv_crate_has_a_line(text in "[a,\"\r\n]{0,40}") {
            let lines = RecordLines::new(text.as_bytes(), b',', 0);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(lines);
            let count = reader.records().take_while(Result::is_ok).count();
            if reader.get_mut().error().is_none() {
                prop_assert_eq!(reader.get_mut().begun.len(), count);
            }
        }
    }
}
