//! Observing one row: the job's looks in order, until one finds the person.

use super::assess::{States, nobody};
use super::claims::Claims;
use super::client::{NoAnswer, ServiceClient};
use crate::core::{Problem, Request};
use crate::job::{EvalError, ExtraRead, Hit, LookAt, RowView, State};
use crate::journal::{JournalError, RowNumber};
use crate::services::Class;
use crate::services::budget::Priority;
use minijinja::Value;
use serde_json::Value as JsonValue;

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

/// A look at a row's person.
pub struct Observer<'a> {
    /// The job as the row sees it.
    pub view: &'a RowView,
    /// The states the row was seen in, if it was.
    pub states: Option<&'a States>,
    /// What the other rows have, whose accounts are not taken for this one's.
    pub others: Option<(&'a Claims, RowNumber)>,
    /// Who sends the row's requests.
    pub client: &'a mut ServiceClient,
    /// What they are worth beside others'.
    pub priority: Priority,
}

impl Observer<'_> {
    /// Reads a row's present state.
    ///
    /// # Errors
    /// [`ObserveError`]; nothing was changed.
    pub async fn observe(mut self) -> Result<Found, ObserveError> {
        let mut found = self.find().await?;
        if let Found::One(state) = &mut found {
            let view = self.view;
            // Those that need what others find are asked once these were answered.
            for reads in view.job().observe.extra_reads.chunk_by(|_, next| !next.follows) {
                self.further(reads, state).await?;
            }
        }
        Ok(found)
    }

    /// The looks, until one finds somebody.
    async fn find(&mut self) -> Result<Found, ObserveError> {
        let (view, known) = (self.view, self.states.map(|states| &states.now));
        let mut hits: Vec<Hit> = Vec::new();
        let mut not_theirs = None;
        let mut together = false;
        for look in &view.job().observe.looks {
            if !hits.is_empty() && !together {
                break;
            }
            together = look.with_next;
            let Some(request) = view.look(look, known)? else {
                continue;
            };
            let items = self.look_at(look, &request).await?;
            for hit in view.hits(look, known, &items)? {
                let of_another = if known.is_none() { self.of_another(&hit)? } else { None };
                match of_another {
                    Some(problem) => not_theirs = Some(problem),
                    None if is_there(&hits, &hit) => {}
                    None => hits.push(hit),
                }
            }
            if not_theirs.is_none() {
                not_theirs = self.passed_over(look, &items)?;
            }
        }
        Ok(match hits.len() {
            0 => Found::Nobody(not_theirs.unwrap_or_else(|| nobody(None))),
            1 => Found::One(hits.remove(0).state),
            _ => Found::Several(hits.into_iter().map(|hit| hit.told).collect()),
        })
    }

    /// What speaks against taking a hit for the row's account: that it is another row's.
    fn of_another(&self, hit: &Hit) -> Result<Option<Problem>, ObserveError> {
        let (Some((claims, row)), Some(account)) = (self.others, self.view.account(&hit.state)?) else {
            return Ok(None);
        };
        Ok(claims.of_another(row, &account)?)
    }

    /// What is to be said of somebody whom a look found and did not take, should nobody else be found.
    fn passed_over(&self, look: &LookAt, items: &[JsonValue]) -> Result<Option<Problem>, ObserveError> {
        for item in items {
            if let Some((hit, advice)) = self.view.passed_over(look, item)? {
                let problem = self.of_another(&hit)?;
                return Ok(Some(problem.unwrap_or_else(|| nobody(Some((hit.told, advice))))));
            }
        }
        Ok(None)
    }

    /// Adds to the state what further reads say that can be made at the same time, or said before the first write.
    async fn further(&mut self, reads: &[ExtraRead], state: &mut State) -> Result<(), ObserveError> {
        let before = self.states.map(|states| &states.before);
        let (mut asked, mut requests) = (Vec::new(), Vec::new());
        for read in reads {
            match self.view.extra_read(read, before, state)? {
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
        let answers = self.client.read_all(&requests, self.priority).await;
        for (read, answer) in asked.into_iter().zip(answers) {
            let said = match answer {
                Ok(items) => self.view.extra_value(read, before, state, items)?,
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

    async fn look_at(&mut self, look: &LookAt, request: &Request) -> Result<Vec<JsonValue>, ObserveError> {
        let fault = match self.client.read(request, self.priority).await {
            Ok(items) => return Ok(items),
            Err(NoAnswer::Fault(fault)) => fault,
            Err(no_answer @ (NoAnswer::Abort(_) | NoAnswer::Left)) => return Err(no_answer.into()),
        };
        if fault.class == Class::NotFound {
            return Ok(Vec::new());
        }
        let known = self.states.map(|states| &states.now);
        match self.view.look_instead(look, known)? {
            Some(instead) if fault.class.is_of_the_form() => Ok(self.client.read(&instead, self.priority).await?),
            Some(_) | None => Err(NoAnswer::Fault(fault).into()),
        }
    }
}

/// Whether an earlier look has found the same one: a replica or an index that is behind may show somebody at two places.
fn is_there(hits: &[Hit], hit: &Hit) -> bool {
    let id = hit.state.get("id");
    !id.is_none() && hits.iter().any(|other| other.state.get("id") == id)
}
