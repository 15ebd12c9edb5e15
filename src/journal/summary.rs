//! What readers want to know of a run at once: its fold, kept as one small file next to the checkpoint.
//!
//! It stands for the log up to one place; the records after it are folded in when it is read. It may be missing or broken:
//! then the whole log is folded. Reading takes no lock and writes nothing.

use super::error::JournalError;
use super::fold::RunFold;
use super::log::inspect;
use super::run::RunId;
use super::scan::Head;
use super::storage::Storage;
use std::io;

/// Keeps a fold. Readers look into the log for what cannot be written.
pub(super) fn write(storage: &dyn Storage, fold: &RunFold) {
    let write = || -> io::Result<()> {
        let mut bytes = serde_json::to_vec(fold)?;
        // A power cut may leave anything.
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
        storage.write_summary(fold.run.id(), &bytes)
    };
    if let Err(error) = write() {
        tracing::debug!("readers have to look into the log: {error}");
    }
}

/// The fold that was kept last, if it is whole.
pub(super) fn read(storage: &dyn Storage, run: RunId) -> Option<RunFold> {
    let bytes = storage.read_summary(run)?;
    let json = bytes.get(..bytes.len().checked_sub(10)?)?;
    let crc = format!("\n{:08x}\n", crc32c::crc32c(json));
    let fold: RunFold = serde_json::from_slice(json).ok()?;
    (bytes.ends_with(crc.as_bytes()) && fold.run.id() == run).then_some(fold)
}

/// Folds a run as its log is at this moment; `None` if the log says nothing yet.
///
/// # Errors
/// [`JournalError`] when the log cannot be read or be believed.
pub(super) fn fold_of(storage: &dyn Storage, run: RunId) -> Result<Option<RunFold>, JournalError> {
    let file = storage.open_to_read(run)?;
    let mut fold = read(storage, run);
    let from = fold.as_ref().map_or_else(|| Head::genesis(run), |fold| fold.run.head);
    inspect(&*file, from, |group| RunFold::take_group(&mut fold, group, |_, _| {}))?;
    Ok(fold)
}
