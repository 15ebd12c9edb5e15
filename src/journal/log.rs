//! The log: groups of records, appended one behind the other, each durable before the next.
//!
//! One append and one barrier a group. The first error of the medium is final, for this log and for this process: after a
//! failed `fdatasync` the kernel may have dropped the pages it could not write and will report success the next time, so a
//! second try would promise what nobody knows. What is on the disk is found out by opening the log again.
//!
//! There is one exception, and it comes before any barrier: an append that finds no room. Nothing of it was promised to
//! anybody; so what was written of it is cut off, the medium gives up its reserve, and the group is appended once more. From
//! then on the log says that room is short, and those above use what was gained to bring everybody to safety.
//!
//! It deliberately knows neither threads nor waiting (`committer`), nor what a record means.

use std::io;
use std::sync::Arc;

use super::error::{LogError, Operation};
use super::frame::{
    ChainHash, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, Place, encode, frame_bytes,
};
use super::medium::{Medium, read_full};
use super::reserve::{Shortage, is_want_of_room};
use super::scan::{End, GROUP_BYTES_MAX, Group, Head, Position, Scan, Step};

/// Bytes of the write buffer that are kept between groups (4 MiB), so that one long group does not hold memory for good.
const BUFFER_KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes that are written once more at a time.
const REWRITE_BYTES: usize = 256 << 10;

/// What was found between a known place and the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Whole groups.
    pub groups: u64,
    /// Their records.
    pub records: u64,
    /// How the log ended. [`Log::open`] has cut a torn end off.
    pub end: End,
}

/// A log that can be appended to.
pub struct Log {
    medium: Box<dyn Medium>,
    head: Head,
    failed: Option<LogError>,
    shortage: Shortage,
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a log on an empty medium.
    ///
    /// # Errors
    /// [`LogError::NotEmpty`], [`LogError::Read`].
    pub fn create(medium: impl Medium + 'static, genesis: ChainHash) -> Result<Log, LogError> {
        let bytes = medium.len().map_err(|source| LogError::Read {
            at: 0,
            source: Arc::new(source),
        })?;
        if bytes > 0 {
            return Err(LogError::NotEmpty { bytes });
        }
        Ok(Log::at(medium, Head::genesis(genesis)))
    }

    /// Opens a log: checks it from a known place to its end, shows every whole group to `visit`, cuts a torn end off.
    /// A last group that is whole counts as committed, whether or not its barrier was answered; it is made durable here,
    /// before anybody is shown it.
    ///
    /// # Errors
    /// Those of [`inspect_durable`].
    pub fn open<E: From<LogError>>(
        mut medium: impl Medium + 'static,
        from: Head,
        visit: impl FnMut(&Group<'_>) -> Result<(), E>,
    ) -> Result<(Log, Tail), E> {
        let (head, tail) = inspect_durable(&mut medium, from, visit)?;
        if let End::Torn { at, bytes: _ } = tail.end {
            medium
                .truncate(at)
                .and_then(|()| medium.sync())
                .map_err(|source| cut_error(at, source))?;
        }
        Ok((Log::at(medium, head), tail))
    }

    fn at(medium: impl Medium + 'static, head: Head) -> Log {
        Log {
            medium: Box::new(medium),
            head,
            failed: None,
            shortage: Shortage::default(),
            buffer: Vec::new(),
        }
    }

    /// Where it can be heard that room has become short.
    #[must_use]
    pub fn shortage(&self) -> &Shortage {
        &self.shortage
    }

    /// The end of the last group known to be durable.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Appends records as one group, whole or not at all, and answers where they lie once they are durable.
    ///
    /// # Errors
    /// [`LogError::RecordTooLong`] and [`LogError::GroupTooLong`], after which the log goes on; [`LogError::Write`], which
    /// every later call answers too. Whether the group of a failed write is there is known only after opening the log anew.
    pub fn append_group<B: AsRef<[u8]>>(
        &mut self,
        records: &[B],
    ) -> Result<Vec<Position>, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some((last, others)) = records.split_last() else {
            return Ok(Vec::new());
        };
        self.buffer.clear();
        self.buffer.reserve(group_bytes(records)?);
        let mut cursor = self.head;
        let mut positions = Vec::with_capacity(records.len());
        for record in others {
            cursor = self.add(cursor, Place::Within, record.as_ref(), &mut positions)?;
        }
        cursor = self.add(cursor, Place::Last, last.as_ref(), &mut positions)?;
        self.write()
            .inspect_err(|error| self.failed = Some(error.clone()))?;
        self.head = cursor.after_group();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
        Ok(positions)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// Those of [`read_record`].
    pub fn read(&self, position: Position) -> Result<Vec<u8>, LogError> {
        read_record(&*self.medium, position)
    }

    fn add(
        &mut self,
        cursor: Head,
        place: Place,
        payload: &[u8],
        positions: &mut Vec<Position>,
    ) -> Result<Head, LogError> {
        let hash = encode(
            &mut self.buffer,
            &cursor.hash,
            cursor.group + 1,
            place,
            payload,
        )?;
        // Fits: `encode` refuses what is longer than 16 MiB.
        positions.push(Position {
            offset: cursor.offset,
            payload_bytes: payload.len() as u32,
        });
        Ok(cursor.after_frame(hash, payload.len()))
    }

    fn write(&mut self) -> Result<(), LogError> {
        if let Err(refused) = self.medium.append(&self.buffer) {
            self.append_on_reserve(refused)
                .map_err(|source| self.write_error(Operation::Append, source))?;
        }
        self.medium
            .sync()
            .map_err(|source| self.write_error(Operation::Sync, source))
    }

    /// Appends once more after the medium had no room, if it has something to give up.
    fn append_on_reserve(&mut self, refused: io::Error) -> io::Result<()> {
        if !is_want_of_room(&refused) {
            return Err(refused);
        }
        self.shortage.note(&refused);
        self.medium.truncate(self.head.offset)?;
        if !self.medium.give_up_reserve()? {
            return Err(refused);
        }
        self.medium.append(&self.buffer)
    }

    fn write_error(&self, operation: Operation, source: io::Error) -> LogError {
        LogError::Write {
            operation,
            durable_records: self.head.records,
            durable_bytes: self.head.offset,
            source: Arc::new(source),
        }
    }
}

/// Bytes that records will need as one group, if they can be stored as one.
///
/// # Errors
/// [`LogError::RecordTooLong`], [`LogError::GroupTooLong`].
pub fn group_bytes<B: AsRef<[u8]>>(records: &[B]) -> Result<usize, LogError> {
    let mut bytes = 0;
    for record in records {
        bytes += frame_bytes(record.as_ref())?;
    }
    if bytes > GROUP_BYTES_MAX {
        return Err(LogError::GroupTooLong {
            bytes,
            bytes_max: GROUP_BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// Checks a log from a known place to its end without changing it, and shows every whole group to `visit`. May run beside
/// the process that appends; a group that is just being written looks like a torn end then.
///
/// # Errors
/// [`LogError::Read`], [`LogError::Damaged`], [`LogError::Shortened`], [`LogError::Elsewhere`], and those of `visit`, which
/// end the walk.
pub fn inspect<E: From<LogError>>(
    medium: &dyn Medium,
    from: Head,
    mut visit: impl FnMut(&Group<'_>) -> Result<(), E>,
) -> Result<(Head, Tail), E> {
    let mut scan = Scan::new(medium, from)?;
    let end = loop {
        match scan.step()? {
            Step::Group(group) => visit(&group)?,
            Step::End(end) => break end,
        }
    };
    let head = scan.head();
    let tail = Tail {
        groups: head.group - from.group,
        records: head.records - from.records,
        end,
    };
    Ok((head, tail))
}

/// The same, but what is shown to `visit` is durable before it is shown: a process that was killed may have written a group
/// and not synced it, and who remembers such a group elsewhere would know more than the log after a power cut.
///
/// The end of the log is written once more where it stands. A process whose sync failed leaves pages that the system takes for
/// clean, and a sync alone would make nothing of them durable (PostgreSQL's "fsyncgate", 2018). Only the last group can be
/// such a one, since none is written behind a failed sync.
///
/// # Errors
/// Those of [`inspect`], and [`LogError::Cut`].
pub fn inspect_durable<E: From<LogError>>(
    medium: &mut dyn Medium,
    from: Head,
    visit: impl FnMut(&Group<'_>) -> Result<(), E>,
) -> Result<(Head, Tail), E> {
    make_end_durable(medium, from.offset).map_err(|source| cut_error(from.offset, source))?;
    inspect(&*medium, from, visit)
}

/// Makes everything behind `from` durable, where no more than one group can be lost to a failed sync.
fn make_end_durable(medium: &mut dyn Medium, from: u64) -> std::io::Result<()> {
    let end = medium.len()?;
    let start = from.max(end.saturating_sub(GROUP_BYTES_MAX as u64));
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = start;
    while at < end {
        let count = read_full(&*medium, at, &mut buffer)?;
        if count == 0 {
            break;
        }
        medium.rewrite(at, &buffer[..count])?;
        at += count as u64;
    }
    medium.sync()
}

fn cut_error(at: u64, source: std::io::Error) -> LogError {
    LogError::Cut {
        at,
        source: Arc::new(source),
    }
}

/// Reads one record; its checksum is checked, its place in the chain is not.
///
/// # Errors
/// [`LogError::Read`]; [`LogError::NoRecord`] if no whole record of that length begins there.
pub fn read_record(medium: &dyn Medium, position: Position) -> Result<Vec<u8>, LogError> {
    let Position {
        offset: at,
        payload_bytes,
    } = position;
    let no_record = LogError::NoRecord { at, payload_bytes };
    let length = payload_bytes as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(no_record);
    }
    let mut bytes = vec![0; HEADER_BYTES + length];
    let count = read_full(medium, at, &mut bytes).map_err(|source| LogError::Read {
        at,
        source: Arc::new(source),
    })?;
    let header = Header::parse(&bytes[..count]);
    if count < bytes.len()
        || !header.is_some_and(|header| header.vouches_for(&bytes[HEADER_BYTES..]))
    {
        return Err(no_record);
    }
    bytes.drain(..HEADER_BYTES);
    Ok(bytes)
}

#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;
