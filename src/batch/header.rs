//! Finding the job's columns in the header of a file.
//!
//! Headings are compared without case, spaces and punctuation, since every program writes them its own way; Entra's
//! bulk templates put the real name in brackets. The result is small and can be stored: with it the values of a row
//! can be read again from its cells, long after the file is gone.

use serde::{Deserialize, Serialize};

use super::column::{Column, Layout, Value};
use super::finding::{Fault, Finding};
use super::rule::Rule;

/// How many headings a message repeats; a file may have a thousand.
const HEADINGS_TOLD_MAX: usize = 12;
/// Longest heading that is compared letter by letter, in characters; longer ones are prose.
const HEADING_CHARS_MAX: usize = 64;

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
    pub fn values(&self, layout: &Layout, cells: &[String]) -> Vec<Option<Value>> {
        self.read(layout, cells, |_, _, _| {})
    }

    /// As [`Mapping::values`], telling what is wrong with which cell.
    pub fn read(
        &self,
        layout: &Layout,
        cells: &[String],
        mut tell: impl FnMut(&Column, &str, Fault),
    ) -> Vec<Option<Value>> {
        let read_one = |(index, column): (usize, &Column)| {
            let cell = cells.get(self.cell(index)?)?;
            let (value, faults) = column.read(cell);
            faults
                .into_iter()
                .for_each(|fault| tell(column, cell, fault));
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

/// Finds the layout's columns among the headings. `line` is the header's line in the file.
pub fn map(layout: &Layout, header: &[String], line: u64) -> (Mapping, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut cells = Vec::with_capacity(layout.columns.len());
    for column in &layout.columns {
        let found: Vec<usize> = (0..header.len())
            .filter(|index| is_heading_of(column, &header[*index]))
            .collect();
        let finding = match found.as_slice() {
            [] => missing(layout, column, header),
            [_] => None,
            [_, _, ..] => Some(doubled(
                column,
                found.iter().map(|index| header[*index].as_str()),
            )),
        };
        findings.extend(
            finding
                .map(|fault| fault.in_file(Some(line)))
                .map(|finding| Finding {
                    column: Some(column.name.clone()),
                    ..finding
                }),
        );
        cells.push(found.first().copied());
    }
    (Mapping { cells }, findings)
}

fn doubled<'a>(column: &Column, headings: impl Iterator<Item = &'a str>) -> Fault {
    Fault::error(
        Rule::DuplicateColumn,
        format!(
            "more than one heading belongs to {}: {}; keep one of them",
            column.name,
            listed(headings)
        ),
    )
}

/// A required column that is absent is an error. An optional one may be; but a heading that is almost its name is
/// more likely a slip of the pen than another column.
fn missing(layout: &Layout, column: &Column, header: &[String]) -> Option<Fault> {
    let unused = header.iter().filter(|heading| {
        !layout
            .columns
            .iter()
            .any(|other| is_heading_of(other, heading))
    });
    let nearest = unused
        .map(|heading| (distance_to(column, heading), heading))
        .min_by_key(|(distance, _)| *distance);
    let near = |letters_per_slip: usize| {
        nearest
            .filter(|(distance, heading)| {
                distance * letters_per_slip <= folded(heading).chars().count()
            })
            .map(|(_, heading)| heading.trim().to_owned())
    };
    if column.required {
        // Generous, since something must be said anyway.
        return Some(absent(column, header).suggesting(near(2)));
    }
    let heading = near(4)?;
    Some(Fault::warning(
        Rule::MissingColumn,
        format!(
            "the heading {heading} is not read; rename it if {} is meant",
            column.name
        ),
    ))
}

fn absent(column: &Column, header: &[String]) -> Fault {
    let names = listed(column_names(column));
    let headings = listed(header.iter().map(|heading| heading.trim()));
    let hint = if header.iter().any(|heading| heading.contains('@')) {
        "; the first line looks like data, so the header itself may be missing"
    } else {
        ""
    };
    Fault::error(
        Rule::MissingColumn,
        format!("no heading is {names}; the headings are {headings}{hint}"),
    )
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names
        .filter(|name| !name.is_empty())
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > HEADINGS_TOLD_MAX {
        names.truncate(HEADINGS_TOLD_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

fn column_names(column: &Column) -> impl Iterator<Item = &str> {
    std::iter::once(&column.name)
        .chain(&column.aliases)
        .map(String::as_str)
}

/// The names that a heading can stand for: the one in brackets, and the whole.
fn candidates(heading: &str) -> [String; 2] {
    let bracketed = heading
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(name, _)| name);
    let whole = folded(heading);
    let bracketed = folded(bracketed);
    [
        if bracketed.is_empty() {
            whole.clone()
        } else {
            bracketed
        },
        whole,
    ]
}

fn folded(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn distance_to(column: &Column, heading: &str) -> usize {
    let names = candidates(heading);
    let distances = column_names(column).flat_map(|name| {
        names
            .each_ref()
            .map(|candidate| distance(&folded(name), candidate))
    });
    distances.min().unwrap_or(usize::MAX)
}

/// How many letters must be added, removed or changed to make one text of the other (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(HEADING_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(HEADING_CHARS_MAX).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::column::Kind;
    use crate::batch::finding::Severity;

    fn layout() -> Layout {
        let column = |name: &str, kind, required, aliases: &[&str]| Column {
            name: name.into(),
            kind,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            required,
            unique: None,
        };
        let columns = vec![
            column(
                "upn",
                Kind::Upn,
                true,
                &["UserPrincipalName", "User principal name"],
            ),
            column("immutable_id", Kind::ImmutableId, false, &[]),
        ];
        Layout { columns, key: 0 }
    }

    fn mapped(header: &[&str]) -> (Vec<Option<usize>>, Vec<Finding>) {
        let header: Vec<String> = header.iter().map(|heading| (*heading).to_owned()).collect();
        let (mapping, findings) = map(&layout(), &header, 1);
        (mapping.cells, findings)
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
                (vec![Some(1), Some(2)], vec![]),
                "{heading}"
            );
        }
    }

    #[test]
    fn a_required_column_that_is_absent_is_an_error_with_the_nearest_heading() {
        let (cells, findings) = mapped(&["UserPrincipleName", "Department"]);
        assert_eq!((cells, findings.len()), (vec![None, None], 1));
        let finding = &findings[0];
        assert_eq!(
            (finding.rule.clone(), finding.severity, finding.row),
            (Rule::MissingColumn, Severity::Error, None)
        );
        assert_eq!(finding.suggestion.as_deref(), Some("UserPrincipleName"));
        assert!(finding.message.contains("`Department`"), "{finding}");
        assert!(
            mapped(&["adele@contoso.com"]).1[0]
                .message
                .contains("header itself may be missing")
        );
    }

    #[test]
    fn a_slip_in_the_name_of_an_optional_column_is_a_warning() {
        let (cells, findings) = mapped(&["upn", "imutable_id"]);
        assert_eq!(cells, [Some(0), None]);
        assert_eq!(
            (findings[0].rule.clone(), findings[0].severity),
            (Rule::MissingColumn, Severity::Warning)
        );
        assert_eq!(mapped(&["upn", "display name"]).1, []);
    }

    #[test]
    fn two_headings_for_one_column_are_an_error() {
        let (_, findings) = mapped(&["upn", "UserPrincipalName"]);
        assert_eq!(
            (findings[0].rule.clone(), findings[0].severity),
            (Rule::DuplicateColumn, Severity::Error)
        );
    }

    #[test]
    fn values_are_read_again_from_cells() {
        let (mapping, _) = map(&layout(), &["immutable id".into(), "upn".into()], 1);
        let stored = serde_json::to_string(&mapping).unwrap();
        let mapping: Mapping = serde_json::from_str(&stored).unwrap();
        let values = mapping.values(&layout(), &["System.Byte[]".into(), "a@b.com".into()]);
        assert_eq!(values, [Some(Value::Upn("a@b.com".into())), None]);
        assert_eq!(mapping.values(&layout(), &[]), [None, None]);
    }

    #[test]
    fn the_distance_counts_slips() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("upn", "pun", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric(a in "[ab]{0,6}", b in "[ab]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
        }
    }
}
