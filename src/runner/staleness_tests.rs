//! The truth table of staleness, written out: every reading against everything that it depends on.

use super::*;
use crate::core::Problem;

fn problem() -> Problem {
    Problem { code: "c".into(), message: "m".into(), advice: "a".into() }
}

const STEP: StepId = StepId(1);

/// Each bit of a number is one fact.
fn staleness(bits: u16) -> Staleness {
    let bit = |at: u16| bits >> at & 1 == 1;
    Staleness {
        took_effect: bit(0),
        left: bit(1),
        unsettled: bit(2),
        undoing: bit(3),
        touched: bit(4),
        unseen_too_long: bit(5),
        first_look: bit(6),
        doubt: bit(7).then_some(Doubt { step: STEP, again: bit(8), under_way: bit(9) }),
    }
}

fn decisions() -> [(&'static str, Decision); 5] {
    [
        ("doubtful step", Decision::Next(STEP)),
        ("other step", Decision::Next(StepId(0))),
        ("goal", Decision::Goal),
        ("adrift", Decision::Adrift(problem())),
        ("refused", Decision::Refused(vec![problem()])),
    ]
}

/// The rows of the table: a reading, and each set of facts that together make it look old. Everything else is believed.
const TABLE: [(&str, &[&[&str]]); 8] = [
    ("nothing", &[&["touched", "!unseen_too_long"]]),
    ("nobody", &[&["left"], &["touched", "!unseen_too_long"]]),
    ("older", &[&["left"]]),
    ("doubtful step", &[&["first_look", "left"], &["doubt", "under_way"]]),
    ("other step", &[&["first_look", "left"], &["doubt", "under_way", "again"], &["undoing", "doubt", "took_effect"]]),
    (
        "goal",
        &[
            &["first_look", "left"],
            &["doubt", "under_way", "again"],
            &["undoing", "doubt", "took_effect"],
            &["undoing", "unsettled", "left"],
        ],
    ),
    (
        "adrift",
        &[
            &["first_look", "left"],
            &["doubt", "under_way", "again"],
            &["undoing", "doubt", "took_effect"],
            &["undoing", "left"],
        ],
    ),
    ("refused", &[&["first_look", "left"], &["doubt", "under_way", "again"], &["undoing", "doubt", "took_effect"]]),
];

fn holds(staleness: &Staleness, fact: &str) -> bool {
    match fact.strip_prefix('!') {
        Some(fact) => !holds(staleness, fact),
        None => match fact {
            "took_effect" => staleness.took_effect,
            "left" => staleness.left,
            "unsettled" => staleness.unsettled,
            "undoing" => staleness.undoing,
            "touched" => staleness.touched,
            "unseen_too_long" => staleness.unseen_too_long,
            "first_look" => staleness.first_look,
            "doubt" => staleness.doubt.is_some(),
            "again" => staleness.doubt.is_some_and(|doubt| doubt.again),
            "under_way" => staleness.doubt.is_some_and(|doubt| doubt.under_way),
            other => panic!("{other} is no fact"),
        },
    }
}

#[test]
fn every_reading_meets_every_set_of_facts() {
    let decisions = decisions();
    for (name, old_when) in TABLE {
        let reading = match name {
            "nothing" => Reading::Nothing,
            "nobody" => Reading::Nobody,
            "older" => Reading::Older,
            name => {
                let found = decisions.iter().find(|(other, _)| *other == name);
                Reading::State(&found.unwrap().1)
            }
        };
        for bits in 0..1 << 10 {
            let staleness = staleness(bits);
            let is_old = old_when.iter().any(|facts| facts.iter().all(|fact| holds(&staleness, fact)));
            let verdict = match is_old {
                true => Verdict::LookAgain,
                false => Verdict::Believe,
            };
            assert_eq!(staleness.verdict(reading), verdict, "{name}: {staleness:?}");
        }
    }
}
