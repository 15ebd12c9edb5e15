//! The token endpoint's client-credentials grant, and the tokens it gave out. Tokens are opaque, live as long as
//! the options say, and do not outlive the process: a client must cope with that anyway. Errors have the form and
//! the numbers of Entra's.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::UnixMillis;
use super::domains::Domains;
use super::errors::Refusal;

/// The simulated tenant's id.
pub const TENANT_ID: &str = "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de";
/// The id of the one app that is registered in it.
pub const CLIENT_ID: &str = "51a1a7ed-0000-4000-8000-00000000a99b";
/// That app's secret: obviously no real one, so it may stand in a source file.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

/// Tokens remembered. A client needs one at a time; more than this many at once is a client gone wrong.
const TOKENS_MAX: usize = 10_000;

/// The tokens given out so far.
#[derive(Debug)]
pub(super) struct Tokens {
    life_s: u64,
    ends: HashMap<Box<str>, UnixMillis>,
}

impl Tokens {
    pub(super) fn new(life_s: u64) -> Self {
        Self {
            life_s,
            ends: HashMap::new(),
        }
    }

    /// Gives out a token in the body of a successful reply.
    pub(super) fn issue(&mut self, now: UnixMillis, identity: &Identity) -> Value {
        if self.ends.len() >= TOKENS_MAX {
            self.make_room(now);
        }
        let token = format!("simulated.{}", identity.secret_text());
        self.ends.insert(
            token.as_str().into(),
            now.plus_ms(self.life_s.saturating_mul(1_000)),
        );
        json!({"token_type": "Bearer", "expires_in": self.life_s, "ext_expires_in": self.life_s, "access_token": token})
    }

    /// All that are remembered, ended ones included.
    pub(super) fn given_out(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(AsRef::as_ref)
    }

    /// Whether a token is good at this moment.
    pub(super) fn check(&self, token: &str, now: UnixMillis) -> Result<(), Refusal> {
        match self.ends.get(token) {
            None => Err(Refusal::TokenUnknown),
            Some(end) if *end <= now => Err(Refusal::TokenExpired),
            Some(_) => Ok(()),
        }
    }

    /// Ends a token's life early.
    pub(super) fn expire(&mut self, token: &str, now: UnixMillis) {
        if let Some(end) = self.ends.get_mut(token) {
            *end = now;
        }
    }

    fn make_room(&mut self, now: UnixMillis) {
        self.ends.retain(|_, end| *end > now);
        if self.ends.len() >= TOKENS_MAX {
            self.ends.clear();
        }
    }
}

/// Why no token is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// No tenant of this name.
    Tenant,
    /// A parameter that every request needs is missing.
    Parameter(&'static str),
    /// No app of this id.
    Client,
    /// Not the app's secret.
    Secret,
    /// Neither a secret nor an assertion.
    NoProof,
    /// An assertion; no certificate is registered.
    Assertion,
    /// A grant that is not served here.
    Grant,
    /// A scope that the grant does not take.
    Scope,
}

impl Denial {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Secret | Self::NoProof | Self::Assertion => StatusCode::UNAUTHORIZED,
            Self::Tenant | Self::Parameter(_) | Self::Client | Self::Grant | Self::Scope => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    fn error(self) -> &'static str {
        match self {
            Self::Tenant | Self::Parameter(_) => "invalid_request",
            Self::Client => "unauthorized_client",
            Self::Secret | Self::NoProof | Self::Assertion => "invalid_client",
            Self::Grant => "unsupported_grant_type",
            Self::Scope => "invalid_scope",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Tenant => 90_002,
            Self::Parameter(_) => 900_144,
            Self::Client => 700_016,
            Self::Secret => 7_000_215,
            Self::NoProof => 7_000_218,
            Self::Assertion => 700_027,
            Self::Grant => 70_003,
            Self::Scope => 1_002_012,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Tenant => "The tenant was not found.".to_owned(),
            Self::Parameter(name) => {
                format!("The request body must contain the parameter '{name}'.")
            }
            Self::Client => "No application with this identifier exists in the tenant.".to_owned(),
            Self::Secret => "The client secret is not valid.".to_owned(),
            Self::NoProof => {
                "The request body must contain 'client_assertion' or 'client_secret'.".to_owned()
            }
            Self::Assertion => {
                "The assertion's certificate is not registered with the application.".to_owned()
            }
            Self::Grant => "The grant type is not supported.".to_owned(),
            Self::Scope => {
                "The scope must be the resource's root followed by '/.default'.".to_owned()
            }
        }
    }

    /// The body of the reply.
    pub(super) fn body(self, now: UnixMillis, identity: &Identity) -> Value {
        let trace = identity.request_id().to_string();
        json!({
            "error": self.error(),
            "error_description": format!("AADSTS{}: {} Trace ID: {trace} Timestamp: {}", self.number(), self.text(), now.zulu_text()),
            "error_codes": [self.number()],
            "timestamp": now.zulu_text(),
            "trace_id": trace,
            "correlation_id": trace,
        })
    }
}

/// Decides about the form of a token request. `tenant` is the id or any verified domain.
pub(super) fn check_form(
    tenant: &str,
    domains: &Domains,
    form: &[(String, String)],
) -> Result<(), Denial> {
    if !tenant.eq_ignore_ascii_case(TENANT_ID) && domains.find(tenant).is_none() {
        return Err(Denial::Tenant);
    }
    if field(form, "grant_type")? != "client_credentials" {
        return Err(Denial::Grant);
    }
    if !field(form, "client_id")?.eq_ignore_ascii_case(CLIENT_ID) {
        return Err(Denial::Client);
    }
    if !field(form, "scope")?.ends_with("/.default") {
        return Err(Denial::Scope);
    }
    match (
        field(form, "client_secret"),
        field(form, "client_assertion"),
    ) {
        (Ok(CLIENT_SECRET), _) => Ok(()),
        (Ok(_), _) => Err(Denial::Secret),
        (Err(_), Ok(_)) => Err(Denial::Assertion),
        (Err(_), Err(_)) => Err(Denial::NoProof),
    }
}

fn field<'a>(form: &'a [(String, String)], name: &'static str) -> Result<&'a str, Denial> {
    let found = form
        .iter()
        .find(|(key, value)| key == name && !value.is_empty());
    found
        .map(|(_, value)| value.as_str())
        .ok_or(Denial::Parameter(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ];

    /// The good form with one field changed, or left out where the value is empty.
    fn decided(tenant: &str, name: &str, value: &str) -> Result<(), Denial> {
        let changed = GOOD
            .iter()
            .map(|(key, old)| (*key, if *key == name { value } else { old }));
        let form: Vec<_> = changed
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        check_form(tenant, &Domains::new(), &form)
    }

    #[test]
    fn every_part_of_the_form_is_checked() {
        assert_eq!(decided(TENANT_ID, "", ""), Ok(()));
        assert_eq!(decided("contoso.onmicrosoft.com", "", ""), Ok(()));
        assert_eq!(decided("elsewhere.example", "", ""), Err(Denial::Tenant));
        assert_eq!(
            decided(TENANT_ID, "grant_type", "password"),
            Err(Denial::Grant)
        );
        assert_eq!(
            decided(TENANT_ID, "client_id", TENANT_ID),
            Err(Denial::Client)
        );
        assert_eq!(
            decided(TENANT_ID, "client_secret", "wrong"),
            Err(Denial::Secret)
        );
        assert_eq!(
            decided(TENANT_ID, "client_secret", ""),
            Err(Denial::NoProof)
        );
        assert_eq!(decided(TENANT_ID, "scope", "User.Read"), Err(Denial::Scope));
        assert_eq!(
            decided(TENANT_ID, "scope", ""),
            Err(Denial::Parameter("scope"))
        );
    }

    #[test]
    fn tokens_live_and_end() {
        let mut tokens = Tokens::new(10);
        let body = tokens.issue(UnixMillis(0), &Identity::for_test(1));
        let token = body["access_token"].as_str().unwrap().to_owned();
        assert_eq!(tokens.check(&token, UnixMillis(9_999)), Ok(()));
        assert_eq!(
            tokens.check(&token, UnixMillis(10_000)),
            Err(Refusal::TokenExpired)
        );
        assert_eq!(
            tokens.check("other", UnixMillis(0)),
            Err(Refusal::TokenUnknown)
        );
        tokens.expire(&token, UnixMillis(5_000));
        assert_eq!(
            tokens.check(&token, UnixMillis(5_000)),
            Err(Refusal::TokenExpired)
        );
    }

    #[test]
    fn denials_look_like_entras() {
        let body = Denial::Secret.body(UnixMillis(0), &Identity::for_test(1));
        assert_eq!(body["error"], "invalid_client");
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .starts_with("AADSTS7000215: ")
        );
    }
}
