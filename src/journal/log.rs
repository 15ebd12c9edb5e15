//! The log: groups of records, appended one after the other, each durable before the next.
//!
//! One append and one barrier a group. The first error of the file is final, for this log and for this process: after a
//! failed `fdatasync` the kernel may have dropped the pages it could not write and will report success the next time, so a
//! second try would promise what nobody knows. What is on the disk is found out by opening the log again.
//!
//! There is one exception, and it comes before any barrier: an append that finds no room. Nothing of it was promised to
//! anybody; so what was written of it is cut off, the file gives up its reserve, and the group is appended once more. From
//! then on the log says that room is short, and those above use what was gained to bring everybody to safety.
//!
//! It deliberately knows neither threads nor waiting (`writer`), nor what a record means.

use super::error::LogError;
use super::line::{Place, write_line};
use super::log_file::{LogFile, read_full};
use super::reserve::{Reserve, Shortage, is_want_of_room};
use super::run::RunId;
use super::scan::{GROUP_BYTES_MAX, Group, Head, Scan, bytes_of_line, whole_line};
use std::io;
use std::sync::Arc;

/// Bytes of the write buffer that are kept between groups (4 MiB), so that one long group does not hold memory for good.
const BUFFER_KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes that are written once more at a time.
const REWRITE_BYTES: usize = 256 << 10;

/// What fails when a log is opened to be written.
const UP_TO_THE_END: &str = "made durable up to its last whole group";

/// A log that can be appended to.
pub struct Log {
    file: Box<dyn LogFile>,
    head: Head,
    failed: Option<LogError>,
    shortage: Shortage,
    reserve: Option<Reserve>,
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a log in an empty file.
    #[must_use]
    pub fn create(file: Box<dyn LogFile>, run: RunId) -> Log {
        Log::at(file, Head::genesis(run))
    }

    /// Opens a log: checks it from a known place to its end, shows every whole group to `visit`, cuts a torn end off
    /// and returns how long that was.
    /// A last group that is whole counts as committed, whether or not its barrier was answered; it is made durable here,
    /// before anybody is shown it.
    ///
    /// # Errors
    /// Those of [`inspect_durable`].
    pub fn open<E: From<LogError>>(
        mut file: Box<dyn LogFile>,
        from: Head,
        visit: impl FnMut(&Group<'_>) -> Result<(), E>,
    ) -> Result<(Log, u64), E> {
        let (head, torn_bytes) = inspect_durable(&mut *file, from, visit)?;
        if torn_bytes > 0 {
            let cut = file.truncate(head.offset).and_then(|()| file.sync());
            cut.map_err(|source| write_error(head, UP_TO_THE_END, source))?;
        }
        Ok((Log::at(file, head), torn_bytes))
    }

    fn at(file: Box<dyn LogFile>, head: Head) -> Log {
        Log { file, head, failed: None, shortage: Shortage::default(), reserve: None, buffer: Vec::new() }
    }

    /// Has it give this up when the disk is full.
    #[must_use]
    pub fn with_reserve(self, reserve: Option<Reserve>) -> Log {
        Log { reserve, ..self }
    }

    /// Signals low disk space.
    #[must_use]
    pub fn shortage(&self) -> &Shortage {
        &self.shortage
    }

    /// The end of the last group known to be durable.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Appends records, each a JSON object, as one group, whole or not at all, and returns where each begins once they are
    /// durable.
    ///
    /// # Errors
    /// [`LogError::RecordTooLong`], after which the log goes on; [`LogError::Write`], which
    /// every later call returns too. Whether the group of a failed write is there is known only after opening the log anew.
    pub fn append_group<B: AsRef<[u8]>>(&mut self, records: &[B]) -> Result<Vec<u64>, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.buffer.clear();
        let mut cursor = self.head;
        let mut positions = Vec::with_capacity(records.len());
        for (left, record) in (0..records.len()).rev().zip(records) {
            let place = if left == 0 { Place::Last } else { Place::Within };
            let start = self.buffer.len();
            let group = cursor.group + 1;
            let hash = write_line(&mut self.buffer, &cursor.hash, group, place, record.as_ref())?;
            positions.push(cursor.offset);
            cursor = cursor.after_line(hash, self.buffer.len() - start);
        }
        if records.is_empty() {
            return Ok(positions);
        }
        self.write().inspect_err(|error| self.failed = Some(error.clone()))?;
        self.head = cursor.after_group();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
        Ok(positions)
    }

    fn write(&mut self) -> Result<(), LogError> {
        if let Err(refused) = self.file.append(&self.buffer) {
            self.append_on_reserve(refused).map_err(|source| write_error(self.head, "written", source))?;
        }
        self.file.sync().map_err(|source| write_error(self.head, "made durable", source))
    }

    /// Appends once more after the file had no room, if it has something to give up.
    fn append_on_reserve(&mut self, refused: io::Error) -> io::Result<()> {
        if !is_want_of_room(&refused) {
            return Err(refused);
        }
        self.shortage.note(&refused);
        self.file.truncate(self.head.offset)?;
        match self.reserve.take() {
            Some(reserve) => reserve.give_up()?,
            None if self.file.give_up_reserve()? => {}
            None => return Err(refused),
        }
        self.file.append(&self.buffer)
    }
}

fn write_error(durable: Head, operation: &'static str, source: io::Error) -> LogError {
    let Head { records: durable_records, offset: durable_bytes, .. } = durable;
    LogError::Write { operation, durable_records, durable_bytes, source: Arc::new(source) }
}

/// Checks a log from a known place to its end without changing it, and shows every whole group to `visit`. Returns
/// its end, and how many bytes after it are no whole group. May run beside the process that appends; a group that is just being
/// written looks like a torn end then.
///
/// # Errors
/// [`LogError::Read`], [`LogError::Damaged`], [`LogError::Shortened`], [`LogError::Elsewhere`], and those of `visit`, which
/// end the walk.
pub fn inspect<E: From<LogError>>(
    file: &dyn LogFile,
    from: Head,
    mut visit: impl FnMut(&Group<'_>) -> Result<(), E>,
) -> Result<(Head, u64), E> {
    let mut scan = Scan::new(file, from)?;
    while let Some(group) = scan.next_group()? {
        visit(&group)?;
    }
    Ok((scan.head(), scan.torn_bytes()))
}

/// The same, but what is shown to `visit` is durable before it is shown: a process that was killed may have written a group
/// and not synced it, and who remembers such a group elsewhere would know more than the log after a power cut.
///
/// The end of the log is written once more where it stands. A process whose sync failed leaves pages that the system takes for
/// clean, and a sync alone would make nothing of them durable (PostgreSQL's "fsyncgate", 2018). Only the last group can be
/// such a one, since none is written behind a failed sync.
///
/// # Errors
/// Those of [`inspect`], and [`LogError::Write`].
pub fn inspect_durable<E: From<LogError>>(
    file: &mut dyn LogFile,
    from: Head,
    visit: impl FnMut(&Group<'_>) -> Result<(), E>,
) -> Result<(Head, u64), E> {
    make_end_durable(file, from.offset).map_err(|source| write_error(from, UP_TO_THE_END, source))?;
    inspect(&*file, from, visit)
}

/// Makes everything behind `from` durable, where no more than one group can be lost to a failed sync.
fn make_end_durable(file: &mut dyn LogFile, from: u64) -> io::Result<()> {
    let end = file.len()?;
    let start = from.max(end.saturating_sub(GROUP_BYTES_MAX as u64));
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = start;
    while at < end {
        let count = read_full(&*file, at, &mut buffer)?;
        if count == 0 {
            break;
        }
        file.rewrite(at, &buffer[..count])?;
        at += count as u64;
    }
    file.sync()
}

/// Reads the record of one line, as JSON; its checksum is checked, its place in the chain is not. `None` if no whole line begins
/// there.
///
/// # Errors
/// [`LogError::Read`].
pub fn read_record(file: &dyn LogFile, at: u64) -> Result<Option<Vec<u8>>, LogError> {
    let bytes = bytes_of_line(file, at)?;
    Ok(whole_line(&bytes).map(|line| line.record(&bytes)))
}

#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;
