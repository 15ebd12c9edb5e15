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
mod machine;
mod reply;

use super::auth::{Auth, SecretSource};
use super::connection::GraphConnection;
use super::graph::{read_body, transport_fault};
use super::{Class, Fault};
use crate::core::{Expects, Secret, Secrets};
use certificate::Certificate;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Url};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use azure_cli::AzureCli;
use device_code::DeviceCode;
use machine::Machine;

pub(super) use device_code::PENDING;
use reply::Refusal;
pub use reply::{Granted, read_token_reply};

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

/// What every request of an app or a person needs.
pub(super) struct Login {
    client: Client,
    secrets: Secrets,
    /// The tenant's token endpoint.
    token: Url,
    client_id: String,
    scope: String,
}

/// Microsoft's page on the client credentials flow.
const AS_APP: (&str, &str) = ("grant_type", "client_credentials");
const ASSERTION_TYPE: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

impl Credential {
    pub(super) fn new(client: Client, connection: &GraphConnection, secrets: Secrets) -> reqwest::Result<Credential> {
        // Tokens are for Graph itself, even when it is reached through another address.
        let resource = connection.cloud.graph_root();
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
                Credential::Machine(Machine::new(service, client_id.as_deref(), resource, secrets)?)
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
                let certificate = Certificate::load(file, now);
                let assertion = certificate.and_then(|own| own.assertion(&login.client_id, login.token.as_str(), now));
                let assertion = assertion.map_err(|error| {
                    let message = format!("the certificate file `{}`: {error}", file.display());
                    Fault::new(Class::SignIn, error.code, message)
                })?;
                let form = [AS_APP, ASSERTION_TYPE, ("client_assertion", assertion.expose())];
                login.post(&form, &[&assertion]).await
            }
            Credential::DeviceCode(code) => return code.ask().await,
            Credential::Machine(machine) => return machine.ask().await,
            Credential::AzureCli(cli) => return cli.ask().await,
        };
        asked.map_err(Fault::from)
    }

    /// How long the service wants to be left alone after what it answered last, where the protocol has such a time.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self {
            Credential::DeviceCode(code) => code.interval(),
            Credential::Secret(..) | Credential::Certificate(..) | Credential::Machine(_) | Credential::AzureCli(_) => {
                None
            }
        }
    }
}

fn endpoint(connection: &GraphConnection, name: &str) -> Url {
    let mut url = connection.login.clone();
    url.set_path(&format!("{}/oauth2/v2.0/{name}", connection.tenant));
    url
}

impl Login {
    /// Posts a form to the token endpoint. `sent` is what must not come back in the service's words.
    async fn post(&self, form: &[(&str, &str)], sent: &[&Secret]) -> Result<Granted, Refusal> {
        let common = [("client_id", self.client_id.as_str()), ("scope", &self.scope)];
        let form: Vec<_> = common.iter().chain(form).collect();
        let request = self.client.post(self.token.clone()).form(&form);
        granted(request, sent, &self.secrets).await
    }
}

/// Sends a request for a token and reads what comes back.
async fn granted(request: RequestBuilder, sent: &[&Secret], secrets: &Secrets) -> Result<Granted, Refusal> {
    sent.iter().for_each(|secret| secrets.note(secret));
    let (status, headers, body) = answered(request, secrets).await.map_err(Refusal::unnamed)?;
    reply::read(status, &headers, &body, sent, SystemTime::now())
}

async fn answered(request: RequestBuilder, secrets: &Secrets) -> Result<(u16, HeaderMap, Vec<u8>), Fault> {
    let response = request.send().await.map_err(|error| not_sent(transport_fault(error)))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_body(response, Expects::Object, secrets).await.map_err(not_sent)?;
    Ok((status, headers, body))
}

/// Whatever went wrong on the way to a token, the request that needed it never left.
fn not_sent(fault: Fault) -> Fault {
    Fault { class: Class::NotSent, code: format!("sign-in-{}", fault.code), ..fault }
}
