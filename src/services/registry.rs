//! The services of a run, each with its budgets, what is known of its state, and how long it is waited for. One that is down
//! says nothing about the others.

use super::class::Class;
use super::reply::{Fault, Reply};
use super::service::{Patience, Service};
use crate::core::{Expects, Request, ServiceName};
use crate::services::budget::{Budget, Permit, Trouble};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// All services that requests may go to. The first one is where most of them go.
pub struct Registry(Vec<Endpoint>);

/// One service, and how it fares.
pub struct Endpoint {
    /// The service.
    pub service: Arc<dyn Service>,
    /// Its budgets; the first one is what operators change.
    pub budgets: Vec<Arc<Budget>>,
    /// How long a run waits for it.
    pub patience: Patience,
    served: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// The budget that limits at present.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Whose it is.
    pub service: ServiceName,
    /// Its name.
    pub budget: String,
    /// What it gives a second.
    pub per_s: f64,
}

impl Registry {
    /// Of these services; none may be missing.
    pub fn of(first: Arc<dyn Service>, others: Vec<Arc<dyn Service>>) -> Registry {
        let all = [first].into_iter().chain(others);
        Registry(all.map(Endpoint::new).collect())
    }

    /// The service that most requests go to.
    pub fn main(&self) -> &Endpoint {
        &self.0[0]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter()
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// There is no such service.
    pub fn endpoint(&self, request: &Request) -> Result<&Endpoint, Fault> {
        let named = |endpoint: &&Endpoint| endpoint.name() == request.service;
        self.iter().find(named).ok_or_else(|| {
            let message = format!("the connection file has no section for the service `{}`", request.service);
            Fault::new(Class::Unsupported, "no-such-service", message)
        })
    }

    /// Whether this is where most requests go. Without it no row can go on, so that the run stops when it is given up; of any
    /// other, only the rows that need it.
    pub fn is_main(&self, endpoint: &Endpoint) -> bool {
        endpoint.name() == self.main().name()
    }

    /// Why nothing is being sent, and for how much longer: the wait that lasts longest.
    pub fn waiting(&self) -> Option<(String, Duration)> {
        self.iter().filter_map(Endpoint::waiting).max_by_key(|(_, left)| *left)
    }

    /// That a rate is lower than it could be, and why, in words.
    pub fn eased(&self) -> Option<String> {
        let mut budgets = self.iter().flat_map(|endpoint| &endpoint.budgets);
        budgets.find_map(|budget| Some(format!("rate of {} {}", budget.name, budget.eased()?)))
    }

    /// The budget that limits at present: the one of which the greatest share is in use. None while hardly anything is.
    pub fn binding(&self) -> Option<Binding> {
        let loads = self
            .iter()
            .flat_map(|endpoint| endpoint.budgets.iter().map(|budget| (budget.load(), endpoint.name(), budget)));
        let (load, service, budget) = loads.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (load >= BINDING_LOAD_MIN).then(|| Binding { service, budget: budget.name.clone(), per_s: budget.rate() })
    }
}

/// Below this share in use, something else than a budget limits.
const BINDING_LOAD_MIN: f64 = 0.5;

impl Endpoint {
    fn new(service: Arc<dyn Service>) -> Endpoint {
        Endpoint {
            budgets: service.budgets(),
            patience: service.patience(),
            served: AtomicBool::new(false),
            trouble: Mutex::default(),
            service,
        }
    }

    /// The service's name.
    pub fn name(&self) -> ServiceName {
        self.service.name()
    }

    /// The budget that a request takes from.
    pub fn budget(&self, request: &Request) -> &Arc<Budget> {
        // A service that names a budget it does not have is a mistake in the program; its first one is never too fast.
        self.budgets.get(self.service.budget(request).0).unwrap_or(self.paced())
    }

    /// The budget that operators change.
    pub fn paced(&self) -> &Arc<Budget> {
        &self.budgets[0]
    }

    /// Whether it has served this process at all.
    pub fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Why it serves nobody at present, in words.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// How much longer a run waits for it, while it answers nothing. Silence before `open_since` says nothing: nobody asked.
    pub fn patience_left(&self, open_since: Option<Instant>) -> Option<Duration> {
        let since = self.paced().trouble_since()?;
        let silent_for = since.max(open_since.unwrap_or(since)).elapsed();
        Some(self.patience.silence.saturating_sub(silent_for))
    }

    /// Permits a second for plain reads.
    pub fn read_rate(&self) -> f64 {
        self.budget(&Request::get("/", Expects::Object)).rate()
    }

    /// Whether it has answered nothing for as long as a run waits for it.
    pub fn is_given_up(&self, open_since: Option<Instant>) -> bool {
        self.patience_left(open_since) == Some(Duration::ZERO)
    }

    /// Ends once it is given up.
    pub async fn out_of_patience(&self) {
        while !self.is_given_up(None) {
            sleep(self.patience_left(None).unwrap_or(self.patience.silence)).await;
        }
    }

    /// How long it has refused the sign-in.
    pub fn refused_for(&self) -> Option<Duration> {
        self.paced().refused_since().map(|since| since.elapsed())
    }

    /// Whether it answers nobody, so that asking again is nobody's try.
    pub fn is_down(&self, budget: &Budget) -> bool {
        budget.pause().is_some_and(|pause| pause.reason.is_outage())
    }

    /// Tells the budgets what became of a request. If the service is down for one budget, it is for all of them; a limit
    /// concerns only the budget that it limits.
    pub fn learn(&self, budget: &Budget, permit: Permit, reply: &Reply) {
        if reply.is_echo {
            return;
        }
        let fault = match &reply.result {
            Ok(_) => {
                self.served.store(true, Ordering::Relaxed);
                self.note_trouble(None);
                budget.usage(reply.usage);
                return self.answered(budget, permit);
            }
            Err(fault) => fault,
        };
        match (fault.class, fault.trouble()) {
            (Class::Throttled { retry_after, reason }, _) => budget.throttled(permit, retry_after, reason),
            (_, Some(trouble)) => self.hold(trouble, fault),
            (_, None) => self.answered(budget, permit),
        }
    }

    fn answered(&self, budget: &Budget, permit: Permit) {
        budget.taken(permit);
        self.budgets.iter().for_each(|budget| budget.answered());
    }

    /// Nobody is served, so that nothing is sent until that is over.
    pub fn hold(&self, trouble: Trouble, fault: &Fault) {
        self.note_trouble(Some(fault));
        self.budgets.iter().for_each(|budget| budget.unavailable(trouble));
    }

    /// Keeps for progress why nobody is served, and says so once when a person has to fix it.
    fn note_trouble(&self, fault: Option<&Fault>) {
        let words = fault.map(in_words);
        let known = std::mem::replace(&mut *self.trouble.lock(), words.clone());
        let for_a_person = fault.is_some_and(Fault::concerns_app);
        if let Some(words) = words.filter(|words| for_a_person && known.as_ref() != Some(words)) {
            tracing::warn!("the run waits, the sign-in is refused: {words}");
        }
    }

    fn waiting(&self) -> Option<(String, Duration)> {
        let pause = self.budgets.iter().filter_map(|budget| budget.pause()).max_by_key(|pause| pause.until)?;
        let left = pause.until.saturating_duration_since(Instant::now());
        let reason = match pause.reason.is_outage() {
            true => format!("{}: {}", pause.reason, self.trouble().unwrap_or_default()),
            false => pause.reason.to_string(),
        };
        Some((reason, left))
    }
}

/// A fault that concerns everybody, as short as it can be told, and what to do where a person can do something.
fn in_words(fault: &Fault) -> String {
    let what = Fault { message: fault.brief().to_owned(), ..fault.clone() }.words();
    if fault.concerns_app() { format!("{what}; {}; the run then continues by itself", fault.advice()) } else { what }
}
