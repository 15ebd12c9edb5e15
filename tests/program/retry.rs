//! A new try for rows that ended short of their goal, in the run that they belong to: through the real program, and over a
//! kill.

use crate::stopping::await_words;
use crate::support::{Ran, Stage, WORKING, calm};
use std::collections::BTreeMap;

const ALL: [&str; 2] = ["--max-failed", "100%"];
const RETRIED: [&str; 4] = ["failed", "reverted", "held", "stranded"];

type Lines = Vec<BTreeMap<String, String>>;

/// A run in which some rows have failed, and its outcomes.
fn failed_run() -> (Stage, Lines) {
    let stage = Stage::new(calm(60));
    stage.end(&mut stage.quick_run(&ALL)).must_end(1);
    let lines = stage.outcomes();
    let retried = lines.iter().filter(|line| is_retried(line)).count();
    assert!(retried > 0, "nobody is left to retry");
    (stage, lines)
}

fn is_retried(line: &BTreeMap<String, String>) -> bool {
    RETRIED.contains(&&*line["outcome"])
}

fn retry(stage: &Stage, more: &[&str]) -> Ran {
    let mut line = stage.cutover(&["retry"]);
    stage.end(line.args(WORKING).args(ALL).args(more))
}

/// Every row has one line, and the counts add up to the batch.
fn must_add_up(stage: &Stage, before: &Lines) {
    let after = stage.outcomes();
    assert_eq!(after.len(), before.len());
    let summary = stage.summary();
    let outcomes = summary["outcomes"].as_object().unwrap();
    let sum: u64 = outcomes.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, before.len() as u64, "{summary}");
    for (word, count) in outcomes {
        let lines = after.iter().filter(|line| line["outcome"] == *word).count();
        assert_eq!(lines as u64, count.as_u64().unwrap(), "{word}");
    }
    for (then, now) in before.iter().zip(&after) {
        assert_eq!(then["row"], now["row"]);
        if !is_retried(then) {
            assert_eq!(then, now, "a row that was not retried has changed");
        }
    }
}

#[test]
fn a_retry_belongs_to_its_run() {
    let (stage, before) = failed_run();
    let runs = stage.runs().len();
    retry(&stage, &[]).must_end(1);
    must_add_up(&stage, &before);
    assert_eq!(stage.runs().len(), runs);
    let attempts = |line: &BTreeMap<String, String>| line["attempts"].parse::<u64>().unwrap();
    let after = stage.outcomes();
    for (then, now) in before.iter().zip(&after).filter(|(then, _)| is_retried(then)) {
        assert!(attempts(now) >= attempts(then), "history was lost: {now:?}");
    }
}

#[test]
fn only_the_named_rows_begin_again() {
    let (stage, before) = failed_run();
    let row = before.iter().find(|line| is_retried(line)).unwrap()["row"].clone();
    let ran = retry(&stage, &["--rows", &row]).must_end(1);
    assert!(ran.stderr.contains("1 row begins again"), "{}", ran.stderr);
    must_add_up(&stage, &before);
}

#[test]
fn a_retry_that_is_killed_is_gone_on_with() {
    let (stage, before) = failed_run();
    stage.write("sim.toml", stage.connection("20/1s"));
    let mut line = stage.cutover(&["retry"]);
    let mut going = stage.start(line.args(WORKING).args(ALL));
    await_words(&mut going, "begins again");
    going.kill();
    stage.write("sim.toml", stage.connection("100000/1s"));
    stage.end(&mut stage.resume_line(&ALL)).must_end(1);
    must_add_up(&stage, &before);
}
