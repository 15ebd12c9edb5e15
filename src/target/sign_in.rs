//! What the sign-in service answers to client credentials: a token, or why there is none. Pure.
//!
//! A refusal (`invalid_client` and its kin) is a matter of configuration and ends in [`Class::SignIn`]; anything that
//! may pass by itself ends in a class that lets the run wait. Codes, descriptions and lifetimes follow Microsoft's
//! pages on the client credentials flow and on token lifetimes.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::classify::retry_after;
use super::error_body::one_line;
use super::message::{Class, Fault};
use super::secret::Secret;
use crate::pace::ThrottleReason;

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
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    expires_in: Seconds,
}

/// The older endpoints put the number into quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
}

/// Sorts a reply of the token endpoint. The secret that was sent is taken out of the service's words.
///
/// # Errors
/// A [`Fault`] that says whether the connection file is at fault or the trouble may pass.
pub fn read(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    secret: &Secret,
    now: SystemTime,
) -> Result<Granted, Fault> {
    match status {
        200..=299 => granted(status, body),
        429 => Err(Fault {
            class: Class::Throttled {
                retry_after: retry_after(headers, now),
                reason: ThrottleReason::SignIn,
            },
            ..refusal(status, body, secret)
        }),
        _ => Err(refusal(status, body, secret)),
    }
}

fn granted(status: u16, body: &[u8]) -> Result<Granted, Fault> {
    let read = || {
        let reply: TokenReply = serde_json::from_slice(body).ok()?;
        let seconds = match reply.expires_in {
            Seconds::Number(seconds) => seconds,
            Seconds::Text(text) => text.parse().ok()?,
        };
        Some(Granted {
            token: Secret::new(reply.access_token),
            lifetime: Duration::from_secs(seconds.min(LIFETIME_S_MAX)),
        })
    };
    // The parser's own words could quote the token.
    read().ok_or_else(|| Fault {
        class: Class::NotSent,
        code: "sign-in-unreadable".to_owned(),
        message: "the sign-in service answered without a token that can be read".to_owned(),
        status: Some(status),
    })
}

fn refusal(status: u16, body: &[u8], secret: &Secret) -> Fault {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let may_pass = matches!(status, 408 | 500..) || refusal.error == BUSY;
    let code = match (refusal.error_codes.first(), refusal.error.as_str()) {
        (Some(number), _) => format!("AADSTS{number}"),
        (None, "") => format!("sign-in-http-{status}"),
        (None, name) => one_line(&secret.redact(name)),
    };
    let words = secret.redact(&refusal.error_description);
    let message = match words.trim() {
        "" => format!("the sign-in service answered with status {status}"),
        words => one_line(words),
    };
    Fault {
        class: if may_pass {
            Class::NotSent
        } else {
            Class::SignIn
        },
        code,
        message,
        status: Some(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(status: u16, body: &Value) -> Result<Granted, Fault> {
        let headers = HeaderMap::from_iter([(
            reqwest::header::RETRY_AFTER,
            reqwest::header::HeaderValue::from_static("5"),
        )]);
        let body = serde_json::to_vec(body).unwrap();
        read(
            status,
            &headers,
            &body,
            &Secret::new("hush"),
            SystemTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn lifetimes_come_as_numbers_and_as_texts() {
        for expires_in in [json!(3599), json!("3599")] {
            let granted =
                answer(200, &json!({"access_token": "t", "expires_in": expires_in})).unwrap();
            assert_eq!(granted.lifetime, Duration::from_secs(3599));
            assert_eq!(granted.token.expose(), "t");
        }
        let fault = answer(200, &json!({"expires_in": 1})).unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_str()),
            (Class::NotSent, "sign-in-unreadable")
        );
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
        assert_eq!(
            fault.message,
            "AADSTS7000215: Invalid client secret ***. Trace ID: 1"
        );
        assert_eq!(
            answer(400, &json!({"error": "invalid_request"}))
                .unwrap_err()
                .code,
            "invalid_request"
        );
    }

    /// Words were cut to a line first: what was left of the secret was then no longer found in them.
    #[test]
    fn a_name_that_is_cut_short_keeps_no_part_of_the_secret() {
        let secret = "Zq8 hush hush hush";
        for letters in 480..500 {
            let name = format!("{}{secret}", "x".repeat(letters));
            let body = serde_json::to_vec(&json!({ "error": name })).unwrap();
            let now = SystemTime::UNIX_EPOCH;
            let fault = read(400, &HeaderMap::new(), &body, &Secret::new(secret), now).unwrap_err();
            assert!(!fault.code.contains("hush"), "{}", fault.code);
        }
    }

    #[test]
    fn what_may_pass_is_no_refusal() {
        assert_eq!(answer(503, &json!({})).unwrap_err().class, Class::NotSent);
        let busy = json!({"error": "temporarily_unavailable"});
        assert_eq!(answer(400, &busy).unwrap_err().class, Class::NotSent);
        assert_eq!(
            answer(429, &json!({})).unwrap_err().class,
            Class::Throttled {
                retry_after: Some(Duration::from_secs(5)),
                reason: ThrottleReason::SignIn
            }
        );
    }
}
