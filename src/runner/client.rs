//! Sends one row's requests: takes a permit, sends, and retries when that is safe.
//!
//! The only place that sends a request again, and it does so only when the first one certainly changed nothing. What a write
//! may have changed is for the machine to find out. What a service says about its load goes to its budgets, which makes
//! everybody wait and not one row. So does a refused sign-in: it holds whatever goes to that service until somebody has fixed
//! it or the patience with it ends.

use super::problems::unread;
use super::services::Services;
use super::stop::AdmissionGate;
use crate::core::{Problem, Request};
use crate::job::AppFacts;
use crate::services::budget::{Delays, Priority, Sequence, Trouble, row_wait};
use crate::services::{Again, Class, Endpoint, Fault, Listing, Payload, Reply, Success};
use futures_util::future::join_all;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Most tries of a read that a service answers with a fault while it answers others. With their delays that is about five
/// minutes; while the service answers nobody, tries are not counted.
const READ_TRIES_MAX: u32 = 12;

/// Most times that one listing is begun because a page of it was asked for too late.
const LISTINGS_MAX: u32 = 5;

/// Most times in a row that one request may be refused for its token before that holds the service.
const UNAUTHENTICATED_MAX: u32 = 4;

/// How long a wait goes on after the run began to drain, where it may end early: a permit of the plain budget comes sooner.
const LEAVE_AFTER: Duration = Duration::from_secs(3);

/// Something that no row can go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAbort(pub Problem);

/// Why a request has no useful answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// For this row.
    Fault(Fault),
    /// For the whole run.
    Abort(RunAbort),
    /// The run drains, and the row waits no longer. Nothing is under way, and the last request was not sent or not done.
    Left,
}

impl NoAnswer {
    /// Why nothing at all can be done without the answer.
    pub(super) fn abort(self) -> RunAbort {
        match self {
            NoAnswer::Fault(fault) => RunAbort(unread(&fault)),
            NoAnswer::Abort(abort) => abort,
            NoAnswer::Left => RunAbort(left()),
        }
    }
}

/// What is told of a request that was not waited for any longer.
#[must_use]
pub fn left() -> Problem {
    Class::NotSent.kind().problem("the run drained before the request could be sent")
}

/// The requests of one row, with what they cost.
pub struct ServiceClient {
    services: Arc<Services>,
    name: String,
    sent: u32,
    costs: Costs,
    waited: Duration,
    delays: Delays,
    /// A run that stops by this gate ends a wait.
    leaves_by: Option<AdmissionGate>,
}

/// What requests cost since the last time it was asked.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    /// Reads sent.
    pub reads: u32,
    /// Throttling answers.
    pub throttled: u32,
    /// The service's id of the last request.
    pub request_id: Option<String>,
}

impl ServiceClient {
    /// For something with a name that is unique in the run, such as a row's number.
    #[must_use]
    pub fn new(services: &Arc<Services>, name: String) -> ServiceClient {
        let seed = services.seed_of(&name);
        ServiceClient {
            services: Arc::clone(services),
            name,
            sent: 0,
            costs: Costs::default(),
            waited: Duration::ZERO,
            delays: Delays::new(Sequence::RowRetry, seed),
            leaves_by: None,
        }
    }

    /// From now on waits end soon after the run of this gate stops; without one, only by themselves. A hold ends none: the row
    /// would be handed out again by this process, which keeps no place for it.
    pub fn leave_by(&mut self, gate: Option<&AdmissionGate>) {
        self.leaves_by = gate.cloned();
    }

    /// The name of the budget that a request takes from; empty where no service takes it.
    #[must_use]
    pub fn budget_of(&self, request: &Request) -> String {
        let endpoint = self.services.registry.endpoint(request);
        endpoint.map_or_else(|_| String::new(), |endpoint| endpoint.budget(request).name.clone())
    }

    /// What is known of the app that signs in.
    #[must_use]
    pub fn app(&self) -> &AppFacts {
        &self.services.app
    }

    /// What the requests cost since the last call.
    pub fn take_costs(&mut self) -> Costs {
        std::mem::take(&mut self.costs)
    }

    /// How long it waited for its turns.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Reads what the request is for: one object, or all entries of a list. A listing that takes too long between two pages is
    /// begun again.
    ///
    /// # Errors
    /// [`NoAnswer`] when the service refuses, when it answers nothing useful though it answers others, and when a list has no
    /// end.
    pub async fn read(&mut self, request: &Request, priority: Priority) -> Result<Vec<Value>, NoAnswer> {
        for _ in 1..LISTINGS_MAX {
            match self.read_pages(request, priority).await {
                Err(NoAnswer::Fault(fault)) if fault.is_expired_page() => {}
                ended => return ended,
            }
        }
        self.read_pages(request, priority).await
    }

    /// Reads several things at the same time.
    pub async fn read_all(&mut self, requests: &[Request], priority: Priority) -> Vec<Result<Vec<Value>, NoAnswer>> {
        if let [only] = requests {
            return vec![self.read(only, priority).await];
        }
        let names = (1..=requests.len()).map(|at| format!("{}-{at}", self.name));
        let mut clients: Vec<ServiceClient> = names.map(|name| self.beside(name)).collect();
        let reads = clients.iter_mut().zip(requests);
        let answers = join_all(reads.map(|(client, request)| client.read(request, priority))).await;
        let longest = clients.iter().map(|client| client.waited).max();
        self.waited += longest.unwrap_or_default();
        for client in clients {
            // A later fork has the same names.
            self.sent = self.sent.max(client.sent);
            self.costs.reads += client.costs.reads;
            self.costs.throttled += client.costs.throttled;
            self.costs.request_id = client.costs.request_id.or(self.costs.request_id.take());
        }
        answers
    }

    /// Another client for the same row.
    fn beside(&self, name: String) -> ServiceClient {
        let mut client = ServiceClient::new(&self.services, name);
        client.sent = self.sent;
        client.leave_by(self.leaves_by.as_ref());
        client
    }

    async fn read_pages(&mut self, request: &Request, priority: Priority) -> Result<Vec<Value>, NoAnswer> {
        let mut listing = Listing::default();
        let mut next_page;
        let mut request = request;
        loop {
            let success = self.deliver(request, "read", priority).await?;
            let (items, next) = match success.payload {
                Payload::Nothing => return Ok(Vec::new()),
                Payload::Object(object) => return Ok(vec![object]),
                Payload::Page { items, next } => (items, next),
            };
            let Some(path) = listing.take(items, next).map_err(NoAnswer::Fault)? else {
                return Ok(listing.into_items());
            };
            next_page = Request { path, ..request.clone() };
            request = &next_page;
        }
    }

    /// Sends a write until it was taken, refused, or may have been either. `attempt` names the attempt.
    ///
    /// # Errors
    /// [`NoAnswer`]; with a fault whose class says so the write may have taken effect, with any other it did not.
    pub async fn write(&mut self, request: &Request, attempt: &str, priority: Priority) -> Result<(), NoAnswer> {
        self.deliver(request, attempt, priority).await.map(drop)
    }

    /// The one loop in which requests are sent again: by the table of classes.
    async fn deliver(&mut self, request: &Request, attempt: &str, priority: Priority) -> Result<Success, NoAnswer> {
        let services = Arc::clone(&self.services);
        let endpoint = services.registry.endpoint(request).map_err(NoAnswer::Fault)?;
        self.delays.reset();
        let (mut reads, mut refused_tokens) = (0, 0);
        loop {
            let reply = self.send(endpoint, request, attempt, priority).await?;
            let fault = match reply.result {
                Ok(success) => return Ok(success),
                Err(fault) => fault,
            };
            let is_main = services.registry.is_main(endpoint);
            if !is_main && fault.trouble().is_some() && endpoint.is_given_up(None) {
                return Err(NoAnswer::Fault(silence(endpoint)));
            }
            let wait = match fault.class.facts().again {
                Again::Never => return Err(NoAnswer::Fault(fault)),
                Again::AfterRead => {
                    reads += u32::from(!endpoint.is_down(endpoint.budget(request)));
                    if request.is_write() || reads >= READ_TRIES_MAX {
                        return Err(NoAnswer::Fault(fault));
                    }
                    self.delays.next_delay()
                }
                Again::Now => self.before_again(endpoint, &fault, &mut refused_tokens)?,
            };
            self.pause(wait).await?;
        }
    }

    /// How long to wait before a request that changed nothing is sent again.
    fn before_again(
        &mut self,
        endpoint: &Endpoint,
        fault: &Fault,
        refused_tokens: &mut u32,
    ) -> Result<Duration, NoAnswer> {
        if let Class::Throttled { retry_after, reason } = fault.class {
            self.costs.throttled += 1;
            return Ok(row_wait(retry_after, reason));
        }
        if !fault.concerns_app() {
            return Ok(self.delays.next_delay());
        }
        if fault.class == Class::Unauthenticated && *refused_tokens < UNAUTHENTICATED_MAX {
            *refused_tokens += 1;
            // The first one is most often a token that has just ended.
            return Ok(match *refused_tokens {
                1 => Duration::ZERO,
                _ => self.delays.next_delay(),
            });
        }
        let held = hold(endpoint, fault);
        match held {
            // Rows that need nothing of it go on.
            Err(RunAbort(problem)) if !self.services.registry.is_main(endpoint) => {
                let message = problem.message;
                Err(NoAnswer::Fault(Fault { message, ..fault.clone() }))
            }
            Err(abort) => Err(NoAnswer::Abort(abort)),
            Ok(()) => Ok(Duration::ZERO),
        }
    }

    async fn send(
        &mut self,
        endpoint: &Endpoint,
        request: &Request,
        attempt: &str,
        priority: Priority,
    ) -> Result<Reply, NoAnswer> {
        let budget = endpoint.budget(request);
        let is_main = self.services.registry.is_main(endpoint);
        let turn = async {
            tokio::select! {
                biased;
                permit = budget.take(priority) => Some(permit),
                () = endpoint.out_of_patience(), if !is_main => None,
            }
        };
        let Some(permit) = self.take_turn(turn).await? else {
            return Err(NoAnswer::Fault(silence(endpoint)));
        };
        let id = self.request_id(attempt);
        let reply = endpoint.service.send(request, id).await;
        self.services.gauges.count(request, &reply);
        self.costs.reads += u32::from(!request.is_write());
        if let Some(id) = &reply.request_id {
            self.costs.request_id = Some(id.clone());
        }
        self.note(request, id, &reply);
        endpoint.learn(budget, permit, &reply);
        Ok(reply)
    }

    fn note(&self, request: &Request, id: Uuid, reply: &Reply) {
        let (method, path) = (request.method, &request.path);
        match &reply.result {
            Ok(success) => {
                tracing::debug!(row = %self.name, %id, %method, %path, answer = success.status);
            }
            Err(fault) => {
                let answer = format_args!("{:?} {}", fault.class, fault.code);
                tracing::debug!(row = %self.name, %id, %method, %path, %answer);
            }
        }
    }

    /// Derived from run, row, step and attempt, and from the count of sendings in this process, so that it is never the
    /// same twice.
    fn request_id(&mut self, attempt: &str) -> Uuid {
        self.sent += 1;
        let process = self.services.process_at;
        let mut name = String::with_capacity(64);
        // Writing to memory does not fail.
        let _written = write!(name, "{}/{attempt}/{process}/{}", self.name, self.sent);
        Uuid::new_v5(&self.services.run, name.as_bytes())
    }

    /// Waits so long.
    ///
    /// # Errors
    /// [`NoAnswer::Left`].
    pub async fn pause(&self, time: Duration) -> Result<(), NoAnswer> {
        if time.is_zero() {
            return Ok(());
        }
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
}

/// Makes everybody wait for a sign-in that is refused. One that never worked for this process will not by waiting.
fn hold(endpoint: &Endpoint, fault: &Fault) -> Result<(), RunAbort> {
    if !endpoint.has_served() {
        return Err(RunAbort(fault.problem()));
    }
    let refused_for = endpoint.refused_for().unwrap_or_default();
    if refused_for >= endpoint.patience.sign_in {
        let mut problem = fault.problem();
        problem.message = format!("the sign-in has been refused for {} s: {}", refused_for.as_secs(), problem.message);
        return Err(RunAbort(problem));
    }
    // A refusal by the sign-in service itself was told to the budgets with its reply.
    if fault.class == Class::Unauthenticated {
        endpoint.hold(Trouble::SignInRefused, fault);
    }
    Ok(())
}

/// What a row is told of a service that others do without.
fn silence(endpoint: &Endpoint) -> Fault {
    let (name, seconds) = (endpoint.name(), endpoint.patience.silence.as_secs());
    let why = endpoint.trouble().unwrap_or_default();
    Fault {
        class: Class::NotSent,
        code: "service-silent".to_owned(),
        message: format!("{name} has given no good answer for {seconds} s: {why}"),
        status: None,
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
