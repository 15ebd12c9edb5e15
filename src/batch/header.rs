//! Finding the job's columns in the header of a file.
//!
//! Headings are compared without case, spaces and punctuation, since every program writes them its own way; Entra's
//! bulk templates put the real name in brackets. The result is small and can be stored: with it the values of a row
//! can be read again from its cells, long after the file is gone.

use serde::{Deserialize, Serialize};

use super::column::{Column, Layout};
use super::finding::Finding;
use crate::values::{CellKind, Rule, Severity, Violation};

/// How many headings a message repeats; a file may have a thousand.
const HEADINGS_TOLD_MAX: usize = 12;
/// Longest heading that is compared letter by letter, in characters; longer ones are prose.
const HEADING_CHARS_MAX: usize = 64;
/// Words in headings of values that are not, or no longer, what a job asks for.
const OTHER_VALUES: [&str; 10] =
    ["old", "before", "after", "current", "previous", "mailbox", "exch", "archive", "parent", "schema"];
/// So many letters of a heading bear one slip of the pen.
const LETTERS_PER_SLIP: usize = 4;

/// Where each column of the layout stands among the cells of a row, if it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    cells: Vec<Option<usize>>,
}

impl Mapping {
    /// The index of the cell in which a column of the layout stands.
    pub fn cell(&self, column: usize) -> Option<usize> {
        self.cells.get(column).copied().flatten()
    }

    /// The canonical values of a row, one per column of the layout. A cell that is absent, empty or faulty gives
    /// `None`. The same cells always give the same values.
    pub fn values(&self, layout: &Layout, cells: &[String]) -> Vec<Option<String>> {
        self.read(layout, cells, |_, _, _| {})
    }

    /// As [`Mapping::values`], telling what is wrong with which cell.
    pub fn read(
        &self,
        layout: &Layout,
        cells: &[String],
        mut tell: impl FnMut(&Column, &str, Violation),
    ) -> Vec<Option<String>> {
        let read_one = |(index, column): (usize, &Column)| {
            let cell = cells.get(self.cell(index)?)?;
            let (value, faults) = column.read(cell);
            faults.into_iter().for_each(|fault| tell(column, cell, fault));
            value
        };
        layout.columns.iter().enumerate().map(read_one).collect()
    }
}

/// Whether a heading is the name or an alias of a column.
pub fn is_heading_of(column: &Column, heading: &str) -> bool {
    let names = candidates(heading);
    column_names(column).any(|name| names.contains(&folded(name)))
}

/// What the headings of a file are to a layout.
pub struct Headings {
    /// Where the columns stand.
    pub mapping: Mapping,
    /// The headings that belong to no column, as they stand in the file.
    pub unread: Vec<String>,
    /// What there is to say about them.
    pub findings: Vec<Finding>,
}

/// Finds the layout's columns among the headings. `line` is the header's line in the file.
pub fn map(layout: &Layout, header: &[String], line: u64) -> Headings {
    let mut findings = Vec::new();
    let mut cells = Vec::with_capacity(layout.columns.len());
    let mut note = |column: &Column, violation: Violation| {
        findings.push(Finding { column: Some(column.name.clone()), ..violation.in_file(Some(line)) });
    };
    for column in &layout.columns {
        let found: Vec<usize> = (0..header.len()).filter(|index| is_heading_of(column, &header[*index])).collect();
        if found.is_empty() && column.required {
            note(column, absent(layout, column, header));
        }
        if found.len() > 1 {
            let headings = listed(found.iter().map(|index| header[*index].as_str()));
            let message = format!("more than one heading belongs to {}: {headings}; keep one of them", column.name);
            note(column, Violation::error(Rule::DuplicateColumn, message));
        }
        cells.push(found.first().copied());
    }
    let mapping = Mapping { cells };
    let unread: Vec<String> = header
        .iter()
        .map(|heading| heading.trim())
        .filter(|heading| !folded(heading).is_empty() && !is_read(layout, heading))
        .map(str::to_owned)
        .collect();
    // If the first line is no header, more findings about it would only mislead.
    let is_header = mapping.cell(layout.key).is_some() || hint(layout, header).is_none();
    let columns = layout.columns.iter().enumerate();
    let lacking = columns.filter(|(index, column)| mapping.cell(*index).is_none() && !column.required);
    for heading in unread.iter().filter(|heading| is_header && !has_one_of(heading, &OTHER_VALUES)) {
        if let Some(column) = anchor_column(layout, heading) {
            note(column, unread_anchor(layout, &mapping, column, heading));
        } else if let Some(Slip { column, name, .. }) =
            nearest(lacking.clone().map(|(_, column)| (column, heading)), LETTERS_PER_SLIP)
        {
            let message = format!("the heading `{heading}` is not read; rename it if {name} is meant");
            note(column, Violation::warning(Rule::UnreadColumn, message).suggesting(Some(name.to_owned())));
        }
    }
    Headings { mapping, unread, findings }
}

/// Whether a heading belongs to a column of the layout.
pub fn is_read(layout: &Layout, heading: &str) -> bool {
    let mut columns = layout.columns.iter();
    columns.any(|column| is_heading_of(column, heading))
}

/// Whether cells say the same as the header: where one file was put behind another, it stands there again.
pub fn is_repeated(header: &[String], cells: &[String]) -> bool {
    let is_same = |(cell, heading): (&String, &String)| letters(cell).eq(letters(heading));
    cells.len() == header.len() && cells.iter().zip(header).all(is_same)
}

/// The column that an unread heading speaks of, where it names one of the attributes that hold a person's anchor.
fn anchor_column<'a>(layout: &'a Layout, heading: &str) -> Option<&'a Column> {
    let anchors = layout.columns.iter().find(|column| column.kind == CellKind::ImmutableId)?;
    if has_one_of(heading, &["immutableid", "anchor", "consistencyguid", "base64"]) {
        return Some(anchors);
    }
    let is_guid_of_it = |column: &&Column| column.kind == CellKind::Guid && column.unique == anchors.unique;
    let guids = layout.columns.iter().find(is_guid_of_it)?;
    (folded(heading).ends_with("guid") || has_one_of(heading, &["objectguid"])).then_some(guids)
}

fn has_one_of(heading: &str, words: &[&str]) -> bool {
    let name = folded(heading);
    words.iter().any(|word| name.contains(word))
}

/// A file that has an old and a new anchor under headings of which only the old one is known would set the old one.
fn unread_anchor(layout: &Layout, mapping: &Mapping, column: &Column, heading: &str) -> Violation {
    let mut read = layout.columns.iter().enumerate().filter(|(index, _)| mapping.cell(*index).is_some());
    let rival = read.find(|(_, other)| other.unique == column.unique).map(|(_, other)| &other.name);
    let read_instead = rival.map(|rival| format!(", and {rival} is; take one of the two out"));
    let message = format!(
        "the heading `{heading}` looks like an anchor and is not read{}; to use it, rename it to {}",
        read_instead.unwrap_or_default(),
        column.name
    );
    let is_wanted = has_one_of(heading, &["new", "target", "desired", "wanted"]);
    let severity = if rival.is_some() && is_wanted { Severity::Error } else { Severity::Warning };
    let violation = Violation { severity, ..Violation::error(Rule::UnreadColumn, message) };
    violation.suggesting(Some(column.name.clone()))
}

fn absent(layout: &Layout, column: &Column, header: &[String]) -> Violation {
    let names = listed(column_names(column));
    let headings = listed(header.iter().map(|heading| heading.trim()));
    let message = format!("no heading is {names}; the headings are {headings}");
    let violation = |more: String| Violation::error(Rule::MissingColumn, format!("{message}; {more}"));
    if let Some(hint) = hint(layout, header) {
        return violation(hint.to_owned());
    }
    let unread = header.iter().filter(|heading| !is_read(layout, heading)).map(|heading| (column, heading));
    // More slips are forgiven here, since something must be said anyway.
    match nearest(unread, 2) {
        Some(Slip { name, heading, .. }) => {
            violation(format!("rename `{}` if that is it", heading.trim())).suggesting(Some(name.to_owned()))
        }
        None => Violation::error(Rule::MissingColumn, message),
    }
}

/// What a first line is that is no header.
fn hint(layout: &Layout, header: &[String]) -> Option<&'static str> {
    let is_name = |text: &str| is_read(layout, text);
    let is_table = |heading: &String| heading.split_whitespace().any(is_name);
    let is_list = |heading: &String| {
        let name = heading.split_once(':').map(|(name, _)| name);
        name.is_some_and(|name| is_name(name) || name.trim() == "dn")
    };
    let is = |name: &'static str| move |heading: &String| folded(heading) == name;
    let holds_delimiters = |heading: &String| heading.split([',', ';', '\t', '|']).any(is_name);
    let any = |is_so: &dyn Fn(&String) -> bool| header.iter().any(is_so);
    let hints = [
        (
            any(&is("pageheaderentry")),
            "Format-Table stood before Export-Csv, which then exports its layout; take it out and export again",
        ),
        (
            header.len() == 1 && any(&is("length")),
            "Export-Csv was given texts and exported their length; give it the objects (Select-Object)",
        ),
        (
            any(&is_list),
            "the file has a line per attribute, as Format-List and LDIF have; export it as CSV (Export-Csv, csvde)",
        ),
        (
            any(&holds_delimiters),
            "the whole line stands in quotes and so is one cell; take the quotes around each line away",
        ),
        (any(&is_table), "the file looks like a table on the screen (Format-Table); export it as CSV (Export-Csv)"),
        (any(&|heading| heading.contains('@')), "the first line looks like data, so the header itself may be missing"),
    ];
    hints.into_iter().find(|(is_so, _)| *is_so).map(|(_, hint)| hint)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
    if names.len() > HEADINGS_TOLD_MAX {
        names.truncate(HEADINGS_TOLD_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

fn column_names(column: &Column) -> impl Iterator<Item = &str> {
    std::iter::once(&column.name).chain(&column.aliases).map(String::as_str)
}

/// The names that a heading can stand for: the one in brackets, and the whole.
fn candidates(heading: &str) -> [String; 2] {
    let bracketed = heading.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(name, _)| name);
    let whole = folded(heading);
    let bracketed = folded(bracketed);
    [if bracketed.is_empty() { whole.clone() } else { bracketed }, whole]
}

fn folded(heading: &str) -> String {
    letters(heading).collect()
}

fn letters(heading: &str) -> impl Iterator<Item = char> {
    heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// A heading that is nearly a column's name.
struct Slip<'a> {
    column: &'a Column,
    name: &'a str,
    heading: &'a str,
}

/// Of these columns and headings, the two that differ least: by letters added, left out, changed or turned round, of which there
/// may be one in so many.
fn nearest<'a>(pairs: impl Iterator<Item = (&'a Column, &'a String)>, letters_per_slip: usize) -> Option<Slip<'a>> {
    let slips = |name: &str, heading: &str| {
        let candidates = candidates(heading).into_iter();
        let short = candidates.filter(|candidate| candidate.chars().count() <= HEADING_CHARS_MAX);
        short.map(|candidate| strsim::osa_distance(&folded(name), &candidate)).min()
    };
    let named =
        pairs.flat_map(|(column, heading)| column_names(column).map(move |name| Slip { column, name, heading }));
    let counted = named.filter_map(|slip| Some((slips(slip.name, slip.heading)?, slip)));
    let (slips, slip) = counted.min_by_key(|(slips, _)| *slips)?;
    (slips * letters_per_slip <= letters(slip.heading).count()).then_some(slip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let column = |name: &str, kind, required, aliases: &[&str]| Column {
            name: name.into(),
            kind,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            required,
            unique: None,
        };
        let anchor = |name: &str, kind, aliases: &[&str]| Column {
            unique: Some("ImmutableID".into()),
            ..column(name, kind, false, aliases)
        };
        let columns = vec![
            column("upn", CellKind::Upn, true, &["UserPrincipalName", "User principal name"]),
            anchor("immutable_id", CellKind::ImmutableId, &[]),
            anchor("object_guid", CellKind::Guid, &["objectGUID"]),
            column("object_id", CellKind::Guid, false, &["ObjectId"]),
        ];
        Layout { columns, key: 0 }
    }

    fn mapped(header: &[&str]) -> (Vec<Option<usize>>, Vec<Finding>) {
        let header: Vec<String> = header.iter().map(|heading| (*heading).to_owned()).collect();
        let headings = map(&layout(), &header, 1);
        (headings.mapping.cells, headings.findings)
    }

    #[test]
    fn headings_are_found_however_they_are_written() {
        for heading in [
            "upn",
            " UPN ",
            "user_principal-name",
            "\u{feff}UserPrincipalName",
            "User name [userPrincipalName] Required",
        ] {
            assert_eq!(
                mapped(&["x", heading, "Immutable ID"]),
                (vec![Some(1), Some(2), None, None], vec![]),
                "{heading}"
            );
        }
    }

    #[test]
    fn a_required_column_that_is_absent_is_an_error_with_the_nearest_heading() {
        let (cells, findings) = mapped(&["UserPrincipleName", "Department"]);
        assert_eq!((cells, findings.len()), (vec![None; 4], 1));
        let finding = &findings[0];
        assert_eq!((finding.rule.clone(), finding.severity, finding.row), (Rule::MissingColumn, Severity::Error, None));
        assert_eq!(finding.suggestion.as_deref(), Some("UserPrincipalName"));
        assert!(finding.message.contains("`Department`"), "{finding}");
        assert!(mapped(&["adele@contoso.com"]).1[0].message.contains("header itself may be missing"));
    }

    #[test]
    fn a_slip_in_the_name_of_an_optional_column_is_a_warning() {
        let (cells, findings) = mapped(&["upn", "imutable_id"]);
        assert_eq!(cells, [Some(0), None, None, None]);
        assert_eq!((findings[0].rule.clone(), findings[0].severity), (Rule::UnreadColumn, Severity::Warning));
        assert_eq!(mapped(&["upn", "display name"]).1, []);
        let (_, findings) = mapped(&["upn", "objectGIUD"]);
        assert_eq!((findings.len(), findings[0].suggestion.as_deref()), (1, Some("object_guid")));
    }

    #[test]
    fn a_heading_that_speaks_of_an_anchor_is_named_with_the_one_that_is_read() {
        for (heading, meant) in [
            ("mS-DS-ConsistencyGuid", "immutable_id"),
            ("NewImmutableId", "immutable_id"),
            ("Source Anchor (base64)", "immutable_id"),
            ("cloudSourceAnchor", "immutable_id"),
            ("AD objectGUID", "object_guid"),
            ("GUID", "object_guid"),
        ] {
            let (cells, findings) = mapped(&["upn", heading, "Department"]);
            assert_eq!(cells[1..], [None, None, None], "{heading}");
            let [finding] = findings.as_slice() else {
                panic!("{heading}: {findings:?}");
            };
            assert_eq!(finding.suggestion.as_deref(), Some(meant), "{heading}");
            assert_eq!(finding.severity, Severity::Warning, "{heading}");
            assert!(finding.message.contains(heading), "{finding}");
        }
        for heading in ["OldImmutableId", "immutable_id_before", "ExchangeGuid", "msExchMailboxGuid"] {
            assert_eq!(mapped(&["upn", heading]).1, [], "{heading}");
        }
    }

    #[test]
    fn a_new_anchor_beside_one_that_is_read_is_an_error() {
        let (_, findings) = mapped(&["upn", "immutable id", "NewImmutableId"]);
        assert_eq!((findings.len(), findings[0].severity, findings[0].row), (1, Severity::Error, None));
        let (_, findings) = mapped(&["upn", "objectGUID", "mS-DS-ConsistencyGuid"]);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning));
    }

    #[test]
    fn a_first_line_that_is_no_header_is_told_for_what_it_is() {
        for (header, expected) in [
            (&["UserPrincipalName   ImmutableId    "][..], "Format-Table"),
            (&["UserPrincipalName ImmutableId"], "Format-Table"),
            (&["upn,immutable_id"], "quotes"),
            (&["ClassId2e4f51ef21dd47e99d3c952918aff9cd", "pageHeaderEntry"], "Format-Table"),
            (&["Length"], "Select-Object"),
            (&["UserPrincipalName : a@contoso.com"], "Format-List"),
            (&["dn: CN=Anna", "OU=x", "DC=contoso"], "LDIF"),
            (&["a@contoso.com", "x"], "header itself may be missing"),
        ] {
            let (_, findings) = mapped(header);
            let [finding] = findings.as_slice() else {
                panic!("{header:?}: {findings:?}");
            };
            assert!(finding.message.contains(expected), "{finding}");
            assert_eq!(finding.suggestion, None, "{finding}");
        }
    }

    #[test]
    fn unread_headings_are_listed_once_each() {
        let header = ["upn", " Department ", "", "Ort"].map(str::to_owned);
        assert_eq!(map(&layout(), &header, 1).unread, ["Department", "Ort"]);
    }

    #[test]
    fn a_header_that_comes_again_is_known() {
        let texts = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let header = texts(&["upn", "Object GUID"]);
        assert!(is_repeated(&header, &texts(&["\u{feff}UPN", "objectguid"])));
        assert!(!is_repeated(&header, &texts(&["a@contoso.com", "objectguid"])));
        assert!(!is_repeated(&header, &texts(&["upn"])));
    }

    #[test]
    fn two_headings_for_one_column_are_an_error() {
        let (_, findings) = mapped(&["upn", "UserPrincipalName"]);
        assert_eq!((findings[0].rule.clone(), findings[0].severity), (Rule::DuplicateColumn, Severity::Error));
    }

    #[test]
    fn values_are_read_again_from_cells() {
        let mapping = map(&layout(), &["immutable id".into(), "upn".into()], 1).mapping;
        let stored = serde_json::to_string(&mapping).unwrap();
        let mapping: Mapping = serde_json::from_str(&stored).unwrap();
        let values = mapping.values(&layout(), &["System.Byte[]".into(), "a@b.com".into()]);
        assert_eq!(values, [Some("a@b.com".into()), None, None, None]);
        assert_eq!(mapping.values(&layout(), &[]), [None, None, None, None]);
    }
}
