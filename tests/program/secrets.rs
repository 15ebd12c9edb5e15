//! Nothing secret is written down, whatever goes wrong and however much is logged; and what holds names of people is for
//! its owner only.

use crate::support::{Going, Ran, Stage, calm, environment, slow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cutover::sim::{CLIENT_ID, CLIENT_SECRET, Faults, Options, SECRET_VARIABLE};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// So many that the second of two processes is still at work when a third one has waited for it.
const ROWS: u64 = 300;

/// With every sort of character that an encoding would change.
const WRONG_SECRET: &str = r#"wr0ng~Secret+of/no=value & "such" %41 ü"#;

/// So that a process can be met at work.
const SLOW_WRITES: &str = "60/1s";

/// More than anybody should ever log, in a way that libraries heed, too.
const LOUD: [&str; 3] = ["-vvv", "--log", "log.json"];

/// What must not be found, and under which name to complain.
struct Needle {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    fn new(name: &str, text: &str) -> Needle {
        let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form = in_a_form(text);
        let json = serde_json::to_string(text).unwrap();
        let debug = format!("{text:?}");
        let mut forms = vec![
            text.into(),
            percent.to_lowercase(),
            percent,
            form,
            json.trim_matches('"').to_owned(),
            debug.trim_matches('"').to_owned(),
        ];
        for text in [text.to_owned(), format!("{CLIENT_ID}:{text}")] {
            forms.push(STANDARD.encode(&text));
            forms.push(URL_SAFE.encode(&text));
        }
        Needle { name: name.into(), forms: forms.into_iter().map(String::into_bytes).collect() }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| {
            let form = form.strip_suffix(b"=").unwrap_or(form);
            let form = form.strip_suffix(b"=").unwrap_or(form);
            memmem::find(bytes, form).is_some()
        })
    }
}

/// As in the body of a form.
fn in_a_form(text: &str) -> String {
    let url = reqwest::Url::parse_with_params("http://x/", [("a", text)]).unwrap();
    url.query().unwrap()["a=".len()..].to_owned()
}

/// Everything that was said and written, piece by piece.
#[derive(Default)]
struct Evidence {
    pieces: Vec<(String, Vec<u8>)>,
}

impl Evidence {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((name.into(), bytes.into()));
    }

    fn said(&mut self, name: &str, ran: &Ran) {
        self.add(format!("standard output of {name}"), ran.stdout.clone());
        self.add(format!("standard error of {name}"), ran.stderr.clone());
    }

    fn files(&mut self, folder: &Path) {
        for path in files(folder) {
            self.add(path.display().to_string(), fs::read(&path).unwrap());
        }
    }

    /// The pieces in which a needle is, but for those that may have it.
    fn with<'a>(&'a self, needle: &'a Needle, allowed: &'a [&str]) -> impl Iterator<Item = String> {
        let pieces = self
            .pieces
            .iter()
            .filter(|(name, bytes)| !allowed.iter().any(|end| name.ends_with(end)) && needle.is_in(bytes));
        pieces.map(|(name, _)| format!("{} is in {name}", needle.name))
    }
}

/// Every file and folder below one.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = tree(folder);
    found.retain(|path| path.is_file());
    found
}

/// The command lines of a process and of all that it has started, and the environment of these.
#[cfg(target_os = "linux")]
fn process_list(evidence: &mut Evidence, pid: u32) {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let line = fs::read(proc.join("cmdline")).unwrap();
    assert!(line.starts_with(env!("CARGO_BIN_EXE_cutover").as_bytes()));
    evidence.add("the process list", line);
    let children = fs::read_dir(proc.join("task")).unwrap().flat_map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("children"));
        let pids = text.unwrap_or_default();
        let pids: Vec<u32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        pids
    });
    for child in children {
        for file in ["cmdline", "environ"] {
            // It may have ended meanwhile.
            if let Ok(bytes) = fs::read(format!("/proc/{child}/{file}")) {
                evidence.add(format!("{file} of a child"), bytes);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn process_list(_evidence: &mut Evidence, _pid: u32) {}

fn troubled() -> Options {
    Options {
        faults: Faults {
            latency_base_ms: 10,
            error_before: 0.03,
            error_after: 0.03,
            drop_before: 0.03,
            drop_after: 0.03,
            throttle: 0.005,
            expire_token: 0.005,
            ..Faults::none()
        },
        token_life_s: 1,
        ..calm(ROWS)
    }
}

/// The same connection with its secret from elsewhere.
fn connection(stage: &Stage, secret: &str) -> String {
    let text = stage.connection(SLOW_WRITES);
    let usual = format!("{{ env = \"{SECRET_VARIABLE}\" }}");
    assert!(text.contains(&usual));
    text.replace(&usual, secret)
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn control_token(stage: &Stage) -> String {
    let holder = fs::read(stage.journal().join("holder.json")).unwrap();
    let holder: Value = serde_json::from_slice(&holder).unwrap();
    holder["control"]["token"].as_str().unwrap().to_owned()
}

/// A process at work that is asked everything, then killed. Its control token.
fn met_at_work(stage: &Stage, evidence: &mut Evidence, mut going: Going) -> String {
    stage.await_writes(stage.stat("writes") + 20, &mut going);
    process_list(evidence, going.pid());
    let token = control_token(stage);
    for command in ["status", "runs", "report"] {
        let ran = stage.end(stage.cutover(&[command]).args(LOUD));
        evidence.said(command, &ran);
    }
    let second = stage.end(stage.quick_run(&LOUD).env(SECRET_VARIABLE, CLIENT_SECRET));
    evidence.said("a second process", &second.must_end(2));
    evidence.files(&stage.journal());
    evidence.said("the killed one", &going.kill());
    token
}

#[test]
fn nothing_secret_is_written_down_in_a_whole_faulty_run() {
    let stage = Stage::new(troubled());
    let mut evidence = Evidence::default();
    let mut controls = Vec::new();
    let loud = |mut command: Command| {
        command.args(LOUD).env("RUST_LOG", "trace");
        command
    };

    // A secret where it must not be, a wrong one from either place.
    let inline = connection(&stage, &toml(WRONG_SECRET));
    stage.write("sim.toml", inline);
    evidence.said("an inline secret", &stage.end(&mut loud(stage.quick_run(&[]))).must_end(2));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut line = loud(stage.quick_run(&[]));
    line.env(SECRET_VARIABLE, WRONG_SECRET);
    let refused = stage.end(&mut line).must_end(2);
    assert!(refused.complaint().contains("AADSTS7000215"), "{}", refused.stderr);
    evidence.said("a wrong secret", &refused);
    stage.write("sim.toml", connection(&stage, "{ file = \"secret\" }"));
    let secret = stage.write("secret", WRONG_SECRET);
    private(&secret);
    let mut line = loud(stage.quick_run(&[]));
    line.env_remove(SECRET_VARIABLE);
    evidence.said("a wrong secret in a file", &stage.end(&mut line).must_end(2));

    // The run: its secret from a file until the kill, then from the environment until another, then to the end.
    stage.write("secret", format!("{CLIENT_SECRET}\n"));
    let mut line = loud(stage.quick_run(&[]));
    line.env_remove(SECRET_VARIABLE);
    let going = stage.start(&mut line);
    controls.push(met_at_work(&stage, &mut evidence, going));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut line = stage.resume_line(&["--log", "log.json"]);
    line.env("CUTOVER_LOG", "trace");
    let going = stage.start(&mut line);
    controls.push(met_at_work(&stage, &mut evidence, going));
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut loud(stage.resume_line(&["--max-failed", "100%"])));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    evidence.said("the last one", &ran);
    evidence.said("report", &stage.end(&mut loud(stage.cutover(&["report"]))).must_end(0));
    evidence.files(stage.folder());

    must_be_loud(&stage);
    let tokens = stage.tokens();
    assert!(tokens.len() > 3, "{tokens:?}");
    let mut found = Vec::new();
    let secrets = [Needle::new("the client secret", CLIENT_SECRET), Needle::new("a wrong client secret", WRONG_SECRET)];
    for secret in &secrets {
        found.extend(evidence.with(secret, &["/secret"]));
    }
    for token in &tokens {
        let (_, random) = token.rsplit_once('.').unwrap();
        found.extend(evidence.with(&Needle::new("a token", random), &[]));
    }
    for control in &controls {
        let needle = Needle::new("a control token", control);
        found.extend(evidence.with(&needle, &["/holder.json"]));
        let seen = evidence.with(&needle, &[]).count();
        assert!(seen > 0, "the search must find it in holder.json");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(evidence.with(&secrets[0], &[]).count(), 1, "the search must find the secret's file");
}

fn toml(text: &str) -> String {
    format!("'{text}'")
}

/// The libraries below have had their say.
fn must_be_loud(stage: &Stage) {
    let log = fs::read_to_string(stage.path("log.json")).unwrap();
    for target in ["hyper", "reqwest", "cutover"] {
        let target = format!("\"target\":\"{target}");
        let is_low = |line: &str| line.contains("\"TRACE\"") || line.contains("\"DEBUG\"");
        let traced = log.lines().any(|line| is_low(line) && line.contains(&target));
        assert!(traced, "{target} said nothing");
    }
}

/// A command line under the most generous umask there is.
fn generous(command: &Command) -> Command {
    let mut shell = environment::around(command, "sh");
    shell.args(["-c", "umask 000; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

#[track_caller]
fn must_be_private(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
}

#[test]
fn what_a_run_leaves_is_for_its_owner_only() {
    let stage = Stage::new(slow(60, 4));
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut generous(&stage.quick_run(&["--log", "log.json"])));
    stage.await_writes(10, &mut going);
    for path in tree(&stage.journal()) {
        must_be_private(&path);
    }
    going.kill();
    // A checkpoint that is set aside stays in the journal.
    for path in files(&stage.journal().join("checkpoint")) {
        fs::write(path, "no database").unwrap();
    }
    let ran = stage.end(&mut generous(&stage.quick_run(&[])));
    assert!(ran.stderr.contains("set aside"), "{}", ran.stderr);
    // The tenant inside the process keeps its people there, too.
    let mut simulated = stage.cutover(&["run", "quick.toml", "people.csv", "--target", "sim"]);
    simulated.args(["--progress", "none", "--report", "simulated", "--fresh"]);
    stage.end(&mut generous(&simulated));
    let mut seen = vec![stage.journal(), stage.path("log.json")];
    for name in ["cutover-journal", "report", "simulated"] {
        seen.push(stage.path(name));
        seen.extend(tree(&stage.path(name)));
    }
    for path in &seen {
        must_be_private(path);
    }
    let has = |name: &str| seen.iter().any(|path| path.ends_with(name));
    for name in ["checkpoint/db", "checkpoint.damaged-1/db", "lock", "report/outcomes.csv"] {
        assert!(has(name), "{name} is not there to be looked at");
    }
    assert!(stage.journal().join("sim").is_dir());
}

#[test]
fn what_others_can_read_or_write_is_named() {
    let stage = Stage::new(calm(2));
    stage.write("sim.toml", connection(&stage, "{ file = \"secret\" }"));
    let files = [stage.path("sim.toml"), stage.write("secret", CLIENT_SECRET)];
    let warned = |modes: [u32; 2]| {
        for (path, mode) in files.iter().zip(modes) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let ran = stage.end(&mut stage.run_line());
        ["connection file `sim.toml`", "secret file `secret`"].map(|name| ran.stderr.contains(name))
    };
    assert_eq!(warned([0o600, 0o600]), [false, false]);
    assert_eq!(warned([0o400, 0o640]), [false, true]);
    assert_eq!(warned([0o604, 0o400]), [true, false]);
    assert_eq!(warned([0o622, 0o666]), [true, true]);
}

/// A listener that keeps what it is sent, as a proxy would, and never answers well.
fn proxy() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut bytes = [0; 4096];
            let count = connection.read(&mut bytes).unwrap_or(0);
            keep.lock().unwrap().extend_from_slice(&bytes[..count]);
            let _gone = connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (address, heard)
}

fn through(mut command: Command, proxy: &str) -> Command {
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    command
}

#[test]
fn what_is_said_on_this_machine_goes_through_no_proxy() {
    let stage = Stage::new(slow(300, 4));
    let (proxy, heard) = proxy();
    stage.write("sim.toml", stage.connection(SLOW_WRITES));
    let mut going = stage.start(&mut through(stage.quick_run(&[]), &proxy));
    stage.await_writes(10, &mut going);
    for line in [&["status"][..], &["runs"], &["report"], &["pause"], &["continue"], &["pace", "50/s"], &["drain"]] {
        stage.end(&mut through(stage.cutover(line), &proxy)).must_end(0);
    }
    going.wait().must_end(3);
    assert_eq!(heard.lock().unwrap().len(), 0);
    // The login alone is on this machine, and the service elsewhere.
    let connection = stage.connection(SLOW_WRITES);
    let endpoint = format!("endpoint = \"{}", stage.simulator().url());
    assert!(connection.contains(&endpoint), "{connection}");
    let elsewhere = connection.replace(&endpoint, "endpoint = \"https://graph.example.test");
    stage.write("sim.toml", elsewhere);
    let tokens = stage.stat("tokens");
    let doctor = stage.cutover(&["doctor", "--target", "sim.toml"]);
    stage.end(&mut through(doctor, &proxy));
    assert!(stage.stat("tokens") > tokens, "the sign-in came");
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(heard.starts_with("CONNECT graph.example.test"), "{heard}");
    assert!(!heard.contains("/token"), "{heard}");
}

#[test]
fn a_planted_link_is_not_followed_and_an_open_journal_is_told() {
    let stage = Stage::new(calm(5));
    let victim = stage.write("victim", "as it was");
    for (folder, names) in [
        ("report", &["outcomes.csv.part", "summary.json.part", "outcomes.csv"][..]),
        ("cutover-journal", &["holder.json.new", "holder.json"]),
    ] {
        fs::create_dir(stage.path(folder)).unwrap();
        fs::set_permissions(stage.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
        for name in names {
            std::os::unix::fs::symlink(&victim, stage.path(folder).join(name)).unwrap();
        }
    }
    let ran = stage.end(&mut stage.run_line());
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
    let complaint = ran.complaint();
    assert!(complaint.contains("chmod 700"), "{complaint}");
}
