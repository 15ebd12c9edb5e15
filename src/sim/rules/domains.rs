//! The tenant's verified domains and how each of them signs people in, and the tenant itself. Domains never change while
//! the simulator runs: flipping one would hit every user, and no job of a migration runner does it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::sim::document::fields;
use crate::sim::{Document, GraphRefusal, ODataQuery, ReplicaView, Rows, TENANT_ID, chance};

/// The tenant's initial domain: always there, always managed.
pub const INITIAL_DOMAIN: &str = "contoso.onmicrosoft.com";
/// The generated population's federated domain.
pub(crate) const FEDERATED_DEMO_DOMAIN: &str = "contoso.com";
/// The generated population's managed domain.
pub(crate) const MANAGED_DEMO_DOMAIN: &str = "fabrikam.com";

/// Where a domain's users prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum DomainKind {
    /// In the cloud.
    Managed,
    /// At the organisation's own identity provider, which finds them by their ImmutableID.
    Federated,
}

impl DomainKind {
    /// It follows from the name alone, so that it is the same in every run.
    fn by_name(name: &str) -> Self {
        let is_federated = match name {
            FEDERATED_DEMO_DOMAIN => true,
            MANAGED_DEMO_DOMAIN => false,
            // Microsoft's own domains cannot be federated.
            _ if name.ends_with(".onmicrosoft.com") => false,
            _ => chance::number(&chance::digest(0, "domain", name)) & 1 == 1,
        };
        if is_federated { Self::Federated } else { Self::Managed }
    }
}

/// The verified domains by lower-case name.
#[derive(Debug)]
pub(crate) struct Domains(BTreeMap<String, DomainKind>);

impl Domains {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::from([(INITIAL_DOMAIN.to_owned(), DomainKind::Managed)]))
    }

    pub(crate) fn verify(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let kind = DomainKind::by_name(&name);
        self.0.entry(name).or_insert(kind);
    }

    /// Makes a domain verified that only temporary UPNs are in; such a domain is of use only when it is managed.
    pub(crate) fn verify_managed(&mut self, name: &str) {
        self.0.entry(name.to_ascii_lowercase()).or_insert(DomainKind::Managed);
    }

    /// How the domain signs people in; None when it is not verified here.
    pub(crate) fn find(&self, name: &str) -> Option<DomainKind> {
        self.0.get(name).or_else(|| self.0.get(&name.to_ascii_lowercase())).copied()
    }
}

pub(crate) fn rows<'a>(view: ReplicaView<'a>, _: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    let domains = view.tenant.domains.0.iter().map(|(name, kind)| Cow::Owned(domain(name, *kind)));
    Ok(Box::new((0..).zip(domains)))
}

pub(crate) fn find(view: ReplicaView<'_>) -> Option<Cow<'_, Document>> {
    let kind = view.tenant.domains.find(view.key)?;
    Some(Cow::Owned(domain(&view.key.to_ascii_lowercase(), kind)))
}

pub(crate) fn organization<'a>(view: ReplicaView<'a>, _: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    let domains = view.tenant.domains.0.iter();
    let verified: Vec<Value> = domains
        .map(|(name, kind)| {
            json!({
                "name": name,
                "type": kind,
                "capabilities": "Email, OfficeCommunicationsOnline",
                "isDefault": name == INITIAL_DOMAIN,
                "isInitial": name == INITIAL_DOMAIN,
            })
        })
        .collect();
    let organization = fields(json!({
        "id": TENANT_ID,
        "displayName": "Contoso (simulated)",
        "tenantType": "AAD",
        "onPremisesSyncEnabled": true,
        "verifiedDomains": verified,
    }));
    Ok(Box::new(std::iter::once((0, Cow::Owned(organization)))))
}

fn domain(name: &str, kind: DomainKind) -> Document {
    fields(json!({
        "id": name,
        "authenticationType": kind,
        "availabilityStatus": null,
        "isAdminManaged": true,
        "isDefault": name == INITIAL_DOMAIN,
        "isInitial": name == INITIAL_DOMAIN,
        "isRoot": true,
        "isVerified": true,
        "passwordNotificationWindowInDays": 14,
        "passwordValidityPeriodInDays": 90,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_domains_have_their_fixed_kinds() {
        let mut domains = Domains::new();
        for name in ["Contoso.com", "fabrikam.com", "other.onmicrosoft.com"] {
            domains.verify(name);
        }
        assert_eq!(domains.find("CONTOSO.COM"), Some(DomainKind::Federated));
        assert_eq!(domains.find("fabrikam.com"), Some(DomainKind::Managed));
        assert_eq!(domains.find("other.onmicrosoft.com"), Some(DomainKind::Managed));
        assert_eq!(domains.find(INITIAL_DOMAIN), Some(DomainKind::Managed));
        assert_eq!(domains.find("unknown.example"), None);
    }

    #[test]
    fn names_decide_and_both_kinds_occur() {
        let kinds: Vec<_> = (0..40).map(|n| DomainKind::by_name(&format!("d{n}.example"))).collect();
        assert!(kinds.contains(&DomainKind::Managed) && kinds.contains(&DomainKind::Federated));
    }
}
