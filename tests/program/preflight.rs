//! What is found out before anything is written: by `plan`, by `run` before its first write, and by `doctor`; and a run that is
//! held to a plan.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Ran, Stage, calm, slow, table};
use cutover::sim::Options;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const PLAN: [&str; 5] = ["plan", "immutable-id", "people.csv", "--target", "sim.toml"];

fn plan(stage: &Stage) -> Ran {
    let mut line = stage.cutover(&PLAN);
    line.args(["--report", "plan", "--json"]);
    stage.end(&mut line)
}

fn lines(stage: &Stage) -> Vec<BTreeMap<String, String>> {
    table(&stage.path("plan/plan.csv"))
}

fn doctor(stage: &Stage, more: &[&str]) -> Ran {
    let mut line = stage.cutover(&["doctor", "--target", "sim.toml"]);
    stage.end(line.args(more))
}

/// Somebody whom the plan changes, and whose ImmutableID another administrator can change, too.
fn can_be_changed_by_others(line: &BTreeMap<String, String>) -> bool {
    line["change"] == "change" && line["steps"] == "clear set"
}

/// A tenant whose app lacks one permission.
fn without(missing: &str) -> Stage {
    let mut options = calm(60);
    options.permissions.remove(&missing.parse().unwrap());
    Stage::new(options)
}

fn made(stage: &Stage) -> usize {
    stage.ask("/sim/writes").lines().count()
}

fn rules(findings: &Value, severity: &str) -> Vec<String> {
    let all = findings["findings"].as_array().unwrap();
    let its = all.iter().filter(|one| one["severity"] == severity);
    its.map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_writes_nothing_and_a_run_does_what_it_says() {
    let stage = Stage::new(calm(250));
    let oracle = Oracle::look(&stage);
    let forecast = plan(&stage).must_end(1).json();
    assert_eq!(made(&stage), 0);
    assert!(!stage.journal().exists());
    let planned = lines(&stage);
    assert_eq!(forecast["rows"], planned.len());
    let ran = stage.end(&mut stage.run_with(&["--plan", "plan/plan.csv"]));
    assert_eq!(oracle.complaints(&stage, &ran, Slack(0)), Vec::<String>::new());
    let outcomes = stage.outcomes();
    for (line, outcome) in planned.iter().zip(&outcomes) {
        let as_planned = match &line["change"][..] {
            "change" => "done",
            other => other,
        };
        assert_eq!(outcome["outcome"], as_planned, "{line:?}\n{outcome:?}");
        if line["change"] == "change" {
            assert_eq!(line["writes"], outcome["writes"], "{line:?}\n{outcome:?}");
            for column in ["upn_before", "upn_after", "immutable_id_before", "immutable_id_after"] {
                assert_eq!(line[column], outcome[column], "{line:?}\n{outcome:?}");
            }
        }
    }
    assert_eq!(stage.summary()["writes"], forecast["writes"]);
    assert_eq!(stage.summary()["reads"], forecast["reads"]);
}

/// The budget that a run would wait for longest is named, with the time that it takes.
#[test]
fn a_plan_names_the_budget_that_makes_the_run_longest() {
    let stage = Stage::new(calm(60));
    let few_reads = stage.connection("100000/1s").replace("[graph.limits]", "[graph.limits]\nreads = \"200/1s\"");
    stage.write("sim.toml", few_reads);
    let forecast = plan(&stage).must_end(1).json();
    assert_eq!(forecast["binding"], "reads", "{forecast}");
    stage.write("sim.toml", stage.connection("10/1s"));
    let forecast = plan(&stage).must_end(1).json();
    assert_eq!(forecast["binding"], "writes", "{forecast}");
    let seconds = forecast["writes"].as_f64().unwrap() / 10.0;
    let told = forecast["seconds_at_budget"].as_f64().unwrap();
    assert!((seconds..seconds * 1.1 + 0.1).contains(&told), "{forecast}");
}

#[cfg(unix)]
#[test]
fn a_plan_that_is_interrupted_says_how_far_it_came_and_leaves_no_file() {
    let stage = Stage::new(slow(400, 40));
    let mut line = stage.cutover(&PLAN);
    let going = stage.start(line.args(["--report", "plan"]));
    while stage.stat("reads") < 100 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    going.interrupt();
    let stopped = going.wait().must_end(3);
    let complaint = stopped.complaint();
    assert!(complaint.contains("stopped after"), "{complaint}");
    assert!(complaint.contains("of 400 rows: SIGINT received"), "{complaint}");
    assert!(!stage.path("plan").exists(), "{complaint}");
    assert_eq!(stage.stat("writes"), 0);
    assert_eq!(plan(&stage).must_end(1).json()["rows"], 400);
}

#[test]
fn who_changed_since_the_plan_is_refused_and_nobody_else() {
    let stage = Stage::new(calm(80));
    plan(&stage);
    let planned = lines(&stage);
    let changed: Vec<&String> =
        planned.iter().filter(|line| can_be_changed_by_others(line)).map(|line| &line["object_id"]).take(3).collect();
    let mut text = fs::read_to_string(stage.path("plan/plan.csv")).unwrap();
    let taken_out = changed[2];
    text = text.lines().filter(|line| !line.contains(taken_out.as_str())).collect::<Vec<_>>().join("\r\n");
    stage.write("plan/plan.csv", text);
    stage.change_behind_our_back(changed[0], &[("onPremisesImmutableId", Some("AAAAAAAAAAAAAAAAAAAAAA=="))]);
    let before = made(&stage);
    stage.end(&mut stage.run_with(&["--plan", "plan/plan.csv"])).must_end(1);
    let codes: BTreeMap<String, (String, String)> = stage
        .outcomes()
        .into_iter()
        .map(|line| (line["object_id"].clone(), (line["outcome"].clone(), line["error_code"].clone())))
        .collect();
    let refused = |code: &str| ("refused".to_owned(), code.to_owned());
    assert_eq!(codes[changed[0]], refused("ChangedSincePlan"));
    assert_eq!(codes[changed[1]].0, "done");
    assert_eq!(codes[taken_out], refused("NotPlanned"));
    let told = stage.summary()["writes"].as_u64().unwrap();
    assert_eq!(made(&stage) - before, told as usize);
}

#[test]
fn a_plan_of_another_file_or_parameter_is_refused() {
    let stage = Stage::new(calm(30));
    plan(&stage);
    let other = ["--plan", "plan/plan.csv", "--set", "swap=always"];
    let ran = stage.end(&mut stage.run_with(&other)).must_end(2);
    assert!(ran.stderr.contains("was made for another"), "{ran:?}");
    stage.write("people.csv", "upn\nann@contoso.com\n");
    let ran = stage.end(&mut stage.run_with(&["--plan", "plan/plan.csv"])).must_end(2);
    assert!(ran.stderr.contains("was made for another"), "{ran:?}");
    assert_eq!(made(&stage), 0);
}

/// The rows of a run that executes a plan stay held to it by the journal alone.
#[test]
fn a_run_that_is_picked_up_is_still_held_to_its_plan() {
    let stage = Stage::new(calm(80));
    plan(&stage);
    let planned = lines(&stage);
    let last = planned.iter().rev().find(|line| can_be_changed_by_others(line));
    let last = last.unwrap()["object_id"].clone();
    let held = ["--plan", "plan/plan.csv", "--deadline", "1970-01-01T00:00:01Z"];
    let ran = stage.end(&mut stage.run_with(&held));
    assert!(ran.code == Some(2) || ran.code == Some(3), "{ran:?}");
    let mut going = stage.start(&mut stage.run_with(&["--plan", "plan/plan.csv", "--concurrency", "1"]));
    stage.await_writes(3, &mut going);
    going.interrupt();
    going.wait().must_end(3);
    let bare = stage.end(&mut stage.run_line()).must_end(2);
    assert!(bare.stderr.contains("the plan it executes"), "{bare:?}");
    fs::remove_file(stage.path("plan/plan.csv")).unwrap();
    stage.change_behind_our_back(&last, &[("onPremisesImmutableId", None)]);
    stage.end(&mut stage.resume_line(&[])).must_end(1);
    let outcomes = stage.outcomes();
    let its = outcomes.iter().find(|line| line["object_id"] == last);
    assert_eq!(its.unwrap()["error_code"], "ChangedSincePlan");
}

#[test]
fn a_permission_that_is_missing_shows_before_anything_is_written() {
    let stage = without("Domain.Read.All");
    let crosses = |ran: Ran| {
        let checks = ran.must_end(2).json()["checks"].clone();
        let bad = checks.as_array().unwrap().iter();
        let bad = bad.filter(|check| check["ok"] == false);
        bad.map(|check| check["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(crosses(doctor(&stage, &["--json"])), ["domains", "permission Domain.Read.All"]);
    for ran in [plan(&stage), stage.end(&mut stage.run_line())] {
        let ran = ran.must_end(2);
        assert!(ran.stderr.contains("permission Domain.Read.All"), "{ran:?}");
        assert!(ran.stderr.contains("admin consent"), "{ran:?}");
    }
    assert_eq!(made(&stage), 0);
}

/// What can be done without is a word and no refusal, and what cannot be known is not taken for harmless.
#[test]
fn an_optional_permission_that_is_missing_is_told_and_the_run_goes_on() {
    let stage = without("RoleManagement.Read.Directory");
    let forecast = plan(&stage).must_end(1).json();
    let warnings = rules(&forecast, "warning");
    assert!(warnings.contains(&"permission RoleManagement.Read.Directory".to_owned()), "{warnings:?}");
    assert!(!rules(&forecast, "error").contains(&"RoleHeld".to_owned()));
    let ran = stage.end(&mut stage.run_line()).must_end(1);
    assert!(ran.stderr.contains("RoleManagement.Read.Directory"), "{ran:?}");
}

#[test]
fn findings_about_people_block_or_warn() {
    let stage = Stage::new(calm(400));
    let forecast = plan(&stage).must_end(1).json();
    let (blocks, warns) = (rules(&forecast, "error"), rules(&forecast, "warning"));
    for code in ["ImmutableIdTaken", "RoleHeld", "Synchronized", "NotFound"] {
        assert!(blocks.contains(&code.to_owned()), "{code}: {blocks:?}");
    }
    for code in ["HardMatchIdentifier", "HardMatchRole"] {
        assert!(warns.contains(&code.to_owned()), "{code}: {warns:?}");
    }
    assert_eq!(forecast["refused"], blocks.len());
    stage.end(&mut stage.run_line()).must_end(1);
    let warned = stage.outcomes().iter().filter(|line| !line["warnings"].is_empty()).count();
    assert!(warned > 0 && warned <= warns.len(), "{warned} of {}", warns.len());
}

#[test]
fn doctor_ticks_everything_of_a_healthy_target_and_crosses_what_is_not() {
    let stage = Stage::new(calm(5));
    let ran = doctor(&stage, &[]).must_end(0);
    for name in ["sign-in", "tenant", "domains", "initial domain", "permission User.ReadWrite.All", "limits"] {
        assert!(ran.stdout.contains(&format!("✓ {name}")), "{name}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('✗'), "{}", ran.stdout);
    let mut wrong = stage.cutover(&["doctor", "--target", "sim.toml"]);
    wrong.env(cutover::sim::SECRET_VARIABLE, "wrong");
    let ran = stage.end(&mut wrong).must_end(2);
    assert!(ran.stdout.contains("✗ sign-in"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("tenant:"), "{}", ran.stdout);
}

#[test]
fn another_tenant_than_the_one_named_is_refused() {
    let stage = Stage::new(Options { ..calm(5) });
    let connection = stage.connection("100000/1s");
    let other =
        connection.replace("tenant = \"contoso.onmicrosoft.com\"", "tenant = \"00000000-0000-4000-8000-000000000001\"");
    assert_ne!(connection, other);
    stage.write("sim.toml", other);
    let ran = doctor(&stage, &[]).must_end(2);
    assert!(ran.stdout.contains('✗'), "{}", ran.stdout);
    assert_eq!(stage.end(&mut stage.run_line()).code, Some(2));
    assert_eq!(made(&stage), 0);
}

/// What the whole change is for: Entra Connect matches whoever is done, but for those of whom the report warns.
#[test]
fn whoever_is_done_is_matched_unless_the_report_warns() {
    let stage = Stage::new(calm(400));
    stage.end(&mut stage.run_line());
    let (matched, refused) = hard_matches(&stage);
    assert!(matched > 0 && refused > 0, "{matched} and {refused}");
}

#[test]
fn a_cleared_identifier_lets_everybody_be_matched_but_those_with_a_role() {
    let stage = Stage::new(Options { app_has_admin_role: true, ..calm(400) });
    let kept = plan(&stage).json();
    assert!(rules(&kept, "warning").contains(&"HardMatchIdentifier".to_owned()));
    stage.end(&mut stage.run_with(&["--set", "identifier=clear"]));
    let cleared = stage.outcomes().iter().any(|line| line["step"] == "clear-identifier");
    assert!(cleared);
    let warnings: BTreeSet<String> = stage
        .outcomes()
        .iter()
        .flat_map(|line| {
            let codes = line["warnings"].split_once(':');
            codes.map(|(code, _)| code.to_owned())
        })
        .collect();
    assert_eq!(warnings, BTreeSet::from(["HardMatchRole".to_owned()]));
    hard_matches(&stage);
}

/// Lets everybody who is done be matched; answers how many were and were not.
fn hard_matches(stage: &Stage) -> (u32, u32) {
    let (mut matched, mut refused) = (0, 0);
    for line in stage.outcomes() {
        if line["outcome"] != "done" {
            continue;
        }
        // A value that begins as a formula does is defused in the report.
        let anchor = line["immutable_id_after"].trim_start_matches('\'');
        let answer = stage.simulator().hard_match(anchor);
        assert_eq!(answer.is_ok(), line["warnings"].is_empty(), "{answer:?}\n{line:?}");
        match answer {
            Ok(_) => matched += 1,
            Err(_) => refused += 1,
        }
    }
    (matched, refused)
}
