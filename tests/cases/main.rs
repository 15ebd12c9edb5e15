//! Inputs and nights that went wrong for people who do this work, each with its right outcome: `tests/data/cases/manifest.json`,
//! and more of each kind in `further.json`.
//!
//! A case is a file, a command line, the people of a tenant, and what stands between the program and the service. Each case is a
//! test of its own name. The manifest's `about` says what its fields mean.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// It puts no other program around ours.
#[allow(dead_code)]
#[path = "../support/environment.rs"]
mod environment;
mod expectation;
mod manifest;
mod wire;

use expectation::Ending;
use libtest_mimic::{Arguments, Failed, Trial};
use manifest::{Case, Manifest};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wire::Wire;

/// A program that is not done by then hangs, where the case names no limit of its own.
const SECONDS_MAX: u64 = 120;
/// A case mostly waits, so more of them than there are cores are run at once.
const THREADS: usize = 8;
const POLL: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    // Fails only when a provider is in place already.
    let _in_place = rustls::crypto::ring::default_provider().install_default();
    let runtime = Arc::new(Runtime::new().unwrap());
    let cases = ["manifest.json", "further.json"].into_iter().flat_map(read_cases);
    let trials = cases.map(|case| {
        let runtime = Arc::clone(&runtime);
        Trial::test(case.name.clone(), move || holds(&case, &runtime))
    });
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn read_cases(name: &str) -> Vec<Case> {
    let text = fs::read_to_string(data().join(name)).unwrap();
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    manifest.cases
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases")
}

fn holds(case: &Case, runtime: &Runtime) -> Result<(), Failed> {
    let folder = TempDir::new().unwrap();
    let wire = runtime.block_on(Wire::start(case));
    copy_input(case, folder.path(), &wire);
    fs::write(folder.path().join("TENANT.toml"), wire.connection_file()).unwrap();
    let ending = run(case, folder.path(), &wire);
    let ending = runtime.block_on(wire.complete(ending));
    expectation::check(case, &ending).map_err(|why| {
        let mut told = format!("{}\n{why}\n", case.why);
        told.push_str(&ending.text());
        Failed::from(told)
    })
}

/// The input, with the tenant's object ids in it.
fn copy_input(case: &Case, folder: &Path, wire: &Wire) {
    let bytes = fs::read(data().join(&case.file)).unwrap();
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => wire.with_ids(&text).into_bytes(),
        Err(foreign) => foreign.into_bytes(),
    };
    fs::write(folder.join(&case.file), bytes).unwrap();
}

fn run(case: &Case, folder: &Path, wire: &Wire) -> Ending {
    let out = folder.join("stdout");
    let err = folder.join("stderr");
    let mut words = case.line.split(' ');
    assert_eq!(words.next(), Some("cutover"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    environment::clean(&mut command);
    command
        .args(words)
        .current_dir(folder)
        .env(cutover::sim::SECRET_VARIABLE, wire.secret())
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap());
    if case.line.starts_with("cutover run ") {
        command.args(["--report", "report"]);
    }
    let begun = Instant::now();
    let limit = Duration::from_secs(case.seconds().unwrap_or(SECONDS_MAX));
    let mut child = command.spawn().unwrap();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(POLL);
    };
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    Ending::new(code, read(&out), read(&err), &folder.join("report"))
}
