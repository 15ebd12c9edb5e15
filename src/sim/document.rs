//! What the tenant stores of an entity: a JSON document.

use serde_json::{Map, Value};
use uuid::Uuid;

/// An entity: what is stored of it, by property. Names that begin with `#` are ours and never shown.
pub(super) type Document = Map<String, Value>;

/// The members of a JSON object.
pub(super) fn fields(value: Value) -> Document {
    match value {
        Value::Object(fields) => fields,
        _ => Document::new(),
    }
}

/// A stored text; None where there is none or null.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    document.get(name)?.as_str()
}

/// Reads an id in the form with dashes, the only one that Graph takes.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    let is_long = text.len() == uuid::fmt::Hyphenated::LENGTH;
    Uuid::try_parse(text).ok().filter(|_| is_long)
}
