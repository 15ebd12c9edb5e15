//! `cutover runs`: the runs in the journal.

use super::args::{Global, RunsArgs};
use super::context::{print_json, snapshot};
use super::exit::{Exit, Failure};
use super::live::{Question, ask};
use super::status::to_value;
use crate::journal::Journal;
use crate::progress::say_result;
use crate::report::{self, Liveness};

pub(super) async fn main(global: &Global, args: &RunsArgs) -> Result<Exit, Failure> {
    let summaries = match ask(&global.journal, "/runs", &Question::default()).await? {
        Some(summaries) => summaries,
        None => own(global)?,
    };
    if args.json {
        print_json(&summaries)?;
        return Ok(Exit::Good);
    }
    for summary in summaries.as_array().into_iter().flatten() {
        let text = |key: &str| summary[key].as_str().unwrap_or("-").to_owned();
        let done = summary["outcomes"]["done"].as_u64().unwrap_or(0);
        say_result(format_args!(
            "{}  {}  {:<11}  {:<16}  {} rows, {done} done  {}",
            text("run"),
            text("started_at"),
            text("state"),
            text("job"),
            summary["rows"],
            text("target")
        ));
    }
    Ok(Exit::Good)
}

fn own(global: &Global) -> Result<serde_json::Value, Failure> {
    let mut summaries = Vec::new();
    if Journal::exists(&global.journal)? {
        let journal = snapshot(global)?;
        for run in journal.runs()? {
            let mut reader = journal.reader(&run)?;
            summaries.push(report::summarize(&run, &mut reader, &Liveness::Nobody)?);
        }
    }
    to_value(&summaries)
}
