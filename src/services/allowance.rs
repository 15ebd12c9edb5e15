//! Which of the service's limits a request counts against: a table of paths, after Microsoft's page on Graph throttling
//! limits. Throttling of one is no reason to slow another.

use super::message::Kind;

/// Paths whose requests, reads and writes together, count against the limits of identity protection and conditional
/// access: one request a second for the whole tenant.
const IDENTITY_PROTECTION: [&str; 3] = [
    "identityProtection/riskyUsers",
    "identityProtection/riskDetections",
    "identity/conditionalAccess",
];

/// One of the service's limits, each with a budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Reads of directory objects, and of everything that is not listed elsewhere.
    DirectoryReads,
    /// Writes of them.
    DirectoryWrites,
    /// Everything about risky users and conditional access.
    IdentityProtection,
}

impl Allowance {
    /// What a request counts against. The path is relative to the API's version, or the absolute address of a next page.
    #[must_use]
    pub fn of(kind: Kind, path: &str) -> Allowance {
        let path = without_root(path);
        if IDENTITY_PROTECTION.iter().any(|place| begins(path, place)) {
            return Allowance::IdentityProtection;
        }
        match kind {
            Kind::Read => Allowance::DirectoryReads,
            Kind::Write => Allowance::DirectoryWrites,
        }
    }
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
    let (Some(head), Some(rest)) = (path.get(..place.len()), path.get(place.len()..)) else {
        return false;
    };
    let ends_there = rest.is_empty() || rest.starts_with(['/', '?', '(']);
    head.eq_ignore_ascii_case(place) && ends_there
}

#[cfg(test)]
mod tests {
    use super::*;

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
            for kind in [Kind::Read, Kind::Write] {
                let allowance = Allowance::of(kind, path);
                assert_eq!(allowance, Allowance::IdentityProtection, "{path}");
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
            assert_eq!(
                Allowance::of(Kind::Read, path),
                Allowance::DirectoryReads,
                "{path}"
            );
            assert_eq!(
                Allowance::of(Kind::Write, path),
                Allowance::DirectoryWrites,
                "{path}"
            );
        }
    }
}
