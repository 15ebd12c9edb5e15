//! Batches reads: those that wait at the same moment travel together, as the parts of one `$batch` of up to twenty.
//!
//! Nobody waits for company. A read yields once to whoever is ready to ask, too, and then leaves with them; only while several
//! requests are under way does it wait a few milliseconds longer. Each part keeps the permit, the class and the name of its own
//! request, so that nothing changes for whoever asked. A service that does not serve batches is found out once, and then every
//! read goes alone.

use super::classify::{BATCH, RESPONSES, classify_part};
use super::gather::{Part, ReadGroup, gather};
use super::http::Transport;
use crate::core::{Expects, Method, Request};
use crate::services::class::{Class, Concerns};
use crate::services::reply::{Fault, Payload, Reply, Success, UNREADABLE};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

/// Most parts that Graph takes.
const PARTS_MAX: usize = 20;
/// While fewer requests are under way, a read leaves at once.
const UNDER_WAY_MAX: usize = 4;
/// The longest that a read waits for one of them to end: a slow reply must not hold up the others.
const WAIT_MAX: Duration = Duration::from_millis(15);
/// Batches in a row that may fail as a whole. A service that serves no batch may fail like one that is down.
const FAILURES_MAX: u32 = 3;

/// The reads of one version of the API, on their way into batches.
pub(super) struct Batcher {
    transport: Arc<dyn Transport>,
    /// The version's prefix in paths; none for the usual one.
    version: &'static str,
    state: Mutex<BatchState>,
    /// A request has ended, or enough reads wait.
    go: Notify,
}

#[derive(Default)]
struct BatchState {
    waiting: Vec<Part>,
    /// Somebody is about to take those who wait.
    is_leaving: bool,
    under_way: usize,
    /// Batches in a row that failed as a whole.
    failures: u32,
    /// The service serves no batches.
    is_refused: bool,
}

impl Batcher {
    pub(super) fn new(transport: Arc<dyn Transport>, version: &'static str) -> Arc<Batcher> {
        Arc::new(Batcher { transport, version, state: Mutex::default(), go: Notify::new() })
    }

    /// Whether a request may travel with others: it reads something small, by a path of this version.
    pub(super) fn takes(&self, request: &Request) -> bool {
        let is_small = matches!(request.expects, Expects::Object | Expects::Page);
        let is_plain = request.method == Method::Get && request.path.starts_with('/');
        is_small && is_plain && !self.state.lock().is_refused
    }

    /// Sends a read, perhaps with others.
    pub(super) async fn send(self: &Arc<Self>, request: &Request, attempt: Uuid) -> Reply {
        let (reply, answer) = oneshot::channel();
        let is_leaving = {
            let mut state = self.state.lock();
            state.waiting.push(Part { request: request.clone(), attempt, reply });
            if state.waiting.len() >= PARTS_MAX {
                self.go.notify_waiters();
            }
            std::mem::replace(&mut state.is_leaving, true)
        };
        if !is_leaving {
            tokio::spawn(Arc::clone(self).leave());
        }
        // The other end is dropped with the runtime only.
        answer.await.unwrap_or_else(|_| lost().into())
    }

    async fn leave(self: Arc<Self>) {
        tokio::task::yield_now().await;
        // From before the look at the state, so that no end is missed.
        let one_ended = self.go.notified();
        let is_busy = {
            let state = self.state.lock();
            state.under_way >= UNDER_WAY_MAX && state.waiting.len() < PARTS_MAX
        };
        if is_busy {
            let _ended_or_late = timeout(WAIT_MAX, one_ended).await;
        }
        let mut waiting = {
            let mut state = self.state.lock();
            state.is_leaving = false;
            std::mem::take(&mut state.waiting)
        };
        // Whoever gave up meanwhile needs no answer.
        waiting.retain(|part| !part.reply.is_closed());
        let mut groups = gather(waiting).into_iter().peekable();
        while groups.peek().is_some() {
            self.state.lock().under_way += 1;
            tokio::spawn(Arc::clone(&self).travel(groups.by_ref().take(PARTS_MAX).collect()));
        }
    }

    async fn travel(self: Arc<Self>, mut batch: Vec<ReadGroup>) {
        while !batch.is_empty() {
            let replies = self.replies(&batch).await;
            let left = batch.into_iter().zip(replies).flat_map(|(group, reply)| group.deliver(reply));
            batch = left.map(ReadGroup::alone).collect();
        }
        self.state.lock().under_way -= 1;
        self.go.notify_waiters();
    }

    async fn replies(&self, group: &[ReadGroup]) -> Vec<Reply> {
        if group.len() > 1 && !self.state.lock().is_refused {
            let reply = self.transport.send(&self.batch(group), Uuid::new_v4()).await;
            if let Some(replies) = self.sorted(group, reply) {
                return replies;
            }
            tracing::info!("the service serves no batches; reads go one by one from now on");
            self.state.lock().is_refused = true;
        }
        join_all(group.iter().map(|part| self.transport.send(&part.request, part.attempt))).await
    }

    fn batch(&self, group: &[ReadGroup]) -> Request {
        let parts = group.iter().enumerate().map(|(at, part)| {
            let url = part.request.path.strip_prefix(self.version);
            let mut headers: Map<String, Value> =
                (part.request.headers.iter()).map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            headers.insert("client-request-id".into(), part.attempt.to_string().into());
            let url = url.unwrap_or(&part.request.path);
            json!({ "id": at.to_string(), "method": "GET", "url": url, "headers": headers })
        });
        let body = json!({ "requests": parts.collect::<Vec<_>>() });
        let path = format!("{}{BATCH}", self.version);
        Request { expects: Expects::Survey, ..Request::write(Method::Post, path, Some(body)) }
    }

    /// The reply to each part; none where the service does not serve batches.
    fn sorted(&self, group: &[ReadGroup], reply: Reply) -> Option<Vec<Reply>> {
        let fault = match reply.result {
            Ok(Success { payload: Payload::Object(body), .. }) => {
                self.state.lock().failures = 0;
                return parts_of(group, body);
            }
            Ok(_) => return None,
            Err(ref fault) => fault,
        };
        // It may be down, or refuse the token: that is true of each part. It may also be what batches come to there.
        let concerns_all = fault.class.facts().concerns != Concerns::Request;
        let mut state = self.state.lock();
        state.failures += 1;
        let is_served = concerns_all && fault.code != UNREADABLE && state.failures < FAILURES_MAX;
        is_served.then(|| (0..group.len()).map(|at| reply.echo(at)).collect())
    }
}

/// The reply to each part. A part without one is in doubt; a body without any is no batch's.
fn parts_of(group: &[ReadGroup], mut body: Value) -> Option<Vec<Reply>> {
    let Some(Value::Array(responses)) = body.get_mut(RESPONSES).map(Value::take) else {
        return None;
    };
    let mut replies: Vec<Option<Reply>> = vec![None; group.len()];
    let now = SystemTime::now();
    for mut response in responses {
        let at = response.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok()).unwrap_or(usize::MAX);
        let status = response.get("status").and_then(Value::as_u64);
        if let (Some(part), Some(slot), Some(status)) = (group.get(at), replies.get_mut(at), status) {
            let body = response.get_mut("body").map(Value::take);
            let status = u16::try_from(status).unwrap_or_default();
            *slot = Some(classify_part(&part.request, status, response.get("headers"), body, now));
        }
    }
    let has_any = replies.iter().any(Option::is_some);
    has_any.then(|| replies.into_iter().map(|reply| reply.unwrap_or_else(|| lost().into())).collect())
}

/// The request left, and its reply did not come.
fn lost() -> Fault {
    Fault::new(Class::InDoubt, "connection-lost", "the service answered a batch without this part")
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
