//! Addresses: which path means what, which permissions it takes, what it costs, and which rule serves it. Graph's key form
//! `users('…')` and percent-encoded UPNs do not fit a router's patterns, so paths are taken apart here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::document::parse_id;
use super::permission::{
    DELETE_AND_RESTORE, Permissions, READ_ASSIGNMENTS, READ_DOMAINS, READ_ELIGIBILITIES, READ_MEMBERS,
    READ_ORGANIZATION, READ_RISK, READ_USERS, WRITE_RISK, WRITE_USERS,
};
use super::rules::{risk, users};
use super::schema::{
    DELETED_USER, DELETED_USERS, DOMAINS, MEMBERS, ORGANIZATION, RISKY_USERS, ROLE_ASSIGNMENTS, ROLE_ELIGIBILITIES,
    USER_MEMBERS,
};
use super::{EntitySet, GraphOperation, GraphRefusal, GraphReply, USERS};

/// What serves an address.
#[derive(Debug)]
pub(super) enum Handler {
    /// A page of a set.
    List(&'static EntitySet),
    /// The entity of a set that the key in the path names.
    Get(&'static EntitySet),
    /// A rule of its own.
    Rule(fn(&mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal>),
}
use Handler::{Get, List, Rule};

/// One address with one method.
#[derive(Debug)]
pub(super) struct GraphEndpoint {
    method: &'static str,
    /// `{id}` takes a GUID, `{user}` that or a UPN, `{name}` anything; `~` marks an action, whose namespace may be named.
    pattern: &'static str,
    /// One of them is enough; none is asked for where there are none.
    pub(super) permissions: Permissions,
    /// What listing costs by Microsoft's table, in resource units.
    pub(super) units: u32,
    pub(super) handler: Handler,
}

const fn row(
    method: &'static str,
    pattern: &'static str,
    permissions: Permissions,
    units: u32,
    handler: Handler,
) -> GraphEndpoint {
    GraphEndpoint { method, pattern, permissions, units, handler }
}

/// The first pattern that fits a path is the one that counts.
#[rustfmt::skip]
static ENDPOINTS: &[GraphEndpoint] = &[
    row("GET", "users", READ_USERS, 2, List(&USERS)),
    row("POST", "users", WRITE_USERS, 1, Rule(users::create)),
    row("GET", "users/{user}", READ_USERS, 1, Get(&USERS)),
    row("PATCH", "users/{user}", WRITE_USERS, 1, Rule(users::patch)),
    row("DELETE", "users/{user}", DELETE_AND_RESTORE, 1, Rule(users::delete)),
    row("GET", "directory/deletedItems", "", 1, Rule(users::list_untyped)),
    row("GET", "directory/deletedItems/microsoft.graph.user", DELETE_AND_RESTORE, 1, List(&DELETED_USERS)),
    row("GET", "directory/deletedItems/{id}", DELETE_AND_RESTORE, 1, Get(&DELETED_USER)),
    row("GET", "directory/deletedItems/{id}/microsoft.graph.user", DELETE_AND_RESTORE, 1, Get(&DELETED_USER)),
    row("DELETE", "directory/deletedItems/{id}", DELETE_AND_RESTORE, 1, Rule(users::purge)),
    row("POST", "directory/deletedItems/{id}/~restore", DELETE_AND_RESTORE, 1, Rule(users::restore)),
    row("GET", "domains", READ_DOMAINS, 1, List(&DOMAINS)),
    row("GET", "domains/{name}", READ_DOMAINS, 1, Get(&DOMAINS)),
    row("GET", "organization", READ_ORGANIZATION, 1, List(&ORGANIZATION)),
    row("GET", "roleManagement/directory/roleAssignments", READ_ASSIGNMENTS, 1, List(&ROLE_ASSIGNMENTS)),
    row("GET", "roleManagement/directory/roleEligibilityScheduleInstances", READ_ELIGIBILITIES, 1, List(&ROLE_ELIGIBILITIES)),
    row("GET", "groups/{id}/transitiveMembers", READ_MEMBERS, 5, List(&MEMBERS)),
    row("GET", "groups/{id}/transitiveMembers/microsoft.graph.user", READ_MEMBERS, 5, List(&USER_MEMBERS)),
    row("GET", "identityProtection/riskyUsers", READ_RISK, 1, List(&RISKY_USERS)),
    row("POST", "identityProtection/riskyUsers/~dismiss", WRITE_RISK, 1, Rule(risk::dismiss)),
    row("POST", "identityProtection/riskyUsers/~confirmCompromised", WRITE_RISK, 1, Rule(risk::confirm_compromised)),
    row("GET", "identityProtection/riskyUsers/{id}", READ_RISK, 1, Get(&RISKY_USERS)),
];

/// The services that issue tokens, and what leads to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignInRoute {
    /// The token endpoint of a tenant.
    Token { tenant: String },
    /// Where a tenant hands out device codes.
    DeviceCode { tenant: String },
    /// The page on which a person enters one.
    DevicePage,
    /// The metadata service of a virtual machine.
    Metadata,
    /// The service for managed identities of App Service.
    App,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    SignIn(SignInRoute),
    /// A page of the tenant's own.
    Control(String),
    Batch,
    /// A pattern of Graph and the key in the path.
    Graph(&'static str, String),
}

impl Route {
    /// Reads a path as it came, still encoded.
    pub(super) fn parse(path: &str) -> Result<Self, GraphRefusal> {
        let decoded: Vec<Cow<'_, str>> = path
            .trim_start_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8())
            .collect::<Result<_, _>>()
            .map_err(|_| GraphRefusal::bad_request(format!("The path '{path}' does not decode to UTF-8.")))?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let tenant = segments.first().copied().unwrap_or_default().to_owned();
        Ok(match segments.as_slice() {
            [_, "oauth2", "v2.0", "token"] => Self::SignIn(SignInRoute::Token { tenant }),
            [_, "oauth2", "v2.0", "devicecode"] => Self::SignIn(SignInRoute::DeviceCode { tenant }),
            ["devicelogin"] => Self::SignIn(SignInRoute::DevicePage),
            ["metadata", "identity", "oauth2", "token"] => Self::SignIn(SignInRoute::Metadata),
            ["msi", "token"] => Self::SignIn(SignInRoute::App),
            ["sim", page] => Self::Control((*page).to_owned()),
            ["v1.0" | "beta", "$batch"] => Self::Batch,
            ["v1.0" | "beta", rest @ ..] => graph(rest, path)?,
            _ => return Err(GraphRefusal::no_such_path(path)),
        })
    }
}

fn graph(segments: &[&str], path: &str) -> Result<Route, GraphRefusal> {
    if let [segment] = segments
        && let Some(quoted) = segment.strip_prefix("users('").and_then(|rest| rest.strip_suffix("')"))
    {
        return Ok(Route::Graph("users/{user}", quoted.replace("''", "'")));
    }
    for GraphEndpoint { pattern, .. } in ENDPOINTS {
        let Some((kind, key)) = captured(pattern, segments) else {
            continue;
        };
        match kind {
            "{id}" if parse_id(key).is_none() => {
                return Err(GraphRefusal::bad_request(format!("Invalid object identifier '{key}'.")));
            }
            "{user}" if key.starts_with('$') => {
                let message = format!("The segment '{key}' is not valid; use the key form users('…').");
                return Err(GraphRefusal::bad_request(message));
            }
            _ => return Ok(Route::Graph(pattern, key.to_owned())),
        }
    }
    Err(GraphRefusal::no_such_path(path))
}

/// The key in a path that fits, and its kind; both are empty where the pattern has none.
fn captured<'a>(pattern: &'static str, segments: &[&'a str]) -> Option<(&'static str, &'a str)> {
    let mut found = ("", "");
    let mut left = segments.iter();
    for wanted in pattern.split('/') {
        let segment = *left.next()?;
        if wanted.starts_with('{') {
            found = (wanted, segment);
        } else if let Some(action) = wanted.strip_prefix('~') {
            (segment.strip_prefix("microsoft.graph.").unwrap_or(segment) == action).then_some(())?;
        } else {
            (wanted == segment).then_some(())?;
        }
    }
    left.next().is_none().then_some(found)
}

/// The endpoint of a pattern for a method, if there is one.
pub(super) fn endpoint(pattern: &str, method: &str) -> Option<&'static GraphEndpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.pattern == pattern && endpoint.method == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7e06b566-15f3-4013-8bf8-79874d52e68a";

    fn graph(pattern: &'static str, key: &str) -> Result<Route, GraphRefusal> {
        Ok(Route::Graph(pattern, key.to_owned()))
    }

    #[test]
    fn users_are_named_in_three_ways() {
        let user = |path: &str| Route::parse(path);
        assert_eq!(user(&format!("/v1.0/users/{ID}")), graph("users/{user}", ID));
        assert_eq!(user("/v1.0/users/a%23EXT%23@c.com"), graph("users/{user}", "a#EXT#@c.com"));
        assert_eq!(user("/v1.0/users('o''brien@c.com')"), graph("users/{user}", "o'brien@c.com"));
        assert_eq!(user("/v1.0/users(%27$x%40c.com%27)"), graph("users/{user}", "$x@c.com"));
    }

    #[test]
    fn a_dollar_needs_the_key_form_and_deleted_items_a_cast() {
        assert!(Route::parse("/v1.0/users/$x@c.com").is_err());
        let cast = "directory/deletedItems/microsoft.graph.user";
        assert_eq!(Route::parse(&format!("/v1.0/{cast}")), graph(cast, ""));
    }

    #[test]
    fn a_deleted_user_has_two_addresses_and_an_action() {
        let deleted = |rest: &str| Route::parse(&format!("/v1.0/directory/deletedItems/{ID}{rest}"));
        assert_eq!(deleted(""), graph("directory/deletedItems/{id}", ID));
        assert_eq!(deleted("/microsoft.graph.user"), graph("directory/deletedItems/{id}/microsoft.graph.user", ID));
        assert_eq!(deleted("/restore"), graph("directory/deletedItems/{id}/~restore", ID));
        assert_eq!(deleted("/microsoft.graph.restore"), deleted("/restore"));
        assert!(Route::parse("/v1.0/directory/deletedItems/x").is_err());
    }

    #[test]
    fn other_paths_are_refused() {
        for path in [
            "/",
            "/v2.0/users",
            "/v1.0/groups",
            "/v1.0/groups/x/transitiveMembers",
            "/v1.0/users/a/b",
            "/v1.0/users/%ff",
            "/v1.0/users(x)",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
