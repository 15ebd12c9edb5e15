//! The names that expressions see, and what need not be evaluated again.
//!
//! A scope stands inside another one: the run's, the row's, the observed state's. Names that the job defines are evaluated
//! when they are first read. While an expression is evaluated, what it reads is noted. One that has read only what is the same
//! for all rows, and cells that are empty, has the same value for every row in which those cells are empty: evaluation is
//! deterministic, so it would read the same again. Such values are kept for the run ([`Constants`]).

use super::expr::{EvalError, Expr};
use minijinja::value::{Enumerator, Object, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Names that a job defines, in order: each sees those before it.
pub type Named = Arc<[(Arc<str>, Expr)]>;

/// The name of the row's cells.
const ROW: &str = "row";
/// The name of the observed state.
pub(super) const STATE: &str = "state";

/// What an evaluation has read so far.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    /// Something that differs between rows.
    varying: bool,
    /// The observed state.
    state: bool,
    /// The row as such; of its cells only those in `empty`.
    row: bool,
    /// Cells that are empty, a bit each.
    empty: u64,
}

thread_local! {
    // minijinja hands no context of ours to the objects it reads.
    static READS: Cell<Reads> = const { Cell::new(Reads { varying: false, state: false, row: false, empty: 0 }) };
}

fn note(reads: Reads) {
    let so_far = READS.get();
    READS.set(Reads {
        varying: so_far.varying || reads.varying,
        state: so_far.state || reads.state,
        row: so_far.row || reads.row,
        empty: so_far.empty | reads.empty,
    });
}

fn note_varying() {
    note(Reads { varying: true, ..Reads::default() });
}

/// Evaluates, and returns what was read. Whoever evaluates around it depends on the same.
fn tracked<T>(evaluate: impl FnOnce() -> T) -> (T, Reads) {
    let around = READS.replace(Reads::default());
    let value = evaluate();
    let reads = READS.replace(around);
    note(reads);
    (value, reads)
}

/// The values of expressions that are the same for many rows of a run.
#[derive(Debug, Default)]
struct Constants(RwLock<BTreeMap<u64, Constant>>);

#[derive(Debug, Clone)]
struct Constant {
    value: Value,
    reads: Reads,
}

impl Constant {
    /// Whether it is the value for a row with these empty cells.
    fn is_of(&self, empty: u64) -> bool {
        self.reads.empty & !empty == 0
    }
}

impl Constants {
    fn get(&self, id: u64, empty: u64) -> Option<Constant> {
        let constants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let constant = constants.get(&id)?;
        constant.is_of(empty).then(|| constant.clone())
    }

    fn none_holds(&self, mut ids: impl Iterator<Item = u64>, empty: u64) -> bool {
        let constants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let never = |constant: &Constant| constant.is_of(empty) && !constant.value.is_true();
        ids.all(|id| constants.get(&id).is_some_and(never))
    }

    fn keep(&self, id: u64, value: &Value, reads: Reads) {
        // A value may hold the row itself, whose cells are read only later.
        let is_plain = value.is_none() || value.as_str().is_some() || value.is_number() || is_bool(value);
        if reads.varying || (reads.row && !is_plain) {
            return;
        }
        let mut constants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        constants.entry(id).or_insert_with(|| Constant { value: value.clone(), reads });
    }
}

fn is_bool(value: &Value) -> bool {
    value.kind() == ValueKind::Bool
}

/// The names an expression can see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    outer: Option<Arc<Scope>>,
    given: Vec<(&'static str, Value)>,
    named: Option<Lazy>,
    /// Of the run that this scope belongs to, if any.
    constants: Option<Arc<Constants>>,
    /// Only names that are the same for all rows are given here.
    is_of_run: bool,
    /// The row's empty cells, a bit each.
    empty: u64,
}

/// Names that a job defines, with the values that were read.
#[derive(Debug, Clone)]
struct Lazy {
    named: Named,
    values: Box<[OnceLock<(Value, Reads)>]>,
}

impl Scope {
    /// A run's scope: every name in it is the same for all rows.
    pub(super) fn of_run(given: Vec<(&'static str, Value)>) -> Scope {
        Scope { given, constants: Some(Arc::default()), is_of_run: true, ..Scope::default() }
    }

    /// A scope inside another one.
    pub(super) fn inside(outer: &Arc<Scope>) -> Scope {
        Scope {
            outer: Some(Arc::clone(outer)),
            constants: outer.constants.clone(),
            empty: outer.empty,
            ..Scope::default()
        }
    }

    /// Adds a value. An inner name hides an outer one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Scope {
        self.given.push((name, value));
        self
    }

    /// Adds the cells of a row.
    #[must_use]
    pub(super) fn with_row(mut self, row: RowCells) -> Scope {
        self.empty = row.empty();
        self.with(ROW, Value::from_object(row))
    }

    /// Adds the names that a job defines.
    #[must_use]
    pub(super) fn naming(mut self, named: &Named) -> Scope {
        self.named = Some(Lazy { named: Arc::clone(named), values: named.iter().map(|_| OnceLock::new()).collect() });
        self
    }

    /// As [`Scope::naming`], with the values of another scope that has the same names and differs in the observed state only.
    #[must_use]
    pub(super) fn naming_as(self, other: &Scope, named: &Named) -> Scope {
        let mut scope = self.naming(named);
        if let (Some(lazy), Some(other)) = (&mut scope.named, &other.named) {
            for (value, other) in lazy.values.iter_mut().zip(&other.values) {
                if other.get().is_some_and(|(_, reads)| !reads.state) {
                    *value = other.clone();
                }
            }
        }
        scope
    }

    /// Evaluates every name that the job defines here, so that a job that does not work for a row says so at once.
    pub(super) fn settle(self: &Arc<Self>) -> Result<(), EvalError> {
        let Some(lazy) = &self.named else {
            return Ok(());
        };
        for (at, (_, expr)) in lazy.named.iter().enumerate() {
            if self.defined(lazy, at).kind() == ValueKind::Invalid {
                expr.value(self)?;
            }
        }
        Ok(())
    }

    /// The value of an expression, if it is known without evaluating it.
    pub(super) fn known(&self, id: u64) -> Option<Value> {
        let constant = self.constants.as_ref()?.get(id, self.empty)?;
        note(constant.reads);
        Some(constant.value)
    }

    /// Evaluates, and keeps the value if it is the same for many rows.
    pub(super) fn evaluated(
        &self,
        id: u64,
        evaluate: impl FnOnce() -> Result<Value, EvalError>,
    ) -> Result<Value, EvalError> {
        let (value, reads) = tracked(evaluate);
        if let (Ok(value), Some(constants)) = (&value, &self.constants) {
            constants.keep(id, value, reads);
        }
        value
    }

    /// Whether it is known of a row with these empty cells that no such condition holds.
    pub(super) fn none_holds(&self, ids: impl Iterator<Item = u64>, empty: u64) -> bool {
        let constants = self.constants.as_ref();
        constants.is_some_and(|constants| constants.none_holds(ids, empty))
    }

    pub(super) fn find(self: &Arc<Self>, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.given.iter().rev().find(|(given, _)| *given == name) {
            match name {
                _ if self.is_of_run => {}
                ROW => note(Reads { row: true, ..Reads::default() }),
                STATE => note(Reads { varying: true, state: true, ..Reads::default() }),
                _ => note_varying(),
            }
            return Some(value.clone());
        }
        if let Some(lazy) = &self.named
            && let Some(at) = lazy.named.iter().position(|(known, _)| &**known == name)
        {
            return Some(self.defined(lazy, at));
        }
        self.outer.as_ref()?.find(name)
    }

    fn defined(self: &Arc<Self>, lazy: &Lazy, at: usize) -> Value {
        if let Some((value, reads)) = lazy.values[at].get() {
            note(*reads);
            return value.clone();
        }
        let evaluate = || match lazy.named[at].1.value(self) {
            Ok(value) => value,
            // Whoever reads the name fails with this.
            Err(error) => {
                let failed = Error::new(ErrorKind::InvalidOperation, error.to_string());
                Value::from(failed.with_source(error))
            }
        };
        let found = tracked(evaluate);
        let value = found.0.clone();
        // Another thread may have been first, with the same value.
        let _same = lazy.values[at].set(found);
        value
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
pub(super) struct RowCells(Vec<(String, Value)>);

/// Cells beyond the bits of a number count as filled.
const CELLS_TRACKED_MAX: usize = 64;

impl RowCells {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a String>, cells: &[Option<impl Display>]) -> RowCells {
        let cell = |cell: &Option<_>| match cell {
            Some(cell) => Value::from(format!("{cell}")),
            None => Value::from(()),
        };
        let cells = cells.iter().map(cell);
        RowCells(names.cloned().zip(cells).collect())
    }

    fn empty(&self) -> u64 {
        empty_cells(self.0.iter().map(|(_, cell)| cell.is_none()))
    }
}

/// The empty cells of a row, a bit each.
pub(super) fn empty_cells(is_empty: impl Iterator<Item = bool>) -> u64 {
    let cells = is_empty.take(CELLS_TRACKED_MAX).enumerate();
    cells.fold(0, |bits, (at, is_empty)| bits | (u64::from(is_empty) << at))
}

impl Object for RowCells {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        let cell = &self.0[at].1;
        if cell.is_none() && at < CELLS_TRACKED_MAX {
            note(Reads { empty: 1 << at, ..Reads::default() });
        } else {
            note_varying();
        }
        Some(cell.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.iter().map(|(name, _)| Value::from(name.as_str()));
        Enumerator::Values(names.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use std::str::FromStr;

    fn run() -> Arc<Scope> {
        Arc::new(Scope::of_run(vec![("params", Value::from(Serde(params())))]))
    }

    fn params() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("mode", "off")])
    }

    fn row(run: &Arc<Scope>, cells: [Option<&str>; 2]) -> Arc<Scope> {
        let names = ["a".to_owned(), "b".to_owned()];
        let cells = RowCells::new(names.iter(), &cells);
        Arc::new(Scope::inside(run).with_row(cells))
    }

    fn is_known(source: &str, first: [Option<&str>; 2], second: [Option<&str>; 2]) -> bool {
        let run = run();
        let expr = Expr::from_str(source).unwrap();
        let value = expr.value(&row(&run, first)).unwrap();
        let known = row(&run, second).known(expr.id());
        if let Some(known) = &known {
            assert_eq!(*known, expr.value(&row(&run, second)).unwrap());
            assert_eq!(*known, value);
        }
        known.is_some()
    }

    #[test]
    fn what_reads_only_the_run_or_empty_cells_is_evaluated_once() {
        let (x, y) = (Some("x"), Some("y"));
        assert!(is_known("params.mode == 'on' and row.a", [x, x], [y, y]));
        assert!(is_known("row.a and row.b == 'y'", [None, x], [None, y]));
        assert!(!is_known("row.a and row.b == 'y'", [None, x], [x, y]));
        assert!(!is_known("params.mode == 'off' and row.a == 'y'", [x, x], [y, y]));
        assert!(!is_known("[row]", [None, x], [None, y]), "it holds the row");
        assert!(!is_known("row.a or row.b", [None, x], [None, y]));
    }

    #[test]
    fn a_name_that_is_not_read_is_not_evaluated_and_its_error_is_told_as_its_own() {
        let named = |name: &str, source: &str| (Arc::from(name), Expr::from_str(source).unwrap());
        let named: Named = [named("good", "row.a ~ '!'"), named("bad", "row.a.b.c")].into();
        let scope = Scope::inside(&row(&run(), [Some("x"), None])).naming(&named);
        let scope = Arc::new(scope);
        let value = |source: &str| Expr::from_str(source).unwrap().value(&scope);
        assert_eq!(value("good ~ '?'").unwrap().to_string(), "x!?");
        let error = value("1 ~ bad").unwrap_err().to_string();
        assert!(error.contains("row.a.b.c"), "{error}");
        assert_eq!(scope.settle().unwrap_err().to_string(), error);
    }

    #[test]
    fn what_depends_on_a_name_depends_on_what_the_name_reads() {
        let named: Named = [(Arc::from("x"), Expr::from_str("row.a ~ ''").unwrap())].into();
        let run = run();
        let expr = Expr::from_str("x == '1' or x == '2'").unwrap();
        let scope = |cell| Arc::new(Scope::inside(&row(&run, [Some(cell), None])).naming(&named));
        assert!(expr.holds(&scope("1")).unwrap());
        assert!(!expr.holds(&scope("3")).unwrap());
    }
}
