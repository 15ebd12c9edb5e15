//! A damaged checkpoint under the real program: it says the same of every row as before, says so when it had to build the
//! checkpoint again, and shows nobody a panic of the database.
//!
//! `CUTOVER_CUT_SEEDS=n` tries more damages, from the seed `CUTOVER_CUT_SEED=n` on.

use crate::support::{Stage, calm, table};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ROWS: u64 = 300;
const SEEDS: u64 = 16;

#[test]
fn whatever_happened_to_the_checkpoint_the_rows_are_told_truly_and_calmly() {
    let stage = Stage::new(calm(ROWS));
    let ran = stage.end(&mut stage.run_line());
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    let report = stage.path("report/outcomes.csv");
    let truth = told(&report);
    let checkpoint = stage.path("cutover-journal/checkpoint");
    let whole = fs::read(checkpoint.join("db")).unwrap();
    let settings = fs::read(checkpoint.join("conf")).unwrap();
    let must_tell_truly = |seed: u64| {
        fs::remove_file(&report).unwrap();
        let ran = stage.end(stage.cutover(&["report"]).args(["--report", "report"]));
        assert_eq!(ran.code, Some(0), "seed {seed}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "seed {seed}: {}", ran.stderr);
        assert!(told(&report) == truth, "seed {seed}: another report");
        ran.complaint()
    };
    let number = |name, default| std::env::var(name).map_or(default, |text: String| text.parse().unwrap());
    let first = number("CUTOVER_CUT_SEED", 0);
    for seed in first..first + number("CUTOVER_CUT_SEEDS", SEEDS) {
        fs::remove_dir_all(&checkpoint).unwrap();
        fs::create_dir(&checkpoint).unwrap();
        fs::write(checkpoint.join("conf"), &settings).unwrap();
        damage(seed, &whole, &checkpoint.join("db"));
        must_tell_truly(seed);
    }
    fs::write(checkpoint.join("conf"), "no settings").unwrap();
    let said = must_tell_truly(first);
    assert!(said.contains("is rebuilt from the log"), "{said}");
}

/// What is said of every row, but for the milliseconds.
fn told(report: &Path) -> Vec<BTreeMap<String, String>> {
    let mut lines = table(report);
    for line in &mut lines {
        line.retain(|column, _| !column.ends_with("_at") && !column.ends_with("_ms"));
    }
    lines
}

fn damage(seed: u64, whole: &[u8], path: &Path) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = whole.to_vec();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = dice.random_range(0..used);
    let end = (at + 512).min(bytes.len());
    match seed % 3 {
        0 => bytes[at] ^= 1 << dice.random_range(0..8),
        1 => dice.fill(&mut bytes[at..end]),
        _ => bytes.truncate(at),
    }
    fs::write(path, bytes).unwrap();
}
