//! Exit codes, and errors that end a command.

use super::errors;
use crate::core::{Problem, ProblemKind};
use crate::journal::{RunRecord, RunState, Stop};
use crate::machine::Outcome;
use crate::progress::fail;
use miette::Diagnostic;
use std::fmt::Write as _;
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

/// Why a command ended early, for the person at the terminal: `error[CODE]: message`, and what to do. `cutover explain` knows the
/// code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    code: String,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A diagnostic that ends the command with this code.
    pub fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Failure {
        let code = error.code().map(|code| code_of_room(&code.to_string()));
        Failure {
            exit,
            code: code.unwrap_or_else(|| errors::of_exit(exit).code.to_owned()),
            message: in_words(&error),
            help: error.help().map(|help| help.to_string()),
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
        Failure {
            exit,
            code: errors::of_exit(exit).code.to_owned(),
            message: message.into(),
            help: Some(help.into()),
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

    /// What stopped a row or a run, which has a code already.
    pub fn of_problem(exit: Exit, problem: &Problem) -> Failure {
        Failure {
            exit,
            code: problem.code.clone(),
            message: problem.message.clone(),
            help: Some(problem.advice.clone()),
        }
    }

    /// The same with a code of its own instead of its exit code's.
    #[must_use]
    pub fn coded(self, kind: &ProblemKind) -> Failure {
        Failure {
            code: kind.code.to_owned(),
            ..self
        }
    }

    /// The same, naming what it is about.
    #[must_use]
    pub fn about(self, subject: &str) -> Failure {
        Failure {
            message: format!("{subject} {}", self.message),
            ..self
        }
    }

    /// Shows it and returns the exit code.
    #[must_use]
    pub fn tell(self) -> Exit {
        fail(&self.code, &self.message, self.help.as_deref());
        self.exit
    }
}

/// `journal::no_run` as operators write it: `journal-no-run`.
pub(super) fn code_of_room(path: &str) -> String {
    path.replace("::", "-").replace('_', "-")
}

/// The error, why it came up, and what belongs to it, such as the mistakes of a file.
fn in_words(error: &dyn Diagnostic) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        // Some errors have their cause in their own words.
        if !words.contains(&cause_words) {
            let _ = write!(words, ": {cause_words}");
        }
        source = cause.source();
    }
    for related in error.related().into_iter().flatten() {
        let related_words = related.to_string();
        // A single one is told in the sentence itself.
        if !words.contains(&related_words) {
            let _ = write!(words, "\n  {related_words}");
        }
        if let Some(help) = related.help() {
            let _ = write!(words, "\n    {help}");
        }
    }
    words
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
            | JournalError::NotAllowed { .. }
            | JournalError::Lock(_) => Exit::Unusable,
            JournalError::Log(_)
            | JournalError::Commit(_)
            | JournalError::Store(_)
            | JournalError::Entry(_)
            | JournalError::Checkpoint(_)
            | JournalError::NoBeginning
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
