//! What is asked before the first write: whether the tenant is the right one, whether the app may do what the job does, and
//! whether anything speaks against the run as a whole.
//!
//! Each check says what was found and how to mend it. `run` and `plan` make those that the job needs, `doctor` all of them.
//! Nothing is changed by any of them. What speaks against one person is found when that person is looked at (the job's
//! `[[refuse]]` and `[[warn]]`), also before their first write.

use super::lookups::{LookupError, look_up};
use super::problems::unread;
use super::services::Services;
use super::talk::{Halt, NoAnswer, Talk, left};
use crate::core::Problem;
use crate::job::{AppFacts, Ask, EvalError, Job, Permission, Settings};
use crate::services::Fault;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Which domains the tenant has.
const DOMAINS: &str = "/domains?$select=id,authenticationType,isInitial,isVerified";

/// The name of the check for the domain that every tenant begins with.
const INITIAL_DOMAIN: &str = "initial domain";

/// The page where permissions are granted.
const GRANT: &str = "Entra admin center, App registrations, the app, API permissions: add the application permission and \
     grant admin consent; then sign in anew, since a token keeps what it was issued with";

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It could not be found out.
    Unknown,
    /// Somebody should know; the run can be made.
    Warning,
    /// The run must not begin.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at; a stable name.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// How to mend it; empty where nothing is to be mended.
    pub advice: String,
}

impl Check {
    /// As it should be.
    #[must_use]
    pub fn good(name: &str, detail: impl Into<String>) -> Check {
        Check::new(name, Verdict::Good, detail, "")
    }

    /// Not as it should be.
    #[must_use]
    pub fn bad(name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check::new(name, Verdict::Bad, detail, advice)
    }

    fn new(
        name: &str,
        verdict: Verdict,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            name: name.to_owned(),
            verdict,
            detail: detail.into(),
            advice: advice.into(),
        }
    }

    /// A refusal of the target.
    fn refused(name: &str, fault: &Fault) -> Check {
        let detail = format!("{}: {}", fault.code, fault.message);
        Check::bad(name, detail, fault.advice())
    }
}

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
    /// Those that forbid the run.
    pub fn bad(&self) -> impl Iterator<Item = &Check> {
        self.of(Verdict::Bad)
    }

    /// Those that somebody should know of.
    pub fn warnings(&self) -> impl Iterator<Item = &Check> {
        self.of(Verdict::Warning)
    }

    /// Those that came to nothing.
    pub fn unknown(&self) -> impl Iterator<Item = &Check> {
        self.of(Verdict::Unknown)
    }

    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(move |check| check.verdict == verdict)
    }
}

/// Looks at everything that a run of this job needs, and reads its lookups.
///
/// # Errors
/// [`Halt`] when the target gives no answer that says anything about the run.
pub async fn prepare(
    job: &Job,
    params: &BTreeMap<String, String>,
    tenant: &str,
    services: &Arc<Services>,
) -> Result<Ready, Halt> {
    let mut checks = permissions(job, params, &services.app);
    let (tenant, domains) = tenant_and_domains(tenant, services).await?;
    checks.push(tenant);
    let initial_domain = domains
        .into_iter()
        .find(|check| check.name == INITIAL_DOMAIN && check.verdict == Verdict::Good)
        .map(|check| check.detail);
    let mut talk = Talk::new(services, "lookups".into());
    let settings = match look_up(job, params, &mut talk).await {
        Ok(settings) => settings,
        Err(LookupError::Halt(halt)) => return Err(halt),
        Err(LookupError::Against(problem)) => {
            checks.push(Check::bad("lookups", problem.to_string(), problem.advice));
            return Ok(Ready {
                checks,
                initial_domain,
                settings: None,
            });
        }
    };
    checks.extend(obstacles(job, &settings));
    Ok(Ready {
        checks,
        initial_domain,
        settings: Some(settings),
    })
}

/// Whether the app was given what the job needs with these parameters: one check a permission.
#[must_use]
pub fn permissions(job: &Job, params: &BTreeMap<String, String>, app: &AppFacts) -> Vec<Check> {
    let settings = Settings::new(params, &Map::new());
    let needed = match job.permissions_for(&settings) {
        Ok(needed) => needed,
        Err(error) => return vec![broken(&error)],
    };
    let Some(granted) = &app.permissions else {
        let names: Vec<&str> = needed.iter().map(|needed| needed.least()).collect();
        let detail = "what the app may do cannot be told from its token";
        let advice = format!("make sure that it has {}", names.join(", "));
        return vec![Check::new("permissions", Verdict::Unknown, detail, advice)];
    };
    needed
        .into_iter()
        .map(|needed| permission(needed, granted))
        .collect()
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
    let verdict = if needed.optional {
        Verdict::Warning
    } else {
        Verdict::Bad
    };
    let detail = format!("not granted{others}; it is needed to {}", needed.why);
    Check::new(&name, verdict, detail, GRANT)
}

/// What speaks against the run as a whole, by the job's own rules.
fn obstacles(job: &Job, settings: &Settings) -> Vec<Check> {
    let found = match job.obstacles(settings) {
        Ok(found) => found,
        Err(error) => return vec![broken(&error)],
    };
    found.into_iter().map(check_of).collect()
}

fn broken(error: &EvalError) -> Check {
    check_of(error.problem())
}

fn check_of(problem: Problem) -> Check {
    Check::bad(&problem.code, problem.message, problem.advice)
}

/// Whether the tenant answers and is the one that was named, and which domains it has: the checks `tenant`, then `domains`
/// and `initial domain`.
///
/// # Errors
/// [`Halt`] when it gives no answer.
pub async fn tenant_and_domains(
    named: &str,
    services: &Arc<Services>,
) -> Result<(Check, Vec<Check>), Halt> {
    let mut talk = Talk::new(services, "preflight".into());
    let ask = Ask {
        verb: None,
        path: DOMAINS.to_owned(),
        headers: Vec::new(),
        body: None,
    };
    match talk.survey(&ask).await {
        Ok(domains) => {
            let tenant = right_tenant(named, &services.app, Some(&domains));
            Ok((tenant, domain_checks(&domains)))
        }
        Err(NoAnswer::Fault(fault)) if fault.is_refusal() => {
            let tenant = right_tenant(named, &services.app, None);
            Ok((tenant, vec![Check::refused("domains", &fault)]))
        }
        Err(NoAnswer::Fault(fault)) => Err(Halt(unread(&fault))),
        Err(NoAnswer::Halt(halt)) => Err(halt),
        Err(NoAnswer::Left) => Err(Halt(left())),
    }
}

/// A token of another tenant than the connection file names would change people there. An identity that belongs to a machine or
/// to the Azure CLI may be one; a token that does not say where it is from was asked for at the tenant's own address.
fn right_tenant(named: &str, app: &AppFacts, domains: Option<&[Value]>) -> Check {
    let is_id = Uuid::parse_str(named).is_ok();
    let signed_in = app.tenant.as_deref();
    let is_other = match (signed_in, domains) {
        (Some(id), _) if is_id => !id.eq_ignore_ascii_case(named),
        (Some(_), Some(domains)) => !domains.iter().any(|domain| is_named(domain, named)),
        (Some(_), None) | (None, _) => false,
    };
    let id = signed_in.map_or(String::new(), |id| format!(" ({id})"));
    if is_other {
        let detail = format!("signed in to another tenant{id} than the one named, {named}");
        let advice = "name the tenant in the connection file that the sign-in leads to, or sign in to the one named; an \
             identity of a machine belongs to one tenant, and `az login --tenant …` chooses one";
        return Check::bad("tenant", detail, advice);
    }
    Check::good("tenant", format!("{named}{id} answers"))
}

fn is_named(domain: &Value, name: &str) -> bool {
    text(domain, "id").eq_ignore_ascii_case(name)
}

fn domain_checks(domains: &[Value]) -> Vec<Check> {
    let words = domains.iter().map(|domain| {
        let verified = match domain.get("isVerified").and_then(Value::as_bool) {
            Some(false) => ", not verified",
            Some(true) | None => "",
        };
        let (name, kind) = (text(domain, "id"), text(domain, "authenticationType"));
        format!("{name} ({}{verified})", kind.to_lowercase())
    });
    let list = words.collect::<Vec<_>>().join(", ");
    let is_initial = |domain: &&Value| domain.get("isInitial") == Some(&Value::Bool(true));
    let initial = match domains.iter().find(is_initial) {
        Some(domain) => Check::good(INITIAL_DOMAIN, text(domain, "id")),
        None => Check::bad(
            INITIAL_DOMAIN,
            "the tenant names none",
            "check that the app may read all domains (Domain.Read.All)",
        ),
    };
    vec![Check::good("domains", list), initial]
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        checks
            .into_iter()
            .map(|check| (check.name, check.verdict))
            .collect()
    }

    #[test]
    fn a_missing_permission_forbids_the_run_and_an_optional_one_does_not() {
        let none = verdicts(&app(Some(&[]), None));
        assert!(none.contains(&("permission User.ReadWrite.All".into(), Verdict::Bad)));
        assert!(none.contains(&(
            "permission RoleManagement.Read.Directory".into(),
            Verdict::Warning
        )));
        let higher = verdicts(&app(
            Some(&["user.readwrite.all", "Directory.ReadWrite.All"]),
            None,
        ));
        let bad = higher.iter().find(|(_, verdict)| *verdict == Verdict::Bad);
        assert_eq!(bad, None);
    }

    #[test]
    fn a_token_that_says_nothing_is_no_refusal() {
        let unknown = verdicts(&app(None, None));
        assert_eq!(unknown, [("permissions".into(), Verdict::Unknown)]);
    }

    #[test]
    fn another_tenant_is_found_by_its_id_or_its_domains() {
        let (here, there) = (
            "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de",
            "00000000-0000-4000-8000-000000000001",
        );
        let domains = [json!({"id": "Contoso.com"})];
        let verdict = |named: &str, id: Option<&str>, domains: Option<&[Value]>| {
            right_tenant(named, &app(None, id), domains).verdict
        };
        assert_eq!(verdict(here, Some(here), None), Verdict::Good);
        assert_eq!(verdict(here, Some(there), Some(&domains)), Verdict::Bad);
        assert_eq!(
            verdict("contoso.com", Some(there), Some(&domains)),
            Verdict::Good
        );
        assert_eq!(
            verdict("fabrikam.com", Some(there), Some(&domains)),
            Verdict::Bad
        );
        assert_eq!(verdict("fabrikam.com", Some(there), None), Verdict::Good);
        assert_eq!(verdict("fabrikam.com", None, Some(&domains)), Verdict::Good);
    }

    #[test]
    fn domains_are_told_with_how_their_people_sign_in() {
        let domains = [
            json!({"id": "contoso.com", "authenticationType": "Federated", "isInitial": false, "isVerified": true}),
            json!({"id": "new.com", "authenticationType": "Managed", "isInitial": false, "isVerified": false}),
        ];
        let checks = domain_checks(&domains);
        assert_eq!(
            checks[0].detail,
            "contoso.com (federated), new.com (managed, not verified)"
        );
        assert_eq!(
            (checks[1].name.as_str(), checks[1].verdict),
            ("initial domain", Verdict::Bad)
        );
    }
}
