//! How this program proves who it is: what a connection file says about it, checked, and nothing that changes later.
//!
//! What lies in a file of its own (a secret, a certificate) is kept as a path and read again for every sign-in. So a secret
//! that expires at night can be renewed under a run that waits for it.

use std::path::PathBuf;

use reqwest::Url;

use super::reply::Fault;
use crate::core::Secret;

/// How a program proves who it is.
#[derive(Debug, Clone)]
pub enum Auth {
    /// An app, by a secret that it shares with the sign-in service.
    ClientSecret {
        /// The app's client id.
        client_id: String,
        /// Where the secret comes from.
        secret: SecretSource,
    },
    /// An app, by a certificate and its private key, both in one PEM file.
    Certificate {
        /// The app's client id.
        client_id: String,
        /// The file.
        file: PathBuf,
    },
    /// A person, who enters a code on a web page.
    DeviceCode {
        /// The client id of a public client.
        client_id: String,
    },
    /// The Azure machine or app that this program runs on.
    ManagedIdentity {
        /// The client id of a user-assigned identity; none for the machine's own.
        client_id: Option<String>,
        /// Who issues its tokens.
        service: IdentityService,
    },
    /// Whoever is signed in to the Azure CLI on this machine.
    AzureCli,
}

impl Auth {
    /// Who signs in, as far as the connection file says so.
    pub fn who(&self) -> &str {
        match self {
            Auth::ClientSecret { client_id, .. }
            | Auth::Certificate { client_id, .. }
            | Auth::DeviceCode { client_id } => client_id,
            Auth::ManagedIdentity { client_id: Some(client_id), .. } => client_id,
            Auth::ManagedIdentity { client_id: None, .. } => "the managed identity of this machine",
            Auth::AzureCli => "the account that is signed in to the Azure CLI",
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// Taken when the program began, and the same until it ends: an environment cannot be changed from outside.
    Given(Secret),
    /// A file that is read for every sign-in. White space around the secret is no part of it.
    File(PathBuf),
}

/// Who issues tokens for a managed identity.
#[derive(Debug, Clone)]
pub enum IdentityService {
    /// The metadata service of a virtual machine, by its root.
    Metadata(Url),
    /// The service that App Service, Functions and Automation name in the environment.
    App {
        /// `IDENTITY_ENDPOINT`, path included.
        endpoint: Url,
        /// `IDENTITY_HEADER`: proves that the request comes from the app.
        header: Secret,
    },
}

impl SecretSource {
    /// The secret as it is now.
    pub(super) fn read(&self) -> Result<Secret, Fault> {
        let path = match self {
            SecretSource::Given(secret) => return Ok(secret.clone()),
            SecretSource::File(path) => path,
        };
        let unusable =
            |why: String| Fault::sign_in("secret-file", format!("the secret file `{}` {why}", path.display()));
        match std::fs::read_to_string(path) {
            Ok(content) if content.trim().is_empty() => Err(unusable("is empty".to_owned())),
            Ok(content) => Ok(Secret::new(content.trim())),
            Err(error) => Err(unusable(format!("cannot be read: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Class;

    #[test]
    fn a_secret_file_is_read_again_every_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let source = SecretSource::File(path.clone());
        for written in ["old", "new\r\n"] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(source.read().unwrap().expose(), written.trim());
        }
        std::fs::write(&path, "\n").unwrap();
        let fault = source.read().unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (Class::SignIn, "secret-file"));
        assert!(fault.message.ends_with("is empty"), "{}", fault.message);
    }
}
