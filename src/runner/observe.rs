//! Observing one row: the job's looks in order, until one finds the person.

use super::talk::{NoAnswer, Talk};
use crate::job::{Ask, EvalError, Job, LookAt, RowView, State};
use crate::pace::Priority;
use crate::target::{Class, Fault};

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// The row's person.
    One(State),
    /// Nobody.
    Nobody,
    /// Several; where each was found.
    Several(Vec<String>),
}

/// Why a row could not be observed.
#[derive(Debug)]
pub enum ObserveError {
    /// The target gave no answer.
    NoAnswer(NoAnswer),
    /// The job does not work for this row.
    Job(EvalError),
}

impl From<NoAnswer> for ObserveError {
    fn from(error: NoAnswer) -> Self {
        ObserveError::NoAnswer(error)
    }
}

impl From<EvalError> for ObserveError {
    fn from(error: EvalError) -> Self {
        ObserveError::Job(error)
    }
}

/// Reads a row's present state. `known` is the state as it was last seen, if it was.
///
/// # Errors
/// [`ObserveError`]; nothing was changed.
pub async fn observe(
    job: &Job,
    view: &RowView,
    known: Option<&State>,
    talk: &mut Talk,
    priority: Priority,
) -> Result<Found, ObserveError> {
    let mut hits = Vec::new();
    let mut together = false;
    for look in &job.observe.looks {
        if !hits.is_empty() && !together {
            break;
        }
        together = look.with_next;
        if let Some(ask) = view.look(look, known)? {
            let items = look_at(look, view, known, &ask, talk, priority).await?;
            hits.extend(view.hits(look, known, &items)?);
        }
    }
    Ok(match hits.len() {
        0 => Found::Nobody,
        1 => Found::One(hits.remove(0).state),
        _ => Found::Several(hits.into_iter().map(|hit| hit.told).collect()),
    })
}

async fn look_at(
    look: &LookAt,
    view: &RowView,
    known: Option<&State>,
    ask: &Ask,
    talk: &mut Talk,
    priority: Priority,
) -> Result<Vec<serde_json::Value>, ObserveError> {
    let fault = match read(look, ask, talk, priority).await {
        Ok(items) => return Ok(items),
        Err(NoAnswer::Fault(fault)) => fault,
        Err(halt @ NoAnswer::Halt(_)) => return Err(halt.into()),
    };
    match fault.class {
        Class::NotFound => Ok(Vec::new()),
        Class::Unsupported | Class::InvalidValue | Class::Rejected => {
            let Some(instead) = view.look_instead(look, known)? else {
                return Err(NoAnswer::Fault(fault).into());
            };
            Ok(read(look, &instead, talk, priority).await?)
        }
        Class::Duplicate
        | Class::Denied
        | Class::Throttled { .. }
        | Class::Contended
        | Class::Unauthenticated
        | Class::SignIn
        | Class::NotSent
        | Class::InDoubt { .. } => Err(NoAnswer::Fault(fault).into()),
    }
}

async fn read(
    look: &LookAt,
    ask: &Ask,
    talk: &mut Talk,
    priority: Priority,
) -> Result<Vec<serde_json::Value>, NoAnswer> {
    if look.list {
        return talk.read_list(ask, priority).await;
    }
    let success = talk.read(ask, priority).await?;
    match success.body {
        Some(body) if body.is_object() => Ok(vec![body]),
        Some(_) | None => Err(NoAnswer::Fault(Fault {
            class: Class::Rejected,
            code: "NoObject".into(),
            message: format!("the answer to `{}` is no object", look.name),
            status: Some(success.status),
        })),
    }
}
