//! Further reads about a person once they were found, and what they say for or against the row.
//!
//! A look answers who the person is; these answer what stands around them: who else has the value that is to be written, which
//! roles they hold. They are made before the row's first write, and what they say is kept in the before-image, so that a row
//! goes on with what was known when it began.

use super::expr::{EvalError, Expr, applies};
use super::scope::{Name, Scope};
use super::state::{State, kept};
use super::text::Text;
use super::view::{RowView, expects, problem_of};
use super::{Job, Objection, Observe, Settings};
use crate::core::{Problem, Request};
use minijinja::value::{Serde, Value};
use serde_json::Value as JsonValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One read about a person who was found.
#[derive(Debug, Clone)]
pub struct ExtraRead {
    /// The name of what it says, among the observed properties.
    pub name: String,
    /// When it makes sense.
    pub when: Option<Expr>,
    /// The path to read.
    pub get: Text,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// The answer is a list (all pages of it) rather than one object.
    pub list: bool,
    /// What is kept, from `items` of a list or the `item`.
    pub value: Expr,
    /// The row can do without: the value is none where the target refuses this read.
    pub optional: bool,
    /// It is read at every look, since a step changes it; else only before the first write.
    pub always: bool,
    /// It can be asked only once the further reads before it were answered: it names what they found. The others can be asked at
    /// the same time.
    pub follows: bool,
}

impl Observe {
    /// Finds out which further reads name what others find, themselves or by way of a fact.
    pub(super) fn order(&mut self, facts: &[Name]) {
        let mut found: BTreeSet<String> = ["state".to_owned(), "before".to_owned()].into();
        for read in &self.extra_reads {
            found.insert(format!("state.{}", read.name));
            found.insert(format!("before.{}", read.name));
        }
        let names_one = |expr: &Expr, found: &BTreeSet<String>| !expr.variables().is_disjoint(found);
        for Name { name, expr, .. } in facts {
            if names_one(expr, &found) {
                found.insert(name.to_string());
            }
        }
        for read in &mut self.extra_reads {
            let mut exprs = read.when.iter().chain(read.get.exprs());
            read.follows = exprs.any(|expr| names_one(expr, &found));
        }
    }
}

impl RowView {
    /// The read to make for a person seen in this state, or None where it makes no sense, or was made before the first write.
    /// `before` is the before-image, where there is one.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work for the row.
    pub fn extra_read(
        &self,
        read: &ExtraRead,
        before: Option<&State>,
        state: &State,
    ) -> Result<Option<Request>, EvalError> {
        if before.is_some() && !read.always {
            return Ok(None);
        }
        let scope = self.scope(before.unwrap_or(state), state);
        if !applies(read.when.as_ref(), &scope)? {
            return Ok(None);
        }
        let path = read.get.render_path(&scope)?;
        Ok(Some(Request::get(path, expects(read.list)).with_headers(&read.headers)))
    }

    /// What the answer to such a read says.
    ///
    /// # Errors
    /// As [`RowView::extra_read`].
    pub fn extra_value(
        &self,
        read: &ExtraRead,
        before: Option<&State>,
        state: &State,
        items: Vec<JsonValue>,
    ) -> Result<Value, EvalError> {
        let scope = Scope::inside(&self.scope(before.unwrap_or(state), state));
        let scope = match read.list {
            true => scope.with("items", Value::from(Serde(items))),
            false => scope.with("item", Value::from(Serde(items.into_iter().next()))),
        };
        Ok(kept(read.value.value(&Arc::new(scope))?))
    }

    /// What somebody should know of a row, from how it was before the first write.
    ///
    /// # Errors
    /// As [`RowView::extra_read`].
    pub fn warnings(&self, before: &State) -> Result<Vec<Problem>, EvalError> {
        let scope = self.scope(before, before);
        those_that_hold(&self.job().warnings, &scope)
    }

    /// What report columns see.
    pub(super) fn report_scope(&self, before: &State, state: &State) -> Result<Arc<Scope>, EvalError> {
        let warnings = self.warnings(before)?;
        let words: Vec<String> = warnings.iter().map(Problem::to_string).collect();
        let scope = Scope::inside(&self.scope(before, state));
        Ok(Arc::new(scope.with("warnings", Value::from(words))))
    }
}

impl Job {
    /// What speaks against the whole run, whoever is in it.
    ///
    /// # Errors
    /// [`EvalError`] when an expression does not work.
    pub fn obstacles(&self, settings: &Settings) -> Result<Vec<Problem>, EvalError> {
        those_that_hold(&self.obstacles, &settings.0)
    }
}

/// The objections that hold, with their words.
pub(super) fn those_that_hold(objections: &[Objection], scope: &Arc<Scope>) -> Result<Vec<Problem>, EvalError> {
    let mut found = Vec::new();
    for objection in objections {
        if objection.when.holds(scope)? {
            found.push(problem_of(objection, scope)?);
        }
    }
    Ok(found)
}
