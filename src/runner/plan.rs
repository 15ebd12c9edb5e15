//! Planning: reading live state and saying what a run would do, without writing anything anywhere; and holding a run to what
//! was planned.
//!
//! The steps of a row are found by walking through the predicted effects, with the same decisions a run would take. A seal
//! over how the person was seen and over every request that would be sent stands for the plan of a row: a run that executes
//! the plan makes the seal anew when it sees the person for the first time, and refuses the row if it differs.

use super::assess::several;
use super::claims::Wanted;
use super::client::{NoAnswer, RunAbort, ServiceClient, left};
use super::observe::{Found, ObserveError, Observer};
use super::problems::{CHANGED_SINCE_PLAN, NOT_PLANNED, unread};
use super::reading::Drift;
use crate::batch::Digest;
use crate::core::{Problem, Request};
use crate::job::{Decision, EvalError, Job, OFF_GOAL, Operation, RowView, State, StepId, Write, to_json};
use crate::journal::{Planned, Seal};
use crate::services::budget::Priority;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What a run would do with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// These steps, in this order.
    Change(Vec<StepId>),
    /// Nothing: it is at its goal.
    Unchanged,
    /// Nothing: this speaks against it.
    Refused(Vec<Problem>),
}

/// A row as it is and as a run would leave it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowPlan {
    /// What would be done.
    pub plan: Plan,
    /// The budget that each of the steps takes from, by its name.
    pub budgets: Vec<String>,
    /// The job's report columns, with how the person is and would be; empty where nobody was found.
    pub report: Vec<String>,
    /// What somebody should know.
    pub warnings: Vec<Problem>,
    /// Stands for all of it; None where nothing would be done because something speaks against the row.
    pub seal: Option<Seal>,
    /// What the row must have for itself.
    pub wanted: Option<Wanted>,
    /// The plan once those in the way have given up what they have.
    pub freed: Option<Box<RowPlan>>,
}

impl RowPlan {
    /// Nothing would be done, since this speaks against it.
    #[must_use]
    pub fn against(problem: Problem) -> RowPlan {
        RowPlan {
            plan: Plan::Refused(vec![problem]),
            budgets: Vec::new(),
            report: Vec::new(),
            warnings: Vec::new(),
            seal: None,
            wanted: None,
            freed: None,
        }
    }
}

/// Plans one row.
///
/// # Errors
/// [`RunAbort`] when no row can be read.
pub async fn plan_row(job: &Job, view: &RowView, client: &mut ServiceClient) -> Result<RowPlan, RunAbort> {
    let observer = Observer { view, states: None, others: None, client, priority: Priority::New };
    let problem = match observer.observe().await {
        Ok(Found::One(state)) => match foresee_with_others(job, view, &state, client) {
            Ok(foreseen) => return Ok(foreseen),
            Err(error) => error.problem(),
        },
        Ok(Found::Nobody(problem)) => problem,
        Ok(Found::Several(places)) => several(job, &places),
        Err(ObserveError::NoAnswer(NoAnswer::Abort(abort))) => return Err(abort),
        Err(ObserveError::NoAnswer(NoAnswer::Left)) => left(),
        Err(ObserveError::NoAnswer(NoAnswer::Fault(fault))) => unread(&fault),
        Err(ObserveError::Job(error)) => error.problem(),
        // It is not asked whose an account is.
        Err(ObserveError::Journal(error)) => OFF_GOAL.problem(error.to_string()),
    };
    Ok(RowPlan::against(problem))
}

/// The same with what other rows may have to say to it.
fn foresee_with_others(
    job: &Job,
    view: &RowView,
    before: &State,
    client: &ServiceClient,
) -> Result<RowPlan, EvalError> {
    let budget_of = |request: &Request| client.budget_of(request);
    let mut foreseen = foresee(job, view, before, &budget_of)?;
    foreseen.wanted = Wanted::of(view, before, matches!(foreseen.plan, Plan::Change(_)))?;
    let wanted = foreseen.wanted.as_ref();
    if wanted.is_some_and(|wanted| wanted.in_the_way.is_some()) {
        let freed = foresee(job, view, &view.freed(before)?, &budget_of)?;
        foreseen.freed = Some(Box::new(freed));
    }
    Ok(foreseen)
}

/// What a run would do with a person who was seen like this.
fn foresee(
    job: &Job,
    view: &RowView,
    before: &State,
    budget_of: &dyn Fn(&Request) -> String,
) -> Result<RowPlan, EvalError> {
    let mut walk = Walk::from(before, before);
    let plan = walk.plan(job, view)?;
    Ok(RowPlan {
        seal: match plan {
            Plan::Change(_) | Plan::Unchanged => Some(walk.seal()),
            Plan::Refused(_) => None,
        },
        plan,
        warnings: view.warnings(before)?,
        report: view.report(before, &walk.state),
        budgets: walk.requests.iter().map(budget_of).collect(),
        wanted: None,
        freed: None,
    })
}

/// The way of a row through the predicted effects of its steps.
pub(super) struct Walk<'a> {
    before: &'a State,
    state: State,
    steps: Vec<StepId>,
    requests: Vec<Request>,
    /// What the seal stands for.
    sealed: Vec<String>,
}

impl Walk<'_> {
    pub fn from<'a>(before: &'a State, state: &State) -> Walk<'a> {
        let sealed = vec![before.to_text()];
        Walk { before, state: state.clone(), steps: Vec::new(), requests: Vec::new(), sealed }
    }

    /// What a run would do with somebody whom it sees for the first time.
    fn plan(&mut self, job: &Job, view: &RowView) -> Result<Plan, EvalError> {
        let first = view.decide(self.before, &self.state, &|_| false)?;
        Ok(match self.follow(job, view, first, false)? {
            Decision::Next(_) | Decision::Goal if self.steps.is_empty() => Plan::Unchanged,
            Decision::Next(_) | Decision::Goal => Plan::Change(self.steps.clone()),
            Decision::Refused(problems) => Plan::Refused(problems),
            Decision::Adrift(problem) | Decision::Unknowable(problem) => Plan::Refused(vec![problem]),
        })
    }

    /// Where the steps would lead that are needed now. Those that leave no trace are over.
    pub fn sealed_decision(&mut self, job: &Job, view: &RowView) -> Result<Decision, EvalError> {
        let first = view.forecast(self.before, &self.state, &|_| true)?;
        self.follow(job, view, first, true)
    }

    /// The decision at the end of the way; never a step.
    fn follow(
        &mut self,
        job: &Job,
        view: &RowView,
        first: Decision,
        without_trace_is_over: bool,
    ) -> Result<Decision, EvalError> {
        let mut decision = first;
        while let Decision::Next(step) = decision {
            // A step that is needed twice would be needed for ever.
            if self.steps.contains(&step) {
                let message = format!("the steps of job {} would not reach its goal", job.name);
                return Ok(Decision::Adrift(OFF_GOAL.problem(message)));
            }
            let write = view.write(Operation::Do(step), self.before, &self.state)?;
            self.go(step, write);
            let applied = |step| without_trace_is_over || self.steps.contains(&step);
            decision = view.forecast(self.before, &self.state, &applied)?;
        }
        Ok(decision)
    }

    /// The properties in which the end of the way differs from a state.
    pub fn changed_from(&self, state: &State) -> Vec<Drift> {
        let changed = self.state.iter().filter(|(key, value)| state.get(key) != **value);
        let drifts = changed.map(|(key, value)| Drift {
            property: key.to_owned(),
            expected: to_json(value),
            found: to_json(&state.get(key)),
        });
        drifts.collect()
    }

    fn go(&mut self, step: StepId, write: Write) {
        let Request { method, path, body, .. } = &write.request;
        let body = body.as_ref().map(ToString::to_string);
        self.sealed.extend([method.as_ref().to_owned(), path.clone(), body.unwrap_or_default()]);
        self.state.merge(&write.effect);
        self.steps.push(step);
        self.requests.push(write.request);
    }

    fn seal(&self) -> Seal {
        Seal(hash_of(self.sealed.iter().map(String::as_str)))
    }
}

/// Half of a SHA-256 over texts, so that no two different lists of them are alike.
pub(super) fn hash_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (halves, _) = digest.as_chunks();
    halves[0]
}

/// Stands for everything that a plan was made for as a whole.
#[must_use]
pub fn plan_seal(job: &Digest, params: &BTreeMap<String, String>, target: &str, input: &Digest) -> Seal {
    let texts = [job.as_str(), target, input.as_str()];
    Seal(hash_of(texts.into_iter().chain(params.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))))
}

/// What speaks against a person who was seen like this for the first time, in a run that executes a plan.
///
/// # Errors
/// [`EvalError`] when the job does not work for the row.
pub(super) fn deviation(
    job: &Job,
    view: &RowView,
    before: &State,
    planned: Planned,
) -> Result<Option<Problem>, EvalError> {
    let seal = match planned {
        Planned::Sealed(seal) => seal,
        Planned::Absent => {
            let message = "the plan says nothing of this row, or that it would be refused";
            return Ok(Some(NOT_PLANNED.problem(message)));
        }
    };
    let is_as_planned = foresee(job, view, before, &|_| String::new())?.seal == Some(seal);
    let message = "the person is not as they were when the plan was made, or something else would have to be done now";
    Ok((!is_as_planned).then(|| CHANGED_SINCE_PLAN.problem(message)))
}
