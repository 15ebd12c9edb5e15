//! Comparing the checkpoint with what the log folds to, up to the place that the checkpoint stands for.
//!
//! A row is compared as it ends, since it is not held any longer; one that differs may begin again later, and is told only at
//! that place. The others, and the run's own record, are compared there, too. Memory does not grow with the rows that agree.

use super::finding::{Finding, Kind, Verdict};
use crate::journal::cache::{read_fold, read_owners, read_row, read_rows};
use crate::journal::error::JournalError;
use crate::journal::fold::RunFold;
use crate::journal::row::{RowNumber, RowRecord};
use crate::journal::run::RunRecord;
use crate::journal::store::Store;
use serde::Serialize;
use serde_json::Value;

/// What the checkpoint has of a row that has ended, if it is something else.
pub(super) fn row(store: &dyn Store, fold: &RunFold, row: RowNumber, ours: &RowRecord) -> Option<String> {
    let text = match read_row(store, fold.run.id(), row) {
        Ok(Some(theirs)) if theirs == *ours => return None,
        Ok(Some(theirs)) => format!("the checkpoint has {}", differing(ours, &theirs)),
        Ok(None) => "the checkpoint lacks it".into(),
        Err(error) => error.to_string(),
    };
    Some(format!("row {row}: {text}"))
}

/// Compares all that has not ended; `moved` tells whether the log knows a row.
pub(super) fn rest(
    store: &dyn Store,
    ours: &RunFold,
    known: &RunRecord,
    moved: impl Fn(RowNumber) -> bool,
    verdict: &mut Verdict,
) {
    let mut find = |text: String| verdict.find(Finding::of(Kind::Checkpoint, text));
    let own = RunRecord {
        // A low-water mark: how far it is behind costs a look at a few rows, and nothing else.
        begun_through: known.begun_through,
        head: known.head,
        ..ours.run.clone()
    };
    if own != *known {
        find(format!("the run's own record: the checkpoint has {}", differing(&own, known)));
    }
    match read_fold(store, known.clone()) {
        Ok(theirs) => held(ours, &theirs, &mut find),
        Err(error) => find(error.to_string()),
    }
    let id = known.id();
    for entry in read_rows(store, id) {
        match entry {
            Ok((row, _)) if !moved(row) => {
                find(format!("row {row}: the checkpoint has it, and the log does not say so"))
            }
            Ok(_) => {}
            Err(error) => find(error.to_string()),
        }
    }
    for entry in read_owners(store, id) {
        if let Err(text) = entry.and_then(|(account, row)| owner(store, ours, &account, row)) {
            find(text.to_string());
        }
    }
}

fn held(ours: &RunFold, theirs: &RunFold, find: &mut impl FnMut(String)) {
    if ours.chunks() != theirs.chunks() {
        find("the places of the input rows: the checkpoint has others than the log".into());
    }
    for (row, record) in ours.rows() {
        match theirs.held(row) {
            Some(found) if found == record => {}
            Some(found) => find(format!("row {row}: the checkpoint has {}", differing(record, found))),
            None => find(format!("row {row} as one that is under way: the checkpoint lacks it")),
        }
    }
    for (row, _) in theirs.rows().filter(|(row, _)| ours.held(*row).is_none()) {
        find(format!("row {row} as one that is under way: the checkpoint has it, and the log does not say so"));
    }
}

/// An account may have been seen by several rows; the checkpoint must name one of them. It may be ahead of the rows it was
/// written with.
fn owner(store: &dyn Store, ours: &RunFold, account: &str, row: RowNumber) -> Result<(), JournalError> {
    let record = read_row(store, ours.run.id(), row)?;
    let known = record.and_then(|record| record.account);
    if known.is_none_or(|known| known == account) {
        return Ok(());
    }
    Err(JournalError::Checkpoint(format!("it says that account {account} is row {row}, and that row does not")))
}

/// The fields that differ, with both values.
fn differing<T: Serialize>(ours: &T, theirs: &T) -> String {
    let value = |of: &T| serde_json::to_value(of).unwrap_or(Value::Null);
    let (ours, theirs) = (value(ours), value(theirs));
    let fields = ours.as_object().into_iter().flatten();
    let different = fields.filter(|(field, our)| theirs.get(field) != Some(our));
    let different =
        different.map(|(field, our)| format!("{field} {}, where the log says {our}", theirs[field.as_str()]));
    different.collect::<Vec<_>>().join("; ")
}
