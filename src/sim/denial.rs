//! Why no token is given, in the form and with the numbers of Entra's errors (its page on error codes; a few that the page
//! leaves out are as they have been seen).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::SimTime;

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
    /// It was the app's secret.
    SecretExpired,
    /// Neither a secret nor an assertion.
    NoProof,
    /// An assertion that no registered certificate can verify.
    Assertion,
    /// An assertion that is not good now, or for too long.
    AssertionTime,
    /// An assertion for another endpoint.
    AssertionAudience,
    /// An assertion of another app.
    AssertionApp,
    /// A grant that is not served here.
    Grant,
    /// A scope that the grant does not take.
    Scope,
    /// A service that the tenant does not have: that of another cloud.
    Resource,
    /// Nobody has entered the device code yet.
    Pending,
    /// Asked again too soon.
    SlowDown,
    /// Whoever was asked declined.
    Declined,
    /// The device code's time is over.
    CodeExpired,
    /// No such device code.
    CodeUnknown,
    /// The refresh token is not taken any more.
    Refresh,
    /// The metadata service wants its header.
    MetadataHeader,
    /// The machine has no such identity.
    Identity,
    /// The app's header is wrong.
    IdentityHeader,
    /// The service is down.
    Down,
}

impl Denial {
    /// The status, OAuth's error, Entra's number (0 where other services speak, who have none), and the text.
    #[rustfmt::skip]
    fn row(self) -> (u16, &'static str, u32, &'static str) {
        match self {
            Self::Parameter(_) => (400, "invalid_request", 900_144, "The request body must contain the parameter"),
            Self::Tenant => (400, "invalid_request", 90_002, "The tenant was not found."),
            Self::Client => (400, "unauthorized_client", 700_016, "No application with this identifier exists in the tenant."),
            Self::Secret => (401, "invalid_client", 7_000_215, "The client secret is not valid."),
            Self::SecretExpired => (401, "invalid_client", 7_000_222, "The client secret keys of the application are expired."),
            Self::NoProof => (401, "invalid_client", 7_000_218, "The request body must contain 'client_assertion' or 'client_secret'."),
            Self::Assertion => (401, "invalid_client", 700_027, "The assertion's certificate is not registered with the application."),
            Self::AssertionTime => (401, "invalid_client", 700_024, "The client assertion is not within its valid time range."),
            Self::AssertionAudience => (401, "invalid_client", 700_023, "The client assertion is for another audience."),
            Self::AssertionApp => (401, "invalid_client", 700_021, "The client assertion is of another application."),
            Self::Grant => (400, "unsupported_grant_type", 70_003, "The grant type is not supported."),
            Self::Scope => (400, "invalid_scope", 1_002_012, "The scope must be the resource's root followed by '/.default'."),
            Self::Resource => (400, "invalid_resource", 500_011, "The resource was not found in the tenant."),
            Self::Pending => (400, "authorization_pending", 70_016, "Authorization is pending. Continue polling."),
            Self::SlowDown => (400, "slow_down", 0, "Asked again too soon."),
            Self::Declined => (400, "authorization_declined", 0, "The user declined."),
            Self::CodeExpired => (400, "expired_token", 70_020, "The device code has expired."),
            Self::CodeUnknown => (400, "bad_verification_code", 70_018, "The device code is not valid."),
            Self::Refresh => (400, "invalid_grant", 70_043, "The refresh token has expired or is invalid due to sign-in frequency checks."),
            Self::MetadataHeader => (400, "invalid_request", 0, "Required metadata header not specified"),
            Self::Identity => (400, "invalid_request", 0, "Identity not found"),
            Self::IdentityHeader => (401, "unauthorized", 0, "The identity header is wrong"),
            Self::Down => (503, "temporarily_unavailable", 0, "The service is temporarily unavailable."),
        }
    }

    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or_default()
    }

    /// The body of the reply.
    pub(super) fn body(self, now: SimTime, identity: &Identity) -> Value {
        let (_, error, number, text) = self.row();
        if number == 0 {
            return json!({"error": error, "error_description": text});
        }
        let text = match self {
            Self::Parameter(name) => format!("{text} '{name}'."),
            _ => text.to_owned(),
        };
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
        let body = Denial::Secret.body(SimTime(0), &Identity::for_test(1));
        assert_eq!(body["error"], "invalid_client");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with("AADSTS7000215: "), "{text}");
    }
}
