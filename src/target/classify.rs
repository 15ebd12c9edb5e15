//! Sorts a reply: status, headers and body in, [`Reply`] out. Pure; the time, which a Retry-After date is compared
//! with, is an argument.
//!
//! The table follows Microsoft's page on Graph errors and what has been seen beyond it. It goes by codes (`graph_codes.rs`)
//! and by status; messages change with the language and the weather.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::error_body::{self, ErrorBody};
use super::graph_codes;
use super::message::{Class, Fault, Reply, Success};
use super::retry_after;
use crate::pace::ThrottleReason;

/// The value of `x-ms-throttle-information` that tells of a loaded service rather than of a limit.
const SERVICE_BUSY: &str = "CPULimitExceeded";

/// Sorts the reply to a request that left. Every reply has exactly one class, and only a status 2xx is a success.
#[must_use]
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Reply {
    let result = match status {
        200..=299 => success(status, body),
        _ => Err(refusal(status, headers, body, now)),
    };
    reply(headers, result)
}

/// A result together with what the headers say whatever the result is.
pub(super) fn reply(headers: &HeaderMap, result: Result<Success, Fault>) -> Reply {
    Reply {
        result,
        request_id: text(headers, "request-id").map(error_body::one_line),
        usage: text(headers, "x-ms-throttle-limit-percentage")
            .and_then(|value| value.trim().parse().ok())
            .filter(|usage: &f64| usage.is_finite()),
    }
}

/// The longest of the delays that the headers ask for.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    headers
        .get_all("retry-after")
        .iter()
        .filter_map(|value| retry_after::parse(value.to_str().ok()?, now))
        .max()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn success(status: u16, body: &[u8]) -> Result<Success, Fault> {
    if body.is_empty() {
        return Ok(Success {
            status,
            body: None,
            next: None,
        });
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| Fault {
        // A proxy's sign-in page has status 200 too, and then the service has seen nothing.
        class: Class::InDoubt,
        code: "unreadable-reply".to_owned(),
        message: format!("the reply to a request that succeeded is not JSON: {error}"),
        status: Some(status),
    })?;
    let next = body.get("@odata.nextLink").and_then(Value::as_str);
    Ok(Success {
        status,
        next: next.map(str::to_owned),
        body: Some(body),
    })
}

fn refusal(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Fault {
    let body = error_body::read(body);
    let class = class(status, &body, headers, now);
    let or_else = |text: String, other: String| if text.is_empty() { other } else { text };
    Fault {
        class,
        code: or_else(body.code, format!("http-{status}")),
        message: or_else(
            body.message,
            format!("status {status} without an explanation"),
        ),
        status: Some(status),
    }
}

fn class(status: u16, body: &ErrorBody, headers: &HeaderMap, now: SystemTime) -> Class {
    let by_code = match status {
        // What a token or a limit is about says nothing about the request.
        401 | 429 => None,
        400..=499 => deciding_class(&body.codes),
        _ => None,
    };
    let retry_after = || retry_after(headers, now);
    match by_code.unwrap_or_else(|| class_of_status(status)) {
        Class::Throttled { .. } => Class::Throttled {
            retry_after: retry_after(),
            reason: throttle_reason(headers),
        },
        Class::Unavailable { .. } => Class::Unavailable {
            retry_after: retry_after(),
        },
        class @ (Class::NotFound
        | Class::Duplicate
        | Class::InvalidValue
        | Class::Denied
        | Class::Contended
        | Class::Licence
        | Class::Unauthenticated
        | Class::SignIn
        | Class::NotSent
        | Class::InDoubt
        | Class::Unsupported
        | Class::Rejected) => class,
    }
}

/// The most specific code that sorts a refusal by itself.
fn deciding_class(codes: &[String]) -> Option<Class> {
    codes.iter().rev().find_map(|code| {
        let mut known = graph_codes::DECIDING.iter();
        known
            .find(|known| known.code == code)
            .map(|known| known.class)
    })
}

/// The statuses of refusals on Microsoft's page, and 408, which proxies send.
pub(super) const STATUSES: [u16; 26] = [
    400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415, 416, 422, 423, 424, 429,
    500, 501, 502, 503, 504, 507, 509,
];

/// The class of a refusal that has no code to sort it by.
pub(super) fn class_of_status(status: u16) -> Class {
    match status {
        // A value, a page or a form that the service cannot make sense of.
        400 | 422 => Class::InvalidValue,
        401 => Class::Unauthenticated,
        402 => Class::Licence,
        403 => Class::Denied,
        404 => Class::NotFound,
        // The method, the form of the answer or of the body.
        405 | 406 | 411 | 415 | 501 => Class::Unsupported,
        // The service gave up waiting for the rest of the request, or says so; what it did before is not known.
        408 => Class::InDoubt,
        // It changed since it was read; it is locked; what it depends on failed, and it was not tried.
        412 | 423 | 424 => Class::Contended,
        // Too many requests, or too much data in a time.
        429 | 509 => Class::THROTTLED,
        // A quota in size; waiting does not help.
        507 => Class::Rejected,
        500.. => Class::UNAVAILABLE,
        _ => Class::Rejected,
    }
}

/// `x-ms-throttle-scope` is `<scope>/<limit>/<app>/<tenant, user or resource>`; only whose limit it is matters here.
fn throttle_reason(headers: &HeaderMap) -> ThrottleReason {
    let information = text(headers, "x-ms-throttle-information").map(str::trim);
    if information.is_some_and(|why| why.eq_ignore_ascii_case(SERVICE_BUSY)) {
        return ThrottleReason::ServiceBusy;
    }
    let scope = text(headers, "x-ms-throttle-scope").and_then(|scope| scope.split('/').next());
    match scope.map(str::trim) {
        Some("Tenant_Application") => ThrottleReason::AppInTenant,
        Some("Tenant") => ThrottleReason::Tenant,
        Some("Application") => ThrottleReason::App,
        Some(_) | None => ThrottleReason::Unstated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn fault(status: u16, codes: (&str, &str), pairs: &[(&str, &str)]) -> Fault {
        let (general, detail) = codes;
        let body =
            json!({"error": {"code": general, "message": "why", "details": [{"code": detail}]}});
        let body = serde_json::to_vec(&body).unwrap();
        classify(status, &headers(pairs), &body, NOW)
            .result
            .unwrap_err()
    }

    #[test]
    fn the_table_of_refusals() {
        let table = [
            (
                400,
                "Request_BadRequest",
                "ObjectConflict",
                Class::Duplicate,
            ),
            (
                400,
                "Request_BadRequest",
                "ConflictingObjects",
                Class::Duplicate,
            ),
            (
                409,
                "Request_BadRequest",
                "ConflictingObjects",
                Class::Duplicate,
            ),
            (
                400,
                "Request_MultipleObjectsWithSameKeyValue",
                "",
                Class::Duplicate,
            ),
            (409, "nameAlreadyExists", "", Class::Duplicate),
            (400, "Request_BadRequest", "", Class::InvalidValue),
            (422, "", "", Class::InvalidValue),
            (400, "Request_UnsupportedQuery", "", Class::Unsupported),
            (405, "Request_BadRequest", "", Class::Unsupported),
            (415, "", "", Class::Unsupported),
            (501, "", "", Class::Unsupported),
            (
                401,
                "InvalidAuthenticationToken",
                "",
                Class::Unauthenticated,
            ),
            (
                401,
                "Authorization_IdentityNotFound",
                "",
                Class::Unauthenticated,
            ),
            (
                403,
                "Authentication_ExpiredToken",
                "",
                Class::Unauthenticated,
            ),
            (403, "Authorization_RequestDenied", "", Class::Denied),
            (403, "Authorization_IdentityDisabled", "", Class::Denied),
            (403, "Forbidden", "", Class::Denied),
            (403, "", "", Class::Denied),
            (
                403,
                "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                "",
                Class::Licence,
            ),
            (400, "AadPremiumLicenseRequired", "", Class::Licence),
            (404, "MailboxNotEnabledForRESTAPI", "", Class::Licence),
            (
                403,
                "ErrorAccessDenied",
                "MailboxNotEnabledForRESTAPI",
                Class::Licence,
            ),
            (402, "", "", Class::Licence),
            (404, "Request_ResourceNotFound", "", Class::NotFound),
            (404, "Directory_ObjectNotFound", "", Class::NotFound),
            (409, "Directory_ConcurrencyViolation", "", Class::Contended),
            (400, "Directory_ReplicaUnavailable", "", Class::Contended),
            (409, "somethingElse", "", Class::Rejected),
            (409, "", "", Class::Rejected),
            (412, "", "", Class::Contended),
            (423, "", "", Class::Contended),
            (424, "", "", Class::Contended),
            (400, "Directory_ExpiredPageToken", "", Class::Rejected),
            (403, "Directory_QuotaExceeded", "", Class::Rejected),
            (410, "", "", Class::Rejected),
            (302, "", "", Class::Rejected),
            (507, "quotaLimitReached", "", Class::Rejected),
            (408, "", "", Class::InDoubt),
            (429, "TooManyRequests", "", Class::THROTTLED),
            (429, "Request_ThrottledPermanently", "", Class::THROTTLED),
            (
                429,
                "Request_BadRequest",
                "ObjectConflict",
                Class::THROTTLED,
            ),
            (403, "activityLimitReached", "", Class::THROTTLED),
            (409, "throttledRequest", "", Class::THROTTLED),
            (509, "", "", Class::THROTTLED),
            (500, "Service_InternalServerError", "", Class::UNAVAILABLE),
            // It may have been made all the same, so that the code does not decide.
            (
                500,
                "Request_BadRequest",
                "ObjectConflict",
                Class::UNAVAILABLE,
            ),
            (502, "", "", Class::UNAVAILABLE),
            (503, "serviceNotAvailable", "", Class::UNAVAILABLE),
            (504, "UnknownError", "", Class::UNAVAILABLE),
        ];
        for (status, general, detail, class) in table {
            let fault = fault(status, (general, detail), &[]);
            assert_eq!(fault.class, class, "{status} {general} {detail}");
            assert_eq!(fault.status, Some(status));
        }
    }

    #[test]
    fn throttling_says_how_long_and_whose_fault_it_is() {
        let cases = [
            (
                "Tenant_Application/Write/app/tenant",
                "WriteLimitExceeded",
                ThrottleReason::AppInTenant,
            ),
            ("Tenant/ReadWrite/app/tenant", "", ThrottleReason::Tenant),
            ("Application/Read/app/tenant", "", ThrottleReason::App),
            (
                "Tenant/Write/app/tenant",
                "CPULimitExceeded",
                ThrottleReason::ServiceBusy,
            ),
            ("", "", ThrottleReason::Unstated),
        ];
        for (scope, information, reason) in cases {
            let pairs = [
                ("x-ms-throttle-scope", scope),
                ("x-ms-throttle-information", information),
                ("retry-after", "7, 9"),
            ];
            let class = fault(429, ("TooManyRequests", "429"), &pairs).class;
            let retry_after = Some(Duration::from_secs(9));
            assert_eq!(
                class,
                Class::Throttled {
                    retry_after,
                    reason
                }
            );
        }
        let early = fault(400, ("Request_ThrottledTemporarily", ""), &[]).class;
        assert!(matches!(
            early,
            Class::Throttled {
                retry_after: None,
                ..
            }
        ));
    }

    #[test]
    fn a_busy_service_may_say_how_long() {
        let class = fault(503, ("serviceNotAvailable", ""), &[("retry-after", "2.5")]).class;
        let retry_after = Some(Duration::from_millis(2_500));
        assert_eq!(class, Class::Unavailable { retry_after });
    }

    #[test]
    fn success_with_a_body_and_a_next_page() {
        let pairs = [
            ("request-id", "r-1"),
            ("x-ms-throttle-limit-percentage", "0.93"),
        ];
        let body = br#"{"value":[],"@odata.nextLink":"https://graph.microsoft.com/v1.0/users?$skiptoken=x"}"#;
        let reply = classify(200, &headers(&pairs), body, NOW);
        assert_eq!(reply.request_id.as_deref(), Some("r-1"));
        assert_eq!(reply.usage, Some(0.93));
        let success = reply.result.unwrap();
        assert_eq!(
            success.next.as_deref(),
            Some("https://graph.microsoft.com/v1.0/users?$skiptoken=x")
        );
        let empty = classify(204, &HeaderMap::new(), b"", NOW).result.unwrap();
        assert_eq!((empty.status, empty.body), (204, None));
    }

    #[test]
    fn a_success_that_is_no_json_proves_nothing() {
        let fault = classify(200, &HeaderMap::new(), b"<html>sign in</html>", NOW)
            .result
            .unwrap_err();
        assert_eq!(fault.class, Class::InDoubt);
        assert_eq!(fault.code, "unreadable-reply");
    }

    #[test]
    fn a_refusal_without_a_body_is_named_by_its_status() {
        let fault = classify(502, &HeaderMap::new(), b"<html>", NOW)
            .result
            .unwrap_err();
        assert_eq!(fault.code, "http-502");
        assert_eq!(fault.message, "status 502 without an explanation");
    }

    proptest! {
        #[test]
        fn only_2xx_succeeds(status in 100u16..600, body in ".{0,80}") {
            let reply = classify(status, &HeaderMap::new(), body.as_bytes(), NOW);
            prop_assert!(reply.result.is_err() || (200..300).contains(&status));
        }
    }
}
