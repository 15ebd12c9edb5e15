//! The walls of the house, read from the source: a room imports only what is below it, and a type's name is used once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up: a room, and the rooms that it may know.
const ROOMS: [(&str, &[&str]); 12] = [
    ("core", &[]),
    ("values", &["core"]),
    ("batch", &["core", "values"]),
    ("job", &["core", "values", "batch"]),
    ("machine", &["core"]),
    ("journal", &["core", "values", "batch", "job", "machine"]),
    ("services", &["core"]),
    ("runner", &["core", "values", "batch", "job", "machine", "journal", "services"]),
    ("report", &["core", "values", "batch", "job", "machine", "journal", "services", "runner"]),
    ("progress", &["core", "values", "batch", "job", "machine", "journal", "services", "runner"]),
    (
        "cli",
        &["core", "values", "batch", "job", "machine", "journal", "services", "runner", "report", "progress", "sim"],
    ),
    ("sim", &[]),
];

/// Arrows that still point up. One that is gone leaves this list, too.
const NOT_YET: &[(&str, &str)] = &[("machine", "job"), ("report", "progress")];

/// Type names that are still used more than once. One that is gone leaves this list, too.
const NOT_YET_UNIQUE: &[&str] = &[
    "Answer",
    "Asked",
    "Batch",
    "Claims",
    "End",
    "Entry",
    "Event",
    "Fault",
    "Finding",
    "Forecast",
    "Found",
    "Mark",
    "Mistake",
    "Named",
    "Operation",
    "Payload",
    "Person",
    "Place",
    "PlanLine",
    "Problem",
    "Read",
    "Request",
    "Row",
    "Signals",
    "Snapshot",
    "Stage",
    "State",
    "Step",
    "Table",
    "Text",
    "Verdict",
    "Visit",
    "Waiter",
    "Walk",
    "Way",
    "Window",
];

#[test]
fn no_arrow_points_up() {
    let allowed: BTreeMap<_, _> = ROOMS.into_iter().collect();
    let mut found = BTreeMap::new();
    for file in files() {
        let Some(room) = room_of(&file) else { continue };
        assert!(allowed.contains_key(&room[..]), "{room} is no room of this house: {}", file.display());
        for other in rooms_in(&without_tests(&file)) {
            let is_up = other != room && !allowed[&room[..]].contains(&&other[..]);
            if is_up && allowed.contains_key(&other[..]) {
                found.entry((room.clone(), other)).or_insert(file.clone());
            }
        }
    }
    let known: BTreeSet<_> = NOT_YET.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let new: Vec<_> = found.iter().filter(|(arrow, _)| !known.contains(arrow)).collect();
    assert!(new.is_empty(), "these rooms import what is not below them: {new:?}");
    let gone: Vec<_> = known.iter().filter(|arrow| !found.contains_key(arrow)).collect();
    assert!(gone.is_empty(), "take these out of NOT_YET, they are gone: {gone:?}");
}

#[test]
fn a_name_of_a_type_is_used_once() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files() {
        for name in types_in(&without_tests(&file)) {
            places.entry(name).or_default().push(file.clone());
        }
    }
    places.retain(|_, files| files.len() > 1);
    let known: BTreeSet<&str> = NOT_YET_UNIQUE.iter().copied().collect();
    let new: Vec<_> = places.iter().filter(|(name, _)| !known.contains(&name[..])).collect();
    assert!(new.is_empty(), "these names stand for more than one type: {new:#?}");
    let gone: Vec<_> = known.iter().filter(|name| !places.contains_key(**name)).collect();
    assert!(gone.is_empty(), "take these out of NOT_YET_UNIQUE, they are gone: {gone:?}");
}

/// The Rust files of the program, without those that hold tests only.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_of_tests = path.file_stem().unwrap().to_str().unwrap().ends_with("tests");
            if is_of_tests {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "only {} files", files.len());
    files.sort();
    files
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// None for the two files that every crate has.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(source()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    let room = first.trim_end_matches(".rs");
    (!["lib", "main"].contains(&room)).then(|| room.to_owned())
}

/// A file's lines up to its tests, without comments.
fn without_tests(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The first names after `crate::`, also of a group in braces.
fn rooms_in(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            rooms.insert(name_at_the_start(after));
            continue;
        };
        let mut depth = 0;
        let mut at_a_name = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_a_name = true,
                _ if at_a_name && letter.is_alphabetic() => {
                    rooms.insert(name_at_the_start(&group[at..]));
                    at_a_name = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn name_at_the_start(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Types that are declared at the left margin.
fn types_in(text: &str) -> Vec<String> {
    let declared = text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
            Some(inside) => inside.split_once(')').map_or(rest, |(_, rest)| rest),
            None => rest,
        });
        let line = line.strip_prefix(' ').unwrap_or(line);
        ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.strip_prefix(word))
    });
    declared.map(name_at_the_start).collect()
}

#[test]
fn imports_and_types_are_found() {
    let text = "use crate::{job, machine::{Event, state}, runner};\npub(super) struct One;\nlet x = crate::sim::Two;\n    struct Inner;\npub enum Three {\n";
    let rooms: Vec<String> = rooms_in(text).into_iter().collect();
    assert_eq!(rooms, ["job", "machine", "runner", "sim"]);
    assert_eq!(types_in(text), ["One", "Three"]);
}
