//! `cutover status`: where a run stands, also while another process is running it.

use super::args::{Global, StatusArgs};
use super::context::{existing_journal, print_json};
use super::exit::{Exit, Failure};
use super::live::{Question, ask};
use crate::report::{self, Liveness};

pub(super) async fn main(global: &Global, args: &StatusArgs) -> Result<Exit, Failure> {
    let question = Question::about(args.run.as_deref());
    let summary = match ask(&global.journal, "/status", &question).await? {
        Some(summary) => summary,
        None => {
            let journal = existing_journal(global, "status")?;
            let run = journal.find(args.run.as_deref())?;
            let summary = report::summarize(&run, &mut journal.reader(&run)?, &Liveness::Nobody)?;
            to_value(&summary)?
        }
    };
    if args.json {
        print_json(&summary)?;
    } else {
        print_in_words(&summary);
    }
    Ok(Exit::Good)
}

pub(super) fn to_value<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::program(error.to_string()))
}

/// One line a fact; the answer of the live process and our own look alike.
pub(super) fn print_in_words(summary: &serde_json::Value) {
    let text = |key: &str| summary[key].as_str().unwrap_or("-").to_owned();
    println!("run        {}", text("run"));
    println!("job        {}", text("job"));
    println!("target     {}", text("target"));
    println!("state      {}", text("state"));
    if let Some(reason) = summary["reason"].as_str() {
        println!("because    {reason}");
    }
    if let Some(under_way) = summary["under_way"].as_object() {
        println!(
            "under way  {} rows, {} people exposed",
            under_way["rows"], under_way["exposed"]
        );
    }
    println!("started    {}", text("started_at"));
    println!("finished   {}", text("finished_at"));
    println!("rows       {}", summary["rows"]);
    for (outcome, count) in summary["outcomes"].as_object().into_iter().flatten() {
        if count.as_u64() != Some(0) {
            println!("  {outcome:<9} {count}");
        }
    }
    println!(
        "writes     {} ({} reads, {} times throttled)",
        summary["writes"], summary["reads"], summary["throttled"]
    );
    println!(
        "journal    {} records, head {}",
        summary["journal"]["records"],
        summary["journal"]["head"].as_str().unwrap_or("-")
    );
}
