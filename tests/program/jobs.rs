//! Jobs and conversions at the command line: what is shipped can be shown, drawn and begun with, and a broken job
//! file yields every mistake at once, each with its place.

use crate::support::{Ran, end};
use tempfile::TempDir;

fn say(arguments: &[&str]) -> Ran {
    let folder = TempDir::new().unwrap();
    end(folder.path(), arguments)
}

/// GUID, octets in hex, ImmutableID, and the value that a wrong order of octets would give.
const VECTORS: [(&str, &str, &str, &str); 3] = [
    (
        "9c5923e9-de52-33ea-88de-7ebc8633b9cc",
        "e923599c52deea3388de7ebc8633b9cc",
        "6SNZnFLe6jOI3n68hjO5zA==",
        "nFkj6d5SM+qI3n68hjO5zA==",
    ),
    (
        "00112233-4455-6677-8899-aabbccddeeff",
        "33221100554477668899aabbccddeeff",
        "MyIRAFVEd2aImaq7zN3u/w==",
        "ABEiM0RVZneImaq7zN3u/w==",
    ),
    (
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "e004253f894fd3119a0c0305e82c3301",
        "4AQlP4lP0xGaDAMF6CwzAQ==",
        "PyUE4E+JEdOaDAMF6CwzAQ==",
    ),
];

const BROKEN: &str = r#"format = 1
name = "broken"
title = "A job with mistakes"
colour = "red"

[columns.upn]
kind = "email"
key = true

[observe]
properties = ["id"]

[[observe.look]]
name = "the account"
get = "/users/{{ row.upn }}?$select={{ select }}"

[[step]]
name = "set"
title = "set it"
when = "state.id =="
patch = "/users/{{ state.id }}"
body = { department = "x" }

[goal]
when = "nothing_known"
"#;

#[test]
fn every_mistake_of_a_job_file_is_told_at_once() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("broken.toml"), BROKEN).unwrap();
    let ran = end(folder.path(), &["jobs", "lint", "broken.toml"]).must_end(2);
    let places: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("broken.toml:"))
        .filter_map(|line| line.split(": ").next())
        .collect();
    let expected = ["4:1", "6:1", "7:8", "20:8", "25:8"];
    assert_eq!(places, expected.map(|place| format!("broken.toml:{place}")));
    for word in ["`colour`", "`email`", "`unique`", "`nothing_known`", "immutable-id"] {
        assert!(ran.stdout.contains(word), "{word} is not in {}", ran.stdout);
    }
}

#[test]
fn a_broken_job_cannot_be_used_and_says_the_same() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("broken.toml"), BROKEN).unwrap();
    std::fs::write(folder.path().join("people.csv"), "upn\n").unwrap();
    let ran = end(folder.path(), &["check", "broken.toml", "people.csv"]).must_end(2);
    for place in [":4:1", ":20:8", ":25:8"] {
        assert!(ran.complaint().contains(place), "{place} is not in {}", ran.stderr);
    }
}

/// Texts of a job that would be a directive, a link or HTML where a wiki draws the diagram.
#[test]
fn a_diagram_holds_nothing_but_states() {
    let folder = TempDir::new().unwrap();
    let job = say(&["jobs", "show", "immutable-id"]).must_end(0).stdout;
    let title = "title = \"restore the soft-deleted account\"";
    let evil = r#"title = "x\n%%{init: {}}%%\nclick step1 \"javascript:alert(1)\" <img src=x onerror=y>""#;
    assert!(job.contains(title));
    let goal = "[goal]\nwhen = ";
    let (before, after) = job.split_once(goal).unwrap();
    let (expression, after) = after.split_once('\n').unwrap();
    let expression = expression.trim_matches('"');
    let several = format!("{before}{goal}\"\"\"\n{expression}\n  and\n  true\"\"\"\n{after}");
    let evil = several.replace(title, evil);
    std::fs::write(folder.path().join("evil.toml"), evil).unwrap();
    let drawn = end(folder.path(), &["jobs", "diagram", "evil.toml"]).must_end(0);
    let drawn = drawn.stdout;
    for word in ["%%", "<", "\nclick", "javascript:"] {
        assert!(!drawn.contains(word), "{word:?} is in {drawn}");
    }
    let is_of_mermaid = |line: &&str| {
        let words = ["-->", "state", "note"];
        words.iter().any(|word| line.contains(word))
    };
    assert_eq!(drawn.lines().find(|line| !is_of_mermaid(line)), None);
}

#[test]
fn no_job_file_ends_the_program() {
    let folder = TempDir::new().unwrap();
    let chain = format!("format = 1\n[goal]\nwhen = \"{}true\"\n", "not ".repeat(50_000));
    let keys: String = (0..100_000).map(|n| format!("k{n} = 1\n")).collect();
    let tables: String = (0..200_000).map(|n| format!("[t{n}]\n")).collect();
    let names: String = (0..10_000).map(|n| format!("k{n} = 1\n")).collect();
    for text in [chain, keys, tables, names, "x".repeat(2_000_000)] {
        std::fs::write(folder.path().join("job.toml"), text).unwrap();
        let ran = end(folder.path(), &["jobs", "lint", "job.toml"]).must_end(2);
        assert!(ran.stderr.contains("error[job-file]"), "{}", ran.stderr);
        assert!(ran.stdout.len() + ran.stderr.len() < 200_000);
    }
}

#[test]
fn a_shipped_job_is_listed_shown_and_begun_with() {
    let list = say(&["jobs", "list"]).must_end(0).stdout;
    assert!(list.starts_with("immutable-id "), "{list}");
    assert_eq!(say(&["jobs"]).must_end(0).stdout, list);
    let shown = say(&["jobs", "show", "immutable-id"]).must_end(0).stdout;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("own.toml"), shown).unwrap();
    let ran = end(folder.path(), &["jobs", "lint", "own.toml"]).must_end(0);
    assert!(ran.stdout.contains("no mistakes"), "{}", ran.stdout);
}

#[test]
fn the_shipped_job_is_drawn() {
    insta::assert_snapshot!(say(&["jobs", "diagram", "immutable-id"]).must_end(0).stdout);
}

#[test]
fn rubbish_is_bad_usage() {
    for line in [
        &["jobs", "show", "rubbish"][..],
        &["jobs", "diagram", "rubbish"],
        &["jobs", "lint", "gone.toml"],
        &["jobs", "paint"],
        &["immutable-id", "rubbish"],
        &["immutable-id", ""],
        &["check", "rubbish", "people.csv"],
        &["rubbish"],
        &[],
    ] {
        let ran = say(line).must_end(2);
        assert!(!ran.stderr.is_empty(), "{line:?} says nothing");
        assert!(ran.stdout.is_empty(), "{line:?} says {}", ran.stdout);
    }
}

#[test]
fn an_immutable_id_is_converted_from_every_form() {
    for (guid, hex, immutable_id, wrong) in VECTORS {
        for given in [guid, immutable_id, &guid.to_uppercase(), &format!("{{{guid}}}"), hex] {
            let ran = say(&["immutable-id", given]).must_end(0);
            for form in [guid, hex, immutable_id] {
                assert!(ran.stdout.contains(form), "{given}: {}", ran.stdout);
            }
            assert!(!ran.stdout.contains(wrong), "{given}: {}", ran.stdout);
        }
    }
}

/// As with `cutover jobs show immutable-id | head`: nobody wants to read on, and that is no fault.
#[test]
fn a_reader_who_leaves_is_no_fault() {
    let folder = TempDir::new().unwrap();
    let mut child = crate::support::program(folder.path(), &["jobs", "show", "immutable-id"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}
