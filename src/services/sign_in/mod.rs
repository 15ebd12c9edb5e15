//! Getting a token, in each of the ways that a connection file can name. One request a call; when to ask, and whether to
//! ask again, is decided by `token`.
//!
//! The forms are written here rather than taken from a library. azure_identity brings an HTTP client, retries and a
//! cache of its own, wants the certificate as PKCS#12 and has no device code; oauth2 hides the status and the
//! Retry-After that tell a refusal from a service that is down. What takes a library is done by one: signing
//! (ring), certificates (x509-parser), PEM (pem).

mod app;
mod azure_cli;
pub(super) mod certificate;
mod codes;
mod device_code;
mod machine;
mod reply;

use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder, Url};

use super::auth::Auth;
use super::connection::GraphConnection;
use super::graph::{read_body, transport_fault};
use super::{Class, Fault};
use crate::core::Expects;
use crate::core::Secret;
use crate::core::Secrets;
use app::App;
use azure_cli::AzureCli;
use device_code::DeviceCode;
use machine::Machine;

pub(super) use codes::{CODES, by_form};
pub(super) use device_code::PENDING;
use reply::Refusal;
pub use reply::{Granted, read_token_reply};

/// A way to get tokens, with what it remembers between them.
pub(super) enum Credential {
    App(App),
    DeviceCode(DeviceCode),
    Machine(Machine),
    AzureCli(AzureCli),
}

/// What every request of an app or a person needs.
struct Login {
    client: Client,
    secrets: Secrets,
    /// The tenant's token endpoint.
    token: Url,
    client_id: String,
    scope: String,
}

impl Credential {
    pub(super) fn new(client: Client, connection: &GraphConnection, secrets: Secrets) -> reqwest::Result<Credential> {
        // Tokens are for Graph itself, even when it is reached through another address.
        let resource = connection.cloud.graph_root();
        let login = |client_id: &str, scope: String| Login {
            client,
            secrets: secrets.clone(),
            token: endpoint(connection, "token"),
            client_id: client_id.to_owned(),
            scope,
        };
        Ok(match &connection.auth {
            Auth::ClientSecret { client_id, secret } => {
                Credential::App(App::with_secret(login(client_id, format!("{resource}/.default")), secret.clone()))
            }
            Auth::Certificate { client_id, file } => {
                Credential::App(App::with_certificate(login(client_id, format!("{resource}/.default")), file.clone()))
            }
            Auth::DeviceCode { client_id } => Credential::DeviceCode(DeviceCode::new(
                login(client_id, format!("{resource}/.default offline_access")),
                endpoint(connection, "devicecode"),
            )),
            Auth::ManagedIdentity { client_id, service } => {
                Credential::Machine(Machine::new(service.clone(), client_id.clone(), resource, secrets)?)
            }
            Auth::AzureCli => Credential::AzureCli(AzureCli { tenant: connection.tenant.clone(), resource }),
        })
    }

    /// Asks once. A fault means that no request can be sent now; its class says whether that may pass by itself.
    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        match self {
            Credential::App(app) => app.ask().await,
            Credential::DeviceCode(code) => code.ask().await,
            Credential::Machine(machine) => machine.ask().await,
            Credential::AzureCli(cli) => cli.ask().await,
        }
    }

    /// How long the service wants to be left alone after what it answered last, where the protocol has such a time.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self {
            Credential::DeviceCode(code) => code.interval(),
            Credential::App(_) | Credential::Machine(_) | Credential::AzureCli(_) => None,
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
    let (status, headers, body) = answered(request, secrets).await.map_err(unheard)?;
    reply::read(status, &headers, &body, sent, SystemTime::now())
}

async fn answered(
    request: RequestBuilder,
    secrets: &Secrets,
) -> Result<(u16, reqwest::header::HeaderMap, Vec<u8>), Fault> {
    let response = request.send().await.map_err(|error| not_sent(transport_fault(error)))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_body(response, Expects::Object, secrets).await.map_err(not_sent)?;
    Ok((status, headers, body))
}

fn unheard(fault: Fault) -> Refusal {
    Refusal { error: String::new(), fault }
}

/// Whatever went wrong on the way to a token, the request that needed it never left.
fn not_sent(fault: Fault) -> Fault {
    Fault { class: Class::NotSent, code: format!("sign-in-{}", fault.code), ..fault }
}

/// A refusal that no service had to pronounce.
fn refused(code: &str, message: impl Into<String>) -> Fault {
    Fault {
        class: Class::SignIn,
        code: code.to_owned(),
        message: super::graph::error_body::one_line(&message.into()),
        status: None,
    }
}
