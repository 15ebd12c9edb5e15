//! What a run tells those who watch it. They listen; none of them can ask the run anything or change it.

use super::stop::{AdmissionPause, RunMode, StopReason};
use crate::journal::{Counts, RowNumber, RunId};
use crate::machine::Outcome;
use crate::services::Binding;
use std::time::Duration;

/// Numbers of a run at one moment, shown everywhere from the same snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// All rows.
    pub rows: u64,
    /// Rows that ended.
    pub counts: Counts,
    /// Rows being worked on.
    pub in_flight: usize,
    /// People who cannot work now.
    pub exposed: u64,
    /// Writes a second, lately.
    pub writes_per_s: f64,
    /// Writes a second that the budget allows.
    pub budget_per_s: f64,
    /// Time left at the present pace, once that means something.
    pub left: Option<Duration>,
    /// Why nothing is being sent, and for how much longer.
    pub waiting: Option<(String, Duration)>,
    /// That a rate is lower than it could be, and why.
    pub eased: Option<String>,
    /// The budget that limits the run at present, if one does.
    pub binding: Option<Binding>,
    /// Whether rows may begin, and why not.
    pub mode: RunMode,
}

/// Whom a row is about, as people find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The physical line of the file that it begins at.
    pub line: u64,
    /// What identifies it.
    pub key: String,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The run began, or went on.
    Started {
        /// Its name.
        run: RunId,
        /// How it stands.
        snapshot: Snapshot,
    },
    /// A row ended.
    RowEnded {
        /// Which.
        row: RowNumber,
        /// Who it is.
        who: Who,
        /// How.
        outcome: Outcome,
        /// Why it needs a person, if it does.
        error_code: Option<String>,
    },
    /// Time went by.
    Tick(Snapshot),
    /// No row begins for a while.
    Paused(AdmissionPause),
    /// Rows begin again.
    GoingOn,
    /// The run drains: no row begins any more.
    Draining(StopReason),
    /// A signal asked for the drain, and a second one would end it.
    Interrupted {
        /// How it stands.
        snapshot: Snapshot,
        /// People who could not work if the process ended now.
        at_stake: u64,
    },
    /// The drain takes a while.
    StillDraining {
        /// What it waits for.
        snapshot: Snapshot,
        /// When the run gives the target up, if nothing is answered until then.
        gives_up_in: Option<Duration>,
    },
    /// The run stops without waiting for the rows under way.
    StoppingNow {
        /// Why.
        reason: StopReason,
        /// People who cannot work now, or may not be able to, and are left so.
        exposed: u64,
    },
    /// This process has ended its work.
    Ended(Snapshot),
}

/// Takes in events; asks nothing of the run and changes nothing in it.
pub trait Consumer: Send {
    /// Something happened.
    fn on_event(&mut self, event: &RunEvent);
}
