//! People who are half way: after a kill everything says first who they are and what helps; no other run begins with them;
//! one that takes them over brings them to their end with how they truly were before.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Ran, Stage, WORKING, calm, slow, table};
use cutover::sim::SECRET_VARIABLE;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const MEANWHILE: &str = "meanwhile";

/// Kills until one meets what a test needs.
const KILLS_MAX: usize = 20;

/// A run that was killed with people half way.
struct Killed {
    stage: Stage,
    oracle: Oracle,
    before: BTreeMap<String, Value>,
    run: String,
}

/// The job of these tests does not look ahead, so somebody whose new ImmutableID is taken fails half way and is brought back.
const HAS_ENDED_WELL: [&str; 2] = ["done", "reverted"];

/// The people of the tenant, by object id.
fn people(stage: &Stage) -> BTreeMap<String, Value> {
    let text = stage.ask("/sim/users");
    let users = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    users.map(|user| (user["id"].as_str().unwrap().to_owned(), user)).collect()
}

impl Killed {
    fn new() -> Killed {
        let stage = Stage::new(slow(300, 20));
        let before = people(&stage);
        let oracle = Oracle::look(&stage);
        let mut going = stage.start(&mut stage.quick_run(&["--concurrency", "60"]));
        stage.await_writes(150, &mut going);
        going.kill();
        let run = stage.runs()[0]["run"].as_str().unwrap().to_owned();
        let away = oracle.exposed(&stage);
        assert!(away.len() > 5, "{away:?}");
        Killed { stage, oracle, before, run }
    }

    fn end(&self, arguments: &[&str]) -> Ran {
        self.stage.end(&mut self.stage.cutover(arguments))
    }

    fn status(&self, run: &str) -> Value {
        self.end(&["status", run, "--json"]).json()
    }

    /// Writes the report of the killed run; where its unfinished rows are.
    fn report(&self) -> PathBuf {
        self.end(&["report", &self.run, "--report", MEANWHILE]).must_end(5);
        self.stage.path(MEANWHILE).join("unfinished.csv")
    }

    /// Somebody who was live before, is away now, and has no ImmutableID at this moment.
    fn without_anchor(&self) -> Option<BTreeMap<String, String>> {
        self.report();
        let now = people(&self.stage);
        let away = self.oracle.exposed(&self.stage);
        self.half_way().into_iter().find(|line| {
            let anchor = &now[&line["object_id"]]["onPremisesImmutableId"];
            let was_there = self.before[&line["object_id"]]["deleted"] == false;
            away.contains(&line["key"]) && anchor.is_null() && was_there
        })
    }

    /// A run over a file, at full speed.
    fn run_over(&self, file: &str, more: &[&str]) -> Command {
        let mut line = self.stage.cutover(&["run", "quick.toml", file]);
        line.args(WORKING).args(more);
        line
    }

    /// Everybody whom the journal calls half way, by key.
    fn half_way(&self) -> Vec<BTreeMap<String, String>> {
        let lines = table(&self.stage.path(MEANWHILE).join("outcomes.csv")).into_iter();
        let begun = lines.filter(|line| line["outcome"] == "pending" && line["attempts"] != "0");
        begun.collect()
    }
}

fn keys(people: &Value) -> BTreeSet<String> {
    let people = people.as_array().unwrap().iter();
    people.map(|person| person["key"].as_str().unwrap().to_owned()).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn after_a_kill_everything_says_first_who_cannot_sign_in() {
    let killed = Killed::new();
    let (stage, run) = (&killed.stage, &killed.run);
    let away: BTreeSet<String> = killed.oracle.exposed(stage).into_iter().collect();
    let status = killed.end(&["status"]).must_end(5);
    let count = killed.status(run)["exposed"].as_array().unwrap().len();
    let said = format!("{count} people cannot sign in (run {run}):");
    assert_eq!(first_line(&status.stdout), said);
    let target = stage.path("sim.toml").display().to_string();
    let help = format!("now: cutover resume {run} --target {target} --journal cutover-journal\n");
    assert!(status.stdout.contains(&help), "{}", status.stdout);
    let runs = killed.end(&["runs"]).must_end(0);
    assert_eq!(first_line(&runs.stdout), said);
    let report = killed.end(&["report", "--report", MEANWHILE]).must_end(5);
    assert_eq!(first_line(&report.stdout), said);

    let summary = killed.status(run);
    let named = keys(&summary["exposed"]);
    assert!(named.is_superset(&away), "{away:?} are away, {named:?} are named");
    assert_eq!(stage.runs()[0]["exposed"], summary["exposed"]);
    let users = people(stage);
    for person in summary["exposed"].as_array().unwrap() {
        let text = |name: &str| person[name].as_str().unwrap();
        let local = text("key").split('@').next().unwrap();
        assert_eq!(text("upn_now"), format!("{local}@contoso.onmicrosoft.com"));
        assert_eq!(text("upn_home"), text("key"));
        assert!(text("since").parse::<jiff::Timestamp>().is_ok(), "{person}");
        let user = &users[text("object_id")];
        let upn = user["homeUserPrincipalName"].as_str().unwrap();
        assert!([text("upn_now"), text("upn_home")].contains(&upn), "{person}: {user}");
        if person["doubtful"] == false {
            assert_eq!(upn, text("upn_now"), "{person}");
        }
    }
    let listed = table(&stage.path(MEANWHILE).join("exposed.csv"));
    let listed: BTreeSet<String> = listed.iter().map(|line| line["key"].clone()).collect();
    assert_eq!(listed, named);
}

#[test]
fn pending_rows_carry_what_is_known_of_them() {
    let killed = Killed::new();
    killed.report();
    let lines = killed.half_way();
    assert!(lines.len() > 5);
    for line in lines {
        let user = &killed.before[&line["object_id"]];
        assert_eq!(line["upn_before"], user["userPrincipalName"].as_str().unwrap(), "{line:?}");
        let id = user["onPremisesImmutableId"].as_str().unwrap_or_default();
        assert_eq!(line["immutable_id_before"].trim_start_matches('\''), id, "{line:?}");
        assert!(line["advice"].contains(&killed.run), "{line:?}");
    }
}

#[test]
fn the_command_that_is_named_brings_everybody_home() {
    let killed = Killed::new();
    let status = killed.end(&["status"]).must_end(5);
    let line = status.stdout.lines().find_map(|line| line.strip_prefix("now: cutover "));
    let line: Vec<&str> = line.unwrap().split(' ').collect();
    let mut resume = killed.stage.cutover(&line);
    resume.args(["--report", "report", "--progress", "none"]);
    let ran = killed.stage.end(&mut resume);
    let complaints = killed.oracle.complaints(&killed.stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let status = killed.end(&["status"]).must_end(0);
    assert!(status.stdout.starts_with("run "), "{}", status.stdout);
    assert_eq!(killed.status(&killed.run)["exposed"], Value::Array(Vec::new()));
    killed.end(&["report", "--report", "report"]).must_end(0);
    assert!(!killed.stage.path("report/exposed.csv").exists());
}

/// Where a process cannot even begin, those whom an earlier one left are still locked out, and its exit code says so.
#[test]
fn a_resume_that_cannot_begin_says_who_is_left() {
    let killed = Killed::new();
    let mut line = killed.stage.resume_line(&[]);
    line.env(SECRET_VARIABLE, "wrong");
    let ran = killed.stage.end(&mut line).must_end(5);
    let named = killed.oracle.exposed(&killed.stage);
    assert!(ran.complaint().contains("cannot sign in until the run continues"), "{ran:?}");
    assert!(named.iter().any(|key| ran.stderr.contains(key.as_str())), "{ran:?}");
}

#[track_caller]
fn must_refuse(killed: &Killed, line: &mut Command, words: &[&str]) {
    let (writes, runs) = (killed.stage.stat("writes"), killed.stage.runs().len());
    let complaint = killed.stage.end(line).must_end(2).complaint();
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in {complaint}");
    }
    assert_eq!(killed.stage.stat("writes"), writes);
    assert_eq!(killed.stage.runs().len(), runs, "nothing was begun");
}

#[test]
fn no_other_run_begins_with_somebody_who_is_half_way() {
    let killed = Killed::new();
    killed.report();
    let run = &killed.run;
    let help = format!("cutover resume {run} --target ");
    let adopt = format!("--adopt-run {run}");
    let words = [&help[..], &adopt, "half way", "nothing was written"];
    let mut fresh = killed.stage.quick_run(&["--fresh"]);
    must_refuse(&killed, &mut fresh, &words);
    must_refuse(&killed, &mut killed.run_over("meanwhile/unfinished.csv", &[]), &words);
    // Another export names one of them by the temporary UPN, another one by the object id.
    let person = &killed.half_way()[0];
    let guid = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let exposed = killed.status(run)["exposed"][0].clone();
    let by_upn = format!("upn,object_guid\n{},{guid}\n", exposed["upn_now"].as_str().unwrap());
    let by_id = format!("upn,object_id,object_guid\nx@contoso.com,{},{guid}\n", person["object_id"]);
    for text in [by_upn, by_id] {
        killed.stage.write("other.csv", text);
        let words = ["1 person", &help];
        must_refuse(&killed, &mut killed.run_over("other.csv", &[]), &words);
    }
    // Whoever was not begun may be in another run; the one that has people half way stays the one that is meant.
    let lines = table(&killed.stage.path("meanwhile/outcomes.csv"));
    let new = lines.iter().rfind(|line| line["attempts"] == "0" && line["outcome"] == "pending");
    let key = &new.unwrap()["key"];
    killed.stage.write("other.csv", format!("upn,object_guid\n{key},{guid}\n"));
    let ran = killed.stage.end(&mut killed.run_over("other.csv", &[]));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(ran.complaint().matches(&format!("run {run} has left")).count(), 2, "{ran:?}");
    assert_eq!(killed.end(&["status", "--json"]).must_end(5).json()["run"], run[..]);
}

#[test]
fn a_run_that_takes_people_over_knows_how_they_were_and_the_other_goes_on_no_more() {
    let killed = Killed::new();
    killed.report();
    let half_way = killed.half_way();
    let adopt = ["--adopt-run", &killed.run[..]];
    let ran = killed.stage.end(&mut killed.run_over("meanwhile/unfinished.csv", &adopt));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(killed.oracle.exposed(&killed.stage), Vec::<String>::new());
    let lines = killed.stage.outcomes();
    for known in &half_way {
        let line = lines.iter().find(|line| line["key"] == known["key"]).unwrap();
        for column in ["object_id", "upn_before", "immutable_id_before"] {
            assert_eq!(line[column], known[column], "{line:?}");
        }
        assert!(HAS_ENDED_WELL.contains(&&line["outcome"][..]), "{line:?}");
    }
    let runs = killed.stage.runs();
    assert_eq!(runs.len(), 2);
    let by = &runs[1]["run"];
    assert_eq!((&runs[0]["taken_over_by"], &runs[0]["state"]), (by, &Value::from("stopped")));
    assert_eq!(runs[0]["exposed"], Value::Array(Vec::new()));
    let refused = killed.stage.end(&mut killed.stage.cutover(&["resume", &killed.run]));
    let complaint = refused.must_end(2).complaint();
    assert!(complaint.contains(by.as_str().unwrap()), "{complaint}");
    let again = killed.stage.end(&mut killed.run_over("meanwhile/unfinished.csv", &adopt));
    assert_eq!(again.code, ran.code, "it has finished: {again:?}");
    assert_eq!(killed.stage.runs().len(), 2);
    killed.end(&["journal", "verify"]).must_end(0);
}

/// A person cannot be taken over by a run that does not have them, or says something else of them.
#[test]
fn all_are_taken_over_as_they_were_begun_or_nobody_is() {
    let killed = Killed::new();
    let unfinished = fs::read_to_string(killed.report()).unwrap();
    let person = &killed.half_way()[0];
    let adopt = ["--adopt-run", &killed.run[..]];
    let (mut without, mut changed) = (String::new(), String::new());
    for line in unfinished.lines() {
        let is_theirs = line.starts_with(&person["key"]);
        if !is_theirs {
            without.push_str(&format!("{line}\n"));
        }
        let guid = line.split(',').nth(1).unwrap();
        let line = if is_theirs { line.replace(guid, "7c9e6679-7425-40de-944b-e07fc1f90ae7") } else { line.to_owned() };
        changed.push_str(&format!("{line}\n"));
    }
    killed.stage.write("other.csv", without);
    let words = [&person["key"][..], "is not in the file"];
    must_refuse(&killed, &mut killed.run_over("other.csv", &adopt), &words);
    killed.stage.write("other.csv", changed);
    let words = [&person["key"][..], "object_guid was"];
    must_refuse(&killed, &mut killed.run_over("other.csv", &adopt), &words);
    assert_eq!(killed.status(&killed.run)["taken_over_by"], Value::Null);
}

/// Whenever the taking over is cut off, everybody is in one run that goes on with them, and in no more than one.
#[test]
fn a_taking_over_that_is_killed_loses_nobody() {
    let killed = Killed::new();
    killed.report();
    let half_way: BTreeSet<String> = killed.half_way().into_iter().map(|line| line["key"].clone()).collect();
    let adopt = ["--adopt-run", &killed.run[..], "--concurrency", "4"];
    for kill in 0..14_u64 {
        let line = &mut killed.run_over("meanwhile/unfinished.csv", &adopt);
        killed.stage.start(line).kill_after(Duration::from_millis(15 * kill));
        let runs = killed.stage.runs();
        let named: Vec<String> = runs.iter().flat_map(|run| keys(&run["exposed"])).collect();
        let once: BTreeSet<String> = named.iter().cloned().collect();
        assert_eq!(named.len(), once.len(), "kill {kill}: somebody is in two runs: {named:?}");
        let away = killed.oracle.exposed(&killed.stage);
        assert!(away.iter().all(|key| once.contains(key)), "kill {kill}: {away:?} are away, {named:?} are named");
        let taken = runs[0]["taken_over_by"].is_string();
        assert_eq!(taken, runs.len() == 2, "kill {kill}: {runs:?}");
    }
    let ran = killed.stage.end(&mut killed.run_over("meanwhile/unfinished.csv", &adopt));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(killed.oracle.exposed(&killed.stage), Vec::<String>::new());
    let lines = killed.stage.outcomes();
    let done =
        lines.iter().filter(|line| half_way.contains(&line["key"]) && HAS_ENDED_WELL.contains(&&line["outcome"][..]));
    assert_eq!(done.count(), half_way.len());
    assert_eq!(killed.stage.runs().len(), 2);
    killed.end(&["journal", "verify"]).must_end(0);
}

/// What fails after the taking over is undone to how the person was before the first run touched them.
#[test]
fn whoever_fails_after_the_taking_over_is_as_before_the_first_run() {
    // Where the kill meets nobody between the two, another one does.
    let met = (0..KILLS_MAX).find_map(|_| {
        let killed = Killed::new();
        let person = killed.without_anchor()?;
        Some((killed, person))
    });
    let (killed, person) = met.unwrap();
    let now = people(&killed.stage);
    let wishes = table(&killed.stage.path("people.csv"));
    let wanted = |key: &str| wishes.iter().find(|row| row["upn"] == key).unwrap()["object_guid"].clone();
    let away = killed.oracle.exposed(&killed.stage);
    let converted = killed.end(&["immutable-id", &wanted(&person["key"])]).must_end(0);
    let anchor = converted.stdout.split_whitespace().find(|word| word.ends_with("==")).unwrap().to_owned();
    let holder = now.values().find(|user| {
        let upn = user["userPrincipalName"].as_str().unwrap();
        user["deleted"] == false
            && !wishes.iter().any(|row| row["upn"] == upn)
            && !upn.ends_with("@contoso.com")
            && !away.iter().any(|key| upn.starts_with(key.split('@').next().unwrap()))
    });
    let holder = holder.unwrap()["id"].as_str().unwrap();
    let taken = [("onPremisesImmutableId", Some(&anchor[..]))];
    killed.stage.change_behind_our_back(holder, &taken);
    let adopt = ["--adopt-run", &killed.run[..]];
    killed.stage.end(&mut killed.run_over("meanwhile/unfinished.csv", &adopt)).must_end(1);
    let lines = killed.stage.outcomes();
    let line = lines.iter().find(|line| line["key"] == person["key"]).unwrap();
    assert_eq!(line["outcome"], "reverted", "{line:?}");
    assert_eq!(people(&killed.stage)[&person["object_id"]], killed.before[&person["object_id"]]);
}

#[test]
fn a_second_signal_that_leaves_somebody_locked_out_ends_with_five() {
    let stage = Stage::new(slow(60, 50));
    let oracle = Oracle::look(&stage);
    let mut going = stage.start(&mut stage.quick_run(&["--concurrency", "20"]));
    stage.await_writes(1, &mut going);
    // The drain alone takes several requests, and so longer than the signals are apart.
    stage.change_latency(2_000);
    while oracle.exposed(&stage).len() < 3 {
        assert!(!going.has_ended(), "{:?}", going.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    going.interrupt();
    // Signals within two seconds are one.
    std::thread::sleep(Duration::from_millis(2_200));
    going.interrupt();
    let ran = going.wait();
    let away = oracle.exposed(&stage);
    assert!(!away.is_empty(), "{ran:?}");
    let ran = ran.must_end(5);
    assert!(away.iter().all(|key| ran.stderr.contains(key.as_str())), "{away:?}: {ran:?}");
    let listed = table(&stage.path("report/exposed.csv"));
    assert!(away.iter().all(|key| listed.iter().any(|line| line["key"] == *key)), "{listed:?}");
    stage.end(&mut stage.cutover(&["status"])).must_end(5);
}

#[test]
fn whoever_is_done_and_will_be_refused_is_told_in_words() {
    let stage = Stage::new(calm(300));
    let ran = stage.end(&mut stage.run_line()).must_end(1);
    let lines = stage.outcomes();
    let warned: Vec<_> =
        lines.iter().filter(|line| line["outcome"] == "done" && !line["warnings"].is_empty()).collect();
    assert!(warned.len() > 20, "{}", warned.len());
    let count = |code: &str| warned.iter().filter(|line| line["warnings"].contains(code)).count();
    let (identifiers, roles) = (count("HardMatchIdentifier: "), count("HardMatchRole: "));
    assert!(identifiers > 0 && roles > 0);
    let summary = stage.summary();
    assert_eq!(summary["warnings"]["HardMatchIdentifier"], identifiers);
    assert_eq!(summary["warnings"]["HardMatchRole"], roles);
    assert_eq!(summary["warned_rows"], warned.len());
    let table = table(&stage.path("report/warned.csv"));
    let rows: BTreeSet<&String> = table.iter().map(|line| &line["row"]).collect();
    assert_eq!(rows, warned.iter().map(|line| &line["row"]).collect());
    for line in &table {
        let [warning, advice, id] = ["warning", "advice", "object_id"].map(|name| &line[name]);
        assert!(!warning.is_empty() && !advice.is_empty() && !id.is_empty(), "{line:?}");
        assert_eq!(line["line"].parse::<u64>().unwrap(), line["row"].parse::<u64>().unwrap() + 1);
    }
    let status = stage.end(&mut stage.cutover(&["status"])).must_end(0);
    for said in [&ran.stdout, &status.stdout] {
        let people = format!("{} people are done and still need something", warned.len());
        for words in [&people[..], "onPremisesObjectIdentifier is set", "cutover explain HardMatchIdentifier"] {
            assert!(said.contains(words), "{words:?} is not in {said}");
        }
    }
}
