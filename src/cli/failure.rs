//! Why a command ended early, for the person at the terminal: `error[CODE]: message`, and what to do.

use super::errors::{self, code_of_room};
use super::exit::Exit;
use crate::core::Problem;
use crate::journal::JournalError;
use crate::progress::fail;
use crate::report::ReportError;
use miette::Diagnostic;
use std::fmt::Write as _;

/// Why a command ended early. `cutover explain` knows the code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    code: String,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A diagnostic that ends the command with this exit code.
    pub fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Failure {
        let code = error.code().map(|code| code_of_room(&code.to_string()));
        Failure {
            exit,
            code: code.unwrap_or_else(|| default_code(exit).to_owned()),
            message: in_words(&error),
            help: error.help().map(|help| help.to_string()),
        }
    }

    /// Bad usage, input, job or configuration.
    pub fn unusable(error: impl Diagnostic + Send + Sync + 'static) -> Failure {
        Failure::new(Exit::Unusable, error)
    }

    /// The same, with a message and advice.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::with(Exit::Unusable, message, help)
    }

    /// A message and advice.
    pub fn with(exit: Exit, message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure { exit, code: default_code(exit).to_owned(), message: message.into(), help: Some(help.into()) }
    }

    /// A fault of the program.
    pub fn program(message: impl Into<String>) -> Failure {
        let help = "this is a fault of cutover; the journal is whole, please report it";
        Failure::with(Exit::Program, message, help)
    }

    /// What stopped a row or a run, which has a code already.
    pub fn of_problem(exit: Exit, problem: &Problem) -> Failure {
        Failure::with(exit, &problem.message, &problem.advice).coded(&problem.code)
    }

    /// The same where somebody cannot sign in.
    #[must_use]
    pub(super) fn if_exposed(mut self, exposed: bool) -> Failure {
        self.exit = self.exit.if_exposed(exposed);
        self
    }

    /// The same with a code of its own.
    #[must_use]
    pub fn coded(mut self, code: &str) -> Failure {
        code.clone_into(&mut self.code);
        self
    }

    /// The same, naming what it is about.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Failure {
        self.message = format!("{subject} {}", self.message);
        self
    }

    /// Prints it and returns the exit code.
    #[must_use]
    pub fn print(self) -> Exit {
        fail(&self.code, &self.message, self.help.as_deref());
        self.exit
    }
}

fn default_code(exit: Exit) -> &'static str {
    match exit {
        Exit::Good | Exit::Findings | Exit::Unusable => errors::USAGE,
        Exit::Requested => errors::STOPPED,
        Exit::Fault | Exit::Stranded => errors::FAULT,
        Exit::Program => errors::INTERNAL,
    }
}

/// The error, its causes, and what belongs to it, such as the mistakes in a file.
fn in_words(error: &dyn Diagnostic) -> String {
    let mut words = error.to_string();
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        // Some errors name their cause themselves.
        if !words.contains(&cause) {
            let _ = write!(words, ": {cause}");
        }
    }
    for related in error.related().into_iter().flatten() {
        let line = related.to_string();
        // A single one is part of the sentence.
        if !words.contains(&line) {
            let _ = write!(words, "\n  {line}");
        }
        if let Some(help) = related.help() {
            let _ = write!(words, "\n    {help}");
        }
    }
    words
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let exit = match &error {
            JournalError::NoRun { .. }
            | JournalError::UnknownRun { .. }
            | JournalError::AmbiguousRun { .. }
            | JournalError::TakenOver { .. }
            | JournalError::NotAllowed { .. }
            | JournalError::InUse { .. }
            | JournalError::InUseUnnamed { .. }
            | JournalError::Lock { .. }
            | JournalError::ExportOutput(_)
            | JournalError::NoExport
            | JournalError::UnreadableExport(_) => Exit::Unusable,
            JournalError::Log(_)
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

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Failure::new(Exit::Fault, error)
    }
}
