//! Steering the real program while it works: pause, continue, drain, a new pace, a window, a deadline. The tenant's own list
//! of writes says whether it did what it said.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, calm, end, slow, table};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use tempfile::TempDir;

/// A few hundred rows at this pace take seconds, so that a command meets the process at work.
const SLOW_WRITES: &str = "60/1s";

/// Rows in flight after a kill: fewer than were left half way, so that some of them wait for others while no new row may
/// begin; and so many that not each one's doubt is waited out by itself.
const AT_ONCE_AFTER_KILL: usize = 16;

const POLL: Duration = Duration::from_millis(5);

/// Runs that are told to drain while nobody is under way.
const DRAINS_AT_REST: u32 = 30;

/// Looks at a paused run; each takes some milliseconds, in which a run that is not paused would write.
const LOOKS_AT_REST: u32 = 20;

/// A process at work, slow enough to be met.
fn at_work() -> (Stage, Oracle, Going) {
    let stage = Stage::new(slow(150, 10));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(20, &mut going);
    (stage, oracle, going)
}

fn status(stage: &Stage) -> Value {
    let ran = stage.end(&mut stage.cutover(&["status", "--json"]));
    ran.must_end(0).json()
}

fn tell(stage: &Stage, command: &[&str]) -> Ran {
    stage.end(&mut stage.cutover(command))
}

/// Waits until nobody is under way any more.
fn await_rest(stage: &Stage, going: &mut Going) -> Value {
    loop {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        let status = status(stage);
        if status["under_way"]["rows"] == 0 {
            return status;
        }
        std::thread::sleep(POLL);
    }
}

#[track_caller]
fn must_be_true(stage: &Stage, oracle: &Oracle, ran: &Ran) {
    let complaints = oracle.complaints(stage, ran, Slack(0));
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
}

/// When each write was made, in milliseconds, by the tenant's clock.
fn write_times(stage: &Stage) -> Vec<u64> {
    let writes = stage.ask("/sim/writes");
    let at = |line: &str| serde_json::from_str::<Value>(line).unwrap()["at"].as_u64();
    writes.lines().map(|line| at(line).unwrap()).collect()
}

#[test]
fn a_pause_leaves_nobody_exposed_and_continue_ends_the_run_right() {
    let (stage, oracle, mut going) = at_work();
    let paused = tell(&stage, &["pause"]).must_end(0);
    assert!(paused.stdout.contains("is paused"), "{paused:?}");
    assert!(paused.stdout.contains("cutover continue"), "{paused:?}");
    let at_rest = await_rest(&stage, &mut going);
    assert_eq!(at_rest["state"], "paused");
    assert!(at_rest["reason"].as_str().unwrap().contains("asked for by"));
    assert!(at_rest["outcomes"]["pending"].as_u64() > Some(0));
    assert_eq!(at_rest["under_way"]["exposed"], 0);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let requests = stage.stat("requests");
    for _ in 0..LOOKS_AT_REST {
        assert_eq!(status(&stage)["state"], "paused");
    }
    assert_eq!(stage.stat("requests"), requests, "nothing is sent while it is paused");
    let words = tell(&stage, &["status"]).must_end(0).stdout;
    assert!(words.contains("paused") && words.contains("asked for by"), "{words}");

    tell(&stage, &["continue"]).must_end(0);
    stage.await_writes(stage.stat("writes") + 1, &mut going);
    assert_eq!(status(&stage)["state"], "running");
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_drain_by_command_stops_with_everybody_in_safety() {
    let (stage, oracle, going) = at_work();
    let drained = tell(&stage, &["drain"]).must_end(0);
    assert!(drained.stdout.contains("cutover resume"), "{drained:?}");
    let stopped = going.wait().must_end(3);
    assert!(stopped.stdout.contains("asked for by"), "{}", stopped.stdout);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let summary = stage.summary();
    assert_eq!(summary["state"], "stopped");
    assert!(summary["reason"].as_str().unwrap().contains("asked for by"));
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(stage.cutover(&["resume"]).args(crate::support::WORKING));
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn a_drain_ends_a_pause() {
    let (stage, oracle, mut going) = at_work();
    tell(&stage, &["pause"]).must_end(0);
    await_rest(&stage, &mut going);
    let drained = tell(&stage, &["drain"]).must_end(0);
    assert!(drained.stdout.contains("no row is under way"), "{drained:?}");
    going.wait().must_end(3);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
}

/// The tenant's clock says how long the same number of writes took before and after.
#[test]
fn a_new_pace_is_what_the_tenant_sees() {
    let (stage, oracle, mut going) = at_work();
    let before = write_times(&stage).len();
    let told = tell(&stage, &["pace", "5/s"]).must_end(0);
    assert!(told.stdout.contains("5/s"), "{told:?}");
    assert_eq!(status(&stage)["rate"]["budget"], 5.0);
    // Those that had their permit already are on their way.
    let since = write_times(&stage).len();
    assert!(since >= before);
    stage.await_writes(since as u64 + 12, &mut going);
    tell(&stage, &["pace", SLOW_WRITES]).must_end(0);
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
    let times = write_times(&stage);
    let took = |from: usize| times[from + 11] - times[from + 1];
    assert!(took(since) >= 1_500, "ten writes at five a second take two seconds, not {} ms", took(since));
}

#[test]
fn a_pace_beyond_the_connection_file_is_refused_with_what_is_allowed() {
    let (stage, _, going) = at_work();
    let refused = tell(&stage, &["pace", "61/s"]).must_end(2);
    let complaint = refused.complaint();
    assert!(complaint.contains("61/s") && complaint.contains("60/s"), "{complaint}");
    assert_eq!(status(&stage)["rate"]["budget"], 60.0);
    let nonsense = tell(&stage, &["pace", "fast"]).must_end(2);
    assert!(nonsense.complaint().contains("12/s"), "{}", nonsense.stderr);
    going.kill();
}

#[test]
fn two_commands_at_once_are_both_answered() {
    let (stage, oracle, mut going) = at_work();
    let pause = stage.start(&mut stage.cutover(&["pause"]));
    let pace = stage.start(&mut stage.cutover(&["pace", "30/s"]));
    pause.wait().must_end(0);
    pace.wait().must_end(0);
    let at_rest = await_rest(&stage, &mut going);
    assert_eq!((&at_rest["state"], &at_rest["rate"]["budget"]), (&"paused".into(), &30.0.into()));
    let one = stage.start(&mut stage.cutover(&["continue"]));
    let other = stage.start(&mut stage.cutover(&["continue"]));
    let mut codes = [one.wait().code, other.wait().code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2)], "one ends the pause, the other finds none");
    tell(&stage, &["pace", SLOW_WRITES]).must_end(0);
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran);
}

#[test]
fn commands_say_what_to_do_when_nobody_works() {
    let stage = Stage::new(calm(3));
    let commands: [&[&str]; 4] = [&["pause"], &["continue"], &["drain"], &["pace", "5/s"]];
    for command in commands {
        let ran = tell(&stage, command).must_end(2);
        let complaint = ran.complaint();
        assert!(complaint.contains("no process works on a run"), "{complaint}");
        assert!(complaint.contains("cutover resume"), "{complaint}");
    }
    assert!(!stage.path("cutover-journal").exists(), "asking makes no journal");
    stage.end(&mut stage.run_line());
    for command in commands {
        tell(&stage, command).must_end(2);
    }
}

#[test]
fn a_run_that_is_named_must_be_the_one_that_is_worked_on() {
    let stage = Stage::new(slow(150, 10));
    stage.end(&mut stage.quick_run(&[]));
    let first = stage.summary()["run"].as_str().unwrap().to_owned();
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut stage.quick_run(&["--fresh"]));
    let live = loop {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        let ran = tell(&stage, &["pause"]);
        if ran.code == Some(0) {
            break status(&stage)["run"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(POLL);
    };
    let refused = tell(&stage, &["continue", &first]).must_end(2);
    // A name may be broken over two lines at a dash.
    let complaint = refused.complaint().replace(' ', "");
    assert!(complaint.contains(&first) && complaint.contains(&live), "{complaint}");
    assert_eq!(status(&stage)["state"], "paused");
    tell(&stage, &["continue", &live]).must_end(0);
    going.kill();
}

/// A window that is closed for the next hours, whatever the time is.
fn closed_window() -> String {
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let hour = |ahead: i64| now.checked_add(jiff::Span::new().hours(ahead)).unwrap();
    format!("{}-{} UTC", hour(6).strftime("%H:00"), hour(8).strftime("%H:00"))
}

#[test]
fn a_closed_window_starts_nothing_and_says_until_when() {
    let stage = Stage::new(calm(40));
    let window = closed_window();
    let mut line = stage.cutover(&["run", "immutable-id", "people.csv", "--target", "sim.toml"]);
    line.args(["--report", "report", "--progress", "plain", "--window", &window]);
    let mut going = stage.start(&mut line);
    let waiting = loop {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        let ran = tell(&stage, &["status", "--json"]);
        if ran.code == Some(0) && ran.json()["state"] == "waiting" {
            break ran.json();
        }
        std::thread::sleep(POLL);
    };
    let reason = waiting["reason"].as_str().unwrap();
    let opens = window.split('-').next().unwrap().to_string();
    assert!(reason.contains(&window) && reason.contains(&format!("{opens} UTC")), "{reason}");
    let refused = tell(&stage, &["continue"]).must_end(2);
    assert!(refused.complaint().contains("outside the window"), "{}", refused.stderr);
    for _ in 0..LOOKS_AT_REST {
        assert_eq!(status(&stage)["outcomes"]["pending"], waiting["outcomes"]["pending"]);
    }
    assert_eq!(stage.stat("writes"), 0);
    let said = going.said().1;
    assert!(said.contains("waiting: outside the window"), "{said}");
    tell(&stage, &["drain"]).must_end(0);
    going.wait().must_end(3);
    assert_eq!(stage.stat("writes"), 0);
}

/// Such a run ends at once, and whoever told it to hears that it does; several times, since it is a matter of moments.
#[test]
fn a_drain_with_nobody_under_way_is_answered_before_the_process_ends() {
    let stage = Stage::new(calm(5));
    let window = closed_window();
    for _ in 0..DRAINS_AT_REST {
        let mut going = stage.start(&mut stage.run_with(&["--window", &window]));
        while tell(&stage, &["status"]).stdout.lines().all(|line| !line.contains("waiting")) {
            assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
            std::thread::sleep(POLL);
        }
        tell(&stage, &["drain"]).must_end(0);
        going.wait().must_end(3);
    }
}

/// Rows that the journal knows as written to, or about to be, and not ended.
fn half_way(stage: &Stage) -> usize {
    tell(stage, &["report", "--report", "meanwhile"]).must_end(5);
    let lines = table(&stage.path("meanwhile/outcomes.csv"));
    let is_half_way = |line: &&BTreeMap<String, String>| line["outcome"] == "pending" && line["attempts"] != "0";
    lines.iter().filter(is_half_way).count()
}

/// A process was killed with people exposed; the next one comes outside the window, helps them, and begins nobody.
#[test]
fn outside_the_window_people_left_exposed_are_helped_all_the_same() {
    let (stage, oracle, going) = at_work();
    going.kill();
    let half_way = half_way(&stage);
    assert!(half_way > AT_ONCE_AFTER_KILL, "some of the {half_way} must wait for others");
    stage.write("sim.toml", stage.connection("100000/1s"));
    let (window, at_once) = (closed_window(), AT_ONCE_AFTER_KILL.to_string());
    let mut line = stage.cutover(&["resume", "--window", &window, "--concurrency", &at_once]);
    let mut going = stage.start(line.args(crate::support::WORKING));
    let at_rest = loop {
        let ran = tell(&stage, &["status", "--json"]);
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        if ran.code == Some(0) && ran.json()["state"] == "waiting" {
            break await_rest(&stage, &mut going);
        }
    };
    assert!(at_rest["outcomes"]["pending"].as_u64() > Some(0));
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    going.kill();
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let stage = Stage::new(calm(3));
    let cases = [
        (["--deadline", "2020-01-01T00:00:00Z"], "has passed"),
        (["--deadline", "soon"], "HH:MM"),
        (["--window", "22-05"], "22:00-05:00 Europe/Zurich"),
        (["--window", "22:00-22:00"], "leave the window out"),
        (["--window", "22:00-05:00 Zurich"], "IANA"),
    ];
    for (options, word) in cases {
        let ran = stage.end(&mut stage.run_with(&options)).must_end(2);
        let complaint = ran.complaint();
        assert!(complaint.contains(word), "{word:?} is not in {complaint}");
    }
    assert_eq!(stage.stat("requests"), 0);
    assert!(!stage.path("cutover-journal").exists());
}

#[test]
fn a_deadline_stops_the_run_with_everybody_in_safety() {
    let stage = Stage::new(slow(900, 10));
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    // Later than a busy machine takes to begin, and sooner than so many rows take.
    let soon = jiff::Timestamp::now() + Duration::from_secs(8);
    let deadline = soon.to_string();
    let stopped = stage.end(&mut stage.quick_run(&["--deadline", &deadline])).must_end(3);
    assert!(stopped.stdout.contains("the deadline"), "{}", stopped.stdout);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut stage.quick_run(&[]));
    must_be_true(&stage, &oracle, &ran);
}

/// A process of another version has the journal: its replies cannot be read, and both versions are named with what to do.
#[test]
fn a_live_process_of_another_version_is_named_as_that() {
    let folder = TempDir::new().unwrap();
    let journal = folder.path().join("cutover-journal");
    fs::create_dir_all(journal.join("runs")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let control = json!({"port": listener.local_addr().unwrap().port(), "token": "t"});
    let pid = std::process::id();
    let holder =
        json!({"pid": pid, "command": "run", "run": null, "since": "2026-01-31T05:00:00Z", "control": control});
    fs::write(journal.join("holder.json"), holder.to_string()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Its head is enough: the body is a few bytes behind it.
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let reply = "HTTP/1.1 200 OK\r\ncutover-version: 9.9.9\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let paused = end(folder.path(), &["pause"]).must_end(2);
    let what = format!("process {pid} (`cutover run`) is cutover 9.9.9, and this is cutover");
    assert!(paused.stderr.contains("error[live-process]") && paused.stderr.contains(&what), "{}", paused.stderr);
    assert!(paused.stderr.contains("use the program it was started with"), "{}", paused.stderr);
    // What only looks says so, and shows what the journal has: here nothing.
    let shown = end(folder.path(), &["status"]).must_end(2);
    assert!(shown.stderr.contains(&what) && shown.stderr.contains("journal-no-run"), "{}", shown.stderr);
}
