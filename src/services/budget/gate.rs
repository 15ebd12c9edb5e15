//! The gate of a budget: open, stopped, or with one request under way that finds out whether the stop is over. What stops it,
//! and what the answer to that request means, is decided in `breaker.rs` and `feedback.rs`.

use super::Pause;
use std::time::Duration;
use tokio::time::Instant;

/// Leave for one request. What became of it is reported with it, so that a reply to a request that was in flight when
/// a stop began is told from one to a request after it. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permit(pub(super) u64);

/// Whether requests pass.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gate {
    Open,
    /// None before the pause has ended; then one does.
    Stopped(Pause),
    /// The one is under way, and none follows before it is answered or the pause has ended.
    Probing {
        probe: Permit,
        pause: Pause,
    },
}

impl Gate {
    /// The stop in force, if any.
    pub(super) fn pause(&self, now: Instant) -> Option<Pause> {
        match self {
            Gate::Open => None,
            Gate::Stopped(pause) | Gate::Probing { pause, .. } => Some(*pause).filter(|pause| now < pause.until),
        }
    }

    /// A request leaves. The first one after a stop is the probe, which is returned; it is given up as lost after a time, since
    /// whoever sent it may have been cancelled and will never report.
    pub(super) fn admitted(&mut self, now: Instant, permit: Permit, lost_after: Duration) -> Option<Permit> {
        let (probe, pause) = match *self {
            Gate::Open => return None,
            Gate::Stopped(pause) => (permit, pause),
            Gate::Probing { probe, pause } => (probe, pause),
        };
        *self = Gate::Probing { probe, pause: Pause { until: now + lost_after, ..pause } };
        Some(probe)
    }
}
