//! The identity of the Azure machine or app that this program runs on. Its tokens come from a service that only the
//! machine can reach, over plain HTTP by design (Microsoft's pages on managed identities, and MSAL's behaviour).

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};

use super::{Granted, Refusal, granted};
use crate::core::Secret;
use crate::core::Secrets;
use crate::services::auth::IdentityService;
use crate::services::{Class, Fault};

/// The metadata service is one hop away; where nothing answers in this time, there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";
const METADATA_VERSION: &str = "2018-02-01";
const APP_VERSION: &str = "2019-08-01";

pub(in crate::services) struct Machine {
    client: Client,
    service: IdentityService,
    client_id: Option<String>,
    resource: &'static str,
    secrets: Secrets,
    /// Before the first token, silence means that there is no identity; afterwards, that the service is away.
    has_granted: bool,
}

impl Machine {
    /// A client of its own: no proxy could reach these addresses.
    pub(super) fn new(
        service: IdentityService,
        client_id: Option<String>,
        resource: &'static str,
        secrets: Secrets,
    ) -> reqwest::Result<Machine> {
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Machine { client, service, client_id, resource, secrets, has_granted: false })
    }

    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        let sent: Vec<&Secret> = match &self.service {
            IdentityService::Metadata(_) => Vec::new(),
            IdentityService::App { header, .. } => vec![header],
        };
        match granted(self.request(), &sent, &self.secrets).await {
            Ok(granted) => {
                self.has_granted = true;
                Ok(granted)
            }
            Err(refusal) => Err(self.fault(refusal)),
        }
    }

    fn request(&self) -> RequestBuilder {
        let (url, version) = match &self.service {
            IdentityService::Metadata(root) => {
                let mut url: Url = root.clone();
                url.set_path(METADATA_PATH);
                (url, METADATA_VERSION)
            }
            IdentityService::App { endpoint, .. } => (endpoint.clone(), APP_VERSION),
        };
        let mut query = vec![("api-version", version), ("resource", self.resource)];
        if let Some(client_id) = &self.client_id {
            query.push(("client_id", client_id));
        }
        let request = self.client.get(url).query(&query);
        match &self.service {
            IdentityService::Metadata(_) => request.header("Metadata", "true"),
            IdentityService::App { header, .. } => request.header("X-IDENTITY-HEADER", header.expose()),
        }
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        let fault = refusal.fault;
        match fault.status {
            // The metadata service is being updated; Microsoft's page says to come again.
            Some(404 | 410) => Fault { class: Class::NotSent, ..fault },
            None if fault.class == Class::NotSent && !self.has_granted => Fault {
                class: Class::SignIn,
                code: "no-managed-identity".to_owned(),
                message: format!("no service for managed identities replies: {}", fault.message),
                status: None,
            },
            Some(_) if fault.class == Class::SignIn => {
                Fault { code: format!("managed-identity/{}", fault.code), ..fault }
            }
            Some(_) | None => fault,
        }
    }
}
