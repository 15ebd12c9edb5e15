//! A connection: which tenant, as whom, where, how fast. Read from a connection file, or put together by a program
//! that serves its own tenant.
//!
//! Reading the file's text is the business of `connection_file`; this file holds what comes out of it.

use std::path::Path;
use std::time::Duration;

use miette::Diagnostic;
use reqwest::Url;

use super::AdConnection;
use super::Cloud;
use super::auth::Auth;
use super::connection_file;
use super::priority::ThrottlePriority;
use super::rights::warn_of_others;
use crate::core::config::Mistake;
use crate::services::budget::Quota;

/// A directory counts far more reads than writes, so an operator who raises the writes needs no word on the reads.
const READS_PER_WRITE: u32 = 4;

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
    /// What a service under load is told about these requests.
    pub throttle_priority: ThrottlePriority,
    /// How long nothing may answer before a run stops.
    pub patience: Duration,
    /// How long a run waits while its sign-in is refused, before it stops.
    pub sign_in_patience: Duration,
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
    #[must_use]
    pub fn given(writes: Option<Quota>, reads: Option<Quota>, identity_protection: Option<Quota>) -> GraphLimits {
        let for_writes = writes
            .map(|writes| Quota::new(writes.count().saturating_mul(READS_PER_WRITE), writes.period()))
            .filter(|reads| reads.per_second() > GraphLimits::GRAPH.reads.per_second());
        GraphLimits {
            writes: writes.unwrap_or(GraphLimits::GRAPH.writes),
            reads: reads.or(for_writes).unwrap_or(GraphLimits::GRAPH.reads),
            identity_protection: identity_protection.unwrap_or(GraphLimits::GRAPH.identity_protection),
        }
    }
}

impl GraphConnection {
    /// How long nothing may answer before a run stops, where the file says nothing: a short outage passes, and a long one
    /// is told to somebody the same hour.
    pub const PATIENCE: Duration = Duration::from_secs(5 * 60);
    /// How long a run waits for a refused sign-in to be fixed, where the file says nothing: from the evening, when a secret
    /// expires, until those who can renew it are awake. Nothing is lost by waiting: nobody can be helped without a sign-in.
    pub const SIGN_IN_PATIENCE: Duration = Duration::from_secs(12 * 60 * 60);
}

impl Connection {
    /// Reads a connection file and the secrets it points to.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes; all of them are told at once.
    pub fn load(path: &Path) -> Result<Connection, ConnectionError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConnectionError::Unreadable { path: path.display().to_string(), source })?;
        warn_of_others("connection file", path);
        Connection::parse(path, &text, &|name| std::env::var(name).ok())
    }

    /// Reads the text of a connection file; `path` is for messages and for secret files beside it, `variable` looks
    /// up an environment variable.
    ///
    /// # Errors
    /// The text has mistakes; all of them are told at once.
    pub fn parse(
        path: &Path,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Connection, ConnectionError> {
        connection_file::read(path.parent().unwrap_or(Path::new("")), text, variable)
            .map_err(|mistakes| ConnectionError::Mistakes { path: path.display().to_string(), mistakes })
    }

    /// Whether requests go to a tenant that is served on this machine: a simulated one. Plain HTTP is allowed on loopback only.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        self.graph.endpoint.scheme() == "http"
    }

    /// Names the target for the journal, so that a run is never resumed against another one. Holds no secret, and no
    /// port of a loopback address: a test tenant has another one after every start.
    #[must_use]
    pub fn identity(&self) -> String {
        let endpoint = &self.graph.endpoint;
        let mut root = endpoint.clone();
        if is_loopback(endpoint) {
            // Fails only for addresses that cannot have a port, and these keep none.
            let _ = root.set_port(None);
        }
        let root = root.as_str().trim_end_matches('/');
        format!("graph {} ({root})", self.graph.tenant.to_ascii_lowercase())
    }
}

/// Whether an address never leaves this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Why there is no connection. Nothing has been sent anywhere.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConnectionError {
    /// The file is not there, may not be read, or is not UTF-8.
    #[error("connection file `{path}` cannot be read")]
    #[diagnostic(
        code(target::connection_unreadable),
        help("check the path of --target and who may read the file; it must be saved as UTF-8")
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can be read but not used.
    #[error("connection file `{path}` has {}", told(mistakes))]
    #[diagnostic(code(target::connection_mistakes))]
    Mistakes {
        /// The file.
        path: String,
        /// Every mistake in it, in the order of the file.
        #[related]
        mistakes: Vec<Mistake>,
    },
}

/// The mistakes in words: the only one itself, so that a plain log line is enough; else how many there are.
fn told(mistakes: &[Mistake]) -> String {
    match mistakes {
        [only] => format!("a mistake in {only}"),
        several => format!("{} mistakes", several.len()),
    }
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
            cloud: Cloud::Global,
            auth: Auth::ClientSecret { client_id: "app".to_owned(), secret: SecretSource::Given(Secret::new("hush")) },
            endpoint: endpoint.parse().unwrap(),
            login: "https://login.microsoftonline.com".parse().unwrap(),
            limits: GraphLimits::GRAPH,
            throttle_priority: ThrottlePriority::Low,
            patience: GraphConnection::PATIENCE,
            sign_in_patience: GraphConnection::SIGN_IN_PATIENCE,
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
