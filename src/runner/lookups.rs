//! The lookups of a job: what is read once a run, before any row.

use super::client::{NoAnswer, RunAbort, ServiceClient};
use crate::core::{Expects, Problem, Request};
use crate::job::{EvalError, Job, Lookup, Scope, Settings, to_json};
use crate::services::budget::Priority;
use crate::services::{Class, Fault};
use minijinja::value::{Serde, Value};
use serde_json::Value as JsonValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why there are no lookups.
#[derive(Debug)]
pub enum LookupError {
    /// The target gives no answer.
    Abort(RunAbort),
    /// It answers, and refuses; or the job does not work with what it answers.
    Against(Problem),
}

impl From<EvalError> for LookupError {
    fn from(error: EvalError) -> Self {
        LookupError::Against(error.problem())
    }
}

impl From<NoAnswer> for LookupError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Fault(fault) if fault.is_refusal() => LookupError::Against(fault.problem()),
            error => LookupError::Abort(error.abort()),
        }
    }
}

/// Reads all lookups of a job. One that the target refuses is none where the job can do without.
///
/// # Errors
/// The first problem; no row was begun.
pub async fn look_up(
    job: &Job,
    params: &BTreeMap<String, String>,
    client: &mut ServiceClient,
) -> Result<Settings, LookupError> {
    let mut values = serde_json::Map::new();
    for lookup in &job.lookups {
        let scope =
            Scope::default().with("params", Value::from(Serde(params))).with("lookups", Value::from(Serde(&values)));
        let value = match items(lookup, &scope, client).await? {
            Some(items) => {
                let scope = Arc::new(scope.with("items", Value::from(Serde(items))));
                to_json(&lookup.value.value(&scope)?)
            }
            None => JsonValue::Null,
        };
        values.insert(lookup.name.clone(), value);
    }
    Ok(Settings::new(params, &values).of_app(client.app()))
}

/// Everything that a lookup finds; None where it is refused and not needed.
async fn items(
    lookup: &Lookup,
    scope: &Scope,
    client: &mut ServiceClient,
) -> Result<Option<Vec<JsonValue>>, LookupError> {
    let mut items = Vec::new();
    for path in paths(lookup, scope)? {
        let request = Request::get(path, Expects::Survey).with_headers(&lookup.headers);
        match client.read(&request, Priority::Exposed).await {
            Ok(found) => items.extend(found),
            Err(NoAnswer::Fault(fault)) if lookup.optional && fault.is_refusal() => {
                tell_refusal(lookup, &fault);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(items))
}

/// A missing permission or licence is told by the preflight; anything else is a mistake in the job.
fn tell_refusal(lookup: &Lookup, fault: &Fault) {
    let (name, code, message) = (&lookup.name, &fault.code, &fault.message);
    if matches!(fault.class, Class::Denied | Class::Licence) {
        tracing::info!("the lookup {name} is refused: {code}: {message}");
    } else {
        tracing::warn!("the lookup {name} is refused, and the run continues without it: {code}: {message}");
    }
}

/// The one path, or that of each entry of the list.
fn paths(lookup: &Lookup, scope: &Scope) -> Result<Vec<String>, EvalError> {
    let Some(each) = &lookup.each else {
        return Ok(vec![lookup.get.render_path(&Arc::new(scope.clone()))?]);
    };
    let list = each.value(&Arc::new(scope.clone()))?;
    // What is no list, such as the value of a lookup that was refused, has no entries.
    let entries = list.try_iter().into_iter().flatten();
    entries
        .map(|entry| {
            let scope = scope.clone().with("each", entry);
            lookup.get.render_path(&Arc::new(scope))
        })
        .collect()
}
