//! Observing one row: the job's looks in order, until one finds the person.

use super::assess::{States, nobody};
use super::claims::Claims;
use super::client::{NoAnswer, ServiceClient};
use crate::core::{Problem, Request};
use crate::job::{EvalError, ExtraRead, Hit, Job, LookAt, RowView, State};
use crate::journal::{JournalError, RowNumber};
use crate::services::Class;
use crate::services::budget::Priority;
use minijinja::Value;

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// The row's person.
    One(State),
    /// Nobody, with what is to be said of that.
    Nobody(Problem),
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
    /// The journal cannot say whose an account is.
    Journal(JournalError),
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

impl From<JournalError> for ObserveError {
    fn from(error: JournalError) -> Self {
        ObserveError::Journal(error)
    }
}

/// The other rows, whose accounts are not taken for this one's.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// What they have.
    pub claims: &'a Claims,
    /// This row.
    pub row: RowNumber,
}

/// Reads a row's present state. `states` are those it was seen in, if it was.
///
/// # Errors
/// [`ObserveError`]; nothing was changed.
pub async fn observe(
    job: &Job,
    view: &RowView,
    states: Option<&States>,
    others: Option<Others<'_>>,
    client: &mut ServiceClient,
    priority: Priority,
) -> Result<Found, ObserveError> {
    let known = states.map(|states| &states.now);
    let mut found = find(job, view, known, others, client, priority).await?;
    if let Found::One(state) = &mut found {
        let before = states.map(|states| &states.before);
        // Those that need what others find are asked once these were answered.
        for reads in job.observe.extra_reads.chunk_by(|_, next| !next.follows) {
            further(reads, view, before, state, client, priority).await?;
        }
    }
    Ok(found)
}

/// The looks, until one finds somebody.
async fn find(
    job: &Job,
    view: &RowView,
    known: Option<&State>,
    others: Option<Others<'_>>,
    client: &mut ServiceClient,
    priority: Priority,
) -> Result<Found, ObserveError> {
    let mut hits: Vec<Hit> = Vec::new();
    let mut not_theirs = None;
    let mut together = false;
    for look in &job.observe.looks {
        if !hits.is_empty() && !together {
            break;
        }
        together = look.with_next;
        let Some(ask) = view.look(look, known)? else {
            continue;
        };
        let items = look_at(look, view, known, &ask, client, priority).await?;
        for hit in view.hits(look, known, &items)? {
            match of_another(view, others.filter(|_| known.is_none()), &hit)? {
                Some(problem) => not_theirs = Some(problem),
                None if is_there(&hits, &hit) => {}
                None => hits.push(hit),
            }
        }
        if not_theirs.is_none() {
            not_theirs = passed_over(view, look, others, &items)?;
        }
    }
    Ok(match hits.len() {
        0 => Found::Nobody(not_theirs.unwrap_or_else(|| nobody(None))),
        1 => Found::One(hits.remove(0).state),
        _ => Found::Several(hits.into_iter().map(|hit| hit.told).collect()),
    })
}

/// What speaks against taking a hit for the row's account: that it is another row's.
fn of_another(view: &RowView, others: Option<Others<'_>>, hit: &Hit) -> Result<Option<Problem>, ObserveError> {
    let (Some(others), Some(account)) = (others, view.account(&hit.state)?) else {
        return Ok(None);
    };
    Ok(others.claims.of_another(others.row, &account)?)
}

/// What is to be said of somebody whom a look found and did not take, should nobody else be found.
fn passed_over(
    view: &RowView,
    look: &LookAt,
    others: Option<Others<'_>>,
    items: &[serde_json::Value],
) -> Result<Option<Problem>, ObserveError> {
    for item in items {
        let Some((hit, advice)) = view.passed_over(look, item)? else {
            continue;
        };
        let problem = of_another(view, others, &hit)?;
        return Ok(Some(problem.unwrap_or_else(|| nobody(Some((hit.told, advice))))));
    }
    Ok(None)
}

/// Adds to the state what further reads say that can be made at the same time, or said before the first write.
async fn further(
    reads: &[ExtraRead],
    view: &RowView,
    before: Option<&State>,
    state: &mut State,
    client: &mut ServiceClient,
    priority: Priority,
) -> Result<(), ObserveError> {
    let (mut asked, mut requests) = (Vec::new(), Vec::new());
    for read in reads {
        match view.extra_read(read, before, state)? {
            Some(request) => {
                asked.push(read);
                requests.push(request);
            }
            None => {
                let said = before.map(|before| before.get(&read.name));
                state.set(&read.name, said.unwrap_or(Value::from(())));
            }
        }
    }
    let answers = client.read_all(&requests, priority).await;
    for (read, answer) in asked.into_iter().zip(answers) {
        let said = match answer {
            Ok(items) => view.extra_value(read, before, state, items)?,
            Err(NoAnswer::Fault(fault)) if read.optional && fault.is_refusal() => {
                let (code, message) = (&fault.code, &fault.message);
                tracing::info!("{} is not known: {code}: {message}", read.name);
                Value::from(())
            }
            Err(no_answer) => return Err(no_answer.into()),
        };
        state.set(&read.name, said);
    }
    Ok(())
}

/// Whether an earlier look has found the same one: a replica or an index that is behind may show somebody at two places.
fn is_there(hits: &[Hit], hit: &Hit) -> bool {
    let id = hit.state.get("id");
    !id.is_none() && hits.iter().any(|other| other.state.get("id") == id)
}

async fn look_at(
    look: &LookAt,
    view: &RowView,
    known: Option<&State>,
    request: &Request,
    client: &mut ServiceClient,
    priority: Priority,
) -> Result<Vec<serde_json::Value>, ObserveError> {
    let fault = match client.read(request, priority).await {
        Ok(items) => return Ok(items),
        Err(NoAnswer::Fault(fault)) => fault,
        Err(no_answer @ (NoAnswer::Abort(_) | NoAnswer::Left)) => return Err(no_answer.into()),
    };
    if fault.class == Class::NotFound {
        return Ok(Vec::new());
    }
    match view.look_instead(look, known)? {
        Some(instead) if fault.class.is_of_the_form() => Ok(client.read(&instead, priority).await?),
        Some(_) | None => Err(NoAnswer::Fault(fault).into()),
    }
}
