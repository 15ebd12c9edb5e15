//! What the simulated tenant refuses, and how it says so: Graph's status, code, message and details for each
//! refusal. Messages are our own words; callers must not read them anyway. Where Microsoft publishes no body for a
//! case (a duplicate ImmutableID, a conflict at restore) the nearest published form is taken.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::clock::UnixMillis;
use super::property::Property;

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A value breaks a rule of its property.
    InvalidValue { property: Property, reason: String },
    /// A property that no user has, in a body or in `$select`.
    UnknownProperty(String),
    /// A property that the service writes itself.
    ReadOnly(Property),
    /// The UPN's domain is not one of the tenant's.
    UnverifiedDomain(String),
    /// A user without ImmutableID cannot be in a federated domain.
    AnchorRequired,
    /// The ImmutableID cannot change while the UPN is in a federated domain.
    AnchorFixed,
    /// Another live user holds the value.
    Conflict { property: Property, value: String },
    /// An on-premises directory is the master of this property.
    Mastered(Property),
    /// The body is not what the operation takes.
    BadBody(String),
    /// What was sent to `$batch` is no batch.
    BadBatch(String),
    /// Another part of the batch, which this one hangs on, failed.
    DependencyFailed,
    /// The address or one of its query options is malformed.
    BadRequest(String),
    /// Well-formed, but not a query that the directory answers.
    UnsupportedQuery(String),
    /// A paging token that this tenant did not give out.
    PageToken,
    /// No token came with the request.
    TokenMissing,
    /// A token that was not given out here.
    TokenUnknown,
    /// A token whose life is over.
    TokenExpired,
    /// The target is an administrator, and the app holds no role.
    RoleMissing,
    /// The token carries no permission that is enough.
    PermissionMissing,
    /// No such object, or not in this collection.
    NotFound(String),
    /// No such path.
    NoSuchPath(String),
    /// The path has no such method.
    Method,
    /// The body is not JSON by its own account.
    MediaType,
    /// The body is too long.
    BodyTooLong,
    /// A made-up fault of the service.
    Fault(StatusCode),
    /// The change could not be stored, and was not made.
    StateNotWritten,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::InvalidValue { .. }
            | Self::UnknownProperty(_)
            | Self::ReadOnly(_)
            | Self::UnverifiedDomain(_)
            | Self::AnchorRequired
            | Self::AnchorFixed
            | Self::Conflict { .. }
            | Self::Mastered(_)
            | Self::BadBody(_)
            | Self::BadRequest(_)
            | Self::BadBatch(_)
            | Self::UnsupportedQuery(_)
            | Self::PageToken
            | Self::NoSuchPath(_) => StatusCode::BAD_REQUEST,
            Self::TokenMissing | Self::TokenUnknown | Self::TokenExpired => {
                StatusCode::UNAUTHORIZED
            }
            Self::RoleMissing | Self::PermissionMissing => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::DependencyFailed => StatusCode::FAILED_DEPENDENCY,
            Self::Fault(status) => *status,
            Self::StateNotWritten => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::InvalidValue { .. }
            | Self::UnknownProperty(_)
            | Self::ReadOnly(_)
            | Self::UnverifiedDomain(_)
            | Self::AnchorRequired
            | Self::AnchorFixed
            | Self::Conflict { .. }
            | Self::Mastered(_)
            | Self::BadBody(_)
            | Self::BadRequest(_)
            | Self::Method
            | Self::MediaType
            | Self::BodyTooLong => "Request_BadRequest",
            Self::UnsupportedQuery(_) => "Request_UnsupportedQuery",
            Self::PageToken => "Directory_ExpiredPageToken",
            Self::NoSuchPath(_) | Self::BadBatch(_) => "BadRequest",
            Self::DependencyFailed => "FailedDependency",
            Self::TokenMissing | Self::TokenUnknown | Self::TokenExpired => {
                "InvalidAuthenticationToken"
            }
            Self::RoleMissing | Self::PermissionMissing => "Authorization_RequestDenied",
            Self::NotFound(_) => "Request_ResourceNotFound",
            Self::Fault(StatusCode::INTERNAL_SERVER_ERROR) | Self::StateNotWritten => {
                "Service_InternalServerError"
            }
            Self::Fault(_) => "serviceNotAvailable",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::InvalidValue { property, reason } => {
                format!("One or more property values are invalid. Property '{}': {reason}.", property.name())
            }
            Self::UnknownProperty(name) => format!("Could not find a property named '{name}' on type 'microsoft.graph.user'."),
            Self::ReadOnly(property) => format!("Property '{}' is read-only and cannot be set.", property.name()),
            Self::UnverifiedDomain(domain) => {
                format!("The domain portion '{domain}' of the userPrincipalName is not a verified domain of this organization.")
            }
            Self::AnchorRequired => {
                "One or more property values are invalid: a user in a federated domain needs onPremisesImmutableId.".to_owned()
            }
            Self::AnchorFixed => "Unable to update the required property FederatedUser.SourceAnchor: the userPrincipalName is in a \
                 federated domain."
                .to_owned(),
            Self::Conflict { property, .. } => {
                format!("Another object with the same value for property {} already exists.", property.name())
            }
            Self::Mastered(property) => format!(
                "Unable to update the property '{}': on-premises mastered Directory Sync objects or objects currently \
                 undergoing migration are not writable here.",
                property.name()
            ),
            Self::BadBatch(reason) | Self::BadBody(reason) | Self::BadRequest(reason) | Self::UnsupportedQuery(reason) => reason.clone(),
            Self::DependencyFailed => "A request that this one depends on failed, so it was not carried out.".to_owned(),
            Self::PageToken => "The paging token is expired or was never given out; begin the listing again.".to_owned(),
            Self::TokenMissing => "Access token is empty.".to_owned(),
            Self::TokenUnknown => "The access token cannot be validated.".to_owned(),
            Self::TokenExpired => "Lifetime validation failed, the token is expired.".to_owned(),
            Self::RoleMissing | Self::PermissionMissing => "Insufficient privileges to complete the operation.".to_owned(),
            Self::NotFound(key) => {
                format!("Resource '{key}' does not exist or one of its queried reference-property objects are not present.")
            }
            Self::NoSuchPath(path) => format!("Resource not found for the segment in '{path}'."),
            Self::Method => "The HTTP method is not allowed for this address.".to_owned(),
            Self::MediaType => "The body must be sent as application/json.".to_owned(),
            Self::BodyTooLong => "The body is too long.".to_owned(),
            Self::Fault(_) => "The service could not answer; this fault was asked for.".to_owned(),
            Self::StateNotWritten => "The change could not be stored and was not made.".to_owned(),
        }
    }

    fn details(&self) -> Option<Value> {
        let Self::Conflict { property, value } = self else {
            return None;
        };
        let message = format!("The value '{value}' is in use by another object.");
        Some(json!([{"code": "ObjectConflict", "message": message, "target": property.name()}]))
    }

    /// The body of the reply.
    pub(super) fn body(&self, trace: &Trace<'_>) -> Value {
        let mut error =
            json!({"code": self.code(), "message": self.message(), "innerError": trace.to_json()});
        if let Some(details) = self.details() {
            error["details"] = details;
        }
        json!({ "error": error })
    }
}

/// What identifies a failed request in its reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace<'a> {
    pub(super) at: UnixMillis,
    pub(super) request_id: Uuid,
    pub(super) client_request_id: Option<&'a str>,
}

impl Trace<'_> {
    fn to_json(self) -> Value {
        let request_id = self.request_id.to_string();
        // The service makes one up for a caller that sent none.
        let client_request_id = self.client_request_id.unwrap_or(&request_id);
        json!({"date": self.at.plain_text(), "request-id": request_id, "client-request-id": client_request_id})
    }

    /// The body of a 429, whose inner error says more than that of others.
    pub(super) fn throttled_body(self) -> Value {
        let message = "Too many requests; wait as long as Retry-After says.";
        let mut inner = self.to_json();
        inner["code"] = json!("429");
        inner["status"] = json!("429");
        inner["message"] = json!(message);
        json!({"error": {"code": "TooManyRequests", "message": message, "innerError": inner}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_its_property_in_the_details() {
        let refusal = Refusal::Conflict {
            property: Property::UserPrincipalName,
            value: "a@b.c".to_owned(),
        };
        let trace = Trace {
            at: UnixMillis(0),
            request_id: Uuid::nil(),
            client_request_id: Some("mine"),
        };
        let body = refusal.body(&trace);
        assert_eq!(body["error"]["code"], "Request_BadRequest");
        assert_eq!(body["error"]["details"][0]["code"], "ObjectConflict");
        assert_eq!(body["error"]["details"][0]["target"], "userPrincipalName");
        assert_eq!(body["error"]["innerError"]["date"], "1970-01-01T00:00:00");
        assert_eq!(body["error"]["innerError"]["client-request-id"], "mine");
    }

    #[test]
    fn a_throttled_body_says_429_inside() {
        let trace = Trace {
            at: UnixMillis(0),
            request_id: Uuid::nil(),
            client_request_id: None,
        };
        let body = trace.throttled_body();
        assert_eq!(body["error"]["code"], "TooManyRequests");
        assert_eq!(body["error"]["innerError"]["status"], "429");
        assert_eq!(
            body["error"]["innerError"]["client-request-id"],
            Uuid::nil().to_string()
        );
    }
}
