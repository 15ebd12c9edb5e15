//! What is wrong with a value: the rule's name and the severity decide what happens to the row, the words are for the person
//! who fixes the file.

use super::rule::Rule;
use serde::Serialize;

/// What a finding means for its row, or for the file when it names no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The row is refused, or the whole file when the finding names no row.
    Error,
    /// The row is used; somebody should look at it.
    Warning,
}

/// What is wrong with a value, by which rule, before anyone knows where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule that the value breaks.
    pub rule: Rule,
    /// Whether the value can still be used.
    pub severity: Severity,
    /// What is wrong and what to do, in one line, without the place.
    pub message: String,
    /// A value that passes the rules, if one can be told without guessing.
    pub suggestion: Option<String>,
}

impl Violation {
    /// A violation that refuses the row.
    pub fn error(rule: Rule, message: impl Into<String>) -> Violation {
        Violation { rule, severity: Severity::Error, message: message.into(), suggestion: None }
    }

    /// A violation that leaves the row usable.
    pub fn warning(rule: Rule, message: impl Into<String>) -> Violation {
        Violation { severity: Severity::Warning, ..Violation::error(rule, message) }
    }

    /// The same violation with a value to use instead.
    pub fn suggesting(self, suggestion: Option<String>) -> Violation {
        Violation { suggestion, ..self }
    }
}
