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
use super::log_file::{LogFile, read_full};
use super::run::RunId;
use serde::{Deserialize, Serialize};
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
    before: Head,
    head: Head,
    lines: &'a [(Head, Line)],
    bytes: &'a [u8],
}

impl<'a> Group<'a> {
    /// The place after this group.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The place before this group.
    #[must_use]
    pub fn before(&self) -> Head {
        self.before
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

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

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a whole group.
    Clean {
        /// Its end in bytes.
        at: u64,
    },
    /// With bytes that are no whole group and were never committed.
    Torn {
        /// Where they begin.
        at: u64,
        /// How many they are.
        bytes: u64,
    },
}

/// What a scan came upon.
#[derive(Debug)]
pub enum Step<'a> {
    /// The next whole group.
    Group(Group<'a>),
    /// The end; asking again gives the same.
    End(End),
}

/// A walk over the groups of a log.
pub struct Scan<'m> {
    window: Window<'m>,
    head: Head,
    lines: Vec<(Head, Line)>,
}

impl<'m> Scan<'m> {
    /// Starts at a known place. What is appended after this call is not seen.
    ///
    /// # Errors
    /// [`LogError::Read`]; [`LogError::Shortened`] and [`LogError::Elsewhere`] if the place is not in this log.
    pub fn new(file: &'m dyn LogFile, from: Head) -> Result<Scan<'m>, LogError> {
        let window = Window::new(file)?;
        let mut scan = Scan { window, head: from, lines: Vec::new() };
        scan.check_start()?;
        Ok(scan)
    }

    /// The end of the last whole group so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The next whole group, or how the log ends.
    ///
    /// # Errors
    /// [`LogError::Read`] and [`LogError::Damaged`].
    pub fn step(&mut self) -> Result<Step<'_>, LogError> {
        let before = self.head;
        let start = before.offset;
        if start == self.window.end {
            return Ok(Step::End(End::Clean { at: start }));
        }
        self.window.release(start);
        self.lines.clear();
        let mut cursor = self.head;
        loop {
            let Some(line) = self.window.line_at(cursor.offset)? else {
                return self.torn_or_damaged(&cursor, Fault::Checksum).map(Step::End);
            };
            let bytes = self.window.slice(cursor.offset, line.bytes);
            if let Err(fault) = check_order(&cursor, &line, bytes) {
                return self.torn_or_damaged(&cursor, fault).map(Step::End);
            }
            self.lines.push((cursor, line));
            cursor = cursor.after_line(line.hash, line.bytes);
            if line.place == Place::Last {
                break;
            }
        }
        self.head = cursor.after_group();
        // Fits: the window holds these bytes in memory.
        let bytes = self.window.slice(start, (self.head.offset - start) as usize);
        Ok(Step::Group(Group { before, head: self.head, lines: &self.lines, bytes }))
    }

    fn check_start(&mut self) -> Result<(), LogError> {
        let from = self.head;
        if from.offset > self.window.end {
            return Err(LogError::Shortened { known: from.offset, log_bytes: self.window.end });
        }
        if from.group == 0 {
            return Ok(());
        }
        if from.last_line >= from.offset {
            return Err(LogError::Elsewhere { known: from.offset });
        }
        self.window.release(from.last_line);
        let fits = self.window.line_at(from.last_line)?.is_some_and(|line| {
            (line.group, line.place, line.hash) == (from.group, Place::Last, from.hash)
                && from.last_line + line.bytes as u64 == from.offset
        });
        if fits { Ok(()) } else { Err(LogError::Elsewhere { known: from.offset }) }
    }

    fn torn_or_damaged(&mut self, bad: &Head, fault: Fault) -> Result<End, LogError> {
        let torn_group = self.head.group + 1;
        if self.window.line_of_later_group(bad.offset, torn_group)? {
            return Err(LogError::Damaged { at: bad.offset, record: bad.records + 1, fault });
        }
        Ok(End::Torn { at: self.head.offset, bytes: self.window.end - self.head.offset })
    }
}

/// Whether a line whose checksum fits is the one that must come next.
fn check_order(before: &Head, line: &Line, bytes: &[u8]) -> Result<(), Fault> {
    if !line.follows(&before.hash, bytes) {
        return Err(Fault::Chain);
    }
    if line.group != before.group + 1 {
        return Err(Fault::Order);
    }
    Ok(())
}

/// The bytes of a file around the place that is being read.
pub(super) struct Window<'m> {
    file: &'m dyn LogFile,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
    // Bytes before this offset are not needed any more; they go when room is needed.
    released: u64,
}

impl<'m> Window<'m> {
    pub(super) fn new(file: &'m dyn LogFile) -> Result<Window<'m>, LogError> {
        let end = file.len().map_err(|source| LogError::Read { at: 0, source: Arc::new(source) })?;
        Ok(Window { file, end, start: 0, bytes: Vec::new(), released: 0 })
    }

    pub(super) fn release(&mut self, until: u64) {
        self.released = until;
    }

    /// Whether nothing is left from `at` on.
    pub(super) fn ends_at(&self, at: u64) -> bool {
        at >= self.end
    }

    /// A line whose checksum fits.
    pub(super) fn line_at(&mut self, at: u64) -> Result<Option<Line>, LogError> {
        let Some(bytes) = self.bytes_to_line_end(at)? else {
            return Ok(None);
        };
        let bytes = self.slice(at, bytes);
        let is_whole = |line: &Line| bytes.starts_with(LINE_START) && line.is_whole(bytes);
        Ok(Line::parse(bytes).filter(is_whole))
    }

    /// How many bytes from `at` on make one line, its end included; `None` if no line ends before the file or the limit does.
    pub(super) fn bytes_to_line_end(&mut self, at: u64) -> Result<Option<usize>, LogError> {
        let mut known = 0;
        loop {
            // Fits: no more than the limit.
            let wanted = (self.end - at.min(self.end)).min((known + CHUNK_BYTES) as u64) as usize;
            let wanted = wanted.min(LINE_BYTES_MAX);
            if wanted <= known || !self.holds(at, wanted)? {
                return Ok(None);
            }
            let found = self.slice(at + known as u64, wanted - known);
            if let Some(found) = found.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(known + found + 1));
            }
            known = wanted;
        }
    }

    /// Whether a whole line of a group after `group` begins at `from` or after it.
    fn line_of_later_group(&mut self, from: u64, group: u64) -> Result<bool, LogError> {
        let mut at = from;
        while at < self.end {
            self.release(at);
            let Some(bytes) = self.bytes_to_line_end(at)? else {
                // A stretch without a line's end is skipped in steps that overlap by what a short line takes.
                at += (LINE_BYTES_MAX / 2) as u64;
                continue;
            };
            if ends_with_later_line(self.slice(at, bytes), group) {
                return Ok(true);
            }
            at += bytes as u64;
        }
        Ok(false)
    }

    /// Makes `count` bytes from `at` on present; `false` if the medium ends before.
    fn holds(&mut self, at: u64, count: usize) -> Result<bool, LogError> {
        let wanted_until = at + count as u64;
        if wanted_until > self.end {
            return Ok(false);
        }
        if at >= self.start && wanted_until <= self.start + self.bytes.len() as u64 {
            return Ok(true);
        }
        self.make_room();
        let read_from = self.start + self.bytes.len() as u64;
        let missing = (wanted_until - read_from).max(CHUNK_BYTES as u64).min(self.end - read_from);
        let filled = self.bytes.len();
        // Fits: at most one payload or one chunk.
        self.bytes.resize(filled + missing as usize, 0);
        let count = read_full(self.file, read_from, &mut self.bytes[filled..])
            .map_err(|source| LogError::Read { at: read_from, source: Arc::new(source) })?;
        self.bytes.truncate(filled + count);
        Ok(wanted_until <= self.start + self.bytes.len() as u64)
    }

    fn make_room(&mut self) {
        let held_until = self.start + self.bytes.len() as u64;
        if (self.start..=held_until).contains(&self.released) {
            // Fits: an index into the buffer.
            self.bytes.drain(..(self.released - self.start) as usize);
        } else {
            self.bytes.clear();
        }
        self.start = self.released;
    }

    /// Bytes that `holds` has said to be present.
    pub(super) fn slice(&self, at: u64, count: usize) -> &[u8] {
        let from = (at - self.start) as usize;
        &self.bytes[from..from + count]
    }
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
