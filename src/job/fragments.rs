//! The parts of a job file that hold expressions: each is compiled, and remembered with its place for the checks that need the
//! whole job.

use super::expr::Expr;
use super::names::{NameUse, Visible};
use super::scope::{Name, Named, STATE};
use super::text::{Json, Text};
use crate::core::config::{At, Table};
use minijinja::value::{Serde, Value};
use std::str::FromStr;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

/// What a text of a job file can be compiled to. The default stands in for one that could not be; a job with such a placeholder
/// is never handed out.
pub(super) trait Fragment: Default + FromStr<Err = String> {
    fn exprs(&self) -> Vec<&Expr>;
}

impl Fragment for Expr {
    fn exprs(&self) -> Vec<&Expr> {
        vec![self]
    }
}

impl Fragment for Text {
    fn exprs(&self) -> Vec<&Expr> {
        Text::exprs(self).collect()
    }
}

impl Fragment for Json {
    fn exprs(&self) -> Vec<&Expr> {
        Json::exprs(self)
    }
}

/// Compiles what the job file holds.
#[derive(Default)]
pub(super) struct JobReader {
    pub(super) uses: Vec<NameUse>,
    /// The names that the job defines for expressions, with their places.
    pub(super) defined: Vec<At<String>>,
}

impl JobReader {
    fn fragment<T: Fragment>(&mut self, table: &Table<'_>, text: &At<String>, place: Visible) -> T {
        let fragment = text.value.parse().unwrap_or_else(|message: String| {
            table.note_at(&text.span, message, None);
            T::default()
        });
        let used = |expr: &Expr| NameUse { variables: expr.variables(), place, span: text.span.clone() };
        self.uses.extend(fragment.exprs().into_iter().map(used));
        fragment
    }

    pub(super) fn required<T: Fragment>(&mut self, table: &Table<'_>, key: &str, place: Visible) -> T {
        let text = table.required_text(key);
        text.map_or_else(T::default, |text| self.fragment(table, &text, place))
    }

    pub(super) fn optional<T: Fragment>(&mut self, table: &Table<'_>, key: &str, place: Visible) -> Option<T> {
        let text = table.text(key)?;
        Some(self.fragment(table, &text, place))
    }

    /// A path, which begins with a slash: it stands under the service's version root.
    pub(super) fn path(&mut self, table: &Table<'_>, key: &str, place: Visible) -> Option<Text> {
        let text = table.text(key)?;
        if !text.value.starts_with('/') {
            let help = "it stands under the service's version root, as in `/users/…`";
            table.note_at(&text.span, format!("`{key}` must begin with `/`"), Some(help));
        }
        let path: Text = self.fragment(table, &text, place);
        let has_blank = |text: &str| text.contains(char::is_whitespace);
        if path.literals().any(has_blank) {
            let message = format!("`{key}` has white space in it, which no address may have");
            let help = "write `%20` for it, as in `$filter=mail%20eq%20'…'`";
            table.note_at(&text.span, message, Some(help));
        }
        Some(path)
    }

    pub(super) fn required_path(&mut self, table: &Table<'_>, key: &str, place: Visible) -> Text {
        table.require(key);
        self.path(table, key, place).unwrap_or_default()
    }

    pub(super) fn json(&mut self, table: &Table<'_>, value: &Spanned<DeValue<'_>>, place: Visible) -> Json {
        match value.get_ref() {
            DeValue::String(text) => {
                let text = At { value: text.to_string(), span: value.span() };
                self.fragment(table, &text, place)
            }
            DeValue::Boolean(flag) => Json::Constant((*flag).into()),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Json::Constant(number.unwrap_or_default().into())
            }
            DeValue::Array(items) => Json::List(items.iter().map(|item| self.json(table, item, place)).collect()),
            DeValue::Table(fields) => {
                let fields = fields.iter().map(|(key, value)| {
                    let json = self.json(table, value, place);
                    (Arc::from(&**key.get_ref()), json)
                });
                Json::Object(fields.collect())
            }
            DeValue::Float(_) | DeValue::Datetime(_) => {
                let message = format!("{} cannot be written as JSON here", value.get_ref().type_str());
                table.note_at(&value.span(), message, None);
                Json::default()
            }
        }
    }

    pub(super) fn fields(&mut self, table: &Table<'_>, key: &str, place: Visible) -> Option<Vec<(Arc<str>, Json)>> {
        table.section(key, |inner| {
            let entries = inner.entries().into_iter();
            let field = |(key, value): (At<String>, _)| (Arc::from(key.value), self.json(inner, value, place));
            entries.map(field).collect()
        })
    }

    /// Fields with values that do not depend on anything.
    pub(super) fn constants(&mut self, table: &Table<'_>, key: &str) -> Vec<(Arc<str>, Value)> {
        let fields = self.fields(table, key, Visible::PARAMETERS);
        let fields = fields.unwrap_or_default().into_iter();
        let constant = |(field, value): (Arc<str>, Json)| {
            let constant = value.constant();
            if constant.is_none() {
                table.note(format!("`{key}.{field}` must be a constant"), None);
            }
            Some((field, Value::from(Serde(constant?))))
        };
        fields.filter_map(constant).collect()
    }

    /// The names of a section with their expressions, each of which has its own place.
    pub(super) fn exprs(
        &mut self,
        table: &Table<'_>,
        section: &str,
        place: impl Fn(usize) -> Visible,
    ) -> Vec<(At<String>, Expr)> {
        let exprs = table.section(section, |table| {
            let mut exprs = Vec::new();
            for (name, _) in table.entries() {
                if let Some(text) = table.text(&name.value) {
                    let place = place(exprs.len());
                    exprs.push((name, self.fragment(table, &text, place)));
                }
            }
            exprs
        });
        exprs.unwrap_or_default()
    }

    /// The same, where later expressions see the names.
    pub(super) fn named(&mut self, table: &Table<'_>, section: &str, place: impl Fn(usize) -> Visible) -> Named {
        let exprs = self.exprs(table, section, place);
        self.defined.extend(exprs.iter().map(|(name, _)| name.clone()));
        let mut named: Vec<Name> = Vec::new();
        for (name, expr) in exprs {
            let is_of_state = |variable: &String| {
                let top = variable.split('.').next().unwrap_or(variable);
                top == STATE || named.iter().any(|other| other.of_state && *other.name == *top)
            };
            let of_state = expr.variables().iter().any(is_of_state);
            named.push(Name { name: Arc::from(name.value), expr, of_state });
        }
        named.into()
    }
}

pub(super) fn headers(table: &Table<'_>) -> Vec<(String, String)> {
    let headers = table.section("headers", |headers| {
        let names = headers.entries().into_iter();
        let header = |(name, _): (At<String>, _)| {
            let value = headers.text(&name.value)?.value;
            Some((name.value, value))
        };
        names.filter_map(header).collect()
    });
    headers.unwrap_or_default()
}
