//! The tokens that were given out. In form they are the JWTs that Entra gives for Graph, with the claims of Entra's page on
//! access tokens that a program can make use of; here each is looked up as an opaque text, and its signature is random, as
//! nobody but Graph may check that of a token for Graph. They live as long as the options say, and do not outlive the
//! process: a client must cope with that anyway.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::SimTime;
use super::permission::GraphPermission;
use super::refusal::GraphRefusal;
use super::sign_in::IDENTITY_CLIENT_ID;

/// The simulated tenant's id.
pub const TENANT_ID: &str = "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de";
/// The id of the one app that is registered in it.
pub const CLIENT_ID: &str = "51a1a7ed-0000-4000-8000-00000000a99b";
/// The object id of that app's service principal.
pub const SERVICE_PRINCIPAL_ID: &str = "51a1a7ed-0001-4000-8000-00000000a99b";
/// That app's secret: obviously no real one, so it may stand in a source file.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

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

/// Tokens remembered. A client needs one at a time; more than this many at once is a client gone wrong.
const TOKENS_MAX: usize = 10_000;

/// Who a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenSubject {
    /// The app, by a secret or a certificate.
    App,
    /// The managed identity.
    ManagedIdentity,
    /// Somebody who signed in to the app.
    Person,
}

/// What whoever has a token may do. It says what was granted when the token was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenRights {
    pub(super) permissions: BTreeSet<GraphPermission>,
    /// Holds Privileged Authentication Administrator and Hybrid Identity Administrator.
    pub(super) is_administrator: bool,
}

/// The tokens given out so far, each with its end.
#[derive(Debug)]
pub(super) struct TokensIssued {
    life_s: u64,
    held: HashMap<String, (SimTime, Arc<TokenRights>)>,
}

impl TokensIssued {
    pub(super) fn new(life_s: u64) -> Self {
        Self { life_s, held: HashMap::new() }
    }

    /// Gives out a token for Graph, whose root is `resource`, in the body of a successful reply.
    pub(super) fn issue(
        &mut self,
        subject: TokenSubject,
        resource: &str,
        rights: TokenRights,
        now: SimTime,
        identity: &Identity,
    ) -> Value {
        if self.held.len() >= TOKENS_MAX {
            self.held.retain(|_, (end, _)| *end > now);
        }
        if self.held.len() >= TOKENS_MAX {
            self.held.clear();
        }
        let end = now.plus_ms(self.life_s.saturating_mul(1_000));
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": "simulated", "x5t": "simulated"});
        let payload = claims(subject, resource, &rights, now, end);
        let signature = format!("simulated-{}", identity.secret_text());
        let parts = [header.to_string(), payload.to_string(), signature];
        let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        self.held.insert(token.clone(), (end, Arc::new(rights)));
        json!({"token_type": "Bearer", "expires_in": self.life_s, "ext_expires_in": self.life_s, "access_token": token})
    }

    /// All that are remembered, ended ones included.
    pub(super) fn given_out(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// What a token that is good at this moment allows.
    pub(super) fn check(&self, token: &str, now: SimTime) -> Result<Arc<TokenRights>, GraphRefusal> {
        match self.held.get(token) {
            None => Err(GraphRefusal::token("The access token cannot be validated.")),
            Some((end, _)) if *end <= now => Err(GraphRefusal::TOKEN_EXPIRED),
            Some((_, rights)) => Ok(Arc::clone(rights)),
        }
    }

    /// Ends a token's life early.
    pub(super) fn expire(&mut self, token: &str, now: SimTime) {
        if let Some((end, _)) = self.held.get_mut(token) {
            *end = now;
        }
    }

    /// Ends the life of all of them.
    pub(super) fn end_all(&mut self, now: SimTime) {
        self.held.values_mut().for_each(|(end, _)| *end = now.min(*end));
    }
}

/// Graph's own tokens are of version 1.0. A person's scopes of sign-in itself stand among those of Graph.
fn claims(subject: TokenSubject, resource: &str, rights: &TokenRights, now: SimTime, end: SimTime) -> Value {
    let (client_id, object_id, kind) = match subject {
        TokenSubject::App => (CLIENT_ID, SERVICE_PRINCIPAL_ID, "app"),
        TokenSubject::ManagedIdentity => (IDENTITY_CLIENT_ID, IDENTITY_OBJECT_ID, "app"),
        TokenSubject::Person => (CLIENT_ID, PERSON_ID, "user"),
    };
    let mut templates = Vec::new();
    if rights.is_administrator {
        templates.extend([PRIVILEGED_AUTHENTICATION_ADMINISTRATOR, HYBRID_IDENTITY_ADMINISTRATOR]);
    }
    let mut names: Vec<&str> = rights.permissions.iter().map(|one| one.name()).collect();
    let mut claims = json!({
        "aud": resource,
        "iss": format!("https://sts.windows.net/{TENANT_ID}/"),
        "iat": now.seconds(),
        "nbf": now.seconds(),
        "exp": end.seconds(),
        "appid": client_id,
        "idtyp": kind,
        "oid": object_id,
        "sub": object_id,
        "tid": TENANT_ID,
        "ver": "1.0",
    });
    match subject {
        TokenSubject::App | TokenSubject::ManagedIdentity => claims["roles"] = json!(names),
        TokenSubject::Person => {
            names.extend(["email", "openid", "profile"]);
            names.sort_unstable();
            templates.extend([USER_ADMINISTRATOR, EVERYBODY]);
            claims["scp"] = json!(names.join(" "));
            claims["upn"] = json!(PERSON_UPN);
        }
    }
    claims["wids"] = json!(templates);
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(is_administrator: bool) -> TokenRights {
        let permissions = ["User.Read.All", "Domain.Read.All"].map(|name| name.parse().unwrap()).into();
        TokenRights { permissions, is_administrator }
    }

    fn said(subject: TokenSubject, is_administrator: bool) -> Value {
        let (mut tokens, rights) = (TokensIssued::new(5), rights(is_administrator));
        let body = tokens.issue(subject, "https://graph.microsoft.us", rights, SimTime(5_000), &Identity::for_test(1));
        let text = body["access_token"].as_str().unwrap();
        let parts: Vec<_> = text.split('.').collect();
        assert_eq!(parts.len(), 3, "{text}");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn an_apps_token_carries_its_permissions_and_roles() {
        let said = said(TokenSubject::App, true);
        assert_eq!(said["roles"], json!(["Domain.Read.All", "User.Read.All"]));
        assert_eq!(said["aud"], "https://graph.microsoft.us");
        assert_eq!((&said["nbf"], &said["exp"], &said["idtyp"]), (&json!(5), &json!(10), &json!("app")));
        assert_eq!(said["wids"][0], PRIVILEGED_AUTHENTICATION_ADMINISTRATOR);
        assert!(said.get("scp").is_none());
    }

    #[test]
    fn a_persons_token_has_scopes_in_place_of_roles() {
        let said = said(TokenSubject::Person, false);
        assert_eq!(said["scp"], "Domain.Read.All User.Read.All email openid profile");
        assert!(said.get("roles").is_none());
        assert_eq!(said["wids"], json!([USER_ADMINISTRATOR, EVERYBODY]));
    }

    #[test]
    fn tokens_live_and_end() {
        let mut tokens = TokensIssued::new(10);
        let (resource, identity) = ("https://graph.microsoft.com", Identity::for_test(1));
        let body = tokens.issue(TokenSubject::App, resource, rights(false), SimTime(0), &identity);
        let token = body["access_token"].as_str().unwrap().to_owned();
        let check = |tokens: &TokensIssued, token: &str, ms| {
            let found = tokens.check(token, SimTime(ms));
            found.map(|rights| (*rights).clone())
        };
        assert_eq!(check(&tokens, &token, 9_999), Ok(rights(false)));
        assert_eq!(check(&tokens, &token, 10_000), Err(GraphRefusal::TOKEN_EXPIRED));
        assert_eq!(check(&tokens, "other", 0), Err(GraphRefusal::token("The access token cannot be validated.")));
        tokens.expire(&token, SimTime(5_000));
        assert_eq!(check(&tokens, &token, 5_000), Err(GraphRefusal::TOKEN_EXPIRED));
    }
}
