//! The names that expressions see.
//!
//! A scope stands inside another one: the run's, the row's, the before-image's, the observed state's. Names that the job defines
//! are evaluated when they are first read.

use super::expr::{EvalError, Expr};
use minijinja::value::{Enumerator, Object, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// Names that a job defines, in order: each sees those before it.
pub type Named = Arc<[Name]>;

/// A name that a job defines.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub name: Arc<str>,
    /// What it stands for.
    pub expr: Expr,
    /// Whether that depends on the observed state, and not on the before-image alone.
    pub of_state: bool,
}

/// The name of the row's cells.
pub(super) const ROW: &str = "row";
/// The name of the parameters.
pub(super) const PARAMS: &str = "params";
/// The name of the observed state.
pub(super) const STATE: &str = "state";

/// The names an expression can see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    outer: Option<Arc<Scope>>,
    given: Vec<(&'static str, Value)>,
    named: Option<Lazy>,
}

/// Those names of a job that depend on the observed state, or those that do not, with the values that were read.
#[derive(Debug, Clone)]
struct Lazy {
    named: Named,
    of_state: bool,
    values: Box<[OnceLock<Value>]>,
}

impl Scope {
    /// A scope inside another one.
    pub(super) fn inside(outer: &Arc<Scope>) -> Scope {
        Scope { outer: Some(Arc::clone(outer)), ..Scope::default() }
    }

    /// Adds a value. An inner name hides an outer one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Scope {
        self.given.push((name, value));
        self
    }

    /// Adds the names that a job defines: those that depend on the observed state, or else the others.
    #[must_use]
    pub(super) fn naming(mut self, named: &Named, of_state: bool) -> Scope {
        let values = named.iter().map(|_| OnceLock::new()).collect();
        self.named = Some(Lazy { named: Arc::clone(named), of_state, values });
        self
    }

    /// Evaluates every name that the job defines, so that a job that does not work for a row says so at once.
    pub(super) fn settle(self: &Arc<Self>) -> Result<(), EvalError> {
        self.outer.as_ref().map_or(Ok(()), Scope::settle)?;
        for (lazy, at) in self.named.iter().flat_map(|lazy| (0..lazy.named.len()).map(move |at| (lazy, at))) {
            let Name { expr, of_state, .. } = &lazy.named[at];
            if *of_state == lazy.of_state && self.defined(lazy, at).kind() == ValueKind::Invalid {
                expr.value(self)?;
            }
        }
        Ok(())
    }

    pub(super) fn find(self: &Arc<Self>, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.given.iter().rev().find(|(given, _)| *given == name) {
            return Some(value.clone());
        }
        let own = self.named.as_ref().and_then(|lazy| {
            let is_own = |known: &Name| known.of_state == lazy.of_state && *known.name == *name;
            Some(self.defined(lazy, lazy.named.iter().position(is_own)?))
        });
        own.or_else(|| self.outer.as_ref()?.find(name))
    }

    fn defined(self: &Arc<Self>, lazy: &Lazy, at: usize) -> Value {
        if let Some(value) = lazy.values[at].get() {
            return value.clone();
        }
        let value = lazy.named[at].expr.value(self).unwrap_or_else(|error| {
            // Whoever reads the name fails with this.
            Value::from(Error::new(ErrorKind::InvalidOperation, error.to_string()).with_source(error))
        });
        // Another thread may have been first, with the same value.
        lazy.values[at].get_or_init(|| value).clone()
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.find(key)
    }
}

/// The cells of a row, by the job's names of the columns.
#[derive(Debug)]
pub(super) struct RowCells {
    columns: Arc<[String]>,
    cells: Vec<Value>,
}

impl RowCells {
    pub(super) fn new(columns: &Arc<[String]>, cells: &[Option<impl Display>]) -> RowCells {
        let cell = |cell: &Option<_>| cell.as_ref().map_or(Value::from(()), |cell| Value::from(format!("{cell}")));
        RowCells { columns: Arc::clone(columns), cells: cells.iter().map(cell).collect() }
    }
}

impl Object for RowCells {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let at = self.columns.iter().position(|name| name == key)?;
        self.cells.get(at).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.columns.iter().map(|name| Value::from(name.as_str())).collect())
    }
}

#[cfg(test)]
impl Scope {
    /// One of a row with such cells, for tests.
    pub(super) fn of_cells(cells: &serde_json::Value) -> Arc<Scope> {
        Arc::new(Scope::default().with(ROW, Value::from(minijinja::value::Serde(cells))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn row(cells: [Option<&str>; 2]) -> Scope {
        let columns = Arc::from(["a".to_owned(), "b".to_owned()]);
        Scope::default().with(ROW, Value::from_object(RowCells::new(&columns, &cells)))
    }

    fn name(name: &str, source: &str) -> Name {
        Name { name: Arc::from(name), expr: Expr::from_str(source).unwrap(), of_state: false }
    }

    #[test]
    fn a_name_that_is_not_read_is_not_evaluated_and_its_error_is_told_as_its_own() {
        let named: Named = [name("good", "row.a ~ '!'"), name("bad", "row.a.b.c")].into();
        let scope = Arc::new(Scope::inside(&Arc::new(row([Some("x"), None]))).naming(&named, false));
        let value = |source: &str| Expr::from_str(source).unwrap().value(&scope);
        assert_eq!(value("good ~ '?'").unwrap().to_string(), "x!?");
        let error = value("1 ~ bad").unwrap_err().to_string();
        assert!(error.contains("row.a.b.c"), "{error}");
        assert_eq!(scope.settle().unwrap_err().to_string(), error);
    }

    #[test]
    fn empty_cells_decide_only_what_nothing_before_them_can_fail() {
        let cannot_hold = |source: &str| {
            let is_empty = |column: &str| column == "a";
            Expr::from_str(source).unwrap().cannot_hold(&is_empty)
        };
        assert!(cannot_hold("row.a and row.b == 'y'"));
        assert!(cannot_hold("row.b and (row.a or row.a)"));
        assert!(cannot_hold("params.p == 'usual' and row.a"), "parameters never fail");
        assert!(!cannot_hold("row.a or row.b"));
        assert!(!cannot_hold("not row.a"));
        assert!(!cannot_hold("(row.b | guid) == 'x' and row.a"), "the filter may fail");
    }
}
