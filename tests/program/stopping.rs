//! Stopping and starting: one signal brings everybody to safety first, two stop at once, too many failures stop the run; after
//! each of them the run can be gone on with. A run against a tenant begins only once somebody agreed to it, and one that does not
//! begin leaves nothing behind.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Ran, Stage, calm, environment, slow, tools};
use cutover::sim::Options;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A few hundred rows at this pace take seconds, so that a signal meets the process at work.
const SLOW_WRITES: &str = "60/1s";

/// At this pace and with so many rows in flight draining alone takes seconds.
const CRAWLING_WRITES: &str = "10/1s";
const MANY_IN_FLIGHT: [&str; 2] = ["--concurrency", "20"];

const POLL: Duration = Duration::from_millis(5);

/// A process at work, slow enough to be met.
fn at_work(writes: &str, options: &[&str]) -> (Stage, Oracle, Going) {
    at_work_on(slow(200, 10), writes, options)
}

fn at_work_on(tenant: Options, writes: &str, options: &[&str]) -> (Stage, Oracle, Going) {
    let stage = Stage::new(tenant);
    let oracle = Oracle::look(&stage);
    stage.write("sim.toml", stage.connection(writes));
    let mut going = stage.start(&mut stage.quick_run(options));
    stage.await_writes(12, &mut going);
    (stage, oracle, going)
}

/// Signals that belong to one wish, as `timeout` sends them, in one go.
fn signal(going: &Going, signals: &[&str]) {
    let pid = going.pid();
    let kills: Vec<String> = signals.iter().map(|name| format!("kill -{name} {pid}")).collect();
    let sent = Command::new("sh").args(["-c", &kills.join("; ")]).status();
    assert!(sent.unwrap().success());
}

pub fn await_words(going: &mut Going, words: &str) {
    while !going.said().1.contains(words) {
        assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
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
    assert!(summary["outcomes"]["pending"].as_u64() > Some(0), "{summary}");
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
    let pending = lines.iter().filter(|line| line["outcome"] == "pending").count();
    assert_eq!(stage.summary()["outcomes"]["pending"], pending);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
}

/// Somebody who presses Ctrl-C until the program is gone means it, however slowly that program drains.
#[test]
fn a_second_signal_stops_at_once_and_the_journal_is_good() {
    let (stage, oracle, mut going) = at_work_on(slow(60, 10), CRAWLING_WRITES, &MANY_IN_FLIGHT);
    // Nobody who is away is back before the second signal counts.
    stage.change_latency(1_500);
    while oracle.exposed(&stage).len() < 3 {
        assert!(!going.has_ended(), "{:?}", going.said());
        std::thread::sleep(POLL);
    }
    while !going.has_ended() {
        going.interrupt();
        std::thread::sleep(Duration::from_millis(100));
    }
    let stopped = going.wait().must_end(5);
    stage.change_latency(10);
    assert!(stopped.stdout.contains("twice"), "{}", stopped.stdout);
    assert!(stopped.complaint().contains("stopping now: SIGINT received twice"), "{}", stopped.stderr);
    let ran = stage.go_on_as_told(&stopped);
    must_be_true(&stage, &oracle, &ran, Slack(2));
}

#[test]
fn too_many_failures_stop_the_run_and_it_can_go_on() {
    let stage = Stage::new(calm(400));
    let oracle = Oracle::look(&stage);
    let stopped = stage.end(&mut stage.hasty_run(&["--max-failed", "2", "--concurrency", "20"])).must_end(4);
    assert!(stopped.stdout.contains("--max-failed 2"), "{}", stopped.stdout);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
    let summary = stage.summary();
    assert_eq!(summary["state"], "stopped");
    assert!(summary["outcomes"]["pending"].as_u64() > Some(0), "{summary}");
    let ran = stage.end(&mut stage.hasty_run(&["--max-failed", "100%"])).must_end(1);
    must_be_true(&stage, &oracle, &ran, Slack(0));
    assert_eq!(stage.summary()["run"], summary["run"]);
}

#[test]
fn a_hangup_a_quit_and_a_termination_drain_like_an_interrupt() {
    for name in ["HUP", "QUIT", "TERM"] {
        let (stage, oracle, going) = at_work(SLOW_WRITES, &[]);
        signal(&going, &[name]);
        let stopped = going.wait().must_end(3);
        assert_eq!(oracle.exposed(&stage), Vec::<String>::new(), "{name}");
        let reason = format!("SIG{name} received");
        assert!(stopped.stdout.contains(&reason), "{}", stopped.stdout);
        assert!(stopped.stderr.contains("Ctrl-C again"), "{}", stopped.stderr);
    }
}

#[test]
fn signals_that_come_together_are_one() {
    let (stage, oracle, going) = at_work(CRAWLING_WRITES, &MANY_IN_FLIGHT);
    signal(&going, &["TERM", "TERM", "CONT", "INT", "HUP"]);
    let stopped = going.wait().must_end(3);
    assert!(!stopped.stdout.contains("twice"), "{}", stopped.stdout);
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn no_core_image_is_written() {
    let (_stage, _oracle, going) = at_work(SLOW_WRITES, &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", going.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(words, ["0", "0"]);
    going.kill();
}

/// A connection file for a port of this machine on which nobody listens.
fn nobody(scheme: &str, stage: &Stage) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    let here = stage.simulator().url();
    stage.connection("100000/1s").replace(&here, &url)
}

#[test]
fn a_target_that_does_not_answer_is_named_and_the_wait_ends_when_told_to() {
    let stage = Stage::new(calm(5));
    for name in ["INT", "TERM"] {
        stage.write("down.toml", nobody("http", &stage));
        let mut line = stage.cutover(&["run", "immutable-id", "people.csv", "--target", "down.toml"]);
        let mut going = stage.start(&mut line);
        await_words(&mut going, "connecting to ");
        signal(&going, &[name]);
        let stopped = going.wait().must_end(3);
        let words = stopped.complaint();
        for part in [
            "connection refused; retrying until",
            &format!("SIG{name} received while waiting for"),
            "nothing was changed",
        ] {
            assert!(words.contains(part), "{part:?} is not in {words}");
        }
    }
    assert_eq!(stage.runs(), Vec::<serde_json::Value>::new());
    assert!(!stage.path("cutover-report").exists());
    let ran = stage.end(&mut stage.run_line());
    assert!(!ran.stderr.contains("going on"), "{}", ran.stderr);
}

/// Faults of reads alone: the target answers now and then, and the checks before the run come to nothing.
#[test]
fn a_target_that_stays_silent_ends_the_wait_with_advice_for_a_read() {
    let stage = Stage::new(calm(5));
    let down = nobody("http", &stage).replacen("[graph]\n", "[graph]\npatience = \"2s\"\n", 1);
    stage.write("down.toml", down);
    let mut line = stage.cutover(&["run", "immutable-id", "people.csv", "--target", "down.toml"]);
    let words = stage.end(&mut line).must_end(4).complaint();
    assert!(words.contains("did not reply for 2 s: connection refused"), "{words}");
    assert!(words.contains("nothing was changed"), "{words}");
    assert!(!words.contains("find out whether"), "{words}");
    assert_eq!(stage.runs(), Vec::<serde_json::Value>::new());
}

#[test]
fn without_a_terminal_a_real_tenant_wants_a_yes_beforehand() {
    let stage = Stage::new(calm(5));
    stage.write("real.toml", nobody("https", &stage));
    let line = ["run", "immutable-id", "people.csv", "--target", "real.toml"];
    let refused = stage.end(&mut stage.cutover(&line)).must_end(2);
    assert!(refused.complaint().contains("--yes"), "{}", refused.stderr);
    assert_eq!(stage.runs(), Vec::<serde_json::Value>::new());
    let mut going = stage.start(stage.cutover(&line).arg("--yes"));
    await_words(&mut going, "connecting to ");
    signal(&going, &["INT"]);
    going.wait().must_end(3);
}

/// A command on a terminal of its own, which `script` of util-linux makes: what it shows goes into a file, what is typed comes
/// from a pipe.
struct Terminal {
    script: Child,
    shown: PathBuf,
}

impl Terminal {
    fn start(stage: &Stage, command: &Command) -> Terminal {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
        let shown = stage.path("shown");
        let mut script = environment::around(command, "script");
        script.env("TERM", "xterm");
        script.args([
            "--quiet",
            "--return",
            "--command",
            // A shell that stays between ends by the signal itself, whatever the command makes of it.
            &format!("exec {}", words.join(" ")),
            "/dev/null",
        ]);
        script.stdin(Stdio::piped()).stdout(File::create(&shown).unwrap());
        let script = script.spawn().unwrap();
        Terminal { script, shown }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.shown).unwrap()).into_owned()
    }

    fn await_question(&mut self) -> String {
        loop {
            let said = self.said();
            if said.contains(QUESTION) {
                return said;
            }
            let ended = self.script.try_wait().unwrap();
            assert!(ended.is_none(), "it ended too soon: {said}");
            std::thread::sleep(POLL);
        }
    }

    fn type_in(&mut self, text: &str) {
        let keys = self.script.stdin.as_mut().unwrap();
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
    }

    #[track_caller]
    fn must_end(mut self, codes: &[i32]) -> String {
        // The terminal stays open meanwhile: its end would be an answer.
        let keys = self.script.stdin.take();
        let code = self.script.wait().unwrap().code().unwrap();
        drop(keys);
        let said = self.said();
        assert!(codes.contains(&code), "{code}: {said}");
        said
    }
}

/// Every row has ended; whether each of them well is not looked at here.
const ENDED: [i32; 2] = [0, 1];

const QUESTION: &str = "Type yes to start";

#[test]
fn a_new_run_is_shown_and_asked_about_before_anything_is_written() {
    if !tools::succeeds(Command::new("script").arg("--version")) {
        return tools::cannot_run("`script` of util-linux is not here");
    }
    let stage = Stage::new(calm(20));
    let mut terminal = Terminal::start(&stage, &stage.run_line());
    let header = terminal.await_question();
    for part in [
        "immutable-id: ",
        "contoso.onmicrosoft.com (id ",
        "rows      20",
        "writes    at most",
        "journal   /",
        "report    /",
    ] {
        assert!(header.contains(part), "{part:?} is not in {header}");
    }
    terminal.type_in("no\n");
    let said = terminal.must_end(&[3]);
    assert!(said.contains("not answered with yes"), "{said}");

    let mut terminal = Terminal::start(&stage, &stage.run_line());
    terminal.await_question();
    terminal.type_in("\x03");
    terminal.must_end(&[3]);
    assert_eq!(stage.stat("writes"), 0);
    assert_eq!(stage.runs(), Vec::<serde_json::Value>::new());

    let mut terminal = Terminal::start(&stage, &stage.run_line());
    terminal.await_question();
    terminal.type_in("yes\n");
    let said = terminal.must_end(&ENDED);
    assert!(said.contains("(finished)"), "{said}");
    assert!(stage.stat("writes") > 0);
}

#[test]
fn nobody_is_asked_who_agreed_already() {
    if !tools::succeeds(Command::new("script").arg("--version")) {
        return tools::cannot_run("`script` of util-linux is not here");
    }
    let stage = Stage::new(calm(20));
    let said = Terminal::start(&stage, &stage.run_with(&["--yes"])).must_end(&ENDED);
    assert!(said.contains("tenant    ") && !said.contains(QUESTION), "{said}");
    let mut simulated = stage.cutover(&["run", "immutable-id", "people.csv", "--target", "sim"]);
    simulated.args(["--progress", "none"]);
    let said = Terminal::start(&stage, &simulated).must_end(&ENDED);
    assert!(!said.contains(QUESTION), "{said}");

    let (stage, _, going) = at_work(SLOW_WRITES, &[]);
    going.interrupt();
    going.wait().must_end(3);
    stage.write("sim.toml", stage.connection("100000/1s"));
    let said = Terminal::start(&stage, &stage.resume_line(&[])).must_end(&ENDED);
    assert!(said.contains("tenant    ") && !said.contains(QUESTION), "{said}");
}
