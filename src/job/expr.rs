//! Expressions of job files: minijinja with strict undefined, the field's filters, and nothing that can loop.
//!
//! This is the one place where an expression is compiled, and the one where it is evaluated. What needs no interpreter is
//! evaluated by `quick`.

use super::filters;
use super::quick::Quick;
use super::scope::Scope;
use crate::core::config::shortened;
use minijinja::machinery::{Token, parse_expr, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Expression, UndefinedBehavior};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// Longest expression, in bytes. minijinja descends once for each operator that stands inside another, so that a longer one could
/// overflow the stack.
const EXPR_BYTES_MAX: usize = 16 * 1_024;
/// Most tokens of one, likewise: the longest of a shipped job has some fifty.
const EXPR_TOKENS_MAX: usize = 1_000;

/// Steps of minijinja's machine that one expression may take, so that no job file can hang a run.
const FUEL_MAX: u64 = 100_000;

/// Largest value of an expression, in bytes of text and in entries: one name can hold another many times over, and the next one
/// that again, which no fuel counts.
const VALUE_SIZE_MAX: usize = 64 * 1_024 * 1_024;
/// Most values inside each other.
const VALUE_DEPTH_MAX: usize = 64;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL_MAX));
    filters::register(&mut environment);
    environment
});

/// What a job cannot do for a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An expression could not be evaluated.
    #[error("the job's expression `{source_text}` does not work for this row: {detail}")]
    Expression {
        /// The expression as the job has it.
        source_text: String,
        /// What minijinja says.
        detail: String,
    },
    /// A value would lead to another address than the job means.
    #[error("with the row's values `{template}` becomes `{path}`, which is the address of something else")]
    Address {
        /// The path as the job has it.
        template: String,
        /// What it would become.
        path: String,
    },
}

/// A compiled expression; the constant false by default.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    quick: Arc<Quick>,
    /// None is a constant, which needs no compiling.
    compiled: Option<Arc<Expression<'static, 'static>>>,
}

impl Default for Expr {
    fn default() -> Expr {
        let quick = Arc::new(Quick::Constant(false.into()));
        Expr { source: Arc::from("false"), quick, compiled: None }
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.source)
    }
}

impl FromStr for Expr {
    type Err = String;

    /// # Errors
    /// What minijinja says of the syntax, or the names of filters, tests and functions that do not exist.
    fn from_str(source: &str) -> Result<Expr, String> {
        check(source)?;
        let parsed = parse_expr(source).map_err(|error| plain(&error))?;
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| plain(&error))?;
        Ok(Expr { source: Arc::from(source), quick: Arc::new(Quick::of(&parsed)), compiled: Some(Arc::new(compiled)) })
    }
}

impl Expr {
    /// The text as the job has it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The variables it reads, with one level of attributes: `row.upn`, `params.swap`, `federated`.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        let compiled = self.compiled.iter();
        let variables = compiled.flat_map(|compiled| compiled.undeclared_variables(true));
        variables.filter(|name| filters::own(name, false).is_none()).collect()
    }

    /// Its value.
    ///
    /// # Errors
    /// [`EvalError`] when a name or attribute is undefined or an operation makes no sense.
    pub fn value(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        if let Some(value) = self.quick.value(scope) {
            return Ok(value);
        }
        self.interpreted(scope)
    }

    pub(super) fn interpreted(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        let Some(compiled) = &self.compiled else {
            return Ok(Value::from(false));
        };
        let value = compiled.eval(Value::from_dyn_object(Arc::clone(scope))).map_err(|error| {
            let of_name = error.source().and_then(|source| source.downcast_ref::<EvalError>());
            of_name.cloned().unwrap_or_else(|| self.error(plain(&error)))
        })?;
        if value.is_undefined() {
            return Err(self.error("it is undefined".into()));
        }
        if !fits(&value, VALUE_DEPTH_MAX, &mut { VALUE_SIZE_MAX }) {
            return Err(self.error("its value is too large".into()));
        }
        Ok(value)
    }

    /// Whether it is false for every row in which these cells are empty.
    pub(super) fn cannot_hold(&self, is_empty: &dyn Fn(&str) -> bool) -> bool {
        self.quick.cannot_hold(is_empty)
    }

    /// Its value, which must not be none.
    pub(super) fn some_value(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        let value = self.value(scope)?;
        if value.is_none() {
            return Err(self.error("it is none, and stands in a text".into()));
        }
        Ok(value)
    }

    fn error(&self, detail: String) -> EvalError {
        EvalError::Expression { source_text: shortened(&self.source), detail: shortened(&detail) }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// As [`Expr::value`].
    pub fn holds(&self, scope: &Arc<Scope>) -> Result<bool, EvalError> {
        Ok(self.value(scope)?.is_true())
    }
}

/// Whether a condition holds that a job need not write; without one, it does.
pub(super) fn applies(when: Option<&Expr>, scope: &Arc<Scope>) -> Result<bool, EvalError> {
    when.map_or(Ok(true), |when| when.holds(scope))
}

/// A value of an expression as JSON; what JSON has no form for becomes null.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}

pub(super) fn plain(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Whether a value is no larger than what is left, and not too deep.
fn fits(value: &Value, depth: usize, left: &mut usize) -> bool {
    let own = value.as_str().map_or(1, |text| text.len() + 1);
    let Some(rest) = left.checked_sub(own) else {
        return false;
    };
    *left = rest;
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {}
        _ => return true,
    }
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    let Ok(mut entries) = value.try_iter() else {
        return true;
    };
    entries.all(|entry| {
        let inner = match value.kind() {
            ValueKind::Map => value.get_item(&entry).unwrap_or_default(),
            _ => Value::from(()),
        };
        fits(&entry, depth, left) && fits(&inner, depth, left)
    })
}

/// Whether an expression is short enough, and uses only filters, tests and functions that exist: minijinja finds an unknown one
/// only when it runs into it, and a job is to be told before.
fn check(source: &str) -> Result<(), String> {
    if source.len() > EXPR_BYTES_MAX {
        return Err(format!("the expression has {} bytes; {EXPR_BYTES_MAX} are the most", source.len()));
    }
    let tokens: Vec<Token<'_>> = tokenize(source, true, SyntaxConfig::default())
        // The tokenizer repeats an error for ever.
        .map_while(Result::ok)
        .map(|(token, _)| token)
        .take(EXPR_TOKENS_MAX + 1)
        .collect();
    if tokens.len() > EXPR_TOKENS_MAX {
        return Err(format!(
            "the expression has more than {EXPR_TOKENS_MAX} operators, names and values; give parts of it names in [derive] or [facts]"
        ));
    }
    let mut state = ENVIRONMENT.empty_state();
    for (index, token) in tokens.iter().enumerate() {
        let Token::Ident(name) = token else { continue };
        let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at));
        let (kind, exists) = match (before(2), before(1), tokens.get(index + 1)) {
            (_, Some(Token::Pipe), _) => ("filter", filters::exists_filter(&mut state, name)),
            (_, Some(Token::Ident("is")), _) | (Some(Token::Ident("is")), Some(Token::Ident("not")), _) => {
                ("test", *name == "not" || filters::exists_test(&mut state, name))
            }
            (_, Some(Token::Dot), _) => continue,
            (.., Some(Token::ParenOpen)) => ("function", filters::own(name, false).is_some() || is_word(name)),
            _ => continue,
        };
        if !exists {
            return Err(format!("there is no {kind} `{name}`"));
        }
    }
    Ok(())
}

/// Words of the language that may stand before a parenthesis.
fn is_word(name: &str) -> bool {
    matches!(name, "and" | "or" | "not" | "in" | "if" | "else" | "is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Json;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope() -> Arc<Scope> {
        Scope::of_cells(&json!({"upn": "o'brien#x@contoso.com", "guid": null}))
    }

    /// Fuel counts steps; these take few, and much memory.
    #[test]
    fn no_value_grows_without_bound() {
        let refused = |source: &str, scope: &Arc<Scope>| {
            let expr = Expr::from_str(source).unwrap();
            expr.value(scope).unwrap_err().to_string().len()
        };
        for source in [
            "[1, 2] | tojson(indent=1000000000)",
            "'a' * 1000000000",
            "'a\\nb' | indent(1000000000)",
            "[1] | batch(1000000000, 1)",
            "'%1000000000d' | format(1)",
        ] {
            assert!(refused(source, &scope()) < 1_000, "{source}");
        }
        let mut grown = Value::from("x".repeat(1_000));
        let twice = Expr::from_str("[a, a]").unwrap();
        for _ in 0..VALUE_DEPTH_MAX {
            let scope = Arc::new(Scope::default().with("a", grown.clone()));
            match twice.value(&scope) {
                Ok(value) => grown = value,
                Err(_) => return,
            }
        }
        panic!("it can be doubled for ever");
    }

    #[test]
    fn unknown_filters_tests_and_functions_are_found_when_compiling() {
        assert_eq!(Expr::from_str("row.upn | uper").unwrap_err(), "there is no filter `uper`");
        assert_eq!(Expr::from_str("row is lost").unwrap_err(), "there is no test `lost`");
        assert_eq!(Expr::from_str("sam(1)").unwrap_err(), "there is no function `sam`");
        assert!(Expr::from_str("row.upn is not none and not (row.guid)").is_ok());
        assert!(Expr::from_str("row.upn | domain == 'a | b'").is_ok());
        assert!(Expr::from_str("row.upn |").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_compiler_panic(text in ".{0,60}") {
            let _ = Json::from_str(&text);
            let _ = Expr::from_str(&text);
        }
    }
}
