//! Replication delay: for a while after a write, some reads still see what was there before. A read goes to a
//! replica; a replica that lags shows the oldest state that has not run out yet, so several writes become visible
//! there one after the other. Writes and the rules always act on the true state, which is not kept here.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::clock::UnixMillis;
use super::directory::Slot;
use super::user::User;

/// States remembered of one object. A client that writes faster than this within the delay sees a newer past.
const PASTS_MAX: usize = 16;

/// What an object was, and how long a lagging replica still shows it.
#[derive(Debug)]
struct Past {
    until: UnixMillis,
    was: Option<User>,
}

/// The recent past of the objects that were written.
#[derive(Debug)]
pub(super) struct Lag {
    delay_ms_max: u64,
    histories: HashMap<Slot, VecDeque<Past>>,
    expiries: BTreeSet<(UnixMillis, Slot)>,
}

impl Lag {
    /// `delay_ms_max` of 0: every read is fresh, and nothing is remembered.
    pub(super) fn new(delay_ms_max: u64) -> Self {
        Self {
            delay_ms_max,
            histories: HashMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    pub(super) fn delay_ms_max(&self) -> u64 {
        self.delay_ms_max
    }

    /// Remembers what an object was before a write at `now` that replicates in `delay_ms`.
    pub(super) fn record(&mut self, slot: Slot, was: Option<User>, now: UnixMillis, delay_ms: u64) {
        self.forget(now);
        let delay_ms = delay_ms.min(self.delay_ms_max);
        if delay_ms == 0 {
            return;
        }
        let history = self.histories.entry(slot).or_default();
        // A replica applies writes in order: none becomes visible before the one that came before it.
        let earliest = history.back().map_or(now, |past| past.until);
        let until = now.plus_ms(delay_ms).max(earliest);
        history.push_back(Past { until, was });
        if history.len() > PASTS_MAX {
            history.pop_front();
        }
        self.expiries.insert((until, slot));
    }

    /// What a lagging replica shows of an object: `None` when it shows the present, `Some(None)` when the object
    /// was not there yet.
    pub(super) fn past(&self, slot: Slot, now: UnixMillis) -> Option<Option<&User>> {
        let history = self.histories.get(&slot)?;
        let oldest = history.iter().find(|past| past.until > now)?;
        Some(oldest.was.as_ref())
    }

    /// The objects with a past.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.histories.keys().copied()
    }

    fn forget(&mut self, now: UnixMillis) {
        while let Some((until, slot)) = self.expiries.first().copied() {
            if until > now {
                return;
            }
            self.expiries.pop_first();
            let Some(history) = self.histories.get_mut(&slot) else {
                continue;
            };
            history.retain(|past| past.until > now);
            if history.is_empty() {
                self.histories.remove(&slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::user::UserId;

    fn named(upn: &str) -> Option<User> {
        Some(User::new(UserId::from_octets([1; 16]), upn, None))
    }

    fn upn_in_past(lag: &Lag, at: i64) -> Option<Option<&str>> {
        lag.past(0, UnixMillis(at))
            .map(|user| user.map(|user| &*user.upn))
    }

    #[test]
    fn a_lagging_replica_applies_writes_in_order_and_in_time() {
        let mut lag = Lag::new(1_000);
        lag.record(0, None, UnixMillis(0), 900);
        lag.record(0, named("first@c.com"), UnixMillis(100), 200);
        assert_eq!(upn_in_past(&lag, 899), Some(None));
        // The second write waits for the first one, so both show at 900.
        assert_eq!(upn_in_past(&lag, 900), None);
        lag.record(0, named("second@c.com"), UnixMillis(1_000), 500);
        assert_eq!(upn_in_past(&lag, 1_499), Some(Some("second@c.com")));
        assert_eq!(upn_in_past(&lag, 1_500), None);
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut lag = Lag::new(10);
        for n in 0..100 {
            lag.record(n, None, UnixMillis(i64::from(n) * 100), 10);
        }
        assert_eq!(lag.slots().count(), 1);
    }

    #[test]
    fn the_past_of_one_object_is_bounded_and_the_delay_too() {
        let mut lag = Lag::new(1_000);
        for n in 0..100 {
            lag.record(0, None, UnixMillis(n), 5_000);
        }
        assert_eq!(lag.histories[&0].len(), PASTS_MAX);
        assert_eq!(upn_in_past(&lag, 99 + 1_000), None);
    }
}
