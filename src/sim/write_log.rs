//! The list of writes that were made, for tests that compare it with what a client says it did. It is bounded:
//! the oldest entries go first, and a gap shows in the sequence numbers.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::schema::Property;
use super::{Document, USERS};

/// Writes remembered. At some 400 bytes each this is 80 MB at most, and enough for every test that looks.
const RECORDS_MAX: usize = 200_000;

/// The writes made so far.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    last_seq: u64,
    /// A JSON object each.
    pub(super) records: VecDeque<String>,
}

impl WriteLog {
    /// Writes are counted from 1 over the life of the tenant.
    pub(super) fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub(super) fn push(&mut self, record: &Value) {
        self.last_seq += 1;
        self.records.push_back(record.to_string());
        if self.records.len() > RECORDS_MAX {
            self.records.pop_front();
        }
    }
}

/// What a write changed, as a client sees it; nothing stands for a user that is not there.
pub(super) fn difference(before: Option<&Document>, after: Option<&Document>) -> Document {
    let shown = |document: Option<&Document>, property: &Property| {
        document.map_or(Value::Null, |document| property.value(document).into_owned())
    };
    let is_stored = |name: &str| before.into_iter().chain(after).any(|document| document.contains_key(name));
    let mut changed = Document::new();
    for property in USERS.properties().iter().filter(|property| property.name != "id" && is_stored(&property.name)) {
        let (from, to) = (shown(before, property), shown(after, property));
        if from != to {
            changed.insert(property.name.clone(), json!({"from": from, "to": to}));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance;
    use crate::sim::user;

    #[test]
    fn only_what_differs_is_listed() {
        let before = user::document(chance::uuid([1; 16]), "a@contoso.com", Some("A=="));
        let mut after = before.clone();
        after.insert("userPrincipalName".into(), "b@contoso.com".into());
        let changed = difference(Some(&before), Some(&after));
        assert_eq!(changed.len(), 1, "the mail address stays what it was");
        assert_eq!(changed["userPrincipalName"]["to"], "b@contoso.com");
        assert!(difference(Some(&after), Some(&after)).is_empty());
    }
}
