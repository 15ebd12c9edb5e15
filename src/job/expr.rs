//! Expressions and templates of job files: minijinja with strict undefined, the field's filters, and nothing that can loop.
//!
//! A job writes three kinds of text: a *condition* (`state.deleted`), a *text* with expressions in it (`/users/{{ state.id }}`)
//! and a *value*, which is a text, a table or a list and becomes JSON. A value that is one single `{{ … }}` keeps its type,
//! so that `"{{ none }}"` is JSON's null. Statements (`{% … %}`) are not part of the language: a job is data.

use super::filters;
use super::scope::Scope;
use crate::core::config::shortened;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Expression, UndefinedBehavior};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Each expression of the process has its own, under which its value may be known.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A compiled expression; the constant false by default.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    id: u64,
    /// A plain path of names, which is read without the interpreter.
    path: Arc<[String]>,
    /// None is the constant false, which needs no compiling.
    compiled: Option<Arc<Expression<'static, 'static>>>,
}

impl Default for Expr {
    fn default() -> Expr {
        Expr {
            source: Arc::from("false"),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            path: Arc::default(),
            compiled: None,
        }
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
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| plain(&error))?;
        Ok(Expr {
            source: Arc::from(source),
            path: plain_path(source).unwrap_or_default().into(),
            compiled: Some(Arc::new(compiled)),
            ..Expr::default()
        })
    }
}

impl Expr {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The text as the job has it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The variables it reads, with one level of attributes: `row.upn`, `params.swap`, `federated`.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        self.compiled
            .iter()
            .flat_map(|compiled| compiled.undeclared_variables(true))
            .filter(|name| !filters::FUNCTIONS.contains(&name.as_str()))
            .collect()
    }

    /// Its value.
    ///
    /// # Errors
    /// [`EvalError`] when a name or attribute is undefined or an operation makes no sense.
    pub fn value(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        let Some(compiled) = &self.compiled else {
            return Ok(Value::from(false));
        };
        if let Some(value) = self.at_path(scope).or_else(|| scope.known(self.id)) {
            return Ok(value);
        }
        scope.evaluated(self.id, || self.evaluated(compiled, scope))
    }

    /// None where there is no such path, or an error in it, of which the interpreter tells.
    fn at_path(&self, scope: &Arc<Scope>) -> Option<Value> {
        let (first, rest) = self.path.split_first()?;
        let mut value = scope.find(first)?;
        for name in rest {
            value = value.get_attr(name).ok()?;
        }
        let is_sound = !matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid);
        is_sound.then_some(value)
    }

    fn evaluated(&self, compiled: &Expression<'static, 'static>, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        let context = Value::from_dyn_object(Arc::clone(scope));
        let value = compiled.eval(context).map_err(|error| {
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

    /// Its value, which must not be none.
    fn some_value(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
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

/// Text with expressions in it.
#[derive(Debug, Clone, Default)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Expr(Expr),
}

impl FromStr for Text {
    type Err = String;

    /// # Errors
    /// What is wrong with one of its expressions, or that it holds a statement.
    fn from_str(source: &str) -> Result<Text, String> {
        let mut pieces = Vec::new();
        let mut start = None;
        for token in tokenize(source, false, SyntaxConfig::default()) {
            let (token, span) = token.map_err(|error| plain(&error))?;
            match token {
                Token::TemplateData(text) => pieces.push(Piece::Literal(text.to_owned())),
                Token::VariableStart => start = Some(span.end_offset as usize),
                Token::VariableEnd => {
                    let from = start.take().unwrap_or(0);
                    let inner = source.get(from..span.start_offset as usize).unwrap_or_default();
                    pieces.push(Piece::Expr(Expr::from_str(inner.trim())?));
                }
                Token::BlockStart => {
                    return Err("statements ({% … %}) are not allowed in a job; use an expression".into());
                }
                // The rest stands inside an expression, which is compiled as a whole at its end.
                _ => {}
            }
        }
        if start.is_some() {
            return Err("`{{` without `}}`".into());
        }
        Ok(Text(pieces))
    }
}

impl Text {
    /// The expressions in it.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Expr(expr) => Some(expr),
            Piece::Literal(_) => None,
        })
    }

    /// What stands between the expressions.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Expr(_) => None,
        })
    }

    /// The text with every value put in as it is.
    ///
    /// # Errors
    /// As [`Expr::value`].
    pub fn render(&self, scope: &Arc<Scope>) -> Result<String, EvalError> {
        self.render_with(scope, |value| value.to_string())
    }

    /// The text as a path of a URL: every value put in is percent-encoded, but for what a filter made for a path. Encoding does
    /// not help against a value that makes a segment empty, `.` or `..`: the first names the collection in place of its entry,
    /// and the others are folded away with the segment before them.
    ///
    /// # Errors
    /// As [`Expr::value`], and [`EvalError::Address`] for such a value.
    pub fn render_path(&self, scope: &Arc<Scope>) -> Result<String, EvalError> {
        let path = self.render_with(scope, |value| match value.is_safe() {
            true => value.to_string(),
            false => filters::encode_path(&value.to_string()),
        })?;
        if leads_elsewhere(&path) {
            return Err(EvalError::Address { template: self.to_string(), path });
        }
        Ok(path)
    }

    fn render_with(&self, scope: &Arc<Scope>, show: impl Fn(&Value) -> String) -> Result<String, EvalError> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Expr(expr) => out.push_str(&show(&expr.some_value(scope)?)),
            }
        }
        Ok(out)
    }
}

/// Whether a path has a segment that is folded away, or an empty one. No job needs either.
fn leads_elsewhere(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').any(|segment| {
        // The dots of a URL may be written so, too.
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        matches!(plain.as_str(), "" | "." | "..")
    })
}

impl fmt::Display for Text {
    /// As the job has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Expr(expr) => write!(f, "{{{{ {} }}}}", expr.source())?,
            }
        }
        Ok(())
    }
}

/// A JSON value with expressions in it.
#[derive(Debug, Clone)]
pub enum Json {
    /// A constant.
    Constant(serde_json::Value),
    /// One expression, with its type.
    Expr(Expr),
    /// A string with expressions in it.
    Text(Text),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Default for Json {
    fn default() -> Json {
        Json::Constant(serde_json::Value::Null)
    }
}

impl FromStr for Json {
    type Err = String;

    /// # Errors
    /// As for a [`Text`].
    fn from_str(source: &str) -> Result<Json, String> {
        let text: Text = source.parse()?;
        match text.0.as_slice() {
            [Piece::Expr(expr)] => Ok(Json::Expr(expr.clone())),
            [] | [Piece::Literal(_)] => Ok(Json::Constant(source.into())),
            [..] => Ok(Json::Text(text)),
        }
    }
}

impl Json {
    /// The value, where it depends on nothing.
    #[must_use]
    pub fn constant(self) -> Option<serde_json::Value> {
        match self {
            Json::Constant(value) => Some(value),
            Json::List(items) => items.into_iter().map(Json::constant).collect(),
            Json::Object(fields) => {
                let fields = fields.into_iter();
                fields.map(|(key, item)| Some((key, item.constant()?))).collect()
            }
            Json::Expr(_) | Json::Text(_) => None,
        }
    }

    /// The expressions in it, at any depth.
    #[must_use]
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Json::Constant(_) => Vec::new(),
            Json::Expr(expr) => vec![expr],
            Json::Text(text) => text.exprs().collect(),
            Json::List(items) => items.iter().flat_map(Json::exprs).collect(),
            Json::Object(fields) => fields.iter().flat_map(|(_, item)| item.exprs()).collect(),
        }
    }

    /// The finished value.
    ///
    /// # Errors
    /// As [`Expr::value`].
    pub fn render(&self, scope: &Arc<Scope>) -> Result<serde_json::Value, EvalError> {
        match self {
            Json::Constant(value) => Ok(value.clone()),
            Json::Expr(expr) => Ok(to_json(&expr.value(scope)?)),
            Json::Text(text) => Ok(text.render(scope)?.into()),
            Json::List(items) => items.iter().map(|item| item.render(scope)).collect(),
            Json::Object(fields) => fields.iter().map(|(key, item)| Ok((key.clone(), item.render(scope)?))).collect(),
        }
    }
}

/// A value of an expression as JSON; what JSON has no form for becomes null.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}

fn plain(error: &minijinja::Error) -> String {
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
            (.., Some(Token::ParenOpen)) => ("function", filters::FUNCTIONS.contains(name) || is_word(name)),
            _ => continue,
        };
        if !exists {
            return Err(format!("there is no {kind} `{name}`"));
        }
    }
    Ok(())
}

/// The names of a path such as `state.id`.
fn plain_path(source: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_letter)
    };
    let is_constant = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(name.as_str(), "true" | "false" | "none")
    };
    let names = source.split('.');
    let names = names.map(|name| (is_name(name) && !is_constant(name)).then(|| name.to_owned()));
    names.collect()
}

/// Words of the language that may stand before a parenthesis.
fn is_word(name: &str) -> bool {
    matches!(name, "and" | "or" | "not" | "in" | "if" | "else" | "is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope() -> Arc<Scope> {
        let row = Value::from(Serde(json!({"upn": "o'brien#x@contoso.com", "guid": null})));
        Arc::new(Scope::default().with("row", row))
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
    fn a_single_expression_keeps_its_type() {
        let value = |text: &str| Json::from_str(text).unwrap().render(&scope()).unwrap();
        assert_eq!(value("{{ none }}"), json!(null));
        assert_eq!(value("{{ 1 + 1 }}"), json!(2));
        assert_eq!(value("{{ row.upn }}"), json!("o'brien#x@contoso.com"));
        assert_eq!(value("<{{ row.upn }}>"), json!("<o'brien#x@contoso.com>"));
        assert_eq!(value("plain"), json!("plain"));
        assert_eq!(value(""), json!(""));
    }

    #[test]
    fn values_in_a_path_are_percent_encoded_and_the_rest_is_not() {
        let text = Text::from_str("/users/{{ row.upn }}?$select=id,mail").unwrap();
        assert_eq!(text.render_path(&scope()).unwrap(), "/users/o%27brien%23x@contoso.com?$select=id,mail");
    }

    #[test]
    fn no_value_leads_to_another_address() {
        let paths = [
            "/users/{{ row.n }}",
            "/users/{{ row.n }}/manager",
            "/users{{ row.n | key }}/manager?$select=id",
            "/groups/{{ row.n }}/members/{{ row.n }}/$ref",
        ];
        let rendered = |path: &str, value: &str| {
            let row = Value::from(Serde(json!({ "n": value })));
            let scope = Arc::new(Scope::default().with("row", row));
            Text::from_str(path).unwrap().render_path(&scope)
        };
        for path in paths {
            for value in ["", ".", ".."] {
                let found = rendered(path, value);
                assert!(matches!(found, Err(EvalError::Address { .. })), "{path} {value}: {found:?}");
            }
            for value in ["...", ".a", "a..", "%2e%2e", "/..", "../", "a/../b", "..;x", "?", "#", "\\..", " .."] {
                let path = rendered(path, value).unwrap();
                let url: reqwest::Url = format!("http://localhost/v1.0{path}").parse().unwrap();
                let kept = url.path().trim_start_matches("/v1.0");
                assert_eq!(kept, path.split('?').next().unwrap(), "{value}");
            }
        }
        assert!(rendered("/users/.{{ row.n }}", ".").is_err());
        assert!(rendered("/users/%2E{{ row.n }}", ".").is_err());
        assert!(rendered("/users?$filter=a eq '{{ row.n }}'", "..").is_ok());
    }

    #[test]
    fn an_undefined_name_is_an_error_and_not_an_empty_string() {
        let error = Text::from_str("{{ row.nothing }}").unwrap().render(&scope()).unwrap_err();
        assert!(error.to_string().contains("row.nothing"), "{error}");
    }

    #[test]
    fn unknown_filters_tests_and_functions_are_found_when_compiling() {
        assert_eq!(Expr::from_str("row.upn | uper").unwrap_err(), "there is no filter `uper`");
        assert_eq!(Expr::from_str("row is lost").unwrap_err(), "there is no test `lost`");
        assert_eq!(Expr::from_str("sam(1)").unwrap_err(), "there is no function `sam`");
        assert!(Expr::from_str("row.upn is not none and not (row.guid)").is_ok());
        assert!(Expr::from_str("row.upn | domain == 'a | b'").is_ok());
        assert!(Expr::from_str("row.upn |").is_err());
        assert!(Text::from_str("a {{ b").is_err());
        assert!(Text::from_str("{% for a in b %}").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_compiler_panic(text in ".{0,60}") {
            let _ = Json::from_str(&text);
            let _ = Expr::from_str(&text);
        }
    }
}
