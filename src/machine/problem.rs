//! Kinds of problems: what a code stands for, wherever it comes up. Each room that makes problems has a table of its kinds, and
//! both the reports and `cutover explain` read it, so that a code is explained by the very words it is used with.

use super::state::Problem;

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
pub const NOT_AGAIN: &str = "no; once the cause is mended, run `unfinished.csv`";
/// Said of problems that may come up after a write.
pub const UNDONE: &str =
    "what this run had changed is undone; the row's outcome says whether that worked";

impl ProblemKind {
    /// A problem of this kind, with what happened this time.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            code: self.code.to_owned(),
            message: message.into(),
            advice: self.advice.to_owned(),
        }
    }
}

/// Own writes do not show within the patience for replication.
pub(super) const REPLICATION: ProblemKind = ProblemKind {
    code: "Replication",
    meaning: "The target took a write and never showed it, longer than replicas may be behind.",
    changed: UNDONE,
    again: "yes, the person is read again and again until the job's patience is over; then no more",
    advice: "look at the person in the portal, then run the row again",
};

/// A write is accepted again and again, and the next read shows that it is needed still.
pub(super) const NO_EFFECT: ProblemKind = ProblemKind {
    code: "NoEffect",
    meaning: "A write was accepted as often as the job allows, and still the person is as before.",
    changed: UNDONE,
    again: "yes, up to the job's `attempts`; then no more",
    advice: "something else changes this person; find it, then run the row again",
};

/// The kinds that the machine itself makes.
pub const PROBLEMS: [&ProblemKind; 2] = [&REPLICATION, &NO_EFFECT];
