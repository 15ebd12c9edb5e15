//! The way of a request through the simulated service: token, throttling, faults, and then the operation itself.
//! Nothing here waits, so one request can be followed from end to end; latency is added around it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::batch::{self, Batching};
use super::call::Call;
use super::chance::{Identity, Sequencer};
use super::clock::{Clock, UnixMillis};
use super::device::Devices;
use super::errors::Refusal;
use super::faults::{Fault, Faults};
use super::hard_match::{NoHardMatch, Takeover};
use super::limits::RetryAfter;
use super::operations;
use super::permission::Permission;
use super::reply::Reply;
use super::route::Place;
use super::sign_in::SignIn;
use super::tenant::Tenant;
use super::throttle::{Admission, Limit, Scope, Throttle, Throttled};
use super::token::{CLIENT_ID, Rights, Subject, TENANT_ID, Tokens, Wish};

/// How long a made-up throttling asks to wait: short, since a test that meets it should go on soon.
const FAKE_WAIT_MS: std::ops::Range<u64> = 200..2_000;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened so far in this process.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests to Graph and to the token endpoint.
    pub(super) requests: Counter,
    /// GET requests that were carried out, whatever became of their reply.
    pub(super) reads: Counter,
    /// Writes that were made, whatever became of their reply.
    pub(super) writes: Counter,
    /// 429 replies, true and made up.
    pub(super) throttled: Counter,
    /// Faults that were made up.
    pub(super) faults: Counter,
    /// Tokens given out.
    pub(super) tokens: Counter,
}

/// What leaves the service.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A reply.
    Reply(Reply),
    /// The end of the connection.
    Cut,
}

/// Everything that requests share. The locks are held for the time of a look or a write, never while waiting.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) root: String,
    pub(super) clock: Clock,
    pub(super) sequencer: Sequencer,
    pub(super) faults: Faults,
    pub(super) retry_after: RetryAfter,
    pub(super) tenant: Mutex<Tenant>,
    pub(super) throttle: Mutex<Throttle>,
    pub(super) tokens: Mutex<Tokens>,
    /// What the app is granted, and so what stands in new tokens.
    pub(super) permissions: Mutex<BTreeSet<Permission>>,
    pub(super) started_at: UnixMillis,
    pub(super) sign_in: Mutex<SignIn>,
    pub(super) devices: Mutex<Devices>,
    pub(super) takeover: Takeover,
    pub(super) batching: Batching,
    pub(super) counters: Counters,
}

/// Takes a lock. A request that panicked while holding it changed nothing by halves: writes are planned first and
/// then put in place by steps that do not fail.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Answers a request to Graph.
    pub(super) fn answer(&self, call: &Call, dice: &mut ChaCha8Rng) -> Outcome {
        match call.place {
            Ok(Place::Batch) => self.answer_batch(call, dice),
            Ok(_) | Err(_) => self.answer_part(call, dice),
        }
    }

    /// A batch can meet faults as a whole and costs nothing but what its parts cost.
    fn answer_batch(&self, call: &Call, dice: &mut ChaCha8Rng) -> Outcome {
        if let Err(refusal) = self.check_token(call) {
            return self.identified(call, self.refused(call, &refusal));
        }
        let mut order = call.identity.dice();
        let outcome = self.with_fault(call, dice, || {
            batch::carry_out(self, call, &mut order)
                .unwrap_or_else(|refusal| self.refused(call, &refusal))
        });
        match outcome {
            Outcome::Reply(reply) => self.identified(call, reply),
            Outcome::Cut => Outcome::Cut,
        }
    }

    /// Answers a request that stands alone or in a batch.
    pub(super) fn answer_part(&self, call: &Call, dice: &mut ChaCha8Rng) -> Outcome {
        self.counters.requests.add_one();
        let rights = match self.check_token(call) {
            Ok(rights) => rights,
            Err(refusal) => return self.finished(call, self.refused(call, &refusal)),
        };
        let admission = locked(&self.throttle).admit(call.demand(), call.now);
        match admission {
            Admission::Throttled(refusal) => {
                self.finished(call, self.throttled(call, refusal, refusal.limit.reason()))
            }
            Admission::Admitted { warning_share } => {
                match self.with_fault(call, dice, || self.carried_out(call, &rights)) {
                    Outcome::Reply(reply) => self.finished(call, with_usage(reply, warning_share)),
                    Outcome::Cut => Outcome::Cut,
                }
            }
        }
    }

    /// Gives out a token for Graph, whose root is `resource`, with what is granted at this moment.
    pub(super) fn issue(
        &self,
        subject: Subject,
        resource: &str,
        now: UnixMillis,
        identity: &Identity,
    ) -> Value {
        self.counters.tokens.add_one();
        let rights = Rights {
            permissions: locked(&self.permissions).clone(),
            role: locked(&self.tenant).world.app_role,
        };
        let wish = Wish {
            subject,
            resource,
            rights,
        };
        locked(&self.tokens).issue(wish, now, identity)
    }

    /// Lets an object with this anchor arrive from on premises; gives the id of the user whom it took over.
    pub(super) fn hard_match(&self, anchor: &str, now: UnixMillis) -> Result<String, NoHardMatch> {
        let identity = self.sequencer.next("SYNC", anchor);
        let mut tenant = locked(&self.tenant);
        let id = tenant.take_over(self.takeover, anchor, now, &identity)?;
        Ok(id.to_string())
    }

    /// Another app makes so many writes a second from `now` on.
    pub(super) fn change_other_app(&self, writes_per_s: f64, now: UnixMillis) {
        locked(&self.throttle).load(writes_per_s, now);
    }

    /// A refusal before anything else was looked at.
    pub(super) fn refuse(&self, call: &Call, refusal: &Refusal) -> Outcome {
        self.finished(call, self.refused(call, refusal))
    }

    fn check_token(&self, call: &Call) -> Result<Arc<Rights>, Refusal> {
        let token = call.bearer().ok_or(Refusal::TokenMissing)?;
        locked(&self.tokens).check(token, call.now)
    }

    fn with_fault(
        &self,
        call: &Call,
        dice: &mut ChaCha8Rng,
        mut carry_out: impl FnMut() -> Reply,
    ) -> Outcome {
        let fault = self.faults.draw(dice);
        if fault != Fault::Nothing {
            self.counters.faults.add_one();
        }
        match fault {
            Fault::Nothing => Outcome::Reply(carry_out()),
            Fault::ErrorBefore(status) => {
                Outcome::Reply(self.refused(call, &Refusal::Fault(status)))
            }
            Fault::ErrorAfter(status) => {
                carry_out();
                Outcome::Reply(self.refused(call, &Refusal::Fault(status)))
            }
            Fault::DropBefore => Outcome::Cut,
            Fault::DropAfter => {
                carry_out();
                Outcome::Cut
            }
            Fault::Throttle => {
                let refusal = Throttled {
                    scope: Scope::AppInTenant,
                    limit: Limit::ReadWrite,
                    wait_ms: Some(dice.random_range(FAKE_WAIT_MS)),
                };
                Outcome::Reply(self.throttled(call, refusal, "CPULimitExceeded"))
            }
            Fault::ExpireToken => {
                if let Some(token) = call.bearer() {
                    locked(&self.tokens).expire(token, call.now);
                }
                Outcome::Reply(self.refused(call, &Refusal::TokenExpired))
            }
        }
    }

    fn carried_out(&self, call: &Call, rights: &Rights) -> Reply {
        let outcome = operations::carry_out(&mut locked(&self.tenant), call, &self.root, rights);
        match outcome {
            Ok(reply) => {
                let counter = if call.is_read() {
                    &self.counters.reads
                } else {
                    &self.counters.writes
                };
                counter.add_one();
                reply
            }
            Err(refusal) => self.refused(call, &refusal),
        }
    }

    pub(super) fn refused(&self, call: &Call, refusal: &Refusal) -> Reply {
        let reply = Reply::value(refusal.status(), &refusal.body(&call.trace()));
        match refusal.status() {
            StatusCode::UNAUTHORIZED => reply.with("www-authenticate", "Bearer realm=\"\""),
            _ => reply,
        }
    }

    fn throttled(&self, call: &Call, refusal: Throttled, reason: &str) -> Reply {
        self.counters.throttled.add_one();
        let (scope, limit) = (refusal.scope.name(), refusal.limit.scope());
        let scope = format!("{scope}/{limit}/{CLIENT_ID}/{TENANT_ID}");
        let reply = Reply::value(
            StatusCode::TOO_MANY_REQUESTS,
            &call.trace().throttled_body(),
        )
        .with("x-ms-throttle-scope", &scope)
        .with("x-ms-throttle-information", reason);
        let wait_ms = refusal.wait_ms;
        match wait_ms.and_then(|wait_ms| retry_after(self.retry_after, wait_ms, call.now)) {
            Some(value) => reply.with("retry-after", &value),
            None => reply,
        }
    }

    /// Adds what every reply of Graph carries.
    fn finished(&self, call: &Call, reply: Reply) -> Outcome {
        self.identified(
            call,
            reply.with("x-ms-resource-unit", &call.cost().units.to_string()),
        )
    }

    fn identified(&self, call: &Call, reply: Reply) -> Outcome {
        let reply = reply.with("request-id", &call.identity.request_id().to_string());
        Outcome::Reply(match call.client_request_id() {
            Some(id) => reply.with("client-request-id", id),
            None => reply,
        })
    }
}

/// Only successes tell how full a limit is.
fn with_usage(reply: Reply, warning_share: Option<f64>) -> Reply {
    match warning_share {
        Some(share) if reply.is_success() => {
            reply.with("x-ms-throttle-limit-percentage", &format!("{share:.2}"))
        }
        Some(_) | None => reply,
    }
}

/// The value of `Retry-After`; whole seconds and dates are rounded up, so that waiting as told is enough.
fn retry_after(form: RetryAfter, wait_ms: u64, now: UnixMillis) -> Option<String> {
    let whole_s = wait_ms.div_ceil(1_000);
    match form {
        RetryAfter::Decimal => Some(format!("{}.{:03}", wait_ms / 1_000, wait_ms % 1_000)),
        RetryAfter::Whole => Some(whole_s.to_string()),
        // A date has no parts of a second: the one that `now` has would be lost without the extra second.
        RetryAfter::Date => Some(httpdate::fmt_http_date(
            now.plus_ms((whole_s + 1) * 1_000).to_system_time(),
        )),
        RetryAfter::Omitted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_its_forms() {
        let form = |form| retry_after(form, 2_128, UnixMillis(999));
        assert_eq!(form(RetryAfter::Decimal).as_deref(), Some("2.128"));
        assert_eq!(form(RetryAfter::Whole).as_deref(), Some("3"));
        assert_eq!(
            form(RetryAfter::Date).as_deref(),
            Some("Thu, 01 Jan 1970 00:00:04 GMT")
        );
        assert_eq!(form(RetryAfter::Omitted), None);
    }
}
