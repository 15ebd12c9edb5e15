//! What the simulated tenant refuses, and how it says so: Graph's status, code, message and details. Messages are our own
//! words; callers must not read them anyway. Where Microsoft publishes no body for a case (a duplicate ImmutableID, a
//! conflict at restore) the nearest published form is taken. Refusals of one rule alone are worded where the rule is.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Identity, SimTime};

const BAD_REQUEST: &str = "Request_BadRequest";

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The property whose value another object has, and that value.
    conflict: Option<(&'static str, String)>,
}

impl GraphRefusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or_default(), code, message: message.into(), conflict: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, BAD_REQUEST, message)
    }

    /// Well-formed, but not a query that the directory serves.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(400, "Request_UnsupportedQuery", message)
    }

    pub(super) fn invalid_value(property: &str, reason: &str) -> Self {
        Self::bad_request(format!("One or more property values are invalid. Property '{property}': {reason}."))
    }

    pub(super) fn unknown_property(name: &str, type_name: &str) -> Self {
        Self::bad_request(format!("Could not find a property named '{name}' on type 'microsoft.graph.{type_name}'."))
    }

    pub(super) fn read_only(property: &str) -> Self {
        Self::bad_request(format!("Property '{property}' is read-only and cannot be set."))
    }

    /// Another live object holds the value.
    pub(super) fn conflict(property: &'static str, value: &str) -> Self {
        let message = format!("Another object with the same value for property {property} already exists.");
        Self { conflict: Some((property, value.to_owned())), ..Self::bad_request(message) }
    }

    pub(super) fn page_token() -> Self {
        let message = "The paging token is expired or was never given out; begin the listing again.";
        Self::new(400, "Directory_ExpiredPageToken", message)
    }

    pub(super) fn token(message: &str) -> Self {
        Self::new(401, "InvalidAuthenticationToken", message)
    }

    pub(super) fn token_expired() -> Self {
        Self::token("Lifetime validation failed, the token is expired.")
    }

    /// A permission or a directory role is missing.
    pub(super) fn denied() -> Self {
        Self::new(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    }

    /// No such object, or not in this collection.
    pub(super) fn not_found(key: impl std::fmt::Display) -> Self {
        let why = "does not exist or one of its queried reference-property objects are not present.";
        Self::new(404, "Request_ResourceNotFound", format!("Resource '{key}' {why}"))
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(400, "BadRequest", format!("Resource not found for the segment in '{path}'."))
    }

    pub(super) fn method() -> Self {
        Self::new(405, BAD_REQUEST, "The HTTP method is not allowed for this address.")
    }

    pub(super) fn media_type() -> Self {
        Self::new(415, BAD_REQUEST, "The body must be sent as application/json.")
    }

    pub(super) fn too_long() -> Self {
        Self::new(413, BAD_REQUEST, "The body is too long.")
    }

    /// A made-up fault of the service.
    pub(super) fn fault(status: StatusCode) -> Self {
        let is_internal = status == StatusCode::INTERNAL_SERVER_ERROR;
        let code = if is_internal { "Service_InternalServerError" } else { "serviceNotAvailable" };
        Self::new(status.as_u16(), code, "The service could not answer; this fault was asked for.")
    }

    pub(super) fn not_stored() -> Self {
        Self::new(500, "Service_InternalServerError", "The change could not be stored and was not made.")
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    #[cfg(test)]
    pub(super) fn conflicting(&self) -> Option<&'static str> {
        self.conflict.as_ref().map(|(property, _)| *property)
    }

    /// The body of the reply.
    pub(super) fn body(&self, trace: &Trace<'_>) -> Value {
        let mut error = json!({"code": self.code, "message": self.message, "innerError": trace.to_json()});
        if let Some((property, value)) = &self.conflict {
            let message = format!("The value '{value}' is in use by another object.");
            error["details"] = json!([{"code": "ObjectConflict", "message": message, "target": property}]);
        }
        json!({ "error": error })
    }
}

/// What identifies a failed request in its reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace<'a> {
    pub(super) at: SimTime,
    pub(super) identity: &'a Identity,
    pub(super) client_request_id: Option<&'a str>,
}

impl Trace<'_> {
    fn to_json(self) -> Value {
        let request_id = self.identity.request_id().to_string();
        // The service makes one up for a caller that sent none.
        let client_request_id = self.client_request_id.unwrap_or(&request_id);
        json!({"date": self.at.plain_text(), "request-id": request_id, "client-request-id": client_request_id})
    }

    /// The body of a 429, whose inner error says more than that of others.
    pub(super) fn throttled_body(self) -> Value {
        let message = "Too many requests; wait as long as Retry-After says.";
        let mut inner = self.to_json();
        for (name, value) in [("code", "429"), ("status", "429"), ("message", message)] {
            inner[name] = json!(value);
        }
        json!({"error": {"code": "TooManyRequests", "message": message, "innerError": inner}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace<'a>(identity: &'a Identity, client_request_id: Option<&'a str>) -> Trace<'a> {
        Trace { at: SimTime(0), identity, client_request_id }
    }

    #[test]
    fn a_conflict_names_its_property_in_the_details() {
        let refusal = GraphRefusal::conflict("userPrincipalName", "a@b.c");
        let body = refusal.body(&trace(&Identity::for_test(1), Some("mine")));
        assert_eq!(body["error"]["code"], "Request_BadRequest");
        assert_eq!(body["error"]["details"][0]["code"], "ObjectConflict");
        assert_eq!(body["error"]["details"][0]["target"], "userPrincipalName");
        assert_eq!(body["error"]["innerError"]["date"], "1970-01-01T00:00:00");
        assert_eq!(body["error"]["innerError"]["client-request-id"], "mine");
    }

    #[test]
    fn a_throttled_body_says_429_inside() {
        let identity = Identity::for_test(1);
        let body = trace(&identity, None).throttled_body();
        assert_eq!(body["error"]["code"], "TooManyRequests");
        assert_eq!(body["error"]["innerError"]["status"], "429");
        let id = identity.request_id().to_string();
        assert_eq!(body["error"]["innerError"]["client-request-id"], id);
    }
}
