//! A whole journal after power cuts and under damage: the log's last group in every state a disk may leave it in, and a
//! checkpoint that is older, foreign, ahead, broken or gone. What was committed is there, or the journal says why not.

use super::doubles::MemoryLogFile;
use super::log_file::LogFile as _;
use super::session_tests::{commit, header, holder, import, intended, rows_of};
use super::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Rows of the run; the second is refused by its input.
const ROWS: u64 = 700;
/// Cuts tried, and damages: `CUTOVER_CUT_SEEDS=n` tries more, from `CUTOVER_CUT_SEED=n` on.
const SEEDS: u64 = 40;

type Rows = Vec<(u64, Vec<String>, Option<RowRecord>)>;

/// A run that was closed: its journal, and what is true of it.
struct Lived {
    folder: TempDir,
    run: RunRecord,
    rows: Rows,
}

/// The log after each commit that was answered, and what is true then.
struct Step {
    bytes: usize,
    begun: BTreeMap<u64, RowRecord>,
}

fn place(folder: &TempDir) -> PathBuf {
    folder.path().join("journal")
}

fn log_of(place: &Path, run: &RunRecord) -> PathBuf {
    place.join("runs").join(format!("{}.log", run.id()))
}

/// A run with several writes of the checkpoint, so that its file holds more than one state of many rows.
async fn lived() -> (Lived, Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&place(&folder), &holder()).unwrap();
    let session = import(&journal, header(folder.path()), ROWS).await;
    let log = log_of(&place(&folder), &session.run());
    let mut steps = vec![Step { bytes: fs::metadata(&log).unwrap().len() as usize, begun: BTreeMap::new() }];
    for number in (3..=ROWS).filter(|number| number % 3 != 0) {
        let mut transition = intended(number);
        transition.facts.before = Some(format!("\"{}\"", "x".repeat(100 + number as usize % 400)));
        let record = commit(&session, transition).await;
        let mut begun = steps[steps.len() - 1].begun.clone();
        begun.insert(number, record);
        let bytes = fs::metadata(&log).unwrap().len() as usize;
        steps.push(Step { bytes, begun });
        if number % 100 == 1 {
            drop(session.reader().await.unwrap());
        }
    }
    let run = session.close(20, Stop::Requested("enough".into())).await.whole().unwrap();
    let rows = rows_of(&journal, &run);
    let refused = rows[1].2.clone().unwrap();
    for step in &mut steps {
        step.begun.insert(2, refused.clone());
    }
    (Lived { folder, run, rows }, steps)
}

impl Lived {
    /// A copy in a folder of its own.
    fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(&place(&self.folder), &place(&folder));
        folder
    }

    /// The journal tells the truth about the run and all its rows.
    fn must_be_whole(&self, journal: &Journal) {
        let mut run = journal.find(None).unwrap();
        // A low-water mark: how far it is behind costs a look at a few rows, and nothing else.
        assert!(run.begun_through <= self.run.begun_through);
        run.begun_through = self.run.begun_through;
        assert_eq!(run, self.run);
        assert!(rows_of(journal, &run) == self.rows, "the rows differ");
        let begun = self.rows.iter().filter(|row| row.2.as_ref().is_some_and(|record| record.ended_at.is_none()));
        let begun: Vec<RowNumber> = begun.map(|row| RowNumber(row.0)).collect();
        let reader = journal.reader(&run).unwrap();
        let active = reader.active().into_iter().map(|(row, _)| row);
        assert_eq!(active.collect::<Vec<_>>(), begun);
    }

    #[track_caller]
    fn must_be_rebuilt(&self, folder: &TempDir) -> Option<String> {
        let journal = Journal::open(&place(folder), &holder()).unwrap();
        self.must_be_whole(&journal);
        journal.set_aside().map(ToString::to_string)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name, default| std::env::var(name).map_or(default, |text: String| text.parse().unwrap());
    let first = number("CUTOVER_CUT_SEED", 0);
    first..first + number("CUTOVER_CUT_SEEDS", SEEDS)
}

/// The first whole group that begins at or behind a place is what a cut tears; a checkpoint of an earlier moment may be
/// there, and is caught up.
#[tokio::test]
async fn after_any_cut_every_answered_commit_is_there_and_the_run_goes_on() {
    let (lived, steps) = lived().await;
    let log = fs::read(log_of(&place(&lived.folder), &lived.run)).unwrap();
    for seed in seeds() {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let here = place(&folder);
        fs::create_dir_all(here.join("runs")).unwrap();
        let path = log_of(&here, &lived.run);
        let at = dice.random_range(0..steps.len() - 1);
        if dice.random_bool(0.5) {
            let earlier = steps[dice.random_range(0..=at)].bytes;
            fs::write(&path, &log[..earlier]).unwrap();
            drop(Journal::open(&here, &holder()).unwrap());
        }
        let (answered, under_way) = (&steps[at], &steps[at + 1]);
        let mut disk = MemoryLogFile::holding(log[..answered.bytes].to_vec());
        disk.append(&log[answered.bytes..under_way.bytes]).unwrap();
        disk.cut_power_by(|count| dice.random_range(0..count));
        fs::write(&path, disk.bytes()).unwrap();

        let found = begun(&here);
        let whole = if found.len() > answered.begun.len() { under_way } else { answered };
        assert!(found == whole.begun, "seed {seed}: rows differ");
        assert!(begun(&here) == whole.begun, "seed {seed}: rows differ the second time");

        let journal = Journal::open(&here, &holder()).unwrap();
        let session = journal.resume(&journal.find(None).unwrap()).unwrap();
        session.opened(30).await.unwrap();
        let record = commit(&session, intended(3)).await;
        session.kill().await;
        drop(journal);
        let mut expected = whole.begun.clone();
        expected.insert(3, record);
        assert!(begun(&here) == expected, "seed {seed}: rows differ after going on");
    }
}

/// The rows that were begun, as a journal that is opened has them.
fn begun(place: &Path) -> BTreeMap<u64, RowRecord> {
    let journal = Journal::open(place, &holder()).unwrap();
    let rows = rows_of(&journal, &journal.find(None).unwrap());
    assert_eq!(rows.len() as u64, ROWS);
    let begun = rows.into_iter().filter_map(|(row, _, record)| Some((row, record?)));
    begun.collect()
}

/// Flipped bits, zeros, noise and a lost end, in any file of the database: all rows are told truly, whether it is read or
/// set aside.
#[tokio::test]
async fn a_damaged_checkpoint_never_tells_an_untruth() {
    let (lived, _) = lived().await;
    let mut set_aside = 0;
    for seed in seeds() {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let folder = lived.copy();
        damage(&mut dice, &place(&folder).join("checkpoint"));
        let told = std::panic::catch_unwind(|| lived.must_be_rebuilt(&folder));
        let Ok(note) = told else {
            panic!("seed {seed}: see above; CUTOVER_CUT_SEED={seed} repeats it");
        };
        set_aside += u64::from(note.is_some());
    }
    assert!(set_aside > 0, "nothing was damaged enough to be set aside");
}

fn damage(dice: &mut ChaCha8Rng, checkpoint: &Path) {
    let files = fs::read_dir(checkpoint).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.metadata().unwrap().len() > 0);
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    // Most of it is in one file.
    let path =
        if dice.random_bool(0.8) { checkpoint.join("db") } else { files[dice.random_range(0..files.len())].clone() };
    let mut bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let at = dice.random_range(0..used);
    let length = [1, 8, 512, 4096][dice.random_range(0..4)];
    let end = (at + length).min(bytes.len());
    match dice.random_range(0..4) {
        0 => bytes[at] ^= 1 << dice.random_range(0..8),
        1 => bytes[at..end].fill(0),
        2 => dice.fill(&mut bytes[at..end]),
        _ => bytes.truncate(at),
    }
    fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_or_in_part_is_built_again() {
    let (lived, _) = lived().await;
    let checkpoint = place(&lived.folder).join("checkpoint");
    let names = fs::read_dir(&checkpoint).unwrap();
    for name in names.map(|entry| entry.unwrap().file_name()) {
        let folder = lived.copy();
        let path = place(&folder).join("checkpoint").join(&name);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::write(&path, "").unwrap();
            lived.must_be_rebuilt(&folder);
            drop(fs::remove_file(&path));
        }
        lived.must_be_rebuilt(&folder);
    }
    let folder = lived.copy();
    fs::remove_dir_all(place(&folder).join("checkpoint")).unwrap();
    assert_eq!(lived.must_be_rebuilt(&folder), None);
    let folder = lived.copy();
    fs::remove_dir_all(place(&folder).join("checkpoint")).unwrap();
    fs::write(place(&folder).join("checkpoint"), "a file in the way").unwrap();
    let refused = Journal::open(&place(&folder), &holder()).err().unwrap();
    let help = miette::Diagnostic::help(&refused).unwrap().to_string();
    assert!(help.contains("move it away by hand"), "{help}");
}

#[tokio::test]
async fn a_checkpoint_of_an_earlier_moment_is_caught_up() {
    let (lived, steps) = lived().await;
    let log = log_of(&place(&lived.folder), &lived.run);
    let bytes = fs::read(&log).unwrap();
    for at in [0, 1, steps.len() / 2, steps.len() - 1] {
        let folder = lived.copy();
        let here = place(&folder);
        fs::remove_dir_all(here.join("checkpoint")).unwrap();
        fs::write(log_of(&here, &lived.run), &bytes[..steps[at].bytes]).unwrap();
        drop(Journal::open(&here, &holder()).unwrap());
        fs::write(log_of(&here, &lived.run), &bytes).unwrap();
        assert_eq!(lived.must_be_rebuilt(&folder), None);
    }
}

/// What can only mean that committed records are gone is refused, and nothing is touched.
#[tokio::test]
async fn a_checkpoint_that_knows_more_than_the_log_is_refused() {
    let (lived, steps) = lived().await;
    let bytes = fs::read(log_of(&place(&lived.folder), &lived.run)).unwrap();
    let shorter = bytes[..steps[steps.len() - 2].bytes].to_vec();
    let mut torn = bytes.clone();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    for (log, words) in
        [(shorter, "committed; nothing was changed"), (torn, "something else there; nothing was changed")]
    {
        let folder = lived.copy();
        let path = log_of(&place(&folder), &lived.run);
        fs::write(&path, &log).unwrap();
        let refused = Journal::open(&place(&folder), &holder()).err().unwrap();
        assert!(refused.to_string().contains(words), "{refused}");
        let help = miette::Diagnostic::help(&refused).unwrap().to_string();
        assert!(help.contains("backup"), "{help}");
        assert!(fs::read(&path).unwrap() == log, "the log was changed");
    }
}

#[tokio::test]
async fn a_run_without_its_log_is_not_passed_over_in_silence() {
    let (lived, _) = lived().await;
    // The checkpoint of another journal beside this one's log.
    let folder = tempfile::tempdir().unwrap();
    let here = place(&folder);
    let journal = Journal::open(&here, &holder()).unwrap();
    let session = import(&journal, header(folder.path()), 3).await;
    drop(session.close(9, Stop::Requested("enough".into())).await.whole().unwrap());
    drop(journal);
    fs::remove_dir_all(here.join("checkpoint")).unwrap();
    copy(&place(&lived.folder).join("checkpoint"), &here.join("checkpoint"));
    let refused = Journal::open(&here, &holder()).err().unwrap();
    let told = refused.to_string();
    assert!(told.contains(&format!("the log of run {} is not in the journal", lived.run.id())), "{told}");
    // What the advice says.
    fs::rename(here.join("checkpoint"), here.join("elsewhere")).unwrap();
    assert_eq!(Journal::open(&here, &holder()).unwrap().runs().unwrap().len(), 1);
}

/// A cut may keep the removal of a log and lose the forgetting of its run.
#[test]
fn a_run_that_never_began_is_forgotten_without_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(&folder);
    drop(Journal::open(&here, &holder()).unwrap());
    let run = RunRecord::new(header(folder.path()), scan::Head::genesis(RunId(uuid::Uuid::nil())));
    let store = sled_store::SledStore::open(&here).unwrap().0;
    let mut fold = fold::RunFold::new(run, BTreeMap::new(), Vec::new());
    let mut cache = cache::Cache::new(std::sync::Arc::new(store));
    cache.write(&mut fold).unwrap();
    drop(cache);
    assert!(Journal::open(&here, &holder()).unwrap().runs().unwrap().is_empty());
}
