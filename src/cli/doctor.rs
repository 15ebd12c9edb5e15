//! `cutover doctor`: whether this target can be reached, with which permissions, domains and limits. Changes nothing.
//!
//! Every check is made for itself and all of them are told, so that an administrator is asked once. A check whose
//! ground is missing (permissions without a sign-in) is not made, and is not told as good.

use super::args::DoctorArgs;
use super::connect::{Cast, Hitch, Reached, Target};
use super::context::{job, print_json};
use super::{Exit, Failure};
use crate::job::{Job, SHIPPED};
use crate::progress::{print_result, print_text};
use crate::runner::Services;
use crate::runner::client::RunAbort;
use crate::runner::preflight::{Check, Verdict, introductions, permissions};
use crate::services::{ActiveDirectory, Claims, Fault};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Whoever asks sits and waits; a run has more patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn main(args: &DoctorArgs) -> Result<Exit, Failure> {
    let jobs = jobs(args.job.as_deref())?;
    let target = Target::named(args.target.target.as_deref())?;
    let checks = examine(target, &jobs).await?;
    if args.json {
        // One that only warns is `ok`, and has advice.
        let told = |check: &Check| {
            let is_ok = check.verdict != Verdict::Bad;
            json!({"name": check.name, "ok": is_ok, "detail": check.detail, "advice": check.advice})
        };
        print_json(&json!({ "checks": checks.iter().map(told).collect::<Vec<_>>() }))?;
    } else {
        checks.iter().for_each(show);
    }
    let is_bad = |check: &Check| check.verdict == Verdict::Bad;
    Ok(if checks.iter().any(is_bad) { Exit::Unusable } else { Exit::Good })
}

/// The one that was named, or all that come with the program.
fn jobs(name: Option<&str>) -> Result<Vec<Job>, Failure> {
    match name {
        Some(name) => Ok(vec![job(name)?]),
        None => SHIPPED.iter().map(|shipped| job(shipped.name)).collect(),
    }
}

async fn examine(target: Target, jobs: &[Job]) -> Result<Vec<Check>, Failure> {
    let nobody = Cast { people: Vec::new(), state: None };
    let reached = target.reach(nobody).await?;
    let mut checks = Vec::new();
    let directory = reached.connection.ad.clone();
    match reached.sign_in(&Hitch::default()).await {
        Ok(claims) => {
            checks.push(Check::good("sign-in", signed_in(&reached, claims.as_ref())));
            let connected = reached.connected(Uuid::now_v7(), claims.as_ref(), None);
            let services = &connected.services;
            checks.extend(tenant(services).await);
            for job in jobs {
                // No parameter is wrong that was not given.
                let params = job.parameters(&[]).unwrap_or_default();
                checks.extend(permissions(job, &params, &services.app));
            }
            checks.push(limits(services));
            connected.close().await;
        }
        Err(fault) => checks.push(refused("sign-in", &fault)),
    }
    if let Some(directory) = directory {
        let base = directory.base.clone();
        checks.push(match ActiveDirectory::new(directory).check().await {
            Ok(()) => Check::good("active directory", format!("{base} can be reached")),
            Err(fault) => refused("active directory", &fault),
        });
    }
    Ok(checks)
}

fn signed_in(reached: &Reached, claims: Option<&Claims>) -> String {
    let graph = &reached.connection.graph;
    let mut words = format!("accepted at {}", graph.login.as_str().trim_end_matches('/'));
    if let Some(claims) = claims {
        let known = [("app", &claims.app), ("tenant", &claims.tenant)];
        words.extend(known.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!(", {name} {value}"))));
    }
    words
}

/// The tenant and its domains, or that it does not answer.
async fn tenant(services: &Arc<Services>) -> Vec<Check> {
    let patience = services.registry.main().patience.silence.min(ANSWER_WITHIN);
    match tokio::time::timeout(patience, introductions(services)).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(RunAbort(problem))) => vec![Check::bad("tenant", problem.to_string(), problem.advice)],
        Err(_) => {
            let detail = format!("no reply within {} s", patience.as_secs());
            vec![Check::bad("tenant", detail, "check the network, the proxy, and the service's health page")]
        }
    }
}

fn limits(services: &Services) -> Check {
    let budgets = services.registry.iter().flat_map(|endpoint| &endpoint.budgets);
    let words = budgets.map(|budget| {
        let (name, quota, rate) = (&budget.name, budget.quota(), budget.full_rate());
        format!("{name} {quota} ({rate:.1} a second)")
    });
    Check::good("limits", words.collect::<Vec<_>>().join(", "))
}

fn refused(name: &str, fault: &Fault) -> Check {
    Check::bad(name, format!("{} ({})", fault.brief(), fault.code), fault.advice())
}

fn show(check: &Check) {
    // What is good is not worth a word when it is to be quiet.
    let (mark, print): (char, fn(String)) = match check.verdict {
        Verdict::Good => ('✓', |line| print_result(line.trim_end())),
        Verdict::Unknown => ('?', print_text),
        Verdict::Warning => ('!', print_text),
        Verdict::Bad => ('✗', print_text),
    };
    let advice = if check.advice.is_empty() { String::new() } else { format!("\n    {}", check.advice) };
    print(format!("{mark} {}: {}{advice}\n", check.name, check.detail));
}
