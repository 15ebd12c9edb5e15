//! Rows of a plan, made by hand: who is whose, who waits for whom, and who is refused because of whom.

use super::*;
use crate::core::Problem;
use crate::job::{Claimed, InTheWay, StepId};
use crate::runner::claims::Wanted;
use proptest::prelude::*;
use std::collections::HashMap;

/// A row, as the person with the file finds it.
fn name(row: RowNumber) -> String {
    format!("row {row} (line {}, p{row})", row.0 + 1)
}

fn plan(plan: Plan) -> RowPlan {
    RowPlan { plan, ..RowPlan::against(Problem { code: String::new(), message: String::new(), advice: String::new() }) }
}

/// A row with an account that wants what others have.
fn row(number: u64, account: &str, wants_of: &[&str], values: &[&str]) -> (RowNumber, RowPlan) {
    let change = || Plan::Change(vec![StepId(0)]);
    let refused = Problem { code: "Taken".into(), message: "by the job's words".into(), advice: String::new() };
    let is_free = wants_of.is_empty();
    let in_the_way = InTheWay {
        code: "Taken".into(),
        reason: "it has it".into(),
        accounts: wants_of.iter().map(|account| (*account).into()).collect(),
    };
    let claimed = values.iter().map(|value| Claimed { what: "UPN".into(), value: (*value).into() });
    let alone = plan(match is_free {
        true => change(),
        false => Plan::Refused(vec![refused]),
    });
    let plan = RowPlan {
        wanted: Some(Wanted {
            account: account.into(),
            values: claimed.collect(),
            in_the_way: (!is_free).then_some(in_the_way),
            gives_way_to: Vec::new(),
        }),
        freed: (!is_free).then(|| Box::new(plan(change()))),
        ..alone
    };
    (RowNumber(number), plan)
}

/// What is told of each row: that it is changed, and after whom; or why it is refused. Rows are read in any order.
fn told(rows: Vec<(RowNumber, RowPlan)>) -> Vec<String> {
    let mut plans = PlanRows::new().unwrap();
    rows.iter().rev().for_each(|(row, plan)| plans.take(*row, plan).unwrap());
    let mut name = |row| Ok(name(row));
    let mut settled = plans.settle(&mut name).unwrap();
    let told = rows.iter().map(|(row, _)| in_words(&settled.next_of(*row, &mut name).unwrap().unwrap()));
    told.collect()
}

fn in_words(plan: &RowPlan) -> String {
    match &plan.plan {
        Plan::Change(_) => {
            let warnings = plan.warnings.iter();
            let warnings = warnings.map(|warning| format!(" {}", warning.message));
            format!("change{}", warnings.collect::<String>())
        }
        Plan::Unchanged => "unchanged".into(),
        Plan::Refused(problems) => problems[0].to_string(),
    }
}

#[test]
fn an_account_is_its_first_rows() {
    let rows = vec![row(1, "a", &[], &[]), row(2, "b", &[], &[]), row(3, "a", &[], &[])];
    assert_eq!(
        told(rows),
        ["change", "change", "OtherRow: this account (object id a) is the account of row 1 (line 2, p1)"]
    );
}

#[test]
fn a_chain_is_changed_from_its_end() {
    let rows = vec![row(1, "a", &["b"], &[]), row(2, "b", &["c"], &[]), row(3, "c", &[], &[])];
    let after = |name: &str| format!("change it is changed after {name}: until then it has it");
    assert_eq!(told(rows), [after("row 2 (line 3, p2)"), after("row 3 (line 4, p3)"), "change".to_owned()]);
}

#[test]
fn a_chain_that_ends_at_a_stranger_or_in_a_circle_is_refused() {
    let to_a_stranger = vec![row(1, "a", &["b"], &[]), row(2, "b", &["z"], &[])];
    assert_eq!(
        told(to_a_stranger),
        [
            "Taken: it has it: that is row 2 (line 3, p2), which would be refused and keeps it",
            "Taken: by the job's words"
        ]
    );
    let in_a_circle = vec![row(1, "a", &["b"], &[]), row(2, "b", &["c"], &[]), row(3, "c", &["b"], &[])];
    assert_eq!(
        told(in_a_circle),
        [
            "Taken: it has it: that is row 2 (line 3, p2), which would be refused and keeps it",
            "Taken: it has it: that is row 3 (line 4, p3), which would be refused and keeps it",
            "Circle: it has it: that is row 2 (line 3, p2), which waits for this row in turn"
        ]
    );
}

/// A recursion would end the program.
#[test]
fn a_chain_as_long_as_the_file_is_followed() {
    let last = 100_000;
    let rows = (1..=last).map(|number| {
        let next = (number + 1).to_string();
        let wants_of: &[&str] = if number == last { &[] } else { &[&next] };
        row(number, &number.to_string(), wants_of, &[])
    });
    let told = told(rows.collect());
    assert!(told.iter().all(|told| told.starts_with("change")));
}

#[test]
fn rows_that_need_one_value_are_told_so() {
    let rows = vec![row(1, "a", &[], &["x", "y"]), row(2, "b", &[], &["y"])];
    assert_eq!(
        told(rows),
        ["change", "change it is not changed at the same time as row 1 (line 2, p1): both need the UPN y"]
    );
}

/// What is held for a row in memory is held for those that touch another one only.
#[test]
fn rows_that_touch_nobody_leave_nothing_in_memory() {
    let mut plans = PlanRows::new().unwrap();
    for number in 1..=20_000 {
        let (row, plan) = row(number, &number.to_string(), &["a stranger"][..usize::from(number == 7)], &["x"]);
        plans.take(row, &plan).unwrap();
    }
    let touches = Touches::find(plans.accounts).unwrap();
    assert_eq!(touches.0.iter().map(|touch| touch.row).collect::<Vec<_>>(), [7]);
}

/// The same with everything in memory and rows followed one by one.
fn told_by_maps(rows: &[(RowNumber, RowPlan)]) -> Vec<String> {
    let names: Vec<String> = rows.iter().map(|(row, _)| name(*row)).collect();
    let mut plans: Vec<RowPlan> = rows.iter().map(|(_, plan)| plan.clone()).collect();
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (at, plan) in plans.iter_mut().enumerate() {
        let account = plan.wanted.as_ref().unwrap().account.clone();
        match owners.get(&account) {
            Some(owner) => *plan = RowPlan::against(same_account(&account, &names[*owner])),
            None => drop(owners.insert(account, at)),
        }
    }
    let mut on_the_way = vec![None; plans.len()];
    (0..plans.len()).for_each(|at| follow_by_maps(at, &owners, &names, &mut plans, &mut on_the_way));
    let mut first: HashMap<Claimed, usize> = HashMap::new();
    for (at, plan) in plans.iter_mut().enumerate() {
        let is_changed = matches!(plan.plan, Plan::Change(_));
        let wanted = plan.wanted.iter().filter(|_| is_changed);
        let values: Vec<Claimed> = wanted.flat_map(|wanted| wanted.values.clone()).collect();
        let shared = values.into_iter().rev().find_map(|value| {
            let other = *first.entry(value.clone()).or_insert(at);
            (other != at).then_some((value, other))
        });
        if let Some((Claimed { what, value }, other)) = shared {
            let other = &names[other];
            let message = format!("it is not changed at the same time as {other}: both need the {what} {value}");
            plan.warnings.push(AFTER_ROW.problem(message));
        }
    }
    plans.iter().map(in_words).collect()
}

fn follow_by_maps(
    at: usize,
    owners: &HashMap<String, usize>,
    names: &[String],
    plans: &mut [RowPlan],
    on_the_way: &mut [Option<bool>],
) {
    let in_the_way = plans[at].wanted.as_ref().and_then(|wanted| wanted.in_the_way.clone());
    let (Some(in_the_way), None) = (in_the_way, on_the_way[at]) else {
        return;
    };
    on_the_way[at] = Some(true);
    let holders = || in_the_way.accounts.iter().map(|account| owners.get(account).copied());
    for other in holders().flatten() {
        follow_by_maps(other, owners, names, plans, on_the_way);
    }
    let in_turn = holders().flatten().find(|other| on_the_way[*other] == Some(true));
    on_the_way[at] = Some(false);
    if let Some(other) = in_turn {
        plans[at] = RowPlan::against(circle(&in_the_way, &names[other]));
        return;
    }
    let mut after = Vec::new();
    for other in holders() {
        let Some(other) = other else {
            return;
        };
        let end = match plans[other].plan {
            Plan::Change(_) => {
                after.push(names[other].clone());
                continue;
            }
            Plan::Unchanged => "would be unchanged",
            Plan::Refused(_) => "would be refused",
        };
        let row = RowNumber(other as u64 + 1);
        plans[at] = RowPlan::against(kept(&in_the_way, row, &names[other], end));
        return;
    }
    let freed = plans[at].freed.take();
    if let Some(mut freed) = freed {
        let message = format!("it is changed after {}: until then {}", after.join(" and "), in_the_way.reason);
        freed.warnings.push(AFTER_ROW.problem(message));
        plans[at] = *freed;
    }
}

fn accounts(number: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-h]", number).prop_map(|names| names.into_iter().collect())
}

proptest! {
    /// Rows refused because of others, and rows that wait for others, read as if all of them were held in memory.
    #[test]
    fn rows_on_disk_are_told_what_rows_in_memory_are(
        rows in prop::collection::vec(("[a-h]", accounts(0..3), accounts(0..3), 0..3_u8), 1..12),
    ) {
        let rows = rows.into_iter().zip(1..).map(|((account, wants, values, end), number)| {
            let of_others: Vec<&str> = wants.iter().filter(|want| **want != account).map(String::as_str).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let (row, mut plan) = row(number, &account, &of_others, &values);
            // In the end some have nothing to do or cannot be changed, with or without others in their way.
            let last = match end {
                0 => Plan::Unchanged,
                1 => RowPlan::against(AFTER_ROW.problem("")).plan,
                _ => Plan::Change(vec![StepId(0)]),
            };
            match &mut plan.freed {
                Some(freed) => freed.plan = last,
                None => plan.plan = last,
            }
            (row, plan)
        });
        let rows: Vec<(RowNumber, RowPlan)> = rows.collect();
        prop_assert_eq!(told_by_maps(&rows), told(rows));
    }
}
