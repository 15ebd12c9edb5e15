//! An HTTPS client that is signed in: one request out with a token, one reply in, nothing repeated.

use super::class::Class;
use super::connection::GraphConnection;
use super::http::{client, read_body, transport_fault};
use super::reply::{Fault, Reply};
use super::token::{Token, Tokens};
use super::token_claims::Claims;
use crate::core::{Method, Request, Secrets};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Response};

/// Why no client can be made. Nothing has been sent anywhere.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the HTTPS client cannot be set up")]
#[diagnostic(
    code(target::client),
    help("check that this machine has its certificate authorities installed, and its proxy settings")
)]
pub struct ClientError(#[from] reqwest::Error);

/// A reply as it came: status, headers, and the body or why there is none.
pub(super) type WireReply = (u16, HeaderMap, Result<Vec<u8>, Fault>);

/// A client with the token that all its requests share.
pub(super) struct SignedClient {
    client: Client,
    tokens: Tokens,
    /// What was sent or granted.
    pub(super) secrets: Secrets,
}

impl SignedClient {
    /// A client with these headers in each request. Sends nothing yet.
    pub(super) fn new(connection: &GraphConnection, headers: HeaderMap) -> Result<SignedClient, ClientError> {
        // An error says that a provider is in place already, which is all that is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secrets = Secrets::default();
        let login = client(&connection.login, headers.clone())?;
        Ok(SignedClient {
            tokens: Tokens::new(login, connection, secrets.clone())?,
            client: client(&connection.endpoint, headers)?,
            secrets,
        })
    }

    /// Gets a token now, and returns what it says of itself, where that can be read.
    pub(super) async fn sign_in(&self) -> Result<Option<Claims>, Fault> {
        let token = self.tokens.current().await?;
        Ok(token.claims.clone())
    }

    /// Sends a request once, with further headers. `sort` knows what the service's replies mean.
    pub(super) async fn send(
        &self,
        request: &Request,
        url: &str,
        headers: HeaderMap,
        sort: impl FnOnce(WireReply) -> Reply,
    ) -> Reply {
        let token = match self.tokens.current().await {
            Ok(token) => token,
            Err(fault) => return fault.into(),
        };
        let mut reply = match self.exchange(request, url, headers, &token).await {
            Ok(mut response) => {
                let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
                let body = read_body(response, &headers, request.expects, &self.secrets).await;
                sort((status, headers, body))
            }
            Err(fault) => fault.into(),
        };
        reply.request_id = reply.request_id.map(|id| self.secrets.strike(&id));
        match &mut reply.result {
            Ok(_) => self.tokens.accepted(),
            // Another token would fare no better.
            Err(fault) if fault.class == Class::Unauthenticated && self.tokens.refused(&token) => {
                fault.class = Class::SignIn;
            }
            // The service looks at the token before anything else, but a proxy in between may not.
            Err(_) => {}
        }
        reply
    }

    async fn exchange(
        &self,
        request: &Request,
        url: &str,
        mut headers: HeaderMap,
        token: &Token,
    ) -> Result<Response, Fault> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        // These stand in the place of others of the same name.
        headers.insert(AUTHORIZATION, token.authorization.clone());
        builder.headers(headers).send().await.map_err(transport_fault)
    }
}
