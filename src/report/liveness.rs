//! How a run stands, and what a process does that works on it.

use crate::journal::RunId;
use serde::{Deserialize, Serialize};

/// The word for how a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RunStatus {
    /// A process works on it.
    Running,
    /// An operator paused it.
    Paused,
    /// It stops once the rows under way have ended.
    Draining,
    /// It waits for its window.
    Waiting,
    /// Its process was killed.
    Interrupted,
    /// It stopped before the end.
    Stopped,
    /// Every row has ended.
    Finished,
}

/// Whether a process works on a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Liveness {
    /// No process works on it.
    Nobody,
    /// Nor will one: another run has taken over the people who were half way.
    TakenOver {
        /// That run.
        by: RunId,
    },
    /// A process works on it.
    Live(LiveRun),
}

/// What a process says of the run that it works on: what the journal does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveRun {
    /// The run.
    pub run: RunId,
    /// Running, paused, waiting or draining.
    pub state: RunStatus,
    /// Why it is not running.
    pub reason: Option<String>,
    /// Whom it works on.
    pub under_way: UnderWay,
    /// Writes a second that its budget allows; an operator may have lowered it.
    pub budget: f64,
    /// The budget that limits it at present.
    pub binding: Option<String>,
    /// Why it sends nothing at present, or less than it could.
    pub slow: Option<String>,
}

impl Liveness {
    /// Of a run that no process works on.
    #[must_use]
    pub fn idle(taken_over_by: Option<RunId>) -> Liveness {
        taken_over_by.map_or(Liveness::Nobody, |by| Liveness::TakenOver { by })
    }

    /// What the process says, if one works on it.
    #[must_use]
    pub fn live(&self) -> Option<&LiveRun> {
        match self {
            Liveness::Live(live) => Some(live),
            Liveness::Nobody | Liveness::TakenOver { .. } => None,
        }
    }
}

/// Whom a live process works on at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Rows begun and not ended.
    pub rows: u64,
    /// People among them who cannot work now.
    pub exposed: u64,
}
