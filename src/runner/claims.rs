//! The rows of a run next to each other: which account is whose, and which values are spoken for.
//!
//! One account is one row's, from its first look on and for good: this process holds those of the rows it has seen until the
//! checkpoint has them, and asks that for all others. Values are spoken for while a row is worked on, and those that it ends
//! with until every replica shows them. A row takes all of its values at once or waits with none, and it waits before its first
//! write: so nobody waits for somebody who waits for a value, and nobody is kept away from home by another row. What a job
//! calls an account or a value is not known here.

use super::problems::{CIRCLE, OTHER_ROW, OTHER_RUN};
use crate::core::Problem;
use crate::job::{Claimed, EvalError, InTheWay, RowView, State};
use crate::journal::{InputFacts, InputRow, JournalError, RowNumber, RunId, Session, UnixMillis};
use crate::machine::{Outcome, RowState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Accounts held before it is looked which of them the checkpoint has by now.
const ACCOUNTS_HELD: usize = 4_096;

/// Values kept after their rows, at least so many and at most twice as many: a minute's worth at many times the pace that any
/// tenant allows.
const KEPT: usize = 10_000;

/// Most rows that wait for others: what is held for each is some hundred bytes.
const WAITING_MAX: usize = 100_000;

/// What the rows of one run have.
pub struct Claims {
    session: Arc<Session>,
    known: Mutex<Known>,
}

/// What a row was seen to have and to want.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// Its account.
    pub account: String,
    /// The values it must have for itself.
    pub values: Vec<Claimed>,
    /// Who has what it wants.
    pub in_the_way: Option<InTheWay>,
    /// Who has what it can do without.
    pub gives_way_to: Vec<String>,
}

impl Wanted {
    /// Of a row that was seen like this for the first time; None where the job does not say what an account is. One that
    /// needs no step (`changes`) needs no values.
    ///
    /// # Errors
    /// [`EvalError`] when the job does not work for the row.
    pub fn of(view: &RowView, state: &State, changes: bool) -> Result<Option<Wanted>, EvalError> {
        let Some(account) = view.account(state)? else {
            return Ok(None);
        };
        let (values, gives_way_to) = match changes {
            true => (view.claimed(state, state)?, view.gives_way_to(state)?),
            false => (Vec::new(), Vec::new()),
        };
        Ok(Some(Wanted { account, values, in_the_way: view.in_the_way(state)?, gives_way_to }))
    }
}

/// A row, as the person with the file finds it.
#[must_use]
pub fn named(file: &InputFacts, row: RowNumber, input: Option<&InputRow>) -> String {
    match input {
        Some(input) => format!("row {row} (line {}, {})", input.line, file.key(input).trim()),
        None => format!("row {row}"),
    }
}

/// The account of a row is another one's.
#[must_use]
pub fn same_account(account: &str, other: &str) -> Problem {
    OTHER_ROW.problem(format!("this account (object id {account}) is the account of {other}"))
}

/// Another row, with the number and the end given, keeps what a row wants.
#[must_use]
pub fn kept(in_the_way: &InTheWay, row: RowNumber, other: &str, end: &str) -> Problem {
    let reason = &in_the_way.reason;
    Problem {
        code: in_the_way.code.clone(),
        message: format!("{reason}: that is {other}, which {end} and keeps it"),
        advice: format!("decide which of the two rows is right; then run both again, row {row} first put right"),
    }
}

/// Another row waits for the one that waits for it.
#[must_use]
pub fn circle(in_the_way: &InTheWay, other: &str) -> Problem {
    let reason = &in_the_way.reason;
    CIRCLE.problem(format!("{reason}: that is {other}, which waits for this row in turn"))
}

/// Whether a row may go on.
#[derive(Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// It may: its account and its values are its own.
    Free,
    /// Not before another row has ended; it is told to whoever owns the rows then.
    Waits,
    /// Another row has given up what this one wants, or got it, and the target may not show that yet.
    Lagging,
    /// It may not: the account is another row's.
    OfAnother(Problem),
    /// It may not: another row keeps what it wants.
    Against(Problem),
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    row: RowNumber,
    /// How it ended, and when.
    ended: Option<(Outcome, UnixMillis)>,
}

#[derive(Debug, Default)]
struct Belongings {
    account: String,
    values: Vec<Claimed>,
}

/// Whom a row waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Blocker {
    /// Some row may turn out to be this account, and give up what it has.
    Account(String),
    Row(RowNumber),
}

#[derive(Debug)]
struct Wait {
    blocker: Blocker,
    /// For a value that the other row is worked on with. Else the account of the other one has what this row wants.
    for_value: bool,
}

#[derive(Default)]
struct Known {
    accounts: HashMap<String, Owner>,
    /// Accounts held when it is looked next which of them need not be.
    tidy_at: usize,
    values: HashMap<Claimed, RowNumber>,
    /// Hashes of what rows ended with, and until when a replica may show it as free: those of late, and those before.
    kept: [HashMap<u64, UnixMillis>; 2],
    /// What each row has that has not ended.
    rows: HashMap<RowNumber, Belongings>,
    waits: BTreeMap<RowNumber, Wait>,
    /// The same, by whom they wait for.
    behind: BTreeSet<(Blocker, RowNumber)>,
    /// Every row was looked at: an account that is none of theirs is a stranger's.
    all_seen: bool,
}

impl Claims {
    /// For a run as it stands.
    #[must_use]
    pub fn new(session: &Arc<Session>) -> Claims {
        Claims { session: Arc::clone(session), known: Mutex::new(Known { tidy_at: ACCOUNTS_HELD, ..Known::default() }) }
    }

    /// What speaks against taking an account for `row`'s: that it is another's.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn of_another(&self, row: RowNumber, account: &str) -> Result<Option<Problem>, JournalError> {
        self.not_its(&self.known(), row, account)
    }

    /// Takes account and values for a row that has nothing begun, or says why it may not go on.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn claim(
        &self,
        row: RowNumber,
        wanted: &Wanted,
        now: UnixMillis,
        patience: Duration,
    ) -> Result<ClaimVerdict, JournalError> {
        let mut known = self.known();
        if let Some(problem) = self.not_its(&known, row, &wanted.account)? {
            return Ok(ClaimVerdict::OfAnother(problem));
        }
        self.tidy(&mut known)?;
        known.own(row, &wanted.account);
        if let Some(in_the_way) = &wanted.in_the_way {
            return self.with_owners(&mut known, row, in_the_way, now, patience);
        }
        let taken = known.first_taken(row, &wanted.values);
        Ok(match taken.or_else(|| known.first_at_work(row, &wanted.gives_way_to)) {
            Some(other) => known.wait(row, Blocker::Row(other), true),
            None if known.is_kept(&wanted.values, now) => ClaimVerdict::Lagging,
            None => {
                known.hold(row, &wanted.values);
                ClaimVerdict::Free
            }
        })
    }

    /// A row that has written ends with these values. Until then a replica may show them as free.
    pub fn keep(&self, values: &[Claimed], until: UnixMillis) {
        let mut known = self.known();
        if known.kept[0].len() >= KEPT {
            known.kept[1] = std::mem::take(&mut known.kept[0]);
        }
        known.kept[0].extend(values.iter().map(|value| (hash_of(value), until)));
    }

    /// Takes account and values for a row that has written already: they are its own, whatever others want.
    pub fn take_on(&self, row: RowNumber, account: &str, values: &[Claimed]) {
        let mut known = self.known();
        known.own(row, account);
        known.hold(row, values);
    }

    /// A row has ended. Answers which rows need not wait any more, in their order.
    #[must_use]
    pub fn ended(&self, row: RowNumber, outcome: Outcome, at: UnixMillis) -> Vec<RowNumber> {
        let mut known = self.known();
        known.let_go(row);
        let had = known.rows.remove(&row).unwrap_or_default();
        if let Some(owner) = known.accounts.get_mut(&had.account) {
            owner.ended = Some((outcome, at));
        }
        known.wake(row)
    }

    /// A row goes back to those that were not begun, with nothing of its own but its account.
    pub fn let_go(&self, row: RowNumber) {
        self.known().let_go(row);
    }

    /// Whether rows wait for others.
    #[must_use]
    pub fn is_anybody_waiting(&self) -> bool {
        !self.known().waits.is_empty()
    }

    /// Every row has ended or waits. Answers which of them look again, knowing that.
    #[must_use]
    pub fn all_were_seen(&self) -> Vec<RowNumber> {
        let mut known = self.known();
        known.all_seen = true;
        let for_unknown = known.waits.iter().filter(|(_, wait)| matches!(wait.blocker, Blocker::Account(_)));
        let mut rows: Vec<RowNumber> = for_unknown.map(|(row, _)| *row).collect();
        if rows.is_empty() {
            rows.extend(known.waits.keys());
        }
        for row in &rows {
            known.end_wait(*row);
        }
        rows
    }

    fn not_its(&self, known: &Known, row: RowNumber, account: &str) -> Result<Option<Problem>, JournalError> {
        let owner = self.owner(known, account)?;
        match owner.filter(|owner| owner.row != row) {
            Some(owner) => Ok(Some(same_account(account, &self.name(owner.row)?))),
            None => self.of_another_run(account),
        }
    }

    /// What comes of accounts that have what a row wants.
    fn with_owners(
        &self,
        known: &mut Known,
        row: RowNumber,
        in_the_way: &InTheWay,
        now: UnixMillis,
        patience: Duration,
    ) -> Result<ClaimVerdict, JournalError> {
        let mut lagging = false;
        for account in &in_the_way.accounts {
            let Some(owner) = self.owner(known, account)? else {
                if known.all_seen {
                    // A stranger's: the job itself says what to do.
                    return Ok(ClaimVerdict::Free);
                }
                return Ok(known.wait(row, Blocker::Account(account.clone()), false));
            };
            if owner.row == row {
                continue;
            }
            match owner.ended {
                None if known.waits_for(owner.row, row) => {
                    return Ok(ClaimVerdict::Against(circle(in_the_way, &self.name(owner.row)?)));
                }
                None => return Ok(known.wait(row, Blocker::Row(owner.row), false)),
                Some((Outcome::Done, at)) if Duration::from_millis(now.saturating_sub(at)) < patience => {
                    lagging = true;
                }
                Some((outcome, _)) => {
                    let (row, other) = (owner.row, self.name(owner.row)?);
                    let problem = kept(in_the_way, row, &other, &format!("ended {outcome}"));
                    return Ok(ClaimVerdict::Against(problem));
                }
            }
        }
        Ok(match lagging {
            true => ClaimVerdict::Lagging,
            false => ClaimVerdict::Free,
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing between two changes of it can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self, known: &Known, account: &str) -> Result<Option<Owner>, JournalError> {
        if let Some(owner) = known.accounts.get(account) {
            return Ok(Some(*owner));
        }
        self.stored_owner(account)
    }

    fn stored_owner(&self, account: &str) -> Result<Option<Owner>, JournalError> {
        let Some(row) = self.session.owner(account)? else {
            return Ok(None);
        };
        let record = self.session.row(row)?;
        let ended = record.and_then(|record| match &record.state {
            RowState::Ended(_) => Some((record.outcome(), record.ended_at?)),
            RowState::Waiting | RowState::Active(_) => None,
        });
        Ok(Some(Owner { row, ended }))
    }

    /// Forgets what the checkpoint has.
    fn tidy(&self, known: &mut Known) -> Result<(), JournalError> {
        if known.accounts.len() < known.tidy_at {
            return Ok(());
        }
        let mut stored = Vec::new();
        for (account, _) in known.accounts.iter().filter(|(_, owner)| owner.ended.is_some()) {
            let owner = self.stored_owner(account)?;
            if owner.is_some_and(|owner| owner.ended.is_some()) {
                stored.push(account.clone());
            }
        }
        for account in stored {
            known.accounts.remove(&account);
        }
        known.tidy_at = ACCOUNTS_HELD.max(2 * known.accounts.len());
        Ok(())
    }

    /// Somebody whom an earlier run has left half way is that run's.
    fn of_another_run(&self, account: &str) -> Result<Option<Problem>, JournalError> {
        let Some((run, row)) = self.session.half_way_elsewhere(account)? else {
            return Ok(None);
        };
        let mut problem =
            OTHER_RUN.problem(format!("this account (object id {account}) is half way in run {run}, as its row {row}"));
        problem.advice = resume_advice(run);
        Ok(Some(problem))
    }

    /// A row, as the person with the file finds it.
    fn name(&self, row: RowNumber) -> Result<String, JournalError> {
        let input = self.session.glance()?.input(row)?;
        Ok(named(&self.session.header().input, row, input.as_ref()))
    }
}

fn resume_advice(run: RunId) -> String {
    format!("bring that run to its end first: cutover resume {run}")
}

impl Known {
    /// From here on the account is the row's. Whoever waits for the account waits for the row.
    fn own(&mut self, row: RowNumber, account: &str) {
        let has = &mut self.rows.entry(row).or_default().account;
        if has != account {
            // While it waited its person may have become another account.
            self.accounts.remove(has);
            account.clone_into(has);
        }
        let owner = Owner { row, ended: None };
        self.accounts.entry(account.to_owned()).or_insert(owner);
        for waiting in self.behind(&Blocker::Account(account.to_owned())) {
            self.end_wait(waiting);
            self.wait(waiting, Blocker::Row(row), false);
        }
    }

    /// The row that has one of these values.
    fn first_taken(&self, row: RowNumber, values: &[Claimed]) -> Option<RowNumber> {
        let others = values.iter().filter_map(|value| self.values.get(value));
        others.copied().find(|other| *other != row)
    }

    /// Whether a row has ended with one of these values, and not long ago.
    fn is_kept(&self, values: &[Claimed], now: UnixMillis) -> bool {
        let mut hashes = values.iter().map(hash_of);
        hashes.any(|hash| self.kept.iter().filter_map(|kept| kept.get(&hash)).any(|until| *until > now))
    }

    /// The row at work that is one of these accounts.
    fn first_at_work(&self, row: RowNumber, accounts: &[String]) -> Option<RowNumber> {
        let owners = accounts.iter().filter_map(|account| self.accounts.get(account));
        let at_work = |other: &RowNumber| {
            let has = self.rows.get(other);
            *other != row && has.is_some_and(|has| !has.values.is_empty())
        };
        owners.map(|owner| owner.row).find(at_work)
    }

    fn hold(&mut self, row: RowNumber, values: &[Claimed]) {
        for value in values {
            self.values.insert(value.clone(), row);
        }
        self.rows.entry(row).or_default().values = values.to_vec();
    }

    fn let_go(&mut self, row: RowNumber) {
        let had = self.rows.get_mut(&row);
        for value in had.map(|had| std::mem::take(&mut had.values)).unwrap_or_default() {
            if self.values.get(&value) == Some(&row) {
                self.values.remove(&value);
            }
        }
    }

    fn wait(&mut self, row: RowNumber, blocker: Blocker, for_value: bool) -> ClaimVerdict {
        if self.waits.len() >= WAITING_MAX {
            let message = format!("{WAITING_MAX} rows wait for others already");
            return ClaimVerdict::Against(OTHER_ROW.problem(message));
        }
        self.behind.insert((blocker.clone(), row));
        self.waits.insert(row, Wait { blocker, for_value });
        ClaimVerdict::Waits
    }

    fn end_wait(&mut self, row: RowNumber) -> Option<Wait> {
        let wait = self.waits.remove(&row)?;
        self.behind.remove(&(wait.blocker.clone(), row));
        Some(wait)
    }

    /// The rows that wait for this, in their order.
    fn behind(&self, blocker: &Blocker) -> Vec<RowNumber> {
        let from = self.behind.range((blocker.clone(), RowNumber(0))..);
        from.take_while(|(other, _)| other == blocker).map(|(_, row)| *row).collect()
    }

    /// Whether a row waits for what `other` has, by however many steps.
    fn waits_for(&self, row: RowNumber, other: RowNumber) -> bool {
        let mut at = row;
        while let Some(Wait { blocker: Blocker::Row(next), for_value: false }) = self.waits.get(&at) {
            if *next == other {
                return true;
            }
            at = *next;
        }
        false
    }

    /// The rows that need not wait for this one any more. Of those who need a value only the first may have it: the others go
    /// on waiting, for that one.
    fn wake(&mut self, row: RowNumber) -> Vec<RowNumber> {
        let mut woken = Vec::new();
        let mut heir = None;
        for other in self.behind(&Blocker::Row(row)) {
            let for_value = self.end_wait(other).is_some_and(|wait| wait.for_value);
            match heir {
                Some(heir) if for_value => {
                    self.wait(other, Blocker::Row(heir), true);
                }
                Some(_) | None => {
                    woken.push(other);
                    heir = heir.or(for_value.then_some(other));
                }
            }
        }
        woken
    }
}

/// Two values with one hash would only make a row look once more.
fn hash_of(value: &Claimed) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
