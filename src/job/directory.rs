//! What a job asks of the on-premises directory, and what came of it.
//!
//! A row that has to ask is asked about before it begins, since what is derived for it may depend on the answer. The answer
//! is kept in the row's observed states, and so in its before-image: a row that was begun goes on with what was decided, and
//! needs no directory any more.

use super::Job;
use super::expr::{EvalError, Expr, applies};
use super::settings::Settings;
use super::state::State;
use minijinja::value::{Serde, Value, ValueKind};
use serde_json::{Map, Value as JsonValue};
use std::sync::Arc;

/// The name of the answer in expressions.
pub(super) const NAME: &str = "ad";

/// The answer's place in a state. No property of a service begins so.
pub(super) const KEY: &str = "@ad";

/// What is asked of the directory for a row that needs it.
#[derive(Debug, Clone)]
pub struct DirectoryPlan {
    /// Which rows need it; all, where the job does not say.
    pub when: Option<Expr>,
    /// Which entries are looked among, as an LDAP filter.
    pub among: String,
    /// The attribute that is compared.
    pub attribute: String,
    /// What it must equal.
    pub equals: Expr,
    /// What is kept of the entry, by its name in expressions.
    pub kept: Vec<Kept>,
}

/// A value that is kept of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name in expressions.
    pub name: String,
    /// The attribute it is taken from.
    pub attribute: String,
    /// How its octets are read.
    pub form: KeptForm,
}

/// How the octets of an attribute are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptForm {
    /// As 16 octets of a GUID, given as its text.
    Guid,
    /// As text.
    Text,
}

/// What the directory answered for a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DirectoryEntry(pub(super) Value);

impl DirectoryEntry {
    /// The answer that an earlier look at the row was made with.
    #[must_use]
    pub fn of_state(state: &State) -> Option<DirectoryEntry> {
        Some(state.get(KEY)).filter(|entry| entry.kind() == ValueKind::Map).map(DirectoryEntry)
    }
}

impl FromIterator<(String, JsonValue)> for DirectoryEntry {
    fn from_iter<I: IntoIterator<Item = (String, JsonValue)>>(fields: I) -> Self {
        let fields: Map<String, JsonValue> = fields.into_iter().collect();
        DirectoryEntry(Value::from(Serde(fields)))
    }
}

impl Job {
    /// The value to ask the directory for; None where the row does not need it. `row` holds the canonical values in the
    /// order of the layout.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn directory_value(&self, settings: &Settings, row: &[Option<String>]) -> Result<Option<String>, EvalError> {
        let Some(plan) = &self.directory else {
            return Ok(None);
        };
        let scope = Arc::new(self.row_scope(settings, row));
        if !applies(plan.when.as_ref(), &scope)? {
            return Ok(None);
        }
        Ok(Some(plan.equals.value(&scope)?.to_string()))
    }
}
