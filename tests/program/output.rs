//! What standard output and standard error carry: one style of error, JSON lines that are alone on their stream, quiet that is
//! quiet, no colour where nobody sees it, and nothing that steers a terminal.

use crate::support::{Ran, Stage, calm, end, environment, program, tools};
use jsonschema::Validator;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

const SCHEMA: &str = include_str!("../../samples/progress-events.schema.json");

/// Two people for the tenant inside the process, against whom nothing speaks.
const PEOPLE: &str = "upn,object_guid\n\
    carl@contoso.com,9c5923e9-de52-33ea-88de-7ebc8633b9cc\n\
    emil@contoso.com,00112233-4455-6677-8899-aabbccddeeff\n";

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Standard error as JSON lines, each of which is as the schema says; the last one is the end.
#[track_caller]
fn events(ran: &Ran) -> Vec<Value> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let schema: Validator = jsonschema::validator_for(&schema).unwrap();
    let events: Vec<Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    for event in &events {
        if let Err(error) = schema.validate(event) {
            panic!("{event}: {error}");
        }
    }
    assert_eq!(events.last().unwrap()["event"], "end");
    events
}

fn named<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|one| one["event"] == name).collect()
}

#[test]
fn json_lines_are_alone_on_their_stream_and_tell_the_whole_run() {
    let stage = Stage::new(calm(120));
    let mut line = stage.cutover(&["run", "immutable-id", "people.csv", "--target", "sim.toml"]);
    line.args(["--report", "report", "--progress", "json", "--json", "-v"]);
    let ran = stage.end(line.env_remove("NO_COLOR")).must_end(1);
    let summary = stage.summary();
    assert_eq!(ran.json(), summary);

    let events = events(&ran);
    let rows = named(&events, "row");
    assert!(!rows.is_empty());
    let outcomes = stage.outcomes();
    for row in &rows {
        assert_eq!(row["run"], summary["run"]);
        let number = usize::try_from(row["row"].as_u64().unwrap()).unwrap();
        let line = &outcomes[number - 1];
        assert_eq!(row["key"], line["key"].as_str());
        assert_eq!(row["outcome"], line["outcome"].as_str());
        assert_eq!(row["error_code"].as_str().unwrap_or(""), line["error_code"].as_str());
    }
    for numbers in named(&events, "progress") {
        let counts = numbers["outcomes"].as_object().unwrap().values();
        let all: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(Some(all), numbers["rows"].as_u64(), "{numbers}");
        let tenths = numbers["budget_per_s"].as_f64().unwrap() * 10.0;
        assert!((tenths - tenths.round()).abs() < 1e-6, "{numbers}");
    }
    let last = events.last().unwrap();
    assert_eq!(last["exit_code"], 1);
    for fact in ["run", "state", "rows", "outcomes"] {
        assert_eq!(last[fact], summary[fact], "{fact}");
    }
    for file in ["outcomes", "unfinished", "summary"] {
        let path = last["report"][file].as_str().unwrap();
        assert!(stage.path(path).exists(), "{path}");
    }

    // A run that has finished already tells the same.
    let again = stage.end(&mut line).must_end(1);
    assert_eq!(again.json(), stage.summary());
    let again = self::events(&again);
    assert_eq!(again.last().unwrap()["run"], summary["run"]);
    // That it has finished, and what to do with the rows that need a person.
    assert_eq!(named(&again, "message").len(), 2);
}

#[test]
fn json_lines_are_alone_where_nothing_begins_too() {
    let folder = folder_with(&[("people.csv", PEOPLE), ("bad.csv", "name\nann\n")]);
    for (line, code) in [
        (&["run", "immutable-id", "people.csv"][..], "no-target"),
        (&["run", "immutable-id", "gone.csv", "--target", "sim"], "input-open"),
        (&["run", "immutable-id", "bad.csv", "--target", "sim"], "input-unusable"),
        (&["run", "immutable-id", "people.csv", "--max-failed", "many"], "usage"),
        (&["resume"], "journal-no-run"),
    ] {
        let line = [line, &["--progress", "json"]].concat();
        let ran = end(folder.path(), &line).must_end(2);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        let events = events(&ran);
        let errors = named(&events, "error");
        assert_eq!(errors.len(), 1, "{line:?}: {events:?}");
        assert_eq!(errors[0]["code"], code, "{line:?}");
        let last = events.last().unwrap();
        assert_eq!((&last["exit_code"], &last["report"]), (&2.into(), &Value::Null));
    }
}

#[test]
fn quiet_is_quiet_while_all_is_well() {
    let folder = folder_with(&[("people.csv", PEOPLE)]);
    let batch = ["immutable-id", "people.csv", "-q"];
    for line in [
        &["check"][..],
        &["plan", "--target", "sim"],
        &["run", "--target", "sim", "--set", "clear=always"],
        &["run", "--target", "sim", "--set", "clear=always"],
    ] {
        let line = [&line[..1], &batch, &line[1..]].concat();
        let ran = end(folder.path(), &line).must_end(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{line:?}");
    }
    let status = end(folder.path(), &["status", "-q", "--json"]).must_end(0);
    assert_eq!(status.json()["state"], "finished");
    assert!(status.stderr.is_empty(), "{}", status.stderr);
}

#[test]
fn quiet_says_what_went_wrong() {
    let folder = folder_with(&[("people.csv", &format!("{PEOPLE}nobody,\n"))]);
    let line = ["run", "immutable-id", "people.csv", "--target", "sim", "-q"];
    let ran = end(folder.path(), &line).must_end(1);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(ran.stderr.contains("line 4"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 row is neither done nor unchanged: "), "{}", ran.stderr);
    let ran = end(folder.path(), &["run", "immutable-id", "gone.csv", "-q"]).must_end(2);
    assert!(ran.stderr.starts_with("error[input-open]: "), "{}", ran.stderr);
}

fn coloured(folder: &TempDir, arguments: &[&str]) -> bool {
    let mut line = program(folder.path(), arguments);
    let ran = line.env_remove("NO_COLOR").output().unwrap();
    ran.stdout.contains(&0x1b) || ran.stderr.contains(&0x1b)
}

#[test]
fn no_colour_leaves_the_terminal() {
    let folder = folder_with(&[("people.csv", PEOPLE)]);
    let run = ["run", "immutable-id", "people.csv", "--target", "sim", "-vv"];
    for line in [
        &run[..],
        &["run", "immutable-id", "people.csv", "--target", "sim", "--progress", "bar"],
        &["doctor", "--target", "sim", "-v"],
        &["run", "immutable-id", "gone.csv"],
        &["rubbish"],
        &["--help"],
        &[],
    ] {
        assert!(!coloured(&folder, line), "{line:?}");
    }
    for line in [&["run", "immutable-id", "gone.csv"][..], &["rubbish"], &["--help"]] {
        let always = [line, &["--color", "always"]].concat();
        assert!(coloured(&folder, &always), "{always:?}");
        let never = [line, &["--color=never"]].concat();
        assert!(!coloured(&folder, &never), "{never:?}");
    }
}

/// A heading that sets the terminal's title and one that turns the text around; a job's name likewise.
#[test]
fn nothing_foreign_steers_a_terminal() {
    const STEERING: [char; 4] = ['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}'];
    const JOB: &str = "format = 1\nname = \"x\\u001b]0;y\\u0007\\u202e\"\ntitle = \"t\"\n";
    let folder = folder_with(&[("people.csv", "na\u{1b}]0;x\u{7}me,\u{202e}liam\u{2066}\n1,2\n"), ("evil.toml", JOB)]);
    let shipped = end(folder.path(), &["jobs", "show", "immutable-id"]).must_end(0);
    let renamed = shipped.stdout.replacen("name = \"immutable-id\"", "name = \"x\\u001b[31m\\u202e\"", 1);
    fs::write(folder.path().join("good.toml"), renamed).unwrap();
    for line in [
        &["check", "immutable-id", "people.csv"][..],
        &["check", "immutable-id", "people.csv", "--json"],
        &["run", "immutable-id", "people.csv", "--target", "sim"],
        &["run", "immutable-id", "people.csv", "--target", "sim", "--progress", "json"],
        &["jobs", "lint", "evil.toml"],
        &["jobs", "lint", "good.toml"],
        &["jobs", "diagram", "good.toml"],
        &["jobs", "show", "\u{1b}[31mred"],
        &["explain", "\u{202e}red"],
        &["\u{1b}[31mred"],
    ] {
        let ran = end(folder.path(), line);
        assert!(ran.code.is_some_and(|code| code <= 2), "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains(STEERING), "{line:?}: {said:?}");
    }
}

#[test]
fn every_error_has_one_style_and_a_code_that_explain_knows() {
    let folder = folder_with(&[
        ("people.csv", PEOPLE),
        ("bad.toml", "[graph]\ntenant = \"x\"\n"),
        ("job.toml", "format = 1\n"),
        ("export.jsonl", "no export\n"),
    ]);
    for line in [
        &["rubbish"][..],
        &["run"],
        &["run", "immutable-id", "people.csv", "--dry-run"],
        &["run", "immutable-id", "people.csv", "--max-failed", "many"],
        &["run", "immutable-id", "people.csv"],
        &["run", "immutable-id", "people.csv", "--target", "gone.toml"],
        &["run", "immutable-id", "people.csv", "--target", "bad.toml"],
        &["run", "immutable-id", "people.csv", "--target", "sim", "--set", "x=y"],
        &["run", "job.toml", "people.csv"],
        &["run", "immutable_id", "people.csv"],
        &["jobs", "lint", "job.toml"],
        &["check", "immutable-id", "gone.csv"],
        &["status"],
        &["pause"],
        &["journal", "export", "ff"],
        &["journal", "verify", "--export", "export.jsonl"],
        &["explain", "rubbish"],
        &["immutable-id", "rubbish"],
        &["sim", "--error-before", "2"],
    ] {
        let ran = end(folder.path(), line).must_end(2);
        let error = ran.stderr.lines().find(|line| line.starts_with("error"));
        let code = error.and_then(|error| error.strip_prefix("error["));
        let code = code.and_then(|rest| rest.split_once("]: "));
        let code = code.unwrap_or_else(|| panic!("{line:?}: {}", ran.stderr)).0;
        let page = end(folder.path(), &["explain", code]).must_end(0);
        assert!(page.stdout.contains("(an error of a command)"), "{code}");
        assert_eq!(ran.stderr.matches("error[").count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn what_was_meant_is_named() {
    let folder = folder_with(&[("people.csv", PEOPLE)]);
    for job in ["immutable_id", "immutableid", "imutable-id"] {
        let ran = end(folder.path(), &["check", job, "people.csv"]).must_end(2);
        let hint = "did you mean `immutable-id`?";
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
    let line = ["run", "immutable-id", "people.csv", "--dry-run"];
    let ran = end(folder.path(), &line).must_end(2);
    assert!(ran.stderr.contains("cutover plan"), "{}", ran.stderr);
    let line = ["plan", "immutable-id", "people.csv", "--target", "Sim"];
    end(folder.path(), &line).must_end(0);
}

/// A shell's limit, then the program.
fn limited(folder: &TempDir, limit: &str, arguments: &[&str]) -> Ran {
    let plain = program(folder.path(), arguments);
    let mut shell = environment::around(&plain, "sh");
    shell.arg("-c").arg(format!("{limit} && exec \"$0\" \"$@\""));
    shell.arg(plain.get_program()).args(plain.get_args());
    let ran = shell.output().unwrap();
    Ran {
        code: ran.status.code(),
        stdout: String::from_utf8_lossy(&ran.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
    }
}

/// Another account, since root has no limit of processes; then the limit, then the program.
#[cfg(target_os = "linux")]
#[test]
fn a_system_without_threads_is_told() {
    let folder = folder_with(&[("people.csv", PEOPLE)]);
    let plain = program(folder.path(), &["run", "immutable-id", "people.csv", "--target", "sim"]);
    // Where everybody may run it, whoever owns the place that it was built in.
    let copy = folder.path().join("cutover");
    std::fs::copy(plain.get_program(), &copy).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).unwrap();
    for processes in ["1", "2"] {
        let mut line = environment::around(&plain, "setpriv");
        line.args(["--reuid", "65534", "--clear-groups", "prlimit"]);
        line.arg(format!("--nproc={processes}"));
        let ran = line.arg(&copy).args(plain.get_args()).output();
        let Some(ran) = ran.ok().filter(|ran| ran.status.code() != Some(127)) else {
            return tools::cannot_run("`setpriv` or `prlimit` is not here");
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        if said.contains("setpriv:") {
            return tools::cannot_run(said);
        }
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains("error[system-limit]"), "{said}");
    }
}

/// The system says no in many ways, and each of them ends in an exit code with words.
#[cfg(unix)]
#[test]
fn a_limit_of_the_system_ends_in_an_exit_code() {
    let folder = folder_with(&[("people.csv", PEOPLE)]);
    let run = ["run", "immutable-id", "people.csv", "--target", "sim", "--progress", "none"];
    for limit in ["ulimit -f 0", "ulimit -f 1", "ulimit -f 16"] {
        let ran = limited(&folder, limit, &run);
        assert!(ran.code.is_some_and(|code| [2, 4, 5].contains(&code)), "{limit}: {ran:?}");
        assert!(ran.stderr.contains("error["), "{limit}: {ran:?}");
        fs::remove_dir_all(folder.path().join("cutover-journal")).unwrap();
    }
}
