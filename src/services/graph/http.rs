//! Microsoft Graph over HTTPS: the addresses and headers that are its own.

use super::classify::{RESPONSES, classify, is_batch, reply};
use crate::core::{Request, Secrets};
use crate::services::class::Class;
use crate::services::connection::Connection;
use crate::services::http::is_success;
use crate::services::reply::{Fault, Payload, Reply};
use crate::services::signed_client::{ClientError, SignedClient, WireReply};
use crate::services::token_claims::Claims;
use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::time::SystemTime;
use uuid::Uuid;

/// Paths that begin with this segment are of Graph's beta version; no path of its version 1.0 does. For properties that only it
/// has.
pub(super) const BETA: &str = "/beta";
const VERSION: &str = "/v1.0";

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("return-client-request-id");
const THROTTLE_PRIORITY: HeaderName = HeaderName::from_static("x-ms-throttle-priority");

/// Whether a path is of the beta version.
pub(super) fn is_beta(path: &str) -> bool {
    path.strip_prefix(BETA).is_some_and(|rest| rest.starts_with('/'))
}

/// What carries a request to Graph and its reply back, once.
#[async_trait]
pub trait Transport: Send + Sync {
    /// As [`Service::send`](crate::services::Service::send).
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply;
}

/// Carries requests to Graph over HTTPS, signed in.
pub struct HttpTransport {
    client: SignedClient,
    /// Without a slash at the end.
    endpoint: String,
}

impl HttpTransport {
    /// A client for that connection. Sends nothing yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(connection: &Connection) -> Result<HttpTransport, ClientError> {
        let connection = &connection.graph;
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (RETURN_CLIENT_REQUEST_ID, HeaderValue::from_static("true")),
            (THROTTLE_PRIORITY, HeaderValue::from_static(connection.throttle_priority)),
        ]);
        let endpoint = connection.endpoint.as_str().trim_end_matches('/').to_owned();
        Ok(HttpTransport { client: SignedClient::new(connection, headers)?, endpoint })
    }

    /// Gets a token now, so that a wrong secret shows before a run begins. Sends nothing to Graph. Returns what the token
    /// says of itself, where that can be read.
    ///
    /// # Errors
    /// The fault every request would end with.
    pub async fn sign_in(&self) -> Result<Option<Claims>, Fault> {
        self.client.sign_in().await
    }

    /// The full address; a next page must be on this very endpoint, or the token would go elsewhere.
    fn url(&self, path: &str) -> Result<String, Fault> {
        let endpoint = &self.endpoint;
        if path.starts_with('/') {
            return Ok(format!("{endpoint}{}{path}", if is_beta(path) { "" } else { VERSION }));
        }
        // With the slash, so that a host of which this one is the beginning does not pass for it.
        match path.strip_prefix(endpoint).is_some_and(|rest| rest.starts_with('/')) {
            true => Ok(path.to_owned()),
            false => {
                Err(Fault::new(Class::Rejected, "foreign-address", format!("`{path}` does not lie under {endpoint}/")))
            }
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply {
        let url = match self.url(&request.path) {
            Ok(url) => url,
            Err(fault) => return fault.into(),
        };
        // Letters, digits and hyphens make a header value, so there is always one.
        let id = HeaderValue::try_from(attempt.to_string()).ok();
        let headers = id.map(|id| (CLIENT_REQUEST_ID, id)).into_iter().collect();
        let sort = |(status, headers, body): WireReply| {
            let mut reply = match body {
                Ok(body) => classify(request, status, &headers, &body, SystemTime::now()),
                Err(fault) => reply(&headers, Err(fault)),
            };
            if let (true, Ok(success)) = (is_batch(request), &mut reply.result)
                && let Payload::Object(body) = &mut success.payload
            {
                strike_refusals(body, &self.client.secrets);
            }
            reply
        };
        self.client.send(request, &url, headers, sort).await
    }
}

/// As for a refusal that comes alone.
fn strike_refusals(batch: &mut Value, secrets: &Secrets) {
    let parts = batch.get_mut(RESPONSES).and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        let status = part.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        if !status.is_some_and(is_success) {
            secrets.strike_value(part);
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
