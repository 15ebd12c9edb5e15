//! Naming the record at which a chain breaks, and what was done to it.
//!
//! A scan says only that the log cannot be believed from some place on. Here the lines around that place are read again
//! without believing anything, and compared in the ways in which one can follow another. Where an edited record and a removed
//! one look the same (somebody computed what could be computed), the message says both. Nothing after the break is judged.

use super::describe::describe_bytes;
use super::finding::{Finding, Kind};
use crate::journal::error::LogError;
use crate::journal::line::{Line, Place};
use crate::journal::log_file::LogFile;
use crate::journal::scan::{Head, bytes_of_line};

/// Records after a break that are looked at to find where the one at the break belongs.
const LOOK_AHEAD_MAX: usize = 1_000;

/// What lies at a place of the log.
enum Read {
    /// A line whose checksum fits.
    Whole(Line, Vec<u8>),
    /// Something else, up to the end of a line; its record, if it has the form of a line.
    Broken(Option<Vec<u8>>),
    /// No line ends there.
    Short,
    /// Nothing.
    End,
}

/// A log that is not believed.
pub(super) struct Suspect<'a> {
    pub file: &'a dyn LogFile,
    /// The names of the job's steps, for the description of records.
    pub steps: &'a [String],
}

impl Suspect<'_> {
    /// What breaks the log after `sound`, the end of its last good group.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub(super) fn diagnose(&self, sound: Head) -> Result<Finding, LogError> {
        let mut before = sound;
        loop {
            let (kind, text) = match self.read(before.offset)? {
                Read::Whole(line, bytes) if belongs(&before, &line, &bytes) => {
                    let next = before.after_line(line.hash, line.bytes);
                    before = match line.place {
                        Place::Within => next,
                        Place::Last => next.after_group(),
                    };
                    continue;
                }
                Read::Whole(line, bytes) => {
                    let name = describe_bytes(&line.record(&bytes), self.steps);
                    let (kind, what) = self.misfit(&before, &line, &bytes)?;
                    (kind, format!("{name}: {what}"))
                }
                Read::Broken(None) => {
                    (Kind::Damaged, "no record begins here: bytes were destroyed, cut out or put in".into())
                }
                Read::Broken(Some(record)) => {
                    let name = describe_bytes(&record, self.steps);
                    let what = "its checksum does not fit, its bytes were changed";
                    (Kind::Damaged, format!("it now reads as {name}: {what}"))
                }
                Read::Short => (Kind::Cut, "the log ends within this record".into()),
                Read::End => (Kind::Cut, "the log ends here, in the middle of a group of records".into()),
            };
            return Ok(Finding::at(&before, kind, text));
        }
    }

    /// Why a line whose checksum fits does not belong where it is.
    fn misfit(&self, before: &Head, line: &Line, bytes: &[u8]) -> Result<(Kind, String), LogError> {
        let (group, due) = (line.group, before.group + 1);
        if line.follows(&before.hash, bytes) {
            let what = format!("it says that it belongs to group {group}, but group {due} is due");
            return Ok((Kind::Edited, what));
        }
        if line.hash == before.hash {
            let what = format!("it is record {} once more", before.records);
            return Ok((Kind::Repeated, what));
        }
        let next = before.offset + line.bytes as u64;
        if let Some(owner) = self.predecessor(line, bytes, next)? {
            let what = format!("it stands before the record at byte {owner}, which it follows");
            return Ok((Kind::Reordered, what));
        }
        if let Read::Whole(second, rest) = self.read(next)?
            && second.follows(&before.hash, &rest)
        {
            let what = "it was put in: the record after it follows the one before it";
            return Ok((Kind::Inserted, what.into()));
        }
        Ok(if group < due {
            let what = format!("it belongs to group {group}, which stands before it already");
            (Kind::Repeated, what)
        } else if group > due {
            let what = format!("it belongs to group {group}, but group {due} is due: records before it were removed");
            (Kind::Removed, what)
        } else if before.records == 0 {
            let what = "it does not follow from the name of the run: it was edited, records before it were removed, or the \
                        log is another run's";
            (Kind::Edited, what.into())
        } else {
            let what = format!(
                "it does not follow record {}: one of the two was edited and its checksum computed again, or records between \
                 them were removed",
                before.records
            );
            (Kind::Edited, what)
        })
    }

    /// Where the record lies that this one follows, if it stands after it.
    fn predecessor(&self, line: &Line, bytes: &[u8], mut at: u64) -> Result<Option<u64>, LogError> {
        for _ in 0..LOOK_AHEAD_MAX {
            let Read::Whole(other, _) = self.read(at)? else {
                return Ok(None);
            };
            if line.follows(&other.hash, bytes) {
                return Ok(Some(at));
            }
            at += other.bytes as u64;
        }
        Ok(None)
    }

    fn read(&self, at: u64) -> Result<Read, LogError> {
        let bytes = bytes_of_line(self.file, at)?;
        Ok(match Line::parse(&bytes) {
            Some(line) if line.is_whole(&bytes) => Read::Whole(line, bytes),
            Some(line) => Read::Broken(Some(line.record(&bytes))),
            None if bytes.is_empty() => Read::End,
            None if bytes.ends_with(b"\n") => Read::Broken(None),
            None => Read::Short,
        })
    }
}

fn belongs(before: &Head, line: &Line, bytes: &[u8]) -> bool {
    line.follows(&before.hash, bytes) && line.group == before.group + 1
}
