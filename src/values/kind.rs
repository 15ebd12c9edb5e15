//! The kinds of cells: a line in each table here, and a file that reads them.

use super::violation::Violation;
use super::{guid, immutable_id, upn};

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// A user principal name.
    Upn,
    /// The text of a GUID.
    Guid,
    /// An anchor as Entra ID holds it.
    ImmutableId,
    /// Anything; taken as it stands.
    Text,
}

/// Every kind by its name in a job file.
pub const KINDS: &[(&str, CellKind)] = &[
    ("upn", CellKind::Upn),
    ("guid", CellKind::Guid),
    ("immutable-id", CellKind::ImmutableId),
    ("text", CellKind::Text),
];

impl CellKind {
    /// The canonical text of a cell that is not blank, if it has one; what is wrong with it is added. An error means no value.
    pub fn read(self, cell: &str, violations: &mut Vec<Violation>) -> Option<String> {
        match self {
            CellKind::Upn => upn::read(cell, violations),
            CellKind::Guid => guid::read(cell, violations).map(|guid| guid.to_string()),
            CellKind::ImmutableId => immutable_id::read(cell, violations).map(String::from),
            CellKind::Text => Some(cell.to_owned()),
        }
    }

    /// Adds what is compared where canonical texts must be unique.
    pub fn write_unique_key(self, text: &str, key: &mut String) {
        match self {
            CellKind::Upn => upn::write_unique_key(text, key),
            CellKind::Guid => guid::write_unique_key(text, key),
            CellKind::ImmutableId | CellKind::Text => key.push_str(text),
        }
    }
}
