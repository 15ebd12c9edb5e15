//! The list of writes that were made, for tests that compare it with what a client says it did. It is bounded:
//! the oldest entries go first, and a gap shows in the sequence numbers.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::schema::{Property, USERS};
use super::{Document, SimTime};

/// Writes remembered. At some 400 bytes each this is 80 MB at most, and enough for every test that looks.
const RECORDS_MAX: usize = 200_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WriteKind {
    Create,
    Patch,
    /// Into the recycle bin.
    Delete,
    /// Out of the recycle bin.
    Restore,
    /// For good.
    Purge,
}

/// A property's value before and after a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FromTo {
    pub(super) from: Value,
    pub(super) to: Value,
}

/// One write that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WriteRecord {
    /// Counts from 1 over the life of the tenant.
    pub(super) seq: u64,
    /// Milliseconds since 1970.
    pub(super) at: SimTime,
    pub(super) id: Uuid,
    pub(super) method: WriteKind,
    pub(super) changed: BTreeMap<String, FromTo>,
    pub(super) client_request_id: Option<Box<str>>,
}

/// The writes made so far.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    last_seq: u64,
    pub(super) records: VecDeque<WriteRecord>,
}

impl WriteLog {
    pub(super) fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub(super) fn extend(&mut self, record: Option<WriteRecord>) {
        self.last_seq = record.as_ref().map_or(self.last_seq, |record| record.seq);
        self.records.extend(record);
        if self.records.len() > RECORDS_MAX {
            self.records.pop_front();
        }
    }
}

/// What a write changed, as a client sees it; nothing stands for a user that is not there.
pub(super) fn difference(before: Option<&Document>, after: Option<&Document>) -> BTreeMap<String, FromTo> {
    let shown = |document: Option<&Document>, property: &Property| {
        document.map_or(Value::Null, |document| property.value(document).into_owned())
    };
    let is_stored = |name: &str| before.into_iter().chain(after).any(|document| document.contains_key(name));
    let properties =
        USERS.properties.iter().copied().flatten().filter(|property| property.name != "id" && is_stored(property.name));
    let changes = properties.map(|property| {
        let (from, to) = (shown(before, property), shown(after, property));
        (property.name.to_owned(), FromTo { from, to })
    });
    changes.filter(|(_, change)| change.from != change.to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance;
    use crate::sim::rules::users;

    #[test]
    fn only_what_differs_is_listed() {
        let before = users::document(chance::uuid([1; 16]), "a@contoso.com", Some("A=="));
        let mut after = before.clone();
        after.insert("userPrincipalName".into(), "b@contoso.com".into());
        let changed = difference(Some(&before), Some(&after));
        assert_eq!(changed.len(), 1, "the mail address stays what it was");
        assert_eq!(changed["userPrincipalName"].to, "b@contoso.com");
        assert!(difference(Some(&after), Some(&after)).is_empty());
    }
}
