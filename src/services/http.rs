//! What every service over HTTPS needs, whoever it is: a client, and a reply that is read within bounds and without our secrets. What
//! the reply means is for its service to say.
//!
//! Connections are kept and shared; HTTP/2 where the service offers it. Redirects are not followed, since they could carry a token
//! to another host. reqwest's own retries are off: each would be a request without a permit. What is left is hyper taking a
//! fresh connection for a request that it could not begin to send on a kept one, which sends it once.

use super::class::Class;
use super::connection::is_loopback;
use super::reply::Fault;
use super::retry_after;
use crate::core::{Expects, Secrets};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, Url};
use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

/// A host that does not even take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for a service under load; a row whose request is given up is read again, so longer gains little.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// As many as rows may be in flight: over HTTP/1.1 each has a connection, and none is opened anew for every request.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// `NONISV|company|app/version` is the form Microsoft asks of programs that are not sold.
pub(super) const USER_AGENT: &str = concat!("NONISV|cutover|cutover/", env!("CARGO_PKG_VERSION"));

/// A client for what lies under one address, with these headers in each request.
pub(super) fn client(url: &Url, headers: HeaderMap) -> reqwest::Result<Client> {
    let builder = builder().default_headers(headers);
    // What is for this machine itself never leaves it.
    if is_loopback(url) { builder.no_proxy() } else { builder }.build()
}

/// What all clients are.
pub(super) fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
}

/// Whether a status says that the request was served.
pub(super) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Most bytes of a reply, and most memory that its values take: as many replies may be held as rows are in flight. One
/// object has some kilobytes, a page of a thousand some hundreds of them; a page read once a run may hold whole people
/// inside its items. The words of a refusal are no longer than an object.
pub(super) fn bounds(expects: Expects, status: u16) -> (usize, usize) {
    match expects {
        Expects::Page if is_success(status) => (4 << 20, 16 << 20),
        Expects::Survey if is_success(status) => (16 << 20, 128 << 20),
        Expects::Object | Expects::Done | Expects::Page | Expects::Survey => (512 << 10, 4 << 20),
    }
}

/// A header that is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The whole body, within bounds. A refusal may repeat what it refuses, so our secrets are struck out before anybody
/// reads it; a success is data, and may be a new secret itself.
pub(super) async fn read_body(
    mut response: Response,
    headers: &HeaderMap,
    expects: Expects,
    secrets: &Secrets,
) -> Result<Vec<u8>, Fault> {
    let status = response.status().as_u16();
    let (bytes_max, _) = bounds(expects, status);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_fault)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large(status, headers, SystemTime::now()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(if is_success(status) { body } else { secrets.strike_body(&body) })
}

/// A reply that is larger than any that makes sense. What it said is not known.
pub(super) fn too_large(status: u16, headers: &HeaderMap, now: SystemTime) -> Fault {
    let class = Class::Unavailable { retry_after: retry_after::of(headers, now) };
    let message = format!("the reply, of status {status}, is larger than any that makes sense");
    Fault::new(class, "reply-too-large", message).with_status(status)
}

/// What a failure below HTTP means. The address is left out: it is in the journal already.
pub(super) fn transport_fault(error: reqwest::Error) -> Fault {
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
    let first: &(dyn Error + 'static) = &error;
    let causes: Vec<_> = std::iter::successors(Some(first), |cause| (*cause).source()).collect();
    let message = match causes.iter().find_map(|cause| of_the_network(*cause)) {
        Some(kind) => kind.to_string(),
        None => causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": "),
    };
    Fault::new(class, code, message)
}

/// What the system says of the network, in its plainest words; the layers above it add nothing to that.
fn of_the_network(cause: &(dyn Error + 'static)) -> Option<ErrorKind> {
    use ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable};
    let kind = cause.downcast_ref::<std::io::Error>()?.kind();
    let told = [ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, NetworkDown];
    told.contains(&kind).then_some(kind)
}
