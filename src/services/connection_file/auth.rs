//! How to sign in, as a connection file says it: which way, and the keys that belong to it.
//!
//! Every way has its own keys; one that belongs to another way is a mistake and not ignored, since whoever wrote it
//! expects it to matter.

use super::{Reader, address};
use crate::core::Secret;
use crate::core::config::{Flaw, Table};
use crate::services::auth::{Auth, IdentityService, SecretSource};
use crate::services::rights::warn_of_others;
use crate::services::sign_in::certificate::Certificate;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What belongs to some ways to sign in and not to others, and what to do with such a key where it does not belong.
const OWN_KEYS: [(&str, &str); 4] = [
    ("client_id", "the Azure CLI signs in as the user who ran `az login`"),
    ("client_secret", "to sign in with a secret, write `auth = \"client-secret\"`"),
    ("certificate", "to sign in with a certificate, write `auth = \"certificate\"`"),
    ("login", "the Azure CLI knows its own, from `az cloud set`"),
];

/// A way to sign in.
#[derive(Debug, Clone, Copy)]
struct AuthWay {
    /// Its name in a connection file.
    name: &'static str,
    /// Those of [`OWN_KEYS`] that it takes.
    keys: &'static [&'static str],
    read: fn(&Reader<'_>, &Table<'_>) -> Option<Auth>,
}

/// All of them, in the order in which they are offered to people; the first is the usual one.
const WAYS: [AuthWay; 5] = [
    AuthWay {
        name: "client-secret",
        keys: &["client_id", "client_secret", "login"],
        read: |reader, table| {
            let (client_id, secret) = (client_id(table), reader.secret(table, "client_secret"));
            Some(Auth::ClientSecret { client_id: client_id?, secret: secret? })
        },
    },
    AuthWay {
        name: "certificate",
        keys: &["client_id", "certificate", "login"],
        read: |reader, table| {
            let (client_id, file) = (client_id(table), reader.certificate(table));
            Some(Auth::Certificate { client_id: client_id?, file: file? })
        },
    },
    AuthWay {
        name: "device-code",
        keys: &["client_id", "login"],
        read: |_, table| Some(Auth::DeviceCode { client_id: client_id(table)? }),
    },
    AuthWay {
        name: "managed-identity",
        keys: &["client_id", "login"],
        read: |reader, table| {
            let client_id = table.parsed("client_id", |text| Ok(text.to_owned()));
            Some(Auth::ManagedIdentity { client_id, service: reader.identity_service(table)? })
        },
    },
    AuthWay { name: "azure-cli", keys: &[], read: |_, _| Some(Auth::AzureCli) },
];

/// The root of the metadata service, the same on every Azure machine. It is reached over plain HTTP, and never leaves the
/// machine's host.
const METADATA_ROOT: &str = "http://169.254.169.254";
const APP_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const APP_HEADER: &str = "IDENTITY_HEADER";
/// Set on machines that are managed by Azure Arc, whose identity takes a file that only administrators can read.
const ARC_ENDPOINT: &str = "IMDS_ENDPOINT";

/// As long as a night's run may last.
const ENDS_SOON: Duration = Duration::from_secs(24 * 60 * 60);

fn client_id(table: &Table<'_>) -> Option<String> {
    table.require("client_id");
    table.parsed("client_id", |text| Ok(text.to_owned()))
}

impl Reader<'_> {
    pub(super) fn auth(&self, table: &Table<'_>) -> Option<Auth> {
        let ways = WAYS.map(|way| (way.name, way));
        let way = if table.has("auth") { table.one_of("auth", "a way to sign in", &ways) } else { Some(WAYS[0]) };
        for (key, instead) in OWN_KEYS {
            // Without a known way, nobody can say which keys belong.
            if let (Some(found), Some(way)) = (table.value(key), way)
                && !way.keys.contains(&key)
            {
                let message = format!("`{key}` does not belong to `auth = \"{}\"`", way.name);
                let help = match way.keys {
                    [] => format!("take it out; {instead}"),
                    keys => format!("take it out; {instead}; this way takes {}", keys.join(", ")),
                };
                table.note_at(&found.span(), message, Some(&help));
            }
        }
        way.and_then(|way| (way.read)(self, table))
    }

    /// Where the value of a secret key comes from.
    pub(super) fn secret(&self, table: &Table<'_>, key: &str) -> Option<SecretSource> {
        table.require(key);
        let value = table.value(key)?;
        let variable = key.to_ascii_uppercase();
        let either = format!("`{key} = {{ env = \"CONTOSO_{variable}\" }}`, or `{key} = {{ file = \"…\" }}`");
        if !value.get_ref().is_table() {
            let help = format!(
                "put the secret into an environment variable or a file of its own and write {either}; then renew the secret, \
                 for this file may have been copied"
            );
            table.note_at(&value.span(), format!("`{key}` holds the secret itself"), Some(&help));
            return None;
        }
        let source = table.section(key, |source| {
            if source.has("env") == source.has("file") {
                source.note(format!("`{key}` does not name exactly one source"), Some(&format!("write {either}")));
            }
            let variable = source.parsed("env", |name| self.secret_of_variable(name, key));
            variable.or(source.parsed("file", |file| self.secret_of_file(file)))
        });
        source.flatten()
    }

    fn secret_of_variable(&self, name: &str, key: &str) -> Result<SecretSource, Flaw> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.chars().all(is_name) {
            // It may be the secret itself, so the message must not repeat it.
            return Err(Flaw::new(
                format!("`{key}` names no environment variable: a name has letters, digits and `_` only"),
                "`env` takes the name of a variable, never the secret itself: `{ env = \"CONTOSO_SECRET\" }`",
            ));
        }
        let secret = (self.variable)(name).filter(|secret| !secret.is_empty());
        secret.map(|secret| SecretSource::Given(Secret::new(secret))).ok_or_else(|| {
            Flaw::new(
                format!("the environment variable `{name}` is not set, or empty, or not text"),
                format!("set `{name}` in the environment that starts this program"),
            )
        })
    }

    fn secret_of_file(&self, file: &str) -> Result<SecretSource, Flaw> {
        let path = self.folder.join(file);
        let source = SecretSource::File(path.clone());
        match source.read() {
            Ok(_) => {
                warn_of_others("secret file", &path);
                Ok(source)
            }
            Err(fault) => Err(Flaw::new(
                fault.message,
                "write the secret into it, on one line; its path counts from the connection file's directory",
            )),
        }
    }

    fn certificate(&self, table: &Table<'_>) -> Option<PathBuf> {
        table.require("certificate");
        let value = table.value("certificate")?;
        if value.get_ref().as_table().is_none_or(|source| source.get("file").is_none()) {
            let help = "write `certificate = { file = \"app.pem\" }`";
            table.note_at(&value.span(), "`certificate` does not name a file", Some(help));
            return None;
        }
        let file = table.section("certificate", |source| {
            source.parsed("file", |file| {
                let (path, now) = (self.folder.join(file), SystemTime::now());
                let certificate = Certificate::load(&path, now).map_err(|fault| {
                    let message =
                        format!("the certificate file `{}` cannot be used: {}", path.display(), fault.message);
                    Flaw::new(message, fault.advice())
                })?;
                warn_of_others("certificate file", &path);
                warn_of_the_end(&certificate, &path, now);
                Ok(path)
            })
        });
        file.flatten()
    }

    fn identity_service(&self, table: &Table<'_>) -> Option<IdentityService> {
        if table.has("login") {
            return address(table, "login", "https", false).map(IdentityService::Metadata);
        }
        let variable = |name: &str| (self.variable)(name).filter(|value| !value.is_empty());
        match (variable(APP_ENDPOINT), variable(APP_HEADER)) {
            (Some(endpoint), Some(header)) => {
                let endpoint = endpoint.parse().ok();
                if endpoint.is_none() {
                    let help =
                        format!("Azure sets `{APP_ENDPOINT}` where the app has a managed identity: unset it elsewhere");
                    table.note(format!("the environment variable `{APP_ENDPOINT}` is no address"), Some(&help));
                }
                endpoint.map(|endpoint| IdentityService::App { endpoint, header: Secret::new(header) })
            }
            (Some(_), None) if variable(ARC_ENDPOINT).is_some() => {
                let message = "this machine is managed by Azure Arc, whose identity this version cannot use";
                table.note(message, Some("use `auth = \"certificate\"` on this machine"));
                None
            }
            (Some(_) | None, None) | (None, Some(_)) => METADATA_ROOT.parse().ok().map(IdentityService::Metadata),
        }
    }
}

/// A run that begins now may still work when the certificate ends.
fn warn_of_the_end(certificate: &Certificate, path: &Path, now: SystemTime) {
    let left = certificate.ends.duration_since(now).unwrap_or_default();
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
