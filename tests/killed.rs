//! A process that is killed again and again, on a line where requests get lost: in the end every row is told truly,
//! and no person was written to more often than the doubts explain.
//!
//! `CUTOVER_KILLS=n` sets the number of kills, `CUTOVER_KILL_SEED=n` the seed of their moments.
#![allow(clippy::unwrap_used)]

mod support;

use cutover::sim::{Faults, Options};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::process::Command;
use std::time::{Duration, Instant};
use support::oracle::{Oracle, Slack};
use support::{Stage, calm};

const ROWS: u64 = 240;
const KILLS: u64 = 12;
const SEED: u64 = 20;
/// Writes that one process may leave in doubt for one person.
const DOUBTS_A_KILL: u64 = 2;
const POLL: Duration = Duration::from_millis(5);

#[test]
fn whatever_is_killed_in_the_end_everybody_is_as_the_report_says() {
    let seed = number("CUTOVER_KILL_SEED", SEED);
    let kills = number("CUTOVER_KILLS", KILLS);
    let stage = Stage::new(troubled(seed));
    // So slow that the kills fall into the middle of the work.
    stage.write("sim.toml", stage.connection("100/1s"));
    let oracle = Oracle::look(&stage);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let met = (0..kills)
        .filter(|_| kill_after(&stage, dice.random_range(50..=400)))
        .count();
    assert!(
        met as u64 > kills / 2,
        "seed {seed}: only {met} of {kills} kills met the process at work"
    );
    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut line(&stage));
    let complaints = oracle.complaints(&stage, &ran, Slack(DOUBTS_A_KILL * (kills + 1)));
    assert!(
        complaints.is_empty(),
        "seed {seed}: {}\n{ran:?}",
        complaints.join("\n")
    );
    let summary = stage.summary();
    assert!(
        summary["outcomes"]["done"].as_u64() > Some(ROWS / 2),
        "seed {seed}: {summary}"
    );
    // Nothing here is so bad that a person could not be put back.
    assert_eq!(summary["outcomes"]["stranded"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["outcomes"]["held"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["state"], "finished", "seed {seed}");
    let runs = stage
        .end(&mut stage.cutover(&["runs", "--json"]))
        .must_end(0);
    assert_eq!(
        runs.json().as_array().unwrap().len(),
        1,
        "seed {seed}: one run all along"
    );
}

fn troubled(seed: u64) -> Options {
    Options {
        seed,
        faults: Faults {
            latency_base_ms: 4,
            latency_jitter_ms: 4,
            error_before: 0.02,
            error_after: 0.02,
            drop_before: 0.02,
            drop_after: 0.02,
            throttle: 0.01,
            expire_token: 0.002,
        },
        replication_ms: 200,
        token_life_s: 2,
        ..calm(ROWS)
    }
}

fn line(stage: &Stage) -> Command {
    stage.quick_run(&["--max-failed", "100%", "--max-stranded", "1000"])
}

/// Whether the process was still there to be killed.
fn kill_after(stage: &Stage, ms: u64) -> bool {
    let mut going = stage.start(&mut line(stage));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(ms) {
        std::thread::sleep(POLL);
    }
    let met = !going.has_ended();
    going.kill();
    met
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
