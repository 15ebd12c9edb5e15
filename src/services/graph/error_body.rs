//! Reads the JSON that OData services put into refusals: a code, details, and inner errors one inside the other.
//! Names of members are matched without case, since `innererror` occurs in both. Decides nothing.

use serde_json::Value;

use crate::services::reply::one_line;

/// Nothing says how deep inner errors may nest; deeper than this, no code would be more useful.
const DEPTH_MAX: usize = 8;
/// Codes are identifiers; what is longer is not worth a column of a report.
const CODE_CHARS_MAX: usize = 100;

/// What a refusal says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorBody {
    /// All codes: the general one first, then those of details, then those of inner errors, outermost first.
    pub(super) codes: Vec<String>,
    /// The codes from the general to the most specific, joined by `/`; empty where the body has none.
    pub(super) code: String,
    /// The message on one line; empty where the body has none.
    pub(super) message: String,
}

/// Reads a body; none where it is not of the form, which has an error with a code, be it empty: then no service of OData said
/// this.
pub(super) fn of(body: &Value) -> Option<ErrorBody> {
    let error = member(body, "error")?;
    member(error, "code")?.as_str()?;
    let general = code_of(error);
    let details: Vec<String> =
        member(error, "details").and_then(Value::as_array).into_iter().flatten().filter_map(code_of).collect();
    let nested = std::iter::successors(inner(error), |nested| inner(nested)).take(DEPTH_MAX);
    let inner: Vec<String> = nested.filter_map(code_of).collect();
    let specific = details.first().or(inner.last()).cloned();
    let mut named: Vec<String> = general.iter().cloned().chain(specific).collect();
    named.dedup();
    Some(ErrorBody {
        code: named.join("/"),
        codes: general.into_iter().chain(details).chain(inner).collect(),
        message: member(error, "message").and_then(Value::as_str).map(one_line).unwrap_or_default(),
    })
}

fn inner(error: &Value) -> Option<&Value> {
    member(error, "innererror")
}

/// A code that says something: not empty, and not the HTTP status again, which throttled replies carry there.
fn code_of(error: &Value) -> Option<String> {
    let code: String =
        member(error, "code")?.as_str()?.chars().filter(char::is_ascii_graphic).take(CODE_CHARS_MAX).collect();
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(code)
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_json(body: Value) -> ErrorBody {
        of(&body).unwrap()
    }

    #[test]
    fn details_are_more_specific_than_inner_errors() {
        let body = read_json(json!({"error": {
            "code": "Request_BadRequest",
            "message": "Another object\r\nwith the same value exists.",
            "details": [{"code": "ObjectConflict", "target": "userPrincipalName"}],
            "innerError": {"code": "x", "date": "2026-01-01T00:00:00"}
        }}));
        assert_eq!(body.code, "Request_BadRequest/ObjectConflict");
        assert_eq!(body.codes, ["Request_BadRequest", "ObjectConflict", "x"]);
        assert_eq!(body.message, "Another object with the same value exists.");
    }

    #[test]
    fn inner_errors_nest_in_either_case_and_status_numbers_are_no_codes() {
        let body = read_json(json!({"Error": {
            "code": "",
            "innererror": {"code": "outer", "innerError": {"code": "deepest", "innererror": {"code": "429"}}}
        }}));
        assert_eq!(body.code, "deepest");
        assert_eq!(body.codes, ["outer", "deepest"]);
    }

    #[test]
    fn other_bodies_are_not_of_the_form() {
        for body in [
            "",
            "<html>502</html>",
            "[]",
            "{}",
            "{\"error\":\"text\"}",
            "{\"error\":null}",
            "{\"error\":{}}",
            "{\"error\":{\"code\":403,\"message\":\"no\"}}",
            "{\"error\":{\"message\":\"no\"}}",
            "{\"error\":{\"code\":\"Request_BadRequest\",\"message\":\"cut of",
            "{\"message\":\"no\",\"code\":\"Request_BadRequest\"}",
        ] {
            let body = serde_json::from_str(body).unwrap_or(Value::Null);
            assert_eq!(of(&body), None, "{body}");
        }
        let nameless = of(&json!({"error": {"code": "", "message": ""}}));
        assert_eq!(nameless, Some(ErrorBody::default()));
    }
}
