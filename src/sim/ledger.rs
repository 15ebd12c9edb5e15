//! The list of writes that were made, for tests that compare it with what a client says it did. It is bounded:
//! the oldest entries go first, and a gap shows in the sequence numbers.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::UnixMillis;
use super::property::Property;
use super::shape;
use super::user::{User, UserId};

/// Writes remembered. At some 400 bytes each this is 80 MB at most, and enough for every test that looks.
const RECORDS_MAX: usize = 200_000;

/// The kind of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WriteKind {
    /// A new user.
    Create,
    /// Properties of a live user.
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
    pub(super) at: UnixMillis,
    pub(super) id: UserId,
    pub(super) method: WriteKind,
    pub(super) changed: BTreeMap<Property, FromTo>,
    pub(super) client_request_id: Option<Box<str>>,
}

/// The writes made so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last_seq: u64,
    records: VecDeque<WriteRecord>,
}

impl Ledger {
    pub(super) fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub(super) fn push(&mut self, record: WriteRecord) {
        self.last_seq = self.last_seq.max(record.seq);
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &WriteRecord> {
        self.records.iter()
    }
}

/// What a write changed, as a client sees it; nothing stands for a user that is not there.
pub(super) fn difference(
    before: Option<&User>,
    after: Option<&User>,
) -> BTreeMap<Property, FromTo> {
    let always = [
        Property::UserPrincipalName,
        Property::OnPremisesImmutableId,
        Property::Mail,
        Property::AccountEnabled,
        Property::DeletedDateTime,
        Property::OnPremisesSyncEnabled,
    ];
    let written = after.into_iter().flat_map(User::written_properties);
    let value = |user: Option<&User>, property| {
        user.map_or(Value::Null, |user| shape::value(user, property))
    };
    always
        .into_iter()
        .chain(written)
        .map(|property| {
            (
                property,
                FromTo {
                    from: value(before, property),
                    to: value(after, property),
                },
            )
        })
        .filter(|(_, change)| change.from != change.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_listed() {
        let before = User::new(UserId::from_octets([1; 16]), "a@contoso.com", Some("A=="));
        let mut after = before.clone();
        after.move_to("b@contoso.com");
        let changed = difference(Some(&before), Some(&after));
        assert_eq!(changed.len(), 1, "the mail address stays what it was");
        assert_eq!(changed[&Property::UserPrincipalName].to, "b@contoso.com");
        assert!(difference(Some(&after), Some(&after)).is_empty());
    }
}
