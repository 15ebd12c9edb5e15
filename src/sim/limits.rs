//! What the simulated service allows, as Microsoft describes it, and what a request asks of it. The numbers come from
//! Microsoft's page on throttling limits.

/// Paths that count against the limit of identity protection and conditional access.
const IDENTITY_PROTECTION: [&str; 3] =
    ["identityprotection/riskyusers", "identityprotection/riskdetections", "identity/conditionalaccess"];

/// An amount per time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateQuota {
    /// How much; also the most that can be taken at once.
    pub amount: u32,
    /// In how many milliseconds it grows back from nothing.
    pub window_ms: u64,
}

/// The service's limits; None switches one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Of the app in the tenant, against the resource units of all requests: the published one for the tenant's number of users.
    pub counts_units: bool,
    /// Of the app in the tenant, against the number of writes.
    pub writes: Option<RateQuota>,
    /// Of the tenant, against the writes of all apps.
    pub tenant_writes: Option<RateQuota>,
    /// Of the tenant, against requests about risky users and conditional access.
    pub identity_protection: Option<RateQuota>,
    /// Whether successes tell above 0.8 of the fullest limit how full it is, in `x-ms-throttle-limit-percentage`.
    pub tells_usage: bool,
}

impl Default for ServiceLimits {
    /// The published limits: resource units by tenant size, 3,000 writes per 150 s for an app, 18,000 per 300 s for the
    /// tenant, and one request a second for identity protection.
    fn default() -> Self {
        Self {
            counts_units: true,
            writes: Some(RateQuota { amount: 3_000, window_ms: 150_000 }),
            tenant_writes: Some(RateQuota { amount: 18_000, window_ms: 300_000 }),
            identity_protection: Some(RateQuota { amount: 1, window_ms: 1_000 }),
            tells_usage: true,
        }
    }
}

impl ServiceLimits {
    /// No limits at all.
    #[must_use]
    pub fn off() -> Self {
        Self { counts_units: false, writes: None, tenant_writes: None, identity_protection: None, ..Self::default() }
    }

    pub(super) fn units_quota(&self, users: usize) -> Option<RateQuota> {
        let amount = match users {
            0..50 => 3_500,
            50..=500 => 5_000,
            _ => 8_000,
        };
        self.counts_units.then_some(RateQuota { amount, window_ms: 10_000 })
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestCost {
    /// Counts against no other limit then, and costs one whatever it does.
    pub(super) is_identity_protection: bool,
    pub(super) units: u32,
    pub(super) writes: u32,
}

/// Whether a path, as it came with the API's version, counts against the limit of identity protection.
pub(super) fn is_identity_protection(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let below_version = path.trim_start_matches('/').split_once('/');
    let place = below_version.map_or("", |(_, place)| place);
    let is_there = |rest: &str| rest.is_empty() || rest.starts_with(['/', '(']);
    IDENTITY_PROTECTION.iter().any(|begin| place.strip_prefix(begin).is_some_and(is_there))
}

/// The share of the tenant's bucket that a request of this `x-ms-throttle-priority` must leave to those above it. Whatever is
/// not understood is normal, as is silence. Microsoft says that low is shed first and gives no numbers; a twentieth is ours.
pub(super) fn share_left_by(priority: Option<&str>) -> f64 {
    match priority.map(str::to_ascii_lowercase).as_deref() {
        Some("low") => 0.05,
        Some("high") => 0.0,
        Some(_) | None => 0.02,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_units_follow_the_tenants_size() {
        let limits = ServiceLimits::default();
        let amounts = [49, 50, 500, 501].map(|users| limits.units_quota(users).map(|quota| quota.amount));
        assert_eq!(amounts, [Some(3_500), Some(5_000), Some(5_000), Some(8_000)]);
        assert_eq!(ServiceLimits::off().units_quota(1), None);
    }

    #[test]
    fn the_family_goes_by_the_path() {
        for path in [
            "/v1.0/identityProtection/riskyUsers",
            "/beta/identityProtection/riskyUsers/dismiss",
            "/v1.0/IdentityProtection/riskDetections('1')",
            "/v1.0/identity/conditionalAccess/policies",
        ] {
            assert!(is_identity_protection(path), "{path}");
        }
        for path in ["/v1.0/users/identityProtection", "/v1.0/identityProtection/riskyUsersToo", "/v1.0", "/"] {
            assert!(!is_identity_protection(path), "{path}");
        }
    }

    #[test]
    fn a_priority_that_is_not_understood_is_normal() {
        let shares = [Some("LOW"), Some("urgent"), None, Some("High")].map(share_left_by);
        assert_eq!(shares, [0.05, 0.02, 0.02, 0.0]);
    }
}
