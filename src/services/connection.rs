//! A connection: which tenant, as whom, where, how fast. Read from a connection file (`connection_file.rs`), or put together by a
//! program that serves its own tenant.

use super::auth::Auth;
use super::cloud::Cloud;
use super::ldap::AdConnection;
use super::service::Patience;
use crate::services::budget::Quota;
use reqwest::Url;
use std::time::Duration;

/// A directory counts far more reads than writes, so an operator who raises the writes needs no word on the reads.
const READS_PER_WRITE: u32 = 4;

/// The values of `x-ms-throttle-priority`, the first to be shed under load first: right for a batch, which can wait while people
/// work. It raises no limit.
pub(super) const THROTTLE_PRIORITIES: [&str; 3] = ["low", "normal", "high"];

/// What a target's connection file says.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Microsoft Graph.
    pub graph: GraphConnection,
    /// The on-premises Active Directory, where the file names one.
    pub ad: Option<AdConnection>,
}

/// How to reach Graph.
#[derive(Debug, Clone)]
pub struct GraphConnection {
    /// The tenant's domain or id, in lower case.
    pub tenant: String,
    /// The cloud it lives in.
    pub cloud: Cloud,
    /// How this program signs in.
    pub auth: Auth,
    /// Graph's root without the version; https, or http on loopback.
    pub endpoint: Url,
    /// The login root, likewise.
    pub login: Url,
    /// The budgets.
    pub limits: GraphLimits,
    /// What a service under load is told about these requests: one of `THROTTLE_PRIORITIES`.
    pub throttle_priority: &'static str,
    /// How long a run waits for it.
    pub patience: Patience,
}

/// How much a target may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphLimits {
    /// Requests that may change something.
    pub writes: Quota,
    /// Requests that change nothing.
    pub reads: Quota,
    /// Requests about risky users and conditional access, reads and writes together.
    pub identity_protection: Quota,
}

impl GraphLimits {
    /// Microsoft's limits for directory objects, per app and tenant: 3,000 writes in 150 s, and 3,500 units in 10 s
    /// in the smallest tenants, where reading one object is one unit; for identity protection, one request a second for
    /// the tenant (its page on Graph throttling limits).
    pub const GRAPH: GraphLimits = GraphLimits {
        writes: Quota::new(3_000, Duration::from_secs(150)),
        reads: Quota::new(3_500, Duration::from_secs(10)),
        identity_protection: Quota::new(1, Duration::from_secs(1)),
    };

    /// What the operator gave, and defaults for the rest. More writes than usual bring four times as many reads.
    pub fn given(writes: Option<Quota>, reads: Option<Quota>, identity_protection: Option<Quota>) -> GraphLimits {
        let usual = GraphLimits::GRAPH;
        let for_writes = writes
            .map(|writes| Quota::new(writes.count().saturating_mul(READS_PER_WRITE), writes.period()))
            .filter(|reads| reads.per_second() > usual.reads.per_second());
        GraphLimits {
            writes: writes.unwrap_or(usual.writes),
            reads: reads.or(for_writes).unwrap_or(usual.reads),
            identity_protection: identity_protection.unwrap_or(usual.identity_protection),
        }
    }
}

impl Connection {
    /// Whether requests go to a tenant that is served on this machine: a simulated one. Plain HTTP is allowed on loopback only.
    pub fn is_on_this_machine(&self) -> bool {
        self.graph.endpoint.scheme() == "http"
    }

    /// Names the target for the journal, so that a run is never resumed against another one. Holds no secret, and no
    /// port of a loopback address: a test tenant has another one after every start.
    pub fn identity(&self) -> String {
        let mut root = self.graph.endpoint.clone();
        if is_loopback(&root) {
            // Fails only for addresses that cannot have a port, and these keep none.
            let _ = root.set_port(None);
        }
        let root = root.as_str().trim_end_matches('/');
        format!("graph {} ({root})", self.graph.tenant.to_ascii_lowercase())
    }
}

/// Whether an address never leaves this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Secret;
    use crate::services::SecretSource;

    fn quota(text: &str) -> Quota {
        text.parse().unwrap()
    }

    fn identity(endpoint: &str) -> String {
        let graph = GraphConnection {
            tenant: "Contoso.onmicrosoft.com".to_owned(),
            cloud: Cloud::GLOBAL,
            auth: Auth::ClientSecret { client_id: "app".to_owned(), secret: SecretSource::Given(Secret::new("hush")) },
            endpoint: endpoint.parse().unwrap(),
            login: "https://login.microsoftonline.com".parse().unwrap(),
            limits: GraphLimits::GRAPH,
            throttle_priority: "low",
            patience: Patience::USUAL,
        };
        assert!(!format!("{graph:?}").contains("hush"));
        Connection { graph, ad: None }.identity()
    }

    #[test]
    fn the_identity_names_tenant_and_root() {
        assert_eq!(
            identity("https://graph.microsoft.com"),
            "graph contoso.onmicrosoft.com (https://graph.microsoft.com)"
        );
        assert_eq!(
            identity("https://proxy.contoso.com:8443/"),
            "graph contoso.onmicrosoft.com (https://proxy.contoso.com:8443)"
        );
        assert_eq!(identity("http://127.0.0.1:49152"), "graph contoso.onmicrosoft.com (http://127.0.0.1)");
    }

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for yes in ["http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:80", "http://LOCALHOST"] {
            assert!(is_loopback(&yes.parse().unwrap()), "{yes}");
        }
        for no in ["http://127.0.0.1.evil.com", "http://localhost.evil.com", "http://10.0.0.1"] {
            assert!(!is_loopback(&no.parse().unwrap()), "{no}");
        }
    }

    #[test]
    fn reads_follow_raised_writes() {
        assert_eq!(GraphLimits::given(None, None, None), GraphLimits::GRAPH);
        let raised = GraphLimits::given(Some(quota("1000/s")), None, None);
        assert_eq!(raised.reads, quota("4000/s"));
        let lowered = GraphLimits::given(Some(quota("12/s")), None, None);
        assert_eq!(lowered.reads, GraphLimits::GRAPH.reads);
        let named = GraphLimits::given(Some(quota("1000/s")), Some(quota("5/s")), None);
        assert_eq!(named.reads, quota("5/s"));
    }
}
