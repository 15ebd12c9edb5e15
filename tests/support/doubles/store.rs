//! A store in memory, for tests and simulations that must see a checkpoint at its worst: after a crash it is as it was at
//! some moment since its last flush, or gone. It is no place to keep anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover::journal::store::{Batch, Entries, Store, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

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
    since: Vec<Batch>,
}

impl MemoryStore {
    /// Batches applied since the last flush.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.state().since.len()
    }

    /// A crash: what was flushed is there, and the first `batches_kept` of the batches applied since.
    pub fn throw_back(&self, batches_kept: usize) {
        let mut state = self.state();
        let mut map = std::mem::take(&mut state.flushed);
        for part in std::mem::take(&mut state.since).into_iter().take(batches_kept) {
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

fn put(map: &mut Map, part: Batch) {
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

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        put(&mut state.now, batch.clone());
        state.since.push(batch);
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
