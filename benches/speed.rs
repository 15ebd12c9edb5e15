//! The figures that speed is judged by, each next to its anchor in the same run, so that a busy machine slows both.
//!
//! The tenant is a process of its own (`cutover sim`). The bare loop sends what one changed federated person takes and nothing else:
//! one read, four writes, one verifying read, 64 people in flight, no journal. Reads `/proc`, so it works on Linux.
//!
//!     cargo bench --bench speed                       every part, small enough for two minutes each
//!     cargo bench --bench speed -- people check       these parts
//!     CUTOVER_BENCH=full cargo bench --bench speed    100,000 people, a million rows
//!     CUTOVER_BENCH_PROGRAM=/path/to/cutover …        another build of the program

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

type Anyhow<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const IN_FLIGHT: usize = 64;
// The simulated tenant, as `cutover sim` shows it.
const TENANT: &str = "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de";
const CLIENT_ID: &str = "51a1a7ed-0000-4000-8000-00000000a99b";
const SECRET: &str = "simulated-secret-of-no-value";
const SELECT: &str = "$select=id,userPrincipalName,onPremisesImmutableId,onPremisesSyncEnabled";
const POLL: Duration = Duration::from_millis(10);
/// What `/proc` counts CPU time in.
const TICKS_PER_S: f64 = 100.0;

/// How much is measured.
struct Size {
    people: usize,
    people_at_50_ms: usize,
    exposed: usize,
    check_rows: usize,
    rows: usize,
    /// How long a run of so many rows works before it is killed.
    work: Duration,
}

const SMALL: Size = Size {
    people: 5_000,
    people_at_50_ms: 3_000,
    exposed: 250,
    check_rows: 200_000,
    rows: 200_000,
    work: Duration::from_secs(20),
};
const FULL: Size = Size {
    people: 100_000,
    people_at_50_ms: 20_000,
    exposed: 1_000,
    check_rows: 1_000_000,
    rows: 1_000_000,
    work: Duration::from_secs(60),
};

type Part = fn(&Size) -> Anyhow<()>;
const PARTS: [(&str, Part); 5] = [
    ("people", |size| people(size.people, 0)),
    ("latency", |size| people(size.people_at_50_ms, 50)),
    ("exposure", |size| exposure(size.exposed)),
    ("check", |size| check(size.check_rows)),
    ("rows", |size| many_rows(size.rows, size.work)),
];

fn main() -> Anyhow<()> {
    // An error says that a provider is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = wanted.iter().filter(|word| !word.starts_with("--")).collect();
    let is_full = std::env::var("CUTOVER_BENCH").is_ok_and(|size| size == "full");
    let size = if is_full { FULL } else { SMALL };
    println!("{:<44} {:>12} {:>12} {:>8}", "figure", "cutover", "anchor", "ratio");
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            part(&size)?;
        }
    }
    Ok(())
}

fn beside(figure: &str, ours: f64, anchor: f64) {
    println!("{figure:<44} {ours:>12.2} {anchor:>12.2} {:>8.2}", ours / anchor);
}

fn alone(figure: &str, ours: f64) {
    println!("{figure:<44} {ours:>12.2}");
}

/// People a second, requests, CPU time and memory, next to the bare loop on the same tenant.
fn people(people: usize, latency_ms: u64) -> Anyhow<()> {
    let tenant = Tenant::start(&["--users", "10"], latency_ms)?;
    tenant.in_parallel(0..2 * people, Step::Create)?;
    let (begun, cpu) = (Instant::now(), cpu_s("self")?);
    tenant.in_parallel(0..people, Step::Change)?;
    let (bare_s, bare_cpu) = (begun.elapsed().as_secs_f64(), cpu_s("self")? - cpu);

    tenant.limit_writes("1000000/1s")?;
    tenant.write_people(people..2 * people)?;
    let before = tenant.stats()?;
    let ran = tenant.run()?.wait_for_end()?;
    let after = tenant.stats()?;
    let each = |name: &str| count(&after, name).saturating_sub(count(&before, name)) as f64 / people as f64;
    let per_s = |seconds: f64| people as f64 / seconds;
    let at = format!("{people} people at {latency_ms} ms");
    beside(&format!("{at}: people/s"), per_s(ran.seconds), per_s(bare_s));
    beside(&format!("{at}: reads a person"), each("reads"), 2.0);
    beside(&format!("{at}: writes a person"), each("writes"), 4.0);
    let per_person_ms = 1_000.0 / people as f64;
    beside(&format!("{at}: CPU ms a person"), ran.cpu_s * per_person_ms, bare_cpu * per_person_ms);
    alone(&format!("{at}: resident MB"), ran.resident_mb);
    Ok(())
}

/// How long people are away. Each makes four requests between the first write and the one that brings them back.
fn exposure(people: usize) -> Anyhow<()> {
    let latency_ms = 200;
    let tenant = Tenant::start(&["--users", "10"], latency_ms)?;
    tenant.in_parallel(0..people, Step::Create)?;
    tenant.limit_writes("20/1s")?;
    tenant.write_people(0..people)?;
    tenant.run()?.wait_for_end()?;
    let summary = std::fs::read(tenant.path("report/summary.json"))?;
    let summary: Value = serde_json::from_slice(&summary)?;
    let least_s = 3.0 * latency_ms as f64 / 1_000.0;
    for percentile in ["p50", "p99"] {
        let ms = summary["exposed_ms"][percentile].as_f64().ok_or("the summary tells no exposure")?;
        beside(&format!("{people} people at 20/s, 200 ms: exposed {percentile}, s"), ms / 1_000.0, least_s);
    }
    Ok(())
}

/// Rows a second that are checked, next to a plain loop over the records.
fn check(rows: usize) -> Anyhow<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("people.csv");
    std::fs::write(&file, people_csv(0..rows)?)?;
    let begun = Instant::now();
    let mut reader = csv::Reader::from_path(&file)?;
    let mut record = csv::StringRecord::new();
    let mut cells = 0;
    while reader.read_record(&mut record)? {
        cells += record.len();
    }
    let bare_s = begun.elapsed().as_secs_f64();
    assert_eq!(cells, rows * 2);
    let begun = Instant::now();
    let status = program(folder.path(), &["check", "immutable-id", "people.csv"]).status()?;
    let ours_s = begun.elapsed().as_secs_f64();
    assert!(status.success(), "check ended with {status}");
    beside(&format!("check {rows} rows: rows/s"), rows as f64 / ours_s, rows as f64 / bare_s);
    Ok(())
}

/// A long run: its first write, its memory, `status`, and the first write after a kill.
fn many_rows(rows: usize, work: Duration) -> Anyhow<()> {
    let tenant = Tenant::start(&["--users", &rows.to_string(), "--csv", "people.csv"], 0)?;
    tenant.limit_writes("1000000/1s")?;
    let at = format!("{rows} rows");
    let mut fresh = tenant.run()?;
    alone(&format!("{at}: fresh run, s to the first write"), fresh.first_write_s(&tenant)?);
    fresh.work_for(work)?;
    alone(&format!("{at}: status of the live run, s"), tenant.status_s()?);
    let killed = fresh.kill()?;
    alone(&format!("{at}: resident MB"), killed.resident_mb);
    alone(&format!("{at}: status after the kill, s"), tenant.status_s()?);
    let mut resumed = tenant.run()?;
    alone(&format!("{at}: resumed, s to the first write"), resumed.first_write_s(&tenant)?);
    resumed.work_for(work / 4)?;
    alone(&format!("{at}: resumed, resident MB"), resumed.kill()?.resident_mb);
    Ok(())
}

/// A process that does not outlive the benchmark.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A run at work.
struct Run {
    process: Killed,
    begun: Instant,
    writes_before: u64,
    cpu_s: f64,
    resident_mb: f64,
}

/// What a run took.
struct Taken {
    seconds: f64,
    cpu_s: f64,
    resident_mb: f64,
}

impl Run {
    /// Looks at the process; whether it still works.
    fn look(&mut self) -> Anyhow<bool> {
        let pid = self.process.0.id().to_string();
        // It may have ended a moment ago: what was seen last counts then.
        self.cpu_s = cpu_s(&pid).unwrap_or(self.cpu_s);
        self.resident_mb = self.resident_mb.max(resident_max_mb(&pid));
        Ok(self.process.0.try_wait()?.is_none())
    }

    fn taken(&self) -> Taken {
        Taken { seconds: self.begun.elapsed().as_secs_f64(), cpu_s: self.cpu_s, resident_mb: self.resident_mb }
    }

    fn wait_for_end(mut self) -> Anyhow<Taken> {
        while self.look()? {
            std::thread::sleep(POLL);
        }
        let status = self.process.0.wait()?;
        assert!(status.success(), "cutover ended with {status}");
        Ok(self.taken())
    }

    fn first_write_s(&mut self, tenant: &Tenant) -> Anyhow<f64> {
        while count(&tenant.stats()?, "writes") == self.writes_before {
            assert!(self.look()?, "the run ended before it wrote");
            std::thread::sleep(POLL);
        }
        Ok(self.begun.elapsed().as_secs_f64())
    }

    fn work_for(&mut self, time: Duration) -> Anyhow<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert!(self.look()?, "the run ended too soon");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn kill(mut self) -> Anyhow<Taken> {
        self.look()?;
        Ok(self.taken())
    }
}

/// A simulated tenant, and a folder to run in.
struct Tenant {
    folder: TempDir,
    _process: Killed,
    runtime: Runtime,
    connection: String,
    url: String,
}

impl Tenant {
    fn start(options: &[&str], latency_ms: u64) -> Anyhow<Tenant> {
        let folder = tempfile::tempdir()?;
        let latency = latency_ms.to_string();
        let mut command = program(folder.path(), &["sim", "--unlimited", "--latency", &latency]);
        let mut process = Killed(command.args(options).stdout(Stdio::piped()).spawn()?);
        let output = process.0.stdout.take().ok_or("the tenant has no output")?;
        let mut connection = String::new();
        for line in BufReader::new(output).lines() {
            let line = line?;
            writeln!(connection, "{line}")?;
            if let Some(url) = line.strip_prefix("login = ") {
                let url = url.trim_matches('"').to_owned();
                let runtime = Runtime::new()?;
                return Ok(Tenant { folder, _process: process, runtime, connection, url });
            }
        }
        Err("the tenant did not tell its address".into())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn limit_writes(&self, rate: &str) -> Anyhow<()> {
        let limits = format!("[graph.limits]\nwrites = \"{rate}\"\n");
        Ok(std::fs::write(self.path("sim.toml"), self.connection.clone() + &limits)?)
    }

    fn write_people(&self, people: std::ops::Range<usize>) -> Anyhow<()> {
        Ok(std::fs::write(self.path("people.csv"), people_csv(people)?)?)
    }

    fn run(&self) -> Anyhow<Run> {
        let writes_before = count(&self.stats()?, "writes");
        let mut command = program(self.folder.path(), &["run", "immutable-id", "people.csv", "--target", "sim.toml"]);
        command.args(["--report", "report", "--progress", "none", "--max-failed", "100%", "--max-stranded", "1000000"]);
        Ok(Run {
            begun: Instant::now(),
            process: Killed(command.spawn()?),
            writes_before,
            cpu_s: 0.0,
            resident_mb: 0.0,
        })
    }

    fn status_s(&self) -> Anyhow<f64> {
        let begun = Instant::now();
        let status = program(self.folder.path(), &["status"]).status()?;
        // 5: the run was killed with somebody exposed.
        assert!(matches!(status.code(), Some(0 | 5)), "status ended with {status}");
        Ok(begun.elapsed().as_secs_f64())
    }

    fn stats(&self) -> Anyhow<Value> {
        let url = format!("{}/sim/stats", self.url);
        self.runtime.block_on(async { Ok(reqwest::get(url).await?.json().await?) })
    }

    fn in_parallel(&self, people: std::ops::Range<usize>, step: Step) -> Anyhow<()> {
        self.runtime.block_on(in_parallel(&self.url, people, step))
    }
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let path = std::env::var_os("CUTOVER_BENCH_PROGRAM");
    let mut command = Command::new(path.unwrap_or_else(|| env!("CARGO_BIN_EXE_cutover").into()));
    command.current_dir(folder).args(arguments).env("CUTOVER_SIM_SECRET", SECRET);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn count(stats: &Value, name: &str) -> u64 {
    stats[name].as_u64().unwrap_or_default()
}

fn cpu_s(process: &str) -> Anyhow<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before it may have blanks; user and system time are the 14th and 15th field of all.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_S)
}

fn resident_max_mb(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1_024.0
}

fn upn(at: usize, domain: &str) -> String {
    format!("person{at:07}@{domain}")
}

fn people_csv(people: std::ops::Range<usize>) -> Anyhow<String> {
    let mut csv = String::from("upn,object_guid\n");
    for at in people {
        writeln!(csv, "{},5c0de000-0000-4000-8000-{at:012x}", upn(at, "contoso.com"))?;
    }
    Ok(csv)
}

#[derive(Clone, Copy)]
enum Step {
    Create,
    Change,
}

/// One person after the other, so many of them at once.
async fn in_parallel(url: &str, people: std::ops::Range<usize>, step: Step) -> Anyhow<()> {
    let graph = Arc::new(Graph::sign_in(url).await?);
    let next = Arc::new(AtomicUsize::new(people.start));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (graph, next, end) = (Arc::clone(&graph), Arc::clone(&next), people.end);
        tasks.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= end {
                    return Anyhow::Ok(());
                }
                match step {
                    Step::Create => graph.create(at).await?,
                    Step::Change => graph.change(at).await?,
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// A bare client.
struct Graph {
    client: reqwest::Client,
    users: String,
    token: String,
}

impl Graph {
    async fn sign_in(url: &str) -> Anyhow<Graph> {
        let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
        let form = [
            ("client_id", CLIENT_ID),
            ("client_secret", SECRET),
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let login = format!("{url}/{TENANT}/oauth2/v2.0/token");
        let reply = client.post(login).form(&form).send().await?.error_for_status()?;
        let reply: Value = reply.json().await?;
        let token = reply["access_token"].as_str().ok_or("no token")?.to_owned();
        Ok(Graph { client, users: format!("{url}/v1.0/users"), token })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Anyhow<Vec<u8>> {
        let reply = request.bearer_auth(&self.token).send().await?.error_for_status()?;
        Ok(reply.bytes().await?.into())
    }

    async fn create(&self, at: usize) -> Anyhow<()> {
        let body = json!({
            "accountEnabled": true,
            "displayName": format!("Person {at}"),
            "mailNickname": format!("person{at:07}"),
            "userPrincipalName": upn(at, "contoso.com"),
            "onPremisesImmutableId": format!("AAAAAAAAAAAAAAAA{at:08}"),
            "passwordProfile": {"password": "not-a-real-one-1", "forceChangePasswordNextSignIn": false},
        });
        self.send(self.client.post(&self.users).json(&body)).await?;
        Ok(())
    }

    /// Away, cleared, set, home.
    async fn change(&self, at: usize) -> Anyhow<()> {
        let person = format!("{}/{}?{SELECT}", self.users, upn(at, "contoso.com"));
        let person: Value = serde_json::from_slice(&self.send(self.client.get(person)).await?)?;
        let person = format!("{}/{}", self.users, person["id"].as_str().ok_or("no id")?);
        for body in [
            json!({"userPrincipalName": upn(at, "contoso.onmicrosoft.com")}),
            json!({"onPremisesImmutableId": null}),
            json!({"onPremisesImmutableId": format!("BBBBBBBBBBBBBBB{at:07}==")}),
            json!({"userPrincipalName": upn(at, "contoso.com")}),
        ] {
            self.send(self.client.patch(&person).json(&body)).await?;
        }
        self.send(self.client.get(format!("{person}?{SELECT}"))).await?;
        Ok(())
    }
}
