//! Power cuts: every state that a disk may be in afterwards is opened, and must hold every group that was answered, and
//! nothing that was not handed in.
//!
//! A recorded medium remembers how the disk was after every call of the log. Of each such moment all disks that a cut may
//! leave are made: all of them where the log is small, some by a seed where it is long. Recovery is recorded and cut in the
//! same way.

use super::tests::{RUN, genesis, long, rec};
use super::*;
use crate::journal::doubles::{Choices, MemoryLogFile, SECTOR_BYTES};
use crate::journal::line::ChainHash;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Seeds of long histories; `CUTOVER_CUT_SEEDS=n` tries more, from `CUTOVER_CUT_SEED=n` on.
const SEEDS: u64 = 400;

type Records = Vec<Vec<u8>>;

/// The groups of a log, as `Log::open` or `inspect` show them.
#[derive(Default)]
struct Found {
    groups: Vec<Records>,
    heads: Vec<Head>,
}

impl Found {
    fn add(&mut self, group: &Group<'_>) -> Result<(), LogError> {
        let records = group.lines().map(|line| line.record());
        self.groups.push(records.collect());
        self.heads.push(group.head);
        Ok(())
    }
}

fn inspected(disk: &MemoryLogFile) -> Found {
    let mut found = Found::default();
    inspect(disk, genesis(), |group| found.add(group)).unwrap();
    found
}

/// A medium that remembers how the disk was after every call that may change it.
struct Recorded {
    medium: MemoryLogFile,
    moments: Moments,
}

type Moments = Arc<Mutex<Vec<MemoryLogFile>>>;

fn recorded(medium: &MemoryLogFile) -> (Recorded, Moments) {
    let moments = Moments::default();
    let recorded = Recorded { medium: medium.clone(), moments: Arc::clone(&moments) };
    (recorded, moments)
}

fn taken(moments: &Moments) -> Vec<MemoryLogFile> {
    std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Recorded {
    fn remember<R>(&self, result: R) -> R {
        self.moments.lock().unwrap().push(self.medium.fork());
        result
    }
}

impl LogFile for Recorded {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.medium.append(bytes);
        self.remember(result)
    }

    fn sync(&mut self) -> io::Result<()> {
        let result = self.medium.sync();
        self.remember(result)
    }

    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.medium.read_at(offset, buf)
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let result = self.medium.rewrite(offset, bytes);
        self.remember(result)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let result = self.medium.truncate(len);
        self.remember(result)
    }
}

/// What may be found after a cut.
#[derive(Debug, Clone, Default)]
struct Past {
    /// Answered, or shown by a recovery: must be there.
    committed: Vec<Records>,
    /// Handed in behind those and not answered: one of them may be there, whole.
    unanswered: Vec<Records>,
}

impl Past {
    fn handed_in(&self, group: &[Vec<u8>]) -> Past {
        let mut past = self.clone();
        past.unanswered.push(group.to_vec());
        past
    }

    fn answered(&self, group: &[Vec<u8>]) -> Past {
        let mut committed = self.committed.clone();
        committed.push(group.to_vec());
        Past { committed, unanswered: Vec::new() }
    }

    /// The past after these groups were shown to somebody.
    fn shown(&self, groups: &[Records]) -> Past {
        self.must_allow(groups);
        match groups.get(self.committed.len()) {
            Some(group) => self.answered(group),
            None => self.clone(),
        }
    }

    fn must_allow(&self, groups: &[Records]) {
        let known = self.committed.len();
        assert!(groups.len() >= known, "{} of {known} groups", groups.len());
        assert!(groups[..known] == self.committed, "committed records differ");
        let last = &groups[known..];
        assert!(last.len() <= 1, "{} groups were never handed in", last.len());
        assert!(last.iter().all(|group| self.unanswered.contains(group)), "the last group was never handed in so");
    }
}

/// Opens a disk; what it shows must be what is allowed, be there again, and be there after another cut that keeps nothing.
fn reopened(disk: &MemoryLogFile, past: &Past) -> Past {
    let mut found = Found::default();
    let (log, _) = Log::open(Box::new(disk.clone()), genesis(), |group| found.add(group)).unwrap();
    let past = past.shown(&found.groups);
    assert_eq!(log.head(), found.heads.last().copied().unwrap_or(genesis()));
    let mut again = Found::default();
    let (_, end) = Log::open(Box::new(disk.clone()), genesis(), |group| again.add(group)).unwrap();
    assert_eq!((end, again.groups.len()), (0, found.groups.len()));
    let kept = disk.fork();
    kept.cut_power_by(|_| 0);
    assert_eq!(inspected(&kept).groups.len(), found.groups.len());
    past
}

/// Every disk that a cut may leave of this one, each kind of content once.
fn every_cut(disk: &MemoryLogFile, mut see: impl FnMut(&MemoryLogFile)) {
    let mut seen = BTreeSet::new();
    let mut choices = Choices::default();
    while choices.again() {
        let left = disk.fork();
        left.cut_power_by(|count| choices.choose(count));
        if seen.insert(left.bytes()) {
            see(&left);
        }
    }
}

/// Records of sizes that share sectors, fill them, and cross them.
fn small() -> Vec<Records> {
    vec![
        vec![rec("a1"), long('2', 40)],
        vec![filling(SECTOR_BYTES - 100, '3', 2, Place::Last)],
        vec![long('4', 60), rec(""), long('5', 200)],
        vec![long('6', 600)],
        vec![long('7', 800), long('8', 1000)],
    ]
}

/// A record whose line takes exactly so many bytes.
fn filling(bytes: usize, letter: char, group: u64, place: Place) -> Vec<u8> {
    let mut line = Vec::new();
    write_line(&mut line, &ChainHash::genesis(RUN), group, place, &rec("")).unwrap();
    long(letter, bytes - line.len())
}

#[test]
fn every_disk_that_a_cut_may_leave_has_what_was_answered_and_opens_twice() {
    let (medium, moments) = recorded(&MemoryLogFile::default());
    let mut log = Log::create(Box::new(medium), RUN);
    let mut past = Past::default();
    let mut disks = 0;
    for group in small() {
        log.append_group(&group).unwrap();
        let under_way = past.handed_in(&group);
        past = past.answered(&group);
        let moments = taken(&moments);
        let (last, before) = moments.split_last().unwrap();
        for moment in before {
            every_cut(moment, |disk| {
                reopened(disk, &under_way);
                disks += 1;
            });
        }
        every_cut(last, |disk| drop(reopened(disk, &past)));
    }
    assert!(disks > 80, "only {disks} disks");
}

/// The tail is cut off and made durable; a cut at each point of that, and at each point of the group after it.
#[test]
fn every_cut_during_recovery_and_in_the_group_after_it_loses_nothing() {
    let group = vec![filling(SECTOR_BYTES, '1', 2, Place::Within), filling(SECTOR_BYTES, '2', 2, Place::Last)];
    let next = vec![filling(SECTOR_BYTES, '3', 3, Place::Within), long('4', 100)];
    let mut medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    log.append_group(&[rec("first")]).unwrap();
    let past = Past::default().answered(&[rec("first")]).handed_in(&group);
    let mut bytes = Vec::new();
    let hash = log.head().hash;
    let hash = write_line(&mut bytes, &hash, 2, Place::Within, &group[0]).unwrap();
    write_line(&mut bytes, &hash, 2, Place::Last, &group[1]).unwrap();
    medium.append(&bytes).unwrap();

    let mut disks = 0;
    every_cut(&medium, |disk| {
        let (recovering, moments) = recorded(&disk.fork());
        let recovered = recovering.medium.clone();
        let mut found = Found::default();
        let (mut log, _) = Log::open(Box::new(recovering), genesis(), |group| found.add(group)).unwrap();
        for moment in taken(&moments) {
            every_cut(&moment, |disk| drop(reopened(disk, &past)));
        }
        let past = past.shown(&found.groups);
        every_cut(&recovered, |disk| drop(reopened(disk, &past)));

        log.append_group(&next).unwrap();
        let under_way = past.handed_in(&next);
        for moment in &taken(&moments)[..1] {
            every_cut(moment, |disk| {
                reopened(disk, &under_way);
                disks += 1;
            });
        }
        every_cut(&recovered, |disk| drop(reopened(disk, &past.answered(&next))));
    });
    assert!(disks > 100, "only {disks} disks");
}

/// A group that a killed process wrote and never synced: who is shown it must find it after a cut.
#[test]
fn nobody_is_shown_a_group_that_a_cut_could_still_take_away() {
    let mut medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    log.append_group(&[rec("synced")]).unwrap();
    let mut bytes = Vec::new();
    write_line(&mut bytes, &log.head().hash, 2, Place::Last, &rec("written")).unwrap();
    medium.append(&bytes).unwrap();

    let disk = medium.fork();
    let after_a_cut = |shown: u64| {
        let left = disk.fork();
        left.cut_power_by(|_| 0);
        assert!(inspected(&left).groups.len() as u64 >= shown);
        Ok::<(), LogError>(())
    };
    let (head, _) = inspect_durable(&mut disk.clone(), genesis(), |group| after_a_cut(group.head.group)).unwrap();
    assert_eq!(head.group, 2);

    let disk = medium.fork();
    let after_a_cut = |shown: u64| {
        let left = disk.fork();
        left.cut_power_by(|_| 0);
        assert!(inspected(&left).groups.len() as u64 >= shown);
        Ok::<(), LogError>(())
    };
    Log::open(Box::new(disk.clone()), genesis(), |group| after_a_cut(group.head.group)).unwrap();
}

/// What lay on the disk before shows where data did not arrive: whole lines of a group that was dropped, between those of
/// the one written over it. They do not follow, and are no reason to refuse the log.
#[test]
fn old_lines_between_new_ones_are_a_torn_tail() {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let start = ChainHash::genesis(RUN);
    for (bytes, letter) in [(&mut old, '7'), (&mut new, '8')] {
        let record = |place| filling(SECTOR_BYTES, letter, 1, place);
        let hash = write_line(bytes, &start, 1, Place::Within, &record(Place::Within)).unwrap();
        write_line(bytes, &hash, 1, Place::Last, &record(Place::Last)).unwrap();
    }
    for mixed in [[&old[..SECTOR_BYTES], &new[SECTOR_BYTES..]], [&new[..SECTOR_BYTES], &old[SECTOR_BYTES..]]] {
        let medium = MemoryLogFile::holding(mixed.concat());
        let (log, end) = Log::open(Box::new(medium.clone()), genesis(), |_| Ok::<(), LogError>(())).unwrap();
        let bytes = mixed.concat().len() as u64;
        assert_eq!((log.head().group, end), (0, bytes));
        assert!(medium.is_empty().unwrap());
    }
}

/// One long life of a log by a seed: groups of all sizes, cut off at any point, recovered, cut off again.
struct Life {
    dice: ChaCha8Rng,
    disk: MemoryLogFile,
    past: Past,
    written: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        Life {
            dice: ChaCha8Rng::seed_from_u64(seed),
            disk: MemoryLogFile::default(),
            past: Past::default(),
            written: 0,
        }
    }

    /// Records that were never written before.
    fn group(&mut self) -> Records {
        let records = self.dice.random_range(1..=6);
        // Lines that nearly fill their sectors make old and new ones begin at about the same places.
        let sizes: &[usize] = if self.dice.random_bool(0.5) { &[376] } else { &[0, 40, 376, 888, 1400, 3000, 9000] };
        let mut record = |size: usize| {
            self.written += 1;
            let letter = char::from(b'a' + (self.written % 26) as u8);
            rec(&format!("{:08}{}", self.written, letter.to_string().repeat(size)))
        };
        (0..records).map(|_| sizes[self.dice.random_range(0..sizes.len())]).map(&mut record).collect()
    }

    fn cut(&mut self, disk: &MemoryLogFile) {
        disk.cut_power_by(|count| self.dice.random_range(0..count));
        self.disk = disk.clone();
    }

    /// One process: recovers, appends, and meets its end.
    fn process(&mut self) {
        let (medium, moments) = recorded(&self.disk);
        let mut found = Found::default();
        let (mut log, _) = Log::open(Box::new(medium), genesis(), |group| found.add(group)).unwrap();
        if self.dice.random_bool(0.3) {
            let moments = taken(&moments);
            let moment = &moments[self.dice.random_range(0..moments.len())];
            self.past.must_allow(&found.groups);
            return self.cut(moment);
        }
        self.past = self.past.shown(&found.groups);
        self.check_known_places(&found);
        taken(&moments);
        for _ in 0..self.dice.random_range(0..4) {
            let group = self.group();
            if self.dice.random_bool(0.1) {
                self.disk.fail_after(self.dice.random_range(0..2));
            }
            let result = log.append_group(&group);
            let moments = taken(&moments);
            if result.is_err() {
                self.past = self.past.handed_in(&group);
                break;
            }
            if self.dice.random_bool(0.3) {
                self.past = self.past.handed_in(&group);
                return self.cut(&moments[0]);
            }
            self.past = self.past.answered(&group);
        }
        // Killed, or without power.
        if self.dice.random_bool(0.5) {
            self.cut(&self.disk.clone());
        }
    }

    fn check_known_places(&mut self, found: &Found) {
        if found.heads.is_empty() {
            return;
        }
        let known = self.dice.random_range(0..found.heads.len());
        let mut rest = Found::default();
        inspect(&self.disk, found.heads[known], |group| rest.add(group)).unwrap();
        assert!(rest.groups == found.groups[known + 1..]);
    }
}

#[test]
fn a_long_life_of_cuts_loses_nothing_and_invents_nothing() {
    let number = |name, default| std::env::var(name).map_or(default, |text: String| text.parse().unwrap());
    let first: u64 = number("CUTOVER_CUT_SEED", 0);
    for seed in first..first + number("CUTOVER_CUT_SEEDS", SEEDS) {
        let lived = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            (0..20).for_each(|_| life.process());
        });
        assert!(lived.is_ok(), "seed {seed}: see above; CUTOVER_CUT_SEED={seed} repeats it");
    }
}
