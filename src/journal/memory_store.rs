//! A store in memory, for tests and simulations that must see a checkpoint at its worst: after a crash it is as it was at
//! some moment since its last flush, or gone. It is no place to keep anything.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checkpoint::BATCH_CHANGES_MAX;
use super::store::{Batch, Entries, Store, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One atomic part of a batch.
type Part = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// An ordered map that remembers what it was when it was last flushed. A clone is a second handle on the same map.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Map,
    flushed: Map,
    /// What was applied since the flush, in order.
    since: Vec<Part>,
}

impl MemoryStore {
    /// Atomic parts applied since the last flush.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.state().since.len()
    }

    /// A crash: what was flushed is there, and the first `parts_kept` of the parts applied since.
    pub fn throw_back(&self, parts_kept: usize) {
        let mut state = self.state();
        let mut map = std::mem::take(&mut state.flushed);
        for part in std::mem::take(&mut state.since)
            .into_iter()
            .take(parts_kept)
        {
            put(&mut map, part);
        }
        state.flushed.clone_from(&map);
        state.now = map;
    }

    /// A database that did not survive: everything is gone.
    pub fn lose(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Maps have no state half way that a panicking thread could leave behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(map: &mut Map, part: Part) {
    for (key, value) in part {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().now.get(key).cloned())
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let found: Vec<_> = self
            .state()
            .now
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| Ok((key.clone(), value.clone())))
            .collect();
        Box::new(found.into_iter())
    }

    fn range(&self, range: Range<&[u8]>) -> Entries<'_> {
        let found: Vec<_> = self
            .state()
            .now
            .range(range.start.to_vec()..range.end.to_vec())
            .map(|(key, value)| Ok((key.clone(), value.clone())))
            .collect();
        Box::new(found.into_iter())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        for part in batch.changes.chunks(BATCH_CHANGES_MAX) {
            put(&mut state.now, part.to_vec());
            state.since.push(part.to_vec());
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let since = std::mem::take(&mut state.since);
        for part in since {
            put(&mut state.flushed, part);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::checkpoint::SledStore;

    fn batch(changes: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(*key, *value),
                None => batch.remove(*key),
            }
        }
        batch
    }

    fn texts(entries: Entries<'_>) -> Vec<String> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        entries
            .map(|entry| entry.unwrap())
            .map(|(key, value)| format!("{}={}", text(key), text(value)))
            .collect()
    }

    fn keeps_the_contract(store: &dyn Store) {
        let changes = [("b", "2"), ("a", "1"), ("ab", "3"), ("c", "4")];
        store
            .apply(batch(&changes.map(|(key, value)| (key, Some(value)))))
            .unwrap();
        store
            .apply(batch(&[("b", None), ("a", Some("5")), ("none", None)]))
            .unwrap();
        assert_eq!(store.get(b"a").unwrap(), Some(b"5".to_vec()));
        assert_eq!(store.get(b"b").unwrap(), None);
        assert_eq!(texts(store.scan_prefix(b"a")), ["a=5", "ab=3"]);
        assert_eq!(texts(store.range(&b"a"[..]..&b"c"[..])), ["a=5", "ab=3"]);
        let mut backwards = store.range(&b"a"[..]..&b"d"[..]);
        assert_eq!(backwards.next_back().unwrap().unwrap().0, b"c");
        store.flush().unwrap();
        assert_eq!(texts(store.scan_prefix(b"")).len(), 3);
    }

    #[test]
    fn both_stores_keep_the_contract() {
        keeps_the_contract(&MemoryStore::default());
        let dir = tempfile::tempdir().unwrap();
        keeps_the_contract(&SledStore::open(dir.path()).unwrap().store);
    }

    #[test]
    fn a_crash_throws_back_to_some_moment_since_the_flush() {
        let store = MemoryStore::default();
        store.apply(batch(&[("a", Some("1"))])).unwrap();
        store.flush().unwrap();
        for value in ["2", "3", "4"] {
            store.apply(batch(&[("a", Some(value))])).unwrap();
        }
        assert_eq!(store.unflushed(), 3);
        store.throw_back(1);
        assert_eq!(texts(store.scan_prefix(b"a")), ["a=2"]);
        store.throw_back(0);
        assert_eq!(
            texts(store.scan_prefix(b"a")),
            ["a=2"],
            "what survived a crash survives the next one"
        );
        store.lose();
        assert_eq!(texts(store.scan_prefix(b"")).len(), 0);
    }
}
