//! The rows of a run beside each other: which account is whose, and which values are spoken for.
//!
//! One account is one row's, from its first look on and for good: this process holds those of the rows it has seen until the
//! checkpoint has them, and asks that for all others. Values are spoken for while a row is worked on, and those that it ends
//! with until every replica shows them. A row takes all of its values at once or waits with none, and it waits before its first
//! write: so nobody waits for somebody who waits for a value, and nobody is kept away from home by another row. What a job
//! calls an account or a value is not known here.

use super::problems::{CIRCLE, OTHER_ROW, OTHER_RUN};
use crate::core::Problem;
use crate::job::{Claimed, EvalError, InTheWay, RowView, State};
use crate::journal::{JournalError, RowNumber, RunId, Session, UnixMillis};
use crate::machine::{Outcome, RowState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Accounts held before it is looked which of them the checkpoint has by now.
const ACCOUNTS_HELD: usize = 4_096;

/// Most values kept after their rows: a minute's worth at many times the pace that any tenant allows.
const KEPT_MAX: usize = 20_000;

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
pub fn named(row: RowNumber, line: u64, key: &str) -> String {
    format!("row {row} (line {line}, {})", key.trim())
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
pub enum Verdict {
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

/// How a row ended, and when.
type EndedAs = (Outcome, UnixMillis);

#[derive(Debug, Clone, Copy)]
struct Owner {
    row: RowNumber,
    ended: Option<EndedAs>,
}

#[derive(Debug, Default)]
struct Belongings {
    account: String,
    values: Vec<Claimed>,
}

/// What a row waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Behind {
    /// Some row may turn out to be this account, and give up what it has.
    Account(String),
    /// This row, whose account has what the waiting one wants.
    Holder(RowNumber),
    /// This row, which is worked on with a value that the waiting one needs.
    Value(RowNumber),
}

#[derive(Default)]
struct Known {
    accounts: HashMap<String, Owner>,
    /// Accounts held when it is looked next which of them need not be.
    tidy_at: usize,
    values: HashMap<Claimed, RowNumber>,
    /// What rows ended with, and until when a replica may show it as free.
    kept: HashMap<Claimed, UnixMillis>,
    /// The same, the oldest first.
    kept_in_turn: VecDeque<(UnixMillis, Claimed)>,
    /// What each row has that has not ended.
    rows: HashMap<RowNumber, Belongings>,
    waits: BTreeMap<RowNumber, Behind>,
    behind_row: HashMap<RowNumber, BTreeSet<RowNumber>>,
    behind_account: BTreeMap<String, BTreeSet<RowNumber>>,
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
    ) -> Result<Verdict, JournalError> {
        let mut known = self.known();
        if let Some(problem) = self.not_its(&known, row, &wanted.account)? {
            return Ok(Verdict::OfAnother(problem));
        }
        self.tidy(&mut known)?;
        known.own(row, &wanted.account);
        if let Some(in_the_way) = &wanted.in_the_way {
            return self.face(&mut known, row, in_the_way, now, patience);
        }
        let taken = known.first_taken(row, &wanted.values);
        match taken.or_else(|| known.first_at_work(row, &wanted.gives_way_to)) {
            Some(other) => self.wait(&mut known, row, Behind::Value(other), None),
            None if known.is_kept(&wanted.values, now) => Ok(Verdict::Lagging),
            None => {
                known.hold(row, &wanted.values);
                Ok(Verdict::Free)
            }
        }
    }

    /// A row that has written ends with these values. Until then a replica may show them as free.
    pub fn keep(&self, values: Vec<Claimed>, until: UnixMillis) {
        let mut known = self.known();
        for value in values {
            known.kept.insert(value.clone(), until);
            known.kept_in_turn.push_back((until, value));
        }
        while known.kept_in_turn.len() > KEPT_MAX {
            known.forget_oldest();
        }
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
        known.wake_behind(row)
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
        let unknown = known.behind_account.values().flatten().copied();
        let mut rows: BTreeSet<RowNumber> = unknown.collect();
        if rows.is_empty() {
            rows.extend(known.waits.keys());
        }
        rows.iter().for_each(|row| known.no_longer_waits(*row));
        rows.into_iter().collect()
    }

    fn not_its(&self, known: &Known, row: RowNumber, account: &str) -> Result<Option<Problem>, JournalError> {
        let owner = self.owner(known, account)?;
        match owner.filter(|owner| owner.row != row) {
            Some(owner) => Ok(Some(same_account(account, &self.name(owner.row)?))),
            None => self.of_another_run(account),
        }
    }

    /// What comes of accounts that have what a row wants.
    fn face(
        &self,
        known: &mut Known,
        row: RowNumber,
        in_the_way: &InTheWay,
        now: UnixMillis,
        patience: Duration,
    ) -> Result<Verdict, JournalError> {
        let mut lagging = false;
        for account in &in_the_way.accounts {
            let Some(owner) = self.owner(known, account)? else {
                if known.all_seen {
                    // A stranger's: the job itself says what to do.
                    return Ok(Verdict::Free);
                }
                let behind = Behind::Account(account.clone());
                return self.wait(known, row, behind, Some(in_the_way));
            };
            if owner.row == row {
                continue;
            }
            match owner.ended {
                None => {
                    return self.wait(known, row, Behind::Holder(owner.row), Some(in_the_way));
                }
                Some((Outcome::Done, at)) if Duration::from_millis(now.saturating_sub(at)) < patience => {
                    lagging = true;
                }
                Some((outcome, _)) => {
                    let (row, other) = (owner.row, self.name(owner.row)?);
                    let problem = kept(in_the_way, row, &other, &format!("ended {outcome}"));
                    return Ok(Verdict::Against(problem));
                }
            }
        }
        Ok(match lagging {
            true => Verdict::Lagging,
            false => Verdict::Free,
        })
    }

    fn wait(
        &self,
        known: &mut Known,
        row: RowNumber,
        behind: Behind,
        in_the_way: Option<&InTheWay>,
    ) -> Result<Verdict, JournalError> {
        if let (Behind::Holder(other), Some(in_the_way)) = (&behind, in_the_way)
            && known.waits_for(*other, row)
        {
            return Ok(Verdict::Against(circle(in_the_way, &self.name(*other)?)));
        }
        if known.waits.len() >= WAITING_MAX {
            let message = format!("{WAITING_MAX} rows wait for others already");
            return Ok(Verdict::Against(OTHER_ROW.problem(message)));
        }
        known.wait(row, behind);
        Ok(Verdict::Waits)
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
        let key_cell = self.session.header().input.key_cell;
        Ok(match input {
            Some(input) => {
                let key = input.cells.get(key_cell).map_or("", String::as_str);
                named(row, input.line, key)
            }
            None => format!("row {row}"),
        })
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
        for waiting in self.behind_account.remove(account).unwrap_or_default() {
            self.waits.remove(&waiting);
            self.wait(waiting, Behind::Holder(row));
        }
    }

    /// The row that has one of these values.
    fn first_taken(&self, row: RowNumber, values: &[Claimed]) -> Option<RowNumber> {
        let others = values.iter().filter_map(|value| self.values.get(value));
        others.copied().find(|other| *other != row)
    }

    /// Whether a row has ended with one of these values, and not long ago.
    fn is_kept(&mut self, values: &[Claimed], now: UnixMillis) -> bool {
        let mut oldest = self.kept_in_turn.front();
        while oldest.is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
            oldest = self.kept_in_turn.front();
        }
        values.iter().any(|value| self.kept.contains_key(value))
    }

    fn forget_oldest(&mut self) {
        if let Some((until, value)) = self.kept_in_turn.pop_front()
            && self.kept.get(&value) == Some(&until)
        {
            self.kept.remove(&value);
        }
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

    fn wait(&mut self, row: RowNumber, behind: Behind) {
        match &behind {
            Behind::Account(account) => {
                let rows = self.behind_account.entry(account.clone());
                rows.or_default().insert(row);
            }
            Behind::Holder(other) | Behind::Value(other) => {
                self.behind_row.entry(*other).or_default().insert(row);
            }
        }
        self.waits.insert(row, behind);
    }

    fn no_longer_waits(&mut self, row: RowNumber) {
        match self.waits.remove(&row) {
            Some(Behind::Account(account)) => {
                if let Some(rows) = self.behind_account.get_mut(&account) {
                    rows.remove(&row);
                    if rows.is_empty() {
                        self.behind_account.remove(&account);
                    }
                }
            }
            Some(Behind::Holder(other) | Behind::Value(other)) => {
                if let Some(rows) = self.behind_row.get_mut(&other) {
                    rows.remove(&row);
                    if rows.is_empty() {
                        self.behind_row.remove(&other);
                    }
                }
            }
            None => {}
        }
    }

    /// Whether a row waits for what `other` has, by however many steps.
    fn waits_for(&self, row: RowNumber, other: RowNumber) -> bool {
        let mut at = row;
        while let Some(Behind::Holder(next)) = self.waits.get(&at) {
            if *next == other {
                return true;
            }
            at = *next;
        }
        false
    }

    /// Of those who need a value only the first may have it: the others go on waiting, for that one.
    fn wake_behind(&mut self, row: RowNumber) -> Vec<RowNumber> {
        let waiting = self.behind_row.remove(&row).unwrap_or_default();
        let mut woken = Vec::new();
        let mut heir = None;
        for other in waiting {
            match (self.waits.remove(&other), heir) {
                (Some(Behind::Value(_)), Some(heir)) => self.wait(other, Behind::Value(heir)),
                (Some(Behind::Value(_)), None) => {
                    heir = Some(other);
                    woken.push(other);
                }
                (Some(Behind::Holder(_) | Behind::Account(_)) | None, _) => woken.push(other),
            }
        }
        woken
    }
}
