//! Rows of a plan, made by hand: who is whose, who waits for whom, and who is refused because of whom.

use super::*;
use crate::core::Problem;
use crate::job::StepId;

fn plan(plan: Plan) -> RowPlan {
    RowPlan { plan, ..RowPlan::against(Problem { code: String::new(), message: String::new(), advice: String::new() }) }
}

/// A row with an account that wants what others have.
fn row(number: u64, account: &str, wants_of: &[&str], values: &[&str]) -> Beside {
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
    Beside {
        row: RowNumber(number),
        line: number + 1,
        key: format!("p{number}"),
        plan: RowPlan {
            wanted: Some(Wanted {
                account: account.into(),
                values: claimed.collect(),
                in_the_way: (!is_free).then_some(in_the_way),
                gives_way_to: Vec::new(),
            }),
            freed: (!is_free).then(|| Box::new(plan(change()))),
            ..alone
        },
    }
}

/// What is said of each row: that it is changed, after whom; or why it is refused.
fn told(mut rows: Vec<Beside>) -> Vec<String> {
    settle(&mut rows);
    let told = rows.iter().map(|row| match &row.plan.plan {
        Plan::Change(_) => {
            let warnings = row.plan.warnings.iter();
            let warnings = warnings.map(|warning| format!(" {}", warning.message));
            format!("change{}", warnings.collect::<String>())
        }
        Plan::Unchanged => "unchanged".into(),
        Plan::Refused(problems) => problems[0].to_string(),
    });
    told.collect()
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
