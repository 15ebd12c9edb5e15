//! The lines of an export. What is written and what a checker expects are made here and nowhere else, so that any byte that
//! differs is seen.

use crate::journal::entry::Entry;
use crate::journal::frame::{Place, crc_of};
use crate::journal::run::RunId;
use crate::journal::scan::Head;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The version of the lines that this program writes, and the only one that it checks.
pub(super) const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opening {
    /// The version of the lines.
    pub cutover_export: u32,
    /// The run, from whose name the chain begins.
    pub run: RunId,
}

impl Opening {
    pub(super) fn of(run: RunId) -> Opening {
        Opening {
            cutover_export: FORMAT,
            run,
        }
    }
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    /// How many lines of records are before it.
    pub records: u64,
    /// The chain after the last of them.
    pub head: String,
}

impl Ending {
    pub(super) fn of(head: &Head) -> Ending {
        Ending {
            records: head.records,
            head: head.hash.to_string(),
        }
    }
}

/// A record.
#[derive(Debug, Serialize)]
pub(super) struct Line<'e> {
    /// Its number, from 1.
    record: u64,
    /// The number of the group it was made durable with, from 1.
    group: u64,
    /// Whether it is the last of that group.
    last: bool,
    /// Where its frame begins in the log, in bytes.
    offset: u64,
    /// The frame's checksum, over the payload's length, group and last, hash and payload.
    crc: String,
    /// The chain after it: SHA-256 of the hash before it and the payload.
    hash: String,
    /// What it says.
    entry: &'e Entry,
    /// Its bytes, in base64.
    payload: String,
}

impl<'e> Line<'e> {
    /// The line of a record that comes after `before`.
    pub(super) fn of(before: &Head, place: Place, payload: &[u8], entry: &'e Entry) -> Line<'e> {
        let hash = before.hash.followed_by(payload);
        let group = before.group + 1;
        Line {
            record: before.records + 1,
            group,
            last: place == Place::Last,
            offset: before.offset,
            crc: format!("{:08x}", crc_of(group, place, &hash, payload)),
            hash: hash.to_string(),
            entry,
            payload: STANDARD.encode(payload),
        }
    }
}

/// What a checker takes from a line; all the rest must follow from it.
#[derive(Debug, Deserialize)]
pub(super) struct Claim {
    pub record: u64,
    pub group: u64,
    pub last: bool,
    pub crc: String,
    pub hash: String,
    payload: String,
}

impl Claim {
    pub(super) fn place(&self) -> Place {
        if self.last {
            Place::Last
        } else {
            Place::Within
        }
    }

    /// None if it is no base64.
    pub(super) fn payload(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.payload).ok()
    }
}

/// Something that is a line by itself.
pub(super) trait Writable: Serialize {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }
}

impl Writable for Opening {}
impl Writable for Ending {}
impl Writable for Line<'_> {}
