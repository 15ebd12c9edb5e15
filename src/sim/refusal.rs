//! What the simulated tenant refuses, and how it says so: Graph's status, code, message and details. Messages are our own
//! words; callers must not read them anyway. Where Microsoft publishes no body for a case (a duplicate ImmutableID, a
//! conflict at restore) the nearest published form is taken. Refusals of one rule alone are worded where the rule is.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde_json::{Value, json};

const BAD_REQUEST: &str = "Request_BadRequest";
const INVALID_TOKEN: &str = "InvalidAuthenticationToken";
const INTERNAL: &str = "Service_InternalServerError";

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphRefusal {
    status: u16,
    code: &'static str,
    message: Cow<'static, str>,
    /// The property whose value another object has, and that value.
    conflict: Option<(&'static str, String)>,
}

const fn row(status: u16, code: &'static str, message: &'static str) -> GraphRefusal {
    GraphRefusal { status, code, message: Cow::Borrowed(message), conflict: None }
}

#[rustfmt::skip]
impl GraphRefusal {
    pub(super) const PAGE_TOKEN: Self = row(400, "Directory_ExpiredPageToken", "The paging token is expired or was never given out; begin the listing again.");
    pub(super) const TOKEN_EXPIRED: Self = row(401, INVALID_TOKEN, "Lifetime validation failed, the token is expired.");
    /// A permission or a directory role is missing.
    pub(super) const DENIED: Self = row(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.");
    pub(super) const METHOD: Self = row(405, BAD_REQUEST, "The HTTP method is not allowed for this address.");
    pub(super) const TOO_LONG: Self = row(413, BAD_REQUEST, "The body is too long.");
    pub(super) const MEDIA_TYPE: Self = row(415, BAD_REQUEST, "The body must be sent as application/json.");
    pub(super) const NOT_STORED: Self = row(500, INTERNAL, "The change could not be stored and was not made.");
}

impl GraphRefusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), conflict: None }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, BAD_REQUEST, message)
    }

    /// Well-formed, but not a query that the directory serves.
    pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
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

    pub(super) fn token(message: &'static str) -> Self {
        Self::new(401, INVALID_TOKEN, message)
    }

    /// No such object, or not in this collection.
    pub(super) fn not_found(key: impl std::fmt::Display) -> Self {
        let why = "does not exist or one of its queried reference-property objects are not present.";
        Self::new(404, "Request_ResourceNotFound", format!("Resource '{key}' {why}"))
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(400, "BadRequest", format!("Resource not found for the segment in '{path}'."))
    }

    /// A made-up fault of the service.
    pub(super) fn fault(status: u16) -> Self {
        let code = if status == 500 { INTERNAL } else { "serviceNotAvailable" };
        Self::new(status, code, "The service could not answer; this fault was asked for.")
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    #[cfg(test)]
    pub(super) fn conflicting(&self) -> Option<&'static str> {
        self.conflict.as_ref().map(|(property, _)| *property)
    }

    /// The body of the reply; `inner_error` identifies the request.
    pub(super) fn body(&self, inner_error: Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message, "innerError": inner_error});
        if let Some((property, value)) = &self.conflict {
            let message = format!("The value '{value}' is in use by another object.");
            error["details"] = json!([{"code": "ObjectConflict", "message": message, "target": property}]);
        }
        json!({ "error": error })
    }
}

/// The body of a 429, whose inner error says more than that of others.
pub(super) fn throttled_body(mut inner_error: Value) -> Value {
    let message = "Too many requests; wait as long as Retry-After says.";
    for (name, value) in [("code", "429"), ("status", "429"), ("message", message)] {
        inner_error[name] = json!(value);
    }
    json!({"error": {"code": "TooManyRequests", "message": message, "innerError": inner_error}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_its_property_in_the_details() {
        let body = GraphRefusal::conflict("userPrincipalName", "a@b.c").body(json!({"request-id": "mine"}));
        assert_eq!(body["error"]["code"], "Request_BadRequest");
        assert_eq!(body["error"]["details"][0]["code"], "ObjectConflict");
        assert_eq!(body["error"]["details"][0]["target"], "userPrincipalName");
        assert_eq!(body["error"]["innerError"]["request-id"], "mine");
    }

    #[test]
    fn a_throttled_body_says_429_inside() {
        let body = throttled_body(json!({"request-id": "mine"}));
        assert_eq!(body["error"]["code"], "TooManyRequests");
        assert_eq!(body["error"]["innerError"]["status"], "429");
        assert_eq!(body["error"]["innerError"]["request-id"], "mine");
    }
}
