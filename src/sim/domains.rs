//! The tenant's verified domains and how each of them signs people in. Domains never change while the simulator
//! runs: flipping one would hit every user, and no job of a migration runner does it.

use std::collections::BTreeMap;

use super::chance;

/// The tenant's initial domain: always there, always managed.
pub const INITIAL_DOMAIN: &str = "contoso.onmicrosoft.com";
/// The generated population's federated domain.
pub(super) const FEDERATED_DEMO_DOMAIN: &str = "contoso.com";
/// The generated population's managed domain.
pub(super) const MANAGED_DEMO_DOMAIN: &str = "fabrikam.com";

/// Where a domain's users prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authentication {
    /// In the cloud.
    Managed,
    /// At the organisation's own identity provider, which finds them by their ImmutableID.
    Federated,
}

impl Authentication {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Managed => "Managed",
            Self::Federated => "Federated",
        }
    }
}

/// The verified domains by lower-case name.
#[derive(Debug)]
pub(super) struct Domains(BTreeMap<String, Authentication>);

impl Domains {
    pub(super) fn new() -> Self {
        Self(BTreeMap::from([(
            INITIAL_DOMAIN.to_owned(),
            Authentication::Managed,
        )]))
    }

    /// Makes a domain verified; its kind follows from its name alone, so that it is the same in every run.
    pub(super) fn verify(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let kind = kind_by_name(&name);
        self.0.entry(name).or_insert(kind);
    }

    /// Makes a domain verified that only temporary UPNs are in; such a domain is of use only when it is managed.
    pub(super) fn verify_managed(&mut self, name: &str) {
        self.0
            .entry(name.to_ascii_lowercase())
            .or_insert(Authentication::Managed);
    }

    /// How the domain signs people in; none when it is not verified here.
    pub(super) fn find(&self, name: &str) -> Option<Authentication> {
        match self.0.get(name) {
            Some(kind) => Some(*kind),
            None => self.0.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Authentication)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

fn kind_by_name(name: &str) -> Authentication {
    match name {
        FEDERATED_DEMO_DOMAIN => Authentication::Federated,
        MANAGED_DEMO_DOMAIN => Authentication::Managed,
        // Microsoft's own domains cannot be federated.
        _ if name.ends_with(".onmicrosoft.com") => Authentication::Managed,
        _ if chance::number(&chance::digest(0, "domain", name)) & 1 == 1 => {
            Authentication::Federated
        }
        _ => Authentication::Managed,
    }
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
        assert_eq!(domains.find("CONTOSO.COM"), Some(Authentication::Federated));
        assert_eq!(domains.find("fabrikam.com"), Some(Authentication::Managed));
        assert_eq!(
            domains.find("other.onmicrosoft.com"),
            Some(Authentication::Managed)
        );
        assert_eq!(domains.find(INITIAL_DOMAIN), Some(Authentication::Managed));
        assert_eq!(domains.find("unknown.example"), None);
    }

    #[test]
    fn names_decide_and_both_kinds_occur() {
        let kinds: Vec<_> = (0..40)
            .map(|n| kind_by_name(&format!("d{n}.example")))
            .collect();
        assert!(
            kinds.contains(&Authentication::Managed) && kinds.contains(&Authentication::Federated)
        );
    }
}
