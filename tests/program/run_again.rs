//! Running the same line again is always safe: it goes on, or says that nothing is left, and never takes one run for
//! another.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, calm, slow};
use serde_json::Value;
use std::fs;

/// A few hundred rows at this pace take seconds, so that a process can be met at work.
const SLOW_WRITES: &str = "60/1s";

/// A run that was killed in the middle, and the tenant as it was before.
fn unfinished() -> (Stage, Oracle) {
    let stage = Stage::new(slow(120, 4));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let going = at_work(&stage);
    going.kill();
    stage.write("sim.toml", stage.connection("100000/1s"));
    (stage, oracle)
}

fn at_work(stage: &Stage) -> Going {
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(20, &mut going);
    going
}

fn newest_run(stage: &Stage) -> Value {
    stage.end(&mut stage.cutover(&["status", "--json"])).json()
}

/// The line is refused, nothing was sent, and the message has all these words.
#[track_caller]
fn must_refuse(stage: &Stage, ran: Ran, requests: u64, words: &[&str]) {
    let ran = ran.must_end(2);
    assert_eq!(stage.stat("requests"), requests, "nothing may be sent: {}", ran.stderr);
    let complaint = ran.complaint();
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in {complaint}");
    }
}

#[test]
fn a_finished_run_says_so_and_sends_nothing() {
    let stage = Stage::new(calm(60));
    let first = stage.end(&mut stage.run_line());
    let outcomes = stage.outcomes();
    let requests = stage.stat("requests");
    let tokens = stage.stat("tokens");
    let again = stage.end(&mut stage.run_line());
    assert_eq!(again.code, first.code);
    assert!(again.stderr.contains("nothing is left to do"), "{}", again.stderr);
    assert_eq!((stage.stat("requests"), stage.stat("tokens")), (requests, tokens));
    assert_eq!(stage.outcomes(), outcomes);
}

#[test]
fn the_same_line_goes_on_with_the_same_run() {
    let (stage, oracle) = unfinished();
    let before = newest_run(&stage);
    assert_eq!(before["state"], "interrupted");
    let ran = stage.end(&mut stage.quick_run(&[]));
    let complaints = oracle.complaints(&stage, &ran, Slack(1));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let after = newest_run(&stage);
    assert_eq!(after["run"], before["run"]);
    assert_eq!(after["state"], "finished");
}

#[test]
fn a_changed_file_is_not_taken_for_the_same() {
    let (stage, _) = unfinished();
    let path = stage.path("people.csv");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("one.more@contoso.com,00112233-4455-6677-8899-aabbccddeeff\n");
    fs::write(&path, text).unwrap();
    let requests = stage.stat("requests");
    let run = newest_run(&stage)["run"].as_str().unwrap().to_owned();
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_refuse(&stage, ran, requests, &["people.csv has changed", &run, "--fresh"]);
}

#[test]
fn another_parameter_is_not_taken_for_the_same() {
    let (stage, _) = unfinished();
    let requests = stage.stat("requests");
    let ran = stage.end(&mut stage.quick_run(&["--set", "clear=never"]));
    must_refuse(&stage, ran, requests, &["clear was always", "never", "--fresh"]);
}

#[test]
fn a_changed_job_is_not_taken_for_the_same() {
    let stage = Stage::new(slow(120, 4));
    let shown = stage.end(&mut stage.cutover(&["jobs", "show", "immutable-id"])).stdout;
    stage.write("job.toml", &shown);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let line = || {
        let mut line = stage.cutover(&["run", "job.toml", "people.csv"]);
        line.args(crate::support::WORKING);
        line
    };
    let mut going = stage.start(&mut line());
    stage.await_writes(20, &mut going);
    going.kill();
    stage.write("job.toml", format!("{shown}\n# a remark\n"));
    let requests = stage.stat("requests");
    let ran = stage.end(&mut line());
    must_refuse(&stage, ran, requests, &["the job immutable-id has changed"]);
}

#[test]
fn another_tenant_is_not_taken_for_the_same() {
    let (stage, _) = unfinished();
    let text = stage.connection("100000/1s");
    stage.write("sim.toml", text.replace("contoso.onmicrosoft.com", "other.onmicrosoft.com"));
    let requests = stage.stat("requests");
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_refuse(&stage, ran, requests, &["target was", "contoso.onmicrosoft.com", "other.onmicrosoft.com"]);
    let ran = stage.end(stage.cutover(&["resume"]).args(crate::support::WORKING));
    must_refuse(&stage, ran, requests, &["contoso.onmicrosoft.com", "other.onmicrosoft.com"]);
}

#[test]
#[cfg(unix)]
fn fresh_begins_anew_beside_a_run_that_has_nobody_half_way() {
    let stage = Stage::new(slow(120, 4));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let going = at_work(&stage);
    going.interrupt();
    going.wait().must_end(3);
    stage.write("sim.toml", stage.connection("100000/1s"));
    let before = newest_run(&stage);
    let ran = stage.end(&mut stage.quick_run(&["--fresh"]));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    let runs = stage.end(&mut stage.cutover(&["runs", "--json"])).must_end(0).json();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 2);
    let state = |name: &Value| runs.iter().find(|run| run["run"] == *name).unwrap()["state"].clone();
    assert_eq!(state(&before["run"]), "stopped");
    assert_eq!(state(&newest_run(&stage)["run"]), "finished");
}

#[test]
fn resume_needs_no_file() {
    let (stage, oracle) = unfinished();
    fs::remove_file(stage.path("people.csv")).unwrap();
    let ran = stage.end(stage.cutover(&["resume"]).args(crate::support::WORKING));
    let complaints = oracle.complaints(&stage, &ran, Slack(1));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn resume_takes_the_beginning_of_a_name_and_refuses_a_wrong_one() {
    let (stage, _) = unfinished();
    let run = newest_run(&stage)["run"].as_str().unwrap().to_owned();
    let wrong = stage.end(stage.cutover(&["resume", "ffffffff"]).args(crate::support::WORKING));
    assert!(wrong.must_end(2).complaint().contains("ffffffff"));
    let right = stage.end(stage.cutover(&["resume", &run[..13]]).args(crate::support::WORKING));
    assert!([Some(0), Some(1)].contains(&right.code), "{right:?}");
    assert_eq!(newest_run(&stage)["state"], "finished");
}

#[test]
fn resume_in_an_empty_journal_is_bad_usage() {
    let stage = Stage::new(calm(1));
    stage.end(stage.cutover(&["resume"]).args(crate::support::WORKING)).must_end(2);
}

#[test]
fn a_second_process_is_refused_and_the_live_one_answers() {
    let stage = Stage::new(slow(200, 4));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let going = at_work(&stage);
    let second = stage.end(&mut stage.quick_run(&[])).must_end(2);
    let pid = going.pid().to_string();
    assert!(second.complaint().contains(&pid), "{pid} is not in {}", second.stderr);
    let status = newest_run(&stage);
    assert_eq!(status["state"], "running");
    assert_eq!(status["rows"], 200);
    assert!(status["outcomes"]["pending"].as_u64() > Some(0), "{status}");
    let runs = stage.end(&mut stage.cutover(&["runs", "--json"])).must_end(0).json();
    assert_eq!(runs[0]["state"], "running");
    going.kill();
    assert_eq!(newest_run(&stage)["state"], "interrupted");
}
