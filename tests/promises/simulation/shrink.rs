//! Makes a failing schedule shorter: whatever can be left out without the failure going away is left out.

use super::process::play;
use super::schedule::{Body, Schedule, Stress};
use std::collections::BTreeMap;

/// Schedules played at most; each takes some milliseconds.
const PLAYS_MAX: usize = 1_500;

/// A short schedule that fails, too.
pub fn shrink(schedule: &Schedule) -> Schedule {
    let mut shrinking = Shrinking { best: schedule.clone(), plays: 0 };
    while shrinking.round() {}
    shrinking.best
}

struct Shrinking {
    best: Schedule,
    plays: usize,
}

impl Shrinking {
    /// Tries everything once; whether something could be left out.
    fn round(&mut self) -> bool {
        let before = self.plays;
        let mut shorter = self.without_processes();
        shorter |= self.without_some(|schedule| &mut schedule.faults);
        shorter |= self.without_some(|schedule| &mut schedule.deeds);
        shorter |= self.without_spells();
        shorter |= self.without_people();
        shorter |= self.simpler();
        shorter && self.plays > before && self.plays < PLAYS_MAX
    }

    fn try_this(&mut self, change: impl FnOnce(&mut Schedule)) -> bool {
        if self.plays >= PLAYS_MAX {
            return false;
        }
        let mut shorter = self.best.clone();
        change(&mut shorter);
        self.plays += 1;
        let fails = !play(&shorter, false).complaints.is_empty();
        if fails {
            self.best = shorter;
        }
        fails
    }

    fn without_processes(&mut self) -> bool {
        let mut shorter = false;
        for at in (0..self.best.processes.len()).rev() {
            let removed = self.try_this(|schedule| drop(schedule.processes.remove(at)));
            shorter |= removed
                || (!self.best.processes[at].is_calm()
                    && self.try_this(|schedule| schedule.processes[at] = Stress::default()));
        }
        shorter
    }

    /// Leaves out halves, then quarters, and so on, of a map.
    fn without_some<T: Clone>(&mut self, map: impl Fn(&mut Schedule) -> &mut BTreeMap<u64, T>) -> bool {
        let mut shorter = false;
        let mut size = map(&mut self.best).len();
        while size > 0 {
            let keys: Vec<u64> = map(&mut self.best).keys().copied().collect();
            for part in keys.chunks(size) {
                shorter |= self.try_this(|schedule| {
                    map(schedule).retain(|key, _| !part.contains(key));
                });
            }
            size /= 2;
        }
        shorter
    }

    fn without_spells(&mut self) -> bool {
        let mut shorter = false;
        for at in (0..self.best.spells.len()).rev() {
            shorter |= self.try_this(|schedule| {
                schedule.spells.remove(at);
            });
        }
        shorter
    }

    fn without_people(&mut self) -> bool {
        let mut shorter = false;
        while self.best.people.len() > 1
            && self.try_this(|schedule| schedule.people.truncate(schedule.people.len() - 1))
        {
            shorter = true;
        }
        shorter
    }

    fn simpler(&mut self) -> bool {
        let best = self.best.clone();
        let mut shorter = best.latency_ms > 0 && self.try_this(|schedule| schedule.latency_ms = 0);
        shorter |= best.replication_ms > 0 && self.try_this(|schedule| schedule.replication_ms = 0);
        shorter |= best.body != Body::Heeded && self.try_this(|schedule| schedule.body = Body::Heeded);
        shorter |= best.takes_over.is_some() && self.try_this(|schedule| schedule.takes_over = None);
        shorter |= best.retry.is_some() && self.try_this(|schedule| schedule.retry = None);
        let is_stressed = self.best.retry.as_ref().is_some_and(|retry| !retry.is_calm());
        shorter |= is_stressed && self.try_this(|schedule| schedule.retry = Some(Stress::default()));
        shorter |= best.verify.is_some() && self.try_this(|schedule| schedule.verify = None);
        shorter |= best.barrier_ms > 0 && self.try_this(|schedule| schedule.barrier_ms = 0);
        shorter |= best.concurrency.is_none() && self.try_this(|schedule| schedule.concurrency = Some(1));
        shorter
    }
}
