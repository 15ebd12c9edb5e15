//! Reading a TOML file with every mistake in it, each with its place.
//!
//! serde stops at the first mistake; the author of a job wants all of them at once. So the tree that `toml` parses, which
//! keeps the span of every key and value, is walked by hand: a [`Table`] gives out values by key and kind, notes what is
//! missing, of the wrong kind or unknown, and lets the walk go on.

use super::expr::shortened;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n    {help}"),
            None => Ok(()),
        }
    }
}

/// Mistakes of one file that are told; nobody fixes more at once.
const MISTAKES_MAX: usize = 100;

/// Entries of one table or list that are read; no job has so many.
const ENTRIES_MAX: usize = 1_000;

/// Gathers the mistakes of one file.
#[derive(Debug)]
pub struct Mistakes<'s> {
    source: &'s str,
    /// Where the lines begin.
    lines: Vec<usize>,
    found: RefCell<Vec<(usize, Mistake)>>,
    /// Mistakes that are not told.
    more: Cell<usize>,
}

impl<'s> Mistakes<'s> {
    /// An empty list for the file with this text.
    #[must_use]
    pub fn new(source: &'s str) -> Self {
        let ends = source.match_indices('\n').map(|(end, _)| end + 1);
        Mistakes {
            source,
            lines: std::iter::once(0).chain(ends).collect(),
            found: RefCell::default(),
            more: Cell::default(),
        }
    }

    /// Notes a mistake at a place of the text.
    pub fn note(&self, span: &Range<usize>, message: impl Into<String>, help: Option<String>) {
        if self.is_full() {
            self.more.set(self.more.get() + 1);
            return;
        }
        let line = self.lines.partition_point(|start| *start <= span.start);
        let line_start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.source.get(line_start..span.start).unwrap_or_default();
        let mistake = Mistake {
            line,
            column: before.chars().count() + 1,
            message: shortened(&message.into()),
            help: help.map(|help| shortened(&help)),
        };
        self.found.borrow_mut().push((span.start, mistake));
    }

    /// Whether enough is wrong: what else there is will not be told.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.found.borrow().len() >= MISTAKES_MAX
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        found.dedup();
        let mut found: Vec<Mistake> = found.into_iter().map(|(_, mistake)| mistake).collect();
        if self.more.get() > 0
            && let Some(last) = found.last_mut()
        {
            last.message
                .push_str("; there are more mistakes, which are not told");
        }
        found
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place in the text.
    pub span: Range<usize>,
}

/// A table of the file, being read.
pub struct Table<'t, 'm> {
    name: String,
    /// Where the table stands.
    pub span: Range<usize>,
    table: Option<&'t DeTable<'t>>,
    used: RefCell<BTreeSet<String>>,
    mistakes: &'m Mistakes<'m>,
}

impl<'t, 'm> Table<'t, 'm> {
    /// The file as a whole.
    #[must_use]
    pub fn root(root: &'t Spanned<DeTable<'t>>, mistakes: &'m Mistakes<'m>) -> Self {
        Table {
            name: String::new(),
            span: 0..0,
            table: Some(root.get_ref()),
            used: RefCell::default(),
            mistakes,
        }
    }

    fn child(&self, key: &str, value: &'t Spanned<DeValue<'t>>) -> Self {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_kind(key, value, "a table");
        }
        Table {
            name: self.path(key),
            span: value.span(),
            table,
            used: RefCell::default(),
            mistakes: self.mistakes,
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.used.borrow_mut().insert(key.to_owned());
        self.table?.get(key)
    }

    /// As many as are read; that there are more is a mistake.
    fn few<I: IntoIterator>(
        &self,
        name: &str,
        count: usize,
        all: I,
    ) -> std::iter::Take<I::IntoIter> {
        if count > ENTRIES_MAX {
            self.note(
                format!("`{name}` has {count} entries; {ENTRIES_MAX} are the most"),
                None,
            );
        }
        all.into_iter().take(ENTRIES_MAX)
    }

    fn wrong_kind(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let message = format!("`{}` must be {wanted}, not {found}", self.path(key));
        self.mistakes.note(&value.span(), message, None);
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Notes a mistake at the table itself.
    pub fn note(&self, message: impl Into<String>, help: Option<String>) {
        self.mistakes.note(&self.span, message, help);
    }

    /// Where mistakes are noted.
    #[must_use]
    pub fn mistakes(&self) -> &'m Mistakes<'m> {
        self.mistakes
    }

    /// A text, if it is there.
    pub fn text(&self, key: &str) -> Option<At<String>> {
        let value = self.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At {
                value: text.to_owned(),
                span: value.span(),
            }),
            None => {
                self.wrong_kind(key, value, "a text");
                None
            }
        }
    }

    /// A text, where a table may stand as well; None for that, and where there is nothing.
    pub fn text_or_table(&self, key: &str) -> Option<At<String>> {
        let value = self.get(key)?.get_ref();
        if value.as_table().is_some() {
            return None;
        }
        self.text(key)
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &str) -> Option<At<String>> {
        if self.table.is_some() && !self.has(key) {
            self.missing(key);
        }
        self.text(key)
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &str) {
        self.note(format!("`{}` is missing", self.path(key)), None);
    }

    /// A truth value; false when it is not there.
    pub fn flag(&self, key: &str) -> bool {
        let Some(value) = self.get(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_kind(key, value, "true or false");
            false
        })
    }

    /// A whole number from 1, if it is there.
    pub fn count(&self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        let positive = number.filter(|n| *n > 0);
        if positive.is_none() {
            self.wrong_kind(key, value, "a whole number from 1");
        }
        positive
    }

    /// A list of texts; empty when it is not there.
    pub fn texts(&self, key: &str) -> Vec<At<String>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_kind(key, value, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in self.few(&self.path(key), items.len(), items) {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At {
                    value: text.to_owned(),
                    span: item.span(),
                }),
                None => self.wrong_kind(key, item, "a list of texts"),
            }
        }
        texts
    }

    /// A table inside this one, if it is there.
    pub fn table(&self, key: &str) -> Option<Table<'t, 'm>> {
        let value = self.get(key)?;
        Some(self.child(key, value))
    }

    /// A list of tables; empty when it is not there.
    pub fn tables(&self, key: &str) -> Vec<Table<'t, 'm>> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(items) => {
                let items = self.few(&self.path(key), items.len(), items);
                items.map(|item| self.child(key, item)).collect()
            }
            None => {
                self.wrong_kind(key, value, "a list of tables ([[…]])");
                Vec::new()
            }
        }
    }

    /// Every value of this table with its key, in the order of the file.
    pub fn entries(&self) -> Vec<(At<String>, At<&'t DeValue<'t>>)> {
        let Some(table) = self.table else {
            return Vec::new();
        };
        let mut entries: Vec<_> = self
            .few(&self.name, table.len(), table)
            .map(|(key, value)| {
                self.used.borrow_mut().insert(key.get_ref().to_string());
                let key = At {
                    value: key.get_ref().to_string(),
                    span: key.span(),
                };
                let value = At {
                    value: value.get_ref(),
                    span: value.span(),
                };
                (key, value)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// Every table inside this one with its key, in the order of the file.
    pub fn named_tables(&self, key: &str) -> Vec<(At<String>, Table<'t, 'm>)> {
        let Some(outer) = self.table(key) else {
            return Vec::new();
        };
        let Some(table) = outer.table else {
            return Vec::new();
        };
        let mut found: Vec<_> = outer
            .few(&outer.name, table.len(), table)
            .map(|(name, value)| {
                let at = At {
                    value: name.get_ref().to_string(),
                    span: name.span(),
                };
                (at, outer.child(name.get_ref(), value))
            })
            .collect();
        found.sort_by_key(|(name, _)| name.span.start);
        found
    }

    /// Notes every key that nobody asked for, with the nearest one that is known.
    pub fn finish(self) {
        let used = self.used.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            if self.mistakes.is_full() {
                return;
            }
            if used.contains(key.get_ref().as_ref()) {
                continue;
            }
            let known: Vec<&str> = used.iter().map(String::as_str).collect();
            let message = format!("`{}` is not a key of a job", self.path(key.get_ref()));
            let help = format!("known here: {}", known.join(", "));
            self.mistakes.note(&key.span(), message, Some(help));
        }
    }
}
