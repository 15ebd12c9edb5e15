//! How to sign in, as a connection file says it: which way, and the keys that belong to it.
//!
//! Every way has its own keys; one that belongs to another way is a mistake and not ignored, since whoever wrote it
//! expects it to matter.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reqwest::Url;
use toml::Spanned;
use toml::de::DeValue;

use super::{Reader, Table, Text};
use crate::core::Secret;
use crate::services::auth::{Auth, IdentityService, SecretSource};
use crate::services::mistake::{Problem, example};
use crate::services::rights::warn_of_others;
use crate::services::sign_in::certificate::Certificate;

const SOURCE_KEYS: [&str; 2] = ["env", "file"];
const FILE_KEYS: [&str; 1] = ["file"];
/// What belongs to some ways to sign in and not to others.
const AUTH_KEYS: [&str; 4] = ["client_id", "client_secret", "certificate", "login"];

/// The root of the metadata service, the same on every Azure machine. It is reached over plain HTTP, and never leaves the
/// machine's host.
const METADATA_ROOT: &str = "http://169.254.169.254";
const APP_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const APP_HEADER: &str = "IDENTITY_HEADER";
/// Set on machines that are managed by Azure Arc, whose identity takes a file that only administrators can read.
const ARC_ENDPOINT: &str = "IMDS_ENDPOINT";

/// As long as a night's run may last.
const ENDS_SOON: Duration = Duration::from_secs(24 * 60 * 60);

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services) enum Way {
    ClientSecret,
    Certificate,
    DeviceCode,
    ManagedIdentity,
    AzureCli,
}

impl Way {
    /// All of them, in the order in which they are offered to people.
    pub(in crate::services) const ALL: [Way; 5] =
        [Way::ClientSecret, Way::Certificate, Way::DeviceCode, Way::ManagedIdentity, Way::AzureCli];

    /// The name in a connection file.
    pub(in crate::services) const fn name(self) -> &'static str {
        match self {
            Way::ClientSecret => "client-secret",
            Way::Certificate => "certificate",
            Way::DeviceCode => "device-code",
            Way::ManagedIdentity => "managed-identity",
            Way::AzureCli => "azure-cli",
        }
    }

    /// Those of the keys that not every way takes.
    pub(in crate::services) const fn keys(self) -> &'static [&'static str] {
        match self {
            Way::ClientSecret => &["client_id", "client_secret", "login"],
            Way::Certificate => &["client_id", "certificate", "login"],
            Way::DeviceCode | Way::ManagedIdentity => &["client_id", "login"],
            Way::AzureCli => &[],
        }
    }
}

impl Reader<'_> {
    pub(super) fn auth(&mut self, table: &Table<'_>) -> Option<Auth> {
        // Without a known way, nobody can say which keys belong.
        let way = self.way(table)?;
        self.own_keys_only(table, way);
        match way {
            Way::ClientSecret => {
                let client_id = self.client_id(table);
                let secret = self.secret(table, "client_secret");
                Some(Auth::ClientSecret { client_id: client_id?, secret: secret? })
            }
            Way::Certificate => {
                let client_id = self.client_id(table);
                let file = self.certificate(table);
                Some(Auth::Certificate { client_id: client_id?, file: file? })
            }
            Way::DeviceCode => Some(Auth::DeviceCode { client_id: self.client_id(table)? }),
            Way::ManagedIdentity => {
                let client_id = self.optional(table, "client_id");
                let client_id = client_id.map(|text| text.value.to_owned());
                let service = self.identity_service(table)?;
                Some(Auth::ManagedIdentity { client_id, service })
            }
            Way::AzureCli => Some(Auth::AzureCli),
        }
    }

    fn way(&mut self, table: &Table<'_>) -> Option<Way> {
        let Some(text) = self.optional(table, "auth") else {
            // What is there and no text was noted.
            return table.get("auth").is_none().then_some(Way::ClientSecret);
        };
        let way = Way::ALL.into_iter().find(|way| way.name() == text.value);
        if way.is_none() {
            let value = text.value.to_owned();
            self.note(text.span, Problem::Auth { value });
        }
        way
    }

    fn own_keys_only(&mut self, table: &Table<'_>, way: Way) {
        for key in AUTH_KEYS {
            if way.keys().contains(&key) {
                continue;
            }
            if let Some((found, _)) = table.table.get_key_value(key) {
                self.note(found.span(), Problem::KeyOfOtherWay { key, way });
            }
        }
    }

    fn client_id(&mut self, table: &Table<'_>) -> Option<String> {
        let text = self.required(table, "client_id", "\"the app's client id\"")?;
        Some(text.value.to_owned())
    }

    /// Where the value of a secret key is to be had.
    pub(super) fn secret(&mut self, table: &Table<'_>, key: &'static str) -> Option<SecretSource> {
        let Some(value) = table.get(key) else {
            self.missing(table, key, example(key));
            return None;
        };
        let Some(source) = value.get_ref().as_table() else {
            self.note(value.span(), Problem::SecretInFile { key });
            return None;
        };
        let source = Table { name: key, table: source, span: value.span() };
        self.known_only(source.table, &SOURCE_KEYS, "next to the name of a secret's source");
        let variable = self.optional(&source, "env");
        let file = self.optional(&source, "file");
        match (variable, file) {
            (Some(variable), None) => self.secret_of_variable(variable, key),
            (None, Some(file)) => self.secret_of_file(file),
            (None, None) | (Some(_), Some(_)) => {
                self.note(source.span, Problem::SecretSource { key });
                None
            }
        }
    }

    fn secret_of_variable(&mut self, name: Text<'_>, key: &'static str) -> Option<SecretSource> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.value.chars().all(is_name) {
            // It may be the secret itself, so the message must not repeat it.
            self.note(name.span, Problem::VariableName { key });
            return None;
        }
        let secret = (self.variable)(name.value).filter(|secret| !secret.is_empty());
        if secret.is_none() {
            let value = name.value.to_owned();
            self.note(name.span, Problem::VariableUnset { name: value });
        }
        secret.map(Secret::new).map(SecretSource::Given)
    }

    fn secret_of_file(&mut self, file: Text<'_>) -> Option<SecretSource> {
        let path = self.beside(file.value);
        let shown = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(content) if content.trim().is_empty() => {
                self.note(file.span, Problem::SecretFileEmpty { path: shown });
                None
            }
            Ok(_) => {
                warn_of_others("secret file", &path);
                Some(SecretSource::File(path))
            }
            Err(error) => {
                let reason = error.to_string();
                self.note(file.span, Problem::SecretFile { path: shown, reason });
                None
            }
        }
    }

    fn certificate(&mut self, table: &Table<'_>) -> Option<PathBuf> {
        let Some(value) = table.get("certificate") else {
            self.missing(table, "certificate", "{ file = \"app.pem\" }");
            return None;
        };
        let file = self.file(value)?;
        let path = self.beside(file.value);
        let now = SystemTime::now();
        match Certificate::load(&path, now) {
            Ok(certificate) => {
                warn_of_others("certificate file", &path);
                warn_of_the_end(&certificate, &path, now);
                Some(path)
            }
            Err(error) => {
                let path = path.display().to_string();
                self.note(file.span, Problem::Certificate { path, error });
                None
            }
        }
    }

    fn file<'t>(&mut self, value: &'t Spanned<DeValue<'t>>) -> Option<Text<'t>> {
        let Some(source) = value.get_ref().as_table() else {
            self.note(value.span(), Problem::CertificateSource);
            return None;
        };
        let source = Table { name: "certificate", table: source, span: value.span() };
        self.known_only(source.table, &FILE_KEYS, "in `certificate`");
        if source.get("file").is_none() {
            self.note(source.span.clone(), Problem::CertificateSource);
        }
        self.optional(&source, "file")
    }

    /// A path in the connection file counts from its directory.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    fn identity_service(&mut self, table: &Table<'_>) -> Option<IdentityService> {
        if table.get("login").is_some() {
            return self.root(table, "login", METADATA_ROOT).map(IdentityService::Metadata);
        }
        let variable = |name: &str| (self.variable)(name).filter(|value| !value.is_empty());
        let named = (variable(APP_ENDPOINT), variable(APP_HEADER));
        let has_arc = variable(ARC_ENDPOINT).is_some();
        match named {
            (Some(endpoint), Some(header)) => {
                let endpoint = self.app_endpoint(table, &endpoint)?;
                let header = Secret::new(header);
                Some(IdentityService::App { endpoint, header })
            }
            (Some(_), None) if has_arc => {
                self.note(table.span.clone(), Problem::IdentityOfArc);
                None
            }
            (Some(_) | None, None) | (None, Some(_)) => {
                let root = METADATA_ROOT.parse().ok()?;
                Some(IdentityService::Metadata(root))
            }
        }
    }

    fn app_endpoint(&mut self, table: &Table<'_>, value: &str) -> Option<Url> {
        let endpoint = value.parse().ok();
        if endpoint.is_none() {
            let name = APP_ENDPOINT;
            self.note(table.span.clone(), Problem::IdentityEndpoint { name });
        }
        endpoint
    }
}

/// A run that begins now may still work when the certificate ends.
fn warn_of_the_end(certificate: &Certificate, path: &Path, now: SystemTime) {
    let left = certificate.ends().duration_since(now).unwrap_or_default();
    if left < ENDS_SOON {
        tracing::warn!(
            "the certificate in `{}` ends in {} min; a run that needs it after that waits until a new one lies in its place",
            path.display(),
            left.as_secs() / 60
        );
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
