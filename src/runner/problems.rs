//! The kinds of problems that this room makes itself: what was found of a row's person, and what the on-premises directory says.
//! Those that a reply brings are in `services/`, those of the job and the machine there.

use crate::core::{NOT_AGAIN, NOTHING_CHANGED, Problem, ProblemKind};
use crate::services::{Class, Fault};

/// More than one account could be the row's person.
pub(super) const AMBIGUOUS: ProblemKind = ProblemKind {
    code: "Ambiguous",
    meaning: "More than one account could be the row's person, and nobody can tell which of them is meant.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "decide which one is meant, and rename or purge the other",
};

/// The on-premises directory has no account for a row.
pub(super) const NOT_IN_DIRECTORY: ProblemKind = ProblemKind {
    code: "NotInDirectory",
    meaning: "The on-premises directory has no account with what the row says.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "correct the value in the file or in the directory, or check `base` and what the account of [ad] may read; or give the \
             row what the directory would have said",
};

/// The on-premises directory has several accounts for a row.
pub(super) const SEVERAL_IN_DIRECTORY: ProblemKind = ProblemKind {
    code: "SeveralInDirectory",
    meaning: "The on-premises directory has several accounts with what the row says.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "decide which one is meant, and change the other; or give the row what the directory would have said",
};

/// The on-premises directory's value is of no use.
pub(super) const DIRECTORY_VALUE: ProblemKind = ProblemKind {
    code: "DirectoryValue",
    meaning: "The on-premises account has a value that cannot be used.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "correct or clear it in the on-premises directory, then run the row again",
};

/// A read has no answer that says anything.
pub(super) const NO_ANSWER: ProblemKind = ProblemKind {
    code: "NoAnswer",
    meaning: "A read was sent several times and got no clear reply.",
    changed: NOTHING_CHANGED,
    again: "yes, up to twelve times, and for as long as the target serves nobody; after that, run the row again",
    advice: "check the network and the proxy between here and the target, and Microsoft 365 admin center > Health > Service \
             health; then run the same line again",
};

/// What a read came to that a fault answered: no read leaves a doubt.
pub(super) fn unread(fault: &Fault) -> Problem {
    if fault.class == Class::InDoubt { NO_ANSWER.problem(fault.words()) } else { fault.problem() }
}

/// A run that executes a plan meets a row that the plan does not change.
pub(super) const NOT_PLANNED: ProblemKind = ProblemKind {
    code: "NotPlanned",
    meaning: "The run executes a plan, and the plan says nothing of this row, or that it would be refused.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: PLAN_ANEW,
};

/// A run that executes a plan finds a person otherwise than planned.
pub(super) const CHANGED_SINCE_PLAN: ProblemKind = ProblemKind {
    code: "ChangedSincePlan",
    meaning: "The run executes a plan, and the person or what would have to be done is not as it was when the plan was made.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: PLAN_ANEW,
};

/// An account or a value is another row's.
pub(super) const OTHER_ROW: ProblemKind = ProblemKind {
    code: "OtherRow",
    meaning: "The row's account, or what it needs, belongs to another row of the same run: one account is one row's.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "decide which of the two rows is right, and leave the other one out",
};

/// Rows that would have to go before each other.
pub(super) const CIRCLE: ProblemKind = ProblemKind {
    code: "Circle",
    meaning: "Rows of the run want what the others have, in a circle: each of them would have to go first.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "check whether the rows were mixed up; if they are meant, give one of them a third value in a run of its own, then run all of them again",
};

/// A row of a plan that is changed after another one.
pub(super) const AFTER_ROW: ProblemKind = ProblemKind {
    code: "AfterRow",
    meaning: "The row needs what another row of the file has or gives up, so it waits for that row.",
    changed: NOTHING_CHANGED,
    again: "yes: a run waits for the other row by itself",
    advice: "nothing has to be done: a run waits by itself",
};

/// Somebody is half way in another run.
pub(super) const OTHER_RUN: ProblemKind = ProblemKind {
    code: "OtherRun",
    meaning: "An earlier run in this journal has changed the row's account and has not come to an end with it.",
    changed: NOTHING_CHANGED,
    again: NOT_AGAIN,
    advice: "bring that run to its end first: `cutover resume RUN`",
};

const PLAN_ANEW: &str = "plan again, look at what the plan now says about this row, and run that plan";

/// All of them.
pub const PROBLEMS: [&ProblemKind; 11] = [
    &AMBIGUOUS,
    &NOT_PLANNED,
    &CHANGED_SINCE_PLAN,
    &NOT_IN_DIRECTORY,
    &SEVERAL_IN_DIRECTORY,
    &DIRECTORY_VALUE,
    &NO_ANSWER,
    &OTHER_ROW,
    &CIRCLE,
    &AFTER_ROW,
    &OTHER_RUN,
];
