//! What all rows of a run share: the services, the clock, and the gauges that progress is read from.

use super::directory::DirectoryBatcher;
use super::exposed::Exposed;
use crate::core::Request;
use crate::job::AppFacts;
use crate::journal::UnixMillis;
use crate::services::{Class, Registry, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Where the time that is stored and shown comes from. Waiting uses tokio's timers.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now(&self) -> UnixMillis;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }
}

/// What all rows of a run share.
pub struct Services {
    /// Where requests go.
    pub registry: Registry,
    /// The on-premises directory, where the target has one and the job asks it.
    pub directory: Option<DirectoryBatcher>,
    /// What is known of the app that signs in.
    pub app: AppFacts,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The run's name; request names are derived from it.
    pub run: Uuid,
    /// When this process began; makes its request names its own.
    pub process_at: UnixMillis,
    /// Counters for progress.
    pub gauges: Gauges,
}

impl Services {
    /// A seed for the jitter of something with this name: the same in every process of the run.
    #[must_use]
    pub fn seed_of(&self, name: &str) -> u64 {
        Uuid::new_v5(&self.run, name.as_bytes()).as_u64_pair().0
    }
}

/// Counters of this process, for progress only.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Writes that were taken.
    pub writes: AtomicU64,
    /// Reads sent.
    pub reads: AtomicU64,
    /// Throttling answers.
    pub throttled: AtomicU64,
    /// People who cannot work now.
    pub exposed: Exposed,
    /// Rows being worked on.
    pub in_flight: AtomicU64,
}

impl Gauges {
    /// Counts a request and its answer.
    pub fn count(&self, request: &Request, reply: &Reply) {
        match (request.is_write(), &reply.result) {
            (false, _) => self.reads.fetch_add(1, Ordering::Relaxed),
            (true, Ok(_)) => self.writes.fetch_add(1, Ordering::Relaxed),
            (true, Err(_)) => 0,
        };
        let fault = reply.result.as_ref().err();
        if fault.is_some_and(|fault| matches!(fault.class, Class::Throttled { .. })) {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
