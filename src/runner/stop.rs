//! Stopping: why a run stops before its end, and the gate that keeps rows from beginning.

use crate::journal::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a run stops before its end, from the mildest to the gravest; a milder reason never replaces a graver one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopReason {
    /// Somebody asked for it.
    Requested(String),
    /// More rows went wrong than the failure policy allows.
    Policy(String),
    /// The target refuses this program, or has not answered for too long.
    Target(String),
    /// The journal failed: nothing more can be made durable.
    Journal(String),
    /// A fault of the program.
    Program(String),
}

impl StopReason {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            StopReason::Requested(text)
            | StopReason::Policy(text)
            | StopReason::Target(text)
            | StopReason::Journal(text)
            | StopReason::Program(text) => text,
        }
    }

    /// What the journal keeps of it.
    #[must_use]
    pub fn stop(&self) -> Stop {
        match self {
            StopReason::Requested(text) => Stop::Requested(text.clone()),
            StopReason::Policy(text)
            | StopReason::Target(text)
            | StopReason::Journal(text)
            | StopReason::Program(text) => Stop::Fault(text.clone()),
        }
    }
}

/// Closed when the run drains: rows that have nothing begun stay where they are.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Closes it, for good.
    pub fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
