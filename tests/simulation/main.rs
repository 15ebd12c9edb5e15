//! The heart of the tests: whole runs of the real runner, machine, pace and journal on simulated time, against a simulated
//! tenant and a disk that forgets, everything from one seed and on one thread. Each schedule mixes what a night can bring;
//! afterwards the promises of the design are checked.
//!
//! `CUTOVER_SEEDS=n` runs n schedules instead of some thousand; `CUTOVER_SEED=n` replays one of them and prints its trace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;
mod oracle;
mod process;
mod schedule;
mod service;
mod world;

use process::play;
use schedule::Schedule;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept() {
    if let Some(seed) = number("CUTOVER_SEED") {
        return replay(seed);
    }
    let seeds = number("CUTOVER_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(number("CUTOVER_FIRST").unwrap_or(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let broken = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut broken = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return broken;
                        }
                        let complaints = play(&Schedule::of(seed), false).complaints;
                        if !complaints.is_empty() {
                            println!("seed {seed}: {complaints:#?}");
                            broken.push(seed);
                        }
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(broken.is_empty(), "{} of {seeds}: {broken:?}", broken.len());
}

fn replay(seed: u64) {
    let schedule = Schedule::of(seed);
    let verdict = play(&schedule, true);
    println!("{schedule:#?}\n{}", verdict.trace.join("\n"));
    println!("{:?}", verdict.told);
    assert!(verdict.complaints.is_empty(), "{:#?}", verdict.complaints);
}
