//! The passes that only read: what a run would do with a row (`plan`), and whether a row that ended well still is as it should
//! be (`verify`). They write neither to the target nor to the journal of the run.

use super::admission::Admitted;
use super::client::ServiceClient;
use super::directory::{NoEntry, ask};
use super::event::Who;
use super::exposed::key_of;
use super::observe::{Found, ObserveError, Observer};
use super::plan::{RowPlan, Walk, plan_row};
use super::problems::unread;
use super::row::states_of;
use super::services::Services;
use super::stop::AdmissionGate;
use super::worker::{Effort, RowEnd, Unfinished, WorkerEnd};
use crate::core::Problem;
use crate::job::{Decision, DirectoryEntry, EvalError, Job, RowView, Settings, State, to_json};
use crate::journal::{JournalError, RowNumber, RowRecord};
use crate::machine::Outcome;
use crate::services::budget::{Delays, Priority, Sequence};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the workers of a reading pass share.
pub struct ReadWork {
    /// Target, budgets, clock.
    pub services: Arc<Services>,
    /// The job.
    pub job: Arc<Job>,
    /// Its parameters and lookups.
    pub settings: Settings,
    /// Whether rows may still begin.
    pub gate: AdmissionGate,
    /// What is asked of each row, and who is told.
    pub question: ReadQuestion,
}

/// What is asked of each row, and who is told.
pub enum ReadQuestion {
    /// What a run would do with it.
    Plan(PlanSink),
    /// Whether it still is at its goal. With its key.
    Verify(VerifySink),
}

/// Takes in the plan of a row as if it were alone, and how many reads it took.
pub type PlanSink = Box<dyn Fn(RowNumber, RowPlan, u32) -> Result<(), JournalError> + Send + Sync>;

/// Takes in how a row is, with its key.
pub type VerifySink = Box<dyn Fn(RowNumber, &str, Verification) + Send + Sync>;

/// Whether a row still is at its goal.
#[derive(Debug)]
pub enum Verification {
    /// These properties are not as they should be; none, if it is.
    Drifts(Vec<Drift>),
    /// It could not be read.
    Unread(Problem),
}

/// A property that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// Which.
    pub property: String,
    /// What it is at the goal.
    pub expected: Value,
    /// What it is.
    pub found: Value,
}

/// Reads one row.
pub async fn read(work: Arc<ReadWork>, admitted: Admitted) -> WorkerEnd {
    let begun = Instant::now();
    let gate = work.gate.clone();
    let mut client = ServiceClient::new(&work.services, format!("read/{}", admitted.row));
    let key = key_of(&work.job.layout, &admitted.values).to_owned();
    let reading = work.answer(&admitted, &key, &mut client);
    let reads = tokio::select! {
        biased;
        () = gate.closed() => return Err(Unfinished::Parked),
        answered = reading => answered?,
    };
    Ok(RowEnd {
        outcome: Outcome::Unchanged,
        who: Who { line: admitted.line, key },
        error_code: None,
        effort: Effort { busy: begun.elapsed().saturating_sub(client.waited()), reads, writes: 0 },
    })
}

impl ReadWork {
    /// Tells whoever asked, and returns how many reads it took.
    async fn answer(&self, admitted: &Admitted, key: &str, client: &mut ServiceClient) -> Result<u32, Unfinished> {
        match &self.question {
            ReadQuestion::Plan(sink) => {
                let plan = self.plan(&admitted.values, client).await?;
                let reads = client.take_costs().reads;
                sink(admitted.row, plan, reads)?;
                Ok(reads)
            }
            ReadQuestion::Verify(sink) => {
                sink(admitted.row, key, self.verify(admitted, client).await?);
                Ok(client.take_costs().reads)
            }
        }
    }

    async fn plan(&self, values: &[Option<String>], client: &mut ServiceClient) -> Result<RowPlan, Unfinished> {
        let entry = match ask(self.services.directory.as_ref(), &self.job, &self.settings, values).await {
            Ok(entry) => entry,
            Err(NoEntry::Against(problem)) => return Ok(RowPlan::against(problem)),
            Err(NoEntry::Abort(problem)) => return Err(Unfinished::Directory(problem)),
        };
        match RowView::new(&self.job, &self.settings, values, entry) {
            Ok(view) => Ok(plan_row(&self.job, &view, client).await?),
            Err(error) => Ok(RowPlan::against(error.problem())),
        }
    }

    async fn verify(&self, admitted: &Admitted, client: &mut ServiceClient) -> Result<Verification, Unfinished> {
        let states = admitted.record.as_ref().and_then(states_of);
        let (Some(record), Some(states)) = (&admitted.record, states) else {
            let missing = format!("row {} has no state to compare with", admitted.row);
            return Err(JournalError::Checkpoint(missing).into());
        };
        let entry = DirectoryEntry::of_state(&states.before);
        let view = match RowView::new(&self.job, &self.settings, &admitted.values, entry) {
            Ok(view) => view,
            Err(error) => return Ok(Verification::Unread(error.problem())),
        };
        let seed = self.services.seed_of(&admitted.row.to_string());
        let mut delays = Delays::new(Sequence::ReplicationRead, seed);
        loop {
            let observer =
                Observer { view: &view, states: Some(&states), others: None, client, priority: Priority::New };
            let drifts = match observer.observe().await {
                Ok(found) => drifts(&self.job, &view, &states.before, found),
                Err(ObserveError::NoAnswer(no_answer)) => {
                    return Ok(Verification::Unread(unread(&no_answer.about_row()?)));
                }
                Err(ObserveError::Job(error)) => Err(error),
                Err(ObserveError::Journal(error)) => return Err(error.into()),
            };
            match drifts {
                Ok(drifts) if drifts.is_empty() || !self.may_be_old(record) => {
                    return Ok(Verification::Drifts(drifts));
                }
                // A replica may not have seen the run's last write yet.
                Ok(_) => tokio::time::sleep(delays.next_delay()).await,
                Err(error) => return Ok(Verification::Unread(error.problem())),
            }
        }
    }

    fn may_be_old(&self, record: &RowRecord) -> bool {
        let now = self.services.clock.now();
        let since = |at: u64| Duration::from_millis(now.saturating_sub(at));
        let left_at = record.left_at.filter(|_| record.has_begun_writing());
        left_at.is_some_and(|at| since(at) < self.job.limits.replication)
    }
}

/// In what a person who was found differs from the goal: what the job's steps would change now.
fn drifts(job: &Job, view: &RowView, before: &State, found: Found) -> Result<Vec<Drift>, EvalError> {
    let gone = |found: Value| vec![Drift { property: "id".into(), expected: to_json(&before.get("id")), found }];
    let state = match found {
        Found::One(state) => state,
        Found::Nobody(_) => return Ok(gone(Value::Null)),
        Found::Several(places) => {
            return Ok(gone(format!("several were found: {}", places.join("; ")).into()));
        }
    };
    let mut walk = Walk::from(before, &state);
    let end = walk.sealed_decision(job, view)?;
    let mut drifts = walk.changed_from(&state);
    if drifts.is_empty() && end != Decision::Goal {
        drifts.push(Drift {
            property: "goal".into(),
            expected: job.goal.source().into(),
            found: "it does not hold".into(),
        });
    }
    Ok(drifts)
}
