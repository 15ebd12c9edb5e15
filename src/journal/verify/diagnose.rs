//! Naming the record at which a chain breaks, and what was done to it.
//!
//! A scan says only that the log cannot be believed from some place on. Here the records around that place are read again
//! without believing anything, and compared in the ways in which one can follow another. Where an edited record and a removed
//! one look the same (somebody mended what could be mended), the message says both. Nothing behind the break is judged.

use super::describe::describe_bytes;
use super::finding::{Finding, Kind};
use crate::journal::error::LogError;
use crate::journal::frame::{HEADER_BYTES, Header, Place};
use crate::journal::medium::{Medium, read_full};
use crate::journal::scan::Head;
use std::sync::Arc;

/// Records behind a break that are looked at to find where the one at the break belongs.
const LOOK_AHEAD_MAX: usize = 1_000;

/// What lies at a place of the log.
enum Found {
    /// A frame whose checksum fits.
    Whole(Header, Vec<u8>),
    /// Something that is none; its payload, if a length could be read.
    Broken(Option<(Header, Vec<u8>)>),
    /// Fewer bytes than a frame has.
    Short,
    /// Nothing.
    End,
}

/// A log that is not believed.
pub(super) struct Suspect<'a> {
    pub medium: &'a dyn Medium,
    /// The names of the job's steps, for the description of records.
    pub steps: &'a [String],
}

impl Suspect<'_> {
    /// What breaks the log behind `sound`, the end of its last good group.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub(super) fn diagnose(&self, sound: Head) -> Result<Finding, LogError> {
        let mut before = sound;
        loop {
            match self.read(before.offset)? {
                Found::Whole(header, payload) if follows(&before, &header, &payload) => {
                    before = after(before, &header);
                }
                Found::Whole(header, payload) => {
                    return self.misfit(&before, &header, &payload);
                }
                Found::Broken(rest) => return Ok(self.broken(&before, rest)),
                Found::Short => {
                    let text = "the log ends within the record that begins here, or its length was changed";
                    return Ok(Finding::at(&before, Kind::Cut, text));
                }
                Found::End => {
                    let text = "the log ends here, in the middle of a group of records";
                    return Ok(Finding::at(&before, Kind::Cut, text));
                }
            }
        }
    }

    fn broken(&self, before: &Head, rest: Option<(Header, Vec<u8>)>) -> Finding {
        let Some((header, payload)) = rest else {
            let text = "no record begins here: bytes were destroyed, cut out or put in";
            return Finding::at(before, Kind::Damaged, text);
        };
        let name = describe_bytes(&payload, self.steps);
        let text = if header.hash == before.hash.followed_by(&payload) {
            format!("{name}: the bytes before its content were changed; its content is as it was")
        } else {
            format!("it now reads as {name}: its checksum does not fit, its bytes were changed")
        };
        Finding::at(before, Kind::Damaged, text)
    }

    /// A frame whose checksum fits, at a place where it does not belong.
    fn misfit(&self, before: &Head, header: &Header, payload: &[u8]) -> Result<Finding, LogError> {
        let name = describe_bytes(payload, self.steps);
        let say = |kind, what: String| Ok(Finding::at(before, kind, format!("{name}: {what}")));
        if header.hash == before.hash.followed_by(payload) {
            let (is, due) = (header.group, before.group + 1);
            let what = format!("it says that it belongs to group {is}, but group {due} is due");
            return say(Kind::Edited, what);
        }
        if header.hash == before.hash {
            let what = format!("it is record {} once more", before.records);
            return say(Kind::Repeated, what);
        }
        let next = before.offset + header.frame_bytes() as u64;
        if let Some(owner) = self.predecessor(header, payload, next)? {
            let what = format!("it stands before the record at byte {owner}, which it follows");
            return say(Kind::Reordered, what);
        }
        if let Found::Whole(second, rest) = self.read(next)?
            && second.hash == before.hash.followed_by(&rest)
        {
            let what = "it was put in: the record behind it follows the one before it";
            return say(Kind::Inserted, what.into());
        }
        let due = before.group + 1;
        if header.group < due {
            let what = format!(
                "it belongs to group {}, which stands before it already",
                header.group
            );
            return say(Kind::Repeated, what);
        }
        if header.group > due {
            let what = format!(
                "it belongs to group {}, but group {due} is due: records before it were removed",
                header.group
            );
            return say(Kind::Removed, what);
        }
        let what = match before.records {
            0 => "it does not follow from the name of the run: it was edited, records before it were removed, or the log \
                  is another run's"
                .into(),
            last => format!(
                "it does not follow record {last}: it or that one was edited and its checksum mended, or records between \
                 them were removed"
            ),
        };
        say(Kind::Edited, what)
    }

    /// Where the record lies that this one follows, if it stands behind it.
    fn predecessor(
        &self,
        header: &Header,
        payload: &[u8],
        mut at: u64,
    ) -> Result<Option<u64>, LogError> {
        for _ in 0..LOOK_AHEAD_MAX {
            let Found::Whole(other, _) = self.read(at)? else {
                return Ok(None);
            };
            if header.hash == other.hash.followed_by(payload) {
                return Ok(Some(at));
            }
            at += other.frame_bytes() as u64;
        }
        Ok(None)
    }

    fn read(&self, at: u64) -> Result<Found, LogError> {
        let mut head = [0; HEADER_BYTES];
        let count = self.fill(at, &mut head)?;
        if count == 0 {
            return Ok(Found::End);
        }
        if count < HEADER_BYTES {
            return Ok(Found::Short);
        }
        let Some(header) = Header::parse(&head) else {
            return Ok(Found::Broken(None));
        };
        let mut payload = vec![0; header.payload_bytes];
        let count = self.fill(at + HEADER_BYTES as u64, &mut payload)?;
        if count < payload.len() {
            return Ok(Found::Short);
        }
        Ok(if header.vouches_for(&payload) {
            Found::Whole(header, payload)
        } else {
            Found::Broken(Some((header, payload)))
        })
    }

    fn fill(&self, at: u64, buf: &mut [u8]) -> Result<usize, LogError> {
        read_full(self.medium, at, buf).map_err(|source| LogError::Read {
            at,
            source: Arc::new(source),
        })
    }
}

fn follows(before: &Head, header: &Header, payload: &[u8]) -> bool {
    header.hash == before.hash.followed_by(payload) && header.group == before.group + 1
}

fn after(before: Head, header: &Header) -> Head {
    let next = before.after_frame(header.hash, header.payload_bytes);
    match header.place {
        Place::Within => next,
        Place::Last => next.after_group(),
    }
}
