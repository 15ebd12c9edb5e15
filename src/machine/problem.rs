//! The problems that the machine itself makes.

use crate::core::{ProblemKind, UNDONE};

/// Own writes do not show within the patience for replication.
pub(super) const REPLICATION: ProblemKind = ProblemKind {
    code: "Replication",
    meaning: "The target took a write and never showed it, for longer than replicas may lag.",
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
