//! One request for a token, as every flow sends it.

use super::reply::{Granted, Refusal, read_token_reply};
use crate::core::{Expects, Secret, Secrets};
use crate::services::class::Class;
use crate::services::http::{read_body, transport_fault};
use crate::services::reply::Fault;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Url};
use std::time::SystemTime;

/// What every request of an app or a person needs.
pub(in crate::services) struct Login {
    pub(super) client: Client,
    pub(super) secrets: Secrets,
    /// The tenant's token endpoint.
    pub(super) token: Url,
    pub(super) client_id: String,
    pub(super) scope: String,
}

impl Login {
    /// Posts a form to the token endpoint. `sent` is what must not come back in the service's words.
    pub(super) async fn post(&self, form: &[(&str, &str)], sent: &[&Secret]) -> Result<Granted, Refusal> {
        let common = [("client_id", self.client_id.as_str()), ("scope", &self.scope)];
        let form: Vec<_> = common.iter().chain(form).collect();
        let request = self.client.post(self.token.clone()).form(&form);
        granted(request, sent, &self.secrets).await
    }
}

/// Sends a request for a token and reads what comes back.
pub(super) async fn granted(request: RequestBuilder, sent: &[&Secret], secrets: &Secrets) -> Result<Granted, Refusal> {
    sent.iter().for_each(|secret| secrets.note(secret));
    let (status, headers, body) = answered(request, secrets).await?;
    read_token_reply(status, &headers, &body, sent, SystemTime::now())
}

/// Sends a request. Whatever goes wrong on the way to a token, the request that needed it never left.
pub(super) async fn answered(request: RequestBuilder, secrets: &Secrets) -> Result<(u16, HeaderMap, Vec<u8>), Fault> {
    let not_sent = |fault: Fault| Fault { class: Class::NotSent, code: format!("sign-in-{}", fault.code), ..fault };
    let response = request.send().await.map_err(|error| not_sent(transport_fault(error)))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_body(response, &headers, Expects::Object, secrets).await.map_err(not_sent)?;
    Ok((status, headers, body))
}
