//! `cutover pause`, `continue`, `drain` and `pace`: steer the process that works on a run.

use super::context::{operator, snapshot};
use super::control::{SteerOrder, ask, steer};
use super::{Exit, Failure, Global};
use crate::progress::{counted, print_result};
use crate::report::UnderWay;

pub(super) async fn main(global: &Global, run: Option<String>, order: SteerOrder) -> Result<Exit, Failure> {
    if let Some(named) = run {
        must_be_worked_on(global, &named).await?;
    }
    let live = steer(&global.journal, order.clone()).await?;
    let (run, under_way) = (live.run, under_way(live.under_way));
    print_result(match (order, &live.reason) {
        (SteerOrder::Pause(_), _) => format!("run {run} is paused; {under_way}\ncontinue with: cutover continue"),
        // The pause is over, and something else still holds the run.
        (SteerOrder::Continue, Some(reason)) => format!("run {run} is no longer paused, but {reason}"),
        (SteerOrder::Continue, None) => format!("run {run} continues"),
        (SteerOrder::Drain(_), _) => {
            format!("run {run} stops; {under_way}\ncontinue later with: cutover resume {run}")
        }
        (SteerOrder::Pace(rate), _) => {
            format!("run {run} sends at most {rate} writes from now on, until this process ends; {under_way}")
        }
    });
    Ok(Exit::Good)
}

async fn must_be_worked_on(global: &Global, named: &str) -> Result<(), Failure> {
    let Some(own) = ask(&global.journal).await?.map(|live| live.run) else {
        return Ok(());
    };
    let named = snapshot(global)?.find(Some(named))?.id();
    if named == own {
        return Ok(());
    }
    let message = format!("nobody works on run {named}; the one that is worked on is {own}");
    Err(Failure::usage("live-process", message, "`cutover status` shows how it stands"))
}

/// What the run says of why it is held or stops.
pub(super) fn reason() -> String {
    format!("asked for by {}", operator())
}

/// Who is not in safety yet.
fn under_way(under_way: UnderWay) -> String {
    if under_way.rows == 0 {
        return "no row is under way, nobody is exposed".to_owned();
    }
    let rows = counted(under_way.rows, "row is", "rows are");
    format!("{rows} still under way, {} exposed", counted(under_way.exposed, "person", "people"))
}
