//! The tokens that were given out. They are opaque, live as long as the options say, and do not outlive the process: a
//! client must cope with that anyway.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::chance::Identity;
use super::clock::UnixMillis;
use super::errors::Refusal;

/// The simulated tenant's id.
pub const TENANT_ID: &str = "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de";
/// The id of the one app that is registered in it.
pub const CLIENT_ID: &str = "51a1a7ed-0000-4000-8000-00000000a99b";
/// That app's secret: obviously no real one, so it may stand in a source file.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

/// Tokens remembered. A client needs one at a time; more than this many at once is a client gone wrong.
const TOKENS_MAX: usize = 10_000;

/// The tokens given out so far.
#[derive(Debug)]
pub(super) struct Tokens {
    life_s: u64,
    ends: HashMap<Box<str>, UnixMillis>,
}

impl Tokens {
    pub(super) fn new(life_s: u64) -> Self {
        Self {
            life_s,
            ends: HashMap::new(),
        }
    }

    /// Gives out a token in the body of a successful reply.
    pub(super) fn issue(&mut self, now: UnixMillis, identity: &Identity) -> Value {
        if self.ends.len() >= TOKENS_MAX {
            self.make_room(now);
        }
        let token = format!("simulated.{}", identity.secret_text());
        self.ends.insert(
            token.as_str().into(),
            now.plus_ms(self.life_s.saturating_mul(1_000)),
        );
        json!({"token_type": "Bearer", "expires_in": self.life_s, "ext_expires_in": self.life_s, "access_token": token})
    }

    /// All that are remembered, ended ones included.
    pub(super) fn given_out(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(AsRef::as_ref)
    }

    /// Whether a token is good at this moment.
    pub(super) fn check(&self, token: &str, now: UnixMillis) -> Result<(), Refusal> {
        match self.ends.get(token) {
            None => Err(Refusal::TokenUnknown),
            Some(end) if *end <= now => Err(Refusal::TokenExpired),
            Some(_) => Ok(()),
        }
    }

    /// Ends a token's life early.
    pub(super) fn expire(&mut self, token: &str, now: UnixMillis) {
        if let Some(end) = self.ends.get_mut(token) {
            *end = now;
        }
    }

    /// Ends the life of all of them.
    pub(super) fn end_all(&mut self, now: UnixMillis) {
        for end in self.ends.values_mut() {
            *end = now.min(*end);
        }
    }

    fn make_room(&mut self, now: UnixMillis) {
        self.ends.retain(|_, end| *end > now);
        if self.ends.len() >= TOKENS_MAX {
            self.ends.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_live_and_end() {
        let mut tokens = Tokens::new(10);
        let body = tokens.issue(UnixMillis(0), &Identity::for_test(1));
        let token = body["access_token"].as_str().unwrap().to_owned();
        assert_eq!(tokens.check(&token, UnixMillis(9_999)), Ok(()));
        assert_eq!(
            tokens.check(&token, UnixMillis(10_000)),
            Err(Refusal::TokenExpired)
        );
        assert_eq!(
            tokens.check("other", UnixMillis(0)),
            Err(Refusal::TokenUnknown)
        );
        tokens.expire(&token, UnixMillis(5_000));
        assert_eq!(
            tokens.check(&token, UnixMillis(5_000)),
            Err(Refusal::TokenExpired)
        );
    }
}
