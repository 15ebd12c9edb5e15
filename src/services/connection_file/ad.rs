//! The section [ad] of a connection file: the on-premises Active Directory.

use std::sync::Arc;

use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use toml::Spanned;
use toml::de::DeValue;

use super::{Problem, Reader, Table, example};
use crate::services::connection::is_loopback;
use crate::services::{AdConnection, AdLimits};

const AD_KEYS: [&str; 7] = ["url", "start_tls", "ca", "base", "bind", "password", "limits"];
const LIMIT_KEYS: [&str; 2] = ["queries", "at_once"];

/// More queries at once bring nothing: each asks for everybody who waits.
const AT_ONCE_MAX: u32 = 16;

/// Every method that returns `None` has noted why, or the key is absent and need not be there.
impl Reader<'_> {
    pub(super) fn ad(&mut self, value: &Spanned<DeValue<'_>>) -> Option<AdConnection> {
        let table = self.table("ad", value)?;
        self.known_only(table.table, &AD_KEYS, "in [ad]");
        // Read everything before giving up on anything, so that all mistakes are told.
        let start_tls = self.start_tls(&table);
        let url = self.directory(&table, start_tls);
        let ca = match table.get("ca") {
            Some(_) => self.authorities(&table).map(Some),
            None => Some(None),
        };
        let base = self.base(&table);
        let bind = self.required(&table, "bind", example("bind"));
        // A file was just found to be readable.
        let password = self.secret(&table, "password");
        let password = password.and_then(|source| source.read().ok());
        let limits = self.ad_limits(&table);
        Some(AdConnection {
            url: url?,
            start_tls,
            ca: ca?,
            base: base?,
            bind: bind?.value.to_owned(),
            password: password?,
            limits,
        })
    }

    fn start_tls(&mut self, table: &Table<'_>) -> bool {
        let Some(value) = table.get("start_tls") else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            let expected = "true or false";
            let key = "start_tls";
            self.note(value.span(), Problem::WrongType { key, expected });
            // The rest is checked as if it were right.
            true
        })
    }

    fn directory(&mut self, table: &Table<'_>, start_tls: bool) -> Option<Url> {
        let text = self.required(table, "url", example("url"))?;
        match directory_of(text.value, start_tls) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.note(text.span, problem);
                None
            }
        }
    }

    fn authorities(&mut self, table: &Table<'_>) -> Option<Arc<RootCertStore>> {
        let text = self.optional(table, "ca")?;
        match authorities_of(&std::fs::read(self.beside(text.value))) {
            Ok(roots) => Some(Arc::new(roots)),
            Err(reason) => {
                self.note(text.span, Problem::Ca { reason });
                None
            }
        }
    }

    fn base(&mut self, table: &Table<'_>) -> Option<String> {
        let text = self.required(table, "base", example("base"))?;
        if !is_distinguished_name(text.value) {
            let value = text.value.to_owned();
            self.note(text.span, Problem::DistinguishedName { value });
            return None;
        }
        Some(text.value.to_owned())
    }

    fn ad_limits(&mut self, table: &Table<'_>) -> AdLimits {
        let mut limits = AdLimits::DEFAULT;
        let given = table.get("limits").and_then(|given| self.table("limits", given));
        let Some(given) = given else {
            return limits;
        };
        self.known_only(given.table, &LIMIT_KEYS, "in [ad.limits]");
        limits.queries = self.quota(&given, "queries").unwrap_or(limits.queries);
        if let Some(value) = given.get("at_once") {
            let number = value.get_ref().as_integer();
            let number = number.and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
            match number.filter(|number| (1..=AT_ONCE_MAX).contains(number)) {
                Some(number) => limits.at_once = number,
                None => {
                    let (key, max) = ("at_once", AT_ONCE_MAX);
                    self.note(value.span(), Problem::Count { key, max });
                }
            }
        }
        limits
    }
}

/// Checks the address of a directory. What is wrong is said without the address, which may hold a password.
fn directory_of(value: &str, start_tls: bool) -> Result<Url, Problem> {
    let of_reason = |reason: String| Problem::DirectoryUrl { reason };
    let url: Url = value.trim_end_matches('/').parse().map_err(|error| of_reason(format!("{error}")))?;
    let reason = if !matches!(url.scheme(), "ldaps" | "ldap") {
        "it begins neither with ldaps:// nor with ldap://"
    } else if url.host_str().is_none_or(str::is_empty) {
        "it names no host"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it holds a user or a password"
    } else if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        "it has a path or a query"
    } else if url.scheme() == "ldaps" && start_tls {
        return Err(Problem::StartTlsTwice);
    } else if url.scheme() == "ldap" && !start_tls && !is_loopback(&url) {
        return Err(Problem::PlainLdap);
    } else {
        return Ok(url);
    };
    Err(of_reason(reason.to_owned()))
}

fn authorities_of(file: &std::io::Result<Vec<u8>>) -> Result<RootCertStore, String> {
    let text = file.as_ref().map_err(ToString::to_string)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("the file holds no certificate in PEM".into()),
        false => Ok(roots),
    }
}

/// Whether every part has an attribute and a value; a comma that belongs to a value has a backslash before it.
fn is_distinguished_name(text: &str) -> bool {
    text.replace("\\,", "")
        .split(',')
        .all(|part| matches!(part.split_once('='), Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty()))
}
