//! One row's state machine: a pure function `(state, event) -> (state, effect)`.
//!
//! It is level-triggered. It never computes what a row needs: whoever drives it observes the target, lets the job decide,
//! and reports its [`Decision`](crate::job::Decision). The machine decides what follows from it: which write may leave and when, what
//! doubt means, when to give up, and when to undo. It does no I/O and knows no clock, no job text and no target, so that a
//! test can drive it through every sequence of replies. A live run, a resumed run and the verification of the journal
//! all go through the same door, [`RowState::on`].

mod event;
mod problem;
mod state;
mod transition;

#[cfg(test)]
mod table_tests;

pub use event::{Effect, Event, Forecast, Look, Observation};
pub use problem::PROBLEMS;
pub use state::{Active, Attempt, Begun, Course, Ended, Ending, Outcome, Phase, Progress, RowState};
pub use transition::{IllegalMove, Move, Rules, StepTraits};
