//! `cutover pause`, `continue`, `drain` and `pace`: steer the process that works on a run.

use super::args::{Global, PaceArgs, SteerArgs};
use super::context::operator;
use super::errors;
use super::exit::{Exit, Failure};
use super::live::{Question, steer};
use crate::progress::{counted, say_result};
use serde_json::Value;

pub(super) async fn pause(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = ask(global, "/pause", with_reason(args)).await?;
    say_result(format_args!(
        "run {} is paused; {}",
        run(&summary),
        under_way(&summary)
    ));
    say_result(format_args!("go on with: cutover continue"));
    Ok(Exit::Good)
}

pub(super) async fn go_on(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = ask(global, "/continue", Question::about(args.run.as_deref())).await?;
    match summary["reason"].as_str() {
        // The pause is over, and something else still holds the run.
        Some(reason) => say_result(format_args!(
            "run {} is not paused any more, but {reason}",
            run(&summary)
        )),
        None => say_result(format_args!("run {} goes on", run(&summary))),
    }
    Ok(Exit::Good)
}

pub(super) async fn drain(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = ask(global, "/drain", with_reason(args)).await?;
    let run = run(&summary);
    say_result(format_args!("run {run} stops; {}", under_way(&summary)));
    say_result(format_args!("go on later with: cutover resume {run}"));
    Ok(Exit::Good)
}

pub(super) async fn pace(global: &Global, args: &PaceArgs) -> Result<Exit, Failure> {
    let question = Question {
        rate: Some(args.rate.to_string()),
        ..Question::about(args.which.run.as_deref())
    };
    let summary = ask(global, "/pace", question).await?;
    say_result(format_args!(
        "run {} sends at most {} writes from now on, until this process of it ends; {}",
        run(&summary),
        args.rate,
        under_way(&summary)
    ));
    Ok(Exit::Good)
}

fn with_reason(args: &SteerArgs) -> Question {
    Question {
        why: Some(format!("asked for by {}", operator())),
        ..Question::about(args.run.as_deref())
    }
}

async fn ask(global: &Global, path: &str, question: Question) -> Result<Value, Failure> {
    let answer = steer(&global.journal, path, &question).await?;
    answer.ok_or_else(|| {
        Failure::usage(
            format!(
                "no process works on a run of the journal `{}`, so there is nothing to steer",
                global.journal.display()
            ),
            "`cutover status` shows where the newest run stands, `cutover resume` goes on with it",
        )
        .coded(&errors::NO_LIVE_RUN)
    })
}

fn run(summary: &Value) -> &str {
    summary["run"].as_str().unwrap_or("-")
}

/// Who is not in safety yet.
fn under_way(summary: &Value) -> String {
    let count = |key: &str| summary["under_way"][key].as_u64().unwrap_or(0);
    match (count("rows"), count("exposed")) {
        (0, _) => "no row is under way, nobody is exposed".to_owned(),
        (rows, exposed) => format!(
            "{} still under way, {} exposed",
            counted(rows, "row is", "rows are"),
            counted(exposed, "person", "people")
        ),
    }
}
