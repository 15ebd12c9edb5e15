//! What an operator can ask of a run under way, and the answer.

use super::stop::AdmissionPause;
use crate::services::budget::Quota;
use tokio::sync::oneshot;

/// What an operator can ask of a run under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin no more rows, bring everybody to safety, then wait. With the reason.
    Pause(String),
    /// Begin rows again.
    Continue,
    /// Send at most so many writes, for the life of this process.
    Pace(Quota),
    /// Begin no more rows, bring everybody to safety, then stop. With the reason.
    Drain(String),
    /// The same, for a signal: also say what the next one abandons. With the reason.
    Interrupt(String),
    /// Stop at once; the journal is good.
    StopNow(String),
}

/// Why a command was not followed. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A run that stops cannot be held or set going again.
    #[error("it is stopping already ({0}); `cutover resume` continues it afterwards")]
    Stopping(String),
    /// It still waits for the target or for an answer on its terminal.
    #[error("it has not begun yet; try again once it has, or end it with `cutover drain`")]
    NotBegun,
    /// It runs.
    #[error("it is not paused")]
    NotPaused,
    /// It is held by something else.
    #[error("it is not paused, it is {0}")]
    PausedOtherwise(AdmissionPause),
    /// More than the connection file allows.
    #[error(
        "{wanted} is more than the connection file allows, which is {allowed}; \
         write a rate that stays within it, or change `writes` there and resume"
    )]
    TooFast {
        /// What was asked for.
        wanted: Quota,
        /// What the connection file says.
        allowed: Quota,
    },
}

/// Whether a command was followed.
pub type Answer = Result<(), Refused>;

/// A command on its way, with who waits for the answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// A command, and where its answer will come.
    #[must_use]
    pub fn new(command: Command) -> (Asked, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (Asked { command, answer }, answered)
    }
}

impl From<Command> for Asked {
    /// A command whose answer nobody waits for.
    fn from(command: Command) -> Asked {
        Asked::new(command).0
    }
}
