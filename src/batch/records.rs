//! The records of a file, one after the other, each with its place in the file. Knows no columns.

use std::fs::File;
use std::path::Path;

use csv::StringRecord;
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

use super::dialect::Dialect;
use super::error::InputError;
use super::lines::{RECORD_BYTES_MAX, RecordError, RecordLines};
use super::source::{Hashing, RunningDigest, Source};
use crate::values::is_blank;

/// How much is read, and how much decoded text the csv crate takes at once, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

type Decoded = RecordLines<DecodeReaderBytes<Hashing<File>, Vec<u8>>>;

/// Reads records from the beginning of a file to its end.
pub struct RecordReader<'a> {
    path: &'a Path,
    reader: csv::Reader<Decoded>,
    digest: RunningDigest,
    record: StringRecord,
}

/// A record and the physical line, from 1, in which it begins.
pub struct CsvRecord<'a> {
    /// Physical line, from 1.
    pub line: u64,
    /// Its cells.
    pub cells: &'a StringRecord,
}

impl<'a> RecordReader<'a> {
    /// Opens a file once more. `path` is the name for messages.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn open(source: &Source, path: &'a Path, dialect: Dialect) -> Result<RecordReader<'a>, InputError> {
        let file = source.reader().map_err(|source| InputError::Open { path: path.to_owned(), source })?;
        let (hashing, digest) = Hashing::new(file);
        let decoded = DecodeReaderBytesBuilder::new()
            .encoding(Some(dialect.encoding.decoder()))
            .build_with_buffer(hashing, vec![0; BUFFER_BYTES])
            .map_err(InputError::read(path))?;
        let lines = RecordLines::new(decoded, dialect.delimiter, dialect.preamble_lines);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(dialect.delimiter)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(lines);
        Ok(RecordReader { path, reader, digest, record: StringRecord::new() })
    }

    /// The next record that holds anything. Lines without any text in their cells are passed over: spreadsheets
    /// leave them at the end of a sheet.
    ///
    /// # Errors
    /// When the file cannot be read on, or cut into records.
    pub fn next(&mut self) -> Result<Option<CsvRecord<'_>>, InputError> {
        loop {
            let found = self.reader.read_record(&mut self.record).map_err(|error| self.explain(error))?;
            if !found {
                return Ok(None);
            }
            let line = self.reader.get_mut().next_record_line();
            if !self.record.iter().all(is_blank) {
                return Ok(Some(CsvRecord { line, cells: &self.record }));
            }
        }
    }

    /// The cells of the record that came last.
    pub fn current(&self) -> &StringRecord {
        &self.record
    }

    /// The digest of what was read so far; after the last record, of the whole file.
    pub fn digest(&self) -> &RunningDigest {
        &self.digest
    }

    fn explain(&self, error: csv::Error) -> InputError {
        let path = self.path.to_owned();
        match self.reader.get_ref().error() {
            Some(RecordError::OpenQuote(line)) => InputError::OpenQuote { path, line },
            Some(RecordError::TooLong(line)) => InputError::RecordTooLong { path, line, bytes_max: RECORD_BYTES_MAX },
            None => InputError::Read { path, source: error.into() },
        }
    }
}
