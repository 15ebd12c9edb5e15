//! Two processes on one journal: one works, the others say who does, and what was killed holds nothing back.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, calm, number, slow, table};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SEED: u64 = 20;

/// A few hundred rows at this pace take seconds, so that a process can be met at work.
const SLOW_WRITES: &str = "60/1s";
const RACERS: usize = 10;

/// However busy the machine is.
const HANGS_AFTER: Duration = Duration::from_secs(300);

#[cfg(unix)]
const NOBODY: u32 = 65_534;

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
    // The others wait a few seconds, in case it is just ending.
    let stage = Stage::new(slow(1_000, 4));
    let going = at_work(&stage);
    // Any request of its own would begin with one for a token.
    let tokens = stage.stat("tokens");
    for mut line in [stage.quick_run(&[]), stage.resume_line(&[]), stage.quick_run(&["--fresh"])] {
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
    let json = |arguments: &[&str]| -> Value { stage.end(&mut stage.cutover(arguments)).must_end(0).json() };
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
    assert_eq!(table(&stage.path("meanwhile/outcomes.csv")).len() as u64, ROWS_TO_REPORT);
    assert!(!going.has_ended(), "{:?}", going.said());
    going.kill();
    let left = stage.end(&mut stage.cutover(&["status", "--json"]));
    assert_eq!(left.must_end(5).json()["state"], "interrupted");
}

#[test]
fn a_second_line_leaves_the_log_of_the_first_alone() {
    let stage = Stage::new(slow(400, 4));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&["--log", "log.json", "-vv"]));
    stage.await_writes(10, &mut going);
    let before = fs::read_to_string(stage.path("log.json")).unwrap();
    must_be_refused(stage.end(&mut stage.quick_run(&["--log", "log.json"])), Some(going.pid()));
    going.kill();
    let after = fs::read_to_string(stage.path("log.json")).unwrap();
    assert!(after.len() > 100 && after.starts_with(&before), "{after}");
}

#[test]
fn of_ten_that_start_at_once_exactly_one_works() {
    // More than the others wait for one that is just ending.
    let stage = Stage::new(slow(200, 20));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let racers: Vec<Going> =
        (0..RACERS).map(|_| stage.start(&mut stage.quick_run(&["--max-failed", "100%"]))).collect();
    let ended: Vec<Ran> = racers.into_iter().map(Going::wait).collect();
    let (refused, mut worked): (Vec<Ran>, Vec<Ran>) = ended.into_iter().partition(|ran| ran.code == Some(2));
    assert_eq!(worked.len(), 1, "{worked:?}");
    for ran in refused {
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
            assert!(has_begun(&stage, &mut next), "seed {seed}: {:?}", next.said());
        }
        going = next;
    }
    going.kill();
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut stage.quick_run(&["--max-failed", "100%"]));
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
    assert_eq!(stage.runs().len(), 1, "seed {seed}");
}

/// Waits until it works on the run; false when it ended instead.
fn has_begun(stage: &Stage, going: &mut Going) -> bool {
    let pid = u64::from(going.pid());
    let holder = stage.journal().join("holder.json");
    let since = Instant::now();
    while since.elapsed() < HANGS_AFTER {
        let said: Option<Value> = fs::read(&holder).ok().and_then(|json| serde_json::from_slice(&json).ok());
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
    assert!(stage.journal().join("holder.json").exists(), "what the dead one said is still there, and not believed");
    let mut next = stage.start(&mut stage.quick_run(&[]));
    assert!(has_begun(&stage, &mut next), "{:?}", next.said());
    next.kill();
}

/// Everything below a folder, with what is in it and when it was written.
fn as_it_lies(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let bytes = if path.is_dir() {
            found.extend(as_it_lies(&path));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(path, (bytes, written));
    }
    found
}

/// What looks at a run and changes nothing; `report` goes into a folder of its own.
fn looks(number: usize) -> Vec<Vec<String>> {
    let report = format!("looked-{number}");
    let lines: [&[&str]; 4] =
        [&["status", "--json"], &["runs", "--json"], &["report", "--report", &report], &["journal", "verify"]];
    lines.iter().map(|line| line.iter().map(|word| (*word).to_owned()).collect()).collect()
}

fn look(stage: &Stage, line: &[String]) -> Ran {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    stage.end(&mut stage.cutover(&words))
}

/// A look may say that somebody is exposed; it does not fail.
#[track_caller]
fn must_have_seen(ran: &Ran, line: &[String]) {
    assert!([Some(0), Some(5)].contains(&ran.code), "{line:?} ended {:?}: {}{}", ran.code, ran.stdout, ran.stderr);
}

/// As a watchdog does while systemd starts a run again and again.
#[test]
fn those_who_look_hold_nobody_up_and_never_fail_because_somebody_begins_or_ends() {
    let seed = number("CUTOVER_KILL_SEED", SEED);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let stage = Stage::new(slow(300, 4));
    let oracle = Oracle::look(&stage);
    at_work(&stage).kill();
    let over = AtomicBool::new(false);
    let seen: u64 = thread::scope(|scope| {
        let watchdogs: Vec<_> = (0..3)
            .map(|watchdog| {
                let (stage, over) = (&stage, &over);
                scope.spawn(move || {
                    let mut seen = 0;
                    while !over.load(Ordering::Relaxed) {
                        for line in looks(watchdog) {
                            must_have_seen(&look(stage, &line), &line);
                            seen += 1;
                        }
                    }
                    seen
                })
            })
            .collect();
        for round in 0..number("CUTOVER_STARTS", 12) {
            let mut going = stage.start(&mut stage.resume_line(&[]));
            assert!(has_begun(&stage, &mut going), "{:?}", going.said());
            thread::sleep(Duration::from_millis(dice.random_range(0..60)));
            if round % 2 == 0 {
                going.kill();
            } else {
                going.interrupt();
                let ran = going.wait();
                assert!([Some(3), Some(5)].contains(&ran.code), "seed {seed}: {ran:?}");
            }
        }
        over.store(true, Ordering::Relaxed);
        watchdogs.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(seen > 12, "{seen}");
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut stage.quick_run(&["--max-failed", "100%"]));
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
}

#[test]
fn those_who_look_write_nothing_into_the_journal() {
    let stage = Stage::new(slow(200, 4));
    at_work(&stage).kill();
    let run = stage.runs()[0]["run"].as_str().unwrap().to_owned();
    let before = as_it_lies(&stage.journal());
    let mut lines = looks(0);
    lines.push(vec!["journal".into(), "export".into(), run]);
    for line in &lines {
        must_have_seen(&look(&stage, line), line);
        assert!(as_it_lies(&stage.journal()) == before, "{line:?}");
    }
    // Where there is no checkpoint, or a bad one, they read the logs.
    let truth = look(&stage, &lines[0]).json();
    for file in ["db", "conf"] {
        fs::write(stage.journal().join("checkpoint").join(file), "bad").unwrap();
        assert_eq!(look(&stage, &lines[0]).json(), truth);
    }
    fs::remove_dir_all(stage.journal().join("checkpoint")).unwrap();
    assert_eq!(look(&stage, &lines[0]).json(), truth);
}

#[test]
fn one_that_is_just_ending_is_waited_for() {
    let stage = Stage::new(calm(5));
    stage.end(&mut stage.quick_run(&[]));
    let lock = fs::File::open(stage.journal().join("lock")).unwrap();
    lock.lock().unwrap();
    let mut next = stage.start(&mut stage.quick_run(&["--fresh"]));
    thread::sleep(Duration::from_millis(500));
    assert!(!next.has_ended(), "{:?}", next.said());
    lock.unlock().unwrap();
    let ran = next.wait();
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(stage.runs().len(), 2);
}

#[cfg(unix)]
#[test]
fn whoever_deletes_the_lock_opens_no_second_door() {
    let stage = Stage::new(slow(600, 250));
    let oracle = Oracle::look(&stage);
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(10, &mut going);
    for file in ["lock", "holder.json"] {
        fs::remove_file(stage.journal().join(file)).unwrap();
    }
    fs::remove_dir_all(stage.journal().join("checkpoint")).unwrap();
    let tokens = stage.stat("tokens");
    for mut line in [stage.quick_run(&[]), stage.resume_line(&[]), stage.quick_run(&["--fresh"])] {
        must_be_refused(stage.end(&mut line), None);
    }
    assert_eq!(stage.stat("tokens"), tokens);
    // It says again who it is, and is asked as before.
    assert!(has_begun(&stage, &mut going), "{:?}", going.said());
    let status = stage.end(&mut stage.cutover(&["status", "--json"]));
    assert_eq!(status.must_end(0).json()["state"], "running");
    must_be_refused(stage.end(&mut stage.quick_run(&[])), Some(going.pid()));
    stage.change_latency(0);
    let ran = going.wait();
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    stage.end(&mut stage.cutover(&["journal", "verify"])).must_end(0);
    assert_eq!(stage.runs().len(), 1);
}

/// Nobody is told to begin a run of people who may be half way in one.
#[cfg(unix)]
#[test]
fn a_journal_that_may_not_be_read_is_not_taken_for_an_empty_one() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let stage = Stage::new(calm(5));
    stage.end(&mut stage.quick_run(&[]));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(stage.folder(), 0o755);
    mode(&stage.journal(), 0o000);
    let owner = fs::metadata(stage.journal()).unwrap().uid();
    for line in [
        &["status"][..],
        &["runs"],
        &["report"],
        &["drain"],
        &["resume"],
        &["run", "immutable-id", "people.csv", "--target", "sim.toml"],
        &["journal", "verify"],
        &["journal", "export", "0"],
    ] {
        let mut command = stage.cutover(line);
        if owner == 0 {
            // Nothing is forbidden to root.
            command.uid(NOBODY).gid(NOBODY);
        }
        let ran = stage.end(&mut command).must_end(2);
        let complaint = ran.complaint();
        assert!(complaint.contains("may not be read by this user"), "{line:?}: {complaint}");
        assert!(complaint.contains(&format!("uid {owner}")), "{line:?}: {complaint}");
    }
    mode(&stage.journal(), 0o700);
}

/// As by Ctrl-Z, or on a machine that swaps.
#[cfg(unix)]
#[test]
fn a_process_that_does_not_answer_hangs_nobody() {
    let stage = Stage::new(slow(200, 4));
    let going = at_work(&stage);
    let signal = |name: &str| {
        let pid = going.pid().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    for line in looks(0) {
        let ran = look(&stage, &line);
        must_have_seen(&ran, &line);
        assert!(ran.complaint().contains("has the journal"), "{line:?}: {}", ran.stderr);
    }
    let ran = stage.end(&mut stage.cutover(&["drain"])).must_end(2);
    assert!(ran.complaint().contains("kill -CONT"), "{}", ran.stderr);
    signal("-CONT");
    stage.end(&mut stage.cutover(&["drain"])).must_end(0);
    let ran = going.wait();
    assert!([Some(3), Some(5)].contains(&ran.code), "{ran:?}");
}
