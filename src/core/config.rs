//! Walks a TOML file and gathers every mistake in it, each with its line and column.
//!
//! serde stops at the first mistake, and the author of a job or a connection wants all of them at once. So the parsed tree is
//! walked by hand: a [`Table`] hands out values by key, notes what is missing or of the wrong type, and lets the walk go on
//! with a placeholder. Keys that nobody asked for are noted when the closure that reads a table returns. [`read`] gives the
//! result only if nothing was noted:
//!
//! ```
//! use cutover::core::config;
//!
//! let read = |text| config::read(text, "port = 636", |root| {
//!     root.required_section("server", |server| server.required_text("host"))
//! });
//! let mistakes = read("[server]\nhots = \"dc1\"").unwrap_err();
//! assert_eq!(mistakes[0].to_string(), "line 1, column 1: `host` is missing in [server]");
//! assert_eq!(mistakes[1].help.as_deref(), Some("did you mean `host`?"));
//! ```
//!
//! No message repeats a value of the file unless its reader puts it there: a secret may stand in the wrong place.

use super::nearest;
use miette::Diagnostic;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Nobody fixes more mistakes at once.
const MISTAKES_MAX: usize = 100;
/// Entries of one table or list that are read.
const ENTRIES_MAX: usize = 1_000;
/// Longest text that a mistake repeats, in characters.
const TOLD_CHARS_MAX: usize = 300;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("line {line}, column {column}: {message}")]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    #[help]
    pub help: Option<String>,
}

/// A text as a message repeats it.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads a file: what `walk` makes of its top table, or every mistake in the order of the file. Of the `examples`, each line has a
/// key and a value of the right form.
///
/// # Errors
/// The mistakes. After a mistake in the syntax nothing is walked, since what a parser guesses would only bring more of them.
pub fn read<T>(source: &str, examples: &str, walk: impl FnOnce(&Table<'_>) -> T) -> Result<T, Vec<Mistake>> {
    let mistakes = Mistakes { source, examples, found: RefCell::default(), untold: Cell::default() };
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let help = "texts stand in quotes, as in `name = \"value\"`".to_owned();
        let message = format!("this is not TOML: {}", error.message());
        mistakes.note(&error.span().unwrap_or(0..0), message, Some(help));
    }
    let table = Some(root.get_ref());
    let root = Table { name: String::new(), span: 0..0, table, asked: RefCell::default(), mistakes: &mistakes };
    let walked = errors.is_empty().then(|| root.finished(walk));
    let mistakes = mistakes.into_sorted();
    walked.filter(|_| mistakes.is_empty()).ok_or(mistakes)
}

struct Mistakes<'s> {
    source: &'s str,
    examples: &'s str,
    found: RefCell<Vec<(usize, Mistake)>>,
    untold: Cell<usize>,
}

impl Mistakes<'_> {
    fn note(&self, span: &Range<usize>, message: String, help: Option<String>) {
        if self.is_full() {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        let before = self.source.get(..span.start).unwrap_or(self.source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let mistake = Mistake {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: shortened(&message),
            help: help.map(|help| shortened(&help)),
        };
        self.found.borrow_mut().push((span.start, mistake));
    }

    fn is_full(&self) -> bool {
        self.found.borrow().len() >= MISTAKES_MAX
    }

    fn example(&self, key: &str) -> Option<&str> {
        self.examples.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
    }

    fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        found.dedup();
        if let Some((_, last)) = found.last_mut().filter(|_| self.untold.get() > 0) {
            last.message.push_str("; there are more mistakes, which are not told");
        }
        found.into_iter().map(|(_, mistake)| mistake).collect()
    }
}

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Flaw {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Flaw {
    /// Both in words.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Flaw {
        Flaw { message: message.into(), help: help.into() }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

/// A table of the file, being read.
pub struct Table<'a> {
    name: String,
    span: Range<usize>,
    /// None where something else stands in its place, which was noted.
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<String>>,
    mistakes: &'a Mistakes<'a>,
}

impl<'a> Table<'a> {
    fn child(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Self {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, value, "a table");
        }
        let name = match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        };
        Table { name, span: value.span(), table, asked: RefCell::default(), mistakes: self.mistakes }
    }

    /// Whatever stands under a key.
    pub fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.borrow().iter().any(|asked| asked == key) {
            self.asked.borrow_mut().push(key.to_owned());
        }
        self.table?.get(key)
    }

    /// `[graph]`, or `the top of the file`, after a preposition.
    fn place(&self) -> String {
        match self.name.as_str() {
            "" => "at the top of the file".to_owned(),
            name => format!("in [{name}]"),
        }
    }

    /// A value of the right form for a key.
    pub fn example(&self, key: &str) -> &str {
        self.mistakes.example(key).unwrap_or("\"…\"")
    }

    /// Where the table stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Whether enough is wrong: further mistakes will not be told.
    pub fn is_full(&self) -> bool {
        self.mistakes.is_full()
    }

    /// Notes a mistake at the table itself.
    pub fn note(&self, message: impl Into<String>, help: Option<&str>) {
        self.note_at(&self.span, message, help);
    }

    /// Notes a mistake at a place of the file.
    pub fn note_at(&self, span: &Range<usize>, message: impl Into<String>, help: Option<&str>) {
        self.mistakes.note(span, message.into(), help.map(str::to_owned));
    }

    /// Notes a key that is missing.
    pub fn require(&self, key: &str) {
        // Where no table stands at all, that was noted.
        if !self.has(key) && self.table.is_some() {
            let help = self.mistakes.example(key).map(|example| format!("add `{key} = {example}`"));
            self.mistakes.note(&self.span, format!("`{key}` is missing {}", self.place()), help);
        }
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let help = self.mistakes.example(key).map(|example| format!("write a value as in `{key} = {example}`"));
        let message = format!("`{key}` must be {wanted}, not {}", value.get_ref().type_str());
        self.mistakes.note(&value.span(), message, help);
    }

    /// A text, if the key is there.
    pub fn text(&self, key: &str) -> Option<At<String>> {
        self.text_of(key, self.value(key)?, "a text in quotes")
    }

    fn text_of(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<At<String>> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, value, wanted);
        }
        Some(At { value: text?.to_owned(), span: value.span() })
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &str) -> Option<At<String>> {
        self.require(key);
        self.text(key)
    }

    /// As [`Table::required_text`], without its place; empty after a mistake.
    pub fn required_string(&self, key: &str) -> String {
        self.required_text(key).map_or_else(String::new, |text| text.value)
    }

    /// What `read` makes of a text, if the key is there; an empty text is never right.
    pub fn parsed<T>(&self, key: &str, read: impl FnOnce(&str) -> Result<T, Flaw>) -> Option<T> {
        let text = self.text(key)?;
        let read = match text.value.as_str() {
            "" => {
                let help = format!("write a value as in `{key} = {}`", self.example(key));
                Err(Flaw::new(format!("`{key}` is empty"), help))
            }
            value => read(value),
        };
        read.map_err(|flaw| self.mistakes.note(&text.span, flaw.message, Some(flaw.help))).ok()
    }

    /// What a text stands for, if the key is there. `what` names it in a message, as in `a kind of column`.
    pub fn one_of<T: Clone>(&self, key: &str, what: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = known.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is not {what}", shortened(&text.value));
            let help = format!("write one of: {}", names.join(", "));
            self.note_at(&text.span, message, Some(&help));
        }
        found.map(|(_, value)| value.clone())
    }

    /// True or false; false when the key is not there.
    pub fn flag(&self, key: &str) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(key, value, "true or false");
            false
        })
    }

    /// A whole number from 1, if the key is there.
    pub fn count(&self, key: &str) -> Option<u32> {
        let value = self.value(key)?;
        let number = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        let positive = number.filter(|n| *n > 0);
        if positive.is_none() {
            self.wrong_type(key, value, "a whole number from 1");
        }
        positive
    }

    /// A list of texts; empty when the key is not there.
    pub fn texts(&self, key: &str) -> Vec<At<String>> {
        let wanted = "a list of texts";
        self.list(key, wanted).into_iter().filter_map(|item| self.text_of(key, item, wanted)).collect()
    }

    /// As [`Table::texts`], without their places.
    pub fn strings(&self, key: &str) -> Vec<String> {
        self.texts(key).into_iter().map(|text| text.value).collect()
    }

    /// What `read` makes of a table inside this one, if the key is there.
    pub fn section<T>(&self, key: &str, read: impl FnOnce(&Table<'a>) -> T) -> Option<T> {
        let value = self.value(key)?;
        Some(self.child(key, value).finished(read))
    }

    /// As [`Table::section`], where the key must be there.
    pub fn required_section<T>(&self, key: &str, read: impl FnOnce(&Table<'a>) -> T) -> Option<T> {
        self.require(key);
        self.section(key, read)
    }

    /// What `read` makes of each table of a list (`[[key]]`).
    pub fn each<T>(&self, key: &str, mut read: impl FnMut(&Table<'a>) -> T) -> Vec<T> {
        let items = self.list(key, "a list of tables ([[…]])").into_iter();
        items.map(|item| self.child(key, item).finished(&mut read)).collect()
    }

    /// What `read` makes of each table inside the table of that key (`[key.NAME]`), in the order of the file.
    pub fn each_named<T>(&self, key: &str, mut read: impl FnMut(At<String>, &Table<'a>) -> T) -> Vec<T> {
        let all = self.section(key, |outer| {
            let inner = outer.entries().into_iter().map(|(name, value)| {
                let table = outer.child(&name.value, value);
                table.finished(|table| read(name, table))
            });
            inner.collect()
        });
        all.unwrap_or_default()
    }

    /// Every value of this table with its key, in the order of the file.
    pub fn entries(&self) -> Vec<(At<String>, &'a Spanned<DeValue<'a>>)> {
        let Some(table) = self.table else {
            return Vec::new();
        };
        let entries = self.few(&self.name, table.len(), table).map(|(key, value)| {
            let name = key.get_ref().to_string();
            self.asked.borrow_mut().push(name.clone());
            (At { value: name, span: key.span() }, value)
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    fn list(&self, key: &str, wanted: &str) -> Vec<&'a Spanned<DeValue<'a>>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, wanted);
            return Vec::new();
        };
        self.few(key, items.len(), items).collect()
    }

    fn few<I: IntoIterator>(&self, name: &str, count: usize, all: I) -> std::iter::Take<I::IntoIter> {
        if count > ENTRIES_MAX {
            self.note(format!("`{name}` has {count} entries; {ENTRIES_MAX} are the most"), None);
        }
        all.into_iter().take(ENTRIES_MAX)
    }

    /// What `read` makes of it; notes every key that it did not ask for.
    fn finished<T>(self, read: impl FnOnce(&Table<'a>) -> T) -> T {
        let read = read(&self);
        let asked = self.asked.borrow();
        let known: Vec<&str> = asked.iter().map(String::as_str).collect();
        let keys = self.table.into_iter().flatten().map(|(key, _)| key);
        for key in keys.take_while(|_| !self.mistakes.is_full()) {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let help = match nearest(name, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("unknown key `{}` {}", shortened(name), self.place());
            self.mistakes.note(&key.span(), message, Some(help));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(source: &str) -> Vec<String> {
        let examples = "port = 636";
        let walked = read(source, examples, |root| {
            root.required_section("server", |server| {
                server.required_string("host");
                server.count("port");
                server.flag("tls");
                server.one_of("kind", "a kind", &[("ad", 1), ("lds", 2)]);
                server.strings("names");
            });
            root.each("step", |step| step.required_string("name"));
        });
        let told = walked.err().unwrap_or_default().into_iter();
        told.map(|mistake| match &mistake.help {
            Some(help) => format!("{mistake} | {help}"),
            None => mistake.to_string(),
        })
        .collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        insta::assert_snapshot!(mistakes("").join("\n"), @"line 1, column 1: `server` is missing at the top of the file");
        let source = "[server]\nhots = \"ä\"\nport = 0\ntls = 1\nkind = \"da\"\nnames = [1]\nwxyz = 2\n[[step]]\n[stp]";
        insta::assert_snapshot!(mistakes(source).join("\n"), @r"
        line 1, column 1: `host` is missing in [server]
        line 2, column 1: unknown key `hots` in [server] | did you mean `host`?
        line 3, column 8: `port` must be a whole number from 1, not integer | write a value as in `port = 636`
        line 4, column 7: `tls` must be true or false, not integer
        line 5, column 8: `da` is not a kind | write one of: ad, lds
        line 6, column 10: `names` must be a list of texts, not integer
        line 7, column 1: unknown key `wxyz` in [server] | known here: host, port, tls, kind, names
        line 8, column 1: `name` is missing in [step]
        line 9, column 2: unknown key `stp` at the top of the file | did you mean `step`?
        ");
        assert!(mistakes("[server]\nhost = \"ä\"\nport = 7").is_empty());
    }

    #[test]
    fn columns_count_in_characters() {
        let found = mistakes("server = { host = \"é\", x = 1 }");
        assert!(found[0].starts_with("line 1, column 24:"), "{found:?}");
    }

    #[test]
    fn after_broken_syntax_nothing_else_is_told() {
        let found = mistakes("[server]\nhost = \n");
        assert!(found[0].starts_with("line 2, column 8: this is not TOML"), "{found:?}");
        assert_eq!(found.len(), 1);
    }
}
