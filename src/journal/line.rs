//! A line of the log: one JSON object, chained to the line before it.
//!
//! ```text
//! {"moved":{…},"group":7,"last":true,"hash":"<64 digits>","crc":"<8 digits>"}
//! ```
//!
//! - `hash` is SHA-256 over the 64 digits of the previous line's hash and this line's bytes before `,"hash"`. The first line
//!   follows SHA-256 of the run's id. Whoever edits, removes or moves a line breaks the chain there.
//! - `crc` is CRC-32C over the bytes before `,"crc"`. It vouches for a line without knowing any other: a torn line is
//!   recognised, and a single line can be read.
//! - `group` counts barriers. The last line of a group says so; a group counts whole or not at all.
//!
//! `samples/verify_log.py` checks the chain. It is no signature: whoever rewrites the whole log can compute a new chain.

use super::row::{RowNumber, RowRecord, Transition, UnixMillis};
use super::run::{InputRow, RunHeader, RunId, Stop};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

/// The format of the log, told in its first line.
const FORMAT: u32 = 1;

/// The longest line (16 MiB): far over any record, and small enough that damage cannot make a reader ask for gigabytes.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// What stands in every line after its record, at most.
pub const TRAILER_BYTES_MAX: usize = 160;

const HASH_KEY: &[u8] = b",\"hash\":\"";
const CRC_KEY: &[u8] = b"\",\"crc\":\"";
const END: &[u8] = b"\"}\n";
const GROUP_KEY: &[u8] = b",\"group\":";
const LAST: &[u8] = b",\"last\":true";
const HASH_DIGITS: usize = 64;
const CRC_DIGITS: usize = 8;
/// From `,"hash"` to the end of the line.
const TAIL_BYTES: usize = HASH_KEY.len() + HASH_DIGITS + CRC_KEY.len() + CRC_DIGITS + END.len();

/// One link of the hash chain, as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; HASH_DIGITS]);

impl ChainHash {
    /// The link before the first line.
    #[must_use]
    pub fn genesis(run: RunId) -> ChainHash {
        ChainHash::of(Sha256::digest(run.to_string()).into())
    }

    /// The link after this one.
    #[must_use]
    pub fn followed_by(&self, bytes: &[u8]) -> ChainHash {
        let hash = Sha256::new().chain_update(self.0).chain_update(bytes);
        ChainHash::of(hash.finalize().into())
    }

    fn of(hash: [u8; 32]) -> ChainHash {
        let mut digits = [0; HASH_DIGITS];
        write_hex(&mut digits, &hash);
        ChainHash(digits)
    }

    fn parse(digits: &[u8]) -> Option<ChainHash> {
        let digits: [u8; HASH_DIGITS] = digits.try_into().ok()?;
        let is_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_hex).then_some(ChainHash(digits))
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a head is 64 hexadecimal digits, as `cutover journal verify` prints it")]
pub struct NoChainHash;

impl FromStr for ChainHash {
    type Err = NoChainHash;

    fn from_str(text: &str) -> Result<ChainHash, NoChainHash> {
        ChainHash::parse(text.to_ascii_lowercase().as_bytes()).ok_or(NoChainHash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ChainHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first line: what the run was started with.
    Began {
        /// How this log is written.
        format: u32,
        /// The rest of it.
        run: Box<RunHeader>,
    },
    /// Some rows of the input.
    Rows(Vec<InputRow>),
    /// The last row was copied; from here on the run can be resumed.
    Imported {
        /// How many rows there are.
        rows: u64,
        /// When.
        at: UnixMillis,
    },
    /// A process began to work on the run.
    Opened {
        /// When.
        at: UnixMillis,
        /// The program's version.
        program: String,
    },
    /// Something happened to a row.
    Moved(Transition),
    /// A row that was over begins again.
    Reopened(Box<Reopening>),
    /// A row goes on from where another run left it.
    Adopted(Box<Adoption>),
    /// A process stopped working on the run in good order.
    Closed {
        /// When.
        at: UnixMillis,
        /// Why.
        stop: Stop,
    },
}

/// A row that begins again, with all that is known of it: whoever folds the log holds no rows that are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopening {
    /// How it ended.
    pub was: RowRecord,
    /// What happens to it now.
    pub moved: Transition,
}

/// A row that was half way in another run, as this one goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Which row.
    pub row: RowNumber,
    /// When.
    pub at: UnixMillis,
    /// The run that left it.
    pub from: RunId,
    /// Its number there.
    pub from_row: RowNumber,
    /// Where it is.
    pub record: RowRecord,
}

/// A record that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Written by another version.
    #[error("the log has format {format}, which cutover {program} wrote; this version reads format {FORMAT}")]
    Version {
        /// Its format.
        format: u64,
        /// The program that wrote it.
        program: String,
    },
    /// Not a record.
    #[error("a line of the log cannot be read: {0}")]
    Malformed(String),
}

impl Entry {
    /// The beginning of a run.
    #[must_use]
    pub fn began(run: RunHeader) -> Entry {
        Entry::Began { format: FORMAT, run: Box::new(run) }
    }

    /// Its JSON.
    ///
    /// # Errors
    /// [`EntryError::Malformed`] never happens for these types, but is not hidden either.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        serde_json::to_vec(self).map_err(malformed)
    }

    /// The record in this JSON.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn decode(json: &[u8]) -> Result<Entry, EntryError> {
        match serde_json::from_slice(json) {
            Ok(Entry::Began { format, run }) if format != FORMAT => {
                Err(EntryError::Version { format: format.into(), program: run.program })
            }
            Ok(entry) => Ok(entry),
            Err(error) => Err(other_version(json).unwrap_or_else(|| malformed(error))),
        }
    }
}

/// A first line of another format need not be readable otherwise.
fn other_version(json: &[u8]) -> Option<EntryError> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let began = value.get("began")?;
    let format = began.get("format")?.as_u64()?;
    let program = began["run"]["program"].as_str().unwrap_or("of another version");
    (format != u64::from(FORMAT)).then(|| EntryError::Version { format, program: program.to_owned() })
}

fn malformed(error: serde_json::Error) -> EntryError {
    EntryError::Malformed(error.to_string())
}

/// Where in its group a line stands. A group is what one barrier made durable, and counts whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More lines of the same group follow.
    Within,
    /// The group ends here.
    Last,
}

/// A record over [`LINE_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes is over the log's limit of {LINE_BYTES_MAX} bytes; nothing was written")]
pub struct RecordTooLong {
    /// Its length in bytes.
    pub bytes: usize,
}

/// Bytes that the line of a record takes at most.
///
/// # Errors
/// [`RecordTooLong`].
pub fn line_bytes(record: &[u8]) -> Result<usize, RecordTooLong> {
    let bytes = record.len() + TRAILER_BYTES_MAX;
    if bytes > LINE_BYTES_MAX {
        return Err(RecordTooLong { bytes: record.len() });
    }
    Ok(bytes)
}

/// Adds the line of a record, which is a JSON object, and returns the chain's new link.
///
/// # Errors
/// [`RecordTooLong`]; `out` is unchanged then.
pub fn write_line(
    out: &mut Vec<u8>,
    previous: &ChainHash,
    group: u64,
    place: Place,
    record: &[u8],
) -> Result<ChainHash, RecordTooLong> {
    line_bytes(record)?;
    let start = out.len();
    out.extend_from_slice(record.strip_suffix(b"}").unwrap_or(record));
    out.extend_from_slice(GROUP_KEY);
    // Writing to memory does not fail.
    let _written = write!(out, "{group}");
    if place == Place::Last {
        out.extend_from_slice(LAST);
    }
    let hash = previous.followed_by(&out[start..]);
    out.extend_from_slice(HASH_KEY);
    out.extend_from_slice(&hash.0);
    out.push(b'"');
    let crc = crc_digits(&out[start..]);
    out.extend_from_slice(&CRC_KEY[1..]);
    out.extend_from_slice(&crc);
    out.extend_from_slice(END);
    Ok(hash)
}

fn crc_digits(bytes: &[u8]) -> [u8; CRC_DIGITS] {
    let mut digits = [0; CRC_DIGITS];
    write_hex(&mut digits, &crc32c::crc32c(bytes).to_be_bytes());
    digits
}

fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// A line taken apart. Its checksum was not looked at yet: see [`Line::is_whole`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Bytes of the line, its end included.
    pub bytes: usize,
    /// Bytes of the record without its closing brace.
    pub record_bytes: usize,
    /// The number of its group, from 1.
    pub group: u64,
    /// Where in that group.
    pub place: Place,
    /// The chain up to and with this line.
    pub hash: ChainHash,
    crc: [u8; CRC_DIGITS],
}

impl Line {
    /// Takes a line apart, if it has the form of one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Line> {
        let tail_at = line.len().checked_sub(TAIL_BYTES)?;
        let (front, tail) = line.split_at(tail_at);
        let tail = tail.strip_prefix(HASH_KEY)?;
        let (hash, tail) = tail.split_at(HASH_DIGITS);
        let tail = tail.strip_prefix(CRC_KEY)?;
        let (crc, tail) = tail.split_at(CRC_DIGITS);
        if tail != END {
            return None;
        }
        let (front, place) = match front.strip_suffix(LAST) {
            Some(front) => (front, Place::Last),
            None => (front, Place::Within),
        };
        let digits = front.iter().rev().take(20).take_while(|byte| byte.is_ascii_digit());
        let (front, group) = front.split_at(front.len() - digits.count());
        Some(Line {
            bytes: line.len(),
            record_bytes: front.strip_suffix(GROUP_KEY)?.len(),
            group: std::str::from_utf8(group).ok()?.parse().ok()?,
            place,
            hash: ChainHash::parse(hash)?,
            crc: crc.try_into().ok()?,
        })
    }

    /// Whether these are the bytes that were written.
    #[must_use]
    pub fn is_whole(&self, line: &[u8]) -> bool {
        let vouched_for = self.bytes - (CRC_KEY.len() - 1) - CRC_DIGITS - END.len();
        self.crc == crc_digits(&line[..vouched_for])
    }

    /// Whether it is the next link of a chain.
    #[must_use]
    pub fn follows(&self, previous: &ChainHash, line: &[u8]) -> bool {
        self.hash == previous.followed_by(&line[..self.bytes - TAIL_BYTES])
    }

    /// Its record, as JSON.
    #[must_use]
    pub fn record(&self, line: &[u8]) -> Vec<u8> {
        [&line[..self.record_bytes], b"}"].concat()
    }
}

/// A line with a hash of the caller's own, as a forger writes it.
#[cfg(test)]
pub(super) fn resealed(out: &mut Vec<u8>, group: u64, place: Place, hash: &ChainHash, record: &[u8]) {
    let mut line = Vec::new();
    write_line(&mut line, hash, group, place, record).unwrap();
    line.truncate(line.len() - TAIL_BYTES);
    line.extend_from_slice(HASH_KEY);
    line.extend_from_slice(&hash.0);
    line.push(b'"');
    let crc = crc_digits(&line);
    line.extend_from_slice(&CRC_KEY[1..]);
    line.extend_from_slice(&crc);
    line.extend_from_slice(END);
    out.extend_from_slice(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn genesis() -> ChainHash {
        ChainHash::genesis(RunId(Uuid::from_u128(1)))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(text in "\\PC{0,200}", group in 1..u64::MAX, last in any::<bool>()) {
            let record = serde_json::to_vec(&serde_json::json!({ "text": text })).unwrap();
            let place = if last { Place::Last } else { Place::Within };
            let mut out = b"before".to_vec();
            let hash = write_line(&mut out, &genesis(), group, place, &record).unwrap();
            let bytes = &out[6..];
            prop_assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
            let line = Line::parse(bytes).unwrap();
            prop_assert_eq!((line.group, line.place, line.hash), (group, place, hash));
            prop_assert!(line.is_whole(bytes) && line.follows(&genesis(), bytes));
            prop_assert_eq!(line.record(bytes), record);
            let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            prop_assert_eq!(json["group"].as_u64(), Some(group));
            prop_assert!(bytes.len() <= line_bytes(&line.record(bytes)).unwrap());
        }

        #[test]
        fn no_changed_bit_goes_unseen(text in "[a-z]{0,60}", at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let record = serde_json::to_vec(&serde_json::json!({ "text": text })).unwrap();
            let mut out = Vec::new();
            write_line(&mut out, &genesis(), 7, Place::Last, &record).unwrap();
            let at = at.index(out.len());
            out[at] ^= 1 << bit;
            prop_assert!(!Line::parse(&out).is_some_and(|line| line.is_whole(&out)));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(line) = Line::parse(&bytes) {
                let _either_way = (line.is_whole(&bytes), line.follows(&genesis(), &bytes), line.record(&bytes));
            }
        }
    }

    /// Checked with `sha256sum`: whoever reads logs with another program relies on this.
    #[test]
    fn the_form_of_a_line_does_not_change_by_accident() {
        let mut out = Vec::new();
        let hash = write_line(&mut out, &genesis(), 258, Place::Last, b"{\"a\":1}").unwrap();
        let front = format!("{}{{\"a\":1,\"group\":258,\"last\":true", genesis());
        let expected = Sha256::digest(front);
        let digits: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash.to_string(), digits);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&format!("{{\"a\":1,\"group\":258,\"last\":true,\"hash\":\"{digits}\",\"crc\":\"")));
        assert!(text.ends_with("\"}\n"));
    }

    #[test]
    fn a_record_over_the_limit_is_refused_and_leaves_no_trace() {
        let mut out = Vec::new();
        let too_long = vec![b' '; LINE_BYTES_MAX];
        let refused = write_line(&mut out, &genesis(), 1, Place::Last, &too_long);
        let bytes = LINE_BYTES_MAX;
        assert_eq!(refused, Err(RecordTooLong { bytes }));
        assert!(out.is_empty());
    }

    #[test]
    fn a_log_of_another_format_says_who_wrote_it() {
        let json = br#"{"began":{"format":2,"run":{"program":"9.9"}}}"#;
        let error = Entry::decode(json).unwrap_err();
        let program = "9.9".to_owned();
        assert_eq!(error, EntryError::Version { format: 2, program });
    }
}
