//! What a tenant is recognised by before a run: its domains. They say whether the sign-in led to the tenant that was named, and
//! how people in each domain sign in.

use crate::services::reply::Fault;
use crate::services::service::Check;
use serde_json::Value;
use uuid::Uuid;

/// The list of domains.
pub(super) const DOMAINS: &str = "/domains?$select=id,authenticationType,isInitial,isVerified";

/// The checks `tenant`, then `domains` and `initial domain`.
pub(super) fn checks(named: &str, signed_in_to: Option<&str>, answer: Result<&[Value], &Fault>) -> Vec<Check> {
    let mut checks = vec![right_tenant(named, signed_in_to, answer.ok())];
    match answer {
        Ok(domains) => checks.extend(domain_checks(domains)),
        Err(fault) => {
            checks.push(Check::bad("domains", format!("{}: {}", fault.code, fault.message), fault.advice()));
        }
    }
    checks
}

/// A token of another tenant than the connection file names would change people there. An identity that belongs to a machine or
/// to the Azure CLI may be one; a token that does not say where it is from was asked for at the tenant's own address.
fn right_tenant(named: &str, signed_in: Option<&str>, domains: Option<&[Value]>) -> Check {
    let is_id = Uuid::parse_str(named).is_ok();
    let is_other = match (signed_in, domains) {
        (Some(id), _) if is_id => !id.eq_ignore_ascii_case(named),
        (Some(_), Some(domains)) => !domains.iter().any(|domain| text(domain, "id").eq_ignore_ascii_case(named)),
        (Some(_), None) | (None, _) => false,
    };
    let id = signed_in.map_or(String::new(), |id| format!(" ({id})"));
    if is_other {
        let detail = format!("signed in to another tenant{id} than the one named, {named}");
        let advice = "name the tenant in the connection file that the sign-in leads to, or sign in to the one named; an \
             identity of a machine belongs to one tenant, and `az login --tenant …` chooses one";
        return Check::bad("tenant", detail, advice);
    }
    Check::good("tenant", format!("{named}{id} can be reached"))
}

fn domain_checks(domains: &[Value]) -> Vec<Check> {
    let words = domains.iter().map(|domain| {
        let verified = if domain.get("isVerified") == Some(&Value::Bool(false)) { ", not verified" } else { "" };
        let (name, kind) = (text(domain, "id"), text(domain, "authenticationType"));
        format!("{name} ({}{verified})", kind.to_lowercase())
    });
    let list = words.collect::<Vec<_>>().join(", ");
    let is_initial = |domain: &&Value| domain.get("isInitial") == Some(&Value::Bool(true));
    let initial = match domains.iter().find(is_initial) {
        Some(domain) => Check::good(Check::INITIAL_DOMAIN, text(domain, "id")),
        None => {
            let advice = "check that the app may read all domains (Domain.Read.All)";
            Check::bad(Check::INITIAL_DOMAIN, "the tenant names none", advice)
        }
    };
    vec![Check::good("domains", list), initial]
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::service::Verdict;
    use serde_json::json;

    #[test]
    fn another_tenant_is_found_by_its_id_or_its_domains() {
        let (here, there) = ("5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de", "00000000-0000-4000-8000-000000000001");
        let domains = [json!({"id": "Contoso.com"})];
        let verdict =
            |named: &str, id: Option<&str>, domains: Option<&[Value]>| right_tenant(named, id, domains).verdict;
        assert_eq!(verdict(here, Some(here), None), Verdict::Good);
        assert_eq!(verdict(here, Some(there), Some(&domains)), Verdict::Bad);
        assert_eq!(verdict("contoso.com", Some(there), Some(&domains)), Verdict::Good);
        assert_eq!(verdict("fabrikam.com", Some(there), Some(&domains)), Verdict::Bad);
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
        assert_eq!(checks[0].detail, "contoso.com (federated), new.com (managed, not verified)");
        assert_eq!((checks[1].name.as_str(), checks[1].verdict), ("initial domain", Verdict::Bad));
    }
}
