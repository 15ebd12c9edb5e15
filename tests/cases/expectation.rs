//! Whether what a command left is what its case demands.

use crate::manifest::{Case, Expectation, RowEnd};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What a command left: its words, its report, and the tenant.
pub struct Ending {
    /// None: it hung and was killed.
    code: Option<i32>,
    stdout: String,
    stderr: String,
    /// Every report file, one after the other.
    report: String,
    outcomes: Vec<BTreeMap<String, String>>,
    summary: Value,
    /// The people by name, as the tenant has them.
    pub people: BTreeMap<String, Value>,
    pub writes: u64,
}

impl Ending {
    pub fn new(code: Option<i32>, stdout: String, stderr: String, report: &Path) -> Ending {
        let read = |name: &str| fs::read_to_string(report.join(name)).unwrap_or_default();
        let outcomes = read("outcomes.csv");
        let outcomes = outcomes.trim_start_matches('\u{feff}');
        let lines = csv::Reader::from_reader(outcomes.as_bytes()).into_deserialize();
        Ending {
            code,
            stdout,
            stderr,
            report: ["outcomes.csv", "unfinished.csv", "summary.json"].map(read).concat(),
            outcomes: lines.collect::<Result<_, _>>().unwrap(),
            summary: serde_json::from_str(&read("summary.json")).unwrap_or_default(),
            people: BTreeMap::new(),
            writes: 0,
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("exit {:?}, {} writes\n", self.code, self.writes);
        let people = serde_json::to_string_pretty(&self.people).unwrap();
        let told = [("stdout", &self.stdout), ("stderr", &self.stderr), ("report", &self.report), ("people", &people)];
        for (name, content) in told {
            writeln!(text, "--- {name}\n{content}").unwrap();
        }
        text
    }

    fn words(&self) -> String {
        format!("{}\n{}\n{}", self.stdout, self.stderr, self.report)
    }

    fn findings(&self) -> Result<Vec<Value>, String> {
        let told: Value =
            serde_json::from_str(&self.stdout).map_err(|error| format!("standard output is no JSON: {error}"))?;
        Ok(told["findings"].as_array().cloned().unwrap_or_default())
    }
}

/// One of the case's expectations must hold.
pub fn check(case: &Case, ending: &Ending) -> Result<(), String> {
    let mut why = Vec::new();
    for expectation in &case.expect {
        match meets(expectation, ending) {
            Ok(()) => return Ok(()),
            Err(reason) => why.push(reason),
        }
    }
    Err(why.join("\nor: "))
}

fn meets(expected: &Expectation, ending: &Ending) -> Result<(), String> {
    let code = ending.code.ok_or("it did not end in time")?;
    demand(expected.exit.contains(&code), || format!("exit {code}, expected one of {:?}", expected.exit))?;
    says(&ending.words(), &expected.says)?;
    if code != 0 {
        says(&ending.words(), &expected.refused_says)?;
    }
    for word in &expected.says_not {
        demand(!ending.words().contains(word), || format!("it says `{word}`"))?;
    }
    findings(expected, ending)?;
    for (row, end) in &expected.row {
        row_ended(row, end, ending)?;
    }
    for (outcome, [least, most]) in &expected.outcomes {
        let rows = ending.summary["outcomes"][outcome].as_u64();
        let rows = rows.unwrap_or_else(|| count(ending, outcome));
        demand((*least..=*most).contains(&rows), || format!("{rows} rows are {outcome}"))?;
    }
    for (name, state) in &expected.state {
        person_is(name, state, ending)?;
    }
    if let Some(most) = expected.max_writes {
        demand(ending.writes <= most, || format!("{} writes", ending.writes))?;
    }
    Ok(())
}

fn demand(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Of each group one word must be there.
fn says(text: &str, groups: &[Vec<String>]) -> Result<(), String> {
    let plain = text.to_lowercase();
    for group in groups {
        let found = group.iter().any(|word| plain.contains(&word.to_lowercase()));
        demand(found, || format!("none of {group:?} is said"))?;
    }
    Ok(())
}

fn findings(expected: &Expectation, ending: &Ending) -> Result<(), String> {
    let of_check = expected.rows.is_some()
        || !expected.error_rows.is_empty()
        || !expected.no_error_rows.is_empty()
        || !expected.row_says.is_empty();
    if !of_check {
        return Ok(());
    }
    let findings = ending.findings()?;
    let of_row = |row: u64| findings.iter().filter(move |finding| finding["row"] == row);
    let has_error = |row| of_row(row).any(|finding| finding["severity"] == "error");
    for row in &expected.error_rows {
        demand(has_error(*row), || format!("row {row} has no error"))?;
    }
    for row in &expected.no_error_rows {
        demand(!has_error(*row), || format!("row {row} has an error"))?;
    }
    for (row, groups) in &expected.row_says {
        let told: Vec<String> = of_row(row.parse().unwrap()).map(Value::to_string).collect();
        says(&told.join("\n"), groups).map_err(|why| format!("row {row}: {why}"))?;
    }
    if let Some(rows) = expected.rows {
        let told: Value = serde_json::from_str(&ending.stdout).unwrap_or_default();
        demand(told["rows"] == rows, || format!("{} rows were read", told["rows"]))?;
    }
    Ok(())
}

fn row_ended(row: &str, end: &RowEnd, ending: &Ending) -> Result<(), String> {
    let is_row = |line: &&BTreeMap<String, String>| line["row"] == row;
    let line = ending.outcomes.iter().find(is_row);
    let line = line.ok_or_else(|| format!("outcomes.csv has no row {row}"))?;
    let outcome = &line["outcome"];
    demand(end.outcome.contains(outcome), || format!("row {row} is {outcome}"))?;
    let cells: Vec<&str> = line.values().map(String::as_str).collect();
    says(&cells.join("\n"), &end.says).map_err(|why| format!("row {row}: {why}"))
}

fn count(ending: &Ending, outcome: &str) -> u64 {
    let is = |line: &&BTreeMap<String, String>| line["outcome"] == outcome;
    ending.outcomes.iter().filter(is).count() as u64
}

fn person_is(name: &str, state: &BTreeMap<String, Value>, ending: &Ending) -> Result<(), String> {
    let person = &ending.people[name];
    for (property, value) in state {
        let found = match property.as_str() {
            "upn" => &person["homeUserPrincipalName"],
            "immutable_id" => &person["onPremisesImmutableId"],
            "deleted" => &person["deleted"],
            other => panic!("a case speaks of the property {other}"),
        };
        demand(found == value, || format!("{name}: {property} is {found}, not {value}"))?;
    }
    Ok(())
}
