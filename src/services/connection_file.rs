//! The connection file: TOML in, [`Connection`] or every mistake out, each with its place.
//!
//! The file is walked rather than deserialised: serde would stop at the first mistake, and could not say which key
//! was meant. Only secrets come from elsewhere, from the environment or a file of their own.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Cloud;
use super::connection::{Connection, GraphConnection, GraphLimits, is_loopback};
use super::mistake::{Mistake, Problem, example};
use super::priority::ThrottlePriority;
use crate::core::nearest;
use crate::services::budget::{Quota, parse_duration};

mod ad;
mod auth;
pub(super) use auth::Way;

const SECTIONS: [&str; 3] = ["graph", "exchange", "ad"];
const GRAPH_KEYS: [&str; 12] = [
    "tenant",
    "cloud",
    "client_id",
    "auth",
    "client_secret",
    "certificate",
    "endpoint",
    "login",
    "patience",
    "sign_in_patience",
    "throttle_priority",
    "limits",
];
const LIMIT_KEYS: [&str; 3] = ["writes", "reads", "identity_protection"];
const PATIENCE_S_MIN: u64 = 1;
const PATIENCE_S_MAX: u64 = 24 * 60 * 60;

/// Reads the text of a connection file. The mistakes are in the order of the file.
pub(super) fn read(
    path: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Connection, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, path, variable, mistakes: Vec::new() };
    if !errors.is_empty() {
        // What a parser guesses after an error would only bring more, and wrong, messages.
        for error in errors {
            let message = error.message().to_owned();
            reader.note(error.span().unwrap_or(0..0), Problem::Syntax { message });
        }
        return Err(reader.mistakes);
    }
    let connection = reader.connection(document.get_ref());
    match connection {
        Some(connection) if reader.mistakes.is_empty() => Ok(connection),
        Some(_) | None => {
            reader.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
            Err(reader.mistakes)
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

/// A table and where it stands.
struct Table<'a> {
    name: &'static str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A text and where it stands.
struct Text<'a> {
    value: &'a str,
    span: Range<usize>,
}

impl<'a> Table<'a> {
    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }
}

/// Every method that returns `None` has noted why, or the key is absent and need not be there.
impl Reader<'_> {
    fn note(&mut self, span: Range<usize>, problem: Problem) {
        self.mistakes.push(Mistake::new(self.text, &span, problem));
    }

    fn connection(&mut self, document: &DeTable<'_>) -> Option<Connection> {
        self.known_only(document, &SECTIONS, "at the top of the file");
        let Some(graph) = document.get("graph") else {
            self.note(0..0, Problem::NoGraph);
            return None;
        };
        // Read both before giving up on either, so that all mistakes are told.
        let ad = document.get("ad").map(|ad| self.ad(ad));
        if let Some(exchange) = document.get("exchange") {
            self.exchange(exchange);
        }
        let graph = self.table("graph", graph)?;
        let graph = self.graph(&graph);
        Some(Connection {
            graph: graph?,
            ad: match ad {
                Some(ad) => Some(ad?),
                None => None,
            },
        })
    }

    /// Checked, so that a file that is written for later is right then; no job of this version talks to Exchange.
    fn exchange(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(table) = self.table("exchange", value) else {
            return;
        };
        self.known_only(table.table, &GRAPH_KEYS, "in [exchange]");
        self.root(&table, "endpoint", Cloud::Global.exchange_root());
        tracing::warn!("[exchange] of the connection file is not used: the jobs of this version talk to Graph only");
    }

    fn graph(&mut self, table: &Table<'_>) -> Option<GraphConnection> {
        self.known_only(table.table, &GRAPH_KEYS, "in [graph]");
        // Read everything before giving up on anything, so that all mistakes are told.
        let cloud = self.cloud(table);
        let tenant = self.tenant(table);
        let auth = self.auth(table);
        let endpoint = self.root(table, "endpoint", cloud.graph_root());
        let login = self.root(table, "login", cloud.login_root());
        let limits = self.limits(table);
        let throttle_priority = self.throttle_priority(table);
        let patience = self.patience(table, "patience", GraphConnection::PATIENCE);
        let sign_in_patience = self.patience(table, "sign_in_patience", GraphConnection::SIGN_IN_PATIENCE);
        Some(GraphConnection {
            tenant: tenant?,
            cloud,
            auth: auth?,
            endpoint: endpoint?,
            login: login?,
            limits,
            throttle_priority,
            patience,
            sign_in_patience,
        })
    }

    fn tenant(&mut self, table: &Table<'_>) -> Option<String> {
        let tenant = self.required(table, "tenant", "\"contoso.onmicrosoft.com\"")?;
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
        let has_ends = tenant.value.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        if !has_ends || !tenant.value.chars().all(allowed) {
            let value = tenant.value.to_owned();
            self.note(tenant.span, Problem::Tenant { value });
            return None;
        }
        Some(tenant.value.to_ascii_lowercase())
    }

    /// The cloud; after a mistake the usual one, which the rest can be checked with.
    fn cloud(&mut self, table: &Table<'_>) -> Cloud {
        let Some(text) = self.optional(table, "cloud") else {
            return Cloud::Global;
        };
        Cloud::named(text.value).unwrap_or_else(|| {
            let value = text.value.to_owned();
            self.note(text.span, Problem::Cloud { value });
            Cloud::Global
        })
    }

    /// The root of a web service: the file's, or the cloud's own.
    fn root(&mut self, table: &Table<'_>, key: &'static str, default: &str) -> Option<Url> {
        let given = self.optional(table, key);
        let (value, span) = match given {
            Some(text) => (text.value, text.span),
            None if table.get(key).is_some() => return None,
            None => (default, table.span.clone()),
        };
        match root_of(key, value) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.note(span, problem);
                None
            }
        }
    }

    fn limits(&mut self, graph: &Table<'_>) -> GraphLimits {
        let limits = graph.get("limits").and_then(|limits| self.table("limits", limits));
        let Some(limits) = limits else {
            return GraphLimits::GRAPH;
        };
        self.known_only(limits.table, &LIMIT_KEYS, "in [graph.limits]");
        let writes = self.quota(&limits, "writes");
        let reads = self.quota(&limits, "reads");
        let identity_protection = self.quota(&limits, "identity_protection");
        GraphLimits::given(writes, reads, identity_protection)
    }

    fn throttle_priority(&mut self, table: &Table<'_>) -> ThrottlePriority {
        let Some(text) = self.optional(table, "throttle_priority") else {
            return ThrottlePriority::default();
        };
        ThrottlePriority::named(text.value).unwrap_or_else(|| {
            let value = text.value.to_owned();
            self.note(text.span, Problem::ThrottlePriority { value });
            ThrottlePriority::default()
        })
    }

    fn quota(&mut self, limits: &Table<'_>, key: &'static str) -> Option<Quota> {
        let text = self.optional(limits, key)?;
        text.value.parse().map_err(|error| self.note(text.span, Problem::Rate { error })).ok()
    }

    fn patience(&mut self, table: &Table<'_>, key: &'static str, default: Duration) -> Duration {
        let Some(text) = self.optional(table, key) else {
            return default;
        };
        let allowed = Duration::from_secs(PATIENCE_S_MIN)..=Duration::from_secs(PATIENCE_S_MAX);
        let patience = parse_duration(text.value).filter(|patience| allowed.contains(patience));
        patience.unwrap_or_else(|| {
            let value = text.value.to_owned();
            self.note(text.span, Problem::Patience { key, value });
            default
        })
    }

    fn known_only(&mut self, table: &DeTable<'_>, known: &'static [&'static str], place: &'static str) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let problem = Problem::UnknownKey { key: name.to_owned(), place, meant: nearest(name, known), known };
            self.note(key.span(), problem);
        }
    }

    fn table<'t>(&mut self, key: &'static str, value: &'t Spanned<DeValue<'t>>) -> Option<Table<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let expected = "a section or a table";
            self.note(value.span(), Problem::WrongType { key, expected });
        }
        Some(Table { name: key, table: table?, span: value.span() })
    }

    fn required<'t>(&mut self, table: &Table<'t>, key: &'static str, example: &'static str) -> Option<Text<'t>> {
        if table.get(key).is_none() {
            self.missing(table, key, example);
        }
        self.optional(table, key)
    }

    fn missing(&mut self, table: &Table<'_>, key: &'static str, example: &'static str) {
        let section = table.name;
        let problem = Problem::MissingKey { key, section, example };
        self.note(table.span.clone(), problem);
    }

    /// The text of a key that is there; a mistake if it is no text, or empty.
    fn optional<'t>(&mut self, table: &Table<'t>, key: &'static str) -> Option<Text<'t>> {
        let value = table.get(key)?;
        let problem = match value.get_ref().as_str() {
            Some("") => Problem::Empty { key },
            Some(text) => {
                return Some(Text { value: text, span: value.span() });
            }
            None => Problem::WrongType { key, expected: "a text in quotes" },
        };
        self.note(value.span(), problem);
        None
    }
}

/// Checks the address of a service's root. What is wrong is said without the address, which may hold a password.
fn root_of(key: &'static str, value: &str) -> Result<Url, Problem> {
    let url: Url =
        value.trim_end_matches('/').parse().map_err(|error| Problem::Url { key, reason: format!("{error}") })?;
    let reason = if !matches!(url.scheme(), "https" | "http") {
        "it begins neither with https:// nor, on loopback, with http://"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it holds a user or a password"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a query or a fragment"
    } else if url.path() != "/" {
        "it has a path"
    } else if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Problem::PlainHttp { key });
    } else {
        return Ok(url);
    };
    Err(Problem::Url { key, reason: reason.to_owned() })
}

#[cfg(test)]
#[path = "connection_file_tests.rs"]
mod tests;
