//! Planning: reading live state and saying what a run would do, without writing anything anywhere.
//!
//! The steps of a row are found by walking through the predicted effects, with the same decisions a run would take.

use super::observe::{Found, ObserveError, observe};
use super::sight::{job_problem, several};
use super::talk::{Halt, NoAnswer, Talk, problem};
use crate::job::{Decision, Doing, EvalError, Job, RowView, State, StepId};
use crate::machine::Problem;
use crate::pace::Priority;

/// What a run would do with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// These steps, in this order.
    Change(Vec<StepId>),
    /// Nothing: it is at its goal.
    Unchanged,
    /// Nothing: this speaks against it.
    Refused(Problem),
}

/// Plans one row.
///
/// # Errors
/// [`Halt`] when no row can be read.
pub async fn plan_row(job: &Job, view: &RowView, talk: &mut Talk) -> Result<Plan, Halt> {
    match observe(job, view, None, talk, Priority::New).await {
        Ok(Found::One(state)) => {
            Ok(steps(job, view, &state).unwrap_or_else(|error| Plan::Refused(job_problem(&error))))
        }
        Ok(Found::Nobody) => Ok(refused("NotFound", "nobody was found".into())),
        Ok(Found::Several(places)) => Ok(Plan::Refused(several(job, &places))),
        Err(ObserveError::NoAnswer(NoAnswer::Halt(halt))) => Err(halt),
        Err(ObserveError::NoAnswer(NoAnswer::Fault(fault))) => Ok(Plan::Refused(problem(&fault))),
        Err(ObserveError::Job(error)) => Ok(Plan::Refused(job_problem(&error))),
    }
}

fn refused(code: &str, message: String) -> Plan {
    Plan::Refused(Problem {
        code: code.into(),
        message,
        advice: "correct the row or leave it out".into(),
    })
}

fn steps(job: &Job, view: &RowView, before: &State) -> Result<Plan, EvalError> {
    let mut state = before.clone();
    let mut steps: Vec<StepId> = Vec::new();
    loop {
        let applied = |step| steps.contains(&step);
        let decision = match steps.is_empty() {
            true => view.decide(before, &state, &applied)?,
            false => view.forecast(before, &state, &applied)?,
        };
        match decision {
            // A step that is needed twice would be needed for ever.
            Decision::Next(step) if steps.contains(&step) => break,
            Decision::Next(step) => {
                state.merge(&view.write(Doing::Do(step), before, &state)?.effect);
                steps.push(step);
            }
            Decision::Goal if steps.is_empty() => return Ok(Plan::Unchanged),
            Decision::Goal => return Ok(Plan::Change(steps)),
            Decision::Barred {
                code,
                reason,
                advice,
            } => {
                return Ok(Plan::Refused(Problem {
                    code,
                    message: reason,
                    advice,
                }));
            }
            Decision::Adrift(message) | Decision::Foreign(message) => {
                return Ok(refused("OffGoal", message));
            }
        }
    }
    let message = format!("the steps of job {} would not reach its goal", job.name);
    Ok(refused("OffGoal", message))
}
