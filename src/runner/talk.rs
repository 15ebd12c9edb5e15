//! One row's talk with the target: a permit, a request, and what to do about an answer that is no answer.
//!
//! This is the one layer that sends a request again, and it does so only when the first one certainly changed nothing:
//! throttled, not signed in, never left, or a read. Anything a write may have done goes back to the machine. What the service
//! says about its load is told to the budget, which makes everybody wait, not one row. So does a sign-in that is refused in
//! the middle of a run: it holds the run until somebody has mended it, or the patience with that ends.

use super::listing::Listing;
use super::services::Services;
use super::stop::Gate;
use crate::core::Problem;
use crate::job::{AppFacts, Ask, Verb};
use crate::services::budget::{
    Budget, Delays, PauseReason, Permit, Priority, Sequence, Trouble, row_wait,
};
use crate::services::{Class, Expects, Fault, Kind, Method, Reply, Request, Success};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Most tries of a read that the target answers with a fault while it answers others. With their delays that is about five
/// minutes; while the target answers nobody, tries are not counted.
const READ_TRIES_MAX: u32 = 12;

/// Most times that one listing is begun because a page of it was asked for too late.
const LISTINGS_MAX: u32 = 5;

/// Most times in a row that one request may be refused for its token before that holds the run.
const UNAUTHENTICATED_MAX: u32 = 4;

/// How long a wait goes on after the run began to drain, where it may end early: a permit of the plain budget comes sooner.
const LEAVE_AFTER: Duration = Duration::from_secs(3);

/// Something that no row can go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt(pub Problem);

/// Why a request has no useful answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// For this row.
    Fault(Fault),
    /// For the whole run.
    Halt(Halt),
    /// The run drains, and the row waits no longer. Nothing is under way, and what was asked for last was not sent or not done.
    Left,
}

/// What is told of a request that was not waited for any longer.
#[must_use]
pub fn left() -> Problem {
    Class::NotSent
        .kind()
        .problem("the run drained before the request could be sent")
}

/// The talk of one row, with what it cost.
pub struct Talk {
    services: Arc<Services>,
    name: String,
    sent: u32,
    /// Reads sent since the last [`Talk::take_costs`].
    reads: u32,
    throttled: u32,
    request_id: Option<String>,
    waited: Duration,
    delays: Delays,
    /// A run that stops by this gate ends a wait.
    leaves_by: Option<Gate>,
}

/// What a talk cost since the last time it was asked.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    /// Reads sent.
    pub reads: u32,
    /// Throttling answers.
    pub throttled: u32,
    /// The service's id of the last request.
    pub request_id: Option<String>,
}

impl Talk {
    /// A talk for something with a name that is unique in the run, such as a row's number.
    #[must_use]
    pub fn new(services: &Arc<Services>, name: String) -> Talk {
        let seed = services.seed_of(&name);
        Talk {
            services: Arc::clone(services),
            name,
            sent: 0,
            reads: 0,
            throttled: 0,
            request_id: None,
            waited: Duration::ZERO,
            delays: Delays::new(Sequence::RowRetry, seed),
            leaves_by: None,
        }
    }

    /// From now on waits end soon after the run of this gate stops; without one, only by themselves. A hold ends none: the row
    /// would be handed out again by this process, which keeps no place for it.
    pub fn leave_by(&mut self, gate: Option<&Gate>) {
        self.leaves_by = gate.cloned();
    }

    /// Waits so long.
    ///
    /// # Errors
    /// [`NoAnswer::Left`].
    pub async fn pause(&self, time: Duration) -> Result<(), NoAnswer> {
        self.wait(sleep(time)).await
    }

    /// Waits for a turn among the rows, which says nothing about how long this one takes.
    ///
    /// # Errors
    /// [`NoAnswer::Left`].
    pub async fn take_turn<T>(&mut self, turn: impl Future<Output = T>) -> Result<T, NoAnswer> {
        let begun = Instant::now();
        let came = self.wait(turn).await;
        self.waited += begun.elapsed();
        came
    }

    async fn wait<T>(&self, wait: impl Future<Output = T>) -> Result<T, NoAnswer> {
        let Some(gate) = &self.leaves_by else {
            return Ok(wait.await);
        };
        let leaving = async {
            gate.stopping().await;
            sleep(LEAVE_AFTER).await;
        };
        tokio::select! {
            biased;
            came = wait => Ok(came),
            () = leaving => Err(NoAnswer::Left),
        }
    }

    /// What is known of the app that signs in.
    #[must_use]
    pub fn app(&self) -> &AppFacts {
        &self.services.app
    }

    /// What it cost since the last call.
    pub fn take_costs(&mut self) -> Costs {
        Costs {
            reads: std::mem::take(&mut self.reads),
            throttled: std::mem::take(&mut self.throttled),
            request_id: self.request_id.take(),
        }
    }

    /// How long it waited for its turns.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`NoAnswer`] when the target refuses, or answers nothing useful though it answers others.
    pub async fn read(&mut self, ask: &Ask, priority: Priority) -> Result<Success, NoAnswer> {
        self.read_one(ask, Expects::Object, priority).await
    }

    async fn read_one(
        &mut self,
        ask: &Ask,
        expects: Expects,
        priority: Priority,
    ) -> Result<Success, NoAnswer> {
        let mut tries = 0;
        self.delays.reset();
        loop {
            let sent = Sending {
                ask,
                expects,
                token: "read",
            };
            let fault = match self.attempt(&sent, priority).await? {
                Ok(success) => return Ok(success),
                Err(fault) => fault,
            };
            if !may_pass_later(fault.class) {
                return Err(NoAnswer::Fault(fault));
            }
            if !is_down(self.services.budget(Kind::Read, &ask.path)) {
                tries += 1;
            }
            if tries >= READ_TRIES_MAX {
                return Err(NoAnswer::Fault(fault));
            }
            let delay = self.delays.next_delay();
            self.pause(delay).await?;
        }
    }

    /// Reads all pages of a list for a row and answers its items. A listing that takes too long between two pages is begun
    /// again.
    ///
    /// # Errors
    /// As [`Talk::read`], and where the listing does not end.
    pub async fn read_list(
        &mut self,
        ask: &Ask,
        priority: Priority,
    ) -> Result<Vec<serde_json::Value>, NoAnswer> {
        self.list(ask, Expects::Page, priority).await
    }

    /// The same for a list that is read once a run and may have larger pages.
    ///
    /// # Errors
    /// As [`Talk::read_list`].
    pub async fn survey(&mut self, ask: &Ask) -> Result<Vec<serde_json::Value>, NoAnswer> {
        self.list(ask, Expects::Survey, Priority::Exposed).await
    }

    async fn list(
        &mut self,
        ask: &Ask,
        expects: Expects,
        priority: Priority,
    ) -> Result<Vec<serde_json::Value>, NoAnswer> {
        for _ in 1..LISTINGS_MAX {
            match self.read_pages(ask, expects, priority).await {
                Err(NoAnswer::Fault(fault)) if fault.is_expired_page() => {}
                ended => return ended,
            }
        }
        self.read_pages(ask, expects, priority).await
    }

    async fn read_pages(
        &mut self,
        ask: &Ask,
        expects: Expects,
        priority: Priority,
    ) -> Result<Vec<serde_json::Value>, NoAnswer> {
        let mut ask = ask.clone();
        let mut listing = Listing::default();
        loop {
            let page = self.read_one(&ask, expects, priority).await?;
            match listing.take(page).map_err(NoAnswer::Fault)? {
                Some(next) => ask.path = next,
                None => return Ok(listing.into_items()),
            }
        }
    }

    /// Sends a write until it was taken, refused, or may have been either. `token` names the attempt.
    ///
    /// # Errors
    /// [`NoAnswer`]; with a fault in doubt the write may have taken effect, with any other it did not.
    pub async fn write(
        &mut self,
        ask: &Ask,
        token: &str,
        priority: Priority,
    ) -> Result<Success, NoAnswer> {
        self.delays.reset();
        let sent = Sending {
            ask,
            expects: Expects::Done,
            token,
        };
        self.attempt(&sent, priority)
            .await?
            .map_err(NoAnswer::Fault)
    }

    /// Sends a request until it has an answer that is more than "not now".
    async fn attempt(
        &mut self,
        sent: &Sending<'_>,
        priority: Priority,
    ) -> Result<Result<Success, Fault>, NoAnswer> {
        let mut unauthenticated = 0;
        loop {
            let fault = match self.send(sent, priority).await?.result {
                Ok(success) => return Ok(Ok(success)),
                Err(fault) => fault,
            };
            match fault.class {
                Class::Throttled {
                    retry_after,
                    reason,
                } => {
                    self.throttled += 1;
                    let wait = row_wait(retry_after, reason);
                    self.pause(wait).await?;
                }
                Class::NotSent => {
                    let delay = self.delays.next_delay();
                    self.pause(delay).await?;
                }
                Class::Unauthenticated if unauthenticated < UNAUTHENTICATED_MAX => {
                    unauthenticated += 1;
                    if unauthenticated > 1 {
                        let delay = self.delays.next_delay();
                        self.pause(delay).await?;
                    }
                }
                Class::Unauthenticated | Class::SignIn => self.hold(&fault)?,
                Class::NotFound
                | Class::Duplicate
                | Class::InvalidValue
                | Class::Denied
                | Class::Contended
                | Class::Unsupported
                | Class::Licence
                | Class::Unavailable { .. }
                | Class::InDoubt
                | Class::Rejected => return Ok(Err(fault)),
            }
        }
    }

    /// Makes everybody wait for a sign-in that is refused. One that never worked for this process will not by waiting.
    fn hold(&self, fault: &Fault) -> Result<(), NoAnswer> {
        let services = &self.services;
        if !services.gauges.has_been_served() {
            return Err(NoAnswer::Halt(Halt(fault.problem())));
        }
        let refused_for = services
            .writes
            .refused_since()
            .map_or(Duration::ZERO, |since| since.elapsed());
        if refused_for >= services.sign_in_patience {
            let mut problem = fault.problem();
            problem.message = format!(
                "the sign-in has been refused for {} s: {}",
                refused_for.as_secs(),
                problem.message
            );
            return Err(NoAnswer::Halt(Halt(problem)));
        }
        if fault.class == Class::Unauthenticated {
            services.each_budget(|budget| budget.unavailable(Trouble::SignInRefused));
            self.note_trouble(Some(fault));
        }
        Ok(())
    }

    async fn send(&mut self, sent: &Sending<'_>, priority: Priority) -> Result<Reply, NoAnswer> {
        let ask = sent.ask;
        let budget = Arc::clone(self.services.budget(kind_of(ask), &ask.path));
        let permit = self.take_turn(budget.take(priority)).await?;
        let request = self.request(sent);
        let reply = self.services.target.send(&request).await;
        self.services.gauges.count(request.kind, &reply);
        if request.kind == Kind::Read {
            self.reads += 1;
        }
        if let Some(id) = &reply.request_id {
            self.request_id = Some(id.clone());
        }
        self.note(&request, &reply);
        self.tell_budgets(&budget, permit, &reply);
        Ok(reply)
    }

    fn note(&self, request: &Request, reply: &Reply) {
        let answer = match &reply.result {
            Ok(success) => success.status.to_string(),
            Err(fault) => format!("{:?} {}", fault.class, fault.code),
        };
        tracing::debug!(row = %self.name, id = %request.id, method = ?request.method, path = %request.path, %answer);
    }

    fn request(&mut self, sent: &Sending<'_>) -> Request {
        self.sent += 1;
        let ask = sent.ask;
        Request {
            kind: kind_of(ask),
            expects: sent.expects,
            method: match ask.verb {
                None => Method::Get,
                Some(Verb::Post) => Method::Post,
                Some(Verb::Patch) => Method::Patch,
                Some(Verb::Put) => Method::Put,
                Some(Verb::Delete) => Method::Delete,
            },
            path: ask.path.clone(),
            headers: ask.headers.clone(),
            body: ask.body.clone(),
            id: self.request_name(sent.token),
        }
    }

    /// Derived from run, row, step and attempt, and from the count of sendings in this process, so that it is never the
    /// same twice.
    fn request_name(&self, token: &str) -> Uuid {
        let process = self.services.process_at;
        let name = format!("{}/{token}/{process}/{}", self.name, self.sent);
        Uuid::new_v5(&self.services.run, name.as_bytes())
    }

    /// All budgets belong to one service: if it is down for one, it is for the others. What it says of a limit concerns the
    /// budget of that limit alone.
    fn tell_budgets(&self, budget: &Budget, permit: Permit, reply: &Reply) {
        let fault = match &reply.result {
            Ok(_) => {
                budget.taken(permit);
                budget.usage(reply.usage);
                self.note_trouble(None);
                return self.services.each_budget(Budget::answered);
            }
            Err(fault) => fault,
        };
        if let Class::Throttled {
            retry_after,
            reason,
        } = fault.class
        {
            return budget.throttled(permit, retry_after, reason);
        }
        match fault.trouble() {
            Some(trouble) => {
                self.note_trouble(Some(fault));
                self.services
                    .each_budget(|budget| budget.unavailable(trouble));
            }
            None => {
                budget.taken(permit);
                self.services.each_budget(Budget::answered);
            }
        }
    }

    /// Keeps for progress why nobody is served, and says so once when it is for a person to mend.
    fn note_trouble(&self, fault: Option<&Fault>) {
        let words = fault.map(in_words);
        let is_new = self.services.gauges.note_trouble(words.clone());
        let for_a_person = fault
            .is_some_and(|fault| matches!(fault.class, Class::SignIn | Class::Unauthenticated));
        if let Some(words) = words.filter(|_| is_new && for_a_person) {
            tracing::warn!("the run waits, the sign-in is refused: {words}");
        }
    }
}

/// What is sent, until it has an answer.
struct Sending<'a> {
    ask: &'a Ask,
    expects: Expects,
    /// Names the attempt.
    token: &'a str,
}

/// A fault that concerns everybody, as short as it can be told, and what to do where a person can do something.
fn in_words(fault: &Fault) -> String {
    let what = fault.brief_words();
    match fault.class {
        Class::SignIn | Class::Unauthenticated => {
            format!("{what}; {}; the run then goes on by itself", fault.advice())
        }
        Class::NotFound
        | Class::Duplicate
        | Class::InvalidValue
        | Class::Denied
        | Class::Throttled { .. }
        | Class::Contended
        | Class::Unsupported
        | Class::NotSent
        | Class::Licence
        | Class::Unavailable { .. }
        | Class::InDoubt
        | Class::Rejected => what,
    }
}

/// Whether the same read may be answered in a moment: there was no answer, or the replica that was asked was busy.
fn may_pass_later(class: Class) -> bool {
    match class {
        Class::InDoubt | Class::Unavailable { .. } | Class::Contended => true,
        Class::NotFound
        | Class::Duplicate
        | Class::InvalidValue
        | Class::Denied
        | Class::Licence
        | Class::Throttled { .. }
        | Class::Unsupported
        | Class::Unauthenticated
        | Class::SignIn
        | Class::NotSent
        | Class::Rejected => false,
    }
}

fn kind_of(ask: &Ask) -> Kind {
    ask.verb.map_or(Kind::Read, |_| Kind::Write)
}

fn is_down(budget: &Budget) -> bool {
    let reason = budget.pause().map(|pause| pause.reason);
    match reason {
        Some(PauseReason::ServerErrors | PauseReason::NoAnswer | PauseReason::SignInRefused) => {
            true
        }
        Some(PauseReason::RetryAfter(_) | PauseReason::Backoff(_) | PauseReason::BudgetUsedUp)
        | None => false,
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod listing_tests;
