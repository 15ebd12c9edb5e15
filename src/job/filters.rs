//! The filters and functions a job file can use, beside minijinja's own.
//!
//! They are what this field needs again and again: parts of a UPN, the ImmutableID of a GUID, OData literals, and finding an
//! entry in a list that a service gave.

use crate::values::{ImmutableId, ObjectGuid, decode, domain, local_part, same_upn};
use minijinja::value::{Rest, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::{self, Write};

/// A filter or function of ours: from all its arguments to its value.
pub type Function = fn(&[Value]) -> Result<Value, Error>;

/// The filters a job can use beside minijinja's own.
const FILTERS: [(&str, Function); 10] = [
    ("domain", |args| of_text(args, |upn| Ok(domain(upn).into()))),
    ("local_part", |args| of_text(args, |upn| Ok(local_part(upn).into()))),
    ("immutable_id", |args| of_text(args, immutable_id)),
    ("guid", |args| of_text(args, guid)),
    ("anchor_kind", |args| of_text(args, |text| Ok(ImmutableId::kind_of(text).to_string().into()))),
    ("key", |args| of_text(args, |text| Ok(key(text)))),
    ("odata", |args| of_text(args, |text| Ok(text.replace('\'', "''").into()))),
    ("find", find),
    ("of_type", of_type),
    ("tojson", to_json_text),
];

/// The functions a job can call.
const FUNCTIONS: [(&str, Function); 1] = [("same", same)];

/// A filter or function of ours.
#[must_use]
pub fn own(name: &str, is_filter: bool) -> Option<Function> {
    let own: &[(&str, Function)] = if is_filter { &FILTERS } else { &FUNCTIONS };
    own.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// What stays as it is when a value is put into a path: RFC 3986's unreserved characters, and three that are legal in a
/// path and a query and common in them.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b',').remove(b':');

/// Percent-encodes a value for a path or a query (RFC 3986).
#[must_use]
pub fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Puts all of them into an environment.
pub fn register(environment: &mut Environment<'static>) {
    for (name, filter) in FILTERS {
        environment.add_filter(name, move |args: Rest<Value>| filter(&args));
    }
    for (name, function) in FUNCTIONS {
        environment.add_function(name, move |args: Rest<Value>| function(&args));
    }
}

/// Whether a filter of that name exists.
#[must_use]
pub fn exists_filter(state: &mut State<'_, '_>, name: &str) -> bool {
    knows(state.apply_filter(name, &[] as &[Value]), ErrorKind::UnknownFilter)
}

/// Whether a test of that name exists.
#[must_use]
pub fn exists_test(state: &mut State<'_, '_>, name: &str) -> bool {
    knows(state.perform_test(name, &[] as &[Value]), ErrorKind::UnknownTest)
}

fn knows<T>(answer: Result<T, Error>, unknown: ErrorKind) -> bool {
    !answer.is_err_and(|error| error.kind() == unknown)
}

fn of_text(args: &[Value], read: impl FnOnce(&str) -> Result<Value, Error>) -> Result<Value, Error> {
    let (text,) = from_args(args)?;
    read(text)
}

fn immutable_id(text: &str) -> Result<Value, Error> {
    let guid = ObjectGuid::parse(text).ok_or_else(|| invalid(format!("`{text}` is not a GUID")))?;
    Ok(ImmutableId::from(guid).to_string().into())
}

fn guid(text: &str) -> Result<Value, Error> {
    let wrong = || invalid(format!("`{text}` is not the base64 of a GUID"));
    Ok(decode(text).ok_or_else(wrong)?.to_string().into())
}

/// How an OData service addresses the entry of a collection that has this key: `/ann@contoso.com` behind the collection's
/// name. A key that begins with `$` would be taken for a segment of OData's own there and stands in parentheses.
fn key(text: &str) -> Value {
    let addressed = if text.starts_with('$') {
        format!("('{}')", encode_path(&text.replace('\'', "''")))
    } else {
        format!("/{}", encode_path(text))
    };
    Value::from_safe_string(addressed)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The first entry whose attribute has the value, texts compared without case; none where there is no such entry.
fn find(args: &[Value]) -> Result<Value, Error> {
    let (list, attribute, wanted): (&Value, &str, &Value) = from_args(args)?;
    for entry in list.try_iter()? {
        if alike(&entry.get_attr(attribute)?, wanted) {
            return Ok(entry);
        }
    }
    Ok(Value::from(()))
}

/// The entries of a list that say of themselves that they are of this type (`@odata.type`). What is none says nothing.
fn of_type(args: &[Value]) -> Result<Value, Error> {
    let (list, wanted): (&Value, &str) = from_args(args)?;
    let mut found = Vec::new();
    for entry in list.try_iter()? {
        if !entry.is_none() && entry.get_attr("@odata.type")?.as_str() == Some(wanted) {
            found.push(entry);
        }
    }
    Ok(found.into())
}

/// Longest JSON that `tojson` makes, in bytes.
const JSON_BYTES_MAX: usize = 1_024 * 1_024;

/// A value as JSON. minijinja's own indents as far as it is told, and counts afterwards.
fn to_json_text(args: &[Value]) -> Result<Value, Error> {
    let (value,): (&Value,) = from_args(args)?;
    let mut json = BoundedJson(Vec::new());
    serde_json::to_writer(&mut json, value).map_err(|error| invalid(format!("this has no JSON: {error}")))?;
    String::from_utf8(json.0).map(Value::from).map_err(|error| invalid(error.to_string()))
}

struct BoundedJson(Vec<u8>);

impl Write for BoundedJson {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > JSON_BYTES_MAX {
            let message = format!("it is longer than {JSON_BYTES_MAX} bytes");
            return Err(io::Error::other(message));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn alike(found: &Value, wanted: &Value) -> bool {
    match (found.as_str(), wanted.as_str()) {
        (Some(found), Some(wanted)) => {
            found.eq_ignore_ascii_case(wanted) || found.to_lowercase() == wanted.to_lowercase()
        }
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => found == wanted,
    }
}

/// Whether two UPNs name the same account; false when one of them is none.
fn same(args: &[Value]) -> Result<Value, Error> {
    let (left, right): (&Value, &Value) = from_args(args)?;
    let is_text = |value: &Value| value.is_none() || value.as_str().is_some();
    if !is_text(left) || !is_text(right) {
        return Err(invalid("same() compares texts"));
    }
    let both = left.as_str().zip(right.as_str());
    Ok(both.is_some_and(|(left, right)| same_upn(left, right)).into())
}

/// As minijinja compares them, without the error that it makes of two values of which one is no number.
pub(super) fn are_equal(value: &Value, other: &Value) -> bool {
    match (value.kind(), other.kind()) {
        (ValueKind::String, ValueKind::String) => value.as_str() == other.as_str(),
        (ValueKind::None, ValueKind::None) => true,
        (ValueKind::None | ValueKind::String, _) | (_, ValueKind::None | ValueKind::String) => false,
        _ => value == other,
    }
}

#[cfg(test)]
mod tests {
    use crate::job::{Expr, Scope};
    use minijinja::value::{Serde, Value};
    use std::sync::Arc;

    fn value(source: &str) -> String {
        let domains =
            serde_json::json!([{"id": "Contoso.com", "initial": false}, {"id": "x.onmicrosoft.com", "initial": true}]);
        let scope = Scope::default().with("domains", Value::from(Serde(domains)));
        source.parse::<Expr>().unwrap().value(&Arc::new(scope)).unwrap().to_string()
    }

    #[test]
    fn they_do_what_the_field_needs() {
        assert_eq!(value("'a.b@contoso.com' | domain"), "contoso.com");
        assert_eq!(value("'a.b@contoso.com' | local_part"), "a.b");
        assert_eq!(value("'00112233-4455-6677-8899-aabbccddeeff' | immutable_id"), "MyIRAFVEd2aImaq7zN3u/w==");
        assert_eq!(value("'MyIRAFVEd2aImaq7zN3u/w==' | guid"), "00112233-4455-6677-8899-aabbccddeeff");
        for (anchor, kind) in [("MyIRAFVEd2aImaq7zN3u/w==", "guid"), ("ann@contoso.com", "mail"), ("E-10023", "text")] {
            assert_eq!(value(&format!("'{anchor}' | anchor_kind")), kind);
        }
        assert_eq!(value("\"o'brien\" | odata"), "o''brien");
        assert_eq!(value("(domains | find('id', 'CONTOSO.COM')).id"), "Contoso.com");
        assert_eq!(value("(domains | find('initial', true)).id"), "x.onmicrosoft.com");
        assert_eq!(value("(domains | find('id', 'none.example')) is none"), "True");
        assert_eq!(
            value(
                "[{'@odata.type': 'a', 'id': 1}, none, {'@odata.type': 'b', 'id': 2}] | of_type('b') | map(attribute='id') | join"
            ),
            "2"
        );
        assert_eq!(value("same('A@x.com', 'a@X.com')"), "True");
        assert_eq!(value("same(none, 'a@X.com')"), "False");
    }
}
