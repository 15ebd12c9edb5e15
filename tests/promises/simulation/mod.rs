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

const SEEDS: u64 = 2_000;

/// The seeds are dealt out to so many tests, which run next to each other.
const PARTS: usize = 8;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_1() {
    the_promises_are_kept(0);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_2() {
    the_promises_are_kept(1);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_3() {
    the_promises_are_kept(2);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_4() {
    the_promises_are_kept(3);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_5() {
    the_promises_are_kept(4);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_6() {
    the_promises_are_kept(5);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_7() {
    the_promises_are_kept(6);
}

#[test]
fn whatever_a_night_brings_the_promises_are_kept_8() {
    the_promises_are_kept(7);
}

/// Plays one part of the seeds.
fn the_promises_are_kept(part: usize) {
    if let Some(seed) = number("CUTOVER_SEED") {
        return replay(seed, part);
    }
    let first = number("CUTOVER_FIRST_SEED").unwrap_or(0);
    let seeds = number("CUTOVER_SEEDS").unwrap_or(SEEDS);
    let fails = |seed: &u64| !play(&Schedule::of(*seed), false).complaints.is_empty();
    let dealt = (first..first + seeds).skip(part).step_by(PARTS);
    let broken: Vec<u64> = dealt.filter(fails).collect();
    if let Some(seed) = broken.first() {
        let short = shrink(&Schedule::of(*seed));
        panic!(
            "these seeds break a promise: {broken:?}\nreplay with CUTOVER_SEED={seed}; made short, it is\n{}",
            told(&short)
        );
    }
}

/// One of the parts is enough for one seed.
fn replay(seed: u64, part: usize) {
    if part > 0 {
        return;
    }
    let schedule = Schedule::of(seed);
    println!("{}", told(&schedule));
    assert!(play(&schedule, false).complaints.is_empty());
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

/// What the oracle says of retries and readings would be empty if nothing were ever tried again or found.
#[test]
fn rows_are_tried_again_to_another_end_and_drift_is_found() {
    let verdicts: Vec<_> = (0..32).map(|seed| play(&Schedule::of(seed), false)).collect();
    assert!(verdicts.iter().any(|verdict| verdict.retried > 0));
    assert!(verdicts.iter().any(|verdict| verdict.drifted > 0));
}

/// A schedule, what happened, and what is wrong with it.
fn told(schedule: &Schedule) -> String {
    let verdict = play(schedule, true);
    format!("{schedule:#?}\n{}\n{:?}\n{:#?}", verdict.trace.join("\n"), verdict.told, verdict.complaints)
}
