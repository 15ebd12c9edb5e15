//! A whole run against a whole tenant, judged by the tenant: what the report says of a person is what the person is,
//! and nobody costs one write more than needed.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Stage, calm};
use cutover::sim::{Options, Person, Population};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn every_outcome_is_true_and_no_write_is_wasted() {
    let stage = Stage::new(calm(300));
    let oracle = Oracle::look(&stage);
    let ran = stage.end(&mut stage.hasty_run(&[]));
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
    let outcomes = stage.outcomes();
    let met: BTreeSet<&str> = outcomes.iter().map(|line| &line["outcome"][..]).collect();
    let all = ["done", "failed", "refused", "reverted", "unchanged"];
    assert_eq!(met, BTreeSet::from(all), "the mixture must have them all");
}

/// The oracle itself: had the report lied about anybody, it would have been seen.
#[test]
fn a_false_report_is_seen_through() {
    let stage = Stage::new(calm(100));
    let oracle = Oracle::look(&stage);
    let ran = stage.end(&mut stage.run_line());
    let path = stage.path("report/outcomes.csv");
    let truth = fs::read_to_string(&path).unwrap();
    let lies = [
        (",done,", ",unchanged,"),
        (",done,", ",reverted,"),
        (",unchanged,", ",done,"),
        (",refused,", ",done,"),
        (",refused,", ",pending,"),
    ];
    for (word, lie) in lies {
        fs::write(&path, truth.replacen(word, lie, 1)).unwrap();
        let complaints = oracle.complaints(&stage, &ran, Slack(9));
        assert!(complaints.len() >= 2, "{word} -> {lie}: {complaints:?}");
    }
    fs::write(&path, truth).unwrap();
    assert_eq!(oracle.complaints(&stage, &ran, Slack(0)), Vec::<String>::new());
}

#[test]
fn the_report_counts_the_writes_that_the_tenant_counts() {
    let stage = Stage::new(calm(120));
    let ran = stage.end(&mut stage.run_line());
    let told: u64 = stage.outcomes().iter().map(|line| line["writes"].parse::<u64>().unwrap()).sum();
    let made = stage.ask("/sim/writes").lines().count() as u64;
    assert_eq!(told, made, "{ran:?}");
    assert_eq!(stage.summary()["writes"], made);
}

#[test]
fn a_second_run_finds_nothing_to_write() {
    let stage = Stage::new(calm(80));
    stage.end(&mut stage.run_line());
    let done = count(&stage, "done");
    let unchanged = count(&stage, "unchanged");
    assert!(done > 0);
    stage.end(&mut stage.run_with(&["--fresh"]));
    assert_eq!((count(&stage, "done"), count(&stage, "unchanged")), (0, done + unchanged));
}

/// Of two hundred names at least one is a plain person with an old ImmutableID.
#[test]
fn a_run_where_everybody_succeeds_exits_with_0() {
    let guid = "00112233-4455-6677-8899-aabbccddeeff";
    let wanted = "MyIRAFVEd2aImaq7zN3u/w==";
    let good = (0..200).find_map(|n| {
        let upn = format!("person{n}@contoso.com");
        let stage = Stage::new(Options {
            population: Population::People(vec![Person {
                upn: upn.clone(),
                temp_upn: None,
                wanted_immutable_id: Some(wanted.to_owned()),
            }]),
            ..calm(0)
        });
        let users = stage.ask("/sim/users");
        let plain = users.lines().count() == 1
            && users.contains("\"deleted\":false")
            && users.contains("\"administrator\":false")
            && !users.contains("\"onPremisesSyncEnabled\":true")
            && !users.contains(wanted);
        plain.then_some((stage, upn))
    });
    let (stage, upn) = good.unwrap();
    stage.write("people.csv", format!("upn,object_guid\n{upn},{guid}\n"));
    let oracle = Oracle::look(&stage);
    let ran = stage.end(&mut stage.run_line()).must_end(0);
    assert_eq!(oracle.complaints(&stage, &ran, Slack(0)), Vec::<String>::new());
    assert_eq!(count(&stage, "done"), 1);
}

fn count(stage: &Stage, outcome: &str) -> usize {
    let outcomes = stage.outcomes();
    outcomes.iter().filter(|line| line["outcome"] == outcome).count()
}
