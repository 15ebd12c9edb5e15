//! `cutover status`: where a run stands, also while another process is running it.

use super::args::{Global, StatusArgs};
use super::context::{print_json, snapshot};
use super::exit::{Exit, Failure};
use super::half_way::{exit_of, exposed_in_words, warned_in_words};
use super::live::{Question, ask};
use crate::progress::say_result;
use crate::report::{self, Liveness};

pub(super) async fn main(global: &Global, args: &StatusArgs) -> Result<Exit, Failure> {
    let question = Question::about(args.run.as_deref());
    let summary = match ask(&global.journal, "/status", &question).await? {
        Some(summary) => summary,
        None => {
            let journal = snapshot(global)?;
            let run = journal.find(args.run.as_deref())?;
            let idle = Liveness::idle(journal.taken_over_by(run.id()));
            to_value(&report::summarize(&run, &mut journal.reader(&run)?, &idle)?)?
        }
    };
    if args.json {
        print_json(&summary)?;
    } else {
        exposed_in_words(&summary, &global.journal)
            .iter()
            .for_each(say_result);
        print_in_words(&summary);
    }
    Ok(exit_of(&summary))
}

pub(super) fn to_value<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::program(error.to_string()))
}

/// One line a fact; the answer of the live process and our own look alike.
pub(super) fn print_in_words(summary: &serde_json::Value) {
    let text = |key: &str| summary[key].as_str().unwrap_or("-").to_owned();
    say_result(format_args!("run        {}", text("run")));
    say_result(format_args!("job        {}", text("job")));
    say_result(format_args!("target     {}", text("target")));
    say_result(format_args!("state      {}", text("state")));
    if let Some(reason) = summary["reason"].as_str() {
        say_result(format_args!("because    {reason}"));
    }
    if let Some(under_way) = summary["under_way"].as_object() {
        say_result(format_args!(
            "under way  {} rows, {} people exposed",
            under_way["rows"], under_way["exposed"]
        ));
    }
    if let Some(why) = summary["slow"].as_str() {
        say_result(format_args!("slow       {why}"));
    }
    say_result(format_args!("started    {}", text("started_at")));
    say_result(format_args!("finished   {}", text("finished_at")));
    say_result(format_args!("rows       {}", summary["rows"]));
    for (outcome, count) in summary["outcomes"].as_object().into_iter().flatten() {
        if count.as_u64() != Some(0) {
            say_result(format_args!("  {outcome:<9} {count}"));
        }
    }
    warned_in_words(summary).iter().for_each(say_result);
    say_result(format_args!(
        "writes     {} ({} reads, {} times throttled)",
        summary["writes"], summary["reads"], summary["throttled"]
    ));
    say_result(format_args!(
        "journal    {} records, head {}",
        summary["journal"]["records"],
        summary["journal"]["head"].as_str().unwrap_or("-")
    ));
}
