//! A million rows: resident memory while they are worked on, and how soon a killed run of a million begins to write again.
//!
//! The tenant is another process (`cutover sim`), so that only the run is measured. The run is killed after a while, in the
//! middle, and resumed. Reads `/proc`, so it works on Linux. `CUTOVER_BENCH_ROWS=100000 cargo bench --bench million_rows`
//! takes fewer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;

/// How long the first process may work before it is killed.
const WORK: Duration = Duration::from_secs(60);

fn main() -> Anyhow<()> {
    let rows = std::env::var("CUTOVER_BENCH_ROWS").unwrap_or_else(|_| "1000000".into());
    let dir = tempfile::tempdir()?;
    let mut tenant = Killed(
        program(dir.path())
            .args([
                "sim",
                "--users",
                &rows,
                "--csv",
                "people.csv",
                "--latency",
                "0",
                "--unlimited",
            ])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let url = connection(&mut tenant.0, dir.path())?;
    println!("{rows} rows");
    let (first, peak) = work(dir.path(), &url, Some(WORK))?;
    println!(
        "first write after {:.1} s, at most {peak} MB resident",
        first.as_secs_f64()
    );
    let (first, peak) = work(dir.path(), &url, Some(Duration::from_secs(10)))?;
    println!(
        "resumed: first write after {:.1} s, at most {peak} MB resident",
        first.as_secs_f64()
    );
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

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command
        .current_dir(dir)
        .env(cutover::sim::SECRET_VARIABLE, cutover::sim::CLIENT_SECRET);
    command
}

/// Waits for the tenant and keeps its connection file; answers its address.
fn connection(tenant: &mut Child, dir: &Path) -> Anyhow<String> {
    let output = tenant.stdout.take().ok_or("the tenant has no output")?;
    let mut text = String::new();
    let mut address = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line.starts_with('#') {
            continue;
        }
        text.push_str(&format!("{line}\n"));
        if let Some(url) = line.strip_prefix("login = ") {
            address = Some(url.trim_matches('"').to_owned());
            break;
        }
    }
    text.push_str("[graph.limits]\nwrites = \"1000000/1s\"\n");
    std::fs::write(dir.join("sim.toml"), text)?;
    address.ok_or_else(|| "the tenant did not tell its address".into())
}

/// Works for a while, then kills the process; answers when the first new write arrived and the peak of memory in MB.
fn work(dir: &Path, url: &str, kill_after: Option<Duration>) -> Anyhow<(Duration, u64)> {
    let writes_before = writes(url)?;
    let begun = Instant::now();
    let mut run = Killed(
        program(dir)
            .args([
                "run",
                "immutable-id",
                "people.csv",
                "--target",
                "sim.toml",
                "--progress",
                "none",
            ])
            .args(["--max-failed", "100%", "--max-stranded", "1000000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let mut first = None;
    let mut peak = 0;
    while run.0.try_wait()?.is_none()
        && kill_after.is_none_or(|after| first.is_none() || begun.elapsed() < after)
    {
        peak = peak.max(resident_mb(run.0.id()));
        if first.is_none() && writes(url)? > writes_before {
            first = Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((first.ok_or("the run wrote nothing")?, peak))
}

fn resident_mb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}

fn writes(url: &str) -> Anyhow<u64> {
    // An error says that a provider is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stats: serde_json::Value =
        runtime.block_on(async { reqwest::get(format!("{url}/sim/stats")).await?.json().await })?;
    Ok(stats["writes"].as_u64().unwrap_or(0))
}
