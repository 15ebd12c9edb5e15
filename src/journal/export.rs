//! A run's whole history as JSON lines, to be kept where nobody who can write to the journal can write.
//!
//! The first line names the format and the run, the last one the head. Between them is a line a record: what it says, for
//! people and scripts, and the bytes it was made of, for whoever wants to prove it. All of it can be checked without the
//! journal ([`check`]): the chain is computed from the bytes, everything else in the line follows from them and from what the
//! checksum covers, and a line that reads differently from what follows is a finding. Memory holds one group of records.

mod check;
mod line;

#[cfg(test)]
mod tests;

pub use check::{UnusableExport, check};

use super::disk::{Disk, FileDisk};
use super::entry::{Entry, EntryError};
use super::error_run::JournalError;
use super::frame::ChainHash;
use super::log::inspect;
use super::medium::Medium;
use super::open::genesis;
use super::run::RunId;
use super::scan::{End, Group};
use super::verify::chosen;
use line::{Ending, Line, Opening, Writable as _};
use std::io::{self, Write};
use std::path::Path;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The run.
    pub run: RunId,
    /// Its records.
    pub records: u64,
    /// The chain's last link.
    pub head: ChainHash,
    /// Bytes at the end of the log that are no whole group: never committed, or just being written.
    pub torn_bytes: u64,
}

/// Why a history could not be exported.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ExportError {
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// Where it goes.
    #[error("the export cannot be written; the journal is not affected")]
    #[diagnostic(
        code(journal::export),
        help("free disk space or name another file with `--output`, then export again")
    )]
    Output(#[from] io::Error),
}

impl From<super::error::LogError> for ExportError {
    fn from(error: super::error::LogError) -> Self {
        ExportError::Journal(error.into())
    }
}

impl From<EntryError> for ExportError {
    fn from(error: EntryError) -> Self {
        ExportError::Journal(error.into())
    }
}

/// Writes the history of the run whose name begins so. Reads the log alone, so it may be done beside a process that works on
/// the run.
///
/// # Errors
/// [`ExportError`]; what was written then has no last line, by which it is recognised.
pub fn export(dir: &Path, run: &str, out: &mut dyn Write) -> Result<Exported, ExportError> {
    let disk = FileDisk::of(dir);
    let unknown = || JournalError::UnknownRun {
        prefix: run.to_owned(),
    };
    let mut runs = chosen(dir, disk.logs()?, Some(run))?;
    let id = runs.pop().ok_or_else(unknown)?;
    export_log(id, &*disk.open_to_read(id)?, out)
}

fn export_log(
    id: RunId,
    medium: &dyn Medium,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    Opening::of(id).write(out)?;
    let visit = |group: &Group<'_>| write_group(group, out);
    let (head, tail) = inspect(medium, genesis(id), visit)?;
    Ending::of(&head).write(out)?;
    out.flush()?;
    Ok(Exported {
        run: id,
        records: head.records,
        head: head.hash,
        torn_bytes: match tail.end {
            End::Clean { at: _ } => 0,
            End::Torn { at: _, bytes } => bytes,
        },
    })
}

fn write_group(group: &Group<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut before = group.before();
    for (_, header, payload) in group.frames() {
        let entry = Entry::decode(payload)?;
        Line::of(&before, header.place, payload, &entry).write(out)?;
        before = before.after_frame(header.hash, payload.len());
    }
    Ok(())
}
