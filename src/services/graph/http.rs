//! Microsoft Graph over HTTPS: one request out, one reply in, nothing repeated.
//!
//! The only file that sends to Graph. Connections are kept and shared; HTTP/2 where the service offers it. Redirects
//! are not followed, since they could carry a token to another host. reqwest's own retries are off: each would be a
//! request without a permit. What is left is hyper taking a fresh connection for a request that it could not begin to
//! send on a kept one, which sends it once.

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::classify::{classify, most, reply, too_large};
use super::{BETA, Transport, batch};
use crate::core::{Expects, Method, Request, Secrets};
use crate::services::claims::Claims;
use crate::services::class::Class;
use crate::services::connection::{Connection, GraphConnection, is_loopback};
use crate::services::reply::{Fault, Payload, Reply};
use crate::services::token::{Token, Tokens};
use serde_json::Value;
use uuid::Uuid;

/// A host that does not even take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for a service under load; a row whose request is given up is read again, so longer gains little.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// As many as rows may be in flight: over HTTP/1.1 each has a connection, and none is opened anew for every request.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// `NONISV|company|app/version` is the form Microsoft asks of programs that are not sold.
const USER_AGENT: &str = concat!("NONISV|cutover|cutover/", env!("CARGO_PKG_VERSION"));
const VERSION: &str = "v1.0";

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("return-client-request-id");
const THROTTLE_PRIORITY: HeaderName = HeaderName::from_static("x-ms-throttle-priority");

/// Carries requests to Graph over HTTPS, signed in.
pub struct HttpTransport {
    client: Client,
    /// With the slash at the end, so that a host of which this one is the beginning does not pass for it.
    endpoint: String,
    /// Endpoint and version, without a slash at the end.
    root: String,
    tokens: Tokens,
    secrets: Secrets,
}

/// Why no client can be made. Nothing has been sent anywhere.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GraphError {
    /// TLS cannot be set up on this machine.
    #[error("the HTTPS client cannot be set up")]
    #[diagnostic(
        code(target::client),
        help("check that this machine has its certificate authorities installed, and its proxy settings")
    )]
    Client(#[source] reqwest::Error),
}

impl HttpTransport {
    /// A client for that connection. Sends nothing yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(connection: &Connection) -> Result<HttpTransport, GraphError> {
        let connection = &connection.graph;
        // An error says that a provider is in place already, which is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client_to = |url| client(connection, url).map_err(GraphError::Client);
        let login = client_to(&connection.login)?;
        let secrets = Secrets::default();
        let tokens = Tokens::new(login, connection, secrets.clone());
        let endpoint = format!("{}/", connection.endpoint.as_str().trim_end_matches('/'));
        Ok(HttpTransport {
            root: format!("{endpoint}{VERSION}"),
            tokens: tokens.map_err(GraphError::Client)?,
            endpoint,
            client: client_to(&connection.endpoint)?,
            secrets,
        })
    }

    /// Gets a token now, so that a wrong secret shows before a run begins. Sends nothing to Graph. Answers what the token
    /// says of itself, where that can be read.
    ///
    /// # Errors
    /// The fault every request would end with.
    pub async fn sign_in(&self) -> Result<Option<Claims>, Fault> {
        let token = self.tokens.current().await?;
        Ok(token.claims.clone())
    }

    /// Tells the tokens what became of one, and the caller when no other one would fare better.
    fn learn(&self, mut reply: Reply, token: &Arc<Token>) -> Reply {
        match &mut reply.result {
            Err(fault) if fault.class == Class::Unauthenticated => {
                if self.tokens.refused(token) {
                    fault.class = Class::SignIn;
                }
            }
            Ok(_) => self.tokens.accepted(),
            // The service looks at the token before anything else, but a proxy in between may not.
            Err(_) => {}
        }
        reply
    }

    async fn exchange(&self, request: &Request, attempt: Uuid, token: &Token) -> Result<Response, Fault> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, self.url(&request.path)?);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let mut built = builder.build().map_err(transport_fault)?;
        let id = HeaderValue::from_str(&attempt.to_string());
        let headers = built.headers_mut();
        // Letters, digits and hyphens make a header value, so there is always one.
        id.map(|id| headers.insert(CLIENT_REQUEST_ID, id)).ok();
        headers.insert(header::AUTHORIZATION, token.authorization.clone());
        self.client.execute(built).await.map_err(transport_fault)
    }

    /// The full address; a next page must be on this very endpoint, or the token would go elsewhere.
    fn url(&self, path: &str) -> Result<String, Fault> {
        let beta = path.strip_prefix(BETA);
        if beta.is_some_and(|rest| rest.starts_with('/')) {
            return Ok(format!("{}{path}", self.endpoint.trim_end_matches('/')));
        }
        if path.starts_with('/') {
            return Ok(format!("{}{path}", self.root));
        }
        if path.starts_with(&self.endpoint) {
            return Ok(path.to_owned());
        }
        Err(Fault::new(Class::Rejected, "foreign-address", format!("`{path}` does not lie under {}", self.endpoint)))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply {
        let token = match self.tokens.current().await {
            Ok(token) => token,
            Err(fault) => return fault.into(),
        };
        let reply = match self.exchange(request, attempt, &token).await {
            Ok(response) => receive(request, response, &self.secrets).await,
            Err(fault) => fault.into(),
        };
        self.learn(reply, &token)
    }
}

/// A client for what lies under one address.
fn client(connection: &GraphConnection, url: &Url) -> reqwest::Result<Client> {
    let defaults = HeaderMap::from_iter([
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (RETURN_CLIENT_REQUEST_ID, HeaderValue::from_static("true")),
        (THROTTLE_PRIORITY, HeaderValue::from_static(connection.throttle_priority.name())),
    ]);
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(defaults)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .retry(reqwest::retry::never());
    // What is for this machine itself never leaves it.
    if is_loopback(url) { builder.no_proxy() } else { builder }.build()
}

async fn receive(request: &Request, mut response: Response, secrets: &Secrets) -> Reply {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let expects = match status.is_success() {
        true => request.expects,
        // The words of a refusal are no longer than an object.
        false => Expects::Object,
    };
    let mut reply = match read_body(response, expects, secrets).await {
        Ok(body) => classify(request, status.as_u16(), &headers, &body, SystemTime::now()),
        Err(fault) => reply(&headers, Err(fault)),
    };
    reply.request_id = reply.request_id.map(|id| secrets.strike(&id));
    if let (true, Ok(success)) = (batch::is_batch(request), &mut reply.result)
        && let Payload::Object(body) = &mut success.payload
    {
        strike_refusals(body, secrets);
    }
    reply
}

/// As for a refusal that comes alone.
fn strike_refusals(batch: &mut Value, secrets: &Secrets) {
    let parts = batch.get_mut(batch::RESPONSES).and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        let status = part.get("status").and_then(Value::as_u64);
        if !status.is_some_and(|status| (200..300).contains(&status)) {
            secrets.strike_value(part);
        }
    }
}

/// The whole body, up to the bound of what is expected. A refusal may repeat what it refuses, so our secrets are struck out before anybody reads it;
/// a success is data, and may be a new secret itself.
pub(in crate::services) async fn read_body(
    response: Response,
    expects: Expects,
    secrets: &Secrets,
) -> Result<Vec<u8>, Fault> {
    let is_success = response.status().is_success();
    let body = whole_body(response, expects).await?;
    Ok(if is_success { body } else { secrets.strike_body(&body) })
}

async fn whole_body(mut response: Response, expects: Expects) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_fault)? {
        if body.len() + chunk.len() > most(expects).0 {
            let status = response.status().as_u16();
            return Err(too_large(status, response.headers(), SystemTime::now()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a failure below HTTP means. The address is left out: it is in the journal already.
pub(in crate::services) fn transport_fault(error: reqwest::Error) -> Fault {
    let (class, code) = if error.is_builder() {
        (Class::Rejected, "request-malformed")
    } else if error.is_connect() {
        (Class::NotSent, "not-connected")
    } else if error.is_timeout() {
        (Class::InDoubt, "timeout")
    } else {
        (Class::InDoubt, "connection-lost")
    };
    let error = error.without_url();
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let message = match causes.clone().find_map(of_the_network) {
        Some(kind) => kind.to_string(),
        None => {
            let words = [error.to_string()];
            let words: Vec<String> = words.into_iter().chain(causes.map(ToString::to_string)).collect();
            words.join(": ")
        }
    };
    Fault::new(class, code.to_owned(), message)
}

/// What the system says of the network, in its plainest words; the layers above it add nothing to that.
fn of_the_network(cause: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let error: &std::io::Error = cause.downcast_ref()?;
    let kinds = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NetworkDown,
    ];
    kinds.into_iter().find(|kind| *kind == error.kind())
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
