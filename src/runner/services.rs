//! What all rows of a run share: the target, its budgets, the clock, and the gauges that progress is read from.

use super::directory::Inquiries;
use super::exposed::Exposed;
use crate::job::AppFacts;
use crate::journal::UnixMillis;
use crate::services::budget::{Budget, PauseReason};
use crate::services::{Allowance, Class, Kind, Reply, Target};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
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
    pub target: Arc<dyn Target>,
    /// The budget of reads.
    pub reads: Arc<Budget>,
    /// The budget of writes.
    pub writes: Arc<Budget>,
    /// The budget of requests about risky users and conditional access.
    pub identity_protection: Arc<Budget>,
    /// The on-premises directory, where the target has one and the job asks it.
    pub directory: Option<Inquiries>,
    /// What is known of the app that signs in.
    pub app: AppFacts,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The run's name; request names are derived from it.
    pub run: Uuid,
    /// When this process began; makes its request names its own.
    pub process_at: UnixMillis,
    /// How long nothing may answer before the run stops.
    pub patience: Duration,
    /// How long the sign-in may be refused in the middle of a run before the run stops.
    pub sign_in_patience: Duration,
    /// Counters for progress.
    pub gauges: Gauges,
}

impl Services {
    /// Does something with every budget of the target.
    pub fn each_budget(&self, act: impl Fn(&Budget)) {
        self.budgets().into_iter().for_each(|budget| act(budget));
    }

    /// The budget that a request of this kind to this path takes from.
    #[must_use]
    pub fn budget(&self, kind: Kind, path: &str) -> &Arc<Budget> {
        match Allowance::of(kind, path) {
            Allowance::DirectoryReads => &self.reads,
            Allowance::DirectoryWrites => &self.writes,
            Allowance::IdentityProtection => &self.identity_protection,
        }
    }

    /// Why nothing is being sent, and for how much longer.
    #[must_use]
    pub fn waiting(&self) -> Option<(String, Duration)> {
        let pauses = self
            .budgets()
            .into_iter()
            .filter_map(|budget| budget.pause());
        let pause = pauses.max_by_key(|pause| pause.until)?;
        let left = pause.until.saturating_duration_since(Instant::now());
        let reason = match pause.reason {
            PauseReason::ServerErrors | PauseReason::NoAnswer | PauseReason::SignInRefused => {
                let why = self.gauges.trouble().unwrap_or_default();
                format!("{}: {why}", pause.reason)
            }
            PauseReason::RetryAfter(_) | PauseReason::Backoff(_) | PauseReason::BudgetUsedUp => {
                pause.reason.to_string()
            }
        };
        Some((reason, left))
    }

    /// That a rate is lower than it could be, and why, in words.
    #[must_use]
    pub fn eased(&self) -> Option<String> {
        let eased = |budget: &Arc<Budget>| {
            let eased = budget.eased()?;
            Some(format!("rate of {} {eased}", budget.name()))
        };
        self.budgets().into_iter().find_map(eased)
    }

    /// The one that tells most first.
    fn budgets(&self) -> [&Arc<Budget>; 3] {
        [&self.writes, &self.reads, &self.identity_protection]
    }

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
    /// Whether the target has served this process at all.
    served: AtomicBool,
    /// Why the target serves nobody at present, in words.
    trouble: Mutex<Option<String>>,
}

impl Gauges {
    /// Counts a request and its answer.
    pub fn count(&self, kind: Kind, reply: &Reply) {
        match (kind, &reply.result) {
            (Kind::Read, _) => self.reads.fetch_add(1, Ordering::Relaxed),
            (Kind::Write, Ok(_)) => self.writes.fetch_add(1, Ordering::Relaxed),
            (Kind::Write, Err(_)) => 0,
        };
        if reply.result.is_ok() {
            self.served.store(true, Ordering::Relaxed);
        }
        let fault = reply.result.as_ref().err();
        if fault.is_some_and(|fault| matches!(fault.class, Class::Throttled { .. })) {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the target has served this process at all.
    #[must_use]
    pub fn has_been_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Notes why the target serves nobody, or that it does. Answers whether that is new.
    pub fn note_trouble(&self, words: Option<String>) -> bool {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *known != words;
        *known = words;
        is_new
    }

    /// Why the target serves nobody at present, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}
