//! A budget: the one door through which every request of a class passes.
//!
//! Those who wait stand in a queue ordered by priority and arrival, and only the one at its head asks for a permit.
//! A permit is taken in the same poll that returns it, never handed over, so a waiter that is dropped can lose none;
//! leaving the queue wakes whoever is at the head then. No task runs in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::feedback::{Throttling, Usage};
use super::limiter::{Limiter, full_rate};
use super::{Pause, PauseReason, Priority, Quota, ThrottleReason, Trouble};

/// Permits for one class of requests to one target, shared by everybody who sends such requests.
#[derive(Debug)]
pub struct Budget {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    quota: Quota,
    limiter: Limiter,
    /// The share of the quota the limiter was made for.
    share: f64,
    throttling: Throttling,
    usage: Usage,
    breaker: Breaker,
    queue: BTreeMap<Place, Arc<Notify>>,
    arrivals: u64,
    /// When the limiter will give the next permit, as of the last refusal.
    next_permit: Option<Instant>,
}

/// Where somebody stands: the smallest is the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: Priority,
    arrival: u64,
}

/// What the one who asks is to do.
enum Turn {
    Go,
    WaitUntil(Instant),
    WaitForHead,
}

impl Budget {
    /// A budget of that quota. Its name is for people (`writes`, `reads`). It begins without burst, since a process
    /// that was killed a moment ago may have used it.
    #[must_use]
    pub fn new(name: impl Into<String>, quota: Quota) -> Arc<Budget> {
        let now = Instant::now();
        Arc::new(Budget {
            name: name.into(),
            state: Mutex::new(State {
                quota,
                limiter: Limiter::new(quota, 1.0),
                share: 1.0,
                throttling: Throttling::new(now),
                usage: Usage::new(now),
                breaker: Breaker::new(),
                queue: BTreeMap::new(),
                arrivals: 0,
                next_permit: None,
            }),
        })
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a permit for one request. The most urgent waiter gets the next permit, the one who came first among
    /// equals. May be dropped at any time; a permit once returned counts as used, whether or not a request follows.
    pub async fn take(&self, priority: Priority) {
        let Some(waiter) = self.enter(priority) else {
            return;
        };
        loop {
            match self.turn(waiter.place) {
                Turn::Go => return,
                Turn::WaitForHead => waiter.woken.notified().await,
                Turn::WaitUntil(at) => {
                    // Woken or due, the next turn finds out which.
                    let _ = timeout_at(at, waiter.woken.notified()).await;
                }
            }
        }
    }

    /// A request was answered with 429. Stops the whole budget for `retry_after`, or for a growing delay where the
    /// service gave none (100 ms to 10 min in any case); replies to requests that were in flight together count as
    /// one. A further one within a minute after the stop lowers the rate by a fifth, down to a tenth; ten quiet
    /// seconds raise it by a twentieth of the full rate.
    pub fn throttled(&self, retry_after: Option<Duration>, reason: ThrottleReason) {
        self.learn(|state, now| {
            state.breaker.answered();
            state.throttling.throttled(now, retry_after, reason);
        });
    }

    /// A reply said that this fraction of a limit is in use (0.8 to 1.8). The rate falls by a twentieth for every
    /// begun fifth above 0.8, and comes back when such reports stop.
    pub fn usage(&self, fraction: f64) {
        self.learn(|state, now| state.usage.reported(now, fraction));
    }

    /// A request was not served. Five in a row, without an answer between them, stop the budget; single requests, 1 s to
    /// 30 s apart, then find out whether the target is back. A single refusal of the sign-in stops it; it is then tried
    /// again 2 s to 2 min apart.
    pub fn unavailable(&self, trouble: Trouble) {
        self.learn(|state, now| state.breaker.failed(now, trouble));
    }

    /// The target answered a request, whatever it said; ends what [`Budget::unavailable`] began.
    pub fn answered(&self) {
        let mut state = self.lock();
        if state.breaker.is_troubled() {
            state.breaker.answered();
            state.wake_head();
        }
    }

    /// Since when the target has answered nothing; `None` while the last request was answered.
    #[must_use]
    pub fn trouble_since(&self) -> Option<Instant> {
        self.lock().breaker.since()
    }

    /// Since when the sign-in is refused; `None` while it is not.
    #[must_use]
    pub fn refused_since(&self) -> Option<Instant> {
        self.lock().breaker.refused_since()
    }

    /// Why nothing is being sent, if so: a stop, or waiters with no permit left for them.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        let now = Instant::now();
        let state = self.lock();
        state.stop(now).or_else(|| state.used_up(now))
    }

    /// Permits per second at present, apart from stops.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let mut state = self.lock();
        state.settle(Instant::now());
        state.limiter.rate()
    }

    /// Permits per second when nothing slows the budget: the quota less a percent or so that is kept in reserve.
    #[must_use]
    pub fn full_rate(&self) -> f64 {
        full_rate(self.lock().quota)
    }

    /// Replaces the quota; what was learnt about the target stays in force. The promise about any window holds for
    /// the new quota from one period after the change on.
    pub fn set_quota(&self, quota: Quota) {
        self.learn(|state, _| {
            state.quota = quota;
            state.limiter = Limiter::new(quota, state.share);
        });
    }

    /// The quota in force.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.lock().quota
    }

    /// Takes a permit at once where nobody waits, or a place in the queue.
    fn enter(&self, priority: Priority) -> Option<Waiter<'_>> {
        let mut state = self.lock();
        if state.queue.is_empty() && state.try_take(Instant::now()).is_ok() {
            return None;
        }
        let place = Place {
            priority,
            arrival: state.arrivals,
        };
        state.arrivals += 1;
        let woken = Arc::new(Notify::new());
        state.queue.insert(place, Arc::clone(&woken));
        Some(Waiter {
            budget: self,
            place,
            woken,
        })
    }

    fn turn(&self, place: Place) -> Turn {
        let mut state = self.lock();
        let is_head = state.queue.first_key_value().map(|(head, _)| *head) == Some(place);
        if !is_head {
            return Turn::WaitForHead;
        }
        match state.try_take(Instant::now()) {
            Ok(()) => Turn::Go,
            Err(at) => Turn::WaitUntil(at),
        }
    }

    /// Changes what is known, and lets the head of the queue see what that means for it.
    fn learn(&self, change: impl FnOnce(&mut State, Instant)) {
        let now = Instant::now();
        let mut state = self.lock();
        change(&mut state, now);
        state.settle(now);
        state.wake_head();
    }

    /// No code panics while it holds the lock, and a budget is better kept than lost if that should change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a permit, or says when to ask again.
    fn try_take(&mut self, now: Instant) -> Result<(), Instant> {
        self.settle(now);
        if let Some(stop) = self.stop(now) {
            return Err(stop.until);
        }
        if let Err(due) = self.limiter.try_take() {
            self.next_permit = Some(due);
            return Err(due);
        }
        self.breaker.admitted(now);
        Ok(())
    }

    /// Brings the rate up to date. A new limiter begins with an empty burst, so no change of rate can exceed a quota.
    fn settle(&mut self, now: Instant) {
        self.throttling.settle(now);
        self.usage.settle(now);
        let share = self.throttling.share().min(self.usage.share());
        if share != self.share {
            self.share = share;
            self.limiter = Limiter::new(self.quota, share);
        }
    }

    /// The stop that lasts longest.
    fn stop(&self, now: Instant) -> Option<Pause> {
        let throttled = self.throttling.pause(now);
        let down = self.breaker.pause(now);
        throttled
            .into_iter()
            .chain(down)
            .max_by_key(|pause| pause.until)
    }

    fn used_up(&self, now: Instant) -> Option<Pause> {
        let until = self.next_permit.filter(|due| now < *due)?;
        let waiting = !self.queue.is_empty();
        waiting.then_some(Pause {
            reason: PauseReason::BudgetUsedUp,
            until,
        })
    }

    fn wake_head(&self) {
        if let Some((_, woken)) = self.queue.first_key_value() {
            woken.notify_one();
        }
    }
}

/// A place in the queue, given up when dropped.
struct Waiter<'a> {
    budget: &'a Budget,
    place: Place,
    woken: Arc<Notify>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.queue.remove(&self.place);
        state.wake_head();
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
