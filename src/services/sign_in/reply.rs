//! What a service that issues tokens answers: a token, or why there is none. Pure.
//!
//! A refusal (`invalid_client` and its kin) is a matter of configuration and ends in [`Class::SignIn`]; anything that
//! may pass by itself ends in a class that lets the run wait. So does what is not in the form of such a service, whatever its
//! status: the page of a proxy refuses no sign-in. Codes, descriptions and lifetimes follow Microsoft's
//! pages on the client credentials flow, on managed identities and on token lifetimes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::core::Secret;
use crate::services::budget::ThrottleReason;
use crate::services::class::Class;
use crate::services::http::is_success;
use crate::services::reply::{Fault, one_line};
use crate::services::retry_after;

/// Continuous access evaluation gives tokens up to 28 h; more than this is a slip.
const LIFETIME_S_MAX: u64 = 48 * 60 * 60;

/// The OAuth error for a service that is too busy, whatever the status; Microsoft's page on error codes says to retry.
const BUSY: &str = "temporarily_unavailable";

/// A token as issued.
#[derive(Debug)]
pub struct Granted {
    /// What the requests are to carry.
    pub token: Secret,
    /// How long it is good for, from now on; at most two days.
    pub lifetime: Duration,
    /// What the next token can be had for, where a person signed in.
    pub(in crate::services) refresh: Option<Secret>,
}

#[cfg(test)]
impl Granted {
    /// A token as an app gets it.
    pub(in crate::services) fn of(token: &str, lifetime: Duration) -> Granted {
        Granted { token: Secret::new(token), lifetime, refresh: None }
    }
}

/// Why there is no token.
#[derive(Debug)]
pub struct Refusal {
    /// The OAuth error (`authorization_pending`), which the flows decide by; empty where none came.
    pub error: String,
    /// What it means for whoever needs a token.
    pub fault: Fault,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal { error: String::new(), fault }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        refusal.fault
    }
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: Secret,
    refresh_token: Option<Secret>,
    #[serde(default)]
    expires_in: Value,
    /// Instead of a lifetime, where App Service answers: seconds since 1970.
    #[serde(default)]
    expires_on: Value,
}

/// The older endpoints put the number into quotes.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RefusalReply {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
    /// Where App Service answers.
    message: String,
}

/// Sorts a reply of a service that issues tokens. What was `sent` is taken out of the service's words.
///
/// # Errors
/// A [`Refusal`] that says whether the connection file is at fault or the trouble may pass.
pub fn read_token_reply(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    sent: &[&Secret],
    now: SystemTime,
) -> Result<Granted, Refusal> {
    if !is_success(status) {
        return Err(refusal(status, headers, body, sent, now));
    }
    // The parser's own words could quote the token.
    granted(body, now).ok_or_else(|| {
        let message = "the sign-in service answered without a token that can be read";
        Fault::new(Class::NotSent, "sign-in-unreadable", message).with_status(status).into()
    })
}

fn granted(body: &[u8], now: SystemTime) -> Option<Granted> {
    let reply: TokenReply = serde_json::from_slice(body).ok()?;
    let now_s = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let until_end = || Some(seconds(&reply.expires_on)?.saturating_sub(now_s));
    let lifetime_s = seconds(&reply.expires_in).or_else(until_end)?;
    let lifetime = Duration::from_secs(lifetime_s.min(LIFETIME_S_MAX));
    let has_token = !reply.access_token.expose().is_empty();
    has_token.then_some(Granted { token: reply.access_token, lifetime, refresh: reply.refresh_token })
}

/// Why there is no token, from a reply without one.
pub(super) fn refusal(status: u16, headers: &HeaderMap, body: &[u8], sent: &[&Secret], now: SystemTime) -> Refusal {
    let reply: RefusalReply = serde_json::from_slice(body).unwrap_or_default();
    let limit = (status == 429)
        .then(|| Class::Throttled { retry_after: retry_after::of(headers, now), reason: ThrottleReason::SignIn });
    if reply.error.is_empty() && reply.message.is_empty() {
        // Not the reply of a service that issues tokens.
        let message = format!(
            "status {status} in place of the sign-in service's own reply: most often the page of a proxy, a firewall or a \
             network that wants a sign-in"
        );
        let class = limit.unwrap_or(Class::NotSent);
        return Fault::new(class, "sign-in-unreadable", message).with_status(status).into();
    }
    let clean = |text: &str| one_line(&sent.iter().fold(text.to_owned(), |text, secret| secret.redact(&text)));
    let may_pass = matches!(status, 408 | 500..) || reply.error == BUSY;
    let class = if may_pass { Class::NotSent } else { Class::SignIn };
    let code = match (reply.error_codes.first(), reply.error.as_str()) {
        (Some(number), _) => format!("AADSTS{number}"),
        (None, "") => format!("sign-in-http-{status}"),
        (None, name) => clean(name),
    };
    let words = [&reply.error_description, &reply.message].map(|words| clean(words));
    let message = words.into_iter().find(|words| !words.is_empty());
    let message = message.unwrap_or_else(|| format!("the sign-in service answered with status {status}"));
    Refusal { error: reply.error, fault: Fault::new(limit.unwrap_or(class), code, message).with_status(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Words were cut to a line first: what was left of the secret was then no longer found in them.
    #[test]
    fn a_name_that_is_cut_short_keeps_no_part_of_the_secret() {
        let secret = "Zq8 hush hush hush";
        for letters in 480..500 {
            let name = format!("{}{secret}", "x".repeat(letters));
            let body = serde_json::to_vec(&json!({ "error": name })).unwrap();
            let headers = HeaderMap::new();
            let fault = read_token_reply(400, &headers, &body, &[&Secret::new(secret)], UNIX_EPOCH);
            let code = fault.unwrap_err().fault.code;
            assert!(!code.contains("hush"), "{code}");
        }
    }

    fn answer(status: u16, body: &Value) -> Result<Granted, Fault> {
        let headers =
            HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, reqwest::header::HeaderValue::from_static("5"))]);
        let body = serde_json::to_vec(body).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        read_token_reply(status, &headers, &body, &[&Secret::new("hush")], now).map_err(Fault::from)
    }

    #[test]
    fn lifetimes_come_as_numbers_and_as_texts() {
        for expires_in in [json!(3599), json!("3599")] {
            let granted = answer(200, &json!({"access_token": "t", "expires_in": expires_in})).unwrap();
            assert_eq!(granted.lifetime, Duration::from_secs(3599));
            assert_eq!(granted.token.expose(), "t");
        }
        let fault = answer(200, &json!({"expires_in": 1})).unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (Class::NotSent, "sign-in-unreadable"));
    }

    #[test]
    fn app_service_names_the_end_instead_of_the_lifetime() {
        let granted = answer(200, &json!({"access_token": "t", "expires_on": "4600"})).unwrap();
        assert_eq!(granted.lifetime, Duration::from_secs(3_600));
        let late = answer(200, &json!({"access_token": "t", "expires_on": 5})).unwrap();
        assert_eq!(late.lifetime, Duration::ZERO);
        let fault = answer(400, &json!({"statusCode": 400, "message": "no identity"})).unwrap_err();
        assert_eq!(fault.message, "no identity");
    }

    #[test]
    fn a_refusal_is_named_by_its_number_and_never_quotes_the_secret() {
        let body = json!({
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret hush.\r\nTrace ID: 1",
            "error_codes": [7_000_215]
        });
        let fault = answer(401, &body).unwrap_err();
        assert_eq!(fault.class, Class::SignIn);
        assert_eq!(fault.code, "AADSTS7000215");
        assert_eq!(fault.message, "AADSTS7000215: Invalid client secret ***. Trace ID: 1");
        assert_eq!(answer(400, &json!({"error": "invalid_request"})).unwrap_err().code, "invalid_request");
    }

    #[test]
    fn a_page_refuses_no_sign_in() {
        for status in [302, 400, 401, 403, 404, 407, 502] {
            for body in ["<html>no</html>", "", "{", "{}", "[]", "{\"error\":{\"code\":\"x\"}}"] {
                let headers = HeaderMap::new();
                let secret = Secret::new("hush");
                let read =
                    read_token_reply(status, &headers, body.as_bytes(), &[&secret], UNIX_EPOCH).map_err(Fault::from);
                assert_eq!(read.unwrap_err().class, Class::NotSent, "{status} {body}");
            }
        }
        let page = read_token_reply(200, &HeaderMap::new(), b"<html>", &[&Secret::new("hush")], UNIX_EPOCH);
        assert_eq!(page.unwrap_err().fault.class, Class::NotSent);
    }

    #[test]
    fn what_may_pass_is_no_refusal() {
        assert_eq!(answer(503, &json!({})).unwrap_err().class, Class::NotSent);
        let busy = json!({"error": "temporarily_unavailable"});
        assert_eq!(answer(400, &busy).unwrap_err().class, Class::NotSent);
        assert_eq!(
            answer(429, &json!({})).unwrap_err().class,
            Class::Throttled { retry_after: Some(Duration::from_secs(5)), reason: ThrottleReason::SignIn }
        );
    }
}
