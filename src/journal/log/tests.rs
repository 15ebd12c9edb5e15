//! Every cut, every changed byte, every failed call: what a log must still say.

use super::*;
use crate::journal::doubles::MemoryLogFile;
use crate::journal::error::Fault;
use crate::journal::line::LINE_BYTES_MAX;
use crate::journal::log_file::DiskLogFile;
use proptest::prelude::*;
use uuid::Uuid;

pub(super) const RUN: RunId = RunId(Uuid::from_u128(1));

pub(super) fn genesis() -> Head {
    Head::genesis(RUN)
}

/// A record that says this.
pub(super) fn rec(text: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "t": text })).unwrap()
}

/// A record with a text of so many letters.
pub(super) fn long(letter: char, count: usize) -> Vec<u8> {
    rec(&letter.to_string().repeat(count))
}

fn nothing(_: &Group<'_>) -> Result<(), LogError> {
    Ok(())
}

type Records = Vec<Vec<u8>>;

/// What was found between a known place and the end of a log.
#[derive(Debug, PartialEq, Eq)]
struct Tail {
    groups: u64,
    records: u64,
    torn_bytes: u64,
}

impl Tail {
    fn between(from: Head, head: Head, torn_bytes: u64) -> Tail {
        Tail { groups: head.group - from.group, records: head.records - from.records, torn_bytes }
    }
}

/// The records of a log from `from` on, group by group, and how it ends.
fn groups(medium: &dyn LogFile, from: Head) -> Result<(Vec<Records>, Tail), LogError> {
    let mut found = Vec::new();
    let (head, end) = inspect(medium, from, |group| {
        found.push(group.lines().map(|line| line.record()).collect());
        Ok::<_, LogError>(())
    })?;
    Ok((found, Tail::between(from, head, end)))
}

fn small() -> Vec<Vec<Vec<u8>>> {
    vec![
        vec![rec("a1"), rec("a2, a longer one")],
        vec![rec("b1")],
        vec![rec(""), rec("c2"), long('c', 70)],
        vec![rec("d1"), rec("d2")],
    ]
}

/// A log of these groups, and the head after each of them, the one before the first included.
fn written(groups: &[Vec<Vec<u8>>]) -> (MemoryLogFile, Vec<Head>) {
    let medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    let mut heads = vec![log.head()];
    for group in groups {
        log.append_group(group).unwrap();
        heads.push(log.head());
    }
    (medium, heads)
}

#[test]
fn a_group_costs_one_barrier_and_its_records_are_where_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = Log::create(Box::new(DiskLogFile::create(&path).unwrap()), RUN);
    let records = [rec("one"), rec(""), rec("three")];
    let positions = log.append_group(&records).unwrap();
    let second = DiskLogFile::open_to_read(&path).unwrap();
    for (position, record) in positions.iter().zip(&records) {
        assert_eq!(read_record(&second, *position).unwrap().as_ref(), Some(record));
    }
    let head = log.head();
    drop(log);
    let (mut log, end) = Log::open(Box::new(DiskLogFile::open(&path).unwrap()), genesis(), nothing).unwrap();
    assert_eq!((log.head(), end), (head, 0));
    assert_eq!((head.group, head.records), (1, 3));
    log.append_group(&[rec("four")]).unwrap();
    assert_eq!(log.head().records, 4);

    let (medium, _) = written(&small());
    assert_eq!(medium.syncs(), small().len() as u64);
}

#[test]
fn what_is_no_record_is_not_read() {
    let (medium, heads) = written(&small());
    for at in [1, 40, heads[4].offset, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(read_record(&medium, at).unwrap(), None);
    }
}

#[test]
fn a_group_without_records_costs_nothing() {
    let medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    assert!(log.append_group::<Vec<u8>>(&[]).unwrap().is_empty());
    assert_eq!((medium.syncs(), log.head()), (0, genesis()));
}

#[test]
fn every_cut_leaves_the_groups_before_it() {
    let (medium, heads) = written(&small());
    let bytes = medium.bytes();
    for cut in 0..=bytes.len() {
        let whole = heads.iter().filter(|head| head.offset <= cut as u64).count() - 1;
        let at = heads[whole].offset;
        let medium = MemoryLogFile::holding(bytes[..cut].to_vec());
        let (found, _) = groups(&medium, genesis()).unwrap();
        assert_eq!(found, small()[..whole], "cut at {cut}");

        let (mut log, found) = Log::open(Box::new(medium.clone()), genesis(), nothing).unwrap();
        let torn = cut as u64 - at;
        let end = torn;
        assert_eq!(found, end, "cut at {cut}");
        log.append_group(&[rec("next")]).unwrap();
        medium.cut_power(0);
        let (found, tail) = groups(&medium, genesis()).unwrap();
        assert_eq!((found.len(), tail.torn_bytes), (whole + 1, 0));
    }
}

/// The last group looks torn; any other is reported, at the frame that was hit.
#[test]
fn every_changed_byte_is_dropped_with_its_group_or_reported() {
    let (medium, heads) = written(&small());
    let bytes = medium.bytes();
    let last_group = heads[heads.len() - 2];
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let medium = MemoryLogFile::holding(bytes);
            let found = groups(&medium, genesis());
            if at as u64 >= last_group.offset {
                let (found, tail) = found.unwrap();
                let torn = medium.len().unwrap() - last_group.offset;
                assert_eq!(found, small()[..small().len() - 1]);
                assert_eq!(tail.torn_bytes, torn);
            } else {
                let Err(LogError::Damaged { at: told, record, fault: Fault::Checksum }) = found else {
                    panic!("byte {at}: {found:?}");
                };
                assert!(told <= at as u64 && record <= last_group.records);
                assert!(Log::open(Box::new(medium.clone()), genesis(), nothing).is_err());
                assert_eq!(medium.len().unwrap(), heads[heads.len() - 1].offset, "a damaged log is not cut");
            }
        }
    }
}

#[test]
fn bytes_behind_the_last_group_are_torn() {
    let (medium, _) = written(&small());
    for garbage in [vec![0; 300], vec![0xff; 300], b"x".to_vec()] {
        let mut bytes = medium.bytes();
        bytes.extend(&garbage);
        let (found, tail) = groups(&MemoryLogFile::holding(bytes), genesis()).unwrap();
        assert_eq!(found, small());
        assert_eq!(tail.torn_bytes, garbage.len() as u64);
    }
}

#[test]
fn a_log_longer_than_one_chunk_is_read_whole() {
    let long: Vec<Records> =
        (0..3000u32).map(|group| vec![long('g', 150 + group as usize % 7); 1 + group as usize % 3]).collect();
    let (medium, heads) = written(&long);
    assert!(medium.len().unwrap() > 1 << 20);
    let (found, tail) = groups(&medium, genesis()).unwrap();
    assert_eq!(found, long);
    assert_eq!((tail.groups, tail.records), (3000, heads[3000].records));
}

#[test]
fn damage_is_found_over_a_long_way() {
    let long = vec![vec![long('7', 900_000)], vec![rec("later")]];
    let (medium, heads) = written(&long);
    let mut bytes = medium.bytes();
    bytes[0] ^= 1;
    let found = groups(&MemoryLogFile::holding(bytes.clone()), genesis());
    assert!(matches!(found, Err(LogError::Damaged { at: 0, record: 1, fault: Fault::Checksum })), "{found:?}");
    bytes.truncate(heads[1].offset as usize);
    let (found, tail) = groups(&MemoryLogFile::holding(bytes), genesis()).unwrap();
    assert_eq!((found.len(), tail.torn_bytes), (0, heads[1].offset));
}

#[test]
fn an_edited_log_breaks_its_chain() {
    let (medium, heads) = written(&small());
    let other = written(&[vec![rec("x1")], vec![rec("b1")]]).0.bytes();
    let mut bytes = medium.bytes();
    // The same record in the same group, with a good checksum, out of another history.
    let (from, until) = (heads[1].offset as usize, heads[2].offset as usize);
    bytes.splice(from..until, other[other.len() - (until - from)..].iter().copied());
    let found = groups(&MemoryLogFile::holding(bytes), genesis());
    let at = heads[1].offset;
    assert!(matches!(found, Err(LogError::Damaged { at: told, record: 3, fault: Fault::Chain }) if told == at));

    let mut bytes = medium.bytes();
    bytes.drain(from..until);
    let found = groups(&MemoryLogFile::holding(bytes), genesis());
    assert!(matches!(found, Err(LogError::Damaged { record: 3, fault: Fault::Chain, .. })), "{found:?}");

    let foreign = Head::genesis(RunId(Uuid::from_u128(2)));
    let found = groups(&medium, foreign);
    assert!(matches!(found, Err(LogError::Damaged { at: 0, record: 1, fault: Fault::Chain })), "{found:?}");
}

#[test]
fn a_known_place_saves_reading_what_is_before_it() {
    let (medium, heads) = written(&small());
    for (known, head) in heads.iter().enumerate() {
        let (found, tail) = groups(&medium, *head).unwrap();
        assert_eq!(found, small()[known..]);
        assert_eq!(tail.groups, (small().len() - known) as u64);
    }
}

#[test]
fn a_place_that_is_not_in_the_log_is_refused() {
    let (medium, heads) = written(&small());
    let last = heads[4];
    let elsewhere = [
        Head { offset: last.offset - 1, ..last },
        Head { hash: heads[3].hash, ..last },
        Head { group: 3, ..last },
        Head { last_line: heads[3].offset, ..last },
        Head { last_line: u64::MAX, ..last },
        Head { last_line: last.offset, ..last },
    ];
    for head in elsewhere {
        let found = groups(&medium, head);
        assert!(matches!(found, Err(LogError::Elsewhere { .. })), "{head:?}: {found:?}");
    }
    let shorter = MemoryLogFile::holding(medium.bytes()[..heads[3].offset as usize].to_vec());
    let found = groups(&shorter, last);
    assert!(matches!(found, Err(LogError::Shortened { known, .. }) if known == last.offset), "{found:?}");
}

#[test]
fn the_first_error_is_final_and_says_what_is_durable() {
    for calls in 0..6 {
        let medium = MemoryLogFile::default();
        medium.fail_after(calls);
        let mut log = Log::create(Box::new(medium.clone()), RUN);
        let mut results = small().into_iter().map(|group| log.append_group(&group).map_err(|e| e.to_string()));
        let good = results.by_ref().take_while(Result::is_ok).count();
        assert_eq!(good as u32, calls / 2);
        for later in results {
            let told = later.unwrap_err();
            let durable: usize = small()[..good].iter().map(Vec::len).sum();
            assert!(told.contains(&format!("; {durable} records (")), "{told}");
            assert!(told.contains(if calls % 2 == 0 { "written;" } else { "made durable;" }), "{told}");
        }
        medium.cut_power(0);
        assert_eq!(groups(&medium, genesis()).unwrap().0, small()[..good]);
    }
}

#[test]
fn a_whole_group_whose_barrier_failed_is_made_durable_before_it_counts() {
    let medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    medium.fail_after(1);
    log.append_group(&[rec("in doubt")]).unwrap_err();
    drop(log);

    medium.fail_after(0);
    let opened = Log::open(Box::new(medium.clone()), genesis(), nothing);
    assert!(matches!(opened.err(), Some(LogError::Write { .. })));

    let (log, _) = Log::open(Box::new(medium.clone()), genesis(), nothing).unwrap();
    medium.cut_power(0);
    assert_eq!(log.head().records, 1);
    let (found, _) = groups(&medium, genesis()).unwrap();
    assert_eq!(found, [[rec("in doubt")]]);
}

#[test]
fn a_record_over_the_limit_does_not_end_the_log() {
    let medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    let long = vec![b' '; LINE_BYTES_MAX - crate::journal::line::TRAILER_BYTES_MAX];
    let longer = vec![b' '; long.len() + 1];
    assert!(matches!(log.append_group(&[&longer]), Err(LogError::RecordTooLong(_))));
    assert!(medium.is_empty().unwrap());
    log.append_group(&[rec("fits")]).unwrap();
    assert_eq!(groups(&medium, genesis()).unwrap().0, [[rec("fits")]]);
}

#[test]
fn the_visitor_can_end_the_walk() {
    let (medium, _) = written(&small());
    let mut seen = 0;
    let ended = inspect(&medium, genesis(), |group| {
        seen += 1;
        if group.head.group == 2 { Err(LogError::Elsewhere { known: 0 }) } else { Ok(()) }
    });
    assert!(matches!(ended, Err(LogError::Elsewhere { known: 0 })));
    assert_eq!(seen, 2);
}

proptest! {
    #[test]
    fn any_power_cut_leaves_whole_groups_and_all_that_was_synced(
        groups_in in proptest::collection::vec(proptest::collection::vec("\\PC{0,60}", 1..4), 1..6),
        kept in 0usize..400,
        unsynced in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let records = |group: &Vec<String>| group.iter().map(|text| rec(text)).collect();
        let groups_in: Vec<Records> = groups_in.iter().map(records).collect();
        let (mut medium, heads) = written(&groups_in);
        medium.append(&unsynced).unwrap();
        medium.cut_power(kept);
        let (found, tail) = groups(&medium, genesis()).unwrap();
        prop_assert_eq!(found, groups_in);
        prop_assert_eq!(tail.records, heads[heads.len() - 1].records);
    }
}

/// A log of the small groups on a disk with so much room; how many groups were taken, and what the log then says.
fn written_with_room(free: usize, reserve: usize) -> (MemoryLogFile, Log, usize) {
    let medium = MemoryLogFile::default();
    medium.limit_room(free, reserve);
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    let groups = small();
    let taken = groups.iter().map(|group| log.append_group(group));
    let taken = taken.take_while(Result::is_ok).count();
    (medium, log, taken)
}

#[test]
fn wherever_the_disk_becomes_full_the_reserve_takes_the_group_whole() {
    let (whole, _) = written(&small());
    let bytes = whole.bytes();
    for free in 0..=bytes.len() {
        let (medium, log, taken) = written_with_room(free, bytes.len());
        assert_eq!(taken, small().len(), "with {free} bytes free");
        assert_eq!(medium.bytes(), bytes, "with {free} bytes free");
        assert_eq!(log.shortage().reason().is_some(), free < bytes.len());
        medium.cut_power(0);
        assert_eq!(groups(&medium, genesis()).unwrap().0, small());
    }
}

#[test]
fn when_the_reserve_is_used_up_the_error_is_final_and_nothing_durable_is_lost() {
    let (whole, heads) = written(&small());
    let bytes = whole.bytes();
    for free in 0..bytes.len() {
        for reserve in 0..bytes.len() - free {
            let (medium, mut log, taken) = written_with_room(free, reserve);
            let fits = heads.iter().filter(|head| head.offset <= (free + reserve) as u64);
            assert_eq!(taken, fits.count() - 1, "{free} bytes free, {reserve} kept back");
            medium.limit_room(1 << 20, 1 << 20);
            let told = log.append_group(&[rec("later")]).unwrap_err().to_string();
            assert!(told.contains("could not be written"), "{told}");
            medium.cut_power(0);
            let (found, tail) = groups(&medium, genesis()).unwrap();
            assert_eq!(found, small()[..taken]);
            assert_eq!(tail.torn_bytes, 0);
        }
    }
}

/// Without a cut the half group would stand before the whole one.
#[test]
fn half_a_group_is_cut_off_before_it_is_appended_once_more() {
    let medium = MemoryLogFile::default();
    medium.limit_room(1 << 20, 1);
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    log.append_group(&[rec("first")]).unwrap();
    medium.fail_after(0);
    log.append_group(&[rec("second")]).unwrap();
    assert!(log.shortage().reason().is_some());
    let (found, tail) = groups(&medium, genesis()).unwrap();
    assert_eq!(found, [[rec("first")], [rec("second")]]);
    assert_eq!(tail.torn_bytes, 0);
    // Full a second time: there is nothing left to give up.
    medium.fail_after(0);
    assert!(log.append_group(&[rec("third")]).is_err());
    assert!(log.append_group(&[rec("fourth")]).is_err());
    assert_eq!(groups(&medium, genesis()).unwrap().0.len(), 2);
}

#[test]
fn a_failed_barrier_is_final_whatever_is_kept_back() {
    let medium = MemoryLogFile::default();
    medium.limit_room(1 << 20, 1 << 20);
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    // The medium says that it is full, but at the barrier.
    medium.fail_after(1);
    let told = log.append_group(&[rec("in doubt")]).unwrap_err().to_string();
    assert!(told.contains("could not be made durable"), "{told}");
    assert_eq!(log.shortage().reason(), None);
    assert!(log.append_group(&[rec("later")]).is_err());
    medium.cut_power(0);
    assert!(medium.is_empty().unwrap());
}

/// A medium that fails for a reason of its own, and would have something to give up.
struct Failing(MemoryLogFile, std::io::ErrorKind);

impl LogFile for Failing {
    fn append(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        Err(self.1.into())
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buf)
    }
    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.rewrite(offset, bytes)
    }
    fn truncate(&mut self, len: u64) -> std::io::Result<()> {
        self.0.truncate(len)
    }
    fn give_up_reserve(&mut self) -> std::io::Result<bool> {
        self.0.give_up_reserve()
    }
}

#[test]
fn nothing_is_given_up_for_another_error() {
    use std::io::ErrorKind::{FileTooLarge, Other, PermissionDenied, ReadOnlyFilesystem};
    for kind in [FileTooLarge, Other, PermissionDenied, ReadOnlyFilesystem] {
        let medium = MemoryLogFile::default();
        medium.limit_room(0, 9);
        let failing = Failing(medium.clone(), kind);
        let mut log = Log::create(Box::new(failing), RUN);
        assert!(log.append_group(&[rec("one")]).is_err());
        assert_eq!(log.shortage().reason(), None);
        assert!(medium.clone().give_up_reserve().unwrap(), "{kind:?}");
    }
}
