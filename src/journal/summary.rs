//! What readers want to know of a run at once: its fold, kept as one small file next to the checkpoint.
//!
//! It stands for the log up to one place; the records after it are folded in when it is read. It may be missing or broken:
//! then the whole log is folded. Reading takes no lock and writes nothing.

use super::fold::RunFold;
use super::journal_error::JournalError;
use super::line::Entry;
use super::log::inspect;
use super::run::RunId;
use super::scan::{Group, Head};
use super::storage::Storage;
use std::io;

/// Keeps a fold. Its checksum stands at the end, since a power cut may leave anything.
///
/// # Errors
/// Those of the storage.
pub(super) fn write(storage: &dyn Storage, fold: &RunFold) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(fold)?;
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
    storage.write_summary(fold.run.id(), &bytes)
}

fn read(storage: &dyn Storage, run: RunId) -> Option<RunFold> {
    let bytes = storage.read_summary(run)?;
    let json = bytes.get(..bytes.len().checked_sub(10)?)?;
    let crc = format!("\n{:08x}\n", crc32c::crc32c(json));
    let fold: RunFold = serde_json::from_slice(json).ok()?;
    (bytes.ends_with(crc.as_bytes()) && fold.run.id() == run).then_some(fold)
}

/// Whether a run that has begun is known here.
pub(super) fn has_begun(storage: &dyn Storage, run: RunId) -> bool {
    read(storage, run).is_some_and(|fold| fold.run.has_begun())
}

/// Folds a run as its log is at this moment; `None` if the log says nothing yet.
///
/// # Errors
/// [`JournalError`] when the log cannot be read or be believed.
pub(super) fn fold_of(storage: &dyn Storage, run: RunId) -> Result<Option<RunFold>, JournalError> {
    let file = storage.open_to_read(run)?;
    let mut fold = read(storage, run);
    let from = fold.as_ref().map_or_else(|| Head::genesis(run), |fold| fold.run.head);
    let (head, _) = inspect(&*file, from, |group| take_group(&mut fold, group))?;
    if let Some(fold) = &mut fold {
        fold.run.head = head;
    }
    Ok(fold)
}

fn take_group(fold: &mut Option<RunFold>, group: &Group<'_>) -> Result<(), JournalError> {
    for line in group.lines() {
        let entry = Entry::decode(&line.record())?;
        match fold {
            Some(fold) => {
                let mark = fold.mark_of(entry)?;
                fold.take(line.before.offset, mark);
            }
            None => *fold = Some(RunFold::begun_by(entry, group.head())?),
        }
    }
    Ok(())
}
