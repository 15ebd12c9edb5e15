//! The lookups of a job: what is read once a run, before any row.

use super::talk::{NoAnswer, Talk};
use crate::job::{Ask, Job, Scope, Settings, to_json};
use crate::machine::Problem;
use crate::pace::Priority;
use minijinja::value::{Serde, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads all lookups of a job.
///
/// # Errors
/// The first problem; no row was begun.
pub async fn look_up(
    job: &Job,
    params: &BTreeMap<String, String>,
    talk: &mut Talk,
) -> Result<Settings, Problem> {
    let scope = Scope::default().with("params", Value::from(Serde(params)));
    let mut values = serde_json::Map::new();
    for lookup in &job.lookups {
        let path = lookup
            .get
            .render_path(&Arc::new(scope.clone()))
            .map_err(|e| broken(&e))?;
        let ask = Ask {
            verb: None,
            path,
            headers: Vec::new(),
            body: None,
        };
        let items = talk
            .read_list(&ask, Priority::Exposed)
            .await
            .map_err(no_answer)?;
        let seen = Arc::new(scope.clone().with("items", Value::from(Serde(items))));
        let value = lookup.value.value(&seen).map_err(|e| broken(&e))?;
        values.insert(lookup.name.clone(), to_json(&value));
    }
    Ok(Settings::new(params, &values))
}

fn broken(error: &crate::job::EvalError) -> Problem {
    super::sight::job_problem(error)
}

fn no_answer(error: NoAnswer) -> Problem {
    match error {
        NoAnswer::Halt(halt) => halt.0,
        NoAnswer::Fault(fault) => fault.problem(),
    }
}
