//! Which of the service's limits a request counts against: a table of paths, after Microsoft's page on Graph throttling
//! limits. Throttling of one is no reason to slow another.

use crate::core::Request;
use crate::services::budget::Budget;
use crate::services::connection::GraphLimits;
use crate::services::service::BudgetId;
use std::sync::Arc;

/// Paths whose requests, reads and writes together, count against the limits of identity protection and conditional
/// access: one request a second for the whole tenant.
const IDENTITY_PROTECTED: [&str; 3] =
    ["identityProtection/riskyUsers", "identityProtection/riskDetections", "identity/conditionalAccess"];

/// Writes of directory objects. The first, which operators change, and whose state is told first.
pub(super) const WRITES: BudgetId = BudgetId(0);
/// Reads of them, and of everything that is not listed elsewhere.
pub(super) const READS: BudgetId = BudgetId(1);
/// Everything about risky users and conditional access.
pub(super) const IDENTITY_PROTECTION: BudgetId = BudgetId(2);

/// All of them, in the order of their ids.
pub(super) fn all(limits: &GraphLimits) -> Vec<Arc<Budget>> {
    vec![
        Budget::new("writes", limits.writes),
        Budget::new("reads", limits.reads),
        Budget::new("identity protection", limits.identity_protection),
    ]
}

/// What a request counts against. Its path is relative to the API's version, or the absolute address of a next page.
pub(super) fn of(request: &Request) -> BudgetId {
    let path = without_root(&request.path);
    if IDENTITY_PROTECTED.iter().any(|place| begins(path, place)) {
        return IDENTITY_PROTECTION;
    }
    if request.is_write() { WRITES } else { READS }
}

/// What follows the API's version in an absolute address; a relative path as it is.
fn without_root(path: &str) -> &str {
    match path.split_once("://") {
        Some((_, rest)) => rest.splitn(3, '/').nth(2).unwrap_or_default(),
        None => path.trim_start_matches('/'),
    }
}

/// Whether a path names that place or something below it. Graph reads the names of its resources in either case.
fn begins(path: &str, place: &str) -> bool {
    path.split_at_checked(place.len()).is_some_and(|(head, rest)| {
        head.eq_ignore_ascii_case(place) && (rest.is_empty() || rest.starts_with(['/', '?', '(']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Expects, Method};

    fn read(path: &str) -> Request {
        Request::get(path, Expects::Object)
    }

    fn write(path: &str) -> Request {
        Request::write(Method::Post, path, None)
    }

    #[test]
    fn risky_users_have_a_limit_of_their_own_for_reads_and_writes() {
        for path in [
            "/identityProtection/riskyUsers",
            "/identityProtection/riskyUsers/dismiss",
            "/identityprotection/riskyusers?$filter=x",
            "/identityProtection/riskyUsers('1')/history",
            "/identityProtection/riskDetections",
            "/identity/conditionalAccess/namedLocations/1",
            "https://graph.microsoft.com/v1.0/identityProtection/riskyUsers?$skiptoken=x",
        ] {
            for request in [read(path), write(path)] {
                assert_eq!(of(&request), IDENTITY_PROTECTION, "{path}");
            }
        }
    }

    #[test]
    fn all_else_is_the_directorys() {
        for path in [
            "/users/1",
            "/users/identityProtection",
            "/identityProtection/riskyUsersOfMine",
            "/identity/userFlows",
            "https://graph.microsoft.com/v1.0/users?$skiptoken=x",
            "https://graph.microsoft.com",
            "/ä",
            "",
        ] {
            assert_eq!(of(&read(path)), READS, "{path}");
            assert_eq!(of(&write(path)), WRITES, "{path}");
        }
    }
}
