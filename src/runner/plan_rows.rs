//! The rows of a plan next to each other: what a run would find out only on its way. One account twice, values that one row gets
//! from another, circles of those, and rows that need the same value and so go one after the other.
//!
//! The plans wait on disk. Who touches whom is found by sorting hashes, on disk where they are many; in memory there are only
//! some octets for each row that touches another one.

use super::claims::{circle, kept, same_account};
use super::plan::{Plan, RowPlan, hash_of};
use super::problems::AFTER_ROW;
use super::spool::{SORTED_IN_MEMORY, Spool, Spooled, of_temporary_file};
use crate::batch::external_sort::{Sorted, Sorter};
use crate::journal::{JournalError, RowNumber};
use std::io;
use std::iter::Peekable;

/// The two words of the hash of an account or a value, the rank of the row there, the row, and what it wants or how it ends.
type TouchRecord = [u64; 5];
/// The rank of a row that is an account comes before that of those that want what the account has.
const IS_IT: u64 = 0;
const WANTS_OF_IT: u64 = 1;
/// A row, the position among what it wants, another row.
type Pair = [u64; 3];

/// How people find a row: its number, its line in the file, its key.
pub type Naming<'a> = dyn FnMut(RowNumber) -> Result<String, JournalError> + 'a;

/// Plans of rows, each as if it were alone.
pub struct PlanRows {
    plans: Spool<RowPlan>,
    /// Accounts, by those who are one and those who want what one has.
    accounts: Sorter<5>,
}

/// Plans of rows with regard to each other, in the order of the rows.
pub struct SettledRows {
    plans: Spooled<RowPlan>,
    /// Rows that need a value which an earlier row needs, too.
    shared: Peekable<Sorted<3>>,
}

/// What a run would do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlanEnd {
    Change,
    Unchanged,
    Refused,
}

/// What another account that has what a row wants comes to.
#[derive(Debug, Clone, Copy)]
struct PlannedOwner {
    row: u64,
    alone: PlanEnd,
    /// Once those in its own way have given up what they have.
    freed: PlanEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    New,
    OnTheWay,
    /// A stranger has what it wants: the job itself says what to do.
    Alone,
    SameAccount(u64),
    Circle(u64),
    Kept(u64, PlanEnd),
    /// It is changed after all the owners.
    After,
}

/// One account that a row touches, and in the first one of a row what becomes of the row.
struct Touch {
    row: u64,
    owner: Option<PlannedOwner>,
    settled: Settled,
}

impl PlanRows {
    /// None yet.
    ///
    /// # Errors
    /// There can be no temporary file.
    pub fn new() -> Result<PlanRows, JournalError> {
        Ok(PlanRows { plans: Spool::new()?, accounts: Sorter::new(SORTED_IN_MEMORY) })
    }

    /// Takes the plan of a row as if it were alone; rows come in any order.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub fn take(&mut self, row: RowNumber, plan: &RowPlan) -> Result<(), JournalError> {
        if let Some(wanted) = &plan.wanted {
            let mut take = |account: &str, rank, what| {
                let touch = touch(&[account], rank, row, what);
                self.accounts.push(touch).map_err(of_temporary_file)
            };
            let (alone, freed) = (PlanEnd::of(plan), PlanEnd::of(plan.freed.as_deref().unwrap_or(plan)));
            take(&wanted.account, IS_IT, alone as u64 * 3 + freed as u64)?;
            let accounts = wanted.in_the_way.iter().flat_map(|in_the_way| &in_the_way.accounts);
            for (position, account) in accounts.enumerate() {
                take(account, WANTS_OF_IT, position as u64)?;
            }
        }
        self.plans.push(row, plan)
    }

    /// All plans with regard to each other.
    ///
    /// # Errors
    /// A temporary file cannot be written or read, and those of `name`.
    pub fn settle(self, name: &mut Naming<'_>) -> Result<SettledRows, JournalError> {
        let touches = Touches::find(self.accounts).map_err(of_temporary_file)?;
        let mut alone = self.plans.finish()?;
        let mut plans = Spool::new()?;
        let mut values = Sorter::new(SORTED_IN_MEMORY);
        while let Some((row, plan)) = alone.next_item()? {
            let plan = touches.settle(row, plan, name)?;
            let wanted = plan.wanted.iter().filter(|_| PlanEnd::of(&plan) == PlanEnd::Change);
            for (position, value) in wanted.flat_map(|wanted| &wanted.values).enumerate() {
                let touch = touch(&[&value.what, &value.value], WANTS_OF_IT, row, position as u64);
                values.push(touch).map_err(of_temporary_file)?;
            }
            plans.push(row, &plan)?;
        }
        let shared = shared(values).map_err(of_temporary_file)?;
        Ok(SettledRows { plans: plans.finish()?, shared: shared.peekable() })
    }
}

impl SettledRows {
    /// The plan of a row, if it has one. Rows are asked for in their order.
    ///
    /// # Errors
    /// A temporary file cannot be read, and those of `name`.
    pub fn next_of(&mut self, row: RowNumber, name: &mut Naming<'_>) -> Result<Option<RowPlan>, JournalError> {
        let Some(mut plan) = self.plans.next_of(row)? else {
            return Ok(None);
        };
        let mut last = None;
        let is_its = |pair: &io::Result<Pair>| pair.as_ref().map_or(true, |[its, ..]| *its <= row.0);
        while let Some(pair) = self.shared.next_if(is_its) {
            last = Some(pair.map_err(of_temporary_file)?);
        }
        let values = plan.wanted.as_ref().map(|wanted| &wanted.values);
        if let Some([_, position, other]) = last
            && let Some(shared) = values.and_then(|values| values.get(position as usize))
        {
            let other = name(RowNumber(other))?;
            let (what, value) = (&shared.what, &shared.value);
            let message = format!("it is not changed at the same time as {other}: both need the {what} {value}");
            plan.warnings.push(AFTER_ROW.problem(message));
        }
        Ok(Some(plan))
    }
}

impl PlanEnd {
    const ALL: [PlanEnd; 3] = [PlanEnd::Change, PlanEnd::Unchanged, PlanEnd::Refused];

    fn of(plan: &RowPlan) -> PlanEnd {
        match plan.plan {
            Plan::Change(_) => PlanEnd::Change,
            Plan::Unchanged => PlanEnd::Unchanged,
            Plan::Refused(_) => PlanEnd::Refused,
        }
    }
}

fn touch(text: &[&str], rank: u64, row: RowNumber, what: u64) -> TouchRecord {
    let hash = u128::from_be_bytes(hash_of(text.iter().copied()));
    [(hash >> 64) as u64, hash as u64, rank, row.0, what]
}

/// Of the rows that need one value all but the first, each with that one.
fn shared(values: Sorter<5>) -> io::Result<Sorted<3>> {
    let mut pairs = Sorter::new(SORTED_IN_MEMORY);
    let mut of_value = None;
    for touch in values.finish()? {
        let [high, low, _, row, position] = touch?;
        let hash = [high, low];
        match of_value {
            Some((known, first_row)) if known == hash && first_row != row => {
                pairs.push([row, position, first_row])?;
            }
            Some((known, _)) if known == hash => {}
            Some(_) | None => of_value = Some((hash, row)),
        }
    }
    pairs.finish()
}

/// Who touches whom, by row.
struct Touches(Vec<Touch>);

impl Touches {
    fn find(accounts: Sorter<5>) -> io::Result<Touches> {
        let mut by_row = Vec::new();
        let (mut account, mut owner): (_, Option<PlannedOwner>) = (None, None);
        for touch in accounts.finish()? {
            let [high, low, rank, row, what] = touch?;
            if account != Some([high, low]) {
                account = Some([high, low]);
                owner = None;
            }
            let end = |number: u64| PlanEnd::ALL[(number % 3) as usize];
            let settled = match owner {
                None if rank == IS_IT => {
                    owner = Some(PlannedOwner { row, alone: end(what / 3), freed: end(what) });
                    continue;
                }
                Some(owner) if rank == IS_IT => Settled::SameAccount(owner.row),
                Some(_) | None => Settled::New,
            };
            by_row.push(((row, rank, what), Touch { row, owner, settled }));
        }
        by_row.sort_unstable_by_key(|(place, _)| *place);
        let mut touches = Touches(by_row.into_iter().map(|(_, touch)| touch).collect());
        touches.follow();
        Ok(touches)
    }

    /// Where the touches of a row begin.
    fn at(&self, row: u64) -> Option<usize> {
        let at = self.0.partition_point(|touch| touch.row < row);
        self.0.get(at).is_some_and(|touch| touch.row == row).then_some(at)
    }

    /// The other rows that have what the row there wants; None is a stranger.
    fn owners(&self, at: usize) -> impl Iterator<Item = Option<PlannedOwner>> {
        let row = self.0[at].row;
        let its = self.0[at..].iter().take_while(move |touch| touch.row == row);
        its.map(|touch| touch.owner).filter(move |owner| owner.is_none_or(|owner| owner.row != row))
    }

    fn other(&self, at: usize, settled: Settled) -> Option<usize> {
        let owners = self.owners(at).flatten().filter_map(|owner| self.at(owner.row));
        let mut others = owners.filter(|other| self.0[*other].settled == settled);
        others.next()
    }

    /// Follows who has what a row wants, without recursion: a chain may be as long as the file.
    fn follow(&mut self) {
        for start in 0..self.0.len() {
            if self.at(self.0[start].row) != Some(start) {
                continue;
            }
            let mut way = vec![start];
            while let Some(at) = way.last().copied() {
                if !matches!(self.0[at].settled, Settled::New | Settled::OnTheWay) {
                    way.pop();
                    continue;
                }
                self.0[at].settled = Settled::OnTheWay;
                match self.other(at, Settled::New) {
                    Some(next) => way.push(next),
                    None => self.0[at].settled = self.outcome(at),
                }
            }
        }
    }

    fn outcome(&self, at: usize) -> Settled {
        if let Some(other) = self.other(at, Settled::OnTheWay) {
            return Settled::Circle(self.0[other].row);
        }
        let mut outcome = Settled::Alone;
        for owner in self.owners(at) {
            let Some(owner) = owner else {
                return Settled::Alone;
            };
            match self.end(owner) {
                PlanEnd::Change => outcome = Settled::After,
                end @ (PlanEnd::Unchanged | PlanEnd::Refused) => return Settled::Kept(owner.row, end),
            }
        }
        outcome
    }

    fn end(&self, owner: PlannedOwner) -> PlanEnd {
        match self.at(owner.row).map(|at| self.0[at].settled) {
            None | Some(Settled::New | Settled::OnTheWay | Settled::Alone) => owner.alone,
            Some(Settled::SameAccount(_) | Settled::Circle(_) | Settled::Kept(..)) => PlanEnd::Refused,
            Some(Settled::After) => owner.freed,
        }
    }

    fn settle(&self, row: RowNumber, mut plan: RowPlan, name: &mut Naming<'_>) -> Result<RowPlan, JournalError> {
        let (Some(wanted), Some(at)) = (&plan.wanted, self.at(row.0)) else {
            return Ok(plan);
        };
        let settled = self.0[at].settled;
        if let Settled::SameAccount(other) = settled {
            return Ok(RowPlan::against(same_account(&wanted.account, &name(RowNumber(other))?)));
        }
        let Some(in_the_way) = &wanted.in_the_way else {
            return Ok(plan);
        };
        Ok(match settled {
            Settled::Circle(other) => RowPlan::against(circle(in_the_way, &name(RowNumber(other))?)),
            Settled::Kept(other, end) => {
                let other = RowNumber(other);
                let end = if end == PlanEnd::Unchanged { "would be unchanged" } else { "would be refused" };
                RowPlan::against(kept(in_the_way, other, &name(other)?, end))
            }
            Settled::After => {
                let Some(mut freed) = plan.freed.take() else {
                    return Ok(plan);
                };
                let others = self.owners(at).flatten();
                let others: Result<Vec<String>, _> = others.map(|owner| name(RowNumber(owner.row))).collect();
                let (others, reason) = (others?.join(" and "), &in_the_way.reason);
                let message = format!("it is changed after {others}: until then {reason}");
                freed.warnings.push(AFTER_ROW.problem(message));
                *freed
            }
            Settled::New | Settled::OnTheWay | Settled::Alone | Settled::SameAccount(_) => plan,
        })
    }
}

#[cfg(test)]
#[path = "plan_rows_tests.rs"]
mod tests;
