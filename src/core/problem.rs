//! Kinds of problems: what a code stands for, wherever it comes up. Each room that makes problems has a table of its kinds, and
//! both the reports and `cutover explain` read it, so that a code is explained by the very words it is used with.

use serde::{Deserialize, Serialize};

/// Why something did not work, in words for the person who reads the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// A short stable code: the service's own, or one of the program's or the job's.
    pub code: String,
    /// What happened, in a sentence without a full stop.
    pub message: String,
    /// What to do next.
    pub advice: String,
}

impl Problem {
    /// Several problems as one: the first one's code, the words and the advice of all. None of none.
    #[must_use]
    pub fn all(problems: Vec<Problem>) -> Option<Problem> {
        let mut problems = problems.into_iter();
        let mut all = problems.next()?;
        let mut advice = vec![std::mem::take(&mut all.advice)];
        for other in problems {
            all.message = format!("{}; also {other}", all.message);
            if !advice.contains(&other.advice) {
                advice.push(other.advice);
            }
        }
        all.advice = advice.join("; ");
        Some(all)
    }
}

/// What is told of a code that can stand beside a row.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The short stable code.
    pub code: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// Whether anything was changed.
    pub changed: &'static str,
    /// Whether the program tries again by itself.
    pub again: &'static str,
    /// What to do about it, in one line; the report's `advice`.
    pub advice: &'static str,
}

/// Said of problems that come up before anything is sent.
pub const NOTHING_CHANGED: &str = "nothing";
/// Said of problems that end a row.
pub const NOT_AGAIN: &str = "no; once the cause is fixed, run `unfinished.csv`";
/// Said of problems that may come up after a write.
pub const UNDONE: &str = "what this run had changed is undone; the row's outcome says whether that worked";

impl ProblemKind {
    /// A problem of this kind, with what happened this time.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { code: self.code.to_owned(), message: message.into(), advice: self.advice.to_owned() }
    }
}
