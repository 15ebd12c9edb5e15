//! Exit codes, and errors that end a command.

use crate::journal::{RunRecord, RunState, Stop};
use crate::machine::Outcome;
use crate::progress::say;
use miette::Diagnostic;
use std::process::{ExitCode, Termination};

/// How a command ends, as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All rows are done or unchanged, or the command did what it says.
    Good,
    /// Some rows need a person, or there are findings.
    Findings,
    /// Bad usage, input, job or configuration; nothing was written to a target.
    Unusable,
    /// Stopped on request; can be continued.
    Requested,
    /// Stopped by the failure policy or a fault; can be continued.
    Fault,
    /// Somebody is stranded, or cannot sign in as the process ends.
    Stranded,
    /// A fault of the program.
    Program,
}

impl Exit {
    /// All of them, by number.
    pub(super) const ALL: [Exit; 7] = [
        Exit::Good,
        Exit::Findings,
        Exit::Unusable,
        Exit::Requested,
        Exit::Fault,
        Exit::Stranded,
        Exit::Program,
    ];

    /// What it means, in a sentence.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Exit::Good => "Every row is done or unchanged, or the command did what it says.",
            Exit::Findings => {
                "The run ended, and some rows are failed, reverted, refused or held; of check, plan and verify: there are findings."
            }
            Exit::Unusable => {
                "Bad usage, input, job or configuration; nothing was written to any target."
            }
            Exit::Requested => {
                "Stopped before the end on request (signal, drain, window, deadline), with everybody able to sign in; else it is 5."
            }
            Exit::Fault => {
                "Stopped by the failure policy, or by a fault of the target or the journal that outlasted its patience."
            }
            Exit::Stranded => {
                "At least one row is stranded, or somebody cannot sign in as the process ends; this goes over every code below it.                  status and report end so, too, when they show such a run that no process works on."
            }
            Exit::Program => "A fault of the program.",
        }
    }

    /// What to do then.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Exit::Good => "nothing",
            Exit::Findings => "read outcomes.csv: `error` and `advice` of each row say what to do",
            Exit::Unusable => "read the last words on standard error, and mend what they name",
            Exit::Requested => "go on with `cutover resume`, or run the same line again",
            Exit::Fault => {
                "read the last words on standard error, mend the cause, then `cutover resume`, or run the same line again"
            }
            Exit::Stranded => {
                "at once: `cutover status` names who cannot sign in, and `cutover resume` brings everybody who is half way to                  their end; the stranded rows of outcomes.csv need a person"
            }
            Exit::Program => "the journal is whole: please report it, with the log",
        }
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Good => 0,
            Exit::Findings => 1,
            Exit::Unusable => 2,
            Exit::Requested => 3,
            Exit::Fault => 4,
            Exit::Stranded => 5,
            Exit::Program => 70,
        }
    }

    /// The same, unless somebody cannot sign in as the process ends.
    #[must_use]
    pub(super) fn if_exposed(self, exposed: bool) -> Exit {
        match self {
            Exit::Program => self,
            Exit::Good
            | Exit::Findings
            | Exit::Unusable
            | Exit::Requested
            | Exit::Fault
            | Exit::Stranded => match exposed {
                true => Exit::Stranded,
                false => self,
            },
        }
    }

    /// A fault found on the way out, over how the run ended, unless somebody is stranded.
    #[must_use]
    pub(super) fn or_worse(self, fault: Exit) -> Exit {
        match self {
            Exit::Stranded | Exit::Program => self,
            Exit::Good | Exit::Findings | Exit::Unusable | Exit::Requested | Exit::Fault => fault,
        }
    }

    /// How a run that stands like this ends its command.
    #[must_use]
    pub fn of_run(run: &RunRecord) -> Exit {
        if run.outcome_count(Outcome::Stranded) > 0 {
            return Exit::Stranded;
        }
        match &run.state {
            RunState::Stopped(Stop::Requested(_)) | RunState::Open | RunState::Importing => {
                Exit::Requested
            }
            RunState::Stopped(Stop::Fault(_)) => Exit::Fault,
            RunState::Stopped(Stop::Finished) | RunState::Finished => {
                let good = run.outcome_count(Outcome::Done) + run.outcome_count(Outcome::Unchanged);
                if good == run.rows {
                    Exit::Good
                } else {
                    Exit::Findings
                }
            }
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// Why a command ended early, for the person at the terminal.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    report: miette::Report,
}

impl Failure {
    /// A diagnostic that ends the command with this code.
    pub fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Failure {
        Failure {
            exit,
            report: miette::Report::new(error),
        }
    }

    /// Bad usage, input, job or configuration.
    pub fn unusable(error: impl Diagnostic + Send + Sync + 'static) -> Failure {
        Failure::new(Exit::Unusable, error)
    }

    /// The same, in words and with advice.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::said(Exit::Unusable, message, help)
    }

    /// In words and with advice.
    pub fn said(exit: Exit, message: impl Into<String>, help: impl Into<String>) -> Failure {
        let message = message.into();
        let help = help.into();
        Failure {
            exit,
            report: miette::miette!(help = help, "{message}"),
        }
    }

    /// A fault of the program.
    pub fn program(message: impl Into<String>) -> Failure {
        Failure::said(
            Exit::Program,
            message,
            "this is a fault of cutover; the journal is whole, please report it",
        )
    }

    /// The same where somebody cannot sign in.
    #[must_use]
    pub(super) fn if_exposed(self, exposed: bool) -> Failure {
        Failure {
            exit: self.exit.if_exposed(exposed),
            ..self
        }
    }

    /// Shows it and answers the exit code.
    #[must_use]
    pub fn tell(self) -> Exit {
        say(format_args!("{:?}", self.report));
        self.exit
    }
}

impl From<crate::journal::JournalError> for Failure {
    /// A journal that cannot be used, found before or beside a run.
    fn from(error: crate::journal::JournalError) -> Self {
        use crate::journal::JournalError;
        let exit = match &error {
            JournalError::NoRun { .. }
            | JournalError::UnknownRun { .. }
            | JournalError::AmbiguousRun { .. }
            | JournalError::TakenOver { .. }
            | JournalError::Lock(_) => Exit::Unusable,
            JournalError::Log(_)
            | JournalError::Commit(_)
            | JournalError::Store(_)
            | JournalError::Entry(_)
            | JournalError::Checkpoint(_)
            | JournalError::Impossible { .. }
            | JournalError::NoRoom { .. }
            | JournalError::LogGone { .. }
            | JournalError::File { .. } => Exit::Fault,
        };
        Failure::new(exit, error)
    }
}

impl From<crate::report::ReportError> for Failure {
    fn from(error: crate::report::ReportError) -> Self {
        Failure::new(Exit::Fault, error)
    }
}
