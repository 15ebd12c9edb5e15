//! A person's sign-in with a code: the service hands out a code, the person enters it on a web page, and this program asks
//! until that has happened (Microsoft's page on the device code flow, RFC 8628). Later tokens come from the refresh token,
//! which lives in memory only: a run that is resumed asks the person again.
//!
//! While the code waits to be entered, every call answers a fault of the code [`PENDING`] whose message tells the person
//! what to do; so the wait has no loop here and can be shown by whoever waits.

use std::time::{Duration, SystemTime};

use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::login::{Login, answered};
use super::reply::{Granted, refusal};
use crate::core::Secret;
use crate::services::class::Class;
use crate::services::http::is_success;
use crate::services::reply::{Fault, PENDING};

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
    stage: CodeStage,
}

#[derive(Clone)]
enum CodeStage {
    /// Nobody was asked yet, or in vain.
    Idle,
    /// A person was asked.
    Asked(Asked),
    /// A person signed in.
    SignedIn(Secret),
}

#[derive(Clone)]
struct Asked {
    device_code: Secret,
    /// What the person has to do, in words.
    prompt: String,
    interval: Duration,
    /// When the service may be asked again.
    poll_at: Instant,
    ends_at: Instant,
}

impl Asked {
    fn pending(&self) -> Fault {
        Fault::sign_in(PENDING, &self.prompt)
    }
}

#[derive(Deserialize)]
struct CodeReply {
    device_code: Secret,
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    interval: Option<u64>,
}

impl DeviceCode {
    pub(super) fn new(login: Login, codes: Url) -> DeviceCode {
        DeviceCode { login, codes, stage: CodeStage::Idle }
    }

    pub(super) async fn ask(&mut self) -> Result<Granted, Fault> {
        // A clone: whoever waits may give up at any time, and then the stage stays as it is.
        match self.stage.clone() {
            CodeStage::Idle => Err(self.begin("").await?),
            CodeStage::Asked(asked) if Instant::now() >= asked.ends_at => Err(self.expired()),
            CodeStage::Asked(asked) if Instant::now() < asked.poll_at => Err(asked.pending()),
            CodeStage::Asked(asked) => self.poll(asked).await,
            CodeStage::SignedIn(refresh) => self.refresh(refresh).await,
        }
    }

    /// Gets a code and answers the fault that asks the person to enter it.
    async fn begin(&mut self, why: &str) -> Result<Fault, Fault> {
        let form = [("client_id", self.login.client_id.as_str()), ("scope", &self.login.scope)];
        let request = self.login.client.post(self.codes.clone()).form(&form);
        let (status, headers, body) = answered(request, &self.login.secrets).await?;
        if !is_success(status) {
            return Err(refusal(status, &headers, &body, &[], SystemTime::now()).into());
        }
        let code: CodeReply = serde_json::from_slice(&body).map_err(|_| {
            let message = "the sign-in service answered without a code that can be read";
            Fault::new(Class::NotSent, "sign-in-unreadable", message).with_status(status)
        })?;
        let (now, interval) = (Instant::now(), code.interval.unwrap_or(INTERVAL_S).min(INTERVAL_S_MAX));
        Ok(self.asked(Asked {
            device_code: code.device_code,
            prompt: format!("{why}open {} in a browser and enter the code {}", code.verification_uri, code.user_code),
            interval: Duration::from_secs(interval),
            poll_at: now,
            ends_at: now + Duration::from_secs(code.expires_in.min(CODE_LIFE_S_MAX)),
        }))
    }

    /// The person has not entered the code yet; the service is left alone for a while.
    fn asked(&mut self, mut asked: Asked) -> Fault {
        asked.poll_at = Instant::now() + asked.interval;
        let pending = asked.pending();
        self.stage = CodeStage::Asked(asked);
        pending
    }

    async fn poll(&mut self, mut asked: Asked) -> Result<Granted, Fault> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", asked.device_code.expose()),
        ];
        let refusal = match self.login.post(&form, &[&asked.device_code]).await {
            Ok(granted) => return Ok(self.signed_in(granted, None)),
            Err(refusal) => refusal,
        };
        Err(match refusal.error.as_str() {
            "slow_down" => {
                asked.interval += SLOWER;
                self.asked(asked)
            }
            PENDING => self.asked(asked),
            "expired_token" => self.expired(),
            "authorization_declined" | "access_denied" => {
                self.in_vain("authorization_declined", "the person who was asked to sign in declined")
            }
            _ => {
                if refusal.fault.class == Class::SignIn {
                    self.stage = CodeStage::Idle;
                }
                refusal.into()
            }
        })
    }

    async fn refresh(&mut self, refresh: Secret) -> Result<Granted, Fault> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        match self.login.post(&form, &[&refresh]).await {
            Ok(granted) => Ok(self.signed_in(granted, Some(refresh))),
            Err(refusal) if refusal.fault.class == Class::SignIn => {
                // It will not be accepted again; only the person can help.
                self.stage = CodeStage::Idle;
                let why = format!("{}; to sign in again, ", refusal.fault.brief());
                Err(self.begin(&why).await?)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Keeps the newest refresh token, if there is one.
    fn signed_in(&mut self, mut granted: Granted, old: Option<Secret>) -> Granted {
        self.stage = granted.refresh.take().or(old).map_or(CodeStage::Idle, CodeStage::SignedIn);
        granted
    }

    fn expired(&mut self) -> Fault {
        self.in_vain("expired_token", "nobody entered the code while it was good")
    }

    /// This code is of no more use; the next call gets another one.
    fn in_vain(&mut self, code: &str, message: &str) -> Fault {
        self.stage = CodeStage::Idle;
        Fault::sign_in(code, message)
    }
}
