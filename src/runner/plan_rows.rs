//! The rows of a plan beside each other: what a run would find out of them only on its way. One account twice, values that one
//! row gets from another one, circles of those, and rows that need the same value and so go one after the other.

use super::claims::{Wanted, circle, kept, named, same_account};
use super::plan::{Plan, RowPlan};
use super::problems::AFTER_ROW;
use crate::job::{Claimed, InTheWay};
use crate::journal::RowNumber;
use std::collections::{BTreeMap, HashMap};

/// A row of a plan.
#[derive(Debug)]
pub struct Beside {
    /// Which.
    pub row: RowNumber,
    /// Its line in the file.
    pub line: u64,
    /// What identifies it to people.
    pub key: String,
    /// Its plan, as if it were alone.
    pub plan: RowPlan,
}

/// Plans rows with regard to each other; they come in the order of the file.
pub fn settle(rows: &mut [Beside]) {
    let owners = one_row_an_account(rows);
    give_and_take(rows, &owners);
    one_after_the_other(rows);
}

impl Beside {
    fn name(&self) -> String {
        named(self.row, self.line, &self.key)
    }

    fn wanted(&self) -> Option<&Wanted> {
        self.plan.wanted.as_ref()
    }

    fn in_the_way(&self) -> Option<&InTheWay> {
        self.wanted()?.in_the_way.as_ref()
    }
}

/// The first row that is an account keeps it. Answers which rows, by their place, the accounts are.
fn one_row_an_account(rows: &mut [Beside]) -> HashMap<String, usize> {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for at in 0..rows.len() {
        let Some(wanted) = rows[at].wanted() else {
            continue;
        };
        match owners.get(&wanted.account) {
            Some(owner) => {
                let problem = same_account(&wanted.account, &rows[*owner].name());
                rows[at].plan = RowPlan::against(problem);
            }
            None => {
                owners.insert(wanted.account.clone(), at);
            }
        }
    }
    owners
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnTheWay,
    Settled,
}

/// Follows who has what a row wants, without recursion: a chain may be as long as the file.
fn give_and_take(rows: &mut [Beside], owners: &HashMap<String, usize>) {
    let mut marks = vec![Mark::New; rows.len()];
    for start in 0..rows.len() {
        let mut way = vec![start];
        while let Some(at) = way.last().copied() {
            let holders = holders(&rows[at], at, owners);
            if let Some(next) = holders.iter().find(|next| marks[**next] == Mark::New) {
                marks[at] = Mark::OnTheWay;
                way.push(*next);
                continue;
            }
            if marks[at] != Mark::Settled {
                let in_turn = holders.iter().find(|other| marks[**other] == Mark::OnTheWay);
                settle_one(rows, at, owners, in_turn.copied());
                marks[at] = Mark::Settled;
            }
            way.pop();
        }
    }
}

/// The other rows whose accounts have what this one wants.
fn holders(row: &Beside, at: usize, owners: &HashMap<String, usize>) -> Vec<usize> {
    let accounts = row.in_the_way().into_iter().flat_map(|way| &way.accounts);
    let rows = accounts.filter_map(|account| owners.get(account)).copied();
    rows.filter(|other| *other != at).collect()
}

fn settle_one(rows: &mut [Beside], at: usize, owners: &HashMap<String, usize>, in_turn: Option<usize>) {
    let Some(in_the_way) = rows[at].in_the_way().cloned() else {
        return;
    };
    if let Some(other) = in_turn {
        rows[at].plan = RowPlan::against(circle(&in_the_way, &rows[other].name()));
        return;
    }
    let mut after = Vec::new();
    for account in &in_the_way.accounts {
        // A stranger's: the job itself says what to do.
        let Some(owner) = owners.get(account) else {
            return;
        };
        let other = &rows[*owner];
        let end = match &other.plan.plan {
            Plan::Change(_) => {
                after.push(other.name());
                continue;
            }
            Plan::Unchanged => "would be unchanged",
            Plan::Refused(_) => "would be refused",
        };
        rows[at].plan = RowPlan::against(kept(&in_the_way, other.row, &other.name(), end));
        return;
    }
    if let Some(mut freed) = rows[at].plan.freed.take() {
        let message = format!("it is changed after {}: until then {}", after.join(" and "), in_the_way.reason);
        freed.warnings.push(AFTER_ROW.problem(message));
        rows[at].plan = *freed;
    }
}

/// Rows that need one value go one after the other.
fn one_after_the_other(rows: &mut [Beside]) {
    let mut first: BTreeMap<Claimed, usize> = BTreeMap::new();
    for at in 0..rows.len() {
        if !matches!(rows[at].plan.plan, Plan::Change(_)) {
            continue;
        }
        let values = rows[at].wanted().map(|wanted| wanted.values.clone());
        let mut shared = None;
        for value in values.unwrap_or_default() {
            match first.get(&value) {
                Some(other) => shared = Some((value, *other)),
                None => {
                    first.insert(value, at);
                }
            }
        }
        if let Some((Claimed { what, value }, other)) = shared {
            let other = rows[other].name();
            let message = format!("it is not changed at the same time as {other}: both need the {what} {value}");
            rows[at].plan.warnings.push(AFTER_ROW.problem(message));
        }
    }
}

#[cfg(test)]
#[path = "plan_rows_tests.rs"]
mod tests;
