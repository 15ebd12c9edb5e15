//! The real program against `cutover sim` with another app that eats half of the tenant's quota: the run says that its rate
//! is eased, is hardly ever refused, and ends as any other does. The rates themselves are measured in simulated time
//! (`tests/throttling`).

use crate::support::{WORKING, program, table};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const POLL: Duration = Duration::from_millis(20);

/// The simulated tenant as a process of its own; killed when it is dropped.
struct Tenant(Child);

impl Drop for Tenant {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has complained of then.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Starts it and saves its connection file with this budget; answers the secret, too.
fn tenant(folder: &Path, arguments: &[&str], limits: &str) -> (Tenant, String) {
    let out = folder.join("sim.out");
    let mut command = program(folder, &["sim", "--csv", "people.csv"]);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(File::create(&out).unwrap());
    let tenant = Tenant(command.spawn().unwrap());
    let said = loop {
        let said = fs::read_to_string(&out).unwrap();
        // The last line of the connection file.
        if said.contains("\nlogin = ") && said.ends_with('\n') {
            break said;
        }
        std::thread::sleep(POLL);
    };
    let secret = said.split_once("CUTOVER_SIM_SECRET=").unwrap().1;
    let secret = secret.split_whitespace().next().unwrap().to_owned();
    fs::write(folder.join("sim.toml"), format!("{said}{limits}")).unwrap();
    (tenant, secret)
}

#[test]
fn beside_another_app_the_rate_is_eased_and_hardly_anything_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let load = ["--tenant-writes", "200/5s", "--other-app", "20"];
    let people = ["--seed", "5", "--users", "250", "--latency", "20"];
    let limits = "throttle_priority = \"normal\"\n[graph.limits]\nwrites = \"200/5s\"\n";
    let (_tenant, secret) = tenant(folder, &[load.as_slice(), &people].concat(), limits);
    let mut run = program(folder, &["run", "immutable-id", "people.csv"]);
    run.args(WORKING).env("CUTOVER_SIM_SECRET", &secret);
    run.stdin(Stdio::null()).stdout(Stdio::null());
    let mut run = Tenant(run.spawn().unwrap());
    let mut told = Vec::new();
    while run.0.try_wait().unwrap().is_none() {
        let status = program(folder, &["status", "--json"]).output().unwrap();
        let status: Option<Value> = serde_json::from_slice(&status.stdout).ok();
        let slow = status.and_then(|status| Some(status["slow"].as_str()?.to_owned()));
        told.extend(slow);
        std::thread::sleep(POLL);
    }
    assert!(told.iter().any(|why| why.starts_with("rate of writes eased to ")), "{told:?}");
    let summary = fs::read_to_string(folder.join("report/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["state"], "finished");
    assert_eq!(summary["slow"], Value::Null);
    let count = |key: &str| summary[key].as_u64().unwrap();
    let (writes, throttled) = (count("writes"), count("throttled"));
    assert!(writes > 400, "{writes}");
    assert!(throttled * 50 < writes + throttled, "{throttled} refused beside {writes}");
    let outcomes = table(&folder.join("report/outcomes.csv"));
    assert!(outcomes.iter().all(|line| line["outcome"] != "pending"));
}
