//! Device codes that were handed out, and the refresh tokens of those who signed in with one.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::SimTime;
use super::denial::Denial;
use super::sign_in::{Approval, SignIn};

/// Digits of the code that a person types.
const USER_CODE_DIGITS: usize = 9;
/// Codes and refresh tokens remembered; a client needs one at a time.
const REMEMBERED_MAX: usize = 1_000;
/// What asking too soon adds (RFC 8628, section 3.5).
const SLOWER_MS: u64 = 5_000;

#[derive(Debug)]
struct IssuedCode {
    user_code: String,
    polls: u32,
    asked_at: SimTime,
    interval_ms: u64,
    ends_at: SimTime,
    is_entered: bool,
}

/// What was handed out so far.
#[derive(Debug, Default)]
pub(super) struct Devices {
    codes: HashMap<String, IssuedCode>,
    refresh_tokens: HashSet<String>,
}

impl Devices {
    /// Hands out a code, in the body of a reply.
    pub(super) fn begin(&mut self, settings: &SignIn, root: &str, now: SimTime, identity: &Identity) -> Value {
        if self.codes.len() >= REMEMBERED_MAX {
            self.codes.clear();
        }
        let device_code = identity.secret_text();
        let digits = identity.request_id().simple().to_string().to_uppercase();
        let user_code = &digits[..USER_CODE_DIGITS];
        let page = format!("{root}/devicelogin");
        let code = IssuedCode {
            user_code: user_code.to_owned(),
            polls: 0,
            asked_at: now,
            interval_ms: settings.interval_s.saturating_mul(1_000),
            ends_at: now.plus_ms(settings.code_life_s.saturating_mul(1_000)),
            is_entered: false,
        };
        self.codes.insert(device_code.clone(), code);
        json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "expires_in": settings.code_life_s,
            "interval": settings.interval_s,
            "message": format!("To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."),
        })
    }

    /// Somebody entered a code on the page. Answers whether there is such a code.
    pub(super) fn enter(&mut self, user_code: &str, now: SimTime) -> bool {
        let code = self.codes.values_mut().find(|code| code.user_code == user_code && now < code.ends_at);
        code.map(|code| code.is_entered = true).is_some()
    }

    /// Asked whether somebody has signed in with a code.
    pub(super) fn poll(&mut self, device_code: &str, approval: Approval, now: SimTime) -> Result<(), Denial> {
        let code = self.codes.get_mut(device_code).ok_or(Denial::CODE_UNKNOWN)?;
        if now >= code.ends_at {
            return Err(Denial::CODE_EXPIRED);
        }
        if now.ms_since(code.asked_at) < code.interval_ms {
            code.interval_ms += SLOWER_MS;
            code.asked_at = now;
            return Err(Denial::SLOW_DOWN);
        }
        code.asked_at = now;
        code.polls += 1;
        let decided = match approval {
            Approval::AfterPolls(polls) if code.polls > polls => Ok(()),
            Approval::DeclinedAfterPolls(polls) if code.polls > polls => Err(Denial::DECLINED),
            Approval::OnPage if code.is_entered => Ok(()),
            Approval::AfterPolls(_) | Approval::DeclinedAfterPolls(_) | Approval::OnPage => Err(Denial::PENDING),
        };
        if decided.is_ok() {
            self.codes.remove(device_code);
        }
        decided
    }

    /// A refresh token for somebody who has signed in.
    pub(super) fn refresh_token(&mut self, identity: &Identity) -> String {
        if self.refresh_tokens.len() >= REMEMBERED_MAX {
            self.refresh_tokens.clear();
        }
        let token = format!("refresh.{}", identity.request_id().simple());
        self.refresh_tokens.insert(token.clone());
        token
    }

    /// Takes a refresh token, as often as the settings allow.
    pub(super) fn refresh(&self, token: &str, settings: &mut SignIn) -> Result<(), Denial> {
        if !self.refresh_tokens.contains(token) {
            return Err(Denial::REFRESH);
        }
        if let Some(left) = &mut settings.refreshes {
            *left = left.checked_sub(1).ok_or(Denial::REFRESH)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(settings: &SignIn) -> (Devices, Value) {
        let mut devices = Devices::default();
        let body = devices.begin(settings, "http://x", SimTime(0), &Identity::for_test(1));
        (devices, body)
    }

    #[test]
    fn a_code_waits_for_its_person_and_wants_to_be_asked_slowly() {
        let settings = SignIn::default();
        let (mut devices, body) = begun(&settings);
        let code = body["device_code"].as_str().unwrap();
        let mut poll = |ms| devices.poll(code, Approval::AfterPolls(1), SimTime(ms));
        assert_eq!(poll(4_999), Err(Denial::SLOW_DOWN));
        assert_eq!(poll(10_000), Err(Denial::SLOW_DOWN));
        assert_eq!(poll(25_000), Err(Denial::PENDING));
        assert_eq!(poll(40_000), Ok(()));
        assert_eq!(poll(60_000), Err(Denial::CODE_UNKNOWN));
    }

    #[test]
    fn a_code_is_entered_declined_or_expires() {
        let settings = SignIn::default();
        let (mut devices, body) = begun(&settings);
        let code = body["device_code"].as_str().unwrap().to_owned();
        let mut poll = |approval, s: i64| devices.poll(&code, approval, SimTime(s * 1_000));
        assert_eq!(poll(Approval::OnPage, 5), Err(Denial::PENDING));
        assert_eq!(poll(Approval::DeclinedAfterPolls(1), 10), Err(Denial::DECLINED));
        assert_eq!(poll(Approval::OnPage, 900), Err(Denial::CODE_EXPIRED));
        assert!(!devices.enter(body["user_code"].as_str().unwrap(), SimTime(900_000)));
        assert!(!devices.enter("other", SimTime(0)));
        assert!(devices.enter(body["user_code"].as_str().unwrap(), SimTime(899_999)));
    }

    #[test]
    fn refresh_tokens_are_good_as_often_as_the_settings_say() {
        let mut settings = SignIn { refreshes: Some(1), ..SignIn::default() };
        let (mut devices, _) = begun(&settings);
        let token = devices.refresh_token(&Identity::for_test(2));
        assert_eq!(devices.refresh("other", &mut settings), Err(Denial::REFRESH));
        assert_eq!(devices.refresh(&token, &mut settings), Ok(()));
        assert_eq!(devices.refresh(&token, &mut settings), Err(Denial::REFRESH));
    }
}
