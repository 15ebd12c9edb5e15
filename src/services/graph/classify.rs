//! Sorts a reply: what was asked for, status, headers and body in, [`Reply`] out. Pure; the time, which a Retry-After date is
//! compared with, is an argument.
//!
//! A reply is the service's only if it has the service's form: its error body, or what the request asked for. A page of a proxy,
//! of a firewall or of a network that wants a sign-in says nothing about the person or the request, whatever its status: the
//! service was not reached, or its answer was lost.
//!
//! The table follows Microsoft's page on Graph errors and what has been seen beyond it. It goes by codes (`codes.toml`)
//! and by status; messages change with the language and the weather.

use super::error_body::{self, ErrorBody};
use crate::core::{Expects, Request};
use crate::services::bounded_json::{self, Unreadable};
use crate::services::budget::ThrottleReason;
use crate::services::class::Class;
use crate::services::codes::known_codes;
use crate::services::http::{bounds, header, is_success, too_large};
use crate::services::reply::{Fault, Payload, Reply, Success, UNREADABLE, one_line};
use crate::services::retry_after;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::time::SystemTime;

/// Where several requests travel as one.
pub(super) const BATCH: &str = "/$batch";
/// The replies to the parts of a batch.
pub(super) const RESPONSES: &str = "responses";
/// The value of `x-ms-throttle-information` that tells of a loaded service rather than of a limit.
const SERVICE_BUSY: &str = "CPULimitExceeded";

/// Whether a request is a batch.
pub(super) fn is_batch(request: &Request) -> bool {
    request.path.ends_with(BATCH)
}

/// Sorts the reply to a request that left. Every reply has exactly one class, and only a status 2xx with what was asked for is a
/// success.
pub fn classify(request: &Request, status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Reply {
    let (_, memory_max) = bounds(request.expects, status);
    let body = (!body.is_empty()).then(|| bounded_json::read(body, memory_max));
    sort(request, Came { status, headers, body, now })
}

/// The same for a part of a batch, whose headers and body are JSON.
pub(super) fn classify_part(
    request: &Request,
    status: u16,
    headers: Option<&Value>,
    body: Option<Value>,
    now: SystemTime,
) -> Reply {
    let headers = headers.and_then(Value::as_object).into_iter().flatten().filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
    });
    let body = body.filter(|body| !body.is_null()).map(Ok);
    sort(request, Came { status, headers: &headers.collect(), body, now })
}

fn sort(request: &Request, mut came: Came<'_>) -> Reply {
    let result = if is_success(came.status) { came.success(request) } else { Err(came.refusal()) };
    reply(came.headers, result.map_err(|fault| fault.with_status(came.status)))
}

/// A reply as it came over the line.
struct Came<'a> {
    status: u16,
    headers: &'a HeaderMap,
    /// None where nothing came.
    body: Option<Result<Value, Unreadable>>,
    now: SystemTime,
}

/// A result together with what the headers say whatever the result is.
pub(super) fn reply(headers: &HeaderMap, result: Result<Success, Fault>) -> Reply {
    Reply {
        result,
        request_id: header(headers, "request-id").map(one_line),
        usage: header(headers, "x-ms-throttle-limit-percentage")
            .and_then(|value| value.trim().parse().ok())
            .filter(|usage: &f64| usage.is_finite()),
        is_echo: false,
    }
}

impl Came<'_> {
    fn success(&mut self, request: &Request) -> Result<Success, Fault> {
        let status = self.status;
        let payload = match &mut self.body {
            None if request.expects == Expects::Done && matches!(status, 202 | 204) => Some(Payload::Nothing),
            Some(Ok(body)) => payload(request, std::mem::take(body)),
            Some(Err(Unreadable::TooLarge)) => return Err(too_large(status, self.headers, self.now)),
            Some(Err(Unreadable::NoJson)) | None => None,
        };
        payload.map(|payload| Success { status, payload }).ok_or_else(|| self.foreign())
    }

    fn refusal(&self) -> Fault {
        let status = self.status;
        let body = match self.body.as_ref().and_then(|body| error_body::of(body.as_ref().ok()?)) {
            Some(body) => body,
            None if self.is_bare_limit() => ErrorBody::default(),
            None => return self.foreign(),
        };
        let class = self.class(&body);
        let or_else = |text: String, other: String| if text.is_empty() { other } else { text };
        let code = or_else(body.code, format!("http-{status}"));
        Fault::new(class, code, or_else(body.message, format!("status {status} without an explanation")))
    }

    /// A front door that turns requests away may do so without a word. Whatever it is that is too busy, nothing was done.
    fn is_bare_limit(&self) -> bool {
        let is_limit = matches!(Class::of_status(self.status), Class::Throttled { .. });
        let named = ["request-id", "x-ms-throttle-scope", "x-ms-throttle-information"];
        let is_signed = || named.iter().any(|name| self.headers.contains_key(*name));
        is_limit && (self.body.is_none() || is_signed())
    }

    /// Not the service's reply: it was not reached, or what it answered was lost.
    fn foreign(&self) -> Fault {
        let status = self.status;
        let form = match (&self.body, header(self.headers, "content-type")) {
            (None, _) => "nothing".to_owned(),
            (Some(_), Some(kind)) => one_line(kind.split(';').next().unwrap_or(kind)),
            (Some(_), None) => "something".to_owned(),
        };
        // A gateway of the service's own answers so, too.
        let code = match status {
            500..=599 => format!("http-{status}"),
            _ => UNREADABLE.to_owned(),
        };
        let message = format!(
            "status {status} with {form} in place of the service's own reply: most often the page of a proxy, a firewall or a \
             network that wants a sign-in"
        );
        Fault::new(Class::Unavailable { retry_after: retry_after::of(self.headers, self.now) }, code, message)
    }

    fn class(&self, body: &ErrorBody) -> Class {
        let by_code = match self.status {
            // What a token or a limit is about says nothing about the request.
            401 | 429 => None,
            400..=499 => deciding_class(&body.codes),
            _ => None,
        };
        let retry_after = || retry_after::of(self.headers, self.now);
        match by_code.unwrap_or_else(|| Class::of_status(self.status)) {
            Class::Throttled { .. } => {
                Class::Throttled { retry_after: retry_after(), reason: throttle_reason(self.headers) }
            }
            Class::Unavailable { .. } => Class::Unavailable { retry_after: retry_after() },
            class => class,
        }
    }
}

/// What the body brings, where it is what the request asked for. An object of Graph names its context or its id, or has one of
/// the properties that were selected.
fn payload(request: &Request, body: Value) -> Option<Payload> {
    let Value::Object(mut members) = body else {
        return None;
    };
    let names = |name: &str| members.contains_key(name);
    let is_entity = || names("id") || names("@odata.context");
    let is_wanted = match request.expects {
        _ if is_batch(request) => names(RESPONSES),
        Expects::Page | Expects::Survey => {
            let next = members.get("@odata.nextLink").and_then(Value::as_str).map(str::to_owned);
            return match members.remove("value") {
                Some(Value::Array(items)) => Some(Payload::Page { items, next }),
                Some(_) | None => None,
            };
        }
        Expects::Object => is_entity() || selected(&request.path).any(names),
        Expects::Done => is_entity() || names("value"),
    };
    is_wanted.then_some(Payload::Object(Value::Object(members)))
}

/// The properties that a path selects.
fn selected(path: &str) -> impl Iterator<Item = &str> {
    let (_, query) = path.split_once('?').unwrap_or_default();
    let options = query.split('&');
    options.filter_map(|option| option.strip_prefix("$select=")).flat_map(|names| names.split(','))
}

/// The most specific code that sorts a refusal by itself.
fn deciding_class(codes: &[String]) -> Option<Class> {
    let deciding = |code: &String| known_codes().find(|known| known.decides && known.code == *code);
    codes.iter().rev().find_map(deciding).map(|known| known.class)
}

/// `x-ms-throttle-scope` is `<scope>/<limit>/<app>/<tenant, user or resource>`; only whose limit it is matters here.
fn throttle_reason(headers: &HeaderMap) -> ThrottleReason {
    let information = header(headers, "x-ms-throttle-information").map(str::trim);
    if information.is_some_and(|why| why.eq_ignore_ascii_case(SERVICE_BUSY)) {
        return ThrottleReason::ServiceBusy;
    }
    let scope = header(headers, "x-ms-throttle-scope").and_then(|scope| scope.split('/').next());
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
    use serde_json::json;
    use std::time::Duration;

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

    fn asked(expects: Expects, path: &str) -> Request {
        Request::get(path, expects)
    }

    fn sorted(expects: Expects, status: u16, body: &str) -> Reply {
        let request = asked(expects, "/users/1?$select=onPremisesImmutableId,x");
        classify(&request, status, &HeaderMap::new(), body.as_bytes(), NOW)
    }

    fn fault(status: u16, codes: (&str, &str), pairs: &[(&str, &str)]) -> Fault {
        let (general, detail) = codes;
        let body = json!({"error": {"code": general, "message": "why", "details": [{"code": detail}]}});
        let body = serde_json::to_vec(&body).unwrap();
        let request = asked(Expects::Done, "/users/1");
        classify(&request, status, &headers(pairs), &body, NOW).result.unwrap_err()
    }

    #[test]
    fn the_table_of_refusals() {
        let table = [
            (400, "Request_BadRequest", "ObjectConflict", Class::Duplicate),
            (400, "Request_BadRequest", "ConflictingObjects", Class::Duplicate),
            (409, "Request_BadRequest", "ConflictingObjects", Class::Duplicate),
            (400, "Request_MultipleObjectsWithSameKeyValue", "", Class::Duplicate),
            (409, "nameAlreadyExists", "", Class::Duplicate),
            (400, "Request_BadRequest", "", Class::InvalidValue),
            (422, "", "", Class::InvalidValue),
            (400, "Request_UnsupportedQuery", "", Class::Unsupported),
            (405, "Request_BadRequest", "", Class::Unsupported),
            (415, "", "", Class::Unsupported),
            (501, "", "", Class::Unsupported),
            (401, "InvalidAuthenticationToken", "", Class::Unauthenticated),
            (401, "Authorization_IdentityNotFound", "", Class::Unauthenticated),
            (403, "Authentication_ExpiredToken", "", Class::Unauthenticated),
            (403, "Authorization_RequestDenied", "", Class::Denied),
            (403, "Authorization_IdentityDisabled", "", Class::Denied),
            (403, "Forbidden", "", Class::Denied),
            (403, "", "", Class::Denied),
            (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "", Class::Licence),
            (400, "AadPremiumLicenseRequired", "", Class::Licence),
            (404, "MailboxNotEnabledForRESTAPI", "", Class::Licence),
            (403, "ErrorAccessDenied", "MailboxNotEnabledForRESTAPI", Class::Licence),
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
            (429, "Request_BadRequest", "ObjectConflict", Class::THROTTLED),
            (403, "activityLimitReached", "", Class::THROTTLED),
            (409, "throttledRequest", "", Class::THROTTLED),
            (509, "", "", Class::THROTTLED),
            (500, "Service_InternalServerError", "", Class::UNAVAILABLE),
            // It may have been made all the same, so that the code does not decide.
            (500, "Request_BadRequest", "ObjectConflict", Class::UNAVAILABLE),
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
            ("Tenant_Application/Write/app/tenant", "WriteLimitExceeded", ThrottleReason::AppInTenant),
            ("Tenant/ReadWrite/app/tenant", "", ThrottleReason::Tenant),
            ("Application/Read/app/tenant", "", ThrottleReason::App),
            ("Tenant/Write/app/tenant", "CPULimitExceeded", ThrottleReason::ServiceBusy),
            ("", "", ThrottleReason::Unstated),
        ];
        for (scope, information, reason) in cases {
            let pairs =
                [("x-ms-throttle-scope", scope), ("x-ms-throttle-information", information), ("retry-after", "7, 9")];
            let class = fault(429, ("TooManyRequests", "429"), &pairs).class;
            let retry_after = Some(Duration::from_secs(9));
            assert_eq!(class, Class::Throttled { retry_after, reason });
        }
        let early = fault(400, ("Request_ThrottledTemporarily", ""), &[]).class;
        assert!(matches!(early, Class::Throttled { retry_after: None, .. }));
    }

    #[test]
    fn a_busy_service_may_say_how_long() {
        let class = fault(503, ("serviceNotAvailable", ""), &[("retry-after", "2.5")]).class;
        let retry_after = Some(Duration::from_millis(2_500));
        assert_eq!(class, Class::Unavailable { retry_after });
    }

    #[test]
    fn success_with_a_body_and_a_next_page() {
        let pairs = [("request-id", "r-1"), ("x-ms-throttle-limit-percentage", "0.93")];
        let body = br#"{"value":[],"@odata.nextLink":"https://graph.microsoft.com/v1.0/users?$skiptoken=x"}"#;
        let reply = classify(&asked(Expects::Page, "/users"), 200, &headers(&pairs), body, NOW);
        assert_eq!(reply.request_id.as_deref(), Some("r-1"));
        assert_eq!(reply.usage, Some(0.93));
        let next = Some("https://graph.microsoft.com/v1.0/users?$skiptoken=x".to_owned());
        let items = Vec::new();
        assert_eq!(reply.result.unwrap().payload, Payload::Page { items, next });
        let empty = sorted(Expects::Done, 204, "").result.unwrap();
        assert_eq!((empty.status, empty.payload), (204, Payload::Nothing));
    }

    /// Pages, other people's JSON, and what was cut off on the way.
    const FOREIGN: [&str; 12] = [
        "<!DOCTYPE html><html><body>sign in</body></html>",
        "Blocked",
        "",
        " ",
        "{",
        "null",
        "\"id\"",
        "[]",
        "{}",
        "{\"message\":\"no route\"}",
        "{\"error\":\"invalid_request\",\"error_description\":\"no\"}",
        "{\"error\":{\"code\":407,\"message\":\"sign in\"}}",
    ];

    #[test]
    fn what_is_not_in_the_services_form_says_nothing_whatever_its_status() {
        let statuses = [
            200, 201, 203, 206, 301, 302, 304, 307, 400, 401, 402, 403, 404, 405, 407, 409, 410, 412, 418, 422, 451,
            500, 501, 502, 503, 504, 507, 511,
        ];
        let all = [Expects::Object, Expects::Page, Expects::Survey, Expects::Done];
        for (status, expects) in statuses.iter().flat_map(|s| all.map(|e| (*s, e))) {
            for body in FOREIGN {
                let fault = sorted(expects, status, body).result.unwrap_err();
                assert_eq!(fault.class, Class::UNAVAILABLE, "{status} {expects:?} {body}");
            }
        }
    }

    #[test]
    fn a_success_has_what_was_asked_for() {
        let table = [
            (Expects::Object, 200, r#"{"id":"1"}"#, true),
            (Expects::Object, 200, r#"{"onPremisesImmutableId":null}"#, true),
            (Expects::Object, 200, r#"{"@odata.context":"x"}"#, true),
            (Expects::Object, 200, r#"{"status":"ok"}"#, false),
            (Expects::Object, 200, r#"{"value":[]}"#, false),
            (Expects::Object, 200, r#"{"id":"1""#, false),
            (Expects::Object, 204, "", false),
            (Expects::Page, 200, r#"{"value":[]}"#, true),
            (Expects::Page, 200, r#"{"value":{}}"#, false),
            (Expects::Page, 200, r#"{"id":"1"}"#, false),
            (Expects::Page, 204, "", false),
            (Expects::Done, 204, "", true),
            (Expects::Done, 202, "", true),
            (Expects::Done, 200, "", false),
            (Expects::Done, 200, r#"{"id":"1"}"#, true),
            (Expects::Done, 200, r#"{"@odata.context":"x","value":true}"#, true),
            (Expects::Done, 200, r#"{"status":"ok"}"#, false),
        ];
        for (expects, status, body, good) in table {
            let reply = sorted(expects, status, body);
            assert_eq!(reply.result.is_ok(), good, "{expects:?} {status} {body}");
        }
    }

    #[test]
    fn a_front_door_may_turn_away_without_a_word_and_a_page_may_not() {
        let class = |body: &str, pairs: &[(&str, &str)]| {
            let request = asked(Expects::Done, "/users/1");
            let reply = classify(&request, 429, &headers(pairs), body.as_bytes(), NOW);
            reply.result.unwrap_err().class
        };
        let retry_after = Some(Duration::from_secs(7));
        let wish = ("retry-after", "7");
        let throttled = Class::Throttled { retry_after, reason: ThrottleReason::Unstated };
        assert_eq!(class("", &[wish]), throttled);
        assert_eq!(class("slow down", &[wish, ("request-id", "r-1")]), throttled);
        assert_eq!(class("<html>", &[wish]), Class::Unavailable { retry_after });
    }

    #[test]
    fn a_reply_that_would_take_too_much_memory_is_not_taken_in() {
        let objects = vec![r#"{"a":1}"#; 100_000].join(",");
        for (expects, body) in [
            (Expects::Object, format!(r#"{{"id":"1","x":[{objects}]}}"#)),
            (Expects::Page, format!(r#"{{"value":[{objects}]}}"#)),
            (Expects::Done, format!(r#"{{"id":"1","x":[{objects}]}}"#)),
        ] {
            let fault = sorted(expects, 200, &body).result.unwrap_err();
            assert_eq!(fault.code, "reply-too-large", "{expects:?}");
            assert_eq!(fault.class, Class::UNAVAILABLE);
        }
        let people =
            vec![r#"{"id":"00000000-0000-0000-0000-000000000000","userPrincipalName":"ann@contoso.com"}"#; 999];
        let page = format!(r#"{{"value":[{}]}}"#, people.join(","));
        assert!(sorted(Expects::Page, 200, &page).result.is_ok());
    }

    #[test]
    fn a_reply_of_something_in_between_is_named() {
        let fault = sorted(Expects::Done, 502, "<html>").result.unwrap_err();
        assert_eq!(fault.code, "http-502");
        let request = asked(Expects::Done, "/users/1");
        let kind = [("content-type", "text/html; charset=utf-8")];
        let page = classify(&request, 403, &headers(&kind), b"<html>", NOW);
        let page = page.result.unwrap_err();
        assert_eq!(page.code, "unreadable-reply");
        assert!(page.message.starts_with("status 403 with text/html in place"), "{}", page.message);
    }

    #[test]
    fn a_date_is_measured_against_the_replys_own() {
        let pairs = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT")];
        let class = fault(503, ("serviceNotAvailable", ""), &pairs).class;
        let retry_after = Some(Duration::from_secs(2));
        assert_eq!(class, Class::Unavailable { retry_after });
    }

    proptest! {
        #[test]
        fn only_2xx_succeeds(status in 100u16..600, body in ".{0,80}") {
            let reply = sorted(Expects::Done, status, &body);
            prop_assert!(reply.result.is_err() || (200..300).contains(&status));
        }
    }
}
