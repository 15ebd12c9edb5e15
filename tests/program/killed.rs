//! A process that is killed again and again, on a line where requests get lost: in the end every row is told truly, and
//! the tenant made no write that the journal does not explain.
//!
//! `CUTOVER_KILLS=n` sets the number of kills, `CUTOVER_KILL_SEED=n` the seed of their moments.

use crate::support::history::tallies;
use crate::support::oracle::{Oracle, Slack};
use crate::support::{Going, Stage, calm, number, slow, table};
use cutover::sim::{Faults, Options};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: u64 = 500;
/// In each of the tests that kill again and again.
const KILLS: u64 = 25;
const SEED: u64 = 20;

/// How a process works: the budget of writes, and the most rows in flight.
struct Gait(&'static str, &'static str);

/// So slow that the work lasts for all kills; intents wait for permits, and each kill meets many of them.
const QUEUEING: Gait = Gait("150/1s", "150");

/// Every write leaves as soon as its intent is stored, so that a kill comes between the two.
const HASTY: Gait = Gait("100000/1s", "12");

const AT_LAST: Gait = Gait("100000/1s", "150");

/// The checkpoint is flushed after so long; a few processes live until then.
const FLUSH_MS: u64 = 5_000;
const LONG_LIVES: u64 = 1;

/// A process that is waiting rather than writing is not waited for longer than this.
const LIFE_MAX: Duration = Duration::from_millis(600);

/// Kills between two looks at what the journal says.
const KILLS_PER_LOOK: u64 = 8;

const POLL: Duration = Duration::from_millis(2);

/// When a process is killed.
#[derive(Debug)]
enum Moment {
    /// So long after its start: while it opens the journal, signs in, looks after what the last one left.
    After(Duration),
    /// When the tenant has made so many more writes, and so long after that: in the middle of the work.
    Writes(u64, Duration),
}

impl Moment {
    fn draw(dice: &mut ChaCha8Rng, kill: u64, kills: u64) -> Moment {
        if kill % (kills / LONG_LIVES).max(1) == kills / LONG_LIVES / 2 {
            return Moment::After(ms(dice, FLUSH_MS..=FLUSH_MS + 100));
        }
        match dice.random_range(0..10) {
            0..=2 => Moment::After(ms(dice, 0..=80)),
            3 => Moment::After(ms(dice, 80..=400)),
            _ => {
                let writes = dice.random_range(1..=60);
                Moment::Writes(writes, Duration::from_micros(dice.random_range(0..=3_000)))
            }
        }
    }

    /// A process that may live for long must not come to the end of the work.
    fn gait(&self, dice: &mut ChaCha8Rng) -> Gait {
        match self {
            Moment::After(_) => QUEUEING,
            Moment::Writes(..) if dice.random() => HASTY,
            Moment::Writes(..) => QUEUEING,
        }
    }

    /// Kills the process then; whether it was still there.
    fn strike(&self, stage: &Stage, mut going: Going) -> bool {
        match self {
            Moment::After(time) => going.kill_after(*time),
            Moment::Writes(more, time) => {
                let enough = stage.stat("writes") + more;
                let begun = Instant::now();
                while stage.stat("writes") < enough && begun.elapsed() < LIFE_MAX && !going.has_ended() {
                    std::thread::sleep(POLL);
                }
                going.kill_after(*time)
            }
        }
    }
}

fn ms(dice: &mut ChaCha8Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

#[test]
fn whatever_is_killed_in_the_end_everybody_is_as_the_report_says_1() {
    kill_again_and_again(0);
}

#[test]
fn whatever_is_killed_in_the_end_everybody_is_as_the_report_says_2() {
    kill_again_and_again(1);
}

#[test]
fn whatever_is_killed_in_the_end_everybody_is_as_the_report_says_3() {
    kill_again_and_again(2);
}

#[test]
fn whatever_is_killed_in_the_end_everybody_is_as_the_report_says_4() {
    kill_again_and_again(3);
}

/// Each of the tests has a tenant, and moments of kills, of its own.
fn kill_again_and_again(test: u64) {
    let seed = number("CUTOVER_KILL_SEED", SEED) + test;
    let kills = number("CUTOVER_KILLS", KILLS);
    let stage = Stage::new(troubled(seed));
    let oracle = Oracle::look(&stage);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut ended = Ended::default();
    let mut met = 0;
    let mut begun = false;
    for kill in 0..kills {
        let moment = Moment::draw(&mut dice, kill, kills);
        // There is nothing to resume before the first write.
        begun = begun || stage.stat("writes") > 0;
        let gait = moment.gait(&mut dice);
        let going = stage.start(&mut line(&stage, &gait, begun && dice.random()));
        met += u64::from(moment.strike(&stage, going));
        if begun && kill % KILLS_PER_LOOK == KILLS_PER_LOOK - 1 {
            ended.look(&stage, seed);
        }
    }
    assert!(met > kills * 3 / 4, "seed {seed}: only {met} of {kills} kills met the process at work");
    let ran = stage.end(&mut line(&stage, &AT_LAST, dice.random()));
    let mut complaints = oracle.complaints(&stage, &ran, Slack(0));
    complaints.extend(unexplained(&stage, &oracle, kills));
    complaints.extend(ended.changed(&stage));
    assert!(complaints.is_empty(), "seed {seed}: {}\n{ran:?}", complaints.join("\n"));
    let summary = stage.summary();
    assert!(summary["outcomes"]["done"].as_u64() > Some(ROWS / 2), "seed {seed}: {summary}");
    // Nothing here is so bad that a person could not be put back.
    assert_eq!(summary["outcomes"]["stranded"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["outcomes"]["held"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["state"], "finished", "seed {seed}");
    assert_eq!(stage.runs().len(), 1, "seed {seed}: one run all along");
}

fn troubled(seed: u64) -> Options {
    Options {
        seed,
        faults: Faults {
            // A write may be made as soon as it is sent: one that was sent before its intent was stored is then there
            // when the process dies in between.
            latency_base_ms: 0,
            latency_jitter_ms: 8,
            error_before: 0.02,
            error_after: 0.02,
            drop_before: 0.02,
            drop_after: 0.02,
            throttle: 0.002,
            expire_token: 0.002,
        },
        // Well below the second that a write in doubt is given to show.
        replication_ms: 300,
        token_life_s: 2,
        ..calm(ROWS)
    }
}

/// Going on from the journal alone, or the same line again.
fn line(stage: &Stage, &Gait(budget, in_flight): &Gait, from_journal: bool) -> Command {
    stage.write("sim.toml", stage.connection(budget));
    let options = ["--max-failed", "100%", "--max-stranded", "1000", "--concurrency", in_flight];
    if from_journal { stage.resume_line(&options) } else { stage.quick_run(&options) }
}

/// Writes of the tenant that the journal's own attempts do not explain, row by row.
fn unexplained(stage: &Stage, oracle: &Oracle, kills: u64) -> Vec<String> {
    let tallies = tallies(&stage.journal());
    let mut wrong = Vec::new();
    let mut orphans = 0;
    for (at, made) in oracle.writes(stage).into_iter().enumerate() {
        let row = at as u64 + 1;
        let Some(tally) = tallies.get(&row) else {
            wrong.push(format!("row {row} has no history"));
            continue;
        };
        orphans += tally.orphaned;
        if !tally.is_whole() || !tally.allows(made) {
            wrong.push(format!("row {row}: {made} writes were made, and {tally:?}"));
        }
    }
    // Kills that meet nothing on its way to the target would prove nothing.
    if orphans < kills {
        wrong.push(format!("only {orphans} intents were left behind"));
    }
    wrong
}

/// The lines of rows that a report called ended: nothing may ever change in them.
#[derive(Default)]
struct Ended {
    lines: BTreeMap<String, BTreeMap<String, String>>,
}

impl Ended {
    fn look(&mut self, stage: &Stage, seed: u64) {
        let ran = stage.end(&mut stage.cutover(&["report", "--report", "meanwhile"]));
        // Whether or not somebody is exposed at this moment.
        assert!(matches!(ran.code, Some(0 | 5)), "seed {seed}: {ran:?}");
        let lines = table(&stage.path("meanwhile/outcomes.csv"));
        assert_eq!(lines.len() as u64, ROWS, "seed {seed}");
        let ended = lines.into_iter().filter(|line| line["outcome"] != "pending");
        for line in ended {
            let known = self.lines.entry(line["row"].clone()).or_insert(line.clone());
            assert_eq!(*known, line, "seed {seed}: it had ended");
        }
    }

    fn changed(&self, stage: &Stage) -> Vec<String> {
        let last = stage.outcomes();
        let changed = last.iter().filter_map(|line| {
            let known = self.lines.get(&line["row"])?;
            (known != line).then(|| format!("{known:?} had ended and became {line:?}"))
        });
        changed.collect()
    }
}

#[test]
fn after_a_kill_those_who_cannot_work_come_before_new_rows() {
    let stage = Stage::new(slow(300, 20));
    let oracle = Oracle::look(&stage);
    let mut going = stage.start(&mut stage.quick_run(&["--concurrency", "60"]));
    stage.await_writes(150, &mut going);
    going.kill();
    let exposed = oracle.exposed(&stage);
    assert!(exposed.len() > 5, "{exposed:?}");
    stage.end(&mut stage.cutover(&["report", "--report", "meanwhile"])).must_end(5);
    let lines = table(&stage.path("meanwhile/outcomes.csv"));
    let new: BTreeSet<usize> = (0..lines.len()).filter(|at| lines[*at]["attempts"] == "0").collect();
    let before = oracle.sequence(&stage).len();
    let mut alone = stage.start(&mut stage.resume_line(&["--concurrency", "1"]));
    let (after, first_new) = loop {
        let after = oracle.sequence(&stage).split_off(before);
        if let Some(first) = after.iter().position(|row| new.contains(row)) {
            break (after, first);
        }
        assert!(!alone.has_ended(), "{:?}", alone.said());
        std::thread::sleep(POLL);
    };
    alone.kill();
    for upn in &exposed {
        let row = oracle.row_of(upn);
        let last = after.iter().rposition(|written| *written == row);
        assert!(last.is_some_and(|last| last < first_new), "{upn} waits behind new rows: {after:?}");
    }
}

#[test]
fn looking_and_planning_can_be_killed_at_any_moment() {
    let seed = number("CUTOVER_KILL_SEED", SEED);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let stage = Stage::new(slow(150, 5));
    let oracle = Oracle::look(&stage);
    for _ in 0..8 {
        let mut plan = stage.cutover(&["plan", "quick.toml", "people.csv", "--target", "sim.toml"]);
        stage.start(&mut plan).kill_after(ms(&mut dice, 10..=150));
    }
    assert_eq!(stage.stat("writes"), 0, "seed {seed}");
    assert!(!stage.journal().exists(), "seed {seed}: a plan needs none");
    let mut going = stage.start(&mut stage.quick_run(&[]));
    stage.await_writes(40, &mut going);
    going.kill();
    let status = |stage: &Stage| -> Value { stage.end(&mut stage.cutover(&["status", "--json"])).json() };
    let known = status(&stage);
    for at in 0..20 {
        let command = ["status", "runs"][at % 2];
        let mut look = stage.cutover(&[command]);
        stage.start(&mut look).kill_after(ms(&mut dice, 0..=60));
    }
    assert_eq!(status(&stage), known, "seed {seed}");
    let ran = stage.end(&mut stage.quick_run(&[]));
    let complaints = oracle.complaints(&stage, &ran, Slack(0));
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
    assert!(fs::exists(stage.path("report/outcomes.csv")).unwrap());
}
