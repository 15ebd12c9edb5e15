//! Why a command ended early, for the person at the terminal: `error[CODE]: message`, and what to do. `explain.toml` explains the
//! codes, those of commands and those that the rooms below give their errors.

use super::Exit;
use crate::core::Problem;
use crate::progress::fail;
use miette::Diagnostic;
use serde::Deserialize;
use std::collections::BTreeMap;
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
        let code = code.unwrap_or_else(|| default_code(exit).to_owned());
        Failure { exit, code, message: in_words(&error), help: error.help().map(|help| help.to_string()) }
    }

    /// Bad usage, input, job or configuration, found by a command. `explain.toml` has a page of the code.
    pub fn usage(code: &str, message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure { code: code.to_owned(), ..Failure::with(Exit::Unusable, message, help) }
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
        Failure { code: problem.code.clone(), ..Failure::with(exit, &problem.message, &problem.advice) }
    }

    /// The same where somebody cannot sign in.
    #[must_use]
    pub(super) fn if_exposed(self, exposed: bool) -> Failure {
        Failure { exit: self.exit.if_exposed(exposed), ..self }
    }

    /// The same, naming what it is about.
    #[must_use]
    pub fn about(self, subject: &str) -> Failure {
        Failure { message: format!("{subject} {}", self.message), ..self }
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
        Exit::Good | Exit::Findings | Exit::Unusable => "usage",
        Exit::Requested => "stopped",
        Exit::Fault | Exit::Stranded => "fault",
        Exit::Program => "internal",
    }
}

/// `journal::no_run` as operators see it: `journal-no-run`.
fn code_of_room(path: &str) -> String {
    path.replace("::", "-").replace('_', "-")
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

impl<E: Diagnostic + Send + Sync + 'static> From<E> for Failure {
    /// Of an error as a room reports it: its page says whether anything can have been written.
    fn from(error: E) -> Failure {
        let code = error.code().map(|code| code_of_room(&code.to_string()));
        let may_have_written = code.is_some_and(|code| ErrorPages::read().during_a_run.contains_key(&code));
        Failure::new(if may_have_written { Exit::Fault } else { Exit::Unusable }, error)
    }
}

/// `explain.toml`: meaning and advice, by code.
#[derive(Default, Deserialize)]
pub(super) struct ErrorPages {
    pub before_a_run: BTreeMap<String, [String; 2]>,
    pub during_a_run: BTreeMap<String, [String; 2]>,
    pub exit_code: BTreeMap<String, [String; 2]>,
}

impl ErrorPages {
    pub fn read() -> ErrorPages {
        // A test reads it, so it has no mistakes.
        toml::from_str(include_str!("explain.toml")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What `code(…)` names anywhere in the source.
    fn codes_of_rooms(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_of_rooms(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(between(&text, "code(", ')').filter(|code| code.contains("::")));
            }
        }
    }

    fn between<'t>(text: &'t str, begin: &'t str, end: char) -> impl Iterator<Item = String> + 't {
        let parts = text.split(begin).skip(1);
        let codes = parts.filter_map(move |part| part.split_once(end));
        let is_code = |code: &&str| {
            let mut letters = code.chars();
            letters.all(|c| c.is_ascii_lowercase() || "_:-".contains(c))
        };
        codes.map(|(code, _)| code).filter(is_code).map(str::to_owned)
    }

    /// Every code in the source has a page, and no page is of a code that nothing prints.
    #[test]
    fn codes_and_pages_are_the_same() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut of_rooms = BTreeSet::new();
        codes_of_rooms(&source, &mut of_rooms);
        let mut codes: BTreeSet<String> = of_rooms.iter().map(|code| code_of_room(code)).collect();
        assert!(codes.contains("journal-no-run"), "{codes:?}");
        codes.extend(["usage", "stopped", "fault", "internal"].map(str::to_owned));
        for entry in std::fs::read_dir(source.join("cli")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            let text = text.split("#[cfg(test)]").next().unwrap();
            let calls = text.split("Failure::usage(").skip(1).map(str::trim_start);
            codes.extend(calls.filter_map(|call| Some(call.strip_prefix('"')?.split_once('"')?.0.to_owned())));
        }
        assert!(codes.contains("no-target"), "{codes:?}");
        let pages = ErrorPages::read();
        let pages = pages.before_a_run.keys().chain(pages.during_a_run.keys());
        let pages: BTreeSet<String> = pages.cloned().collect();
        let missing: Vec<_> = codes.difference(&pages).collect();
        assert!(missing.is_empty(), "without a page: {missing:?}");
        let stale: Vec<_> = pages.difference(&codes).collect();
        assert!(stale.is_empty(), "nothing prints {stale:?}");
    }
}
