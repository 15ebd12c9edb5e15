//! Runs a shipped job with the program's own runner against the simulated tenant, on simulated time, and answers everything that
//! was sent.

use super::line::{Exchange, Line, Trouble};
use super::parts::Tagged;
use super::scenario::Scenario;
use crate::library_run::{LibraryRun, PATIENCE, Parts};
use cutover::job::Job;
use cutover::machine::Outcome;
use cutover::runner::Clock;
use cutover::runner::directory::DirectoryBatcher;
use cutover::runner::preflight::{Verdict, prepare};
use cutover::services::budget::Budget;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const BEGAN_MS: u64 = 1_790_000_000_000;
const BARRIER: Duration = Duration::from_millis(5);
/// Rows in flight: all of a small file.
const IN_FLIGHT: usize = 64;

/// Goes with tokio's clock.
struct Simulated(Instant);

impl Clock for Simulated {
    fn now(&self) -> u64 {
        BEGAN_MS + self.0.elapsed().as_millis() as u64
    }
}

/// Everything that one run sends.
pub fn run(tagged: &Tagged, scenario: &Scenario, given: &[(String, String)], trouble: Trouble) -> Vec<Exchange> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work(tagged, scenario, given, trouble))
}

async fn work(tagged: &Tagged, scenario: &Scenario, given: &[(String, String)], trouble: Trouble) -> Vec<Exchange> {
    let line = Arc::new(Line::new(&Arc::new(scenario.tenant()), trouble));
    let premises = Arc::new(scenario.directory.clone());
    let queries = Budget::new("queries", "1000/s".parse().unwrap());
    let run = LibraryRun::begin(Parts {
        job: &tagged.job,
        csv: &scenario.csv,
        params: given,
        clock: Arc::new(Simulated(Instant::now())),
        transport: Arc::clone(&line) as _,
        directory: Some(DirectoryBatcher::new(premises, queries, 4, PATIENCE)),
        barrier: BARRIER,
    });
    let run = run.await;
    let ready = prepare(&tagged.job, &run.session.header().params, &run.services).await.unwrap();
    let bad: Vec<_> = ready.of(Verdict::Bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
    line.begin_rows();
    run.drive(ready.settings.unwrap(), Some(IN_FLIGHT)).await;
    drop(run.session.reader().await.unwrap());
    let ended = run.session.run();
    let began = ended.rows - ended.outcome_count(Outcome::Refused);
    assert!(began > 0, "of {} rows none was begun", ended.rows);
    assert_eq!(ended.outcome_count(Outcome::Pending), 0);
    line.exchanges()
}

/// Values of parameters: the defaults, every other value alone, and every two of them together.
pub fn settings(job: &Job) -> Vec<Vec<(String, String)>> {
    let others: Vec<(String, String)> = job
        .params
        .iter()
        .flat_map(|param| {
            let others = param.values.iter().filter(|value| **value != param.default);
            others.map(|value| (param.name.clone(), value.clone()))
        })
        .collect();
    let mut settings = one_at_a_time(job);
    for (at, one) in others.iter().enumerate() {
        let fitting = others[at + 1..].iter().filter(|other| other.0 != one.0);
        settings.extend(fitting.map(|other| vec![one.clone(), other.clone()]));
    }
    settings
}

/// The defaults, and every other value of every parameter alone.
pub fn one_at_a_time(job: &Job) -> Vec<Vec<(String, String)>> {
    let others = job.params.iter().flat_map(|param| {
        let others = param.values.iter().filter(|value| **value != param.default);
        others.map(|value| vec![(param.name.clone(), value.clone())])
    });
    std::iter::once(Vec::new()).chain(others).collect()
}
