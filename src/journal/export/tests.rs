//! An export proves itself: whatever is changed in it is found, with its line.

use super::*;
use crate::journal::entry::Entry;
use crate::journal::test_world::{World, begun, done, frames, groups, log_of, mended};
use crate::journal::verify::{Compared, Finding, Kind, Scratch, Verdict};
use proptest::prelude::*;

fn exported(world: &World) -> Vec<u8> {
    let mut out = Vec::new();
    let medium = world.disk.open_to_read(world.id).unwrap();
    export_log(world.id, &*medium, &mut out).unwrap();
    out
}

fn lines() -> Vec<String> {
    let text = String::from_utf8(exported(&World::of(&groups()))).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

fn verdict_of(bytes: &[u8]) -> Verdict {
    check(&mut &*bytes, None, Scratch::Memory).unwrap()
}

fn told(verdict: &Verdict) -> String {
    let lines = verdict.findings.iter().map(|finding: &Finding| {
        let number = |of: Option<u64>| of.map_or_else(|| "-".into(), |number| number.to_string());
        let (line, record) = (number(finding.line), number(finding.record));
        format!(
            "line {line}, record {record} {:?}: {}",
            finding.kind, finding.message
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_export_that_nobody_touched_is_good() {
    let world = World::of(&groups());
    let verdict = verdict_of(&exported(&world));
    assert_eq!(told(&verdict), "");
    assert!(verdict.ok);
    assert_eq!(verdict.records, 10);
    assert_eq!(verdict.head, world.frames()[9].hash.to_string());
    assert_eq!(
        verdict.head,
        world.verdict(None).head,
        "as the journal says"
    );
    assert_eq!(verdict.checkpoint, Compared::None);
}

#[test]
fn the_form_of_an_export_does_not_change_by_accident() {
    let lines = lines();
    // The second line holds the digest of a file, which is long and says nothing here.
    insta::assert_snapshot!(
        [&lines[0], &lines[2], &lines[7], &lines[9], &lines[11]]
            .map(String::as_str)
            .concat()
    );
}

#[test]
fn every_forgery_is_named_with_its_line() {
    type Forgery = (&'static str, fn(&mut Vec<String>));
    let forgeries: [Forgery; 17] = [
        ("what a person reads", |lines| {
            lines[9] = lines[9].replace("\"at\":20", "\"at\":21");
        }),
        ("the payload", |lines| {
            let payload = lines[9].rfind("payload").unwrap() + 14;
            lines[9].replace_range(payload..=payload, "Z");
        }),
        ("no base64", |lines| {
            let payload = lines[9].rfind("payload").unwrap() + 14;
            lines[9].replace_range(payload..=payload, "*");
        }),
        ("the hash", |lines| {
            let hash = lines[9].find("\"hash\":\"").unwrap() + 8;
            lines[9].replace_range(hash..hash + 4, "0000");
        }),
        ("the group", |lines| {
            lines[9] = lines[9].replace("\"group\":6", "\"group\":5");
        }),
        ("the end of a group", |lines| {
            lines[9] = lines[9].replace("\"last\":true", "\"last\":false");
        }),
        ("the place", |lines| {
            lines[9] = lines[9].replace("\"offset\":", "\"offset\":1");
        }),
        ("a number", |lines| {
            lines[9] = lines[9].replace("\"record\":9", "\"record\":8");
        }),
        ("a space", |lines| {
            lines[9] = lines[9].replace("\"record\":9", "\"record\": 9");
        }),
        ("a line cut out", |lines| drop(lines.remove(5))),
        ("a line cut out, the others numbered anew", |lines| {
            lines.remove(10);
            lines[10] = lines[10].replace("\"records\":10", "\"records\":9");
        }),
        ("lines swapped", |lines| lines.swap(5, 6)),
        ("a line twice", |lines| lines.insert(6, lines[5].clone())),
        ("the tail cut off", |lines| lines.truncate(8)),
        ("the tail cut off but for the last line", |lines| {
            drop(lines.drain(9..11));
        }),
        ("the last line only", |lines| drop(lines.pop())),
        ("something behind the end", |lines| {
            lines.push(lines[9].clone())
        }),
    ];
    let mut all = String::new();
    for (what, forge) in forgeries {
        let mut changed = lines();
        forge(&mut changed);
        let verdict = verdict_of(changed.concat().as_bytes());
        assert_eq!(verdict.findings.len(), 1, "{what}: {}", told(&verdict));
        assert!(!verdict.ok);
        all += &format!("{what}\n    {}\n", told(&verdict));
    }
    insta::assert_snapshot!(all);
}

/// A record edited and the rest of the export made anew around it: only a head noted elsewhere tells.
#[test]
fn an_export_that_was_made_anew_needs_a_noted_head() {
    let world = World::of(&groups());
    let head = world.frames()[9].hash;
    let mut others = groups();
    others[4] = vec![begun(1), begun(4)];
    world.disk.put(world.id, log_of(world.id, &others));
    let forged = exported(&world);
    assert!(verdict_of(&forged).ok);
    let verdict = check(&mut &*forged, Some(head), Scratch::Memory).unwrap();
    assert_eq!(verdict.findings[0].kind, Kind::Head);
}

#[test]
fn a_noted_head_is_found_in_the_middle() {
    let world = World::of(&groups());
    let bytes = exported(&world);
    let noted = world.frames()[6].hash;
    let verdict = check(&mut &*bytes, Some(noted), Scratch::Memory).unwrap();
    assert!(verdict.ok);
    assert!(verdict.notes[0].ends_with("record 7; 3 records follow it"));
}

#[test]
fn rows_that_cannot_have_gone_this_way_are_named() {
    let mut impossible = groups();
    impossible[5] = vec![done(4)];
    let world = World::of(&groups());
    world.disk.put(world.id, log_of(world.id, &impossible));
    let verdict = verdict_of(&exported(&world));
    assert_eq!(verdict.findings.len(), 1, "{}", told(&verdict));
    let finding = &verdict.findings[0];
    assert_eq!(
        (finding.kind, finding.line, finding.record),
        (Kind::Impossible, Some(10), Some(9))
    );
    assert!(
        finding.message.starts_with("row 4: "),
        "{}",
        finding.message
    );
}

#[test]
fn what_is_no_export_of_this_version_is_refused() {
    let refused = |text: &str| check(&mut text.as_bytes(), None, Scratch::Memory).unwrap_err();
    for foreign in [
        "",
        "\n",
        "{}\n",
        "row,key\n",
        "{\"cutover_export\":1,\"run\":\"x\"}\n",
    ] {
        assert!(
            matches!(refused(foreign), UnusableExport::Foreign),
            "{foreign}"
        );
    }
    let newer = "{\"cutover_export\":2,\"run\":1}\n";
    assert!(matches!(
        refused(newer),
        UnusableExport::Format { found: 2 }
    ));
}

#[test]
fn a_damaged_log_is_not_exported_as_if_it_were_whole() {
    let world = World::of(&groups());
    let mut all = world.frames();
    all.remove(5);
    world.disk.put(world.id, mended(&all));
    let mut out = Vec::new();
    let medium = world.disk.open_to_read(world.id).unwrap();
    let error = export_log(world.id, &*medium, &mut out).unwrap_err();
    assert!(error.to_string().contains("record 6"), "{error}");
    assert_eq!(verdict_of(&out).findings[0].kind, Kind::Cut);
}

#[test]
fn a_torn_tail_is_left_out() {
    let world = World::of(&groups());
    let good = exported(&world);
    let mut bytes = world.disk.bytes(world.id);
    bytes.extend([1; 70]);
    world.disk.put(world.id, bytes);
    let mut out = Vec::new();
    let medium = world.disk.open_to_read(world.id).unwrap();
    let told = export_log(world.id, &*medium, &mut out).unwrap();
    assert_eq!((told.torn_bytes, told.records), (70, 10));
    assert_eq!(out, good);
}

/// Records of every kind say in JSON what they are, and the payload is what the log has.
#[test]
fn every_payload_is_the_logs_own() {
    let log = log_of(World::of(&groups()).id, &groups());
    for (line, frame) in lines()[1..11].iter().zip(frames(&log)) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let entry: Entry = serde_json::from_value(value["entry"].clone()).unwrap();
        assert_eq!(Ok(entry), Entry::decode(&frame.payload));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_changed_byte_is_found(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = exported(&World::of(&groups()));
        let at = at.index(bytes.len());
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        bytes[at] ^= flip;
        match check(&mut &*bytes, None, Scratch::Memory) {
            // The first line says what it is and where the chain begins.
            Err(UnusableExport::Foreign | UnusableExport::Format { .. }) => prop_assert_eq!(line, 1),
            Err(error) => prop_assert!(false, "{}", error),
            Ok(verdict) => {
                prop_assert!(!verdict.ok);
                let found = verdict.findings[0].line.unwrap();
                // Another name of the run breaks the chain at its first record.
                let due = if line == 1 { [1, 2] } else { [line, line] };
                prop_assert!(due.contains(&found), "line {}: {}", line, told(&verdict));
            }
        }
    }

    #[test]
    fn any_cut_is_found(cut in any::<prop::sample::Index>()) {
        let mut bytes = exported(&World::of(&groups()));
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes.truncate(first_line + cut.index(bytes.len() - first_line));
        prop_assert!(!verdict_of(&bytes).ok);
    }
}
