//! How many people may be away at once: between the step after which they cannot work and the one that ends that.
//!
//! The budget serves those who are away first, but it cannot see them while their requests travel. If somebody new were moved
//! away at every permit that is free for a moment, all of them would soon wait for each other's permits. So there are places,
//! and whoever is to be moved away waits for one, in the order of arrival. Whoever is away already never waits.
//!
//! Little's law says how many places use up the budget: permits a second × seconds from one write of a person to the next.
//! The square root of that on top makes up for chance, as in any queue with many who come and go. Nobody holds a place while
//! they wait for something else than the service's reply, such as a replica.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A write is taken to last at least so long. Below it the budget's own order keeps people's time short, and more places do no
/// harm.
const WRITE_MIN: Duration = Duration::from_millis(200);

/// Weight of a new write in the moving mean.
const WEIGHT: f64 = 0.05;

/// The places of one run.
#[derive(Debug, Default)]
pub struct ExposureGate {
    /// Only the one who has it waits for `left`; the others wait for it, in order.
    first_in_line: tokio::sync::Mutex<()>,
    left: Notify,
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    taken: usize,
    /// How long a write lasts, from the decision to its reply, without the wait for a permit.
    write_s: Option<f64>,
}

/// Somebody is, or is about to be, where they cannot work. Given up when dropped.
#[derive(Debug)]
pub struct ExposurePlace(Arc<ExposureGate>);

impl ExposureGate {
    /// Waits for a place, with so many permits a second at present. May be dropped at any time.
    pub async fn enter(self: &Arc<Self>, rate: impl Fn() -> f64) -> ExposurePlace {
        let _turn = self.first_in_line.lock().await;
        loop {
            if let Some(place) = self.try_enter(rate()) {
                return place;
            }
            self.left.notified().await;
        }
    }

    /// Takes a place for somebody who is away already, whether or not there is one.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> ExposurePlace {
        self.state().taken += 1;
        ExposurePlace(Arc::clone(self))
    }

    /// Learns from a write that was answered, begun at that time and without so much waiting for permits.
    pub fn learn(&self, begun: Instant, waited: Duration) {
        let new = begun.elapsed().saturating_sub(waited).as_secs_f64();
        let mut state = self.state();
        let mean = state.write_s.unwrap_or(new);
        state.write_s = Some(mean + WEIGHT * (new - mean));
    }

    fn try_enter(self: &Arc<Self>, rate: f64) -> Option<ExposurePlace> {
        let mut state = self.state();
        if state.taken >= state.places(rate) {
            return None;
        }
        state.taken += 1;
        drop(state);
        Some(ExposurePlace(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        // It is whole at every point where a thread could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateState {
    /// At least one, or nobody would ever be helped.
    fn places(&self, rate: f64) -> usize {
        let least = WRITE_MIN.as_secs_f64();
        let busy = rate * self.write_s.map_or(least, |mean| mean.max(least));
        // A float to integer cast saturates.
        ((busy + busy.sqrt()).ceil() as usize).max(1)
    }
}

impl Drop for ExposurePlace {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const SOON: Duration = Duration::from_secs(1);

    /// With writes of so many milliseconds.
    fn gate(write_ms: u64) -> Arc<ExposureGate> {
        let gate = Arc::new(ExposureGate::default());
        gate.state().write_s = Some(write_ms as f64 / 1_000.0);
        gate
    }

    /// As many as get in at that rate, and no more.
    async fn fill(gate: &Arc<ExposureGate>, rate: f64) -> Vec<ExposurePlace> {
        let mut inside = Vec::new();
        while let Ok(place) = timeout(SOON, gate.enter(|| rate)).await {
            inside.push(place);
        }
        inside
    }

    #[tokio::test(start_paused = true)]
    async fn places_follow_from_rate_and_latency() {
        let places = async |write_ms, rate| fill(&gate(write_ms), rate).await.len();
        assert_eq!(places(200, 20.0).await, 6);
        assert_eq!(places(205, 20.0).await, 7);
        assert_eq!(places(2_000, 20.0).await, 47);
        assert_eq!(places(200, 60.0).await, 16);
        assert_eq!(places(900, 1.0).await, 2);
        assert_eq!(places(0, 1.0).await, 1);
        assert_eq!(places(0, 0.001).await, 1);
        assert_eq!(fill(&Arc::default(), 20.0).await.len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_measured_without_the_wait_for_its_permit() {
        let gate = Arc::new(ExposureGate::default());
        let begun = Instant::now();
        sleep(SOON).await;
        gate.learn(begun, SOON / 2);
        assert_eq!(gate.state().write_s, Some(0.5));
        gate.learn(begun, Duration::ZERO);
        assert_eq!(gate.state().write_s, Some(0.525));
        gate.learn(begun, SOON * 2);
        assert!(gate.state().write_s < Some(0.5));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_came_first_goes_first_and_who_gives_up_loses_no_turn() {
        let gate = gate(0);
        let inside = fill(&gate, 1.0).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..4)
            .map(|number| {
                let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
                tokio::spawn(async move {
                    let _place = gate.enter(|| 1.0).await;
                    order.lock().unwrap().push(number);
                    sleep(SOON).await;
                })
            })
            .collect();
        sleep(SOON).await;
        assert!(order.lock().unwrap().is_empty());
        // The first one in line is told of the place, and gives up before it can take it.
        drop(inside);
        waiters[0].abort();
        waiters[2].abort();
        sleep(SOON * 5).await;
        assert_eq!(*order.lock().unwrap(), [1, 3]);
        assert_eq!(gate.state().taken, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_away_already_never_waits_and_counts() {
        let gate = gate(200);
        let mut away: Vec<ExposurePlace> = (0..10).map(|_| gate.join()).collect();
        assert!(fill(&gate, 20.0).await.is_empty());
        away.truncate(5);
        assert_eq!(fill(&gate, 20.0).await.len(), 1);
    }
}
