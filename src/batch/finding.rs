//! What the lint has to say: findings and their counts. A finding keeps no reference to the row, so it can outlive it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::values::{Rule, Severity, Violation};

/// Longest value that a finding repeats, in characters. A cell may hold a megabyte; a report line should not.
const VALUE_CHARS_MAX: usize = 300;

impl Violation {
    /// As a finding about the whole file.
    pub fn in_file(self, line: Option<u64>) -> Finding {
        Finding {
            line,
            row: None,
            column: None,
            rule: self.rule,
            severity: self.severity,
            value: None,
            message: self.message,
            suggestion: self.suggestion,
        }
    }

    /// As a finding about one row.
    pub fn in_row(self, row: u64, line: u64) -> Finding {
        Finding { row: Some(row), ..self.in_file(Some(line)) }
    }
}

/// One thing to tell about the file or about a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Physical line in the file, from 1. `None` when no one line is at fault.
    pub line: Option<u64>,
    /// Row in the data, from 1. `None` when the file is meant.
    pub row: Option<u64>,
    /// The job's name for the column.
    pub column: Option<String>,
    /// The rule that was broken.
    pub rule: Rule,
    /// What it means for the row or the file.
    pub severity: Severity,
    /// The value at fault as it stands in the file, shortened when very long.
    pub value: Option<String>,
    /// What is wrong and what to do, in one line, without the place.
    pub message: String,
    /// A value to use instead.
    pub suggestion: Option<String>,
}

impl Finding {
    /// The same finding, naming the column and the value it is about.
    pub fn about(self, column: &str, value: &str) -> Finding {
        Finding { column: Some(column.to_owned()), value: Some(shortened(value)), ..self }
    }

    /// Whether it refuses the row or the file.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            (None, Some(column)) => write!(f, "column {column}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " (suggested: {suggestion})")?;
        }
        write!(f, " [{}, {}]", self.rule, self.severity)
    }
}

/// How many findings there were, by severity and rule. Holds counts only, so it does not grow with the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingCounts {
    counts: BTreeMap<(Severity, Rule), u64>,
}

impl FindingCounts {
    /// Counts one finding.
    pub fn add(&mut self, finding: &Finding) {
        *self.counts.entry((finding.severity, finding.rule.clone())).or_default() += 1;
    }

    /// How many findings of a severity there were.
    pub fn count(&self, severity: Severity) -> u64 {
        self.of(severity).map(|(_, count)| count).sum()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The rules broken with a severity, in the order of [`Rule`], with their counts.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = (&Rule, u64)> {
        self.counts.iter().filter(move |((of, _), _)| *of == severity).map(|((_, rule), count)| (rule, *count))
    }

    fn part(&self, severity: Severity) -> Option<String> {
        let rules: Vec<String> = self.of(severity).map(|(rule, count)| format!("{count} {rule}")).collect();
        let total = self.count(severity);
        let plural = if total == 1 { "" } else { "s" };
        (total > 0).then(|| format!("{total} {severity}{plural} ({})", rules.join(", ")))
    }
}

impl fmt::Display for FindingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            [Severity::Error, Severity::Warning].into_iter().filter_map(|severity| self.part(severity)).collect();
        if parts.is_empty() {
            return f.write_str("no findings");
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank_in(line: u64) -> Finding {
        Violation::error(Rule::Blank, "no value").in_row(line - 1, line).about("upn", " ")
    }

    #[test]
    fn a_finding_reads_as_one_line() {
        let finding = Violation::error(Rule::Character, "a blank")
            .suggesting(Some("a@b.de".into()))
            .in_row(16, 17)
            .about("upn", "x");
        assert_eq!(finding.to_string(), "line 17, column upn: a blank (suggested: a@b.de) [Character, error]");
        assert_eq!(Violation::warning(Rule::Empty, "no rows").in_file(None).to_string(), "no rows [Empty, warning]");
    }

    #[test]
    fn a_finding_serializes_with_the_names_of_the_contract() {
        let json = serde_json::to_value(blank_in(3)).unwrap();
        let expected = serde_json::json!({
            "line": 3, "row": 2, "column": "upn", "rule": "Blank", "severity": "error",
            "value": " ", "message": "no value", "suggestion": null,
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::to_value(Rule::Job("NoGuests".into())).unwrap(), "NoGuests");
    }

    #[test]
    fn a_long_value_is_shortened_at_a_character() {
        let finding =
            Violation::error(Rule::Length, "long").in_row(1, 2).about("upn", &"ü".repeat(VALUE_CHARS_MAX + 1));
        assert_eq!(finding.value, Some(format!("{}…", "ü".repeat(VALUE_CHARS_MAX))));
    }

    #[test]
    fn the_summary_counts_by_severity_and_rule() {
        let mut summary = FindingCounts::default();
        assert_eq!(summary.to_string(), "no findings");
        summary.add(&blank_in(2));
        summary.add(&blank_in(3));
        summary.add(&Violation::error(Rule::Ragged, "short").in_row(4, 5));
        summary.add(&Violation::warning(Rule::TopLevelDomain, "odd").in_row(4, 5));
        assert_eq!(summary.to_string(), "3 errors (2 Blank, 1 Ragged), 1 warning (1 TopLevelDomain)");
        assert_eq!(summary.count(Severity::Error), 3);
    }
}
