//! `cutover runs`: the runs in the journal.

use super::args::{Global, RunsArgs};
use super::context::{print_json, snapshot};
use super::exit::{Exit, Failure};
use super::half_way::exposed_in_words;
use super::live::{Question, ask};
use super::status::to_value;
use crate::journal::{Journal, takers};
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
    let summaries: Vec<&serde_json::Value> = summaries.as_array().into_iter().flatten().collect();
    for summary in &summaries {
        exposed_in_words(summary, &global.journal)
            .iter()
            .for_each(say_result);
    }
    for summary in summaries {
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
        let runs = journal.runs();
        let takers = takers(&runs);
        for run in runs {
            let mut reader = journal.reader(&run)?;
            let idle = Liveness::idle(takers.get(&run.id()).copied());
            summaries.push(report::summarize(&run, &mut reader, &idle)?);
        }
    }
    to_value(&summaries)
}
