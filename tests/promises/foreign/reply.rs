//! A reply of any bytes from a target or its sign-in service: one class, words on one line, bounded waits, no secret.

use cutover::core::{Expects, Request, Secret};
use cutover::services::{Class, Fault, Refusal, classify, read_token_reply};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest message and the longest code, in characters: two codes of a hundred, and a slash.
const MESSAGE_CHARS_MAX: usize = 500;
const CODE_CHARS_MAX: usize = 500;

/// Headers that decide something.
const HEADERS: [&str; 7] = [
    "retry-after",
    "x-ms-throttle-scope",
    "x-ms-throttle-information",
    "x-ms-throttle-limit-percentage",
    "request-id",
    "retry-after",
    "date",
];

/// A reply as it came.
#[derive(Debug, Clone)]
pub struct Wire {
    /// Its status.
    pub status: u16,
    /// Values of [`HEADERS`] in their order, each of any bytes; what is no header value is left out.
    pub headers: Vec<Vec<u8>>,
    /// Its body.
    pub body: Vec<u8>,
    /// The time it came, in seconds since 1970.
    pub now_s: u32,
}

/// Sorts the reply as the target's and as its sign-in service's. `secret` was sent with the request for a token.
pub fn check(wire: &Wire, secret: &str) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(wire.now_s.into());
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS.into_iter().zip(&wire.headers) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let is_good = (200..300).contains(&wire.status);
    let all = [Expects::Object, Expects::Page, Expects::Survey, Expects::Done];
    for expects in all {
        is_sorted(wire, &headers, now, expects);
    }

    let secret = Secret::new(secret);
    match read_token_reply(wire.status, &headers, &wire.body, &[&secret], now) {
        Ok(granted) => {
            assert!(is_good && granted.lifetime <= 2 * DAY);
            assert!(!format!("{granted:?}").contains(granted.token.expose()) || granted.token.expose().len() < 8);
        }
        Err(Refusal { fault, .. }) => {
            fits(&fault);
            let class_fits = match fault.class {
                Class::Throttled { .. } => wire.status == 429,
                Class::NotSent | Class::SignIn => wire.status != 429,
                Class::NotFound
                | Class::Duplicate
                | Class::InvalidValue
                | Class::Denied
                | Class::Contended
                | Class::Unsupported
                | Class::Unauthenticated
                | Class::Licence
                | Class::Unavailable { .. }
                | Class::InDoubt
                | Class::Rejected => false,
            };
            assert!(class_fits && !(is_good && fault.class == Class::SignIn), "{fault:?}");
            quotes_nothing(&fault, &wire.body, secret.expose());
        }
    }
}

/// The reply has a class that fits it, whatever was asked for.
fn is_sorted(wire: &Wire, headers: &HeaderMap, now: SystemTime, expects: Expects) {
    let request = Request::get("/users/1?$select=id", expects);
    let reply = classify(&request, wire.status, headers, &wire.body, now);
    let is_good = (200..300).contains(&wire.status);
    match &reply.result {
        Ok(success) => assert!(is_good && success.status == wire.status),
        Err(fault) => {
            assert_eq!(fault.status, Some(wire.status));
            fits(fault);
            let is_outage = matches!(fault.class, Class::Unavailable { .. });
            assert!(!is_good || is_outage, "a success is no refusal: {fault:?}");
            let is_throttled = matches!(fault.class, Class::Throttled { .. });
            assert!(wire.status != 429 || is_throttled || is_outage);
        }
    }
    assert!(reply.usage.is_none_or(f64::is_finite));
    assert!(reply.request_id.as_deref().is_none_or(is_one_line));
}

fn fits(fault: &Fault) {
    assert!(is_one_line(&fault.message) && !fault.message.is_empty(), "{fault:?}");
    assert!(fault.message.chars().count() <= MESSAGE_CHARS_MAX + 100, "{fault:?}");
    assert!(fault.code.chars().count() <= CODE_CHARS_MAX && !fault.code.is_empty(), "{fault:?}");
    assert!(is_one_line(&fault.code), "{fault:?}");
    match fault.class {
        Class::Throttled { retry_after, .. } | Class::Unavailable { retry_after } => {
            assert!(retry_after.is_none_or(|delay| delay <= DAY), "{fault:?}");
        }
        Class::NotFound
        | Class::Duplicate
        | Class::InvalidValue
        | Class::Denied
        | Class::Contended
        | Class::Unsupported
        | Class::Unauthenticated
        | Class::SignIn
        | Class::NotSent
        | Class::Licence
        | Class::InDoubt
        | Class::Rejected => {}
    }
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Neither a secret that the service repeats may be told nor, where its words were cut to a line, the greater part of it.
fn quotes_nothing(fault: &Fault, body: &[u8], secret: &str) {
    let told = |text: &str| fault.message.contains(text) || fault.code.contains(text);
    assert!(secret.len() < 8 || !told(secret), "{fault:?}");
    let body = String::from_utf8_lossy(body);
    let most = secret.get(..secret.len().saturating_sub(2)).unwrap_or(secret);
    // A service that says something else which only begins alike gives nothing away.
    let is_repeated =
        body.contains(secret) && body.matches(most).count() == body.matches(secret).count() && !body.contains('\\');
    assert!(most.len() < 8 || !is_repeated || !told(most), "{fault:?}");
}
