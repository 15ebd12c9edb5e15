//! Two processes on one journal: one works, the others say who does, and what was killed holds nothing back.
#![allow(clippy::unwrap_used)]

mod support;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use support::oracle::{Oracle, Slack};
use support::{Going, Ran, Stage, number, slow, table};

const SEED: u64 = 20;

/// A few hundred rows at this pace take seconds, so that a process can be met at work.
const SLOW_WRITES: &str = "60/1s";
const RACERS: usize = 10;

/// So many that two reports asked for at once are written at once, if they can be.
const ROWS_TO_REPORT: u64 = 2_000;

fn at_work(stage: &Stage) -> Going {
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let writes = stage.stat("writes");
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(writes + 10, &mut going);
    going
}

/// It says that somebody else has the journal, and where they can be known, who.
#[track_caller]
fn must_be_refused(ran: Ran, first: Option<u32>) {
    let ran = ran.must_end(2);
    let complaint = ran.complaint();
    assert!(complaint.contains("in use by"), "{complaint}");
    assert!(complaint.contains("nothing was changed"), "{complaint}");
    if let Some(pid) = first {
        let name = format!("process {pid} (`cutover run`)");
        assert!(complaint.contains(&name), "{name} is not in {complaint}");
    }
}

#[test]
fn the_second_one_is_told_who_the_first_is_and_sends_nothing() {
    let stage = Stage::new(slow(200, 4));
    let going = at_work(&stage);
    // Any request of its own would begin with one for a token.
    let tokens = stage.stat("tokens");
    for mut line in [
        stage.quick_run(&[]),
        stage.resume_line(&[]),
        stage.quick_run(&["--fresh"]),
    ] {
        must_be_refused(stage.end(&mut line), Some(going.pid()));
    }
    assert_eq!(stage.stat("tokens"), tokens);
    assert_eq!(stage.runs().len(), 1);
    going.kill();
}

#[test]
fn those_who_only_look_ask_the_live_process() {
    let stage = Stage::new(slow(ROWS_TO_REPORT, 4));
    let mut going = at_work(&stage);
    let json = |arguments: &[&str]| -> Value {
        stage.end(&mut stage.cutover(arguments)).must_end(0).json()
    };
    let status = json(&["status", "--json"]);
    assert_eq!(status["state"], "running");
    assert_eq!(json(&["runs", "--json"])[0]["run"], status["run"]);
    // Several at once must not write one file together.
    let reports = || stage.start(&mut stage.cutover(&["report", "--report", "meanwhile"]));
    for _ in 0..3 {
        for one in [reports(), reports(), reports(), reports()] {
            one.wait().must_end(0);
        }
    }
    assert_eq!(
        table(&stage.path("meanwhile/outcomes.csv")).len() as u64,
        ROWS_TO_REPORT
    );
    assert!(!going.has_ended(), "{:?}", going.said());
    going.kill();
    assert_eq!(json(&["status", "--json"])["state"], "interrupted");
}

#[test]
fn a_second_line_leaves_the_log_of_the_first_alone() {
    let stage = Stage::new(slow(200, 4));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&["--log", "log.json", "-vv"]));
    stage.await_writes(10, &mut going);
    let before = fs::read_to_string(stage.path("log.json")).unwrap();
    must_be_refused(
        stage.end(&mut stage.quick_run(&["--log", "log.json"])),
        Some(going.pid()),
    );
    going.kill();
    let after = fs::read_to_string(stage.path("log.json")).unwrap();
    assert!(after.len() > 100 && after.starts_with(&before), "{after}");
}

#[test]
fn of_ten_that_start_at_once_exactly_one_works() {
    let stage = Stage::new(slow(60, 20));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let racers: Vec<Going> = (0..RACERS)
        .map(|_| stage.start(&mut stage.quick_run(&["--max-failed", "100%"])))
        .collect();
    let ended: Vec<Ran> = racers.into_iter().map(Going::wait).collect();
    let (refused, mut worked): (Vec<Ran>, Vec<Ran>) =
        ended.into_iter().partition(|ran| ran.code == Some(2));
    assert_eq!(worked.len(), 1, "{worked:?}");
    for ran in refused {
        // One that has only just taken the lock may not have said its name yet.
        must_be_refused(ran, None);
    }
    let complaints = oracle.complaints(&stage, &worked.remove(0), Slack(0));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(stage.runs().len(), 1);
}

#[test]
fn one_that_starts_while_another_is_killed_goes_on_or_says_why_not() {
    let seed = number("CUTOVER_KILL_SEED", SEED);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let stage = Stage::new(slow(300, 4));
    let oracle = Oracle::look(&stage);
    let mut going = at_work(&stage);
    let mut gone = Vec::new();
    for _ in 0..number("CUTOVER_KILLS", 20) {
        // The next one starts a little before, with, or a little after the kill.
        let early = dice.random_range(0..3) == 0;
        let next = early.then(|| stage.start(&mut stage.quick_run(&[])));
        thread::sleep(Duration::from_micros(dice.random_range(0..3_000)));
        going.strike();
        let mut next = next.unwrap_or_else(|| stage.start(&mut stage.quick_run(&[])));
        gone.push(going);
        if !has_begun(&stage, &mut next) {
            must_be_refused(next.wait(), None);
            next = stage.start(&mut stage.quick_run(&[]));
            assert!(
                has_begun(&stage, &mut next),
                "seed {seed}: {:?}",
                next.said()
            );
        }
        going = next;
    }
    going.kill();
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut stage.quick_run(&["--max-failed", "100%"]));
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(
        complaints.is_empty(),
        "seed {seed}: {}",
        complaints.join("\n")
    );
    assert_eq!(stage.runs().len(), 1, "seed {seed}");
}

/// Waits until it works on the run; false when it ended instead.
fn has_begun(stage: &Stage, going: &mut Going) -> bool {
    let pid = u64::from(going.pid());
    let holder = stage.journal().join("holder.json");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) {
        let said: Option<Value> = fs::read(&holder)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let is_it = |said: &Value| said["pid"] == pid && !said["control"].is_null();
        if said.as_ref().is_some_and(is_it) {
            return true;
        }
        if going.has_ended() {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it neither works nor ends: {:?}", going.said());
}

#[test]
fn a_killed_process_holds_nothing_back() {
    let stage = Stage::new(slow(200, 4));
    let going = at_work(&stage);
    assert!(stage.journal().join("holder.json").exists());
    going.kill();
    assert!(
        stage.journal().join("holder.json").exists(),
        "what the dead one said is still there, and not believed"
    );
    let mut next = stage.start(&mut stage.quick_run(&[]));
    assert!(has_begun(&stage, &mut next), "{:?}", next.said());
    next.kill();
}
