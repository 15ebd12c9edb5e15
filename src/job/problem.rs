//! The kinds of problems that a job itself brings up for a row.

use super::expr::EvalError;
use crate::core::{NOT_AGAIN, Problem, ProblemKind, UNDONE};

pub(crate) const OFF_GOAL: ProblemKind = ProblemKind {
    code: "OffGoal",
    meaning: "None of the job's steps is needed any more, and still the person is not at the goal.",
    changed: UNDONE,
    again: NOT_AGAIN,
    advice: "look at the person in the portal; something else changed them, or the job's steps do not lead to its goal",
};

pub(super) const CHANGED_BY_OTHERS: ProblemKind = ProblemKind {
    code: "ChangedByOthers",
    meaning: "A value that was to be put back is neither the one from before nor the one that this run wrote.",
    changed: "what others changed is left as it is; what else this run had changed is undone where that is possible",
    again: NOT_AGAIN,
    advice: "find out who, then decide by hand",
};

const JOB_EXPRESSION: ProblemKind = ProblemKind {
    code: "JobExpression",
    meaning: "An expression of the job cannot be evaluated for this row.",
    changed: UNDONE,
    again: NOT_AGAIN,
    advice: "correct the job, or leave the row out",
};

const ADDRESS: ProblemKind = ProblemKind {
    code: "Address",
    meaning: "A value of the row that is part of an address is empty, `.` or `..`, so that the address would be that of something else.",
    changed: UNDONE,
    again: NOT_AGAIN,
    advice: "correct the value in the file",
};

/// The kinds that a job brings up itself.
pub const PROBLEMS: [&ProblemKind; 4] = [&OFF_GOAL, &CHANGED_BY_OTHERS, &JOB_EXPRESSION, &ADDRESS];

impl EvalError {
    /// The same, as the report tells it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            EvalError::Expression { .. } => &JOB_EXPRESSION,
            EvalError::Address { .. } => &ADDRESS,
        };
        kind.problem(self.to_string())
    }
}
