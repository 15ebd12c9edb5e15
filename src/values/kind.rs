//! The kinds of cells, a line each.

use super::violation::Violation;
use super::{anchor, text, upn};

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

/// How a kind of cell is read and compared.
struct CellReader {
    /// The canonical text, if the cell has one; what is wrong with the cell is added. An error means no value.
    read: fn(&str, &mut Vec<Violation>) -> Option<String>,
    /// Adds what is compared where canonical texts must be unique.
    write_unique_key: fn(&str, &mut String),
}

impl CellReader {
    fn new(
        read: fn(&str, &mut Vec<Violation>) -> Option<String>,
        write_unique_key: fn(&str, &mut String),
    ) -> CellReader {
        CellReader { read, write_unique_key }
    }
}

/// Every kind by its name in a job file.
pub const KINDS: &[(&str, CellKind)] = &[
    ("upn", CellKind::Upn),
    ("guid", CellKind::Guid),
    ("immutable-id", CellKind::ImmutableId),
    ("text", CellKind::Text),
];

impl CellKind {
    fn reading(self) -> CellReader {
        match self {
            CellKind::Upn => CellReader::new(upn::read, upn::write_unique_key),
            CellKind::Guid => CellReader::new(anchor::read_guid_cell, anchor::write_unique_key),
            CellKind::ImmutableId => CellReader::new(anchor::read_immutable_id_cell, text::write_unique_key),
            CellKind::Text => CellReader::new(text::read, text::write_unique_key),
        }
    }

    /// The canonical text of a cell that is not blank, if it has one; what is wrong with it is added.
    pub fn read(self, cell: &str, violations: &mut Vec<Violation>) -> Option<String> {
        (self.reading().read)(cell, violations)
    }

    /// Adds what is compared where canonical texts must be unique.
    pub fn write_unique_key(self, text: &str, key: &mut String) {
        (self.reading().write_unique_key)(text, key);
    }
}
