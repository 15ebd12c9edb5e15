//! Replication delay: for a while after a write, some reads still see what was there before. A read goes to a
//! replica; a replica that lags shows the oldest state that has not run out yet, so several writes become visible
//! there one after the other. Writes and the rules always act on the true state, which is not kept here.

use std::collections::{HashMap, VecDeque};

use super::clock::SimTime;
use super::document::Document;
use super::store::Slot;

/// States remembered of one object. A client that writes faster than this within the delay sees a newer past.
const PASTS_MAX: usize = 16;

/// The recent past of the objects that were written: what each was, and how long a lagging replica still shows it.
#[derive(Debug)]
pub(super) struct Replica {
    delay_ms_max: u64,
    histories: HashMap<Slot, VecDeque<(SimTime, Option<Document>)>>,
}

impl Replica {
    /// `delay_ms_max` of 0: every read is fresh, and nothing is remembered.
    pub(super) fn new(delay_ms_max: u64) -> Self {
        Self { delay_ms_max, histories: HashMap::new() }
    }

    pub(super) fn delay_ms_max(&self) -> u64 {
        self.delay_ms_max
    }

    /// Remembers what an object was before a write at `now` that replicates in `delay_ms`.
    pub(super) fn record(&mut self, slot: Slot, was: Option<Document>, now: SimTime, delay_ms: u64) {
        self.histories.retain(|_, history| {
            history.retain(|(until, _)| *until > now);
            !history.is_empty()
        });
        let delay_ms = delay_ms.min(self.delay_ms_max);
        if delay_ms == 0 {
            return;
        }
        let history = self.histories.entry(slot).or_default();
        // A replica applies writes in order: none becomes visible before the one that came before it.
        let earliest = history.back().map_or(now, |(until, _)| *until);
        let until = now.plus_ms(delay_ms).max(earliest);
        history.push_back((until, was));
        if history.len() > PASTS_MAX {
            history.pop_front();
        }
    }

    /// What a lagging replica shows of an object: `None` when it shows the present, `Some(None)` when the object
    /// was not there yet.
    pub(super) fn past(&self, slot: Slot, now: SimTime) -> Option<Option<&Document>> {
        let mut history = self.histories.get(&slot)?.iter();
        history.find(|(until, _)| *until > now).map(|(_, was)| was.as_ref())
    }

    /// The objects with a past.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.histories.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(name: &str) -> Option<Document> {
        Some(Document::from_iter([("name".to_owned(), json!(name))]))
    }

    fn name_in_past(replica: &Replica, at: i64) -> Option<Option<&str>> {
        let past = replica.past(0, SimTime(at));
        past.map(|document| document.and_then(|document| document["name"].as_str()))
    }

    #[test]
    fn a_lagging_replica_applies_writes_in_order_and_in_time() {
        let mut replica = Replica::new(1_000);
        replica.record(0, None, SimTime(0), 900);
        replica.record(0, named("first"), SimTime(100), 200);
        assert_eq!(name_in_past(&replica, 899), Some(None));
        // The second write waits for the first one, so both show at 900.
        assert_eq!(name_in_past(&replica, 900), None);
        replica.record(0, named("second"), SimTime(1_000), 500);
        assert_eq!(name_in_past(&replica, 1_499), Some(Some("second")));
        assert_eq!(name_in_past(&replica, 1_500), None);
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut replica = Replica::new(10);
        for n in 0..100 {
            replica.record(n, None, SimTime(i64::from(n) * 100), 10);
        }
        assert_eq!(replica.slots().count(), 1);
    }

    #[test]
    fn the_past_of_one_object_is_bounded_and_the_delay_too() {
        let mut replica = Replica::new(1_000);
        for n in 0..100 {
            replica.record(0, None, SimTime(n), 5_000);
        }
        assert_eq!(replica.histories[&0].len(), PASTS_MAX);
        assert_eq!(name_in_past(&replica, 99 + 1_000), None);
    }
}
