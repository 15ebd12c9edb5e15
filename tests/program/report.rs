//! The report files, as Excel, an operator's script and the program itself read them.

use crate::support::oracle::{Oracle, Slack};
use crate::support::{Stage, calm, table};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const COLUMNS: &str = "row,key,outcome,step,attempts,writes,started_at,finished_at,duration_ms,\
    exposed_ms,error_code,error,advice,request_id,\
    object_id,upn_before,upn_after,immutable_id_before,immutable_id_after,warnings";

const SUMMARY: [&str; 12] = [
    "run",
    "job",
    "target",
    "state",
    "rows",
    "outcomes",
    "writes",
    "reads",
    "throttled",
    "started_at",
    "finished_at",
    "exposed_ms",
];

const OUTCOMES: [&str; 8] = ["done", "failed", "held", "pending", "refused", "reverted", "stranded", "unchanged"];

fn finished() -> Stage {
    let stage = Stage::new(calm(200));
    stage.end(&mut stage.run_line()).must_end(1);
    stage
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

#[test]
fn outcomes_begin_with_a_bom_and_the_agreed_columns() {
    let stage = finished();
    let bytes = fs::read(stage.path("report/outcomes.csv")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let text = text.strip_prefix('\u{feff}').unwrap();
    assert_eq!(text.split("\r\n").next(), Some(COLUMNS));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
}

#[test]
fn every_line_tells_times_steps_and_reasons() {
    let stage = finished();
    let number = |text: &str| text.parse::<u64>().is_ok();
    for line in stage.outcomes() {
        assert!(is_time(&line["finished_at"]), "{line:?}");
        for column in ["row", "attempts", "writes", "exposed_ms"] {
            assert!(number(&line[column]), "{column}: {line:?}");
        }
        let good = ["done", "unchanged"].contains(&&line["outcome"][..]);
        for column in ["error_code", "error", "advice"] {
            assert_eq!(line[column].is_empty(), good, "{column}: {line:?}");
        }
        if line["outcome"] == "done" {
            assert!(is_time(&line["started_at"]) && number(&line["duration_ms"]), "{line:?}");
            assert!(!line["step"].is_empty() && !line["object_id"].is_empty(), "{line:?}");
            assert_eq!(line["upn_after"], line["key"]);
            let id = (&line["immutable_id_before"], &line["immutable_id_after"]);
            let was_restored_only = line["step"] == "restore";
            assert!(id.0 != id.1 || was_restored_only, "{line:?}");
        }
    }
}

#[test]
fn the_summary_has_the_agreed_shape() {
    let stage = finished();
    let summary = stage.summary();
    let found = keys(&summary);
    for key in SUMMARY.into_iter().chain(["rate"]) {
        assert!(found.contains(key), "{key} is not in {summary}");
    }
    assert_eq!(keys(&summary["outcomes"]), BTreeSet::from(OUTCOMES));
    assert!(keys(&summary["exposed_ms"]).is_superset(&BTreeSet::from(["p50", "p99", "max"])));
    assert!(keys(&summary["rate"]).is_superset(&BTreeSet::from(["mean", "budget"])));
    assert_eq!(summary["job"], "immutable-id");
    assert_eq!(summary["state"], "finished");
    assert_eq!(summary["rate"]["budget"], 100_000.0);
    for key in ["started_at", "finished_at"] {
        assert!(is_time(summary[key].as_str().unwrap()), "{summary}");
    }
    let status = stage.end(&mut stage.cutover(&["status", "--json"])).must_end(0);
    assert_eq!(status.json(), summary, "status tells the same");
}

#[test]
fn what_is_unfinished_is_input_for_the_same_job() {
    let stage = finished();
    let unfinished = table(&stage.path("report/unfinished.csv"));
    let outcomes = stage.outcomes();
    let left: Vec<_> = outcomes.iter().filter(|line| !["done", "unchanged"].contains(&&line["outcome"][..])).collect();
    assert_eq!(unfinished.len(), left.len());
    assert!(!left.is_empty());
    let people = table(&stage.path("people.csv"));
    for (row, line) in unfinished.iter().zip(&left) {
        let number: usize = line["row"].parse().unwrap();
        let person = &people[number - 1];
        assert_eq!((&row["upn"], &row["object_guid"]), (&person["upn"], &person["object_guid"]));
        assert_eq!(row["cutover_outcome"], line["outcome"]);
        assert_eq!(row["cutover_error"], line["error"]);
    }
    let check = stage.cutover(&["check", "immutable-id", "report/unfinished.csv"]);
    stage.end(&mut { check }).must_end(0);
    let before = stage.ask("/sim/users");
    fs::copy(stage.path("report/unfinished.csv"), stage.path("people.csv")).unwrap();
    let oracle = Oracle::look(&stage);
    let writes = stage.stat("writes");
    let again = stage.end(&mut stage.run_line()).must_end(1);
    assert_eq!(stage.outcomes().len(), left.len());
    assert_eq!(oracle.exposed(&stage), Vec::<String>::new(), "{again:?}");
    // Who was refused for good is refused again, and the tenant is as it was.
    assert!(stage.stat("writes") >= writes);
    assert_eq!(stage.ask("/sim/users"), before);
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_is_defused() {
    let stage = Stage::new(calm(10));
    let formula = "=cmd|' /C calc'!A0@contoso.com";
    let guid = "00112233-4455-6677-8899-aabbccddeeff";
    stage.write("people.csv", format!("upn,object_guid\n\"{formula}\",{guid}\n"));
    stage.end(&mut stage.run_line()).must_end(1);
    let line = &stage.outcomes()[0];
    assert_eq!(line["key"], format!("'{formula}"));
    assert_eq!(line["outcome"], "refused");
    let dangerous = |cell: &String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    assert!(!line.values().any(dangerous), "{line:?}");
    let row = &table(&stage.path("report/unfinished.csv"))[0];
    assert_eq!(row["upn"], formula, "the original cell, since it is input again");
}

#[test]
fn a_row_with_an_error_is_refused_and_the_others_are_worked_on() {
    let stage = Stage::new(calm(30));
    let text = fs::read_to_string(stage.path("people.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    stage.write("people.csv", format!("{header}\nno address,xyz\n{rows}"));
    stage.end(&mut stage.run_line()).must_end(1);
    let outcomes = stage.outcomes();
    assert_eq!(outcomes.len(), 31);
    assert_eq!(outcomes[0]["outcome"], "refused");
    assert!(outcomes[0]["error"].starts_with("line 2, column "), "{:?}", outcomes[0]);
    assert!(outcomes.iter().any(|line| line["outcome"] == "done"));
}

/// Nobody is exposed at the end, and some are done with a warning.
const FILES: [&str; 4] = ["outcomes.csv", "unfinished.csv", "summary.json", "warned.csv"];

#[test]
fn the_report_can_be_written_again_from_the_journal() {
    let stage = finished();
    let read = |folder: &str, file: &str| fs::read(stage.path(folder).join(file)).unwrap();
    let ran = stage.end(&mut stage.cutover(&["report", "--report", "again"])).must_end(0);
    for file in FILES {
        assert_eq!(read("again", file), read("report", file), "{file}");
        assert!(ran.stdout.contains(file), "{}", ran.stdout);
    }
    let parts = fs::read_dir(stage.path("again")).unwrap();
    assert_eq!(parts.count(), FILES.len(), "nothing half written is left behind");
}

#[test]
fn a_clean_run_needs_no_slack_and_no_secret_reaches_a_file() {
    let stage = Stage::new(calm(40));
    let oracle = Oracle::look(&stage);
    let ran = stage.end(&mut stage.run_with(&["--log", "log.json", "-vv"]));
    assert_eq!(oracle.complaints(&stage, &ran, Slack(0)), Vec::<String>::new());
    let secret = cutover::sim::CLIENT_SECRET.as_bytes();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    let mut files = vec![ran.stdout.into_bytes(), ran.stderr.into_bytes()];
    read_all(&stage.path("."), &mut files);
    assert!(files.len() > 8, "the journal, the report and the log");
    assert!(!files.iter().any(|bytes| holds(bytes)));
}

fn read_all(folder: &std::path::Path, files: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else {
            files.push(fs::read(&path).unwrap());
        }
    }
}
