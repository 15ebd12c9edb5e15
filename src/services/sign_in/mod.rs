//! Getting a token, in each of the ways that a connection file can name. One request a call; when to ask, and whether to
//! ask again, is decided by `token`.
//!
//! The forms are written here rather than taken from a library. azure_identity brings an HTTP client, retries and a
//! cache of its own, wants the certificate as PKCS#12 and has no device code; oauth2 hides the status and the
//! Retry-After that tell a refusal from a service that is down. What takes a library is done by one: signing
//! (ring), certificates (x509-parser), PEM (pem).

mod azure_cli;
pub(super) mod certificate;
mod device_code;
mod login;
mod machine;
mod reply;

use super::auth::{Auth, SecretSource};
use super::connection::GraphConnection;
use super::reply::Fault;
use crate::core::Secrets;
use azure_cli::AzureCli;
use certificate::Certificate;
use device_code::DeviceCode;
use login::Login;
use machine::Machine;
use reqwest::{Client, Url};
use std::path::PathBuf;
use std::time::SystemTime;

pub use reply::{Granted, Refusal, read_token_reply};

/// A way to get tokens, with what it remembers between them.
pub(super) enum Credential {
    /// An app by its secret. There is never a refresh token; whoever needs another token asks again.
    Secret(Login, SecretSource),
    /// An app by its certificate, likewise.
    Certificate(Login, PathBuf),
    DeviceCode(DeviceCode),
    Machine(Machine),
    AzureCli(AzureCli),
}

/// Microsoft's page on the client credentials flow.
const AS_APP: (&str, &str) = ("grant_type", "client_credentials");
const ASSERTION_TYPE: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

impl Credential {
    pub(super) fn new(client: Client, connection: &GraphConnection, secrets: Secrets) -> reqwest::Result<Credential> {
        // Tokens are for Graph itself, even when it is reached through another address.
        let resource = format!("https://{}", connection.cloud.graph);
        let login = |client_id: &str, more: &str| Login {
            client,
            secrets: secrets.clone(),
            token: endpoint(connection, "token"),
            client_id: client_id.to_owned(),
            scope: format!("{resource}/.default{more}"),
        };
        Ok(match &connection.auth {
            Auth::ClientSecret { client_id, secret } => Credential::Secret(login(client_id, ""), secret.clone()),
            Auth::Certificate { client_id, file } => Credential::Certificate(login(client_id, ""), file.clone()),
            Auth::DeviceCode { client_id } => {
                let login = login(client_id, " offline_access");
                Credential::DeviceCode(DeviceCode::new(login, endpoint(connection, "devicecode")))
            }
            Auth::ManagedIdentity { client_id, service } => {
                Credential::Machine(Machine::new(service, client_id.as_deref(), &resource, secrets)?)
            }
            Auth::AzureCli => Credential::AzureCli(AzureCli { tenant: connection.tenant.clone(), resource }),
        })
    }

    /// Asks once. A fault means that no request can be sent now; its class says whether that may pass by itself.
    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        let asked = match self {
            Credential::Secret(login, source) => {
                let secret = source.read()?;
                login.post(&[AS_APP, ("client_secret", secret.expose())], &[&secret]).await
            }
            Credential::Certificate(login, file) => {
                let now = SystemTime::now();
                let own = |fault: Fault| {
                    let message = format!("the certificate file `{}`: {}", file.display(), fault.message);
                    Fault { message, ..fault }
                };
                let certificate = Certificate::load(file, now).map_err(own)?;
                let assertion = certificate.assertion(&login.client_id, login.token.as_str(), now).map_err(own)?;
                let form = [AS_APP, ASSERTION_TYPE, ("client_assertion", assertion.expose())];
                login.post(&form, &[&assertion]).await
            }
            Credential::DeviceCode(code) => return code.ask().await,
            Credential::Machine(machine) => return machine.ask().await,
            Credential::AzureCli(cli) => return cli.ask().await,
        };
        asked.map_err(Fault::from)
    }
}

fn endpoint(connection: &GraphConnection, name: &str) -> Url {
    let mut url = connection.login.clone();
    url.set_path(&format!("{}/oauth2/v2.0/{name}", connection.tenant));
    url
}
