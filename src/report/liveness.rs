//! Whether a process works on a run, and what it does.

use crate::journal::RunId;
use crate::runner::RunMode;
use crate::services::Binding;
use crate::services::budget::Quota;
use serde::{Deserialize, Serialize};

/// What a live process is doing with a run, where there is one.
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
    Live {
        /// Whether it starts rows, and why not.
        mode: RunMode,
        /// Whom it works on.
        under_way: UnderWay,
        /// Its budget of writes, which an operator may have lowered.
        writes: Quota,
        /// The budget that limits it at present.
        binding: Option<Binding>,
        /// Why it sends nothing at present, or less than it could.
        slow: Option<String>,
    },
}

impl Liveness {
    /// Of a run that no process works on.
    #[must_use]
    pub fn idle(taken_over_by: Option<RunId>) -> Liveness {
        taken_over_by.map_or(Liveness::Nobody, |by| Liveness::TakenOver { by })
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
