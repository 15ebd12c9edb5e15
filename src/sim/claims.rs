//! What an access token says: the claims of Entra's page on access tokens that a program can make use of. Graph's own tokens
//! are of version 1.0. The signature is random, as nobody but Graph may check that of a token for Graph.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::chance::Identity;
use super::clock::SimTime;
use super::sign_in::IDENTITY_CLIENT_ID;
use super::tenant::ActorRole;
use super::token::{CLIENT_ID, SERVICE_PRINCIPAL_ID, TENANT_ID, TokenSubject, TokenWish};

/// The object id of the managed identity's service principal.
const IDENTITY_OBJECT_ID: &str = "1de27171-0001-4000-8000-00000000a99b";
/// The object id of whoever signs in with a device code.
const PERSON_ID: &str = "9e2502a1-0000-4000-8000-00000000a99b";
/// Their UPN. They are no part of the population.
const PERSON_UPN: &str = "operator@contoso.onmicrosoft.com";
/// The role template that stands in the token of every person and means no role at all.
const EVERYBODY: &str = "b79fbf4d-3ef9-4689-8143-76b194e85509";
/// User Administrator: enough for everybody but administrators.
const USER_ADMINISTRATOR: &str = "fe930be7-5e62-47db-91af-98c3a49a38b1";
/// Privileged Authentication Administrator: may act on administrators, too.
pub(super) const PRIVILEGED_AUTHENTICATION_ADMINISTRATOR: &str = "7be44c8a-adaf-4e2a-84d6-ab2649e08a13";
/// Hybrid Identity Administrator: may clear `onPremisesObjectIdentifier`.
pub(super) const HYBRID_IDENTITY_ADMINISTRATOR: &str = "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2";

/// A new token. It is good from now until `end`.
pub(super) fn token(wish: &TokenWish<'_>, now: SimTime, end: SimTime, identity: &Identity) -> String {
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "simulated", "x5t": "simulated"});
    let payload = Value::Object(claims(wish, now, end));
    let signature = format!("simulated-{}", identity.secret_text());
    let parts = [header.to_string(), payload.to_string(), signature];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn claims(wish: &TokenWish<'_>, now: SimTime, end: SimTime) -> Map<String, Value> {
    let (client_id, object_id, kind) = match wish.subject {
        TokenSubject::App => (CLIENT_ID, SERVICE_PRINCIPAL_ID, "app"),
        TokenSubject::ManagedIdentity => (IDENTITY_CLIENT_ID, IDENTITY_OBJECT_ID, "app"),
        TokenSubject::Person => (CLIENT_ID, PERSON_ID, "user"),
    };
    let now_s = seconds(now);
    let common = [
        ("aud", json!(wish.resource)),
        ("iss", json!(format!("https://sts.windows.net/{TENANT_ID}/"))),
        ("iat", json!(now_s)),
        ("nbf", json!(now_s)),
        ("exp", json!(seconds(end))),
        ("appid", json!(client_id)),
        ("idtyp", json!(kind)),
        ("oid", json!(object_id)),
        ("sub", json!(object_id)),
        ("tid", json!(TENANT_ID)),
        ("ver", json!("1.0")),
        ("wids", json!(role_templates(wish))),
    ];
    let permissions = wish.rights.permissions.iter().map(|one| one.name());
    let own = match wish.subject {
        TokenSubject::App | TokenSubject::ManagedIdentity => {
            vec![("roles", json!(permissions.collect::<Vec<_>>()))]
        }
        TokenSubject::Person => {
            vec![("scp", json!(scopes(permissions))), ("upn", json!(PERSON_UPN))]
        }
    };
    let all = common.into_iter().chain(own);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The scopes of sign-in itself stand among those of Graph.
fn scopes(permissions: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<&str> = ["email", "openid", "profile"].into_iter().chain(permissions).collect();
    names.sort_unstable();
    names.join(" ")
}

fn role_templates(wish: &TokenWish<'_>) -> Vec<&'static str> {
    let own: &[&str] = match wish.subject {
        TokenSubject::App | TokenSubject::ManagedIdentity => &[],
        TokenSubject::Person => &[USER_ADMINISTRATOR, EVERYBODY],
    };
    let held: &[&str] = match wish.rights.role {
        ActorRole::Nothing => &[],
        ActorRole::Administrator => &[PRIVILEGED_AUTHENTICATION_ADMINISTRATOR, HYBRID_IDENTITY_ADMINISTRATOR],
    };
    held.iter().chain(own).copied().collect()
}

fn seconds(at: SimTime) -> u64 {
    at.ms_since(SimTime(0)) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::permission::GraphPermission;
    use crate::sim::token::TokenRights;

    fn said(subject: TokenSubject, role: ActorRole) -> Value {
        let wish = TokenWish {
            subject,
            resource: "https://graph.microsoft.us",
            rights: TokenRights {
                permissions: [GraphPermission::UserReadAll, GraphPermission::DomainReadAll].into(),
                role,
            },
        };
        let text = token(&wish, SimTime(5_000), SimTime(9_999), &Identity::for_test(1));
        let parts: Vec<_> = text.split('.').collect();
        assert_eq!(parts.len(), 3, "{text}");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn an_apps_token_carries_its_permissions_and_roles() {
        let said = said(TokenSubject::App, ActorRole::Administrator);
        assert_eq!(said["roles"], json!(["Domain.Read.All", "User.Read.All"]));
        assert_eq!(said["aud"], "https://graph.microsoft.us");
        assert_eq!((&said["nbf"], &said["exp"], &said["idtyp"]), (&json!(5), &json!(9), &json!("app")));
        assert_eq!(said["wids"][0], PRIVILEGED_AUTHENTICATION_ADMINISTRATOR);
        assert!(said.get("scp").is_none());
    }

    #[test]
    fn a_persons_token_has_scopes_in_place_of_roles() {
        let said = said(TokenSubject::Person, ActorRole::Nothing);
        assert_eq!(said["scp"], "Domain.Read.All User.Read.All email openid profile");
        assert!(said.get("roles").is_none());
        assert_eq!(said["wids"], json!([USER_ADMINISTRATOR, EVERYBODY]));
    }
}
