//! A run's history, to be kept where nobody who can write to the journal can write.
//!
//! The log is its own export: what is copied are its whole groups. `verify` proves a copy as it proves the log, and so can
//! anybody with thirty lines of another language (`samples/verify_log.py`).

use super::error::JournalError;
use super::line::ChainHash;
use super::log::inspect;
use super::open::chosen;
use super::run::RunId;
use super::scan::Head;
use super::storage::{FolderStorage, Storage};
use std::io::Write;
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

/// Copies the log of the run whose name begins so. May be done while a process works on the run.
///
/// # Errors
/// [`JournalError`]; what was written then is a part of the history.
pub fn export(dir: &Path, run: &str, out: &mut dyn Write) -> Result<Exported, JournalError> {
    let storage = FolderStorage::of(dir);
    let unknown = || JournalError::UnknownRun { prefix: run.to_owned() };
    let id = chosen(dir, storage.logs()?, Some(run))?.pop().ok_or_else(unknown)?;
    let log = storage.open_to_read(id)?;
    let (head, torn_bytes) =
        inspect(&*log, Head::genesis(id), |group| out.write_all(group.bytes).map_err(JournalError::ExportOutput))?;
    out.flush().map_err(JournalError::ExportOutput)?;
    Ok(Exported { run: id, records: head.records, head: head.hash, torn_bytes })
}
