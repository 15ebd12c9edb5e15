//! Reading a log from a known place to its end, and telling a torn tail from a damaged log.
//!
//! A group is written only after the one before it was made durable. So a bad line may be the trace of a power cut only if
//! nothing of a *later* group comes after it: then its group was never committed, and is dropped whole. Where a later group is
//! found, the bad line was durable once, and something else destroyed it. No mark in the file could say this as surely, since a
//! mark can be torn too. What this cannot see: damage to the very last group looks like a torn tail.
//!
//! A line that is whole but does not follow is judged in the same way. Where data did not arrive, a disk may show what was
//! there before: lines of an earlier torn tail, with good checksums, between those of the group that was being written.
//!
//! Memory holds one group and one chunk, whatever the length of the log. Nothing here writes.

use super::error::{Fault, LogError};
use super::line::{ChainHash, LINE_BYTES_MAX, Line, Place};
use super::log_file::LogFile;
use super::run::RunId;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::Arc;

/// Bytes read at once: enough that system calls do not count.
const CHUNK_BYTES: usize = 256 << 10;

/// The longest group in bytes (64 MiB): a reader holds one group in memory.
pub const GROUP_BYTES_MAX: usize = 64 << 20;

/// Places within one stretch of bytes at which a line may begin that are tried when damage is looked at.
const STARTS_TRIED_MAX: usize = 1_000;

/// What every line begins with.
const LINE_START: &[u8] = b"{\"";

/// The end of a whole group: what a reader must know to go on from there, and a writer to append to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Bytes up to here.
    pub offset: u64,
    /// The chain up to here.
    pub hash: ChainHash,
    /// Number of the last group; 0 before the first.
    pub group: u64,
    /// Records up to here.
    pub records: u64,
    /// Where the last line begins, by which a position that belongs to another log is recognised.
    pub last_line: u64,
}

impl Head {
    /// The place before the first record of a run's log.
    #[must_use]
    pub fn genesis(run: RunId) -> Head {
        Head { offset: 0, hash: ChainHash::genesis(run), group: 0, records: 0, last_line: 0 }
    }

    /// The place after one more line of the group that follows this one; the group counts only with its last line.
    pub(super) fn after_line(self, hash: ChainHash, bytes: usize) -> Head {
        Head {
            offset: self.offset + bytes as u64,
            hash,
            group: self.group,
            records: self.records + 1,
            last_line: self.offset,
        }
    }

    pub(super) fn after_group(self) -> Head {
        Head { group: self.group + 1, ..self }
    }
}

/// A line as it lies in the log.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The place before it.
    pub before: Head,
    /// Its parts.
    pub line: Line,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Found<'_> {
    /// Its record, as JSON.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        self.line.record(self.bytes)
    }
}

/// A whole group, as it lies in the log.
#[derive(Debug)]
pub struct Group<'a> {
    /// The place before this group.
    pub before: Head,
    /// The place after this group.
    pub head: Head,
    /// Its bytes.
    pub bytes: &'a [u8],
    lines: &'a [(Head, Line)],
}

impl<'a> Group<'a> {
    /// Its lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = Found<'a>> {
        let (start, bytes) = (self.before.offset, self.bytes);
        self.lines.iter().map(move |(before, line)| {
            // Fits: the difference of two places in one buffer.
            let from = (before.offset - start) as usize;
            Found { before: *before, line: *line, bytes: &bytes[from..from + line.bytes] }
        })
    }
}

/// A walk over the groups of a log.
pub struct Scan<'m> {
    file: &'m dyn LogFile,
    /// The end of the file when the walk began.
    end: u64,
    reader: BufReader<Bytes<'m>>,
    head: Head,
    /// The group that was read last.
    lines: Vec<(Head, Line)>,
    bytes: Vec<u8>,
}

impl<'m> Scan<'m> {
    /// Starts at a known place. What is appended after this call is not seen.
    ///
    /// # Errors
    /// [`LogError::Read`]; [`LogError::Shortened`] and [`LogError::Elsewhere`] if the place is not in this log.
    pub fn new(file: &'m dyn LogFile, from: Head) -> Result<Scan<'m>, LogError> {
        let end = length(file)?;
        must_have(file, end, &from)?;
        let reader = reader(file, from.offset, end);
        Ok(Scan { file, end, reader, head: from, lines: Vec::new(), bytes: Vec::new() })
    }

    /// The end of the last whole group so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Bytes at the end that are no whole group and were never committed, once there is no further group.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.end - self.head.offset
    }

    /// The next whole group; `None` at the end, after which nothing is to be asked.
    ///
    /// # Errors
    /// [`LogError::Read`] and [`LogError::Damaged`].
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>, LogError> {
        let before = self.head;
        if before.offset == self.end {
            return Ok(None);
        }
        self.lines.clear();
        self.bytes.clear();
        let mut cursor = before;
        loop {
            let start = self.bytes.len();
            read_line(&mut self.reader, &mut self.bytes).map_err(|source| read_error(cursor.offset, source))?;
            let line = match next_line(&cursor, &self.bytes[start..]) {
                Ok(line) => line,
                Err(fault) => return self.must_be_torn(&cursor, fault).map(|()| None),
            };
            self.lines.push((cursor, line));
            cursor = cursor.after_line(line.hash, line.bytes);
            if line.place == Place::Last {
                break;
            }
        }
        self.head = cursor.after_group();
        Ok(Some(Group { before, head: self.head, bytes: &self.bytes, lines: &self.lines }))
    }

    fn must_be_torn(&self, bad: &Head, fault: Fault) -> Result<(), LogError> {
        match later_group_follows(reader(self.file, bad.offset, self.end), self.head.group + 1) {
            Ok(true) => Err(LogError::Damaged { at: bad.offset, record: bad.records + 1, fault }),
            Ok(false) => Ok(()),
            Err(source) => Err(read_error(bad.offset, source)),
        }
    }
}

/// Makes sure that a place is the end of a group of this log.
fn must_have(file: &dyn LogFile, end: u64, place: &Head) -> Result<(), LogError> {
    let known = place.offset;
    if known > end {
        return Err(LogError::Shortened { known, log_bytes: end });
    }
    if place.group == 0 {
        return Ok(());
    }
    let bytes = bytes_of_line(file, place.last_line)?;
    let is_it = |line: &Line| {
        (line.group, line.place, line.hash) == (place.group, Place::Last, place.hash)
            && place.last_line + line.bytes as u64 == known
    };
    whole_line(&bytes).filter(is_it).map(drop).ok_or(LogError::Elsewhere { known })
}

/// The line that must come next, if these bytes are it.
fn next_line(before: &Head, bytes: &[u8]) -> Result<Line, Fault> {
    let line = whole_line(bytes).ok_or(Fault::Checksum)?;
    if !line.follows(&before.hash, bytes) {
        return Err(Fault::Chain);
    }
    if line.group != before.group + 1 {
        return Err(Fault::Order);
    }
    Ok(line)
}

/// A line whose checksum fits.
pub(super) fn whole_line(bytes: &[u8]) -> Option<Line> {
    Line::parse(bytes).filter(|line| bytes.starts_with(LINE_START) && line.is_whole(bytes))
}

/// The bytes from a place on up to the end of a line, or as far as the file or the limit of a line goes.
pub(super) fn bytes_of_line(file: &dyn LogFile, at: u64) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    read_line(&mut reader(file, at, length(file)?), &mut bytes).map_err(|source| read_error(at, source))?;
    Ok(bytes)
}

fn length(file: &dyn LogFile) -> Result<u64, LogError> {
    file.len().map_err(|source| read_error(0, source))
}

pub(super) fn read_error(at: u64, source: io::Error) -> LogError {
    LogError::Read { at, source: Arc::new(source) }
}

/// The bytes of a file between two places.
struct Bytes<'m> {
    file: &'m dyn LogFile,
    at: u64,
    end: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Fits: no more than the buffer.
        let wanted = self.end.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(self.at, &mut buffer[..wanted])?;
        self.at += count as u64;
        Ok(count)
    }
}

fn reader(file: &dyn LogFile, at: u64, end: u64) -> BufReader<Bytes<'_>> {
    BufReader::with_capacity(CHUNK_BYTES, Bytes { file, at, end })
}

/// Adds a line with its end, or what there is of one; returns how many bytes that is.
fn read_line(reader: &mut BufReader<Bytes<'_>>, line: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', line)
}

/// Whether a whole line of a group after `group` follows.
fn later_group_follows(mut reader: BufReader<Bytes<'_>>, group: u64) -> io::Result<bool> {
    let mut stretch = Vec::new();
    while read_line(&mut reader, &mut stretch)? > 0 {
        if stretch.ends_with(b"\n") {
            if ends_with_later_line(&stretch, group) {
                return Ok(true);
            }
            stretch.clear();
        } else {
            // No line is longer than that.
            stretch.drain(..stretch.len().saturating_sub(LINE_BYTES_MAX));
        }
    }
    Ok(false)
}

/// Whether bytes end with a whole line of a group after `group`; what comes before it may have lost its own end.
fn ends_with_later_line(bytes: &[u8], group: u64) -> bool {
    if Line::parse(bytes).is_none_or(|line| line.group <= group) {
        return false;
    }
    let starts = bytes.windows(LINE_START.len()).enumerate();
    let starts = starts.filter(|(_, window)| *window == LINE_START);
    starts.take(STARTS_TRIED_MAX).any(|(at, _)| {
        let line = &bytes[at..];
        Line::parse(line).is_some_and(|parsed| parsed.is_whole(line))
    })
}
