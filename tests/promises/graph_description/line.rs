//! The line to the simulated tenant: every request of a tagged job is written down with the part of the job that it comes from,
//! and with what came back. Troubles are made on the way, by the part that a request comes from.

use super::description::{Came, Sent};
use super::parts::{Part, preflight, untagged};
use async_trait::async_trait;
use axum::http::{HeaderMap, Request as HttpRequest};
use cutover::core::Request;
use cutover::services::{Class, Fault, Reply, Transport, classify};
use cutover::sim::Direct;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// The time in the tenant: nothing here depends on it.
pub const NOW_MS: i64 = 1_790_000_000_000;

/// What happens on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    None,
    /// Every request of this part is refused, and so what was done before it has to be undone.
    Refused(Part),
    /// The first answer to every request of this part is lost.
    Lost(Part),
    /// The tenant does not support queries like those that this part sends.
    Unsupported(Part),
}

/// A request and its reply.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What of the job it comes from; none where it was not told.
    pub part: Option<Part>,
    pub sent: Sent,
    pub came: Option<Came>,
}

pub struct Line {
    tenant: Arc<Direct>,
    trouble: Trouble,
    token: String,
    /// Rows have not begun: what has no tag is the preflight's.
    is_before_rows: AtomicBool,
    lost: Mutex<BTreeSet<String>>,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Line {
    pub fn new(tenant: &Arc<Direct>, trouble: Trouble) -> Line {
        Line {
            token: tenant.token(NOW_MS),
            tenant: Arc::clone(tenant),
            trouble,
            is_before_rows: AtomicBool::new(true),
            lost: Mutex::default(),
            exchanges: Mutex::default(),
        }
    }

    pub fn begin_rows(&self) {
        self.is_before_rows.store(false, Ordering::Relaxed);
    }

    pub fn exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges.lock().unwrap())
    }

    fn sent(&self, request: &Request) -> (Sent, Option<Part>) {
        let (path, part) = untagged(&request.path);
        let is_preflight = self.is_before_rows.load(Ordering::Relaxed);
        let part = part.or_else(|| is_preflight.then(preflight));
        let next = path.strip_prefix(self.tenant.root()).map(|path| path.strip_prefix("/v1.0").unwrap_or(path));
        let sent = Sent {
            method: request.method.into(),
            path: next.unwrap_or(path).to_owned(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            is_next_page: next.is_some(),
        };
        (sent, part)
    }

    fn at_tenant(&self, attempt: Uuid, sent: &Sent) -> (Came, HeaderMap) {
        // What is asked of beta is named with its root.
        let version = if sent.path.starts_with("/beta/") { "" } else { "/v1.0" };
        let mut builder = HttpRequest::builder()
            .method(sent.method)
            .uri(format!("{version}{}", sent.path))
            .header("authorization", format!("Bearer {}", self.token))
            .header("client-request-id", attempt.to_string());
        for (name, value) in &sent.headers {
            builder = builder.header(name, value);
        }
        let body = sent.body.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        if body.is_some() {
            builder = builder.header("content-type", "application/json");
        }
        let request = builder.body(body.unwrap_or_default()).unwrap();
        let Some(reply) = self.tenant.answer(request, NOW_MS) else {
            panic!("this tenant makes no troubles of its own");
        };
        let (parts, body) = reply.into_parts();
        let status = parts.status.as_u16();
        (Came { status, body }, parts.headers)
    }

    /// Whether this very request is sent for the first time.
    fn is_first(&self, sent: &Sent) -> bool {
        let body = sent.body.as_ref().map(Value::to_string).unwrap_or_default();
        let name = format!("{} {} {body}", sent.method, sent.path);
        self.lost.lock().unwrap().insert(name)
    }
}

/// As Graph refuses.
pub fn refusal(code: &str) -> Value {
    json!({"error": {
        "code": code,
        "message": "asked for by a test",
        "innerError": {
            "date": "2026-01-31T12:00:00",
            "request-id": "00000000-0000-0000-0000-000000000000",
            "client-request-id": "00000000-0000-0000-0000-000000000000",
        },
    }})
}

fn refused(code: &str) -> (Came, HeaderMap) {
    let body = serde_json::to_vec(&refusal(code)).unwrap();
    (Came { status: 400, body }, HeaderMap::new())
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply {
        // Here single requests are looked at.
        if request.path.ends_with("/$batch") {
            let no = br#"{"error":{"code":"BadRequest","message":"no batches here"}}"#;
            return classify(request, 400, &HeaderMap::new(), no, UNIX_EPOCH);
        }
        let (sent, part) = self.sent(request);
        let is_of = |wanted: &Part| part.as_ref() == Some(wanted);
        let answered = match &self.trouble {
            Trouble::Refused(wanted) if is_of(wanted) => Some(refused("Request_BadRequest")),
            Trouble::Unsupported(wanted) if is_of(wanted) => Some(refused("Request_UnsupportedQuery")),
            Trouble::Lost(wanted) if is_of(wanted) && self.is_first(&sent) => {
                drop(self.at_tenant(attempt, &sent));
                None
            }
            Trouble::None | Trouble::Refused(_) | Trouble::Unsupported(_) | Trouble::Lost(_) => {
                Some(self.at_tenant(attempt, &sent))
            }
        };
        let reply = match &answered {
            Some((came, headers)) => classify(request, came.status, headers, &came.body, UNIX_EPOCH),
            None => lost(),
        };
        let came = answered.map(|(came, _)| came);
        self.exchanges.lock().unwrap().push(Exchange { part, sent, came });
        reply
    }
}

fn lost() -> Reply {
    Fault { class: Class::InDoubt, code: "timeout".to_owned(), message: "lost on the way".to_owned(), status: None }
        .into()
}
