//! A person's sign-in with a code: the service hands out a code, the person enters it on a web page, and this program asks
//! until that has happened (Microsoft's page on the device code flow, RFC 8628). Later tokens come from the refresh token,
//! which lives in memory only: a run that is resumed asks the person again.
//!
//! While the code waits to be entered, every call answers a fault of the code [`PENDING`] whose message tells the person
//! what to do; so the wait has no loop here and can be shown by whoever waits.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::reply::Refusal;
use super::{Granted, Login, answered, refused, reply};
use crate::core::Secret;
use crate::services::graph::error_body::one_line;
use crate::services::{Class, Fault};

/// The code of the fault while nobody has entered the code yet.
pub(in crate::services) const PENDING: &str = "authorization_pending";

/// Where the service does not say how often it may be asked (RFC 8628, section 3.2).
const INTERVAL_S: u64 = 5;
/// What `slow_down` adds (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// Longer than any documented interval; more is a slip.
const INTERVAL_S_MAX: u64 = 60;
/// The service's usual figure is 900; more than an hour is a slip.
const CODE_LIFE_S_MAX: u64 = 60 * 60;

pub(in crate::services) struct DeviceCode {
    login: Login,
    codes: Url,
    stage: Stage,
}

enum Stage {
    /// Nobody was asked yet, or in vain.
    Idle,
    /// A person was asked.
    Asked(Asked),
    /// A person signed in.
    SignedIn(Secret),
}

struct Asked {
    device_code: Secret,
    /// What the person has to do, in words.
    prompt: String,
    interval: Duration,
    ends_at: Instant,
}

#[derive(Deserialize)]
struct CodeReply {
    device_code: String,
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    interval: Option<u64>,
}

impl DeviceCode {
    pub(super) fn new(login: Login, codes: Url) -> DeviceCode {
        DeviceCode { login, codes, stage: Stage::Idle }
    }

    pub(super) fn interval(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Asked(asked) => Some(asked.interval),
            Stage::Idle | Stage::SignedIn(_) => None,
        }
    }

    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        match &self.stage {
            Stage::Idle => Err(self.begin("").await?),
            Stage::Asked(asked) if Instant::now() >= asked.ends_at => {
                Err(self.in_vain("expired_token", "nobody entered the code while it was good"))
            }
            Stage::Asked(_) => self.poll().await,
            Stage::SignedIn(refresh) => {
                let refresh = refresh.clone();
                self.refresh(&refresh).await
            }
        }
    }

    /// Gets a code and answers the fault that asks the person to enter it.
    async fn begin(&mut self, why: &str) -> Result<Fault, Fault> {
        let form = [("client_id", self.login.client_id.as_str()), ("scope", &self.login.scope)];
        let request = self.login.client.post(self.codes.clone()).form(&form);
        let (status, headers, body) = answered(request, &self.login.secrets).await?;
        if !(200..300).contains(&status) {
            let now = std::time::SystemTime::now();
            let refusal = reply::read(status, &headers, &body, &[], now);
            // A success of another status cannot be: it was looked at above.
            return Err(refusal.err().map_or_else(|| unreadable(status), Fault::from));
        }
        let code: CodeReply = serde_json::from_slice(&body).map_err(|_| unreadable(status))?;
        let interval = code.interval.unwrap_or(INTERVAL_S).min(INTERVAL_S_MAX);
        let life = Duration::from_secs(code.expires_in.min(CODE_LIFE_S_MAX));
        let asked = Asked {
            device_code: Secret::new(code.device_code),
            prompt: one_line(&format!(
                "{why}open {} in a browser and enter the code {}",
                code.verification_uri, code.user_code
            )),
            interval: Duration::from_secs(interval),
            ends_at: Instant::now() + life,
        };
        let pending = refused(PENDING, asked.prompt.clone());
        self.stage = Stage::Asked(asked);
        Ok(pending)
    }

    async fn poll(&mut self) -> Result<Granted, Fault> {
        let Stage::Asked(asked) = &mut self.stage else {
            return Err(refused(PENDING, "nobody was asked to sign in"));
        };
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", asked.device_code.expose()),
        ];
        let refusal = match self.login.post(&form, &[&asked.device_code]).await {
            Ok(granted) => return Ok(self.signed_in(granted)),
            Err(refusal) => refusal,
        };
        match refusal.error.as_str() {
            "slow_down" => {
                asked.interval += SLOWER;
                Err(refused(PENDING, asked.prompt.clone()))
            }
            PENDING => Err(refused(PENDING, asked.prompt.clone())),
            "expired_token" => Err(self.in_vain("expired_token", "nobody entered the code while it was good")),
            "authorization_declined" | "access_denied" => {
                Err(self.in_vain("authorization_declined", "the person who was asked to sign in declined"))
            }
            _ => Err(self.given_up(refusal)),
        }
    }

    async fn refresh(&mut self, refresh: &Secret) -> Result<Granted, Fault> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        match self.login.post(&form, &[refresh]).await {
            Ok(granted) => Ok(self.signed_in(granted)),
            Err(refusal) if refusal.fault.class == Class::SignIn => {
                // It will not be accepted again; only the person can help.
                self.stage = Stage::Idle;
                let why = format!("{}; to sign in again, ", refusal.fault.brief());
                Err(self.begin(&why).await?)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn signed_in(&mut self, mut granted: Granted) -> Granted {
        let newer = granted.refresh.take();
        let old = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::SignedIn(refresh) => Some(refresh),
            Stage::Idle | Stage::Asked(_) => None,
        };
        if let Some(refresh) = newer.or(old) {
            self.stage = Stage::SignedIn(refresh);
        }
        granted
    }

    /// This code is of no more use; the next call gets another one.
    fn in_vain(&mut self, code: &str, message: &str) -> Fault {
        self.stage = Stage::Idle;
        refused(code, message)
    }

    fn given_up(&mut self, refusal: Refusal) -> Fault {
        if refusal.fault.class == Class::SignIn {
            self.stage = Stage::Idle;
        }
        refusal.into()
    }
}

fn unreadable(status: u16) -> Fault {
    Fault {
        class: Class::NotSent,
        code: "sign-in-unreadable".to_owned(),
        message: "the sign-in service answered without a code that can be read".to_owned(),
        status: Some(status),
    }
}
