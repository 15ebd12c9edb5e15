//! What can happen to a row, and what the machine asks for in return.

use super::state::Attempt;
use crate::core::Problem;
use crate::job::{Decision, StepId};
use serde::{Deserialize, Serialize};

/// A fresh read of the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What it means.
    pub decision: Decision,
    /// The person cannot work in the state that was seen.
    pub exposed: bool,
}

/// What follows from a write that succeeded, by its predicted effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// What to do next.
    pub look: Look,
    /// The person cannot work in the predicted state.
    pub exposed: bool,
}

/// Whether the predicted state is good enough to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// This step is needed next; no read in between.
    Next(StepId),
    /// Nothing more is needed; verify.
    Rest,
    /// The effect cannot be predicted well enough: read first.
    Again,
}

/// What happened to a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The row may begin.
    Admitted,
    /// The input itself speaks against the row; it is never begun.
    Rejected(Problem),
    /// The target was read.
    Observed(Observation),
    /// The read does not show yet what we wrote ourselves, or nothing at all; the patience with that is not over.
    Lagging,
    /// The target refuses to be read for this row, and the patience with that is over.
    Unobservable(Problem),
    /// The intent of this attempt is on disk.
    Durable(Attempt),
    /// The write succeeded.
    Applied(Attempt, Forecast),
    /// The write was refused; it did not take effect. On the way back it is tried again later, as often as it may be.
    Refused(Attempt, Problem),
    /// The write did not take effect, and the row is not as it was thought to be: look again.
    Contended(Attempt, Problem),
    /// The write left, and whether it took effect is unknown.
    Doubted(Attempt, Problem),
    /// The process was started again with the row in this state.
    Recovered,
    /// Somebody wants a new try of a row that ended short of its goal.
    Retried {
        /// Who.
        by: String,
    },
    /// Somebody wants a row that is done put back to its before-image, for this reason.
    RolledBack(Problem),
}

/// What the machine asks its driver to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Read the target now.
    Observe,
    /// Read the target again after a while: the last read was behind our own write, or left a doubt, or a write was not taken
    /// that may be later.
    ObserveLater,
    /// Make the intent of this attempt durable, then say [`Event::Durable`].
    Persist(Attempt),
    /// Send the write of this attempt.
    Send(Attempt),
    /// Make the ending durable; the row is over.
    Finish,
    /// Nothing: the event belonged to an attempt that was given up, or the row waits to be admitted.
    Nothing,
}
