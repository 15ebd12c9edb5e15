//! The checkpoint's keys: a letter for the kind, the run, and a big-endian number, so that they sort as rows do.

use super::row::RowNumber;
use super::run::RunId;

/// What all runs' keys begin with.
pub const RUNS: [u8; 1] = *b"r";

const CHUNK: u8 = b'c';
const ROW: u8 = b's';
const ACTIVE: u8 = b'a';
const OWNER: u8 = b'o';

/// The run's own record.
pub fn run(id: RunId) -> Vec<u8> {
    prefix(RUNS[0], id)
}

/// Where in the log the input rows from this one on lie.
pub fn chunk(id: RunId, first: RowNumber) -> Vec<u8> {
    numbered(CHUNK, id, first)
}

/// All of those.
pub fn chunks(id: RunId) -> Vec<u8> {
    prefix(CHUNK, id)
}

/// A row's record.
pub fn row(id: RunId, row: RowNumber) -> Vec<u8> {
    numbered(ROW, id, row)
}

/// All of those.
pub fn rows(id: RunId) -> Vec<u8> {
    prefix(ROW, id)
}

/// A row that was begun and has not ended.
pub fn active(id: RunId, row: RowNumber) -> Vec<u8> {
    numbered(ACTIVE, id, row)
}

/// All of those.
pub fn all_active(id: RunId) -> Vec<u8> {
    prefix(ACTIVE, id)
}

/// Which row an account is.
pub fn owner(id: RunId, account: &str) -> Vec<u8> {
    let mut key = owners(id);
    key.extend_from_slice(account.as_bytes());
    key
}

/// All of those.
pub fn owners(id: RunId) -> Vec<u8> {
    prefix(OWNER, id)
}

/// The account at the end of such a key.
pub fn account(key: &[u8]) -> std::borrow::Cow<'_, str> {
    let account = key.get(1 + size_of::<uuid::Bytes>()..).unwrap_or_default();
    String::from_utf8_lossy(account)
}

/// Everything of a run.
pub fn all_of(id: RunId) -> [Vec<u8>; 5] {
    [run(id), chunks(id), rows(id), all_active(id), owners(id)]
}

/// The number at the end of a key.
pub fn number(key: &[u8]) -> Option<RowNumber> {
    let bytes = key.last_chunk::<8>()?;
    Some(RowNumber(u64::from_be_bytes(*bytes)))
}

fn prefix(kind: u8, id: RunId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(id.0.as_bytes());
    key
}

fn numbered(kind: u8, id: RunId, number: RowNumber) -> Vec<u8> {
    let mut key = prefix(kind, id);
    key.extend_from_slice(&number.0.to_be_bytes());
    key
}
