//! The access token that all requests share: asked for once, however many rows need it, and renewed ahead of its end.
//!
//! Renewal follows what MSAL does: five minutes early, and a token that is still good stays in use if that fails. A
//! failure is remembered for a moment, so that hundreds of rows in flight do not each knock at a door that is shut.
//! Asks once a time; whoever needs the token decides whether to come again.

use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::class::Class;
use super::connection::GraphConnection;
use super::reply::Fault;
use super::sign_in::{Credential, Granted};
use super::token_claims::Claims;
use crate::core::Secrets;
use crate::services::budget::{Delays, Sequence};

/// As early as MSAL: time for a few more tries before the old token ends.
const RENEW_EARLY: Duration = Duration::from_secs(5 * 60);
/// A token that lives as long as this is renewed at half its life, as MSAL does: it comes from a service that may be
/// away for hours.
const LONG_LIFE: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a refusal is remembered: long enough for all rows in flight to learn of it, and shorter than the first wait
/// of a run that is held, so that each of its tries is a real one.
const REFUSAL_KEPT: Duration = Duration::from_secs(1);
/// Fresh tokens in a row that the service may refuse before that is a refusal of the sign-in as a whole: one is an expired
/// token, two a slow replica that has not seen the new one.
const REFUSED_TOKENS_MAX: u32 = 4;

/// A token and when to stop using it.
pub(super) struct Token {
    /// `Bearer …`, marked sensitive.
    pub(super) authorization: HeaderValue,
    /// What it says of itself, where that can be read.
    pub(super) claims: Option<Claims>,
    renew_at: Instant,
    ends_at: Instant,
}

/// Where requests get their token.
pub(super) struct Tokens {
    held: RwLock<Held>,
    /// Held while a token is asked for.
    renewal: Mutex<Renewal>,
    secrets: Secrets,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// Tokens that the service refused, since it took one.
    refused_in_a_row: u32,
}

struct Renewal {
    credential: Credential,
    delays: Delays,
    /// The last failure, and how long it is remembered.
    failed: Option<(Fault, Instant)>,
}

impl Tokens {
    /// What is sent or granted is noted in `secrets`.
    pub(super) fn new(client: Client, connection: &GraphConnection, secrets: Secrets) -> reqwest::Result<Tokens> {
        Ok(Tokens {
            held: RwLock::default(),
            renewal: Mutex::new(Renewal {
                credential: Credential::new(client, connection, secrets.clone())?,
                delays: Delays::new(Sequence::Probe, 0),
                failed: None,
            }),
            secrets,
        })
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

    /// The service took this token.
    pub(super) fn accepted(&self) {
        // Nearly always nothing is to be changed, and readers do not keep each other out.
        if self.held.read().refused_in_a_row > 0 {
            self.held.write().refused_in_a_row = 0;
        }
    }

    /// The service refused this token. Whoever is late finds a newer one in its place and leaves that alone. Answers
    /// whether so many tokens in a row were refused that another one will not help.
    pub(super) fn refused(&self, refused: &Arc<Token>) -> bool {
        let mut held = self.held.write();
        let is_held = held.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused));
        if is_held {
            held.token = None;
            held.refused_in_a_row = held.refused_in_a_row.saturating_add(1);
        }
        held.refused_in_a_row >= REFUSED_TOKENS_MAX
    }

    fn held(&self) -> Option<Arc<Token>> {
        self.held.read().token.clone()
    }

    /// One request renews the token; the others go on with the old one meanwhile, and all do if it fails.
    async fn renewed_early(&self, old: Arc<Token>) -> Arc<Token> {
        let renewal = self.renewal.try_lock().ok().filter(|renewal| renewal.failing().is_none());
        let Some(mut renewal) = renewal else {
            return old;
        };
        match self.renewed(&mut renewal).await {
            Ok(token) => token,
            Err(fault) => {
                let left_s = old.ends_at.saturating_duration_since(Instant::now()).as_secs();
                tracing::warn!(
                    "the sign-in cannot be renewed ({}); the old one is good for another {left_s} s; {}",
                    fault.words(),
                    fault.advice()
                );
                old
            }
        }
    }

    async fn renewed(&self, renewal: &mut Renewal) -> Result<Arc<Token>, Fault> {
        let now = Instant::now();
        // Somebody else may have been here while this one waited for the lock.
        if let Some(token) = self.held().filter(|token| now < token.renew_at) {
            return Ok(token);
        }
        if let Some(fault) = renewal.failing() {
            return Err(fault.clone());
        }
        let asked = renewal.credential.ask().await.inspect(|granted| {
            self.secrets.note(&granted.token);
            granted.refresh.iter().for_each(|token| self.secrets.note(token));
        });
        match asked.and_then(|granted| Token::new(&granted)) {
            Ok(token) => {
                let token = Arc::new(token);
                renewal.failed = None;
                renewal.delays.reset();
                self.held.write().token = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                let kept = match fault.class {
                    // How often the service may be asked for somebody is the credential's business.
                    _ if fault.awaits_person() => Duration::ZERO,
                    Class::SignIn => REFUSAL_KEPT,
                    class => class.retry_after().unwrap_or_else(|| renewal.delays.next_delay()),
                };
                renewal.failed = Some((fault.clone(), Instant::now() + kept));
                Err(fault)
            }
        }
    }
}

impl Token {
    fn new(granted: &Granted) -> Result<Token, Fault> {
        let value = format!("Bearer {}", granted.token.expose());
        let mut authorization = HeaderValue::try_from(value).map_err(|_| {
            let message = "the sign-in service issued a token that no header can carry";
            Fault::new(Class::NotSent, "sign-in-unreadable", message)
        })?;
        authorization.set_sensitive(true);
        let now = Instant::now();
        let lifetime = granted.lifetime;
        // A life too short for the usual margin is renewed at half of it.
        let renew_after =
            if lifetime >= LONG_LIFE { lifetime / 2 } else { lifetime.saturating_sub(RENEW_EARLY).max(lifetime / 2) };
        Ok(Token {
            authorization,
            claims: Claims::of(granted.token.expose()),
            renew_at: now + renew_after,
            ends_at: now + lifetime,
        })
    }
}

impl Renewal {
    /// The last failure, while it is remembered.
    fn failing(&self) -> Option<&Fault> {
        self.failed.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(fault, _)| fault)
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
