//! `cutover pause`, `continue`, `drain` and `pace`: steer the process that works on a run.

use super::args::{Global, PaceArgs, SteerArgs};
use super::context::operator;
use super::control::{SteerOrder, steer};
use super::exit::Exit;
use super::failure::Failure;
use crate::progress::{counted, print_result};
use crate::report::RunSummary;

pub(super) async fn pause(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = order(global, args, SteerOrder::Pause(reason())).await?;
    print_result(format_args!("run {} is paused; {}", summary.run, under_way(&summary)));
    print_result("continue with: cutover continue");
    Ok(Exit::Good)
}

pub(super) async fn go_on(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = order(global, args, SteerOrder::Continue).await?;
    match &summary.reason {
        // The pause is over, and something else still holds the run.
        Some(reason) => print_result(format_args!("run {} is no longer paused, but {reason}", summary.run)),
        None => print_result(format_args!("run {} continues", summary.run)),
    }
    Ok(Exit::Good)
}

pub(super) async fn drain(global: &Global, args: &SteerArgs) -> Result<Exit, Failure> {
    let summary = order(global, args, SteerOrder::Drain(reason())).await?;
    let run = &summary.run;
    print_result(format_args!("run {run} stops; {}", under_way(&summary)));
    print_result(format_args!("continue later with: cutover resume {run}"));
    Ok(Exit::Good)
}

pub(super) async fn pace(global: &Global, args: &PaceArgs) -> Result<Exit, Failure> {
    let rate = args.rate;
    let summary = order(global, &args.which, SteerOrder::Pace(rate.to_string())).await?;
    print_result(format_args!(
        "run {} sends at most {rate} writes from now on, until this process ends; {}",
        summary.run,
        under_way(&summary)
    ));
    Ok(Exit::Good)
}

async fn order(global: &Global, args: &SteerArgs, order: SteerOrder) -> Result<RunSummary, Failure> {
    steer(&global.journal, args.run.as_deref(), order).await
}

fn reason() -> String {
    format!("asked for by {}", operator())
}

/// Who is not in safety yet.
fn under_way(summary: &RunSummary) -> String {
    match &summary.under_way {
        Some(under_way) if under_way.rows > 0 => format!(
            "{} still under way, {} exposed",
            counted(under_way.rows, "row is", "rows are"),
            counted(under_way.exposed, "person", "people")
        ),
        Some(_) | None => "no row is under way, nobody is exposed".to_owned(),
    }
}
