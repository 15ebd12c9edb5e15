//! Asking the on-premises directory about rows, before they begin.
//!
//! Nobody asks alone: who comes while a query is under way waits, and the next query asks for all who wait, up to a hundred.
//! So a batch of a million rows needs no query a person and no list of the whole directory, one row is answered at once, and
//! memory holds the rows in flight only. There is no task in the background: one of those who wait takes the permit, asks for
//! the others too, and shares the answer.
//!
//! A directory that is silent is asked again for as long as the run has patience, and one that refuses ends the run: neither
//! says anything about a row. What the answer says about a row (nobody, several, a value of no use) speaks against that row.

use super::client::RunAbort;
use super::problems::{DIRECTORY_VALUE, NOT_IN_DIRECTORY, SEVERAL_IN_DIRECTORY};
use crate::core::Problem;
use crate::job::{DirectoryEntry, DirectoryPlan, EvalError, Job, Kept, KeptForm, Settings};
use crate::services::budget::{Budget, Delays, Priority, Sequence, Trouble};
use crate::services::{Account, Again, Directory, Fault, Question};
use crate::values::ObjectGuid;
use serde_json::Value as JsonValue;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout};

/// Values in one query. More would make filters that servers refuse or answer slowly; fewer would be more queries.
const VALUES_MAX: usize = 100;

/// How often those who wait for a permit look whether they still should.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// What the directory has to say about a row.
#[derive(Debug)]
pub enum Answer {
    /// It was not asked, or there is none.
    NotAsked,
    /// The row's entry.
    Entry(DirectoryEntry),
    /// This speaks against the row.
    Against(Problem),
    /// The run drains, and there was no reply yet.
    Parked,
}

/// The directory of a run, with its budget.
pub struct DirectoryBatcher {
    directory: Arc<dyn Directory>,
    queries: Arc<Budget>,
    turns: Semaphore,
    patience: Duration,
    waiting: Mutex<VecDeque<Waiter>>,
    tickets: AtomicU64,
}

/// Somebody who waits for the accounts with a value.
struct Waiter {
    ticket: u64,
    value: String,
    reply: oneshot::Sender<Shared>,
}

/// What those who asked together are told.
type Shared = Result<Vec<Account>, Silence>;

/// Why there is no answer.
#[derive(Debug, Clone)]
enum Silence {
    /// Nobody needs one any more.
    Parked,
    /// No row can be answered.
    Abort(Problem),
}

impl DirectoryBatcher {
    /// `at_once` queries may be under way at the same time; `patience` is how long the directory may be silent.
    #[must_use]
    pub fn new(
        directory: Arc<dyn Directory>,
        queries: Arc<Budget>,
        at_once: u32,
        patience: Duration,
    ) -> DirectoryBatcher {
        DirectoryBatcher {
            directory,
            queries,
            turns: Semaphore::new(at_once as usize),
            patience,
            waiting: Mutex::default(),
            tickets: AtomicU64::new(0),
        }
    }

    /// The accounts with this value, compared without regard to case. `parked` says whether the row need not begin.
    async fn accounts(&self, plan: &DirectoryPlan, value: &str, parked: &(dyn Fn() -> bool + Sync)) -> Shared {
        loop {
            let (ticket, mut answer) = self.enter(value);
            let told = loop {
                if !self.waits(ticket) {
                    break answer.await;
                }
                tokio::select! {
                    biased;
                    told = &mut answer => break told,
                    turn = self.turns.acquire() => {
                        // Somebody may have asked for this row, too, while it waited for its turn.
                        if self.waits(ticket) {
                            self.ask_for_all(plan, parked).await;
                        }
                        drop(turn);
                    }
                }
            };
            // There is none if whoever asked for this row, too, was stopped in the middle: then it asks again.
            if let Ok(shared) = told {
                return shared;
            }
        }
    }

    fn enter(&self, value: &str) -> (u64, oneshot::Receiver<Shared>) {
        let (reply, answer) = oneshot::channel();
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let value = value.to_owned();
        self.lock().push_back(Waiter { ticket, value, reply });
        (ticket, answer)
    }

    /// Whether nobody has asked yet for the one with this ticket.
    fn waits(&self, ticket: u64) -> bool {
        self.lock().iter().any(|waiter| waiter.ticket == ticket)
    }

    /// Takes those who wait, as many as fit into a query, and tells them what came of it.
    async fn ask_for_all(&self, plan: &DirectoryPlan, parked: &(dyn Fn() -> bool + Sync)) {
        // After the permit, not before: meanwhile more come, and each query asks for as many as it may.
        let permit = self.permit(parked).await;
        let group = self.take_group();
        let Some(first) = group.first() else {
            return;
        };
        tracing::debug!(first = %first.value, values = group.len(), "asking the directory");
        let question = Question {
            among: plan.among.clone(),
            attribute: plan.attribute.clone(),
            values: group.iter().map(|waiter| waiter.value.clone()).collect(),
            wanted: plan.kept.iter().map(|kept| kept.attribute.clone()).collect(),
        };
        let found = match permit {
            Ok(()) => self.find(&question, parked).await,
            Err(silence) => Err(silence),
        };
        for waiter in group {
            let own = found.as_ref().map_err(Clone::clone).map(|accounts| {
                let is_meant = |account: &&Account| has(account, &plan.attribute, &waiter.value);
                accounts.iter().filter(is_meant).cloned().collect()
            });
            // A row that was stopped meanwhile needs no answer.
            let _gone = waiter.reply.send(own);
        }
    }

    fn take_group(&self) -> Vec<Waiter> {
        let mut waiting = self.lock();
        let mut group = Vec::new();
        while group.len() < VALUES_MAX
            && let Some(waiter) = waiting.pop_front()
        {
            if !waiter.reply.is_closed() {
                group.push(waiter);
            }
        }
        group
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit, unless there is no need any more.
    async fn permit(&self, parked: &(dyn Fn() -> bool + Sync)) -> Result<(), Silence> {
        while !parked() {
            let taken = timeout(LOOK_AROUND, self.queries.take(Priority::New)).await;
            if taken.is_ok() {
                return Ok(());
            }
        }
        Err(Silence::Parked)
    }

    /// Asks until there is an answer, with patience. The first permit is taken already.
    async fn find(&self, question: &Question, parked: &(dyn Fn() -> bool + Sync)) -> Shared {
        let mut delays = Delays::new(Sequence::Probe, 0);
        let begun = Instant::now();
        loop {
            let fault = match self.directory.find(question).await {
                Ok(accounts) => {
                    self.queries.answered();
                    return Ok(accounts);
                }
                Err(fault) => fault,
            };
            // Asked again, it would say the same, or nobody may ask before somebody has fixed the sign-in.
            if fault.class.facts().again == Again::Never || fault.concerns_app() {
                return Err(Silence::Abort(fault.problem()));
            }
            self.queries.unavailable(Trouble::NoAnswer);
            if begun.elapsed() >= self.patience {
                return Err(Silence::Abort(self.out_of_patience(&fault)));
            }
            tracing::warn!("the directory does not reply: {}", fault.message);
            self.pause(delays.next_delay(), parked).await?;
            self.permit(parked).await?;
        }
    }

    async fn pause(&self, delay: Duration, parked: &(dyn Fn() -> bool + Sync)) -> Result<(), Silence> {
        let until = Instant::now() + delay;
        while Instant::now() < until {
            if parked() {
                return Err(Silence::Parked);
            }
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(LOOK_AROUND)).await;
        }
        Ok(())
    }

    fn out_of_patience(&self, fault: &Fault) -> Problem {
        let seconds = self.patience.as_secs();
        Problem {
            message: format!("the directory has given no reply for {seconds} s: {}", fault.words()),
            ..fault.problem()
        }
    }
}

/// Whether an account has this value and not only one that looks like it: Active Directory compares without accents, and
/// answers with `müller` when asked for `muller`.
fn has(account: &Account, attribute: &str, value: &str) -> bool {
    let wanted = value.to_lowercase();
    let values = account.values(attribute).iter();
    values.filter_map(|octets| std::str::from_utf8(octets).ok()).any(|text| text.to_lowercase() == wanted)
}

/// Asks about a row where its job wants that and there is a directory. `parked` says whether the row need not begin.
///
/// # Errors
/// [`RunAbort`] when no row can be answered; nothing was changed.
pub async fn ask(
    batcher: Option<&DirectoryBatcher>,
    job: &Job,
    settings: &Settings,
    row: &[Option<String>],
    parked: &(dyn Fn() -> bool + Sync),
) -> Result<Answer, RunAbort> {
    let (Some(batcher), Some(plan)) = (batcher, &job.directory) else {
        return Ok(Answer::NotAsked);
    };
    let value = match job.directory_value(settings, row) {
        Ok(Some(value)) => value,
        Ok(None) => return Ok(Answer::NotAsked),
        Err(error) => return Ok(against(&error)),
    };
    match batcher.accounts(plan, &value, parked).await {
        Ok(accounts) => Ok(judge(plan, &value, &accounts)),
        Err(Silence::Parked) => Ok(Answer::Parked),
        Err(Silence::Abort(problem)) => Err(RunAbort(problem)),
    }
}

fn against(error: &EvalError) -> Answer {
    Answer::Against(error.problem())
}

fn judge(plan: &DirectoryPlan, value: &str, accounts: &[Account]) -> Answer {
    let attribute = &plan.attribute;
    match accounts {
        [] => Answer::Against(
            NOT_IN_DIRECTORY.problem(format!("no account of the on-premises directory has the {attribute} {value}")),
        ),
        [account] => match entry(plan, account) {
            Ok(entry) => Answer::Entry(entry),
            Err(problem) => Answer::Against(problem),
        },
        several => Answer::Against(SEVERAL_IN_DIRECTORY.problem(format!(
            "{} accounts of the on-premises directory have the {attribute} {value}: {}",
            several.len(),
            several.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join("; ")
        ))),
    }
}

fn entry(plan: &DirectoryPlan, account: &Account) -> Result<DirectoryEntry, Problem> {
    let kept = plan.kept.iter();
    kept.map(|kept| Ok((kept.name.clone(), read(kept, account)?))).collect()
}

/// A value of an account; null where it has none.
fn read(kept: &Kept, account: &Account) -> Result<JsonValue, Problem> {
    let unusable = |why: String| DIRECTORY_VALUE.problem(format!("{} of {} {why}", kept.attribute, account.name));
    let octets = match account.values(&kept.attribute) {
        [] => return Ok(JsonValue::Null),
        [octets] => octets,
        several => return Err(unusable(format!("has {} values", several.len()))),
    };
    match kept.form {
        KeptForm::Text => match std::str::from_utf8(octets) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(unusable("is not text".into())),
        },
        KeptForm::Guid => {
            let count = octets.len();
            let octets = <[u8; 16]>::try_from(octets.as_slice())
                .map_err(|_| unusable(format!("is {count} octets long, not 16")))?;
            match ObjectGuid::from_octets(octets) {
                guid if guid.is_nil() => Err(unusable("is all zeros".into())),
                guid => Ok(guid.to_string().into()),
            }
        }
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
