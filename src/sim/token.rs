//! The tokens that were given out. In form they are the JWTs that Entra gives for Graph; here each is looked up as an opaque
//! text. They live as long as the options say, and do not outlive the process: a client must cope with that anyway.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::chance::Identity;
use super::claims;
use super::clock::SimTime;
use super::permission::GraphPermission;
use super::refusal::GraphRefusal;
use super::tenant::ActorRole;

/// The simulated tenant's id.
pub const TENANT_ID: &str = "5e0d0d4c-51b1-4a7e-9d0a-51a1a7edc0de";
/// The id of the one app that is registered in it.
pub const CLIENT_ID: &str = "51a1a7ed-0000-4000-8000-00000000a99b";
/// The object id of that app's service principal.
pub const SERVICE_PRINCIPAL_ID: &str = "51a1a7ed-0001-4000-8000-00000000a99b";
/// That app's secret: obviously no real one, so it may stand in a source file.
pub const CLIENT_SECRET: &str = "simulated-secret-of-no-value";

/// TokensIssued remembered. A client needs one at a time; more than this many at once is a client gone wrong.
const TOKENS_MAX: usize = 10_000;

/// Who a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenSubject {
    /// The app, by a secret or a certificate.
    App,
    /// The managed identity.
    ManagedIdentity,
    /// Somebody who signed in to the app.
    Person,
}

/// What whoever has a token may do. It says what was granted when the token was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenRights {
    pub(super) permissions: BTreeSet<GraphPermission>,
    pub(super) role: ActorRole,
}

#[derive(Debug)]
struct HeldToken {
    end: SimTime,
    rights: Arc<TokenRights>,
}

/// The tokens given out so far.
#[derive(Debug)]
pub(super) struct TokensIssued {
    life_s: u64,
    held: HashMap<Box<str>, HeldToken>,
}

/// What a token is given out for.
#[derive(Debug)]
pub(super) struct TokenWish<'a> {
    pub(super) subject: TokenSubject,
    /// Graph's root.
    pub(super) resource: &'a str,
    pub(super) rights: TokenRights,
}

impl TokensIssued {
    pub(super) fn new(life_s: u64) -> Self {
        Self { life_s, held: HashMap::new() }
    }

    /// Gives out a token in the body of a successful reply.
    pub(super) fn issue(&mut self, wish: TokenWish<'_>, now: SimTime, identity: &Identity) -> Value {
        if self.held.len() >= TOKENS_MAX {
            self.make_room(now);
        }
        let end = now.plus_ms(self.life_s.saturating_mul(1_000));
        let token = claims::token(&wish, now, end, identity);
        let rights = Arc::new(wish.rights);
        self.held.insert(token.as_str().into(), HeldToken { end, rights });
        json!({"token_type": "Bearer", "expires_in": self.life_s, "ext_expires_in": self.life_s, "access_token": token})
    }

    /// All that are remembered, ended ones included.
    pub(super) fn given_out(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(AsRef::as_ref)
    }

    /// What a token that is good at this moment allows.
    pub(super) fn check(&self, token: &str, now: SimTime) -> Result<Arc<TokenRights>, GraphRefusal> {
        match self.held.get(token) {
            None => Err(GraphRefusal::token("The access token cannot be validated.")),
            Some(held) if held.end <= now => Err(GraphRefusal::token_expired()),
            Some(held) => Ok(Arc::clone(&held.rights)),
        }
    }

    /// Ends a token's life early.
    pub(super) fn expire(&mut self, token: &str, now: SimTime) {
        if let Some(held) = self.held.get_mut(token) {
            held.end = now;
        }
    }

    /// Ends the life of all of them.
    pub(super) fn end_all(&mut self, now: SimTime) {
        for held in self.held.values_mut() {
            held.end = now.min(held.end);
        }
    }

    fn make_room(&mut self, now: SimTime) {
        self.held.retain(|_, held| held.end > now);
        if self.held.len() >= TOKENS_MAX {
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_live_and_end() {
        let mut tokens = TokensIssued::new(10);
        let rights =
            TokenRights { permissions: BTreeSet::from([GraphPermission::UserReadAll]), role: ActorRole::Nothing };
        let wish =
            TokenWish { subject: TokenSubject::App, resource: "https://graph.microsoft.com", rights: rights.clone() };
        let body = tokens.issue(wish, SimTime(0), &Identity::for_test(1));
        let token = body["access_token"].as_str().unwrap().to_owned();
        let check = |tokens: &TokensIssued, token: &str, ms| {
            let found = tokens.check(token, SimTime(ms));
            found.map(|rights| (*rights).clone())
        };
        assert_eq!(check(&tokens, &token, 9_999), Ok(rights));
        assert_eq!(check(&tokens, &token, 10_000), Err(GraphRefusal::token_expired()));
        assert_eq!(check(&tokens, "other", 0), Err(GraphRefusal::token("The access token cannot be validated.")));
        tokens.expire(&token, SimTime(5_000));
        assert_eq!(check(&tokens, &token, 5_000), Err(GraphRefusal::token_expired()));
    }
}
