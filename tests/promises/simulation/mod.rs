//! The heart of the tests: whole runs of the real runner, machine, pace and journal on simulated time, against a simulated
//! tenant and a disk that forgets, everything from one seed and on one thread. Each schedule mixes what a night can bring;
//! afterwards the promises of the design are checked.
//!
//! `CUTOVER_SEEDS=n` runs n schedules instead of some thousand; `CUTOVER_SEED=n` replays one of them and prints its trace.

mod company;
mod disk;
mod oracle;
mod process;
mod schedule;
mod service;
mod shrink;
mod world;

use process::play;
use schedule::Schedule;
use shrink::shrink;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept() {
    if let Some(seed) = number("CUTOVER_SEED") {
        let schedule = Schedule::of(seed);
        println!("{}", told(&schedule));
        return assert!(play(&schedule, false).complaints.is_empty());
    }
    let first = number("CUTOVER_FIRST_SEED").unwrap_or(0);
    let seeds = number("CUTOVER_SEEDS").unwrap_or(SEEDS);
    let broken = broken(first..first + seeds);
    if let Some(seed) = broken.first() {
        let short = shrink(&Schedule::of(*seed));
        panic!(
            "{} of {seeds} seeds break a promise: {broken:?}\nreplay with CUTOVER_SEED={seed}; made short, it is\n{}",
            broken.len(),
            told(&short)
        );
    }
}

/// Two plays of one seed are the same to the last request, or no seed could be replayed.
#[test]
fn the_same_seed_goes_the_same_way_twice() {
    for seed in 0..20 {
        let schedule = Schedule::of(seed);
        let (first, second) = (play(&schedule, true), play(&schedule, true));
        let lines = first.trace.iter().zip(&second.trace).enumerate();
        let other = lines.into_iter().find(|(_, (one, other))| one != other);
        assert!(
            first == second,
            "seed {seed}, requests {} and {}, first at {other:?}",
            first.requests,
            second.requests
        );
    }
}

/// The seeds that break a promise, played on every core.
fn broken(seeds: Range<u64>) -> Vec<u64> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let play_on = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed))
            .take_while(|seed| *seed < seeds.end);
        let fails = |seed: &u64| !play(&Schedule::of(*seed), false).complaints.is_empty();
        seeds.filter(fails).collect::<Vec<_>>()
    };
    let mut broken: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(play_on)).collect();
        let broken = workers.into_iter().map(|worker| worker.join().unwrap());
        broken.flatten().collect()
    });
    broken.sort_unstable();
    broken
}

/// A schedule, what happened, and what is wrong with it.
fn told(schedule: &Schedule) -> String {
    let verdict = play(schedule, true);
    format!(
        "{schedule:#?}\n{}\n{:?}\n{:#?}",
        verdict.trace.join("\n"),
        verdict.told,
        verdict.complaints
    )
}
