//! Job definitions: a whole state machine as data, in TOML.
//!
//! A job says which columns it reads, how a person is looked up, what is derived, what speaks against a row, which steps
//! there are with their conditions, requests and undos, and when the goal is reached. This room reads such a file
//! (`parse`), finds every mistake in it (`names`), and evaluates it for one row (`view`). It does no I/O but reading the
//! file, and it never decides what happens after a failure: that is the machine's.

mod claims;
mod decision;
mod diagram;
mod directory;
mod expr;
mod extra_reads;
mod filters;
mod fragments;
mod names;
mod parse;
mod permission;
mod problem;
mod quick;
mod scope;
mod sections;
mod settings;
mod shipped;
mod state;
mod steps;
mod text;
mod view;

#[cfg(test)]
mod parse_tests;
#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod preview_tests;
#[cfg(test)]
mod view_tests;

pub use claims::{Claimed, Claims, InTheWay};
pub use decision::Decision;
pub use diagram::mermaid;
pub use directory::{DirectoryEntry, DirectoryPlan, Kept, KeptForm};
pub use expr::{EvalError, Expr, to_json};
pub use extra_reads::ExtraRead;
pub use parse::parse;
pub use permission::Permission;
pub(crate) use problem::OFF_GOAL;
pub use problem::PROBLEMS;
pub use scope::{Name, Named, Scope};
pub use settings::{AppFacts, Settings};
pub use shipped::{FindError, JobFile, SHIPPED, find, text_of};
pub use state::State;
pub use text::{Json, Text};
pub use view::{Agreement, Hit, Operation, RowView, Write};

use crate::batch::{Digest, Layout};
use crate::core::config::Mistake;
use crate::core::{Method, counted};
use minijinja::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The place of a step in its job, from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u8);

/// A job that was read and found to be without mistakes.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, as on the command line.
    pub name: String,
    /// One line for lists.
    pub title: String,
    /// The text of the file; the journal keeps it, so that a run can be resumed without it.
    pub source: Arc<str>,
    /// SHA-256 of that text.
    pub digest: Digest,
    /// The columns it reads.
    pub layout: Layout,
    /// The names of these columns.
    column_names: Arc<[String]>,
    /// What can be set on the command line.
    pub params: Vec<Param>,
    /// What the app must be allowed to do.
    pub permissions: Vec<Permission>,
    /// What is read once a run.
    pub lookups: Vec<Lookup>,
    /// What speaks against the whole run, once the lookups were read.
    pub obstacles: Vec<Objection>,
    /// What is asked of the on-premises directory.
    pub directory: Option<DirectoryPlan>,
    /// Names derived from the row, in order.
    pub derived: Named,
    /// What speaks against a row before anything is read.
    pub checks: Vec<Objection>,
    /// How a row's present state is found.
    pub observe: Observe,
    /// Names derived from the observed state, in order.
    pub facts: Named,
    /// What no two rows may touch at once.
    pub claims: Option<Claims>,
    /// What speaks against a row once it was observed.
    pub refusals: Vec<Objection>,
    /// What somebody should know of a row, though it is worked on.
    pub warnings: Vec<Objection>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// When a person cannot work, seen from the observed state.
    pub exposed: Option<Expr>,
    /// When the row is finished.
    pub goal: Expr,
    /// The job's own columns of `outcomes.csv`.
    pub report: Vec<(String, Expr)>,
    /// Bounds in number and time.
    pub limits: Limits,
}

/// A parameter, set by `--set name=value`.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// The values it can have; any text when empty.
    pub values: Vec<String>,
    /// What it is when it is not set.
    pub default: String,
    /// What it does, for people.
    pub help: String,
}

/// Something that is read once a run.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its name, under `lookups.`.
    pub name: String,
    /// The path to read; all pages are followed.
    pub get: Text,
    /// What is kept, from `items`.
    pub value: Expr,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// A list: the path is read for `each` of its entries, and all that is found is taken together.
    pub each: Option<Expr>,
    /// The run can do without: the value is none where the target refuses this read.
    pub optional: bool,
}

/// Something that speaks against a row.
#[derive(Debug, Clone)]
pub struct Objection {
    /// A short stable code.
    pub code: String,
    /// When it does.
    pub when: Expr,
    /// Why, in words.
    pub reason: Text,
    /// What to do about it.
    pub advice: String,
    /// The accounts that have what the row wants. Where one of them is another row's that gives it up, the row waits for that.
    pub holders: Option<Expr>,
    /// What is observed instead, once they have given it up.
    pub freed: Vec<(Arc<str>, Value)>,
}

/// How a row's present state is found.
#[derive(Debug, Clone, Default)]
pub struct Observe {
    /// The properties that are kept; `select` in paths. One that the service leaves out is null.
    pub properties: Vec<Arc<str>>,
    /// The same as a path names them.
    select: Value,
    /// The looks, tried in order until one finds something.
    pub looks: Vec<LookAt>,
    /// What else is read about the person.
    pub extra_reads: Vec<ExtraRead>,
    /// What to do when several are found.
    pub if_several: Option<String>,
}

/// One way to find a row.
#[derive(Debug, Clone)]
pub struct LookAt {
    /// Where it looks, in words.
    pub name: String,
    /// When it makes sense.
    pub when: Option<Expr>,
    /// The path to read.
    pub get: Text,
    /// Another path for a service that does not support the first one's query.
    pub if_unsupported: Option<Text>,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// The answer is a list (all pages of it) rather than one object.
    pub list: bool,
    /// Which entries of it are this row.
    pub pick: Option<Expr>,
    /// What this look adds to the state.
    pub set: Vec<(Arc<str>, Value)>,
    /// What this look and the next one find is taken together: two finds are ambiguous.
    pub with_next: bool,
    /// How an entry is told from others where several are found; its id, where the job does not say.
    pub tell: Option<Text>,
    /// What to say of an entry that is not this row, where nobody else is found either.
    pub passed_over: Option<PassedOver>,
}

/// Somebody who may be the row's person, with nothing to show it.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// Who it is.
    pub reason: Text,
    /// What to do.
    pub advice: String,
}

/// A write as the job describes it.
#[derive(Debug, Clone)]
pub struct WritePlan {
    /// Its verb.
    pub method: Method,
    /// The path under the service's version root.
    pub path: Text,
    /// Its JSON body; one that comes to null as a whole is not sent.
    pub body: Option<Json>,
    /// What it changes in the observed state; the body, where the job does not say.
    pub effect: Vec<(Arc<str>, Json)>,
}

/// One change a job makes to a row.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it does, for people.
    pub title: String,
    /// When it is needed.
    pub when: Expr,
    /// What is sent.
    pub write: WritePlan,
    /// The effect cannot be predicted well enough to go on without a read.
    pub observe_after: bool,
    /// From this step on the person cannot work. The machine knows of a step only whether it exposes, and not in which state it
    /// does: one that exposes in some states alone is written as two.
    pub exposes: bool,
    /// With this step the person can work again.
    pub ends_exposure: bool,
    /// It leaves no trace that could be observed.
    pub once: Option<InDoubt>,
    /// How it is undone.
    pub undo: Option<Undo>,
    /// It does at once what these steps do one after the other, and is undone as they are.
    pub undone_as: Vec<StepId>,
    /// How it is done from the second try on, where the service may not know the first way.
    pub otherwise: Option<WritePlan>,
    /// What to do when the service says that somebody else has what the step asks for.
    pub if_taken: Option<String>,
    /// What to do when the service does not take what the step asks for.
    pub if_refused: Option<String>,
}

/// What to do when a step that leaves no trace is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDoubt {
    /// Do it again.
    Repeat,
    /// Leave it, and tell.
    Hold,
}

/// How a step is undone from the before-image.
#[derive(Debug, Clone)]
pub struct Undo {
    /// When it has to be, on freshly observed state.
    pub when: Expr,
    /// What is sent.
    pub write: WritePlan,
}

/// Bounds in number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most forward attempts of one step.
    pub attempts: u32,
    /// Most attempts of one undo.
    pub undo_attempts: u32,
    /// How long the target may take to show our own writes.
    pub replication: Duration,
    /// How long a write in doubt is looked for before it is sent again.
    pub doubt: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            attempts: 10,
            undo_attempts: 12,
            replication: Duration::from_secs(120),
            doubt: Duration::from_secs(10),
        }
    }
}

impl Job {
    /// Reads the parameters given on the command line, with the defaults for the others.
    ///
    /// # Errors
    /// Every parameter that the job does not have or that cannot have this value, in words.
    pub fn parameters(&self, given: &[(String, String)]) -> Result<BTreeMap<String, String>, Vec<String>> {
        let mut values: BTreeMap<String, String> =
            self.params.iter().map(|param| (param.name.clone(), param.default.clone())).collect();
        let mut wrong = Vec::new();
        for (name, value) in given {
            match self.params.iter().find(|param| param.name == *name) {
                None => wrong.push(self.no_such_parameter(name)),
                Some(param) if !param.accepts(value) => wrong
                    .push(format!("parameter `{name}` cannot be `{value}`: it is one of {}", param.values.join(", "))),
                Some(_) => {
                    values.insert(name.clone(), value.clone());
                }
            }
        }
        if wrong.is_empty() { Ok(values) } else { Err(wrong) }
    }

    fn no_such_parameter(&self, name: &str) -> String {
        let known: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
        format!("job `{}` has no parameter `{name}`; it has: {}", self.name, known.join(", "))
    }
}

impl Param {
    fn accepts(&self, value: &str) -> bool {
        self.values.is_empty() || self.values.iter().any(|known| known == value)
    }
}

/// A job file with mistakes: all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job {origin} has {}", counted(.mistakes.len() as u64, "mistake", "mistakes"))]
pub struct JobMistakes {
    /// The file, or the name of the shipped job.
    pub origin: String,
    /// Every mistake, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

impl JobMistakes {
    /// One line a mistake, `file:line:column: what`, with the way to fix it indented below.
    #[must_use]
    pub fn listing(&self) -> String {
        let told = |mistake: &Mistake| {
            let Mistake { line, column, message, help } = mistake;
            let help = help.as_ref().map(|help| format!("    {help}\n"));
            let help = help.unwrap_or_default();
            format!("{}:{line}:{column}: {message}\n{help}", self.origin)
        };
        self.mistakes.iter().map(told).collect()
    }
}
