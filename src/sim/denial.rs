//! Why no token is given, in the form and with the numbers of Entra's errors (its page on error codes; a few that the page
//! leaves out are as they have been seen).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::SimTime;

/// Why no token is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denial {
    status: u16,
    /// OAuth's error.
    error: &'static str,
    /// Entra's number; 0 where other services speak, who have none.
    number: u32,
    text: &'static str,
    parameter: Option<&'static str>,
}

const fn row(status: u16, error: &'static str, number: u32, text: &'static str) -> Denial {
    Denial { status, error, number, text, parameter: None }
}

#[rustfmt::skip]
impl Denial {
    pub(super) const TENANT: Self = row(400, "invalid_request", 90_002, "The tenant was not found.");
    pub(super) const CLIENT: Self = row(400, "unauthorized_client", 700_016, "No application with this identifier exists in the tenant.");
    pub(super) const SECRET: Self = row(401, "invalid_client", 7_000_215, "The client secret is not valid.");
    pub(super) const SECRET_EXPIRED: Self = row(401, "invalid_client", 7_000_222, "The client secret keys of the application are expired.");
    pub(super) const NO_PROOF: Self = row(401, "invalid_client", 7_000_218, "The request body must contain 'client_assertion' or 'client_secret'.");
    pub(super) const ASSERTION: Self = row(401, "invalid_client", 700_027, "The assertion's certificate is not registered with the application.");
    /// An assertion that is not good now, or for too long.
    pub(super) const ASSERTION_TIME: Self = row(401, "invalid_client", 700_024, "The client assertion is not within its valid time range.");
    pub(super) const ASSERTION_AUDIENCE: Self = row(401, "invalid_client", 700_023, "The client assertion is for another audience.");
    pub(super) const ASSERTION_APP: Self = row(401, "invalid_client", 700_021, "The client assertion is of another application.");
    /// A grant that is not served here.
    pub(super) const GRANT: Self = row(400, "unsupported_grant_type", 70_003, "The grant type is not supported.");
    pub(super) const SCOPE: Self = row(400, "invalid_scope", 1_002_012, "The scope must be the resource's root followed by '/.default'.");
    /// A service that the tenant does not have: that of another cloud.
    pub(super) const RESOURCE: Self = row(400, "invalid_resource", 500_011, "The resource was not found in the tenant.");
    pub(super) const PENDING: Self = row(400, "authorization_pending", 70_016, "Authorization is pending. Continue polling.");
    pub(super) const SLOW_DOWN: Self = row(400, "slow_down", 0, "Asked again too soon.");
    pub(super) const DECLINED: Self = row(400, "authorization_declined", 0, "The user declined.");
    pub(super) const CODE_EXPIRED: Self = row(400, "expired_token", 70_020, "The device code has expired.");
    pub(super) const CODE_UNKNOWN: Self = row(400, "bad_verification_code", 70_018, "The device code is not valid.");
    /// The refresh token is not taken any more.
    pub(super) const REFRESH: Self = row(400, "invalid_grant", 70_043, "The refresh token has expired or is invalid due to sign-in frequency checks.");
    pub(super) const METADATA_HEADER: Self = row(400, "invalid_request", 0, "Required metadata header not specified");
    pub(super) const IDENTITY: Self = row(400, "invalid_request", 0, "Identity not found");
    pub(super) const IDENTITY_HEADER: Self = row(401, "unauthorized", 0, "The identity header is wrong");
    pub(super) const DOWN: Self = row(503, "temporarily_unavailable", 0, "The service is temporarily unavailable.");
}

impl Denial {
    /// A parameter that every request needs is missing.
    pub(super) fn parameter(name: &'static str) -> Self {
        let denial = row(400, "invalid_request", 900_144, "The request body must contain the parameter");
        Self { parameter: Some(name), ..denial }
    }

    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or_default()
    }

    /// The body of the reply.
    pub(super) fn body(self, now: SimTime, identity: &Identity) -> Value {
        let Self { error, number, text, .. } = self;
        if number == 0 {
            return json!({"error": error, "error_description": text});
        }
        let text = self.parameter.map_or_else(|| text.to_owned(), |name| format!("{text} '{name}'."));
        let trace = identity.request_id().to_string();
        let at = now.zulu_text();
        json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {text} Trace ID: {trace} Timestamp: {at}"),
            "error_codes": [number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": trace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_look_like_entras() {
        let body = Denial::SECRET.body(SimTime(0), &Identity::for_test(1));
        assert_eq!(body["error"], "invalid_client");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with("AADSTS7000215: "), "{text}");
    }
}
