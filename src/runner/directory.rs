//! Asking the on-premises directory about rows, before they begin.
//!
//! Lookups are batched: rows that come while a query is under way share the next one, up to a hundred of them. So a batch of a
//! million rows needs no query a person and no list of the whole directory, one row is answered at once, and memory holds the
//! rows in flight only. There is no task in the background: one of those who wait takes the turn, asks for the others too, and
//! shares the reply.
//!
//! A directory that is silent is asked again for as long as the run has patience, and one that refuses ends the run: neither
//! says anything about a row. What the reply says about a row (nobody, several, a value of no use) speaks against that row.

use super::problems::{DIRECTORY_VALUE, NOT_IN_DIRECTORY, SEVERAL_IN_DIRECTORY};
use crate::core::Problem;
use crate::job::{DirectoryEntry, DirectoryPlan, Job, Kept, KeptForm, Settings};
use crate::services::budget::{Budget, Delays, Priority, Sequence, Trouble};
use crate::services::{Account, Again, Directory, Fault, Question};
use crate::values::ObjectGuid;
use serde_json::Value as JsonValue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

/// Values in one query. More would make filters that servers refuse or answer slowly; fewer would be more queries.
const VALUES_MAX: usize = 100;

/// Why there is no entry for a row that needs one.
#[derive(Debug)]
pub enum NoEntry {
    /// This speaks against the row.
    Against(Problem),
    /// No row can be answered; nothing was changed.
    Abort(Problem),
}

/// The directory of a run, with its budget.
pub struct DirectoryBatcher {
    directory: Arc<dyn Directory>,
    queries: Arc<Budget>,
    turns: Semaphore,
    patience: Duration,
    waiting: Mutex<VecDeque<Waiter>>,
}

/// A row that waits for the accounts with a value.
struct Waiter {
    value: String,
    reply: oneshot::Sender<SharedReply>,
}

/// What the rows of one query are told; the problem says why no row can be answered.
type SharedReply = Result<Vec<Account>, Problem>;

impl DirectoryBatcher {
    /// `at_once` queries may be under way at the same time; `patience` is how long the directory may be silent.
    #[must_use]
    pub fn new(
        directory: Arc<dyn Directory>,
        queries: Arc<Budget>,
        at_once: u32,
        patience: Duration,
    ) -> DirectoryBatcher {
        let turns = Semaphore::new(at_once as usize);
        DirectoryBatcher { directory, queries, turns, patience, waiting: Mutex::default() }
    }

    /// The accounts with this value, compared without regard to case.
    async fn accounts(&self, plan: &DirectoryPlan, value: &str) -> SharedReply {
        loop {
            let mut reply = self.enter(value);
            let told = loop {
                tokio::select! {
                    biased;
                    told = &mut reply => break told,
                    turn = self.turns.acquire() => {
                        let has_asked = self.ask_for_all(plan).await;
                        drop(turn);
                        if !has_asked {
                            // Nobody is left to ask for: another row is asking for this one.
                            break reply.await;
                        }
                    }
                }
            };
            // The row that asked for this one was stopped in the middle: ask again.
            if let Ok(shared) = told {
                return shared;
            }
        }
    }

    fn enter(&self, value: &str) -> oneshot::Receiver<SharedReply> {
        let (reply, told) = oneshot::channel();
        self.lock().push_back(Waiter { value: value.to_owned(), reply });
        told
    }

    /// Asks for those who wait, as many as fit into a query. False if nobody waits.
    async fn ask_for_all(&self, plan: &DirectoryPlan) -> bool {
        if self.lock().is_empty() {
            return false;
        }
        // Before the group is taken: meanwhile more come, and each query asks for as many as it may.
        self.queries.take(Priority::New).await;
        let group = self.take_group();
        let Some(first) = group.first() else {
            return false;
        };
        tracing::debug!(first = %first.value, values = group.len(), "asking the directory");
        let question = Question {
            among: plan.among.clone(),
            attribute: plan.attribute.clone(),
            values: group.iter().map(|waiter| waiter.value.clone()).collect(),
            wanted: plan.kept.iter().map(|kept| kept.attribute.clone()).collect(),
        };
        let found = self.find(&question).await;
        for waiter in group {
            let own = found.as_ref().map_err(Clone::clone).map(|accounts| {
                let is_meant = |account: &&Account| has(account, &plan.attribute, &waiter.value);
                accounts.iter().filter(is_meant).cloned().collect()
            });
            // A row that was stopped meanwhile needs no reply.
            let _gone = waiter.reply.send(own);
        }
        true
    }

    fn take_group(&self) -> Vec<Waiter> {
        let mut waiting = self.lock();
        waiting.retain(|waiter| !waiter.reply.is_closed());
        let size = waiting.len().min(VALUES_MAX);
        waiting.drain(..size).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until there is a reply, with patience. The first permit is taken already.
    async fn find(&self, question: &Question) -> SharedReply {
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
                return Err(fault.problem());
            }
            self.queries.unavailable(Trouble::NoAnswer);
            if begun.elapsed() >= self.patience {
                return Err(self.out_of_patience(&fault));
            }
            tracing::warn!("the directory does not reply: {}", fault.message);
            sleep(delays.next_delay()).await;
            self.queries.take(Priority::New).await;
        }
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

/// What the directory has about a row; None where the job does not ask it, or there is none. Whoever may stop waiting drops
/// the future: those whom it was asking for ask again.
///
/// # Errors
/// [`NoEntry`]
pub async fn ask(
    batcher: Option<&DirectoryBatcher>,
    job: &Job,
    settings: &Settings,
    row: &[Option<String>],
) -> Result<Option<DirectoryEntry>, NoEntry> {
    let (Some(batcher), Some(plan)) = (batcher, &job.directory) else {
        return Ok(None);
    };
    let value = job.directory_value(settings, row).map_err(|error| NoEntry::Against(error.problem()))?;
    let Some(value) = value else {
        return Ok(None);
    };
    let accounts = batcher.accounts(plan, &value).await.map_err(NoEntry::Abort)?;
    judge(plan, &value, &accounts).map(Some).map_err(NoEntry::Against)
}

fn judge(plan: &DirectoryPlan, value: &str, accounts: &[Account]) -> Result<DirectoryEntry, Problem> {
    let attribute = &plan.attribute;
    match accounts {
        [] => {
            let message = format!("no account of the on-premises directory has the {attribute} {value}");
            Err(NOT_IN_DIRECTORY.problem(message))
        }
        [account] => entry(plan, account),
        several => Err(SEVERAL_IN_DIRECTORY.problem(format!(
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
