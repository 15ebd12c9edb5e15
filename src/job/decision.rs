//! What a state means for a row: the job's word, as the machine takes it and the journal keeps it.

use super::StepId;
use crate::core::Problem;
use serde::{Deserialize, Serialize};

/// What a state means for a row, in the direction it is going. On the way back, "step" is a step to be undone and "goal" is
/// the before-image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// This step is the first one that is needed.
    Next(StepId),
    /// No step is needed and the goal holds.
    Goal,
    /// No step is needed and the goal does not hold, or a value in the way is not ours to overwrite.
    Adrift(Problem),
    /// All of these speak against the row; there is at least one.
    Refused(Vec<Problem>),
    /// A step that leaves no trace is in doubt, and must not be repeated.
    Unknowable(Problem),
}
