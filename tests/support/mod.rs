//! What the whole-program tests share: a simulated tenant with a folder of its own, the real program as a child
//! process, and readers of what both leave behind. The tenant's own word, not the program's, is what counts.
// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod environment;
pub mod history;
pub mod oracle;
pub mod tools;

use cutover::sim::{Faults, Options, Population, SECRET_VARIABLE, ServiceLimits, Simulator, write_csv};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A child that takes longer hangs, however busy the machine is.
const CHILD_MAX: Duration = Duration::from_secs(600);

/// The shipped job, but a write, in doubt or not, is awaited no longer than a simulated tenant needs to show it.
const SHIPPED: &str = include_str!("../../jobs/immutable-id.toml");
const SHORT_DOUBT: &str = "\n[limits]\ndoubt_s = 1\nreplication_s = 3\n";

const POLL: Duration = Duration::from_millis(5);

/// The seed of every generated tenant: it has people in each situation among its first 300.
pub const TENANT_SEED: u64 = 5;

/// A tenant without latency, limits or troubles.
pub fn calm(users: u64) -> Options {
    Options {
        seed: TENANT_SEED,
        population: Population::Generated { users },
        faults: Faults::none(),
        limits: ServiceLimits::off(),
        ..Options::default()
    }
}

/// The same with a latency, so that a run takes long enough to be met while it works.
pub fn slow(users: u64, latency_ms: u64) -> Options {
    Options { faults: Faults { latency_base_ms: latency_ms, ..Faults::none() }, ..calm(users) }
}

/// A simulated tenant and a folder with `people.csv` and `sim.toml`.
pub struct Stage {
    folder: TempDir,
    runtime: Runtime,
    simulator: Simulator,
}

/// The shipped job without the refusals that come of looking ahead, so that it fails half way where it can.
fn without_foresight() -> String {
    let ahead = [
        "when = \"role_held and ",
        "when = \"wrong_id and before.anchor_holders",
        "when = \"state.deleted and before.upn_holders",
        "when = \"wrong_id and detour and before.upn_holders",
    ];
    ahead.iter().fold(SHIPPED.to_owned(), |job, refusal| {
        assert!(job.contains(refusal), "the job has no {refusal}");
        let blind = refusal.replace("when = \"", "when = \"false and ");
        job.replace(refusal, &blind)
    })
}

impl Stage {
    /// Starts the tenant; the people of a generated one are in `people.csv`.
    pub fn new(options: Options) -> Stage {
        let folder = TempDir::new().unwrap();
        let runtime = Runtime::new().unwrap();
        let users = match &options.population {
            Population::Generated { users } => Some(*users),
            Population::People(_) => None,
        };
        let seed = options.seed;
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let stage = Stage { folder, runtime, simulator };
        if let Some(users) = users {
            let mut file = File::create(stage.path("people.csv")).unwrap();
            write_csv(seed, users, &mut file).unwrap();
        }
        stage.write("quick.toml", format!("{}{SHORT_DOUBT}", without_foresight()));
        stage.write("hasty.toml", without_foresight());
        stage.write("sim.toml", stage.connection("100000/1s"));
        stage
    }

    /// The tenant.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// From the next request on every reply takes so long.
    pub fn change_latency(&self, latency_ms: u64) {
        self.simulator.change_faults(|faults| faults.latency_base_ms = latency_ms);
    }

    /// What the tenant answers to a form.
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}{path}", self.simulator.url());
        self.runtime.block_on(async {
            let sent = reqwest::Client::new().post(url).form(form).send().await;
            sent.unwrap().text().await.unwrap()
        })
    }

    /// Changes a person as another administrator would.
    pub fn change_behind_our_back(&self, id: &str, changes: &[(&str, Option<&str>)]) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", cutover::sim::CLIENT_ID),
            ("client_secret", cutover::sim::CLIENT_SECRET),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let token = self.post(&format!("/{}/oauth2/v2.0/token", cutover::sim::INITIAL_DOMAIN), &form);
        let token: Value = serde_json::from_str(&token).unwrap();
        let url = format!("{}/v1.0/users/{id}", self.simulator.url());
        let body: BTreeMap<_, _> = changes.iter().copied().collect();
        self.runtime.block_on(async {
            let client = reqwest::Client::new();
            let sent = client.patch(url).json(&body).bearer_auth(token["access_token"].as_str().unwrap());
            let reply = sent.send().await.unwrap();
            assert_eq!(reply.status().as_u16(), 204, "{}", reply.text().await.unwrap());
        });
    }

    /// A connection file with this budget of writes.
    pub fn connection(&self, writes: &str) -> String {
        let tenant = self.simulator.connection_file();
        format!("{tenant}[graph.limits]\nwrites = \"{writes}\"\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The journal's folder.
    pub fn journal(&self) -> PathBuf {
        self.path("cutover-journal")
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program in this folder, with a clean environment of its own variables.
    pub fn cutover(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.env(SECRET_VARIABLE, cutover::sim::CLIENT_SECRET);
        command
    }

    /// The usual line.
    pub fn run_line(&self) -> Command {
        self.run_with(&[])
    }

    /// The usual line and more options.
    pub fn run_with(&self, more: &[&str]) -> Command {
        let mut command = self.cutover(&["run", "immutable-id", "people.csv"]);
        command.args(WORKING).args(more);
        command
    }

    /// The same with the job that meets conflicts and roles only half way, as happens to whoever is overtaken by others.
    pub fn hasty_run(&self, more: &[&str]) -> Command {
        let mut command = self.cutover(&["run", "hasty.toml", "people.csv"]);
        command.args(WORKING).args(more);
        command
    }

    /// The same, and its doubts are short, for runs that are cut off.
    pub fn quick_run(&self, more: &[&str]) -> Command {
        let mut command = self.cutover(&["run", "quick.toml", "people.csv"]);
        command.args(WORKING).args(more);
        command
    }

    /// Going on from the journal alone.
    pub fn resume_line(&self, more: &[&str]) -> Command {
        let mut command = self.cutover(&["resume"]);
        command.args(WORKING).args(more);
        command
    }

    /// The runs that the journal has.
    pub fn runs(&self) -> Vec<Value> {
        let ran = self.end(&mut self.cutover(&["runs", "--json"]));
        let runs = ran.must_end(0).json();
        runs.as_array().unwrap().clone()
    }

    /// Starts a command that goes on in the background.
    pub fn start(&self, command: &mut Command) -> Going {
        Going::start(self.folder.path(), command)
    }

    /// The same, heard in a file of the caller's.
    pub fn start_heard(&self, command: &mut Command, heard: File) -> Going {
        let second = heard.try_clone().unwrap();
        Going::start_into(self.folder.path(), command, heard, second)
    }

    /// Runs a command to its end.
    pub fn end(&self, command: &mut Command) -> Ran {
        self.start(command).wait()
    }

    /// The command that the last line names, at full speed, in a shell as an operator would paste it.
    pub fn go_on_as_told(&self, stopped: &Ran) -> Ran {
        let last = stopped.stdout.lines().last().unwrap();
        let command = last.split_once("continue with: cutover ").unwrap().1;
        self.write("sim.toml", self.connection("100000/1s"));
        let program = env!("CARGO_BIN_EXE_cutover");
        let script = format!("'{program}' {command} --report report --progress none");
        let mut shell = environment::around(&self.cutover(&[]), "sh");
        self.end(shell.args(["-c", &script]))
    }

    /// A page of the tenant's own, by its path.
    pub fn ask(&self, path: &str) -> String {
        // An error says that a provider is in place already, which is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}{path}", self.simulator.url());
        self.runtime.block_on(async {
            let reply = reqwest::get(url).await.unwrap();
            reply.text().await.unwrap()
        })
    }

    /// The tokens that the tenant has given out.
    pub fn tokens(&self) -> Vec<String> {
        self.ask("/sim/tokens").lines().map(str::to_owned).collect()
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the tenant has counted.
    pub fn stat(&self, name: &str) -> u64 {
        let stats: Value = serde_json::from_str(&self.ask("/sim/stats")).unwrap();
        stats[name].as_u64().unwrap()
    }

    /// Waits until the tenant has made so many writes; the child that makes them must not end before.
    pub fn await_writes(&self, writes: u64, going: &mut Going) {
        while self.stat("writes") < writes {
            assert!(!going.has_ended(), "it ended too soon: {:?}", going.said());
            std::thread::sleep(POLL);
        }
    }

    /// The lines of `outcomes.csv`, by column.
    pub fn outcomes(&self) -> Vec<BTreeMap<String, String>> {
        table(&self.path("report/outcomes.csv"))
    }

    pub fn summary(&self) -> Value {
        let text = fs::read_to_string(self.path("report/summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// A number from the environment, for campaigns that are longer than a usual test.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Where everything is in a stage's folder.
pub const WORKING: [&str; 6] = ["--target", "sim.toml", "--report", "report", "--progress", "none"];

/// The program in a folder, its journal there too.
pub fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    environment::clean(&mut command);
    command.current_dir(folder).env("NO_COLOR", "1").args(arguments);
    command
}

/// Runs a command that needs no tenant.
pub fn end(folder: &Path, arguments: &[&str]) -> Ran {
    Going::start(folder, &mut program(folder, arguments)).wait()
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn must_end(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Standard error on one line, for words that may be broken over several.
    pub fn complaint(&self) -> String {
        one_line(&self.stderr)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Words that may be broken over several lines, on one.
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || "│×╰─▶├".contains(c));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A child at work. It is killed when it is dropped.
pub struct Going {
    child: Child,
    /// Files, since nobody has to empty them as one has to a pipe.
    said: TempDir,
}

impl Going {
    fn start(folder: &Path, command: &mut Command) -> Going {
        let said = TempDir::new_in(folder).unwrap();
        let file = |name: &str| File::create(said.path().join(name)).unwrap();
        let (out, err) = (file("out"), file("err"));
        Going::spawn(said, command, out, err)
    }

    fn start_into(folder: &Path, command: &mut Command, out: File, err: File) -> Going {
        let said = TempDir::new_in(folder).unwrap();
        for name in ["out", "err"] {
            File::create(said.path().join(name)).unwrap();
        }
        Going::spawn(said, command, out, err)
    }

    fn spawn(said: TempDir, command: &mut Command, out: File, err: File) -> Going {
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Going { child: command.spawn().unwrap(), said }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Standard output and standard error so far.
    pub fn said(&self) -> (String, String) {
        let read = |name: &str| fs::read(self.said.path().join(name)).unwrap();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
        (text("out"), text("err"))
    }

    /// SIGKILL: nothing can be tidied up.
    pub fn kill(mut self) -> Ran {
        self.strike();
        self.wait()
    }

    /// The same without waiting until it is gone.
    pub fn strike(&mut self) {
        // It may have ended by itself a moment ago.
        let _gone = self.child.kill();
    }

    /// SIGKILL after so long; whether it was still there to be killed.
    pub fn kill_after(mut self, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.has_ended() {
            std::thread::sleep((time.saturating_sub(begun.elapsed())).min(POLL));
        }
        let met = !self.has_ended();
        self.kill();
        met
    }

    /// SIGINT, as from a terminal.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub fn wait(mut self) -> Ran {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < CHILD_MAX, "it hangs; it said {:?}", self.said());
            std::thread::sleep(POLL);
        };
        let (stdout, stderr) = self.said();
        Ran { code: status.code(), stdout, stderr }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // After `wait` both fail, as there is no child any more.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A CSV with a header, by column, with or without a BOM.
pub fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let lines = reader.deserialize();
    lines.collect::<Result<_, _>>().unwrap()
}
