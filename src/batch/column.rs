//! The columns a job reads: their names, what stands in them, and what a cell of each kind must look like.
//!
//! A cell is read in one way only, so that what the lint has passed gives the same values again when it is read back
//! from where the row was stored.

use std::fmt;

use serde::Serialize;

use super::anchor::{read_guid, read_immutable_id};
use super::finding::{Fault, Severity};
use super::immutable_id::{ImmutableId, ObjectGuid, decode};
use super::records::is_blank;
use super::rule::Rule;
use super::upn;
use crate::core::undefused;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user principal name.
    Upn,
    /// The text of a GUID.
    Guid,
    /// An anchor as Entra ID holds it.
    ImmutableId,
    /// Anything; taken as it stands.
    Text,
}

/// A column that a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The job's name for it, which is also its first heading.
    pub name: String,
    /// What stands in it.
    pub kind: Kind,
    /// Other headings under which it may stand in the file.
    pub aliases: Vec<String>,
    /// Whether every row needs a value.
    pub required: bool,
    /// The group in which no two rows may have the same value. Several columns may share one.
    pub unique: Option<String>,
}

/// All columns of a job. The key column is required and belongs to a group of unique values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The columns, in the job's order.
    pub columns: Vec<Column>,
    /// Index of the column that identifies a row.
    pub key: usize,
}

/// A checked value in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A user principal name, with the case it has in the file.
    Upn(String),
    /// A GUID.
    Guid(ObjectGuid),
    /// An anchor; upper and lower case differ.
    ImmutableId(ImmutableId),
    /// Any other text.
    Text(String),
}

impl Value {
    /// Writes into an empty text what is compared where values must be unique: names without case, and a GUID as the ImmutableID it will be.
    pub fn write_unique_key(&self, key: &mut String) {
        match self {
            Value::Upn(upn) => {
                key.push_str(upn);
                key.make_ascii_lowercase();
            }
            Value::Guid(guid) => guid.write_base64(key),
            Value::ImmutableId(id) => key.push_str(id.as_str()),
            Value::Text(text) => key.push_str(text),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Upn(text) | Value::Text(text) => f.write_str(text),
            Value::Guid(guid) => guid.fmt(f),
            Value::ImmutableId(id) => id.fmt(f),
        }
    }
}

impl Column {
    /// Reads a cell: its canonical value, if it has one, and everything that is wrong with it. A cell of only white
    /// space is empty; an empty cell is wrong only if the column is required.
    pub fn read(&self, cell: &str) -> (Option<Value>, Vec<Fault>) {
        if is_blank(cell) {
            let message = format!("there is no {}", self.name);
            let blank = self.required.then(|| Fault::error(Rule::Blank, message));
            return (None, blank.into_iter().collect());
        }
        let mut faults = Vec::new();
        let value = self.kind.read(cell, &mut faults);
        (value, faults)
    }
}

impl Kind {
    fn read(self, cell: &str, faults: &mut Vec<Fault>) -> Option<Value> {
        match self {
            Kind::Upn => {
                faults.extend(upn::faults(cell));
                let refused = faults.iter().any(|fault| fault.severity == Severity::Error);
                (!refused).then(|| Value::Upn(cell.to_owned()))
            }
            Kind::Guid => read_guid(trimmed(undefused(cell), faults), faults).map(Value::Guid),
            Kind::ImmutableId => {
                read_immutable_id(trimmed(undefused(cell), faults), faults).map(Value::ImmutableId)
            }
            Kind::Text => Some(Value::Text(cell.to_owned())),
        }
    }
}

/// White space around an anchor can mean nothing, nor can the apostrophe with which spreadsheets and reports mark a
/// text, so the rest is used; it is still told.
fn trimmed<'a>(cell: &'a str, faults: &mut Vec<Fault>) -> &'a str {
    let bare = cell.trim_matches(|c: char| c.is_ascii_whitespace());
    let unmarked = bare
        .strip_prefix('\'')
        .filter(|rest| decode(rest).is_some() || ObjectGuid::parse(rest).is_some());
    if let Some(rest) = unmarked {
        let message = "has an apostrophe before it; the value is used without it";
        let fault = Fault::warning(Rule::Character, message);
        faults.push(fault.suggesting(Some(rest.to_owned())));
        return rest;
    }
    if bare.len() != cell.len() {
        faults.push(
            Fault::warning(
                Rule::Character,
                "has white space around it; the value is used without it",
            )
            .suggesting(Some(bare.to_owned())),
        );
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::defused;

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";

    fn column(kind: Kind, required: bool) -> Column {
        Column {
            name: "c".into(),
            kind,
            aliases: vec![],
            required,
            unique: None,
        }
    }

    #[test]
    fn an_empty_cell_is_wrong_only_where_a_value_is_required() {
        for kind in [Kind::Upn, Kind::Guid, Kind::ImmutableId, Kind::Text] {
            assert_eq!(column(kind, false).read(" \t"), (None, vec![]));
            let (value, faults) = column(kind, true).read("");
            assert_eq!(
                (value, faults[0].rule.clone(), faults.len()),
                (None, Rule::Blank, 1)
            );
        }
    }

    #[test]
    fn outer_white_space_refuses_a_name_and_not_an_anchor() {
        let (value, faults) = column(Kind::Upn, true).read(" adele@contoso.com");
        assert_eq!((value, faults[0].rule.clone()), (None, Rule::Character));
        let (value, faults) = column(Kind::Guid, true).read(&format!("{GUID} "));
        assert_eq!(value, ObjectGuid::parse(GUID).map(Value::Guid));
        assert_eq!(
            (faults[0].severity, faults[0].suggestion.as_deref()),
            (Severity::Warning, Some(GUID))
        );
    }

    #[test]
    fn a_guid_and_its_immutable_id_are_the_same_key() {
        let (guid, _) = column(Kind::Guid, true).read(GUID);
        let (id, _) = column(Kind::ImmutableId, true).read("6SNZnFLe6jOI3n68hjO5zA==");
        let key = |value: Value| {
            let mut key = String::new();
            value.write_unique_key(&mut key);
            key
        };
        assert_eq!(key(guid.unwrap()), key(id.unwrap()));
        assert_eq!(key(Value::Upn("A@b.com".into())), "a@b.com");
        assert_eq!(key(Value::Text("A".into())), "A");
    }

    #[test]
    fn an_anchor_from_a_report_is_read_as_it_was() {
        for (kind, anchor) in [
            (Kind::ImmutableId, "+/+/+BI0VniavN7wESIzRA=="),
            (Kind::ImmutableId, "6SNZnFLe6jOI3n68hjO5zA=="),
            (Kind::Guid, GUID),
        ] {
            let column = column(kind, true);
            assert_eq!(column.read(&defused(anchor)), column.read(anchor));
            assert!(column.read(anchor).0.is_some());
        }
    }

    #[test]
    fn text_is_taken_as_it_stands() {
        assert_eq!(
            column(Kind::Text, true).read(" x "),
            (Some(Value::Text(" x ".into())), vec![])
        );
    }
}
