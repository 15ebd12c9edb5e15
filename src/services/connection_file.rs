//! The connection file: TOML in, [`Connection`] or every mistake out, each with its place.
//!
//! Only secrets come from elsewhere, from the environment or a file of their own. No message repeats a line of the file: a
//! secret may stand in the wrong place, and error messages end up in logs and tickets.

use super::cloud::Cloud;
use super::connection::{Connection, GraphConnection, GraphLimits, THROTTLE_PRIORITIES, is_loopback};
use super::rights::warn_of_others;
use super::service::Patience;
use crate::core::config::{self, Flaw, Mistake, Table};
use crate::services::budget::{Quota, parse_duration};
use miette::Diagnostic;
use reqwest::Url;
use std::path::Path;
use std::time::Duration;

mod ad;
mod auth;

/// A value of the right form for each key.
const EXAMPLES: &str = include_str!("connection_file/examples.txt");

/// The keys of [exchange] that are known besides `endpoint`.
const EXCHANGE_KEYS: &str = "tenant cloud client_id auth client_secret certificate login patience sign_in_patience \
                             throttle_priority limits";

const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no connection. Nothing has been sent anywhere.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConnectionError {
    /// The file is not there, may not be read, or is not UTF-8.
    #[error("connection file `{path}` cannot be read")]
    #[diagnostic(
        code(target::connection_unreadable),
        help("check the path of --target and who may read the file; it must be saved as UTF-8")
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can be read but not used.
    #[error("connection file `{path}` has {}", told(mistakes))]
    #[diagnostic(code(target::connection_mistakes))]
    Mistakes {
        /// The file.
        path: String,
        /// Every mistake in it, in the order of the file.
        #[related]
        mistakes: Vec<Mistake>,
    },
}

/// The mistakes in words: the only one itself, so that a plain log line is enough; else how many there are.
fn told(mistakes: &[Mistake]) -> String {
    match mistakes {
        [only] => format!("a mistake in {only}"),
        several => format!("{} mistakes", several.len()),
    }
}

impl Connection {
    /// Reads a connection file and the secrets it points to.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes; all of them are told at once.
    pub fn load(path: &Path) -> Result<Connection, ConnectionError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConnectionError::Unreadable { path: path.display().to_string(), source })?;
        warn_of_others("connection file", path);
        Connection::parse(path, &text, &|name| std::env::var(name).ok())
    }

    /// Reads the text of a connection file; `path` is for messages and for secret files next to it, `variable` looks
    /// up an environment variable.
    ///
    /// # Errors
    /// The text has mistakes; all of them are told at once.
    pub fn parse(
        path: &Path,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Connection, ConnectionError> {
        let reader = Reader { folder: path.parent().unwrap_or(Path::new("")), variable };
        let read = config::read(text, EXAMPLES, |root| reader.connection(root));
        // What keeps a connection from being made was noted.
        read.and_then(|connection| connection.ok_or_else(Vec::new))
            .map_err(|mistakes| ConnectionError::Mistakes { path: path.display().to_string(), mistakes })
    }
}

/// What a connection file refers to.
struct Reader<'a> {
    /// Paths count from here.
    folder: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Every function that returns `None` has noted why. Sections are read to the end, so that all mistakes are told.
impl Reader<'_> {
    fn connection(&self, root: &Table<'_>) -> Option<Connection> {
        if !root.has("graph") {
            let help = "begin with the line `[graph]`, then `tenant`, `auth` and what that way to sign in needs";
            root.note("there is no section [graph]", Some(help));
        }
        let graph = root.section("graph", |graph| self.graph(graph));
        // Checked, so that a file that is written for later is right then; no job of this version talks to Exchange.
        root.section("exchange", |exchange| {
            for key in EXCHANGE_KEYS.split_whitespace() {
                exchange.value(key);
            }
            address(exchange, "endpoint", "https", false);
            tracing::warn!(
                "[exchange] of the connection file is not used: the jobs of this version talk to Graph only"
            );
        });
        let ad = root.section("ad", |ad| self.ad(ad));
        Some(Connection { graph: graph??, ad: ad.flatten() })
    }

    fn graph(&self, table: &Table<'_>) -> Option<GraphConnection> {
        table.require("tenant");
        let clouds = Cloud::ALL.map(|cloud| (cloud.name, cloud));
        let cloud = table.one_of("cloud", "a cloud", &clouds).unwrap_or(Cloud::GLOBAL);
        let tenant = table.parsed("tenant", tenant_of);
        let auth = self.auth(table);
        let root = |key, usual| match table.has(key) {
            true => address(table, key, "https", false),
            false => format!("https://{usual}").parse().ok(),
        };
        let endpoint = root("endpoint", cloud.graph);
        let login = root("login", cloud.login);
        let limits = table.section("limits", |limits| {
            let [writes, reads, protection] = ["writes", "reads", "identity_protection"].map(|key| quota(limits, key));
            GraphLimits::given(writes, reads, protection)
        });
        let priorities = THROTTLE_PRIORITIES.map(|priority| (priority, priority));
        Some(GraphConnection {
            throttle_priority: table
                .one_of("throttle_priority", "a priority", &priorities)
                .unwrap_or(THROTTLE_PRIORITIES[0]),
            patience: Patience {
                silence: patience(table, "patience").unwrap_or(Patience::USUAL.silence),
                sign_in: patience(table, "sign_in_patience").unwrap_or(Patience::USUAL.sign_in),
            },
            limits: limits.unwrap_or(GraphLimits::GRAPH),
            tenant: tenant?,
            cloud,
            auth: auth?,
            endpoint: endpoint?,
            login: login?,
        })
    }
}

fn tenant_of(text: &str) -> Result<String, Flaw> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    match text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(allowed) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Flaw::new(
            format!("`{text}` is neither a tenant's domain nor its id"),
            "write the initial domain, such as `contoso.onmicrosoft.com`, or the tenant's GUID",
        )),
    }
}

fn quota(table: &Table<'_>, key: &str) -> Option<Quota> {
    table.parsed(key, str::parse)
}

fn patience(table: &Table<'_>, key: &str) -> Option<Duration> {
    table.parsed(key, |text| {
        let patience = parse_duration(text).filter(|patience| (PATIENCE_MIN..=PATIENCE_MAX).contains(patience));
        patience.ok_or_else(|| {
            Flaw::new(
                format!("`{text}` is not a time from 1 s to 24 h"),
                format!("write a time such as `{key} = \"5m\"`, `\"90s\"` or `\"12h\"`"),
            )
        })
    })
}

/// An address with the scheme `secure`. The one without TLS ends a letter earlier, and is for loopback only, unless the connection
/// `is_protected` in another way. What is wrong is said without the address, which may hold a password.
fn address(table: &Table<'_>, key: &str, secure: &str, is_protected: bool) -> Option<Url> {
    let example = table.example(key);
    table.parsed(key, |text| address_of(key, text, example, secure, is_protected))
}

fn address_of(key: &str, text: &str, example: &str, secure: &str, is_protected: bool) -> Result<Url, Flaw> {
    let plain = secure.trim_end_matches('s');
    let (what, leaks, cure) = match secure {
        "ldaps" => ("the address of a directory", "the password", "write `ldaps://…`, or add `start_tls = true`"),
        _ => ("the root of a web service", "tokens", "use https"),
    };
    let wrong = |reason: &str| {
        Flaw::new(
            format!("`{key}` is not {what}: {reason}"),
            format!("write scheme and host, and a port where needed, as in `{key} = {example}`"),
        )
    };
    let url: Url = text.trim_end_matches('/').parse().map_err(|error| wrong(&format!("{error}")))?;
    if ![secure, plain].contains(&url.scheme()) {
        return Err(wrong(&format!("it begins neither with {secure}:// nor with {plain}://")));
    }
    let faults = [
        (url.host_str().is_none_or(str::is_empty), "it names no host"),
        (!url.username().is_empty() || url.password().is_some(), "it holds a user or a password"),
        (url.query().is_some() || url.fragment().is_some(), "it has a query or a fragment"),
        (!matches!(url.path(), "" | "/"), "it has a path"),
    ];
    if let Some((_, reason)) = faults.iter().find(|(is_so, _)| *is_so) {
        return Err(wrong(reason));
    }
    match url.scheme() == plain && !is_protected && !is_loopback(&url) {
        true => Err(Flaw::new(
            format!("`{key}` would send {leaks} in the clear: plain {plain} is for loopback addresses only"),
            cure,
        )),
        false => Ok(url),
    }
}

#[cfg(test)]
#[path = "connection_file_tests.rs"]
mod tests;
