//! `cutover pause`, `continue`, `drain` and `pace`: steer the process that works on a run.

use super::context::operator;
use super::control::{SteerOrder, steer};
use super::{Exit, Failure, Global};
use crate::progress::{counted, print_result};
use crate::report::RunSummary;
use crate::services::budget::Quota;

pub(super) async fn pause(global: &Global, run: Option<String>) -> Result<Exit, Failure> {
    let summary = steer(&global.journal, run, SteerOrder::Pause(reason())).await?;
    print_result(format_args!("run {} is paused; {}", summary.run, under_way(&summary)));
    print_result("continue with: cutover continue");
    Ok(Exit::Good)
}

pub(super) async fn go_on(global: &Global, run: Option<String>) -> Result<Exit, Failure> {
    let summary = steer(&global.journal, run, SteerOrder::Continue).await?;
    match &summary.reason {
        // The pause is over, and something else still holds the run.
        Some(reason) => print_result(format_args!("run {} is no longer paused, but {reason}", summary.run)),
        None => print_result(format_args!("run {} continues", summary.run)),
    }
    Ok(Exit::Good)
}

pub(super) async fn drain(global: &Global, run: Option<String>) -> Result<Exit, Failure> {
    let summary = steer(&global.journal, run, SteerOrder::Drain(reason())).await?;
    print_result(format_args!("run {} stops; {}", summary.run, under_way(&summary)));
    print_result(format_args!("continue later with: cutover resume {}", summary.run));
    Ok(Exit::Good)
}

pub(super) async fn pace(global: &Global, run: Option<String>, rate: Quota) -> Result<Exit, Failure> {
    let summary = steer(&global.journal, run, SteerOrder::Pace(rate.to_string())).await?;
    let (run, under_way) = (&summary.run, under_way(&summary));
    print_result(format_args!(
        "run {run} sends at most {rate} writes from now on, until this process ends; {under_way}"
    ));
    Ok(Exit::Good)
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
