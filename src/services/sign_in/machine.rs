//! The identity of the Azure machine or app that this program runs on. Its tokens come from a service that only the
//! machine can reach, over plain HTTP by design (Microsoft's pages on managed identities, and MSAL's behaviour).

use std::time::Duration;

use reqwest::{Client, Url};

use super::login::granted;
use super::reply::{Granted, Refusal};
use crate::core::{Secret, Secrets};
use crate::services::auth::IdentityService;
use crate::services::class::Class;
use crate::services::http::builder;
use crate::services::reply::Fault;

/// The metadata service is one hop away; where nothing answers in this time, there is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";
const METADATA_VERSION: &str = "2018-02-01";
const APP_VERSION: &str = "2019-08-01";

pub(in crate::services) struct Machine {
    client: Client,
    /// With its query.
    url: Url,
    /// What shows that the request comes from this machine or app; a secret one in the second case.
    header: (&'static str, Secret),
    secrets: Secrets,
    /// Before the first token, silence means that there is no identity; afterwards, that the service is away.
    has_granted: bool,
}

impl Machine {
    /// A client of its own: no proxy could reach these addresses.
    pub(super) fn new(
        service: &IdentityService,
        client_id: Option<&str>,
        resource: &str,
        secrets: Secrets,
    ) -> reqwest::Result<Machine> {
        let client = builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).build()?;
        let (mut url, version, header) = match service {
            IdentityService::Metadata(root) => {
                let mut url = root.clone();
                url.set_path(METADATA_PATH);
                (url, METADATA_VERSION, ("Metadata", Secret::new("true")))
            }
            IdentityService::App { endpoint, header } => {
                (endpoint.clone(), APP_VERSION, ("X-IDENTITY-HEADER", header.clone()))
            }
        };
        url.query_pairs_mut()
            .extend_pairs([("api-version", version), ("resource", resource)])
            .extend_pairs(client_id.map(|id| ("client_id", id)));
        Ok(Machine { client, url, header, secrets, has_granted: false })
    }

    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        let (name, value) = &self.header;
        self.secrets.note(value);
        let request = self.client.get(self.url.clone()).header(*name, value.expose());
        let granted = granted(request, &[], &self.secrets).await;
        self.has_granted |= granted.is_ok();
        granted.map_err(|refusal| self.fault(refusal))
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        let fault = refusal.fault;
        match fault.status {
            // The metadata service is being updated; Microsoft's page says to come again.
            Some(404 | 410) => Fault { class: Class::NotSent, ..fault },
            None if fault.class == Class::NotSent && !self.has_granted => {
                let message = format!("no service for managed identities replies: {}", fault.message);
                Fault::sign_in("no-managed-identity", message)
            }
            Some(_) if fault.class == Class::SignIn => {
                Fault { code: format!("managed-identity/{}", fault.code), ..fault }
            }
            Some(_) | None => fault,
        }
    }
}
