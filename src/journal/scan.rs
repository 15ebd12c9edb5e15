//! Reading a log from a known place to its end, and telling a torn tail from a damaged log.
//!
//! A group is written only after the one before it was made durable. So a bad frame may be the trace of a power cut only if
//! nothing of a *later* group stands behind it: then the group it belongs to was never committed, and is dropped whole.
//! Where a later group is found, the bad frame was durable once, and something else destroyed it. No mark in the file could
//! say this as surely, since a mark can be torn too. What this cannot see: damage to the very last group, committed or not,
//! looks like a torn tail.
//!
//! A frame that is whole but does not follow is judged in the same way. Where data did not arrive, a disk may show what lay
//! there before: frames of an earlier torn tail, with good checksums, between those of the group that was being written.
//!
//! Memory holds one group and one chunk, whatever the length of the log. Nothing here writes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Fault, LogError};
use super::frame::{ChainHash, HEADER_BYTES, Header, Place};
use super::medium::{Medium, read_full};

/// Bytes read at once: enough that system calls do not count.
const CHUNK_BYTES: usize = 256 << 10;

/// The longest group in bytes, headers included (64 MiB): a reader holds one group in memory.
pub const GROUP_BYTES_MAX: usize = 64 << 20;

/// Where one record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Where its frame begins, in bytes.
    pub offset: u64,
    /// Bytes of its payload.
    pub payload_bytes: u32,
}

/// The end of a whole group: what a reader must know to go on from there, and a writer to go on behind it.
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
    /// Where the last frame begins, by which a position that belongs to another log is recognised.
    pub last_frame: u64,
}

impl Head {
    /// The place before the first record.
    #[must_use]
    pub fn genesis(hash: ChainHash) -> Head {
        Head {
            offset: 0,
            hash,
            group: 0,
            records: 0,
            last_frame: 0,
        }
    }

    /// The place after one more frame of the group that follows this one; the group counts only with its last frame.
    pub(super) fn after_frame(self, hash: ChainHash, payload_bytes: usize) -> Head {
        Head {
            offset: self.offset + (HEADER_BYTES + payload_bytes) as u64,
            hash,
            group: self.group,
            records: self.records + 1,
            last_frame: self.offset,
        }
    }

    pub(super) fn after_group(self) -> Head {
        Head {
            group: self.group + 1,
            ..self
        }
    }
}

/// A whole group, as it lies in the log.
#[derive(Debug)]
pub struct Group<'a> {
    before: Head,
    head: Head,
    frames: &'a [(Position, Header)],
    start: u64,
    bytes: &'a [u8],
}

impl<'a> Group<'a> {
    /// The place behind this group.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The place before this group.
    #[must_use]
    pub fn before(&self) -> Head {
        self.before
    }

    /// The group's records, in order.
    pub fn records(&self) -> impl Iterator<Item = (Position, &'a [u8])> {
        self.frames()
            .map(|(position, _, payload)| (position, payload))
    }

    /// The same with what stands before each.
    pub fn frames(&self) -> impl Iterator<Item = (Position, Header, &'a [u8])> {
        let (start, bytes) = (self.start, self.bytes);
        self.frames.iter().map(move |(position, header)| {
            // Fits: the difference of two places in one buffer.
            let payload = (position.offset - start) as usize + HEADER_BYTES;
            let payload = &bytes[payload..payload + header.payload_bytes];
            (*position, *header, payload)
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
    frames: Vec<(Position, Header)>,
}

impl<'m> Scan<'m> {
    /// Starts at a known place. What is appended after this call is not seen.
    ///
    /// # Errors
    /// [`LogError::Read`]; [`LogError::Shortened`] and [`LogError::Elsewhere`] if the place is not in this log.
    pub fn new(medium: &'m dyn Medium, from: Head) -> Result<Scan<'m>, LogError> {
        let end = medium.len().map_err(|source| LogError::Read {
            at: 0,
            source: Arc::new(source),
        })?;
        let window = Window {
            medium,
            end,
            start: 0,
            bytes: Vec::new(),
            released: 0,
        };
        let mut scan = Scan {
            window,
            head: from,
            frames: Vec::new(),
        };
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
        self.frames.clear();
        let mut cursor = self.head;
        loop {
            let Some(header) = self.window.frame_at(cursor.offset)? else {
                return self
                    .torn_or_damaged(&cursor, Fault::Checksum)
                    .map(Step::End);
            };
            let payload = self
                .window
                .slice(cursor.offset + HEADER_BYTES as u64, header.payload_bytes);
            if let Err(fault) = check_order(&cursor, &header, payload) {
                return self.torn_or_damaged(&cursor, fault).map(Step::End);
            }
            let position = Position {
                offset: cursor.offset,
                payload_bytes: header.payload_bytes as u32,
            };
            self.frames.push((position, header));
            cursor = cursor.after_frame(header.hash, header.payload_bytes);
            if header.place == Place::Last {
                break;
            }
        }
        self.head = cursor.after_group();
        // Fits: the window holds these bytes in memory.
        let bytes = self
            .window
            .slice(start, (self.head.offset - start) as usize);
        Ok(Step::Group(Group {
            before,
            head: self.head,
            frames: &self.frames,
            start,
            bytes,
        }))
    }

    fn check_start(&mut self) -> Result<(), LogError> {
        let from = self.head;
        if from.offset > self.window.end {
            return Err(LogError::Shortened {
                known: from.offset,
                log_bytes: self.window.end,
            });
        }
        if from.group == 0 {
            return Ok(());
        }
        if from.last_frame >= from.offset {
            return Err(LogError::Elsewhere { known: from.offset });
        }
        self.window.release(from.last_frame);
        let fits = self
            .window
            .frame_at(from.last_frame)?
            .is_some_and(|header| {
                (header.group, header.place, header.hash) == (from.group, Place::Last, from.hash)
                    && from.last_frame + header.frame_bytes() as u64 == from.offset
            });
        if fits {
            Ok(())
        } else {
            Err(LogError::Elsewhere { known: from.offset })
        }
    }

    fn torn_or_damaged(&mut self, bad: &Head, fault: Fault) -> Result<End, LogError> {
        let torn_group = self.head.group + 1;
        if self.window.frame_of_later_group(bad.offset, torn_group)? {
            return Err(LogError::Damaged {
                at: bad.offset,
                record: bad.records + 1,
                fault,
            });
        }
        Ok(End::Torn {
            at: self.head.offset,
            bytes: self.window.end - self.head.offset,
        })
    }
}

/// Whether a frame whose checksum fits is the one that must come next.
fn check_order(before: &Head, header: &Header, payload: &[u8]) -> Result<(), Fault> {
    if header.hash != before.hash.followed_by(payload) {
        return Err(Fault::Chain);
    }
    if header.group != before.group + 1 {
        return Err(Fault::Order);
    }
    Ok(())
}

/// The bytes of a medium around the place that is being read.
struct Window<'m> {
    medium: &'m dyn Medium,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
    // Bytes before this offset are not needed any more; they go when room is needed.
    released: u64,
}

impl Window<'_> {
    fn release(&mut self, until: u64) {
        self.released = until;
    }

    /// A frame whose checksum fits.
    fn frame_at(&mut self, at: u64) -> Result<Option<Header>, LogError> {
        if !self.holds(at, HEADER_BYTES)? {
            return Ok(None);
        }
        let Some(header) = Header::parse(self.slice(at, HEADER_BYTES)) else {
            return Ok(None);
        };
        if !self.holds(at, header.frame_bytes())? {
            return Ok(None);
        }
        let payload = self.slice(at + HEADER_BYTES as u64, header.payload_bytes);
        Ok(header.vouches_for(payload).then_some(header))
    }

    /// Whether a whole frame of a group after `group` begins at `from` or behind it.
    fn frame_of_later_group(&mut self, from: u64, group: u64) -> Result<bool, LogError> {
        let mut at = from;
        while self.holds_from(at)? {
            let room = self.end - at;
            let later = Header::parse(self.slice(at, HEADER_BYTES)).is_some_and(|header| {
                // So many groups cannot stand here: saves the checksum of bytes that look like a header by chance.
                let group_max = group + room / HEADER_BYTES as u64;
                header.group > group && header.group <= group_max
            });
            if later && self.frame_at(at)?.is_some() {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    fn holds_from(&mut self, at: u64) -> Result<bool, LogError> {
        self.release(at);
        self.holds(at, HEADER_BYTES)
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
        let missing = (wanted_until - read_from)
            .max(CHUNK_BYTES as u64)
            .min(self.end - read_from);
        let filled = self.bytes.len();
        // Fits: at most one payload or one chunk.
        self.bytes.resize(filled + missing as usize, 0);
        let count =
            read_full(self.medium, read_from, &mut self.bytes[filled..]).map_err(|source| {
                LogError::Read {
                    at: read_from,
                    source: Arc::new(source),
                }
            })?;
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
    fn slice(&self, at: u64, count: usize) -> &[u8] {
        let from = (at - self.start) as usize;
        &self.bytes[from..from + count]
    }
}
