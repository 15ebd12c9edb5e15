//! The access token that all requests share: asked for once, however many rows need it, and renewed ahead of its end.
//!
//! Renewal follows what MSAL does: five minutes early, and a token that is still good stays in use if that fails. A
//! failure is remembered for a while, so that hundreds of rows in flight do not each knock at a door that is shut.
//! Asks once a time; whoever needs the token decides whether to come again.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connection::{Auth, GraphConnection};
use super::graph::{read_body, transport_fault};
use super::message::{Class, Fault};
use super::secret::Secret;
use super::sign_in::{self, Granted};
use crate::pace::{Delays, Sequence};

/// As early as MSAL: time for a few more tries before the old token ends.
const RENEW_EARLY: Duration = Duration::from_secs(5 * 60);
/// How long a refusal is remembered, as in MSAL: a wrong secret does not mend itself, and asking on only hammers.
const REFUSAL_KEPT: Duration = Duration::from_secs(60);

/// A token and when to stop using it.
pub(super) struct Token {
    /// `Bearer …`, marked sensitive.
    pub(super) authorization: HeaderValue,
    renew_at: Instant,
    ends_at: Instant,
}

/// Where requests get their token.
pub(super) struct Tokens {
    client: Client,
    url: Url,
    client_id: String,
    secret: Secret,
    scope: String,
    held: RwLock<Option<Arc<Token>>>,
    /// Held while a token is asked for.
    renewal: Mutex<Renewal>,
}

struct Renewal {
    delays: Delays,
    failed: Option<Failed>,
}

struct Failed {
    fault: Fault,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(client: Client, connection: &GraphConnection) -> Tokens {
        let mut url = connection.login.clone();
        url.set_path(&format!("{}/oauth2/v2.0/token", connection.tenant));
        let Auth::ClientSecret(secret) = &connection.auth;
        Tokens {
            client,
            url,
            client_id: connection.client_id.clone(),
            secret: secret.clone(),
            // Tokens are for Graph itself, even when it is reached through another address.
            scope: format!("{}/.default", connection.cloud.graph_root()),
            held: RwLock::new(None),
            renewal: Mutex::new(Renewal {
                delays: Delays::new(Sequence::SignIn, 0),
                failed: None,
            }),
        }
    }

    /// A token that is good now. Faults mean that no request can be sent; their classes are those of a request that
    /// never left.
    pub(super) async fn current(&self) -> Result<Arc<Token>, Fault> {
        let now = Instant::now();
        match self.held() {
            Some(token) if now < token.renew_at => Ok(token),
            Some(token) if now < token.ends_at => Ok(self.renewed_early(token).await),
            Some(_) | None => {
                let mut renewal = self.renewal.lock().await;
                self.renewed(&mut renewal).await
            }
        }
    }

    /// The service refused this token. Whoever is late finds a newer one in its place and leaves that alone.
    pub(super) fn invalidate(&self, refused: &Arc<Token>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held
            .as_ref()
            .is_some_and(|token| Arc::ptr_eq(token, refused))
        {
            *held = None;
        }
    }

    fn held(&self) -> Option<Arc<Token>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// One request renews the token; the others go on with the old one meanwhile, and all do if it fails.
    async fn renewed_early(&self, old: Arc<Token>) -> Arc<Token> {
        let Ok(mut renewal) = self.renewal.try_lock() else {
            return old;
        };
        self.renewed(&mut renewal).await.unwrap_or(old)
    }

    async fn renewed(&self, renewal: &mut Renewal) -> Result<Arc<Token>, Fault> {
        let now = Instant::now();
        // Somebody else may have been here while this one waited for the lock.
        if let Some(token) = self.held().filter(|token| now < token.renew_at) {
            return Ok(token);
        }
        if let Some(failed) = renewal.failed.as_ref().filter(|failed| now < failed.until) {
            return Err(failed.fault.clone());
        }
        match self.ask().await {
            Ok(token) => {
                renewal.succeeded();
                let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
                *held = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                renewal.failed(&fault);
                Err(fault)
            }
        }
    }

    async fn ask(&self) -> Result<Arc<Token>, Fault> {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("scope", &self.scope),
            ("grant_type", "client_credentials"),
            ("client_secret", self.secret.expose()),
        ];
        let lost = |error: reqwest::Error| not_sent(transport_fault(error));
        let asked = self.client.post(self.url.clone()).form(&form).send().await;
        let response = asked.map_err(lost)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_body(response).await.map_err(not_sent)?;
        let granted = sign_in::read(status, &headers, &body, &self.secret, SystemTime::now())?;
        Token::new(&granted).map(Arc::new)
    }
}

impl Token {
    fn new(granted: &Granted) -> Result<Token, Fault> {
        let value = format!("Bearer {}", granted.token.expose());
        let mut authorization = HeaderValue::try_from(value).map_err(|_| Fault {
            class: Class::NotSent,
            code: "sign-in-unreadable".to_owned(),
            message: "the sign-in service issued a token that no header can carry".to_owned(),
            status: None,
        })?;
        authorization.set_sensitive(true);
        let now = Instant::now();
        let lifetime = granted.lifetime;
        // A life too short for the usual margin is renewed at half of it.
        let renew_after = lifetime.saturating_sub(RENEW_EARLY).max(lifetime / 2);
        Ok(Token {
            authorization,
            renew_at: now + renew_after,
            ends_at: now + lifetime,
        })
    }
}

impl Renewal {
    fn succeeded(&mut self) {
        self.failed = None;
        self.delays.reset();
    }

    fn failed(&mut self, fault: &Fault) {
        let kept = match fault.class {
            Class::SignIn => REFUSAL_KEPT,
            Class::Throttled {
                retry_after: Some(delay),
                ..
            } => delay,
            Class::Throttled { .. }
            | Class::NotSent
            | Class::InDoubt { .. }
            | Class::NotFound
            | Class::Duplicate
            | Class::InvalidValue
            | Class::Denied
            | Class::Contended
            | Class::Unsupported
            | Class::Unauthenticated
            | Class::Rejected => self.delays.next_delay(),
        };
        self.failed = Some(Failed {
            fault: fault.clone(),
            until: Instant::now() + kept,
        });
    }
}

/// Whatever went wrong on the way to a token, the request that needed it never left.
fn not_sent(fault: Fault) -> Fault {
    Fault {
        class: Class::NotSent,
        code: format!("sign-in-{}", fault.code),
        ..fault
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
