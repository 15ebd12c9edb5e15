//! The power is cut under the real program: its journal is on a file system of its own, in a file, which is shut down at a
//! random moment, so that everything that was not synced is lost. Then it is mounted again and the run goes on, until in the
//! end every row is told truly.
//!
//! Needs root on Linux, a loop device, `mkfs.xfs` and `xfs_io` (Debian: xfsprogs), and `mkfs.ext4`. What a disk may leave in other
//! ways is tried everywhere, next to the journal's code.
//!
//! `CUTOVER_CUTS=n` sets the number of cuts, `CUTOVER_CUT_SEED=n` the seed of their moments.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Ran, Stage, calm, number, tools};
use cutover::journal::RunId;
use cutover::journal::error::LogError;
use cutover::journal::log::inspect;
use cutover::journal::log_file::DiskLogFile;
use cutover::journal::scan::Head;
use cutover::sim::{Faults, Options};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const ROWS: u64 = 240;
const CUTS: u64 = 6;
const SEED: u64 = 30;
/// Writes that one process may leave in doubt for one person.
const DOUBTS_A_CUT: u64 = 2;

/// xfs makes none smaller. The file is sparse.
const DISK_BYTES: u64 = 320 << 20;
const UNMOUNT_TRIES: u32 = 100;
const UNMOUNT_AGAIN_AFTER: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
enum FileSystem {
    Xfs,
    Ext4,
}

/// A file system in a file, mounted. It is unmounted and gone when it is dropped.
struct Disk {
    file_system: FileSystem,
    folder: TempDir,
    mounted: bool,
}

impl Disk {
    /// None, with a word on standard error, where that cannot be.
    fn new(file_system: FileSystem) -> Option<Disk> {
        match Disk::made(file_system) {
            Ok(disk) => Some(disk),
            Err(why) => {
                tools::cannot_run(format!("no power is cut on {file_system:?}: {why}"));
                None
            }
        }
    }

    fn made(file_system: FileSystem) -> Result<Disk, String> {
        if fs::metadata("/proc/self").map_err(|error| error.to_string())?.uid() != 0 {
            return Err("only root can mount a file system".into());
        }
        say(Command::new("losetup").arg("-f"))?;
        say(Command::new("xfs_io").arg("-V"))?;
        let mut disk = Disk { file_system, folder: TempDir::new().map_err(|error| error.to_string())?, mounted: false };
        fs::create_dir(disk.place()).map_err(|error| error.to_string())?;
        let file = File::create(disk.image()).and_then(|file| file.set_len(DISK_BYTES));
        file.map_err(|error| error.to_string())?;
        let mut make = match file_system {
            FileSystem::Xfs => Command::new("mkfs.xfs"),
            FileSystem::Ext4 => Command::new("mkfs.ext4"),
        };
        say(make.arg("-q").arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// In folders that the program has to make.
    fn journal(&self) -> PathBuf {
        self.place().join("batches/tonight/journal")
    }

    fn mount(&mut self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        say(mount.args(["-o", "loop"]).arg(self.image()).arg(self.place()))?;
        self.mounted = true;
        Ok(())
    }

    /// From here on nothing reaches the disk, and what was not synced never will.
    fn shut_down(&self) {
        say(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(self.place())).unwrap();
    }

    fn come_back(&mut self) {
        self.unmount().unwrap_or_else(|error| panic!("{:?}: {error}", self.file_system));
        self.mount().unwrap();
    }

    fn unmount(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.mounted) {
            return Ok(());
        }
        let mut result = Ok(());
        for _ in 0..UNMOUNT_TRIES {
            result = say(Command::new("umount").arg(self.place()));
            if result.is_ok() {
                return Ok(());
            }
            std::thread::sleep(UNMOUNT_AGAIN_AFTER);
        }
        // Whoever still holds it, nobody new gets at it, and it goes with its last user.
        say(Command::new("umount").arg("-l").arg(self.place()))?;
        result
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{}: {error}", self.place().display());
        }
    }
}

/// Runs a tool; the error is what it said.
fn say(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.output().map_err(|error| format!("{name}: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr).trim()))
}

#[test]
fn after_power_cuts_on_xfs_everybody_is_as_the_report_says() {
    cut_again_and_again(FileSystem::Xfs);
}

#[test]
fn after_power_cuts_on_ext4_everybody_is_as_the_report_says() {
    cut_again_and_again(FileSystem::Ext4);
}

fn cut_again_and_again(file_system: FileSystem) {
    let Some(mut disk) = Disk::new(file_system) else {
        return;
    };
    let seed = number("CUTOVER_CUT_SEED", SEED);
    let cuts = number("CUTOVER_CUTS", CUTS);
    let stage = Stage::new(troubled(seed));
    // So slow that the cuts fall into the middle of the work.
    stage.write("sim.toml", stage.connection("100/1s"));
    let oracle = Oracle::look(&stage);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let met = (0..cuts).filter(|_| {
        let moment = Duration::from_millis(dice.random_range(50..=700));
        cut_after(&stage, &mut disk, moment)
    });
    let met = met.count() as u64;
    assert!(met > cuts / 2, "seed {seed}: only {met} of {cuts} cuts met the process at work");

    stage.write("sim.toml", stage.connection("100000/1s"));
    let ran = stage.end(&mut line(&stage, &disk));
    must_be_calm(&ran);
    let complaints = oracle.complaints(&stage, &ran, Slack(DOUBTS_A_CUT * (cuts + 1)));
    assert!(complaints.is_empty(), "seed {seed}: {}\n{ran:?}", complaints.join("\n"));
    let summary = stage.summary();
    assert!(summary["outcomes"]["done"].as_u64() > Some(ROWS / 2), "seed {seed}: {summary}");
    assert_eq!(summary["outcomes"]["stranded"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["outcomes"]["held"], 0, "seed {seed}: {summary}");
    assert_eq!(summary["state"], "finished", "seed {seed}");
    assert_eq!(runs(&stage, &disk), 1, "seed {seed}: one run all along");
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

fn line(stage: &Stage, disk: &Disk) -> Command {
    let mut line = stage.quick_run(&["--max-failed", "100%", "--max-stranded", "1000"]);
    line.env("CUTOVER_JOURNAL", disk.journal());
    line
}

/// Whether the process was still at work when the power went.
fn cut_after(stage: &Stage, disk: &mut Disk, moment: Duration) -> bool {
    let mut going = stage.start(&mut line(stage, disk));
    std::thread::sleep(moment);
    let met = !going.has_ended();
    disk.shut_down();
    must_be_calm(&going.kill());
    disk.come_back();
    met
}

/// Whatever the disk does: no panic is shown.
fn must_be_calm(ran: &Ran) {
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// How many runs the journal knows; it must open.
fn runs(stage: &Stage, disk: &Disk) -> usize {
    let mut line = stage.cutover(&["runs", "--json"]);
    let ran = stage.end(line.env("CUTOVER_JOURNAL", disk.journal())).must_end(0);
    must_be_calm(&ran);
    ran.json().as_array().unwrap().len()
}

/// A killed process has written a group and not synced it. A command that only looks believes it and writes nothing, so that after
/// a cut no checkpoint knows more than the log.
#[test]
fn looking_at_a_killed_run_before_the_power_fails_loses_nothing() {
    let Some(mut disk) = Disk::new(FileSystem::Xfs) else {
        return;
    };
    let stage = Stage::new(calm(60));
    stage.write("sim.toml", stage.connection("100/1s"));
    let mut going = stage.start(&mut line(&stage, &disk));
    stage.await_writes(20, &mut going);
    going.kill();
    say(&mut Command::new("sync")).unwrap();
    forget_to_sync_the_last_group(&disk.journal());
    assert_eq!(runs(&stage, &disk), 1);
    assert!(!disk.journal().join("checkpoint").exists());
    disk.shut_down();
    disk.come_back();
    assert_eq!(runs(&stage, &disk), 1);
    let ran = stage.end(&mut line(&stage, &disk));
    assert!([Some(0), Some(1)].contains(&ran.code), "{ran:?}");
    assert_eq!(runs(&stage, &disk), 1);
}

/// Leaves the journal as a kill does between the write and the sync of a group.
fn forget_to_sync_the_last_group(journal: &Path) {
    fs::remove_dir_all(journal.join("checkpoint")).unwrap();
    let log = fs::read_dir(journal.join("runs")).unwrap().next().unwrap().unwrap().path();
    let name = log.file_stem().unwrap().to_str().unwrap();
    let id = uuid::Uuid::parse_str(name).unwrap();
    let start = Head::genesis(RunId(id));
    let mut ends = vec![0];
    inspect(&DiskLogFile::open_to_read(&log).unwrap(), start, |group| {
        ends.push(group.head.offset);
        Ok::<(), LogError>(())
    })
    .unwrap();
    let bytes = fs::read(&log).unwrap();
    let (last, end) = (ends[ends.len() - 2] as usize, ends[ends.len() - 1] as usize);
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.set_len(last as u64).unwrap();
    file.sync_all().unwrap();
    file.write_all(&bytes[last..end]).unwrap();
}
