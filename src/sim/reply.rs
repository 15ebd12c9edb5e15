//! Replies, before they become HTTP responses: status, JSON and the headers that every reply of Graph has.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

/// The content type of Graph's objects.
const JSON: HeaderValue =
    HeaderValue::from_static("application/json;odata.metadata=minimal;charset=utf-8");
/// The content type of JSON lines.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A reply that can still get headers.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    content: Option<(HeaderValue, Vec<u8>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content: None,
            headers: Vec::new(),
        }
    }

    /// A reply whose body is JSON already.
    pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            content: Some((JSON, body)),
            headers: Vec::new(),
        }
    }

    pub(super) fn value(status: StatusCode, body: &Value) -> Self {
        Self::json(status, body.to_string().into_bytes())
    }

    pub(super) fn lines(body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content: Some((LINES, body)),
            headers: Vec::new(),
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Adds a header; a value that HTTP does not allow is left out, as it can only be an echo of the caller's own.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        self.into_plain_response().map(Body::from)
    }

    /// With its body as bytes.
    pub(super) fn into_plain_response(self) -> Response<Vec<u8>> {
        let mut response = match self.content {
            Some((content_type, body)) => {
                let mut response = Response::new(body);
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            None => Response::new(Vec::new()),
        };
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}
