//! Stopping: one signal brings everybody to safety first, two stop at once, too many failures stop the run; after each
//! of them the run can be gone on with.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;
use support::oracle::{Oracle, Slack};
use support::{Going, Ran, Stage, calm, slow};

/// A few hundred rows at this pace take seconds, so that a signal meets the process at work.
const SLOW_WRITES: &str = "60/1s";

/// At this pace and with so many rows in flight draining alone takes seconds.
const CRAWLING_WRITES: &str = "10/1s";
const MANY_IN_FLIGHT: [&str; 2] = ["--concurrency", "20"];

const POLL: Duration = Duration::from_millis(5);

/// A process at work, slow enough to be met.
fn at_work(writes: &str, options: &[&str]) -> (Stage, Oracle, Going) {
    let stage = Stage::new(slow(200, 10));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(writes));
    let mut going = stage.start(&mut stage.quick_run(options));
    stage.await_writes(12, &mut going);
    (stage, oracle, going)
}

/// Waits until the process says that it drains.
fn await_draining(stage: &Stage, going: &mut Going) {
    loop {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        let status = stage.end(&mut stage.cutover(&["status", "--json"]));
        if status.code == Some(0) && status.json()["state"] == "draining" {
            return;
        }
        std::thread::sleep(POLL);
    }
}

#[track_caller]
fn must_be_true(stage: &Stage, oracle: &Oracle, ran: &Ran, slack: Slack) {
    let complaints = oracle.complaints(stage, ran, slack);
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
}

#[test]
fn one_signal_drains_and_leaves_nobody_exposed() {
    let (stage, oracle, going) = at_work(SLOW_WRITES, &[]);
    going.interrupt();
    let stopped = going.wait().must_end(3);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let summary = stage.summary();
    assert_eq!(summary["state"], "stopped");
    assert!(
        summary["outcomes"]["pending"].as_u64() > Some(0),
        "{summary}"
    );
    assert!(stopped.stdout.contains("SIGINT"), "{}", stopped.stdout);
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(0));
    assert_eq!(stage.summary()["run"], summary["run"]);
}

#[test]
fn a_pending_row_of_the_report_is_as_before_or_in_safety() {
    let (stage, oracle, going) = at_work(SLOW_WRITES, &[]);
    going.interrupt();
    going.wait().must_end(3);
    let lines = stage.outcomes();
    assert_eq!(lines.len(), 200, "every row has its line, begun or not");
    let pending = lines
        .iter()
        .filter(|line| line["outcome"] == "pending")
        .count();
    assert_eq!(stage.summary()["outcomes"]["pending"], pending);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
}

#[test]
fn two_signals_stop_at_once_and_the_journal_is_good() {
    let (stage, oracle, mut going) = at_work(CRAWLING_WRITES, &MANY_IN_FLIGHT);
    going.interrupt();
    await_draining(&stage, &mut going);
    going.interrupt();
    let stopped = going.wait().must_end(3);
    assert!(stopped.stdout.contains("twice"), "{}", stopped.stdout);
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(2));
}

#[test]
fn too_many_failures_stop_the_run_and_it_can_go_on() {
    let stage = Stage::new(calm(400));
    let oracle = Oracle::look(&stage);
    let stopped = stage
        .end(&mut stage.hasty_run(&["--max-failed", "2"]))
        .must_end(4);
    assert!(
        stopped.stdout.contains("--max-failed 2"),
        "{}",
        stopped.stdout
    );
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let summary = stage.summary();
    assert_eq!(summary["state"], "stopped");
    assert!(
        summary["outcomes"]["pending"].as_u64() > Some(0),
        "{summary}"
    );
    let ran = stage
        .end(&mut stage.hasty_run(&["--max-failed", "100%"]))
        .must_end(1);
    must_be_true(&stage, &oracle, &ran, Slack(0));
    assert_eq!(stage.summary()["run"], summary["run"]);
}
