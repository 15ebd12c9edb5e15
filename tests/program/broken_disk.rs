//! Disks at their worst, with the real program: full, read-only, failing, the journal's folder deleted or renamed, rights
//! taken away. Whoever can be helped is not left exposed, whoever cannot is named, the exit code is 4, and once the disk is
//! good again the run ends right.
//!
//! A disk is a small file system in memory, mounted for the test; failing calls are made by `strace`. Both need root on
//! Linux.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, environment, one_line, slow, table, tools};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The disk: room for the reserve, the checkpoint and the rows, and not much more.
const DISK_MIB: u64 = 16;

/// So slow that many people are half way when the disk breaks.
const LATENCY_MS: u64 = 100;
const MANY_IN_FLIGHT: [&str; 2] = ["--concurrency", "40"];

const POLL: Duration = Duration::from_millis(5);

/// A user without rights.
const NOBODY: u32 = 65_534;

/// A small file system; unmounted however the test ends.
struct Disk(PathBuf);

impl Disk {
    /// None where nothing can be mounted.
    fn mount(stage: &Stage) -> Option<Disk> {
        let at = stage.path("disk");
        fs::create_dir(&at).unwrap();
        let size = format!("size={DISK_MIB}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at);
        if !tools::succeeds(&mut mount) {
            tools::cannot_run("no file system can be mounted here (that needs root)");
            return None;
        }
        Some(Disk(at))
    }

    fn journal(&self) -> String {
        self.0.join("journal").display().to_string()
    }

    /// Leaves so many bytes free.
    fn fill(&self, left_free: usize) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        let chunk = [7; 4096];
        while ballast.write_all(&chunk).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(left_free as u64)).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        // A child may still be ending.
        unmount.arg("--lazy").arg(&self.0);
        tools::succeeds(&mut unmount);
    }
}

fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output().unwrap();
    user.stdout == b"0\n"
}

/// The usual line, slowly and with many in flight.
fn line(stage: &Stage, journal: &str) -> Command {
    let mut line = stage.quick_run(&["--journal", journal]);
    line.args(MANY_IN_FLIGHT);
    line
}

fn stage_and_oracle() -> (Stage, Oracle) {
    let stage = Stage::new(slow(200, LATENCY_MS));
    let oracle = Oracle::look(&stage);
    (stage, oracle)
}

/// Waits until people are half way.
fn await_exposed(stage: &Stage, oracle: &Oracle, going: &mut Going) {
    stage.await_writes(12, going);
    while oracle.exposed(stage).len() < 3 {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
        std::thread::sleep(POLL);
    }
}

#[track_caller]
fn must_be_true(stage: &Stage, oracle: &Oracle, ran: &Ran, slack: Slack) {
    assert!([Some(0), Some(1), Some(5)].contains(&ran.code), "{ran:?}");
    let mut complaints = oracle.complaints(stage, ran, slack);
    complaints.truncate(5);
    assert!(complaints.is_empty(), "{}\n{ran:?}", complaints.join("\n"));
    assert_eq!(oracle.exposed(stage), Vec::<String>::new());
}

/// Those who cannot sign in are those that the program names: on standard error, and in a file. Whoever stood at the
/// temporary UPN before, and was come upon, may be among them.
#[track_caller]
fn must_name(stage: &Stage, oracle: &Oracle, stopped: &Ran) {
    let told = stopped.complaint();
    let lines = table(&stage.path("report/exposed.csv"));
    let listed: BTreeSet<String> = lines.iter().map(|line| line["key"].clone()).collect();
    let exposed = oracle.exposed(stage);
    assert!(exposed.len() > 1, "nearly nobody was exposed; this proves nothing");
    let missing: Vec<_> = exposed.iter().filter(|upn| !listed.contains(*upn)).collect();
    assert!(missing.is_empty(), "not named: {missing:?}; {told}");
    let away = oracle.away(stage);
    let wrong: Vec<_> = listed.iter().filter(|upn| !away.contains(upn)).collect();
    assert!(wrong.is_empty(), "named, and can sign in: {wrong:?}; {told}");
    let count = listed.len();
    let sentence = format!("these {count} people cannot sign in until the run continues: ");
    assert!(told.contains(&sentence), "{told}");
    let said = told.split_once(&sentence).unwrap().1;
    let named = listed.iter().filter(|upn| said.contains(*upn)).count();
    assert_eq!(named, count.min(20), "{told}");
}

#[track_caller]
fn must_say(ran: &Ran, words: &str) {
    let (told, result) = (ran.complaint(), &ran.stdout);
    assert!(told.contains(words) || result.contains(words), "{words:?} is not in {told}\n{result}");
    for raw in ["panicked", "Os {", "sled"] {
        assert!(!ran.stderr.contains(raw), "{raw:?} is in {}", ran.stderr);
    }
}

#[test]
fn a_disk_that_becomes_full_leaves_nobody_exposed_and_the_run_goes_on_once_there_is_room() {
    let (stage, oracle) = stage_and_oracle();
    let Some(disk) = Disk::mount(&stage) else {
        return;
    };
    let mut going = stage.start(&mut line(&stage, &disk.journal()));
    await_exposed(&stage, &oracle, &mut going);
    disk.fill(0);
    let stopped = going.wait().must_end(4);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    must_say(&stopped, "the disk with the journal is full (");
    must_say(&stopped, "free at least 8 MiB on the disk of");
    let summary = stage.summary();
    assert_eq!(summary["state"], "stopped", "{summary}");
    let pending = summary["outcomes"]["pending"].as_u64();
    assert!(pending > Some(50), "it went on admitting: {summary}");
    assert_eq!(stage.outcomes().len(), 200);
    let begun = stage.outcomes().iter().filter(|line| line["attempts"] != "0").count();

    // Still full: nothing is sent.
    disk.fill(0);
    let writes = stage.stat("writes");
    let mut again = stage.cutover(&["resume", "--journal", &disk.journal(), "--report", "report"]);
    let refused = stage.end(&mut again).must_end(4);
    must_say(&refused, "nothing was sent");
    assert_eq!(stage.stat("writes"), writes);

    disk.free();
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(0));
    assert_eq!(stage.summary()["run"], summary["run"]);
    assert!(begun < 150, "{begun} rows were begun before the disk was full");
}

#[test]
fn a_disk_that_is_full_from_the_beginning_is_told_before_anything_is_sent() {
    let (stage, oracle) = stage_and_oracle();
    let Some(disk) = Disk::mount(&stage) else {
        return;
    };
    // Not a byte; room for a file or two; room for all but the reserve.
    for left_free in [0, 64 << 10, 4 << 20] {
        disk.fill(left_free);
        let refused = stage.end(&mut line(&stage, &disk.journal())).must_end(4);
        must_say(&refused, "is full; nothing was sent");
        must_say(&refused, "8 MiB are kept back");
        assert_eq!(stage.stat("writes"), 0);
    }
    disk.free();
    let ran = stage.end(&mut line(&stage, &disk.journal()));
    must_be_true(&stage, &oracle, &ran, Slack(0));
    let left: Vec<_> = fs::read_dir(disk.journal()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "reserve"), "{left:?}");
}

#[test]
fn rows_that_do_not_fit_are_refused_whole_and_leave_their_room() {
    let (stage, _) = stage_and_oracle();
    let Some(disk) = Disk::mount(&stage) else {
        return;
    };
    // Ten megabytes of notes beside the columns that the job reads.
    let plain = fs::read_to_string(stage.path("people.csv")).unwrap();
    let mut lines = plain.lines();
    let mut long = format!("{},note\n", lines.next().unwrap());
    for line in lines {
        long.push_str(&format!("{line},{}\n", "x".repeat(50_000)));
    }
    stage.write("people.csv", long);
    let refused = stage.end(&mut line(&stage, &disk.journal())).must_end(4);
    must_say(&refused, "is full; nothing was sent");
    assert_eq!(stage.stat("writes"), 0);
    let logs = fs::read_dir(disk.0.join("journal/runs")).unwrap().count();
    assert_eq!(logs, 0, "the rows are still in the way");
    stage.write("people.csv", plain);
    let oracle = Oracle::look(&stage);
    let ran = stage.end(&mut line(&stage, &disk.journal()));
    must_be_true(&stage, &oracle, &ran, Slack(0));
    let runs = stage.end(&mut stage.cutover(&["runs", "--json", "--journal", &disk.journal()]));
    assert_eq!(runs.must_end(0).json().as_array().unwrap().len(), 1);
}

#[test]
fn a_report_and_a_terminal_on_the_full_disk_hide_nothing_and_end_nothing() {
    let (stage, oracle) = stage_and_oracle();
    let Some(disk) = Disk::mount(&stage) else {
        return;
    };
    // A file where a folder would have to be.
    let report = stage.write("no-folder", "");
    let folder = report.join("report").display().to_string();
    let mut line = stage.cutover(&["run", "quick.toml", "people.csv", "--target", "sim.toml"]);
    line.args(["--journal", &disk.journal(), "--report", &folder]);
    line.args(["--progress", "json", "-vv"]).args(MANY_IN_FLIGHT);
    // What is said goes to the disk that becomes full, as with `cutover run … > run.log 2>&1` beside the journal.
    let heard = File::create(disk.0.join("heard")).unwrap();
    let mut going = stage.start_heard(&mut line, heard);
    await_exposed(&stage, &oracle, &mut going);
    disk.fill(0);
    going.wait().must_end(4);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let heard = one_line(&fs::read_to_string(disk.0.join("heard")).unwrap());
    for words in ["the disk with the journal is full (", "cannot be written", "cutover resume"] {
        assert!(heard.contains(words), "{words:?} is not in {heard}");
    }
    disk.free();
    let ran = stage.end(&mut stage.quick_run(&["--journal", &disk.journal()]));
    must_be_true(&stage, &oracle, &ran, Slack(0));
}

/// What the kernel would say, at a chosen call of the thread that writes the log and of all others.
fn failing(stage: &Stage, journal: &str, injection: &str) -> Option<Command> {
    if !tools::succeeds(Command::new("strace").args(["-f", "-o", "/dev/null", "true"])) {
        tools::cannot_run("`strace` is not here, or may not trace");
        return None;
    }
    let plain = line(stage, journal);
    let mut traced = environment::around(&plain, "strace");
    traced.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
    let call = injection.split(':').next().unwrap();
    traced.args(["-e", &format!("trace={call}"), "-e", &format!("inject={injection}")]);
    traced.arg(plain.get_program()).args(plain.get_args());
    Some(traced)
}

/// A fault, unless it leaves somebody exposed: that goes over it.
#[track_caller]
fn must_stop(stage: &Stage, oracle: &Oracle, ran: Ran) -> Ran {
    let nobody = oracle.exposed(stage).is_empty();
    ran.must_end(if nobody { 4 } else { 5 })
}

/// The journal can take nothing more: whoever is exposed then is named, and nothing else is sent. The call that fails is the first
/// one where people are away; they are never away for long.
fn a_failing_call_ends_the_run(fault: &str, first: usize, until: &str, words: &str) {
    for call in (first..).step_by(3).take(10) {
        let (stage, oracle) = stage_and_oracle();
        let journal = stage.path("journal").display().to_string();
        let Some(mut traced) = failing(&stage, &journal, &format!("{fault}:when={call}{until}")) else {
            return;
        };
        let stopped = must_stop(&stage, &oracle, stage.end(&mut traced));
        must_say(&stopped, words);
        must_say(&stopped, "continue with: cutover resume");
        if oracle.exposed(&stage).len() < 2 {
            continue;
        }
        must_name(&stage, &oracle, &stopped);
        assert_eq!(stage.outcomes().len(), 200);
        let ran = stage.go_on_as_told(&stopped);
        must_be_true(&stage, &oracle, &ran, Slack(0));
        assert!(!stage.path("report/exposed.csv").exists(), "nobody is exposed any more");
        return;
    }
    panic!("nearly nobody was ever exposed; this proves nothing");
}

#[test]
fn a_barrier_that_fails_is_final_and_those_who_are_exposed_are_named() {
    a_failing_call_ends_the_run("fdatasync:error=EIO", 40, "", "could not be made durable");
}

#[test]
fn an_append_that_fails_is_final_and_those_who_are_exposed_are_named() {
    a_failing_call_ends_the_run("pwrite64:error=EIO", 60, "+", "could not be written");
}

#[test]
fn a_disk_that_becomes_read_only_is_as_bad() {
    a_failing_call_ends_the_run("pwrite64:error=EROFS", 60, "+", "Read-only file system");
}

#[test]
fn an_append_that_finds_no_room_once_costs_the_reserve_and_exposes_nobody() {
    let (stage, oracle) = stage_and_oracle();
    let journal = stage.path("journal").display().to_string();
    let injection = "pwrite64:error=ENOSPC:when=60";
    let Some(mut traced) = failing(&stage, &journal, injection) else {
        return;
    };
    let stopped = stage.end(&mut traced).must_end(4);
    must_say(&stopped, "the disk with the journal is full (No space left on device");
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(0));
}

/// Only the checkpoint calls this. Rows are read from it, too, so that it may be a reading that meets the failure.
#[test]
fn a_checkpoint_that_finds_no_room_is_told_as_the_full_disk() {
    let (stage, oracle) = stage_and_oracle();
    let journal = stage.path("journal").display().to_string();
    let Some(mut traced) = failing(&stage, &journal, "sync_file_range:error=ENOSPC:when=8+") else {
        return;
    };
    let stopped = stage.end(&mut traced).must_end(4);
    must_say(&stopped, "the disk with the journal is full (");
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(0));
}

#[test]
fn a_journal_that_is_deleted_is_noticed_and_those_who_are_exposed_are_named() {
    let (stage, oracle) = stage_and_oracle();
    let journal = stage.path("journal");
    let mut going = stage.start(&mut line(&stage, &journal.display().to_string()));
    await_exposed(&stage, &oracle, &mut going);
    // Under its own name the program could make a file in it while it is being removed.
    let doomed = stage.path("doomed");
    fs::rename(&journal, &doomed).unwrap();
    fs::remove_dir_all(&doomed).unwrap();
    let stopped = must_stop(&stage, &oracle, going.wait());
    must_say(&stopped, "the file was deleted while it was being written");
    must_say(&stopped, "has been put back");
    must_name(&stage, &oracle, &stopped);
    assert_eq!(stage.outcomes().len(), 200, "the log could still be read");
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(0));
}

#[test]
fn a_journal_that_is_renamed_goes_on_where_it_is() {
    let (stage, oracle) = stage_and_oracle();
    let (journal, elsewhere) = (stage.path("journal"), stage.path("elsewhere"));
    let mut going = stage.start(&mut line(&stage, &journal.display().to_string()));
    await_exposed(&stage, &oracle, &mut going);
    fs::rename(&journal, &elsewhere).unwrap();
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran, Slack(0));
    let place = elsewhere.display().to_string();
    let again = stage.end(&mut line(&stage, &place));
    must_say(&again, "nothing is left to do");
    must_be_true(&stage, &oracle, &again, Slack(0));
}

#[test]
fn rights_that_are_taken_away_under_way_cost_nothing_and_at_the_start_nothing_is_sent() {
    if !is_root() {
        tools::cannot_run("only root can be somebody else");
        return;
    }
    let (stage, oracle) = stage_and_oracle();
    let (program, place) = (stage.path("cutover"), stage.path("place"));
    fs::copy(env!("CARGO_BIN_EXE_cutover"), &program).unwrap();
    fs::create_dir(&place).unwrap();
    for path in [stage.path("."), place.clone()] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let journal = place.join("journal");
    let as_nobody = || {
        let plain = line(&stage, &journal.display().to_string());
        let mut command = environment::around(&plain, "setpriv");
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        command.arg(&program).args(plain.get_args());
        command
    };
    let may = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may(&place, 0o500);
    let refused = stage.end(&mut as_nobody()).must_end(4);
    must_say(&refused, "Permission denied");
    assert_eq!(stage.stat("writes"), 0);

    may(&place, 0o700);
    let mut going = stage.start(&mut as_nobody());
    await_exposed(&stage, &oracle, &mut going);
    let folders = [journal.join("runs"), journal.join("checkpoint"), journal.clone()];
    folders.iter().for_each(|folder| may(folder, 0o000));
    let ran = going.wait();
    must_be_true(&stage, &oracle, &ran, Slack(0));
    folders.iter().rev().for_each(|folder| may(folder, 0o700));
    let again = stage.end(&mut as_nobody());
    must_say(&again, "nothing is left to do");
    must_be_true(&stage, &oracle, &again, Slack(0));
}
