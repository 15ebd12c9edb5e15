//! Whether rows may begin: holding for a while, stopping for good, and the gate that keeps rows from beginning.

use crate::journal::{Stop, UnixMillis};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// What makes a run stop before its end, from the mildest to the gravest; a milder one never replaces a graver one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopKind {
    /// Somebody asked for it.
    Requested,
    /// More rows went wrong than the failure policy allows.
    Policy,
    /// The target refuses this program, or has not answered for too long.
    Target,
    /// The disk with the journal is full: what is kept back is enough for the rows under way.
    DiskFull,
    /// The journal failed: nothing more can be made durable.
    Journal,
    /// A fault of the program.
    Program,
}

/// Why a run stops before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// What makes it stop.
    pub kind: StopKind,
    /// The same, in words.
    pub text: String,
}

impl StopKind {
    /// This, with the reason in words.
    #[must_use]
    pub fn because(self, text: impl Into<String>) -> StopReason {
        StopReason { kind: self, text: text.into() }
    }

    /// Whether rows can still be brought to an end: not without a target or a journal.
    #[must_use]
    pub fn leaves_time(self) -> bool {
        match self {
            StopKind::Requested | StopKind::Policy | StopKind::DiskFull => true,
            StopKind::Target | StopKind::Journal | StopKind::Program => false,
        }
    }
}

impl StopReason {
    /// What the journal keeps of it.
    #[must_use]
    pub fn stop(&self) -> Stop {
        let text = self.text.clone();
        if self.kind == StopKind::Requested { Stop::Requested(text) } else { Stop::Fault(text) }
    }
}

/// Why no row begins for a while. Rows under way are brought to safety as when the run stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmissionPause {
    /// Somebody asked for it, and only somebody ends it. With the reason.
    Operator(String),
    /// It is not the time for it.
    Window {
        /// Which window, in words.
        window: String,
        /// When it opens again.
        until: UnixMillis,
        /// The same, for people.
        opens: String,
    },
}

impl fmt::Display for AdmissionPause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdmissionPause::Operator(why) => f.write_str(why),
            AdmissionPause::Window { window, until: _, opens } => {
                write!(f, "outside the window {window} until {opens}")
            }
        }
    }
}

/// Whether rows may begin, and why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RunMode {
    /// They may.
    #[default]
    Running,
    /// Not for a while.
    Paused(AdmissionPause),
    /// Not any more.
    Stopping(StopReason),
}

impl RunMode {
    /// Why the run stops, when it does.
    #[must_use]
    pub fn stopping(&self) -> Option<&StopReason> {
        match self {
            RunMode::Stopping(reason) => Some(reason),
            RunMode::Running | RunMode::Paused(_) => None,
        }
    }
}

/// How the run stands, where everybody can see it. Rows that have nothing begun stay where they are while it is closed.
#[derive(Debug, Clone)]
pub struct AdmissionGate(Arc<watch::Sender<RunMode>>);

impl Default for AdmissionGate {
    fn default() -> AdmissionGate {
        AdmissionGate(Arc::new(watch::Sender::new(RunMode::default())))
    }
}

impl AdmissionGate {
    /// Opens or closes it, as the run stands.
    pub fn set(&self, mode: RunMode) {
        self.0.send_replace(mode);
    }

    /// How the run stands.
    #[must_use]
    pub fn mode(&self) -> RunMode {
        self.0.borrow().clone()
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.0.borrow() != RunMode::Running
    }

    /// Waits until the run stops.
    pub async fn stopping(&self) {
        let mut mode = self.0.subscribe();
        // The sender lives as long as this gate.
        let _stopping = mode.wait_for(|mode| mode.stopping().is_some()).await;
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        let mut mode = self.0.subscribe();
        // The sender lives as long as this gate.
        let _closed = mode.wait_for(|now| *now != RunMode::Running).await;
    }
}
