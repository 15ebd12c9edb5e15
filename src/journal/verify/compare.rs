//! The checkpoint beside what the log folds to: two walks over ordered keys, side by side.

use super::finding::{Finding, Kind, Verdict};
use crate::journal::error_run::JournalError;
use crate::journal::keys;
use crate::journal::ledger::{StoredRow, decode};
use crate::journal::row::RowNumber;
use crate::journal::run::{RunId, RunRecord};
use crate::journal::store::{Entry, Store, StoreError};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;

/// What a group of keys is about.
#[derive(Debug, Clone, Copy)]
enum Part {
    Run,
    Chunks,
    Rows,
    Active,
    Owners,
}

/// Tells every difference between a checkpoint and a fold of the same run.
///
/// # Errors
/// [`JournalError`] when the fold cannot be read; a checkpoint that cannot be read is a finding.
pub(super) fn compare(
    id: RunId,
    checkpoint: &dyn Store,
    fold: &dyn Store,
    verdict: &mut Verdict,
) -> Result<(), JournalError> {
    let parts = [
        (Part::Run, keys::run(id)),
        (Part::Chunks, keys::chunks(id)),
        (Part::Rows, keys::rows(id)),
        (Part::Active, keys::all_active(id)),
        (Part::Owners, keys::owners(id)),
    ];
    for (part, prefix) in parts {
        let mut stored = checkpoint.scan_prefix(&prefix);
        let mut folded = fold.scan_prefix(&prefix);
        if let Err(error) = side_by_side(part, &mut stored, &mut folded, verdict)? {
            let text = format!("the checkpoint cannot be read: {error}");
            verdict.find(Finding::of(Kind::Checkpoint, text));
        }
    }
    Ok(())
}

type Walk<'w> = &'w mut dyn Iterator<Item = Result<Entry, StoreError>>;

/// The inner error is the checkpoint's.
fn side_by_side(
    part: Part,
    stored: Walk<'_>,
    folded: Walk<'_>,
    verdict: &mut Verdict,
) -> Result<Result<(), StoreError>, JournalError> {
    let mut ours = folded.next().transpose()?;
    let mut theirs = match stored.next().transpose() {
        Ok(entry) => entry,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let order = match (&ours, &theirs) {
            (None, None) => return Ok(Ok(())),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((our_key, _)), Some((their_key, _))) => our_key.cmp(their_key),
        };
        let mine = ours.take_if(|_| order != Ordering::Greater);
        let other = theirs.take_if(|_| order != Ordering::Less);
        if let Some(finding) = difference(part, mine.as_ref(), other.as_ref())? {
            verdict.find(finding);
        }
        if order != Ordering::Greater {
            ours = folded.next().transpose()?;
        }
        if order != Ordering::Less {
            theirs = match stored.next().transpose() {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(error)),
            };
        }
    }
}

fn difference(
    part: Part,
    ours: Option<&Entry>,
    theirs: Option<&Entry>,
) -> Result<Option<Finding>, JournalError> {
    let Some((key, _)) = ours.or(theirs) else {
        return Ok(None);
    };
    let name = name(part, key);
    let text = match (ours, theirs) {
        (Some((_, our)), Some((_, their))) if our == their => return Ok(None),
        (Some((_, our)), Some((_, their))) => {
            format!("{name}: the checkpoint has {}", in_words(part, our, their)?)
        }
        (Some(_), None) => format!("{name}: the checkpoint lacks it"),
        (None, _) => format!("{name}: the checkpoint has it, and the log does not say so"),
    };
    let mut finding = Finding::of(Kind::Checkpoint, text);
    if let (Part::Rows, Some((_, our))) = (part, ours) {
        finding.offset = Some(decode::<StoredRow>(our)?.through);
    }
    Ok(Some(finding))
}

fn name(part: Part, key: &[u8]) -> String {
    let number = keys::number(key).unwrap_or(RowNumber(0));
    match part {
        Part::Run => "the run's own record".into(),
        Part::Chunks => format!("the place of input rows {number} and following"),
        Part::Rows => format!("row {number}"),
        Part::Active => format!("row {number} as one that is under way"),
        Part::Owners => format!("whose account {} is", keys::account(key)),
    }
}

fn in_words(part: Part, ours: &[u8], theirs: &[u8]) -> Result<String, JournalError> {
    let fields = match part {
        Part::Run => fields::<RunRecord>(ours, theirs)?,
        Part::Rows => row_fields(ours, theirs)?,
        Part::Chunks | Part::Active | Part::Owners => None,
    };
    Ok(match fields {
        Some(fields) => fields.join("; "),
        None => "something else than follows from the log".into(),
    })
}

fn row_fields(ours: &[u8], theirs: &[u8]) -> Result<Option<Vec<String>>, JournalError> {
    let ours: StoredRow = decode(ours)?;
    let Ok(theirs) = decode::<StoredRow>(theirs) else {
        return Ok(None);
    };
    let mut different = differing(&ours.record, &theirs.record);
    if different.is_empty() {
        different.push(format!(
            "that it stands for the record at byte {}, where the log has byte {}",
            theirs.through, ours.through
        ));
    }
    Ok(Some(different))
}

fn fields<T>(ours: &[u8], theirs: &[u8]) -> Result<Option<Vec<String>>, JournalError>
where
    T: Serialize + serde::de::DeserializeOwned,
{
    let ours: T = decode(ours)?;
    let theirs: Option<T> = decode(theirs).ok();
    Ok(theirs.map(|theirs| differing(&ours, &theirs)))
}

/// The fields that differ, with both values.
fn differing<T: Serialize>(ours: &T, theirs: &T) -> Vec<String> {
    let value = |of: &T| serde_json::to_value(of).unwrap_or(Value::Null);
    let (ours, theirs) = (value(ours), value(theirs));
    let fields = ours.as_object().into_iter().flatten();
    let different = fields.filter(|(field, our)| theirs.get(field) != Some(our));
    different
        .map(|(field, our)| {
            format!(
                "{field} {}, where the log says {our}",
                theirs[field.as_str()]
            )
        })
        .collect()
}
