//! An app's own sign-in: client credentials, proven by a secret or by a certificate (Microsoft's page on the client
//! credentials flow). There is never a refresh token; whoever needs another token asks again.

use std::path::PathBuf;
use std::time::SystemTime;

use super::certificate::{Certificate, CertificateError};
use super::{Granted, Login, refused};
use crate::core::Secret;
use crate::services::Fault;
use crate::services::auth::SecretSource;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");
const ASSERTION_TYPE: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

pub(in crate::services) struct App {
    login: Login,
    proof: Proof,
}

enum Proof {
    Secret(SecretSource),
    Certificate(PathBuf),
}

impl App {
    pub(super) fn with_secret(login: Login, secret: SecretSource) -> App {
        App { login, proof: Proof::Secret(secret) }
    }

    pub(super) fn with_certificate(login: Login, file: PathBuf) -> App {
        App { login, proof: Proof::Certificate(file) }
    }

    pub(super) async fn ask(&self) -> Result<Granted, Fault> {
        let asked = match &self.proof {
            Proof::Secret(source) => {
                let secret = source.read()?;
                let form = [GRANT, ("client_secret", secret.expose())];
                self.login.post(&form, &[&secret]).await
            }
            Proof::Certificate(file) => {
                let assertion = self.assertion(file).map_err(|error| {
                    let message = format!("the certificate file `{}`: {error}", file.display());
                    refused(error.code(), message)
                })?;
                let form = [GRANT, ASSERTION_TYPE, ("client_assertion", assertion.expose())];
                self.login.post(&form, &[&assertion]).await
            }
        };
        asked.map_err(Fault::from)
    }

    fn assertion(&self, file: &std::path::Path) -> Result<Secret, CertificateError> {
        let now = SystemTime::now();
        let certificate = Certificate::load(file, now)?;
        certificate.assertion(&self.login.client_id, self.login.token.as_str(), now)
    }
}
