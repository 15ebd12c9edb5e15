//! People a second, beside a bare loop: the same requests to the same simulated tenant, once by a plain reqwest loop with 64 in
//! flight and no journal, once by the real binary with its journal.
//!
//! Each person is live in a managed domain with an old ImmutableID: one read, two writes, one verifying read. Prints both
//! rates and their ratio for a tenant that answers at once and for one with 50 ms latency.
//! `CUTOVER_BENCH_PEOPLE=20000 cargo bench --bench throughput` takes more people.

use cutover::sim::{
    CLIENT_ID, CLIENT_SECRET, Faults, Options, Population, SECRET_VARIABLE, ServiceLimits,
    Simulator, TENANT_ID,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 64;
const OLD: &str = "AAAAAAAAAAAAAAAA";

type Anyhow<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Anyhow<()> {
    let people = std::env::var("CUTOVER_BENCH_PEOPLE")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4_000);
    // An error says that a provider is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    println!(
        "{:<12} {:>12} {:>12} {:>8}",
        "latency", "bare /s", "cutover /s", "ratio"
    );
    for latency_ms in [0, 50] {
        let bare = measure(people, latency_ms, bare_loop)?;
        let ours = measure(people, latency_ms, cutover)?;
        println!(
            "{:<12} {bare:>12.0} {ours:>12.0} {:>7.0}%",
            format!("{latency_ms} ms"),
            100.0 * ours / bare
        );
    }
    Ok(())
}

/// People a second for one way of doing it, on a tenant of its own.
fn measure(
    people: usize,
    latency_ms: u64,
    way: fn(&Simulator, usize) -> Anyhow<Duration>,
) -> Anyhow<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let simulator = runtime.block_on(Simulator::start(Options {
        population: Population::Generated { users: 10 },
        limits: ServiceLimits::off(),
        faults: Faults {
            latency_base_ms: latency_ms,
            ..Faults::none()
        },
        ..Options::default()
    }))?;
    runtime.block_on(in_parallel(&simulator, people, Step::Create))?;
    let taken = way(&simulator, people)?;
    runtime.block_on(simulator.stop());
    Ok(people as f64 / taken.as_secs_f64())
}

fn upn(at: usize) -> String {
    format!("person{at:07}@fabrikam.com")
}

fn guid(at: usize) -> String {
    format!("5c0de000-0000-4000-8000-{at:012x}")
}

#[derive(Clone, Copy)]
enum Step {
    Create,
    Change,
}

fn bare_loop(simulator: &Simulator, people: usize) -> Anyhow<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let begun = Instant::now();
    runtime.block_on(in_parallel(simulator, people, Step::Change))?;
    Ok(begun.elapsed())
}

async fn in_parallel(simulator: &Simulator, people: usize, step: Step) -> Anyhow<()> {
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let root = simulator.url();
    let form = [
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", &format!("{root}/.default")),
    ];
    let token = client
        .post(format!("{root}/{TENANT_ID}/oauth2/v2.0/token"))
        .form(&form)
        .send()
        .await?;
    let token: Value = token.error_for_status()?.json().await?;
    let token: Arc<str> = token["access_token"].as_str().unwrap_or_default().into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, root, token, next) = (
            client.clone(),
            root.clone(),
            Arc::clone(&token),
            Arc::clone(&next),
        );
        tasks.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= people {
                    return Ok(());
                }
                match step {
                    Step::Create => create(&client, &root, &token, at).await?,
                    Step::Change => change(&client, &root, &token, at).await?,
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let ended: Anyhow<()> = ended?;
        ended?;
    }
    Ok(())
}

async fn create(client: &reqwest::Client, root: &str, token: &str, at: usize) -> Anyhow<()> {
    let body = json!({
        "accountEnabled": true,
        "displayName": format!("Person {at}"),
        "mailNickname": format!("person{at:07}"),
        "userPrincipalName": upn(at),
        "onPremisesImmutableId": format!("{OLD}{at:08}"),
        "passwordProfile": {"password": "not-a-real-one-1", "forceChangePasswordNextSignIn": false},
    });
    client
        .post(format!("{root}/v1.0/users"))
        .bearer_auth(token)
        .json(&body)
        .send()
        .await?
        .error_for_status()?;
    Ok(())
}

async fn change(client: &reqwest::Client, root: &str, token: &str, at: usize) -> Anyhow<()> {
    let select = "$select=id,userPrincipalName,onPremisesImmutableId,onPremisesSyncEnabled";
    let url = format!("{root}/v1.0/users/{}?{select}", upn(at));
    let user: Value = client
        .get(url)
        .bearer_auth(token)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let user = format!(
        "{root}/v1.0/users/{}",
        user["id"].as_str().unwrap_or_default()
    );
    for value in [Value::Null, format!("{OLD}{at:07}").into()] {
        let body = json!({"onPremisesImmutableId": value});
        client
            .patch(&user)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
    }
    client
        .get(format!("{user}?{select}"))
        .bearer_auth(token)
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    Ok(())
}

fn cutover(simulator: &Simulator, people: usize) -> Anyhow<Duration> {
    let dir = tempfile::tempdir()?;
    let mut csv = String::from("upn,object_guid\n");
    for at in 0..people {
        writeln!(csv, "{},{}", upn(at), guid(at))?;
    }
    std::fs::write(dir.path().join("people.csv"), csv)?;
    let limits = "\n[graph.limits]\nwrites = \"1000000/1s\"\n";
    std::fs::write(
        dir.path().join("sim.toml"),
        simulator.connection_file() + limits,
    )?;
    let begun = Instant::now();
    let status = command(dir.path()).status()?;
    assert!(status.success(), "cutover ended with {status}");
    Ok(begun.elapsed())
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command
        .current_dir(dir)
        .env(SECRET_VARIABLE, CLIENT_SECRET)
        .stdout(Stdio::null());
    command.args([
        "run",
        "immutable-id",
        "people.csv",
        "--target",
        "sim.toml",
        "--progress",
        "none",
    ]);
    command
}
