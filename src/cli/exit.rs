//! Exit codes, as the contract has them. `explain.toml` says what each means.

use crate::journal::{RunRecord, RunState, Stop};
use crate::machine::Outcome;
use crate::report::RunSummary;
use std::process::{ExitCode, Termination};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All rows are done or unchanged, or the command did what it says.
    Good = 0,
    /// Some rows need a person, or there are findings.
    Findings = 1,
    /// Bad usage, input, job or configuration; nothing was written to a target.
    Unusable = 2,
    /// Stopped on request; can be continued.
    Requested = 3,
    /// Stopped by the failure policy or a fault; can be continued.
    Fault = 4,
    /// Somebody is stranded, or cannot sign in as the process ends.
    Stranded = 5,
    /// A fault of the program.
    Program = 70,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The same, unless somebody cannot sign in as the process ends.
    #[must_use]
    pub(super) fn if_exposed(self, exposed: bool) -> Exit {
        match exposed && self != Exit::Program {
            true => Exit::Stranded,
            false => self,
        }
    }

    /// A fault found on the way out outweighs how the run ended, unless somebody is stranded.
    #[must_use]
    pub(super) fn or_worse(self, fault: Exit) -> Exit {
        match self {
            Exit::Stranded | Exit::Program => self,
            Exit::Good | Exit::Findings | Exit::Unusable | Exit::Requested | Exit::Fault => fault,
        }
    }

    /// How a command ends that was stopped so.
    #[must_use]
    pub(super) fn of_stop(stop: &Stop) -> Exit {
        match stop {
            Stop::Requested(_) => Exit::Requested,
            Stop::Fault(_) | Stop::Finished => Exit::Fault,
        }
    }

    /// How a command ends that has worked on a run.
    #[must_use]
    pub fn of_run(run: &RunRecord) -> Exit {
        let good = run.outcome_count(Outcome::Done) + run.outcome_count(Outcome::Unchanged);
        match &run.state {
            _ if run.outcome_count(Outcome::Stranded) > 0 => Exit::Stranded,
            RunState::Stopped(Stop::Requested(_)) | RunState::Open | RunState::Importing => Exit::Requested,
            RunState::Stopped(Stop::Fault(_)) => Exit::Fault,
            RunState::Stopped(Stop::Finished) | RunState::Finished if good == run.rows => Exit::Good,
            RunState::Stopped(Stop::Finished) | RunState::Finished => Exit::Findings,
        }
    }

    /// How a command ends that has only shown a run.
    #[must_use]
    pub(super) fn of_shown(summary: &RunSummary) -> Exit {
        Exit::Good.if_exposed(summary.left_exposed().next().is_some())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
