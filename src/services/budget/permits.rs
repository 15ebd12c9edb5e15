//! A budget: the one door through which every request of a class passes.
//!
//! Those who wait stand in a queue ordered by priority and arrival, and only the one at its head asks for a permit.
//! A permit is taken in the same poll that returns it, never handed over, so a waiter that is dropped can lose none;
//! leaving the queue wakes whoever is at the head then. No task runs in the background.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::feedback::Throttling;
use super::gate::Permit;
use super::limiter::{Limiter, full_rate};
use super::taken::Taken;
use super::usage::{SHARE_MIN, Usage};
use super::{Pause, PauseReason, Quota, ThrottleReason, Trouble};

/// A smaller change of the rate is left for later: each is a new limiter.
const CHANGE_MIN: f64 = 0.01;
/// Above this share of the full rate nobody needs to hear of it. The least event leaves less.
const EASED_BELOW: f64 = 0.98;

/// Permits for one class of requests to one target, shared by everybody who sends such requests.
#[derive(Debug)]
pub struct Budget {
    /// For people (`writes`, `reads`).
    pub name: String,
    state: Mutex<PermitState>,
}

#[derive(Debug)]
struct PermitState {
    quota: Quota,
    limiter: Limiter,
    /// The share of the quota the limiter was made for.
    share: f64,
    permits: u64,
    /// When the last permit was given, if the quota has not changed since.
    last_permit: Option<Instant>,
    throttling: Throttling,
    usage: Usage,
    /// What was sent in the quota's period.
    sent: Taken,
    breaker: Breaker,
    queue: BTreeMap<WaitingPlace, Arc<Notify>>,
    arrivals: u64,
    /// When the limiter will give the next permit, as of the last refusal.
    next_permit: Option<Instant>,
}

/// How urgent a request is; the smaller value goes first, and arrival decides among equals. Depth first: people who cannot sign in
/// at this moment come before everybody else, and a new row begins only when no row under way wants anything. So few people are
/// exposed, and none of them for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Undoes steps of a row that failed half way.
    Compensate,
    /// Belongs to a row whose person cannot work right now.
    Exposed,
    /// The last read of a row that has all its changes.
    Verify,
    /// Belongs to a row that was begun but exposes nobody.
    Started,
    /// Begins a row.
    New,
}

/// Where somebody stands, by how urgent it is and by arrival: the smallest is the head.
type WaitingPlace = (Priority, u64);

impl Budget {
    /// A budget of that quota. It begins without burst, since a process
    /// that was killed a moment ago may have used it.
    #[must_use]
    pub fn new(name: impl Into<String>, quota: Quota) -> Arc<Budget> {
        let now = Instant::now();
        Arc::new(Budget {
            name: name.into(),
            state: Mutex::new(PermitState {
                quota,
                limiter: Limiter::new(quota, 1.0, None),
                share: 1.0,
                permits: 0,
                last_permit: None,
                throttling: Throttling::new(now),
                usage: Usage::new(now),
                sent: Taken::since(now, quota.period()),
                breaker: Breaker::new(),
                queue: BTreeMap::new(),
                arrivals: 0,
                next_permit: None,
            }),
        })
    }

    /// Waits for a permit for one request. The most urgent waiter gets the next permit, the one who came first among
    /// equals. May be dropped at any time; a permit once returned counts as used, whether or not a request follows.
    pub async fn take(&self, priority: Priority) -> Permit {
        let waiter = self.enter(priority);
        loop {
            match self.turn(waiter.place) {
                Ok(permit) => return permit,
                // Woken or due, the next turn finds out which.
                Err(Some(due)) => drop(timeout_at(due, waiter.woken.notified()).await),
                Err(None) => waiter.woken.notified().await,
            }
        }
    }

    /// A request was answered with 429. Where that is a sign of a limit (one is named, a pause of ten seconds and more is
    /// declared, or there are too many for chance), it stops the whole budget for `retry_after`, or for a growing delay where
    /// the service gave none (100 ms to 10 min in any case); replies to requests that were in flight together count as
    /// one. Otherwise the row alone waits, as [`super::row_wait`] says. After a stop a single request finds out whether the service takes them again, and the budget goes on at about
    /// the rate that the service took of late; that grows again within two minutes, down to a tenth and never above the
    /// quota.
    pub fn throttled(&self, permit: Permit, retry_after: Option<Duration>, reason: ThrottleReason) {
        self.learn(|state, now| {
            state.breaker.answered();
            state.throttling.throttled(now, permit, retry_after, reason, full_rate(state.quota));
        });
    }

    /// The service took a request: it answered with anything but 429.
    pub fn taken(&self, permit: Permit) {
        self.learn(|state, now| {
            if state.throttling.taken(now, permit) {
                // Without this the burst that built up during the stop would leave at once.
                state.renew(now);
            }
        });
    }

    /// A request succeeded, and the reply said that this fraction of a limit is in use (0.8 to 1.8), or nothing. The rate
    /// falls while the fraction rises above 0.8, down to a tenth, and comes back when it falls.
    pub fn usage(&self, fraction: Option<f64>) {
        self.learn(|state, now| state.usage.reported(now, fraction, state.used_share(now)));
    }

    /// A request was not served. Five in a row, without an answer between them, stop the budget; single requests, 1 s to
    /// 30 s apart, then find out whether the target is back. A single refusal of the sign-in stops it; it is then tried
    /// again 2 s to 2 min apart.
    pub fn unavailable(&self, trouble: Trouble) {
        self.learn(|state, now| state.breaker.failed(now, trouble));
    }

    /// The target answered a request, whatever it said; ends what [`Budget::unavailable`] began.
    pub fn answered(&self) {
        self.learn(|state, _| state.breaker.answered());
    }

    /// Since when the target has answered nothing; `None` while the last request was answered.
    pub fn trouble_since(&self) -> Option<Instant> {
        self.state.lock().breaker.since
    }

    /// Since when the sign-in is refused; `None` while it is not.
    pub fn refused_since(&self) -> Option<Instant> {
        self.state.lock().breaker.refused_since
    }

    /// Why nothing is being sent, if so: a stop, or waiters with no permit left for them.
    pub fn pause(&self) -> Option<Pause> {
        self.state.lock().pause(Instant::now())
    }

    /// Permits given since it was made.
    pub fn permits(&self) -> u64 {
        self.state.lock().permits
    }

    /// Permits per second at present, apart from stops.
    pub fn rate(&self) -> f64 {
        let mut state = self.state.lock();
        state.settle(Instant::now());
        state.limiter.rate()
    }

    /// The share of its quota that was used in the last period; more than all of it while somebody waits for a permit.
    pub fn load(&self) -> f64 {
        let now = Instant::now();
        let state = self.state.lock();
        let used = state.used_share(now);
        if state.pause(now).is_some() { used + 1.0 } else { used }
    }

    /// That the rate is lower than it could be, and why, in words; stops and other waits are told by [`Budget::pause`].
    pub fn eased(&self) -> Option<String> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.settle(now);
        let why = match state.throttling.last {
            _ if state.usage.share() < state.throttling.share(now) => {
                "a limit of the service is nearly used up".to_owned()
            }
            last => last?.whose.to_string(),
        };
        (state.share < EASED_BELOW).then(|| format!("eased to {:.1}/s: {why}", state.limiter.rate()))
    }

    /// Permits per second when nothing slows the budget: the quota less a percent or so that is kept in reserve.
    pub fn full_rate(&self) -> f64 {
        full_rate(self.state.lock().quota)
    }

    /// Replaces the quota; what was learnt about the target stays in force: a rate at which it throttled is no more free
    /// than before. The promise about any window holds for the new quota from one period after the change on.
    pub fn set_quota(&self, quota: Quota) {
        self.learn(|state, now| {
            state.throttling.rescale(full_rate(quota) / full_rate(state.quota));
            state.quota = quota;
            state.sent = Taken::since(now, quota.period());
            state.last_permit = None;
            state.renew(now);
        });
    }

    /// The quota in force.
    pub fn quota(&self) -> Quota {
        self.state.lock().quota
    }

    fn enter(&self, priority: Priority) -> PermitWaiter<'_> {
        let mut state = self.state.lock();
        let place = (priority, state.arrivals);
        state.arrivals += 1;
        let woken = Arc::new(Notify::new());
        state.queue.insert(place, Arc::clone(&woken));
        PermitWaiter { budget: self, place, woken }
    }

    /// A permit for the head of the queue, or when to ask again; whoever is not the head is woken once it is.
    fn turn(&self, place: WaitingPlace) -> Result<Permit, Option<Instant>> {
        let mut state = self.state.lock();
        match state.queue.first_key_value() {
            Some((head, _)) if *head == place => state.try_take(Instant::now()).map_err(Some),
            Some(_) | None => Err(None),
        }
    }

    /// Changes what is known, and lets the head of the queue see what that means for it.
    fn learn(&self, change: impl FnOnce(&mut PermitState, Instant)) {
        let now = Instant::now();
        let mut state = self.state.lock();
        change(&mut state, now);
        state.settle(now);
        state.wake_head();
    }
}

impl PermitState {
    /// Takes a permit, or says when to ask again.
    fn try_take(&mut self, now: Instant) -> Result<Permit, Instant> {
        self.settle(now);
        if let Some(stop) = self.stop(now) {
            return Err(stop.until);
        }
        if let Err(due) = self.limiter.try_take() {
            self.next_permit = Some(due);
            return Err(due);
        }
        self.permits += 1;
        let permit = Permit(self.permits);
        self.last_permit = Some(now);
        self.sent.add(now);
        self.breaker.admitted(now, permit);
        self.throttling.admitted(now, permit);
        Ok(permit)
    }

    /// Brings the rate up to date.
    fn settle(&mut self, now: Instant) {
        let share = self.wanted_share(now);
        let is_full_again = share >= 1.0 && self.share < 1.0;
        if is_full_again || (share / self.share - 1.0).abs() > CHANGE_MIN {
            self.renew(now);
        }
    }

    /// The share of the quota that was sent in its last period.
    fn used_share(&self, now: Instant) -> f64 {
        self.sent.count(now) / f64::from(self.quota.count())
    }

    /// Both laws count: what the service says of its limits slows the rate that was learnt to be free.
    fn wanted_share(&self, now: Instant) -> f64 {
        (self.throttling.share(now) * self.usage.share()).max(SHARE_MIN)
    }

    /// A new limiter begins with an empty burst, so no change of rate can exceed a quota.
    fn renew(&mut self, now: Instant) {
        self.share = self.wanted_share(now);
        self.limiter = Limiter::new(self.quota, self.share, self.last_permit);
    }

    /// The stop that lasts longest.
    fn stop(&self, now: Instant) -> Option<Pause> {
        let stops = self.throttling.gate.pause(now).into_iter().chain(self.breaker.gate.pause(now));
        stops.max_by_key(|pause| pause.until)
    }

    /// A stop, or waiters with no permit left for them.
    fn pause(&self, now: Instant) -> Option<Pause> {
        let next_permit = self.next_permit.filter(|due| now < *due && !self.queue.is_empty());
        let used_up = next_permit.map(|until| Pause { reason: PauseReason::BudgetUsedUp, until });
        self.stop(now).or(used_up)
    }

    fn wake_head(&self) {
        if let Some((_, woken)) = self.queue.first_key_value() {
            woken.notify_one();
        }
    }
}

/// A place in the queue, given up when dropped.
struct PermitWaiter<'a> {
    budget: &'a Budget,
    place: WaitingPlace,
    woken: Arc<Notify>,
}

impl Drop for PermitWaiter<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        state.queue.remove(&self.place);
        state.wake_head();
    }
}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
