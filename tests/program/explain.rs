//! `cutover explain` at the command line: a page of every kind as it reads, and a page for every code that a row can end with.

use crate::support::{Ran, end};
use cutover::job::{SHIPPED, find};
use cutover::machine::Outcome;
use cutover::services::{Class, known_codes};
use cutover::values::Rule;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn explain(code: &str) -> Ran {
    end(TempDir::new().unwrap().path(), &["explain", code])
}

fn page(code: &str) -> String {
    explain(code).must_end(0).stdout
}

#[test]
fn a_page_of_each_kind() {
    for (name, code) in [
        ("class", "InsufficientPrivilege"),
        ("service_code", "Request_BadRequest/ObjectConflict"),
        ("licence_code", "Authentication_RequestFromNonPremiumTenantOrB2CTenant"),
        ("sign_in_code", "AADSTS7000222"),
        ("unknown_sign_in_code", "AADSTS12"),
        ("directory_code", "ldap-49/775"),
        ("transport_code", "unreadable-reply"),
        ("status", "http-502"),
        ("machine_problem", "Replication"),
        ("runner_problem", "ChangedByOthers"),
        ("rule", "Character"),
        ("job_code", "Synchronized"),
        ("exit_code", "4"),
        ("outcome", "stranded"),
    ] {
        insta::assert_snapshot!(name, page(code));
    }
}

#[test]
fn without_a_code_all_are_listed() {
    let folder = TempDir::new().unwrap();
    let listed = end(folder.path(), &["explain"]).must_end(0).stdout;
    insta::assert_snapshot!("list", listed);
}

/// The file's rule and the job's check bear the same name: both are told.
#[test]
fn a_code_of_several_tables_has_several_pages() {
    let told = page("ImmutableId");
    assert!(told.contains("(a rule of the file)"), "{told}");
    assert!(told.contains("(a code of the job immutable-id)"), "{told}");
}

/// As they are copied out of a cell: in any case, with what stands around them.
#[test]
fn codes_are_taken_as_they_are_copied() {
    assert_eq!(page("objectconflict:"), page("ObjectConflict"));
    assert!(page("429").contains("leads to       Throttled"));
    assert_eq!(page("STRANDED"), page("stranded"));
}

#[test]
fn an_unknown_code_names_its_neighbours() {
    let ran = explain("Synchronised").must_end(2);
    assert!(ran.stderr.contains("Synchronized"), "{}", ran.stderr);
    let ran = explain("privilege").must_end(2);
    assert!(ran.stderr.contains("InsufficientPrivilege"), "{}", ran.stderr);
    let ran = explain("xyzzy").must_end(2);
    assert!(ran.stderr.contains("lists all of them"), "{}", ran.stderr);
}

#[test]
fn every_code_of_every_table_has_a_page() {
    let jobs: Vec<_> = SHIPPED.iter().map(|file| find(file.name).unwrap()).collect();
    let of_jobs = jobs.iter().flat_map(|job| job.checks.iter().chain(&job.refusals));
    let mut codes: Vec<String> = of_jobs.map(|objection| objection.code.clone()).collect();
    codes.extend(Rule::all().map(|rule| rule.name().to_owned()));
    codes.extend(Class::all().map(|class| class.kind().code.to_owned()));
    codes.extend(known_codes().map(|known| known.code.to_owned()));
    codes.extend(Outcome::ALL.iter().map(|outcome| outcome.word().to_owned()));
    codes.extend(["0", "1", "2", "3", "4", "5", "70"].map(str::to_owned));
    for code in codes {
        let told = page(&code);
        assert!(told.contains(&code) && told.contains("what to do"), "{code}: {told}");
    }
}

/// Literals of the form of a code that are something else.
const NO_CODES: [&str; 9] = [
    "api-version",
    "application-json",
    "client-request-id",
    "content-type",
    "get-access-token",
    "request-id",
    "retry-after",
    "return-client-request-id",
    "x-ms-throttle",
];

/// Codes are written where a fault or a problem is made. One that is in no table would end in a report, and nobody could ask
/// what it means.
#[test]
fn every_code_in_the_source_has_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = 0;
    for room in ["machine", "runner", "services"] {
        for file in files_under(&root.join(room)) {
            for code in codes_in(&file, room == "services") {
                found += 1;
                let ran = explain(&code);
                assert_eq!(ran.code, Some(0), "{code} in {}: {}", file.display(), ran.stderr);
            }
        }
    }
    assert!(found > 30, "only {found} codes were found in the source");
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let is_test = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        name.ends_with("_tests") || name == "test_server"
    };
    let mut files: Vec<PathBuf> = files.into_iter().filter(|path| !is_test(path)).collect();
    files.extend(folders.iter().flat_map(|folder| files_under(folder)));
    files.sort();
    files
}

/// What stands after `code:` and, where faults are made, every word with hyphens; tests and comments left out.
fn codes_in(file: &Path, makes_faults: bool) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let program = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let makes_faults = makes_faults && program.contains("Class::");
    let mut codes = Vec::new();
    for line in program.lines().filter(|line| !line.trim_start().starts_with("//")) {
        // Between the first and the second quotation mark, the third and the fourth, and so on.
        let literals = line.split('"').skip(1).step_by(2);
        let is_code = line.contains("code: \"");
        // A form of codes (`http-…`) is no code.
        let literals = literals.filter(|text| !text.contains('…'));
        codes.extend(literals.filter(|text| is_code || (makes_faults && is_hyphened(text))).map(str::to_owned));
    }
    codes
}

fn is_hyphened(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_other = NO_CODES.iter().any(|other| text.starts_with(other));
    let is_name = text.starts_with(|letter: char| letter.is_ascii_lowercase());
    words.len() > 1 && is_name && words.iter().all(is_word) && !is_other
}
