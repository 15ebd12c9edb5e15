//! The way of a request through the simulated service: token, throttling, faults, and then the operation itself.
//! Nothing here waits, so one request can be followed from end to end; latency is added around it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;

use super::device::Devices;
use super::endpoints::endpoint;
use super::faults::InjectedFault;
use super::limits::share_left_by;
use super::refusal::throttled_body;
use super::rules::hard_match::{self, NoHardMatch};
use super::throttle::{Limit, Throttle, Throttled};
use super::token::TokensIssued;
use super::user;
use super::{
    CLIENT_ID, Faults, GraphOperation, GraphPermission, Route, SignIn, StateLine, TENANT_ID, TokenRights, TokenSubject,
    batch,
};
use super::{Call, GraphRefusal, GraphReply, Identity, Options, Sequencer, SimClock, SimTime, Tenant};

/// How long a made-up throttling asks to wait: short, since a test that meets it should go on soon.
const FAKE_WAIT_MS: std::ops::Range<u64> = 200..2_000;

/// What happened so far in this process.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counters {
    /// Requests to Graph, each part of a batch among them, and for tokens.
    pub(super) requests: AtomicU64,
    /// GET requests that were carried out, whatever became of their reply.
    reads: AtomicU64,
    /// Writes that were made, whatever became of their reply.
    writes: AtomicU64,
    /// 429 replies, true and made up.
    throttled: AtomicU64,
    /// Faults that were made up.
    faults: AtomicU64,
    tokens: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Everything that requests share. The locks are held for the time of a look or a write, never while waiting.
#[derive(Debug)]
pub(super) struct SimService {
    pub(super) root: String,
    pub(super) clock: SimClock,
    pub(super) sequencer: Sequencer,
    pub(super) tenant: Mutex<Tenant>,
    pub(super) throttle: Mutex<Throttle>,
    pub(super) access: Mutex<Access>,
    pub(super) started_at: SimTime,
    pub(super) options: Options,
    /// As the options had them, unless a test has changed them since.
    pub(super) faults: Mutex<Faults>,
    pub(super) counters: Counters,
}

/// Who may sign in, with what, and what was given out for it.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) sign_in: SignIn,
    /// What the app is granted, and so what new tokens say.
    pub(super) permissions: BTreeSet<GraphPermission>,
    pub(super) tokens: TokensIssued,
    pub(super) devices: Devices,
}

impl SimService {
    /// Serves a request to Graph; None is the end of the connection, and no reply.
    pub(super) fn serve(&self, call: &Call, dice: &mut ChaCha8Rng) -> Option<GraphReply> {
        match call.route {
            Ok(Route::Batch) => self.serve_batch(call, dice),
            Ok(_) | Err(_) => self.serve_part(call, dice),
        }
    }

    /// A batch can meet faults as a whole and costs nothing but what its parts cost.
    fn serve_batch(&self, call: &Call, dice: &mut ChaCha8Rng) -> Option<GraphReply> {
        let outcome = match self.check_token(call) {
            Err(refusal) => Some(self.refused(call, &refusal)),
            Ok(_) => self.with_fault(call, dice, || batch::carry_out(self, call)),
        };
        outcome.map(|reply| identified(call, reply))
    }

    /// Serves a request that stands alone or in a batch.
    pub(super) fn serve_part(&self, call: &Call, dice: &mut ChaCha8Rng) -> Option<GraphReply> {
        count(&self.counters.requests);
        let rights = match self.check_token(call) {
            Ok(rights) => rights,
            Err(refusal) => return self.refuse(call, &refusal),
        };
        let leaves_share = share_left_by(call.header("x-ms-throttle-priority"));
        let decision = self.throttle.lock().admit(call.cost(), leaves_share, call.now);
        let outcome = match decision {
            Err(refusal) => Some(self.throttled(call, refusal, refusal.limit.names().1)),
            Ok(warning_share) => self
                .with_fault(call, dice, || self.carried_out(call, &rights))
                .map(|reply| with_usage(reply, warning_share)),
        };
        outcome.map(|reply| finished(call, reply))
    }

    /// Gives out a token for Graph with what is granted at this moment.
    pub(super) fn issue(&self, access: &mut Access, subject: TokenSubject, now: SimTime, identity: &Identity) -> Value {
        count(&self.counters.tokens);
        let is_administrator = self.tenant.lock().app_is_administrator;
        let rights = TokenRights { permissions: access.permissions.clone(), is_administrator };
        access.tokens.issue(subject, &access.sign_in.resource, rights, now, identity)
    }

    /// Lets an object with this anchor arrive from on premises; gives the id of the user whom it took over.
    pub(super) fn hard_match(&self, anchor: &str, now: SimTime) -> Result<String, NoHardMatch> {
        let identity = self.sequencer.next("SYNC", anchor);
        let mut tenant = self.tenant.lock();
        let after = hard_match::plan(&tenant, self.options.blocks_takeover, anchor)?;
        let id = user::id(&after);
        let line = StateLine { user: Some((id, Some(after))), ..StateLine::default() };
        tenant.make(line, now, &identity).map_err(|_| NoHardMatch::NotStored)?;
        Ok(id.to_string())
    }

    /// Another app makes so many writes a second from `now` on.
    pub(super) fn change_other_app(&self, writes_per_s: f64, now: SimTime) {
        self.throttle.lock().load(writes_per_s, now);
    }

    /// A refusal before anything else was looked at.
    pub(super) fn refuse(&self, call: &Call, refusal: &GraphRefusal) -> Option<GraphReply> {
        Some(finished(call, self.refused(call, refusal)))
    }

    fn check_token(&self, call: &Call) -> Result<Arc<TokenRights>, GraphRefusal> {
        let token = call.bearer().ok_or_else(|| GraphRefusal::token("Access token is empty."))?;
        self.access.lock().tokens.check(token, call.now)
    }

    fn with_fault(&self, call: &Call, dice: &mut ChaCha8Rng, carry_out: impl Fn() -> GraphReply) -> Option<GraphReply> {
        let drawn = self.faults.lock().draw(dice);
        let Some(fault) = drawn else {
            return Some(carry_out());
        };
        count(&self.counters.faults);
        Some(match fault {
            InjectedFault::ErrorBefore(status) => self.refused(call, &GraphRefusal::fault(status)),
            InjectedFault::ErrorAfter(status) => {
                carry_out();
                self.refused(call, &GraphRefusal::fault(status))
            }
            InjectedFault::DropBefore => return None,
            InjectedFault::DropAfter => {
                carry_out();
                return None;
            }
            InjectedFault::Throttle => {
                let wait_ms = Some(dice.random_range(FAKE_WAIT_MS));
                self.throttled(call, Throttled { limit: Limit::AppUnits, wait_ms }, "CPULimitExceeded")
            }
            InjectedFault::ExpireToken => {
                if let Some(token) = call.bearer() {
                    self.access.lock().tokens.expire(token, call.now);
                }
                self.refused(call, &GraphRefusal::TOKEN_EXPIRED)
            }
        })
    }

    fn carried_out(&self, call: &Call, rights: &TokenRights) -> GraphReply {
        match self.carry_out(call, rights) {
            Ok(reply) => {
                count(if call.is_read() { &self.counters.reads } else { &self.counters.writes });
                reply
            }
            Err(refusal) => self.refused(call, &refusal),
        }
    }

    fn carry_out(&self, call: &Call, rights: &TokenRights) -> Result<GraphReply, GraphRefusal> {
        let Route::Graph(pattern, key) = call.route.as_ref().map_err(Clone::clone)? else {
            // A batch within a batch.
            return Err(GraphRefusal::no_such_path(&call.path));
        };
        let endpoint = endpoint(pattern, call.method.as_str()).ok_or(GraphRefusal::METHOD)?;
        let tenant = &mut *self.tenant.lock();
        GraphOperation { tenant, call, root: &self.root, rights, key }.carry_out(endpoint)
    }

    pub(super) fn refused(&self, call: &Call, refusal: &GraphRefusal) -> GraphReply {
        let reply = GraphReply::value(refusal.status(), &refusal.body(call.inner_error()));
        match refusal.status() {
            StatusCode::UNAUTHORIZED => reply.with("www-authenticate", "Bearer realm=\"\""),
            _ => reply,
        }
    }

    fn throttled(&self, call: &Call, refusal: Throttled, reason: &str) -> GraphReply {
        count(&self.counters.throttled);
        let scope = format!("{}/{CLIENT_ID}/{TENANT_ID}", refusal.limit.names().0);
        let reply = GraphReply::value(StatusCode::TOO_MANY_REQUESTS, &throttled_body(call.inner_error()))
            .with("x-ms-throttle-scope", &scope)
            .with("x-ms-throttle-information", reason);
        match refusal.wait_ms {
            // With decimals, as in the documented sample `2.128`.
            Some(ms) => reply.with("retry-after", &format!("{}.{:03}", ms / 1_000, ms % 1_000)),
            None => reply,
        }
    }
}

/// Adds what every reply of Graph has.
fn finished(call: &Call, reply: GraphReply) -> GraphReply {
    identified(call, reply).with("x-ms-resource-unit", &call.cost().units.to_string())
}

fn identified(call: &Call, reply: GraphReply) -> GraphReply {
    let reply = reply.with("request-id", &call.identity.request_id().to_string());
    match call.client_request_id() {
        Some(id) => reply.with("client-request-id", id),
        None => reply,
    }
}

/// Only successes tell how full a limit is.
fn with_usage(reply: GraphReply, warning_share: Option<f64>) -> GraphReply {
    match warning_share {
        Some(share) if reply.is_success() => reply.with("x-ms-throttle-limit-percentage", &format!("{share:.2}")),
        Some(_) | None => reply,
    }
}
