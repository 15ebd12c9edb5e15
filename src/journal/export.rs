//! A run's history, to be kept where nobody who can write to the journal can write.
//!
//! The log is its own export: what is copied are its whole groups. `verify` proves a copy as it proves the log, and so can
//! anybody with thirty lines of another language (`samples/verify_log.py`).

use super::error::LogError;
use super::journal_error::JournalError;
use super::line::ChainHash;
use super::log::inspect;
use super::run::RunId;
use super::scan::{End, Group, Head};
use super::storage::{FolderStorage, Storage};
use super::verify::chosen;
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

impl From<LogError> for ExportError {
    fn from(error: LogError) -> Self {
        ExportError::Journal(error.into())
    }
}

/// Copies the log of the run whose name begins so. May be done while a process works on the run.
///
/// # Errors
/// [`ExportError`]; what was written then is a part of the history.
pub fn export(dir: &Path, run: &str, out: &mut dyn Write) -> Result<Exported, ExportError> {
    let storage = FolderStorage::of(dir);
    let unknown = || JournalError::UnknownRun { prefix: run.to_owned() };
    let mut runs = chosen(dir, storage.logs()?, Some(run))?;
    let id = runs.pop().ok_or_else(unknown)?;
    let log = storage.open_to_read(id)?;
    let copy = |group: &Group<'_>| Ok::<(), ExportError>(out.write_all(group.bytes())?);
    let (head, tail) = inspect(&*log, Head::genesis(id), copy)?;
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
