//! What the runner knows of a service: its name, its budgets, how to send it a request, and what to ask it before a run.

use super::reply::{Fault, Reply};
use crate::core::{Request, ServiceName};
use crate::services::budget::Budget;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The place of a budget among those of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BudgetId(pub usize);

/// How long a run waits for a service before it gives up on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While it answers nothing.
    pub silence: Duration,
    /// While it refuses the sign-in.
    pub sign_in: Duration,
}

impl Patience {
    /// Where nobody says anything: a short outage passes, and a long one is told to somebody the same hour. A refused sign-in is
    /// waited for from the evening, when a secret expires, until those who can renew it are awake; nothing is lost by that, since
    /// nobody can be helped without a sign-in.
    pub const USUAL: Patience =
        Patience { silence: Duration::from_secs(5 * 60), sign_in: Duration::from_secs(12 * 60 * 60) };
}

/// Something that takes requests.
#[async_trait]
pub trait Service: Send + Sync {
    /// The name that requests have for it.
    fn name(&self) -> ServiceName;

    /// Its budgets; a [`BudgetId`] is a place in this list. The first one is what operators change while a run goes on.
    fn budgets(&self) -> Vec<Arc<Budget>>;

    /// The budget that a request takes from.
    fn budget(&self, request: &Request) -> BudgetId;

    /// How long a run waits for it.
    fn patience(&self) -> Patience;

    /// Sends the request once, as the attempt of this name, and waits for what becomes of it; every failure is a [`Fault`]
    /// in the reply. If the future is dropped, the request may or may not have been applied.
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply;

    /// What is asked before a run, if anything: a list by which it can be recognised.
    fn introduction(&self) -> Option<Request> {
        None
    }

    /// What the answer to that comes to. `signed_in_to` is the tenant that the sign-in led to, as far as that is known.
    fn recognise(&self, _signed_in_to: Option<&str>, _answer: Result<&[Value], &Fault>) -> Vec<Check> {
        Vec::new()
    }
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It could not be found out.
    Unknown,
    /// Somebody should know; the run can be made.
    Warning,
    /// The run must not begin.
    Bad,
}

/// One thing that was looked at before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at; a stable name.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// How to fix it; empty where there is nothing to fix.
    pub advice: String,
}

impl Check {
    /// The name of the check whose detail is the tenant's name for people.
    pub const INITIAL_DOMAIN: &str = "initial domain";

    /// As it should be.
    pub fn good(name: &str, detail: impl Into<String>) -> Check {
        Check::new(name, Verdict::Good, detail, "")
    }

    /// Not as it should be.
    pub fn bad(name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check::new(name, Verdict::Bad, detail, advice)
    }

    /// Any other.
    #[must_use]
    pub fn new(name: &str, verdict: Verdict, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name: name.to_owned(), verdict, detail: detail.into(), advice: advice.into() }
    }
}
