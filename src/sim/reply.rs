//! Replies, before they become HTTP responses: status, JSON and headers.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

/// The content type of Graph's objects.
const JSON: HeaderValue = HeaderValue::from_static("application/json;odata.metadata=minimal;charset=utf-8");
/// The content type of JSON lines.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A reply that can still get headers.
#[derive(Debug)]
pub(super) struct GraphReply(Response<Vec<u8>>);

impl GraphReply {
    pub(super) fn no_content() -> Self {
        let mut reply = Response::default();
        *reply.status_mut() = StatusCode::NO_CONTENT;
        Self(reply)
    }

    /// A reply whose body is JSON already.
    pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self::of(status, JSON, body)
    }

    pub(super) fn value(status: StatusCode, body: &Value) -> Self {
        Self::json(status, body.to_string().into_bytes())
    }

    pub(super) fn lines(body: Vec<u8>) -> Self {
        Self::of(StatusCode::OK, LINES, body)
    }

    fn of(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Self {
        let mut reply = Response::new(body);
        *reply.status_mut() = status;
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        Self(reply)
    }

    pub(super) fn is_success(&self) -> bool {
        self.0.status().is_success()
    }

    /// Adds a header; a value that HTTP does not allow is left out, as it can only be an echo of the caller's own.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(super) fn into_response(self) -> Response<Vec<u8>> {
        self.0
    }
}
