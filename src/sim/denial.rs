//! Why no token is given, in the form and with the numbers of Entra's errors (its page on error codes; a few that the page
//! leaves out are as they have been seen).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::UnixMillis;

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
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Secret
            | Self::SecretExpired
            | Self::NoProof
            | Self::Assertion
            | Self::AssertionTime
            | Self::AssertionAudience
            | Self::AssertionApp
            | Self::IdentityHeader => StatusCode::UNAUTHORIZED,
            Self::Tenant
            | Self::Parameter(_)
            | Self::Client
            | Self::Grant
            | Self::Scope
            | Self::Resource
            | Self::Pending
            | Self::SlowDown
            | Self::Declined
            | Self::CodeExpired
            | Self::CodeUnknown
            | Self::Refresh
            | Self::MetadataHeader
            | Self::Identity => StatusCode::BAD_REQUEST,
            Self::Down => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error(self) -> &'static str {
        match self {
            Self::Tenant | Self::Parameter(_) | Self::MetadataHeader | Self::Identity => {
                "invalid_request"
            }
            Self::Client => "unauthorized_client",
            Self::Secret
            | Self::SecretExpired
            | Self::NoProof
            | Self::Assertion
            | Self::AssertionTime
            | Self::AssertionAudience
            | Self::AssertionApp => "invalid_client",
            Self::Grant => "unsupported_grant_type",
            Self::Scope => "invalid_scope",
            Self::Resource => "invalid_resource",
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::Declined => "authorization_declined",
            Self::CodeExpired => "expired_token",
            Self::CodeUnknown => "bad_verification_code",
            Self::Refresh => "invalid_grant",
            Self::IdentityHeader => "unauthorized",
            Self::Down => "temporarily_unavailable",
        }
    }

    /// Entra's number; what other services say has none.
    fn number(self) -> Option<u32> {
        match self {
            Self::Tenant => Some(90_002),
            Self::Parameter(_) => Some(900_144),
            Self::Client => Some(700_016),
            Self::Secret => Some(7_000_215),
            Self::SecretExpired => Some(7_000_222),
            Self::NoProof => Some(7_000_218),
            Self::Assertion => Some(700_027),
            Self::AssertionTime => Some(700_024),
            Self::AssertionAudience => Some(700_023),
            Self::AssertionApp => Some(700_021),
            Self::Grant => Some(70_003),
            Self::Scope => Some(1_002_012),
            Self::Resource => Some(500_011),
            Self::Pending => Some(70_016),
            Self::CodeUnknown => Some(70_018),
            Self::CodeExpired => Some(70_020),
            Self::Refresh => Some(70_043),
            Self::SlowDown
            | Self::Declined
            | Self::MetadataHeader
            | Self::Identity
            | Self::IdentityHeader
            | Self::Down => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Tenant => "The tenant was not found.",
            Self::Parameter(name) => {
                return format!("The request body must contain the parameter '{name}'.");
            }
            Self::Client => "No application with this identifier exists in the tenant.",
            Self::Secret => "The client secret is not valid.",
            Self::SecretExpired => "The client secret keys of the application are expired.",
            Self::NoProof => "The request body must contain 'client_assertion' or 'client_secret'.",
            Self::Assertion => {
                "The assertion's certificate is not registered with the application."
            }
            Self::AssertionTime => "The client assertion is not within its valid time range.",
            Self::AssertionAudience => "The client assertion is for another audience.",
            Self::AssertionApp => "The client assertion is of another application.",
            Self::Grant => "The grant type is not supported.",
            Self::Scope => "The scope must be the resource's root followed by '/.default'.",
            Self::Resource => "The resource was not found in the tenant.",
            Self::Pending => "Authorization is pending. Continue polling.",
            Self::SlowDown => "Asked again too soon.",
            Self::Declined => "The user declined.",
            Self::CodeExpired => "The device code has expired.",
            Self::CodeUnknown => "The device code is not valid.",
            Self::Refresh => {
                "The refresh token has expired or is invalid due to sign-in frequency checks."
            }
            Self::MetadataHeader => "Required metadata header not specified",
            Self::Identity => "Identity not found",
            Self::IdentityHeader => "The identity header is wrong",
            Self::Down => "The service is temporarily unavailable.",
        }
        .to_owned()
    }

    /// The body of the reply.
    pub(super) fn body(self, now: UnixMillis, identity: &Identity) -> Value {
        let trace = identity.request_id().to_string();
        let at = now.zulu_text();
        let Some(number) = self.number() else {
            return json!({"error": self.error(), "error_description": self.text()});
        };
        let text = self.text();
        json!({
            "error": self.error(),
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
        let body = Denial::Secret.body(UnixMillis(0), &Identity::for_test(1));
        assert_eq!(body["error"], "invalid_client");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with("AADSTS7000215: "), "{text}");
    }
}
