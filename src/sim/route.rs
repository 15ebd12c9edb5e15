//! Addresses: which path means what. Graph's key form `users('…')` and percent-encoded UPNs do not fit a router's
//! patterns, so paths are taken apart here, in one pure function.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::errors::Refusal;
use super::risk::RiskAction;
use super::user::{UserId, UserKey};

/// The versions of Graph. Nearly everything here is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `v1.0`.
    V1,
    /// `beta`.
    Beta,
}

impl Version {
    /// The version that a path belongs to.
    pub(super) fn of_path(path: &str) -> Self {
        if path.starts_with("/beta/") {
            Self::Beta
        } else {
            Self::V1
        }
    }

    /// How it stands in an address.
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A service that leads to a token.
    SignIn(SignInPlace),
    /// All live users.
    Users,
    /// One live user.
    User(UserKey),
    /// All deleted users.
    DeletedUsers,
    /// One deleted user.
    Deleted(UserId),
    /// The action that brings a deleted user back.
    Restore(UserId),
    /// The verified domains.
    Domains,
    /// One of them.
    Domain(String),
    /// The tenant itself.
    Organization,
    /// Who holds which directory role.
    RoleAssignments,
    /// Who may activate which directory role.
    RoleEligibilities,
    /// The members of a group, those of its groups among them; users only, or directory objects.
    GroupMembers { group: Uuid, cast: bool },
    /// Everybody at risk.
    RiskyUsers,
    /// One of them.
    RiskyUser(UserId),
    /// What an operator makes of risks.
    RiskAction(RiskAction),
    /// Several requests in one.
    Batch,
    /// The counters.
    SimStats,
    /// The true state of users.
    SimUsers,
    /// The writes that were made.
    SimWrites,
    /// The tokens that were given out.
    SimTokens,
}

/// The services that issue tokens, and what leads to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignInPlace {
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

impl Place {
    /// Reads a path as it came, still encoded.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let decoded: Vec<Cow<'_, str>> = path
            .trim_start_matches('/')
            .split('/')
            .map(|segment| decode(segment, path))
            .collect::<Result<_, _>>()?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [tenant, "oauth2", "v2.0", "token"] => Ok(Self::SignIn(SignInPlace::Token {
                tenant: (*tenant).to_owned(),
            })),
            [tenant, "oauth2", "v2.0", "devicecode"] => Ok(Self::SignIn(SignInPlace::DeviceCode {
                tenant: (*tenant).to_owned(),
            })),
            ["devicelogin"] => Ok(Self::SignIn(SignInPlace::DevicePage)),
            ["metadata", "identity", "oauth2", "token"] => Ok(Self::SignIn(SignInPlace::Metadata)),
            ["msi", "token"] => Ok(Self::SignIn(SignInPlace::App)),
            ["v1.0" | "beta", rest @ ..] => graph(rest, path),
            ["sim", "stats"] => Ok(Self::SimStats),
            ["sim", "users"] => Ok(Self::SimUsers),
            ["sim", "writes"] => Ok(Self::SimWrites),
            ["sim", "tokens"] => Ok(Self::SimTokens),
            _ => Err(no_such_path(path)),
        }
    }
}

fn graph(segments: &[&str], path: &str) -> Result<Place, Refusal> {
    match segments {
        ["$batch"] => Ok(Place::Batch),
        ["users"] => Ok(Place::Users),
        ["users", key] if key.starts_with('$') => {
            Err(Refusal::BadRequest(format!("The segment '{key}' is not valid; use the key form users('…').")))
        }
        ["users", key] => Ok(Place::User(user_key(key))),
        [segment] if segment.starts_with("users(") => match quoted_key(segment) {
            Some(key) => Ok(Place::User(user_key(&key))),
            None => Err(no_such_path(path)),
        },
        ["directory", "deletedItems"] => Err(Refusal::BadRequest(
            "The listing of deleted items needs a type, such as /directory/deletedItems/microsoft.graph.user.".to_owned(),
        )),
        ["directory", "deletedItems", "microsoft.graph.user"] => Ok(Place::DeletedUsers),
        ["directory", "deletedItems", id] | ["directory", "deletedItems", id, "microsoft.graph.user"] => {
            object_id(id).map(Place::Deleted)
        }
        ["directory", "deletedItems", id, "restore" | "microsoft.graph.restore"] => object_id(id).map(Place::Restore),
        ["domains"] => Ok(Place::Domains),
        ["domains", name] => Ok(Place::Domain((*name).to_owned())),
        ["organization"] => Ok(Place::Organization),
        ["roleManagement", "directory", "roleAssignments"] => Ok(Place::RoleAssignments),
        ["roleManagement", "directory", "roleEligibilityScheduleInstances"] => Ok(Place::RoleEligibilities),
        ["identityProtection", "riskyUsers"] => Ok(Place::RiskyUsers),
        ["identityProtection", "riskyUsers", "dismiss" | "microsoft.graph.dismiss"] => {
            Ok(Place::RiskAction(RiskAction::Dismiss))
        }
        ["identityProtection", "riskyUsers", "confirmCompromised" | "microsoft.graph.confirmCompromised"] => {
            Ok(Place::RiskAction(RiskAction::ConfirmCompromised))
        }
        ["identityProtection", "riskyUsers", id] => object_id(id).map(Place::RiskyUser),
        ["groups", id, "transitiveMembers"] => members(id, false),
        ["groups", id, "transitiveMembers", "microsoft.graph.user"] => members(id, true),
        _ => Err(no_such_path(path)),
    }
}

fn decode<'a>(segment: &'a str, path: &str) -> Result<Cow<'a, str>, Refusal> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refusal::BadRequest(format!("The path '{path}' does not decode to UTF-8.")))
}

fn user_key(text: &str) -> UserKey {
    UserId::parse(text).map_or_else(|| UserKey::Upn(text.to_owned()), UserKey::Id)
}

/// The key in `users('o''brien@contoso.com')`.
fn quoted_key(segment: &str) -> Option<String> {
    let quoted = segment.strip_prefix("users('")?.strip_suffix("')")?;
    Some(quoted.replace("''", "'"))
}

fn members(id: &str, cast: bool) -> Result<Place, Refusal> {
    match Uuid::try_parse(id) {
        Ok(group) => Ok(Place::GroupMembers { group, cast }),
        Err(_) => Err(Refusal::BadRequest(format!(
            "Invalid object identifier '{id}'."
        ))),
    }
}

fn object_id(text: &str) -> Result<UserId, Refusal> {
    UserId::parse(text)
        .ok_or_else(|| Refusal::BadRequest(format!("Invalid object identifier '{text}'.")))
}

pub(super) fn no_such_path(path: &str) -> Refusal {
    Refusal::NoSuchPath(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7e06b566-15f3-4013-8bf8-79874d52e68a";

    fn by_upn(upn: &str) -> Result<Place, Refusal> {
        Ok(Place::User(UserKey::Upn(upn.to_owned())))
    }

    #[test]
    fn users_are_named_in_three_ways() {
        let id = UserId::parse(ID).unwrap();
        assert_eq!(
            Place::parse(&format!("/v1.0/users/{ID}")),
            Ok(Place::User(UserKey::Id(id)))
        );
        assert_eq!(
            Place::parse("/v1.0/users/a%23EXT%23@c.com"),
            by_upn("a#EXT#@c.com")
        );
        assert_eq!(
            Place::parse("/v1.0/users('o''brien@c.com')"),
            by_upn("o'brien@c.com")
        );
        assert_eq!(
            Place::parse("/v1.0/users(%27$x%40c.com%27)"),
            by_upn("$x@c.com")
        );
    }

    #[test]
    fn a_dollar_needs_the_key_form_and_deleted_items_a_cast() {
        assert!(matches!(
            Place::parse("/v1.0/users/$x@c.com"),
            Err(Refusal::BadRequest(_))
        ));
        assert!(matches!(
            Place::parse("/v1.0/directory/deletedItems"),
            Err(Refusal::BadRequest(_))
        ));
        assert_eq!(
            Place::parse("/v1.0/directory/deletedItems/microsoft.graph.user"),
            Ok(Place::DeletedUsers)
        );
    }

    #[test]
    fn a_deleted_user_has_two_addresses_and_an_action() {
        let id = UserId::parse(ID).unwrap();
        assert_eq!(
            Place::parse(&format!("/v1.0/directory/deletedItems/{ID}")),
            Ok(Place::Deleted(id))
        );
        assert_eq!(
            Place::parse(&format!(
                "/v1.0/directory/deletedItems/{ID}/microsoft.graph.user"
            )),
            Ok(Place::Deleted(id))
        );
        assert_eq!(
            Place::parse(&format!("/v1.0/directory/deletedItems/{ID}/restore")),
            Ok(Place::Restore(id))
        );
        assert!(Place::parse("/v1.0/directory/deletedItems/x").is_err());
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
            assert!(Place::parse(path).is_err(), "{path}");
        }
    }
}
