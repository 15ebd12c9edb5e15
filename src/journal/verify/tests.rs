//! Every way of changing a journal is found and named, and nothing is found where nothing was changed.

use super::*;
use crate::journal::cache::{decode, encode, keys};
use crate::journal::line::Place;
use crate::journal::row::{RowNumber, RowRecord};
use crate::journal::run::Stop;
use crate::journal::store::Batch;
use crate::journal::test_world::{LineParts, World, begun, done, groups, hash_of, log_of, mended, moved, run_header};
use crate::machine::{Event, RowState};
use proptest::prelude::*;
use uuid::Uuid;

/// What was found, a line each.
fn told(verdict: &Verdict) -> String {
    let lines = verdict.findings.iter().map(|finding| {
        let number = |of: Option<u64>| of.map_or_else(|| "-".into(), |number| number.to_string());
        let (record, offset) = (number(finding.record), number(finding.offset));
        format!("{record} @{offset} {:?}: {}", finding.kind, finding.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A world whose log was put in order by a forger.
fn forged(change: impl FnOnce(&mut Vec<LineParts>)) -> World {
    let world = World::of(&groups());
    let mut lines = world.lines();
    change(&mut lines);
    world.disk.put(world.id, mended(&lines));
    world
}

fn edit(line: &mut LineParts, from: &str, to: &str) {
    let record = String::from_utf8(line.record.clone()).unwrap();
    assert!(record.contains(from), "{record}");
    line.record = record.replace(from, to).into();
}

#[test]
fn a_journal_that_nobody_touched_is_good() {
    let world = World::of(&groups());
    let verdict = world.verdict(None);
    assert_eq!(told(&verdict), "");
    assert!(verdict.ok);
    assert_eq!(verdict.records, 10);
    assert_eq!(verdict.checkpoint, Compared::Compared);
    assert_eq!(verdict.head, world.lines()[9].hash.to_string());
}

type Forgery = (&'static str, fn(&mut Vec<LineParts>));

#[test]
fn every_forgery_with_mended_checksums_is_named() {
    let forgeries: [Forgery; 14] = [
        ("a record's content, hash as it was", |lines| {
            edit(&mut lines[6], "[10,{\"Observed\"", "[11,{\"Observed\"");
        }),
        ("a record's content and its own hash", |lines| {
            edit(&mut lines[6], "[10,{\"Observed\"", "[11,{\"Observed\"");
            lines[6].hash = hash_of(&lines[5].hash, &lines[6]);
        }),
        ("the first record's content", |lines| {
            edit(&mut lines[0], "\"me\"", "\"he\"");
        }),
        ("the last record's content", |lines| {
            edit(&mut lines[9], "enough", "rather");
        }),
        ("a record's hash", |lines| {
            lines[7].hash = ChainHash::genesis(RunId(Uuid::from_u128(7)));
        }),
        ("a record's group and its own hash", |lines| {
            lines[5].group = 9;
            lines[5].hash = hash_of(&lines[4].hash, &lines[5]);
        }),
        ("a record taken out of its group", |lines| {
            lines.remove(2);
        }),
        ("a group taken out", |lines| {
            lines.remove(5);
        }),
        ("the first record taken out", |lines| {
            lines.remove(0);
        }),
        ("two records of a group swapped", |lines| lines.swap(1, 2)),
        ("two groups swapped", |lines| lines.swap(4, 5)),
        ("a record twice", |lines| {
            lines.insert(6, lines[5].clone());
        }),
        ("an earlier record once more", |lines| {
            lines.insert(8, lines[4].clone());
        }),
        ("a record put in", |lines| {
            let mut forged = lines[8].clone();
            forged.record = begun(4).encode().unwrap();
            forged.hash = hash_of(&lines[7].hash, &forged);
            lines.insert(8, forged);
        }),
    ];
    let mut all = String::new();
    for (what, forge) in forgeries {
        let verdict = forged(forge).verdict(None);
        assert_eq!(verdict.findings.len(), 1, "{what}: {}", told(&verdict));
        assert_eq!(verdict.checkpoint, Compared::LogNotGood, "{what}");
        all += &format!("{what}\n    {}\n", told(&verdict));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn bytes_that_were_changed_without_a_care_are_named_with_their_record() {
    let world = World::of(&groups());
    let good = world.disk.bytes(world.id);
    let mut all = String::new();
    let mut at = 0;
    for (number, line) in (1..).zip(good.split_inclusive(|byte| *byte == b'\n')) {
        for (what, byte) in [("content", at + 3), ("hash", at + line.len() - 50)] {
            let mut bytes = good.clone();
            bytes[byte] ^= 1;
            world.disk.put(world.id, bytes);
            let verdict = world.verdict(None);
            let finding = &verdict.findings[0];
            assert_eq!((finding.record, finding.kind), (Some(number), Kind::Damaged));
            assert_eq!(finding.offset, Some(at as u64));
            all += &format!("{what} of record {number}\n    {}\n", told(&verdict));
        }
        at += line.len();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_tail_that_was_cut_off_is_missed_by_the_checkpoint() {
    let world = World::of(&groups());
    let bytes = world.disk.bytes(world.id);
    let lines = world.lines();
    let last = bytes.len() - mended(&lines[..9]).len();
    for cut in [1, last - 1, last, last + 1, bytes.len() - 60] {
        world.disk.put(world.id, bytes[..bytes.len() - cut].to_vec());
        let verdict = world.verdict(None);
        assert_eq!(verdict.findings.len(), 1, "cut {cut}: {}", told(&verdict));
        assert_eq!(verdict.findings[0].kind, Kind::Cut, "cut {cut}");
    }
    world.disk.put(world.id, mended(&lines[..7]));
    let in_a_group = world.verdict(None);
    assert_eq!(in_a_group.findings[0].kind, Kind::Cut);
    assert_eq!(in_a_group.findings[0].record, Some(8));
    world.disk.put(world.id, mended(&lines[..9]));
    insta::assert_snapshot!(told(&world.verdict(None)));
}

/// What a power cut leaves is no finding: nobody ever acted on it.
#[test]
fn a_torn_tail_is_worth_a_note() {
    let world = World::of(&groups());
    let mut bytes = world.disk.bytes(world.id);
    bytes.extend([0x5a; 100]);
    world.disk.put(world.id, bytes);
    let verdict = world.verdict(None);
    assert_eq!(told(&verdict), "");
    assert!(verdict.notes[0].starts_with("the last 100 bytes"), "{verdict:?}");
}

#[test]
fn a_log_that_was_written_anew_is_not_the_one_that_the_checkpoint_knows() {
    let world = World::of(&groups());
    let head = world.lines()[9].hash;
    let mut others = groups();
    others[6] = vec![Entry::Closed { at: 30, stop: Stop::Requested("forged".into()) }];
    world.disk.put(world.id, log_of(world.id, &others));
    let verdict = world.verdict(None);
    assert_eq!(verdict.findings[0].kind, Kind::Rewritten, "{}", told(&verdict));
    // Without the checkpoint it is as good as the original, and only a head noted elsewhere can tell.
    world.store.lose();
    assert!(world.verdict(None).ok);
    let verdict = world.verdict(Some(head));
    assert_eq!(verdict.findings[0].kind, Kind::Head);
}

#[test]
fn a_noted_head_proves_everything_before_it() {
    let world = World::of(&groups());
    let lines = world.lines();
    let note = |at: usize| {
        let verdict = world.verdict(Some(lines[at].hash));
        assert!(verdict.ok, "{}", told(&verdict));
        verdict.notes[0].clone()
    };
    assert!(note(9).ends_with("record 10, the last one"));
    assert!(note(6).ends_with("record 7; 3 records follow it"));
    world.store.lose();
    world.disk.put(world.id, mended(&lines[..9]));
    let verdict = world.verdict(Some(lines[9].hash));
    assert_eq!(verdict.findings[0].kind, Kind::Head, "{}", told(&verdict));
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let world = World::of(&groups());
    world.disk.remove(world.id).unwrap();
    assert_eq!(world.verdict(None).findings[0].kind, Kind::Missing);
}

/// Whole chains that say what no run says: somebody wrote them with care, or the program had a fault.
#[test]
fn what_cannot_have_happened_is_named() {
    let with = |group: usize, entry: Entry| {
        let mut all = groups();
        all[group] = vec![entry];
        all
    };
    let stranger = || {
        let mut header = run_header();
        header.id = RunId(Uuid::from_u128(9));
        Entry::began(header)
    };
    let worlds = [
        ("a row done that was not begun", with(5, done(4)), Kind::Impossible),
        ("a row that is not there", with(5, begun(5)), Kind::Misplaced),
        ("fewer rows", with(2, Entry::Imported { rows: 3, at: 6 }), Kind::Misplaced),
        ("a second beginning", with(3, stranger()), Kind::Misplaced),
        ("another run", with(0, stranger()), Kind::Misplaced),
        ("no end of the input", with(2, begun(1)), Kind::Misplaced),
        ("rows in disorder", with(1, Entry::Rows(vec![])), Kind::Misplaced),
    ];
    let mut all = String::new();
    for (what, groups, kind) in worlds {
        let world = World::of(&super::tests::groups());
        world.store.lose();
        world.disk.put(world.id, log_of(world.id, &groups));
        let verdict = world.verdict(None);
        assert_eq!(verdict.findings.len(), 1, "{what}: {}", told(&verdict));
        assert_eq!(verdict.findings[0].kind, kind, "{what}");
        all += &format!("{what}\n    {}\n", told(&verdict));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_record_of_a_later_version_is_named() {
    let world = forged(|lines| {
        lines[9].record = br#"{"closed_for_good":{}}"#.to_vec();
        lines[9].hash = hash_of(&lines[8].hash, &lines[9]);
    });
    world.store.lose();
    let verdict = world.verdict(None);
    assert_eq!(verdict.findings[0].kind, Kind::Unreadable);
    assert_eq!(verdict.findings[0].record, Some(10));
}

/// A checkpoint in which something was changed behind the program's back.
fn with_checkpoint(change: impl FnOnce(&World, &mut Batch)) -> Verdict {
    let world = World::of(&groups());
    let mut batch = Batch::default();
    change(&world, &mut batch);
    world.store.apply(batch).unwrap();
    world.verdict(None)
}

fn with_row(world: &World, change: impl FnOnce(&mut RowRecord)) -> Vec<u8> {
    let key = keys::numbered(keys::ROW, world.id, RowNumber(1));
    let mut row: RowRecord = decode(&world.store.get(&key).unwrap().unwrap()).unwrap();
    change(&mut row);
    encode(&row).unwrap()
}

#[test]
fn a_checkpoint_that_says_something_else_is_told_row_by_row() {
    type Change = fn(&World, &mut Batch);
    let changes: [(&str, Change); 8] = [
        ("a row's state", |world, batch| {
            let row = with_row(world, |row| row.state = RowState::Waiting);
            batch.insert(keys::numbered(keys::ROW, world.id, RowNumber(1)), Some(row));
        }),
        ("a row's numbers", |world, batch| {
            let row = with_row(world, |row| row.writes = 7);
            batch.insert(keys::numbered(keys::ROW, world.id, RowNumber(1)), Some(row));
        }),
        ("a row that is gone", |world, batch| {
            batch.insert(keys::numbered(keys::ROW, world.id, RowNumber(3)), None);
        }),
        ("a row too many", |world, batch| {
            let row = with_row(world, |_| {});
            batch.insert(keys::numbered(keys::ROW, world.id, RowNumber(4)), Some(row));
        }),
        ("a row that nobody would go on with", |world, batch| {
            batch.insert(keys::numbered(keys::HELD, world.id, RowNumber(3)), None);
        }),
        ("a place of input rows", |world, batch| {
            batch.insert(keys::numbered(keys::CHUNK, world.id, RowNumber(4)), Some(encode(&7_u64).unwrap()));
        }),
        ("the run's counts", |world, batch| {
            let run = world.journal().runs().unwrap().remove(0);
            let changed = RunRecord { writes: 9, begun_through: 0, ..run };
            batch.insert(keys::of(keys::RUN, world.id), Some(encode(&changed).unwrap()));
        }),
        ("no run's record at all", |world, batch| {
            batch.insert(keys::of(keys::RUN, world.id), Some(vec![0xff; 3]));
        }),
    ];
    let mut all = String::new();
    for (what, change) in changes {
        let verdict = with_checkpoint(change);
        assert_eq!(verdict.findings.len(), 1, "{what}: {}", told(&verdict));
        assert_eq!(verdict.findings[0].kind, Kind::Checkpoint, "{what}");
        all += &format!("{what}\n    {}\n", told(&verdict));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn many_findings_are_counted() {
    let verdict = with_checkpoint(|world, batch| {
        let row = with_row(world, |_| {});
        for number in 5..55 {
            batch.insert(keys::numbered(keys::ROW, world.id, RowNumber(number)), Some(row.clone()));
        }
    });
    assert_eq!((verdict.findings.len(), verdict.more_findings), (20, 30));
}

/// Looking must not remove what a forger may have made of it.
#[test]
fn a_run_that_never_began_is_left_where_it_is() {
    let world = World::of(&groups());
    world.store.lose();
    world.disk.put(world.id, log_of(world.id, &groups()[..2]));
    let verdict = world.verdict(None);
    assert!(verdict.ok, "{}", told(&verdict));
    assert_eq!(verdict.checkpoint, Compared::NeverBegan);
    assert_eq!(world.disk.logs().unwrap(), [world.id]);
}

#[test]
fn a_name_must_be_that_of_one_run() {
    let runs = || vec![RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2))];
    let dir = Path::new("journal");
    assert_eq!(chosen(dir, runs(), None).unwrap().len(), 2);
    let one = chosen(dir, runs(), Some("00000000-0000-0000-0000-000000000002")).unwrap();
    assert_eq!(one, [runs()[1]]);
    assert!(matches!(chosen(dir, runs(), Some("0000")), Err(JournalError::AmbiguousRun { .. })));
    assert!(matches!(chosen(dir, runs(), Some("f")), Err(JournalError::UnknownRun { .. })));
    assert!(matches!(chosen(dir, Vec::new(), None), Err(JournalError::NoRun { .. })));
}

#[test]
fn a_row_may_move_more_than_once_in_a_group() {
    let mut all = groups();
    all[4] = vec![begun(3), begun(1), done(1), moved(3, 11, vec![Event::Recovered])];
    all.remove(5);
    let world = World::of(&all);
    let verdict = world.verdict(None);
    assert_eq!(told(&verdict), "");
    let places = world.lines().into_iter().map(|line| line.place);
    assert_eq!(places.filter(|place| *place == Place::Last).count(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_changed_byte_below_the_head_is_found(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let world = World::of(&groups());
        let mut bytes = world.disk.bytes(world.id);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        world.disk.put(world.id, bytes);
        let verdict = world.verdict(None);
        prop_assert_eq!(verdict.findings.len(), 1);
        let finding = &verdict.findings[0];
        let (from, number) = line_around(&world, at);
        prop_assert_eq!((finding.offset, finding.record), (Some(from), Some(number)), "{}", told(&verdict));
    }

    /// Whatever is left of a log, verifying it neither panics nor praises what is not whole.
    #[test]
    fn any_cut_is_found(cut in any::<prop::sample::Index>()) {
        let world = World::of(&groups());
        let mut bytes = world.disk.bytes(world.id);
        bytes.truncate(cut.index(bytes.len()));
        world.disk.put(world.id, bytes);
        let verdict = world.verdict(None);
        prop_assert!(!verdict.ok);
        prop_assert_eq!(verdict.findings[0].kind, Kind::Cut);
    }
}

/// Where the line of the undamaged log begins that has this byte, and its number.
fn line_around(world: &World, at: usize) -> (u64, u64) {
    let log = log_of(world.id, &groups());
    let (mut from, mut number) = (0, 1);
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        if at < from + line.len() {
            break;
        }
        from += line.len();
        number += 1;
    }
    (from as u64, number)
}
