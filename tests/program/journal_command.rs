//! `cutover journal`: what was written can be proven, here and elsewhere, and what was changed is named.

use crate::support::{Ran, Stage, calm, end, slow};
use cutover::sim::{Faults, Options};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A run that is over.
fn finished() -> Stage {
    let stage = Stage::new(calm(60));
    stage.end(&mut stage.run_line());
    stage
}

fn journal(stage: &Stage, arguments: &[&str]) -> Ran {
    let mut command = stage.cutover(&["journal"]);
    stage.end(command.args(arguments))
}

/// The one log of a stage.
fn log(stage: &Stage) -> PathBuf {
    let folder = fs::read_dir(stage.path("cutover-journal/runs")).unwrap();
    let mut logs: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(logs.len(), 1);
    logs.remove(0)
}

fn verdict(ran: &Ran) -> Value {
    let mut json = ran.json();
    json["runs"][0].take()
}

/// Without what differs from run to run.
fn masked(text: &str, stage: &Stage) -> String {
    let run = log(stage);
    let run = run.file_stem().unwrap().to_str().unwrap();
    let mut masked = String::new();
    let mut number = String::new();
    for c in text.replace(run, "RUN").chars() {
        if c.is_ascii_hexdigit() {
            number.push(c);
            continue;
        }
        masked.push_str(&mask_of(&number));
        number.clear();
        masked.push(c);
    }
    masked + &mask_of(&number)
}

fn mask_of(number: &str) -> String {
    if number.len() == 64 {
        return "HASH".into();
    }
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return "N".into();
    }
    number.to_owned()
}

#[test]
fn the_head_at_the_end_of_a_run_is_the_journals_own() {
    let stage = Stage::new(calm(60));
    let ran = stage.end(&mut stage.run_line());
    let good = journal(&stage, &["verify", "--json"]).must_end(0);
    let verdict = verdict(&good);
    assert_eq!(verdict["ok"], true, "{verdict}");
    assert_eq!(verdict["checkpoint"], "compared");
    assert_eq!(verdict["findings"], Value::Array(Vec::new()));
    let (head, records) = (&verdict["head"], &verdict["records"]);
    let summary = stage.summary();
    assert_eq!((&summary["journal"]["head"], &summary["journal"]["records"]), (head, records));
    let status = stage.end(&mut stage.cutover(&["status", "--json"])).must_end(0);
    assert_eq!(status.json()["journal"], summary["journal"]);
    let line = format!("journal   {records} records, head {}", head.as_str().unwrap());
    assert!(ran.stdout.contains(&line), "{line} is not in {}", ran.stdout);
    let words = stage.end(&mut stage.cutover(&["status"])).must_end(0);
    assert!(words.stdout.contains(head.as_str().unwrap()), "{}", words.stdout);
}

#[test]
fn what_operators_read() {
    let stage = finished();
    let good = journal(&stage, &[]).must_end(0);
    let bytes = fs::read(log(&stage)).unwrap();
    let mut edited = bytes.clone();
    edited[bytes.len() / 2] ^= 1;
    fs::write(log(&stage), edited).unwrap();
    let bad = journal(&stage, &["verify"]).must_end(1);
    fs::write(log(&stage), &bytes[..bytes.len() - 40]).unwrap();
    let cut = journal(&stage, &["verify"]).must_end(1);
    fs::remove_file(log(&stage)).unwrap();
    let gone = journal(&stage, &["verify"]).must_end(1);
    fs::write(stage.path("cutover-journal/runs").join(format!("{}.log", run_of(&gone))), bytes).unwrap();
    let text = |ran: &Ran| masked(&format!("{}{}", ran.stdout, ran.stderr), &stage);
    insta::assert_snapshot!(format!(
        "{}---\n{}---\n{}---\n{}",
        text(&good),
        text(&bad).lines().map(without_record).collect::<Vec<_>>().join("\n"),
        text(&cut),
        text(&gone)
    ));
}

fn run_of(ran: &Ran) -> String {
    let line = ran.stdout.lines().next().unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

/// Which record lies in the middle of a log, and what is left of it, differs from run to run.
fn without_record(line: &str) -> String {
    match line.strip_prefix("FOUND     record N, byte N: ") {
        Some(_) => "FOUND     record N, byte N: …".into(),
        None => line.to_owned(),
    }
}

#[test]
fn a_changed_byte_is_named_and_nothing_is_touched() {
    let stage = finished();
    let good = fs::read(log(&stage)).unwrap();
    for at in [good.len() / 3, good.len() - 3] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(log(&stage), &bytes).unwrap();
        let bad = verdict(&journal(&stage, &["verify", "--json"]).must_end(1));
        assert_eq!(bad["ok"], false);
        let finding = &bad["findings"][0];
        let offset = finding["offset"].as_u64().unwrap();
        assert!(offset <= at as u64 && finding["record"].as_u64().is_some(), "{finding}");
        assert_eq!(finding["kind"], "damaged", "{finding}");
        assert_eq!(fs::read(log(&stage)).unwrap(), bytes, "a log is only read");
    }
    fs::write(log(&stage), good).unwrap();
    journal(&stage, &["verify"]).must_end(0);
}

#[test]
fn a_lost_checkpoint_is_built_again_and_then_the_same() {
    let stage = finished();
    fs::remove_dir_all(stage.path("cutover-journal/checkpoint")).unwrap();
    let none = verdict(&journal(&stage, &["verify", "--json"]).must_end(0));
    assert_eq!(none["checkpoint"], "none");
    stage.end(&mut stage.run_line());
    let again = verdict(&journal(&stage, &["verify", "--json"]).must_end(0));
    assert_eq!(again["checkpoint"], "compared");
}

/// Replicas that lag, lost requests and throttling: what live rows come to is what the log folds to, after every kill.
#[test]
fn after_any_kill_the_journal_proves_itself() {
    let stage = Stage::new(Options {
        faults: Faults {
            latency_base_ms: 3,
            latency_jitter_ms: 4,
            error_before: 0.02,
            error_after: 0.03,
            drop_after: 0.03,
            throttle: 0.02,
            ..Faults::none()
        },
        replication_ms: 250,
        ..calm(60)
    });
    stage.write("sim.toml", stage.connection("150/1s"));
    for kill in 0..4 {
        let mut going = stage.start(&mut stage.quick_run(&["--max-failed", "100%"]));
        let before = stage.stat("writes");
        stage.await_writes(before + 15 + 7 * kill, &mut going);
        going.kill();
        let ran = journal(&stage, &["verify", "--json"]);
        assert_eq!(ran.code, Some(0), "kill {kill}: {ran:?}");
    }
    stage.write("sim.toml", stage.connection("100000/1s"));
    stage.end(&mut stage.quick_run(&["--max-failed", "100%"]));
    let ran = journal(&stage, &["verify", "--json"]).must_end(0);
    assert_eq!(verdict(&ran)["checkpoint"], "compared");
    assert_eq!(verdict(&ran)["head"], stage.summary()["journal"]["head"]);
}

#[test]
fn an_export_is_proven_without_the_journal() {
    let stage = finished();
    let run = stage.summary()["run"].as_str().unwrap().to_owned();
    let head = stage.summary()["journal"]["head"].as_str().unwrap().to_owned();
    journal(&stage, &["export", &run[..13], "--output", "history.jsonl"]).must_end(0);
    let printed = journal(&stage, &["export", &run]).must_end(0);
    let text = fs::read_to_string(stage.path("history.jsonl")).unwrap();
    assert_eq!(printed.stdout, text, "a file and standard output are the same");
    let elsewhere = tempfile::tempdir().unwrap();
    let check = |text: &str, more: &[&str]| {
        fs::write(elsewhere.path().join("copy"), text).unwrap();
        let line = [&["journal", "verify", "--export", "copy", "--json"], more].concat();
        end(elsewhere.path(), &line)
    };
    let verdict_of = |ran: Ran| verdict(&ran);
    let good = verdict_of(check(&text, &["--head", &head]).must_end(0));
    assert_eq!((&good["head"], &good["run"]), (&head.into(), &run.into()));
    assert!(fs::read_dir(elsewhere.path()).unwrap().count() == 1, "no journal was made");

    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let middle = lines.len() / 2;
    lines.remove(middle);
    let bad = verdict_of(check(&lines.concat(), &[]).must_end(1));
    assert_eq!(bad["findings"][0]["record"], middle as u64 + 1);
    let kind = &bad["findings"][0]["kind"];
    assert!(*kind == "removed" || *kind == "edited", "{kind}");
    let other = "0".repeat(64);
    let bad = verdict_of(check(&text, &["--head", &other]).must_end(1));
    assert_eq!(bad["findings"][0]["kind"], "head");
}

/// Thirty lines of another language come to the same verdict.
#[test]
fn an_auditor_needs_nothing_of_ours() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/verify_log.py");
    assert!(fs::read_to_string(program).unwrap().lines().count() <= 30);
    if Command::new("python3").arg("--version").output().is_err() {
        let required = std::env::var("CUTOVER_TEST_TOOLS").is_ok_and(|is| is == "required");
        assert!(!required, "python3 is missing");
        eprintln!("SKIPPED: python3 is missing, so samples/verify_log.py is not tried");
        return;
    }
    let stage = finished();
    let head = stage.summary()["journal"]["head"].as_str().unwrap().to_owned();
    let audit = |bytes: &[u8]| {
        fs::write(stage.path("history.jsonl"), bytes).unwrap();
        let mut python = Command::new("python3");
        python.arg(program).arg(stage.path("history.jsonl")).arg(&head);
        let output = python.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    };
    let bytes = fs::read(log(&stage)).unwrap();
    let (good, said) = audit(&bytes);
    assert!(good && said.contains(&format!("head {head}")), "{said}");
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for line in [0, lines.len() / 2, lines.len() - 1] {
        let mut without = lines.clone();
        without.remove(line);
        assert!(!audit(&without.concat()).0, "line {line} was taken out");
        let mut edited = bytes.clone();
        edited[lines[..line].concat().len() + 30] ^= 1;
        assert!(!audit(&edited).0, "line {line} was edited");
    }
}

#[cfg(unix)]
#[test]
fn an_export_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = finished();
    let run = stage.summary()["run"].as_str().unwrap().to_owned();
    journal(&stage, &["export", &run, "--output", "history.jsonl"]).must_end(0);
    let mode = fs::metadata(stage.path("history.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A head noted when a run was interrupted is still in its chain when it has ended, and proves that the tail was not cut.
#[test]
fn a_head_noted_earlier_is_met_again() {
    let stage = Stage::new(slow(120, 4));
    stage.write("sim.toml", stage.connection("60/1s"));
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(20, &mut going);
    going.kill();
    let early = verdict(&journal(&stage, &["verify", "--json"]).must_end(0));
    let head = early["head"].as_str().unwrap();
    stage.write("sim.toml", stage.connection("100000/1s"));
    stage.end(&mut stage.quick_run(&[]));
    let run = early["run"].as_str().unwrap();
    let later = journal(&stage, &["verify", run, "--head", head]).must_end(0);
    assert!(later.stdout.contains("records follow it"), "{}", later.stdout);
    let bytes = fs::read(log(&stage)).unwrap();
    let records = early["records"].as_u64().unwrap() as usize;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(log(&stage), lines[..records - 1].concat()).unwrap();
    fs::remove_dir_all(stage.path("cutover-journal/checkpoint")).unwrap();
    let cut = journal(&stage, &["verify", run, "--head", head, "--json"]).must_end(1);
    let kinds = verdict(&cut);
    assert_eq!(kinds["findings"][0]["kind"], "head", "{kinds}");
}

#[test]
fn a_live_process_is_left_alone_and_its_log_is_checked() {
    let stage = Stage::new(slow(120, 4));
    stage.write("sim.toml", stage.connection("60/1s"));
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(20, &mut going);
    let live = journal(&stage, &["verify", "--json"]).must_end(0);
    assert_eq!(verdict(&live)["checkpoint"], "in-use");
    assert!(live.complaint().contains("has the journal"), "{}", live.stderr);
    let run = verdict(&live)["run"].as_str().unwrap().to_owned();
    journal(&stage, &["export", &run, "--output", "early.jsonl"]).must_end(0);
    journal(&stage, &["verify", "--export", "early.jsonl"]).must_end(0);
    assert!(!going.has_ended(), "the run goes on");
    going.kill();
}

#[test]
fn what_cannot_be_verified_says_so() {
    let stage = Stage::new(calm(5));
    let none = journal(&stage, &["verify"]).must_end(2);
    assert!(none.complaint().contains("there is no run in the journal"));
    assert!(!stage.path("cutover-journal").exists(), "looking makes no folder");
    journal(&stage, &["export", "0190"]).must_end(2);
    stage.end(&mut stage.run_line());
    let unknown = journal(&stage, &["verify", "ffff"]).must_end(2);
    assert!(unknown.complaint().contains("no run begins with `ffff`"));
    journal(&stage, &["export", "ffff"]).must_end(2);
    let nameless = journal(&stage, &["verify", "--head", &"0".repeat(64)]).must_end(2);
    assert!(nameless.complaint().contains("a head belongs to one run"));
    let short = journal(&stage, &["verify", "x", "--head", "abc"]).must_end(2);
    assert!(short.complaint().contains("64 hexadecimal digits"), "{}", short.stderr);
    let foreign = journal(&stage, &["verify", "--export", "people.csv"]).must_end(2);
    assert!(foreign.complaint().contains("no export of a run"));
    journal(&stage, &["verify", "--export", "nothing"]).must_end(2);
}
