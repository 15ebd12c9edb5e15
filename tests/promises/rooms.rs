//! The walls of the house, read from the source: a room imports only what is below it, files of a room import each other one way
//! only, and a type's name is used once.

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
const NOT_YET: &[(&str, &str)] = &[("machine", "job")];

/// Type names that are still used more than once. One that is gone leaves this list, too.
const NOT_YET_UNIQUE: &[&str] = &[
    "Answer", "Asked", "Claims", "Entry", "Fault", "Finding", "Found", "Person", "Request", "Snapshot", "Verdict",
    "Visit",
];

/// Files that still import themselves by way of others of their room. One that is out of its circle leaves this list, too.
const IN_CIRCLES: &[&str] = &[
    "job/expr.rs",
    "job/extra_reads.rs",
    "job/quick.rs",
    "job/scope.rs",
    "job/view.rs",
    "journal/error.rs",
    "journal/import.rs",
    "journal/line.rs",
    "journal/lock.rs",
    "journal/open.rs",
    "journal/reader.rs",
    "journal/run.rs",
    "journal/scan.rs",
    "journal/session.rs",
    "runner/assess.rs",
    "runner/observe.rs",
    "runner/plan.rs",
    "runner/reading.rs",
    "runner/row.rs",
    "runner/worker.rs",
    "sim/batch.rs",
    "sim/call.rs",
    "sim/endpoints.rs",
    "sim/mod.rs",
    "sim/odata.rs",
    "sim/operation.rs",
    "sim/population.rs",
    "sim/rules/domains.rs",
    "sim/rules/hard_match.rs",
    "sim/rules/risk.rs",
    "sim/rules/roles.rs",
    "sim/rules/users.rs",
    "sim/schema.rs",
    "sim/service.rs",
    "sim/state_file.rs",
    "sim/tenant.rs",
    "sim/view.rs",
    "sim/write_log.rs",
    "values/anchor.rs",
    "values/guid.rs",
    "values/immutable_id.rs",
    "values/mistake.rs",
    "values/spelling.rs",
    "values/upn.rs",
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

/// Inside a room, too, imports go one way: whoever reads a file need not have read one that imports it. These are still in a
/// circle; one that is out of it leaves this list, too.
#[test]
fn no_file_imports_itself_by_way_of_others() {
    let house = House::read();
    let found: BTreeSet<String> = house.files_in_circles();
    let known: BTreeSet<String> = IN_CIRCLES.iter().map(|file| (*file).to_owned()).collect();
    let new: Vec<_> = found.difference(&known).map(|file| (file, house.imports_in_room(file))).collect();
    assert!(new.is_empty(), "these files import each other in a circle: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "take these out of IN_CIRCLES, they are gone: {gone:?}");
}

/// Every file of the program as a module, with what it imports.
struct House {
    /// By the module's path.
    files: BTreeMap<Vec<String>, String>,
    /// By the file: whether the import is handed on, its path from the root, and the name it gets.
    imports: BTreeMap<String, Vec<(bool, Vec<String>, String)>>,
}

impl House {
    fn read() -> House {
        let mut house = House { files: BTreeMap::new(), imports: BTreeMap::new() };
        let files: Vec<(String, String)> = files()
            .iter()
            .map(|file| (file.strip_prefix(source()).unwrap().to_str().unwrap().to_owned(), without_tests(file)))
            .collect();
        for (file, _) in &files {
            house.files.insert(module_of(file), file.clone());
        }
        for (file, text) in &files {
            let imports = imports_in(text).into_iter().filter_map(|(is_public, path)| {
                let (path, name) = path.split_once(" as ").unwrap_or((&path, ""));
                let path: Vec<String> = path.split("::").map(str::to_owned).collect();
                let name = if name.is_empty() { path.last().unwrap().clone() } else { name.to_owned() };
                Some((is_public, house.below_root(file, &path)?, name))
            });
            let imports = imports.collect();
            house.imports.insert(file.clone(), imports);
        }
        house
    }

    /// None for what other crates have.
    fn below_root(&self, file: &str, path: &[String]) -> Option<Vec<String>> {
        let mut module = module_of(file);
        let ups = path.iter().take_while(|name| *name == "super").count();
        let rest = match path[0].as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "super" => {
                module.truncate(module.len() - ups);
                &path[ups..]
            }
            "self" => &path[1..],
            name => {
                let inner = [module.clone(), vec![name.to_owned()]].concat();
                self.files.get(&inner)?;
                path
            }
        };
        module.extend(rest.iter().filter(|name| *name != "self").cloned());
        Some(module)
    }

    /// The file that a path leads to, through modules that hand a name on.
    fn file_at(&self, path: &[String]) -> Option<&String> {
        let known = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        let file = &self.files[&path[..known]];
        let Some(name) = path.get(known) else {
            return Some(file);
        };
        let handed_on = self.imports[file].iter().find(|(is_public, _, as_name)| *is_public && as_name == name);
        match handed_on {
            Some((_, from, _)) => self.file_at(from),
            None => Some(file),
        }
    }

    fn imports_in_room(&self, file: &str) -> BTreeSet<String> {
        let room = file.split('/').next();
        // What a room's front door hands on it does not use.
        let uses = self.imports[file].iter().filter(|(is_public, ..)| !(*is_public && file.ends_with("mod.rs")));
        let files = uses.filter_map(|(_, path, _)| self.file_at(path));
        files.filter(|other| *other != file && other.split('/').next() == room).cloned().collect()
    }

    /// Those that are reached from themselves.
    fn files_in_circles(&self) -> BTreeSet<String> {
        let edges: BTreeMap<&String, BTreeSet<String>> =
            self.imports.keys().map(|file| (file, self.imports_in_room(file))).collect();
        let is_in_circle = |file: &&String| {
            let mut reached = BTreeSet::new();
            let mut ahead: Vec<&String> = edges[file].iter().collect();
            while let Some(next) = ahead.pop() {
                if reached.insert(next) {
                    ahead.extend(&edges[next]);
                }
            }
            reached.contains(*file)
        };
        self.imports.keys().filter(is_in_circle).cloned().collect()
    }
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").split('/').map(str::to_owned);
    path.filter(|name| !["mod", "lib", "main"].contains(&&name[..])).collect()
}

/// Every path after `use`, with groups in braces written out, and whether it is handed on.
fn imports_in(text: &str) -> Vec<(bool, String)> {
    let mut imports = Vec::new();
    for statement in text.split_inclusive(';') {
        let Some(at) = statement.rfind("use ").filter(|at| is_at_a_word(statement, *at)) else { continue };
        let line = statement[..at].rsplit('\n').next().unwrap_or_default();
        let path: String = statement[at + 4..].trim_end_matches(';').split_whitespace().collect::<Vec<_>>().join(" ");
        written_out("", &path, &mut |path| imports.push((line.trim_start().starts_with("pub"), path)));
    }
    imports
}

fn is_at_a_word(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
    line.is_empty() || line == "pub" || (line.starts_with("pub(") && line.ends_with(')'))
}

fn written_out(before: &str, path: &str, take: &mut impl FnMut(String)) {
    let Some((head, group)) = path.split_once('{') else {
        return take(format!("{before}{}", path.trim()));
    };
    let before = format!("{before}{}", head.trim());
    let group = group.trim_end();
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                start = (at + 1).min(group.len());
                if !part.is_empty() {
                    written_out(&before, part, take);
                }
            }
            _ => {}
        }
    }
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
    let text = "pub use a::{self, b::{C, D as E}};\n    pub(super) use super::f;\nlet because = 1;\nuse g::H;";
    let imports = imports_in(text);
    let imports: Vec<(bool, &str)> = imports.iter().map(|(is_public, path)| (*is_public, path.as_str())).collect();
    let handed_on = [(true, "a::self"), (true, "a::b::C"), (true, "a::b::D as E"), (true, "super::f")];
    assert_eq!(imports, [&handed_on[..], &[(false, "g::H")]].concat());
}
