//! Kills where the journal itself is at work: while rows are copied in, while the checkpoint is built again, while a
//! report is written.
//!
//! `CUTOVER_KILLS=n` sets the number of kills of each test, `CUTOVER_KILL_SEED=n` the seed of their moments.

use crate::support::{Going, Stage, calm, number};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const KILLS: u64 = 15;
const SEED: u64 = 20;

/// Copying so many takes long enough to be met often; a campaign takes more.
const ROWS_TO_COPY: u64 = 20_000;
const ROWS_TO_COPY_IN_A_CAMPAIGN: u64 = 100_000;

/// Every one of them is refused, which is a record each: a long log without a single request.
const ROWS_REFUSED: u64 = 12_000;

const REPORT_FILES: [&str; 3] = ["outcomes.csv", "unfinished.csv", "summary.json"];

/// Moments between the beginning of a process and its end. How long it lives depends on how busy the machine is just then, so the
/// time it is given follows what the last ones took.
struct Moments {
    seed: u64,
    kills: u64,
    dice: ChaCha8Rng,
    whole: Duration,
}

impl Moments {
    /// `whole` is how long it took undisturbed.
    fn of(whole: Duration) -> Self {
        let seed = number("CUTOVER_KILL_SEED", SEED);
        Moments { seed, kills: number("CUTOVER_KILLS", KILLS), dice: ChaCha8Rng::seed_from_u64(seed), whole }
    }

    /// Whether to kill once more. Where chance has not met what the test is about, it has more tries.
    fn go_on(&self, kill: u64, met_enough: bool) -> bool {
        kill < self.kills || (!met_enough && kill < 10 * self.kills)
    }

    /// Kills it somewhere in its life, or finds that it has ended; whether it was still there.
    fn strike(&mut self, going: Going) -> bool {
        let begun = Instant::now();
        let met = going.kill_after(self.whole.mul_f64(self.dice.random_range(0.0..1.1)));
        self.whole = if met { self.whole.mul_f64(1.1) } else { begun.elapsed() };
        met
    }
}

/// People whom the tenant does not know.
fn strangers(stage: &Stage, rows: u64) {
    let mut text = String::from("upn,object_guid\n");
    for row in 0..rows {
        let guid = uuid::Uuid::from_u128(u128::from(row) + 1);
        writeln!(text, "stranger.{row}@contoso.com,{guid}").unwrap();
    }
    stage.write("people.csv", text);
}

/// A finished run whose rows were all refused for what stands in the file.
fn all_refused() -> Stage {
    let stage = Stage::new(calm(1));
    let mut text = String::from("upn,object_guid\n");
    for row in 0..ROWS_REFUSED {
        writeln!(text, "nobody {row}@contoso.com,{row}").unwrap();
    }
    stage.write("people.csv", text);
    stage.end(&mut stage.quick_run(&[])).must_end(1);
    stage
}

fn log_of(stage: &Stage) -> PathBuf {
    let mut logs = fs::read_dir(stage.journal().join("runs")).unwrap();
    let log = logs.next().unwrap().unwrap().path();
    assert!(logs.next().is_none());
    log
}

#[test]
fn a_kill_before_the_run_has_begun_leaves_no_half_run() {
    let stage = Stage::new(calm(1));
    let rows = if number("CUTOVER_KILLS", KILLS) > KILLS { ROWS_TO_COPY_IN_A_CAMPAIGN } else { ROWS_TO_COPY };
    strangers(&stage, rows);
    // How long it takes here, in a journal of its own.
    let begun = Instant::now();
    let mut measured = stage.start(stage.quick_run(&[]).args(["--journal", "measured"]));
    while stage.stat("requests") == 0 {
        assert!(!measured.has_ended(), "{:?}", measured.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut moments = Moments::of(begun.elapsed());
    measured.kill();
    let seed = moments.seed;
    let (mut kill, mut half) = (0, 0);
    while moments.go_on(kill, half > 0) {
        kill += 1;
        moments.strike(stage.start(&mut stage.quick_run(&[])));
        let logs = fs::read_dir(stage.journal().join("runs"));
        half += u64::from(logs.is_ok_and(|logs| logs.count() > 0));
        let runs = stage.runs();
        match &runs[..] {
            [] => {}
            [run] => assert_eq!(run["rows"], rows, "seed {seed}, kill {kill}: {run}"),
            _ => panic!("seed {seed}, kill {kill}: {runs:?}"),
        }
        if let [run] = &runs[..] {
            must_be_gone_on_with(&stage, run, rows, seed);
            fs::remove_dir_all(stage.journal()).unwrap();
        }
    }
    assert!(half > 0, "seed {seed}: no kill met the copying");
}

/// The same line goes on with this run, in which every row of the file stands once.
fn must_be_gone_on_with(stage: &Stage, run: &Value, rows: u64, seed: u64) {
    let requests = stage.stat("requests");
    let mut going = stage.start(&mut stage.quick_run(&[]));
    while stage.stat("requests") <= requests {
        assert!(!going.has_ended(), "seed {seed}: {:?}", going.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran = going.kill();
    let id = run["run"].as_str().unwrap();
    assert!(ran.stderr.contains(&format!("continuing run {id}")), "seed {seed}: {ran:?}");
    stage.end(&mut stage.cutover(&["report", "--report", "report"])).must_end(0);
    let lines = stage.outcomes();
    assert_eq!(lines.len() as u64, rows, "seed {seed}");
    let in_order = lines.iter().zip(1..).all(|(line, row): (_, u64)| line["row"] == row.to_string());
    assert!(in_order, "seed {seed}");
}

/// The report's files, by name.
fn report(folder: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let files = REPORT_FILES.map(|name| (name, fs::read(folder.join(name)).unwrap()));
    files.into_iter().collect()
}

#[test]
fn a_kill_while_the_checkpoint_is_built_again_loses_nothing() {
    let stage = all_refused();
    let known = report(&stage.path("report"));
    let log = fs::read(log_of(&stage)).unwrap();
    let checkpoint = stage.journal().join("checkpoint");
    // Whoever only reads makes no checkpoint. This run has nothing left to do.
    let look = || stage.quick_run(&[]);
    fs::remove_dir_all(&checkpoint).unwrap();
    let begun = Instant::now();
    stage.end(&mut look()).must_end(1);
    let mut moments = Moments::of(begun.elapsed());
    let (seed, enough) = (moments.seed, moments.kills / 3);
    fs::remove_dir_all(&checkpoint).unwrap();
    let (mut kill, mut met) = (0, 0);
    while moments.go_on(kill, met > enough) {
        kill += 1;
        let killed = moments.strike(stage.start(&mut look()));
        met += u64::from(killed);
        // From the beginning once it was built, and now and then before; else upon what the last one has left.
        if (!killed || moments.dice.random()) && checkpoint.exists() {
            fs::remove_dir_all(&checkpoint).unwrap();
        }
        assert!(log == fs::read(log_of(&stage)).unwrap(), "seed {seed}, kill {kill}: the log was touched");
    }
    assert!(met > enough, "seed {seed}: only {met} kills met it");
    let ran = stage.end(&mut stage.cutover(&["report", "--report", "again"]));
    ran.must_end(0);
    assert!(report(&stage.path("again")) == known, "seed {seed}: the report is another one");
    let run = &stage.runs()[0];
    assert_eq!(run["outcomes"]["refused"], ROWS_REFUSED, "seed {seed}");
    assert_eq!(stage.stat("writes"), 0);
}

/// Files that are not whole.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "part")).collect()
}

#[test]
fn a_kill_while_a_report_is_written_leaves_the_old_file_or_the_new_one() {
    let stage = all_refused();
    let folder = stage.path("report");
    let new = report(&folder);
    let old = b"what stood here before\n";
    let begun = Instant::now();
    stage.end(&mut stage.cutover(&["report", "--report", "report"])).must_end(0);
    let mut moments = Moments::of(begun.elapsed());
    let seed = moments.seed;
    let (mut kill, mut half_way) = (0, 0);
    while moments.go_on(kill, half_way > 0) {
        kill += 1;
        for name in REPORT_FILES {
            fs::write(folder.join(name), old).unwrap();
        }
        // `run` on a finished run writes its report once more.
        let mut line =
            if moments.dice.random() { stage.cutover(&["report", "--report", "report"]) } else { stage.quick_run(&[]) };
        moments.strike(stage.start(&mut line));
        for (name, found) in report(&folder) {
            assert!(
                found == old || found == new[name],
                "seed {seed}, kill {kill}: {name} is half a file of {} bytes",
                found.len()
            );
        }
        half_way = parts(&folder).len();
    }
    assert!(half_way > 0, "seed {seed}: no kill met the writing");
    stage.end(&mut stage.cutover(&["report", "--report", "report"])).must_end(0);
    assert!(report(&folder) == new, "seed {seed}");
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    for part in parts(&folder) {
        let file = File::options().write(true).open(part).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    stage.end(&mut stage.cutover(&["report", "--report", "report"])).must_end(0);
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, REPORT_FILES.len(), "seed {seed}: nothing is left beside them");
}
