//! Texts and values of job files with expressions in them.
//!
//! A *text* has expressions in it (`/users/{{ state.id }}`). A *value* is a text, a table or a list and becomes JSON; one that is
//! a single `{{ … }}` keeps its type, so that `"{{ none }}"` is JSON's null. Statements (`{% … %}`) are not part of the language:
//! a job is data.

use super::expr::{EvalError, Expr, plain, to_json};
use super::filters;
use super::scope::Scope;
use super::state::kept;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

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
        self.render_with(scope, |value, out| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{value}");
        })
    }

    /// The text as a path of a URL: every value put in is percent-encoded, but for what a filter made for a path. Encoding does
    /// not help against a value that makes a segment empty, `.` or `..`: the first names the collection in place of its entry,
    /// and the others are folded away with the segment before them.
    ///
    /// # Errors
    /// As [`Expr::value`], and [`EvalError::Address`] for such a value.
    pub fn render_path(&self, scope: &Arc<Scope>) -> Result<String, EvalError> {
        let path = self.render_with(scope, |value, out| match value.is_safe() {
            true => out.push_str(&value.to_string()),
            false => out.push_str(&filters::encode_path(&value.to_string())),
        })?;
        if leads_elsewhere(&path) {
            return Err(EvalError::Address { template: self.to_string(), path });
        }
        Ok(path)
    }

    fn render_with(&self, scope: &Arc<Scope>, put: impl Fn(&Value, &mut String)) -> Result<String, EvalError> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Expr(expr) => put(&expr.some_value(scope)?, &mut out),
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
        // The dots of a URL may be written as %2e, too.
        segment.len() <= "%2e%2e".len()
            && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "" | "." | "..")
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
    Object(Vec<(Arc<str>, Json)>),
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
                fields.map(|(key, item)| Some((key.to_string(), item.constant()?))).collect()
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

    /// The finished value, as a state keeps it.
    ///
    /// # Errors
    /// As [`Expr::value`].
    pub(super) fn kept(&self, scope: &Arc<Scope>) -> Result<Value, EvalError> {
        match self {
            Json::Expr(expr) => Ok(kept(expr.value(scope)?)),
            Json::Text(text) => Ok(text.render(scope)?.into()),
            Json::Constant(_) | Json::List(_) | Json::Object(_) => Ok(Value::from(Serde(self.render(scope)?))),
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
            Json::Object(fields) => {
                fields.iter().map(|(key, item)| Ok((key.to_string(), item.render(scope)?))).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scope() -> Arc<Scope> {
        Scope::of_cells(&json!({"upn": "o'brien#x@contoso.com", "guid": null}))
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
    fn statements_and_open_braces_are_mistakes() {
        assert!(Text::from_str("a {{ b").is_err());
        assert!(Text::from_str("{% for a in b %}").is_err());
    }
}
