//! The columns a job reads: their names, and what stands in them.
//!
//! A cell is read in one way only, so that what the lint has passed gives the same values again when it is read back
//! from where the row was stored.

use crate::values::{CellKind, Rule, Violation, is_blank};

/// A column that a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The job's name for it, which is also its first heading.
    pub name: String,
    /// What stands in it.
    pub kind: CellKind,
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

impl Column {
    /// Reads a cell: its canonical value, if it has one, and everything that is wrong with it. A cell of only white
    /// space is empty; an empty cell is wrong only if the column is required.
    pub fn read(&self, cell: &str) -> (Option<String>, Vec<Violation>) {
        if is_blank(cell) {
            let message = format!("there is no {}", self.name);
            let blank = self.required.then(|| Violation::error(Rule::Blank, message));
            return (None, blank.into_iter().collect());
        }
        let mut faults = Vec::new();
        let value = self.kind.read(cell, &mut faults);
        (value, faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::defused;
    use crate::values::{ObjectGuid, Severity};

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";

    fn column(kind: CellKind, required: bool) -> Column {
        Column { name: "c".into(), kind, aliases: vec![], required, unique: None }
    }

    #[test]
    fn an_empty_cell_is_wrong_only_where_a_value_is_required() {
        for kind in [CellKind::Upn, CellKind::Guid, CellKind::ImmutableId, CellKind::Text] {
            assert_eq!(column(kind, false).read(" \t"), (None, vec![]));
            let (value, faults) = column(kind, true).read("");
            assert_eq!((value, faults[0].rule.clone(), faults.len()), (None, Rule::Blank, 1));
        }
    }

    #[test]
    fn outer_white_space_refuses_a_name_and_not_an_anchor() {
        let (value, faults) = column(CellKind::Upn, true).read(" adele@contoso.com");
        assert_eq!((value, faults[0].rule.clone()), (None, Rule::Character));
        let (value, faults) = column(CellKind::Guid, true).read(&format!("{GUID} "));
        assert_eq!(value, ObjectGuid::parse(GUID).map(|guid| guid.to_string()));
        assert_eq!((faults[0].severity, faults[0].suggestion.as_deref()), (Severity::Warning, Some(GUID)));
    }

    #[test]
    fn a_guid_and_its_immutable_id_are_the_same_key() {
        let (guid, _) = column(CellKind::Guid, true).read(GUID);
        let (id, _) = column(CellKind::ImmutableId, true).read("6SNZnFLe6jOI3n68hjO5zA==");
        let key = |kind: CellKind, text: &str| {
            let mut key = String::new();
            kind.write_unique_key(text, &mut key);
            key
        };
        let guid = key(CellKind::Guid, &guid.unwrap());
        assert_eq!(guid, key(CellKind::ImmutableId, &id.unwrap()));
        assert_eq!(key(CellKind::Upn, "A@b.com"), "a@b.com");
        assert_eq!(key(CellKind::Text, "A"), "A");
    }

    #[test]
    fn an_anchor_from_a_report_is_read_as_it_was() {
        for (kind, anchor) in [
            (CellKind::ImmutableId, "+/+/+BI0VniavN7wESIzRA=="),
            (CellKind::ImmutableId, "6SNZnFLe6jOI3n68hjO5zA=="),
            (CellKind::Guid, GUID),
        ] {
            let column = column(kind, true);
            assert_eq!(column.read(&defused(anchor)), column.read(anchor));
            assert!(column.read(anchor).0.is_some());
        }
    }

    #[test]
    fn text_is_taken_as_it_stands() {
        assert_eq!(column(CellKind::Text, true).read(" x "), (Some(" x ".into()), vec![]));
    }
}
