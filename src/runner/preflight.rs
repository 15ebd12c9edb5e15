//! What is asked before the first write: whether the tenant is the right one, whether the app may do what the job does, and
//! whether anything speaks against the run as a whole.
//!
//! Each check says what was found and how to fix it. `run` and `plan` make those that the job needs, `doctor` all of them.
//! Nothing is changed by any of them. What speaks against one person is found when that person is looked at (the job's
//! `[[refuse]]` and `[[warn]]`), also before their first write.

use super::client::{NoAnswer, RunAbort, ServiceClient};
use super::lookups::{LookupError, look_up};
use super::services::Services;
use crate::core::Problem;
use crate::job::{AppFacts, Job, Permission, Settings};
use crate::services::budget::Priority;
pub use crate::services::{Check, Verdict};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The page where permissions are granted.
const GRANT: &str = "Entra admin center, App registrations, the app, API permissions: add the application permission and \
     grant admin consent; then sign in again: a token keeps the permissions it was issued with";

/// What was found before a run, and what its rows can be worked on with.
#[derive(Debug)]
pub struct Ready {
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// The tenant's initial domain, which is its name for people, as far as it says so.
    pub initial_domain: Option<String>,
    /// Parameters and lookups; None where a lookup was refused, which is among the checks.
    pub settings: Option<Settings>,
}

impl Ready {
    /// Those with this verdict.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.verdict == verdict)
    }
}

/// Looks at everything that a run of this job needs, and reads its lookups.
///
/// # Errors
/// [`RunAbort`] when the target gives no answer that says anything about the run.
pub async fn prepare(
    job: &Job,
    params: &BTreeMap<String, String>,
    services: &Arc<Services>,
) -> Result<Ready, RunAbort> {
    let mut checks = permissions(job, params, &services.app);
    let found = introductions(services).await?;
    let initial_domain = found
        .iter()
        .find(|check| check.name == Check::INITIAL_DOMAIN && check.verdict == Verdict::Good)
        .map(|check| check.detail.clone());
    checks.extend(found);
    let mut client = ServiceClient::new(services, "lookups".into());
    let settings = match look_up(job, params, &mut client).await {
        Ok(settings) => settings,
        Err(LookupError::Abort(abort)) => return Err(abort),
        Err(LookupError::Against(problem)) => {
            checks.push(Check::bad("lookups", problem.to_string(), problem.advice));
            return Ok(Ready { checks, initial_domain, settings: None });
        }
    };
    checks.extend(obstacles(job, &settings));
    Ok(Ready { checks, initial_domain, settings: Some(settings) })
}

/// Whether the app was given what the job needs with these parameters: one check a permission.
#[must_use]
pub fn permissions(job: &Job, params: &BTreeMap<String, String>, app: &AppFacts) -> Vec<Check> {
    let settings = Settings::new(params, &Map::new());
    let needed = match job.permissions_for(&settings) {
        Ok(needed) => needed,
        Err(error) => return vec![check_of(error.problem())],
    };
    let Some(granted) = &app.permissions else {
        let names: Vec<&str> = needed.iter().map(|needed| needed.least()).collect();
        let detail = "what the app may do cannot be told from its token";
        let advice = format!("make sure that it has {}", names.join(", "));
        return vec![Check::new("permissions", Verdict::Unknown, detail, advice)];
    };
    needed.into_iter().map(|needed| permission(needed, granted)).collect()
}

fn permission(needed: &Permission, granted: &[String]) -> Check {
    let name = format!("permission {}", needed.least());
    if needed.is_among(granted) {
        return Check::good(&name, &needed.why);
    }
    let others = match needed.any.get(1..) {
        Some(others) if !others.is_empty() => format!(" (or {})", others.join(", ")),
        Some(_) | None => String::new(),
    };
    let verdict = if needed.optional { Verdict::Warning } else { Verdict::Bad };
    let detail = format!("not granted{others}; it is needed to {}", needed.why);
    Check::new(&name, verdict, detail, GRANT)
}

/// What speaks against the run as a whole, by the job's own rules.
fn obstacles(job: &Job, settings: &Settings) -> Vec<Check> {
    let found = job.obstacles(settings).unwrap_or_else(|error| vec![error.problem()]);
    found.into_iter().map(check_of).collect()
}

fn check_of(problem: Problem) -> Check {
    Check::bad(&problem.code, problem.message, problem.advice)
}

/// Whether each service answers and is the one that was named.
///
/// # Errors
/// [`RunAbort`] when one gives no answer.
pub async fn introductions(services: &Arc<Services>) -> Result<Vec<Check>, RunAbort> {
    let mut checks = Vec::new();
    for endpoint in services.registry.iter() {
        let service = &endpoint.service;
        let Some(question) = service.introduction() else {
            continue;
        };
        let tenant = services.app.tenant.as_deref();
        let mut client = ServiceClient::new(services, "preflight".into());
        checks.extend(match client.read(&question, Priority::Exposed).await {
            Ok(items) => service.recognise(tenant, Ok(&items)),
            Err(NoAnswer::Fault(fault)) if fault.is_refusal() => service.recognise(tenant, Err(&fault)),
            Err(error) => return Err(error.abort()),
        });
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(permissions: Option<&[&str]>, tenant: Option<&str>) -> AppFacts {
        AppFacts {
            permissions: permissions.map(|names| names.iter().map(ToString::to_string).collect()),
            roles: None,
            tenant: tenant.map(str::to_owned),
        }
    }

    fn verdicts(app: &AppFacts) -> Vec<(String, Verdict)> {
        let job = crate::job::find("immutable-id").unwrap();
        let params = job.parameters(&[]).unwrap();
        let checks = permissions(&job, &params, app);
        checks.into_iter().map(|check| (check.name, check.verdict)).collect()
    }

    #[test]
    fn a_missing_permission_forbids_the_run_and_an_optional_one_does_not() {
        let none = verdicts(&app(Some(&[]), None));
        assert!(none.contains(&("permission User.ReadWrite.All".into(), Verdict::Bad)));
        assert!(none.contains(&("permission RoleManagement.Read.Directory".into(), Verdict::Warning)));
        let higher = verdicts(&app(Some(&["user.readwrite.all", "Directory.ReadWrite.All"]), None));
        let bad = higher.iter().find(|(_, verdict)| *verdict == Verdict::Bad);
        assert_eq!(bad, None);
    }

    #[test]
    fn a_token_that_says_nothing_is_no_refusal() {
        let unknown = verdicts(&app(None, None));
        assert_eq!(unknown, [("permissions".into(), Verdict::Unknown)]);
    }
}
