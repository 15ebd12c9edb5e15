//! The filters and functions a job file can use, beside minijinja's own.
//!
//! They are what this field needs again and again: parts of a UPN, the ImmutableID of a GUID, OData literals, and finding an
//! entry in a list that a service gave.

use crate::values::{ImmutableId, ObjectGuid, decode, domain, local_part, same_upn};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::{self, Write};

/// The functions a job can call.
pub const FUNCTIONS: &[&str] = &["same"];

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
    environment.add_filter("domain", |upn: &str| domain(upn).to_owned());
    environment.add_filter("local_part", |upn: &str| local_part(upn).to_owned());
    environment.add_filter("immutable_id", immutable_id);
    environment.add_filter("guid", guid);
    environment.add_filter("anchor_kind", |text: &str| ImmutableId::kind_of(text).to_string());
    environment.add_filter("key", key);
    environment.add_filter("odata", |text: &str| text.replace('\'', "''"));
    environment.add_filter("find", find);
    environment.add_filter("of_type", of_type);
    environment.add_filter("tojson", to_json_text);
    environment.add_function("same", same);
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

fn immutable_id(text: &str) -> Result<String, Error> {
    let guid = ObjectGuid::parse(text).ok_or_else(|| invalid(format!("`{text}` is not a GUID")))?;
    Ok(ImmutableId::from(guid).to_string())
}

fn guid(text: &str) -> Result<String, Error> {
    let wrong = || invalid(format!("`{text}` is not the base64 of a GUID"));
    Ok(decode(text).ok_or_else(wrong)?.to_string())
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
fn find(list: Value, attribute: &str, wanted: Value) -> Result<Value, Error> {
    for entry in list.try_iter()? {
        if alike(&entry.get_attr(attribute)?, &wanted) {
            return Ok(entry);
        }
    }
    Ok(Value::from(()))
}

/// The entries of a list that say of themselves that they are of this type (`@odata.type`). What is none says nothing.
fn of_type(list: Value, wanted: &str) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    for entry in list.try_iter()? {
        if !entry.is_none() && entry.get_attr("@odata.type")?.as_str() == Some(wanted) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Longest JSON that `tojson` makes, in bytes.
const JSON_BYTES_MAX: usize = 1_024 * 1_024;

/// A value as JSON. minijinja's own indents as far as it is told, and counts afterwards.
fn to_json_text(value: &Value) -> Result<String, Error> {
    let mut json = BoundedJson(Vec::new());
    serde_json::to_writer(&mut json, value).map_err(|error| invalid(format!("this has no JSON: {error}")))?;
    String::from_utf8(json.0).map_err(|error| invalid(error.to_string()))
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
        (Some(found), Some(wanted)) => found.to_lowercase() == wanted.to_lowercase(),
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => found == wanted,
    }
}

/// Whether two UPNs name the same account; false when one of them is none.
fn same(left: &Value, right: &Value) -> Result<bool, Error> {
    match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) => Ok(same_upn(left, right)),
        (None, _) if left.kind() != ValueKind::None => Err(invalid("same() compares texts")),
        (_, None) if right.kind() != ValueKind::None => Err(invalid("same() compares texts")),
        (None, _) | (_, None) => Ok(false),
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
