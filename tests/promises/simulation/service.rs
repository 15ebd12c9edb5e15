//! The line to the tenant: what the program sends, with everything that can happen to it on the way there and back.
//! Replies are sorted by the program's own table.

use super::oracle::Ledger;
use super::schedule::{Body, Fault};
use super::world::{Edge, World};
use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, Response};
use cutover::core::Request;
use cutover::services::{Class, Fault as TargetFault, Reply, Transport, classify};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

/// When the program gives a request up.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Line {
    pub world: Arc<World>,
    pub ledger: Arc<Mutex<Ledger>>,
    token: Mutex<Option<String>>,
}

impl Line {
    pub fn new(world: &Arc<World>, ledger: &Arc<Mutex<Ledger>>) -> Line {
        Line { world: Arc::clone(world), ledger: Arc::clone(ledger), token: Mutex::default() }
    }

    fn http(&self, request: &Request, attempt: Uuid) -> HttpRequest<Vec<u8>> {
        let path = match request.path.strip_prefix(self.world.tenant.root()) {
            Some(rest) => rest.to_owned(),
            None => format!("/v1.0{}", request.path),
        };
        let now_ms = self.world.now_ms() as i64;
        let mut token = self.token.lock().unwrap();
        let token = token.get_or_insert_with(|| self.world.tenant.token(now_ms));
        let mut builder = HttpRequest::builder()
            .method(request.method.as_ref())
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("client-request-id", attempt.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let passed_over = has_undeclared_body(request) && self.body() == Body::PassedOver;
        let body = match request.body.as_ref().filter(|_| !passed_over) {
            Some(body) => {
                builder = builder.header("content-type", "application/json");
                serde_json::to_vec(body).unwrap()
            }
            None => Vec::new(),
        };
        builder.body(body).unwrap()
    }

    fn body(&self) -> Body {
        self.world.schedule.body
    }

    async fn pass(&self, edge: Edge) {
        if !self.world.lives_past(edge) {
            std::future::pending::<()>().await;
        }
    }

    fn refuses(&self, request: &Request) -> bool {
        has_undeclared_body(request) && self.body() == Body::Refused
    }

    /// The service's part: what it does and says.
    async fn at_service(&self, number: u64, request: &Request, attempt: Uuid) -> Response<Vec<u8>> {
        if self.refuses(request) {
            self.pass(Edge::Done).await;
            return bad_request();
        }
        let answer = self.world.carry_out(Some(number), self.http(request, attempt));
        self.pass(Edge::Done).await;
        match answer {
            Some(reply) => reply,
            None => panic!("this tenant makes no troubles of its own"),
        }
    }

    async fn travel(&self, number: u64, fault: Option<Fault>, request: &Request, attempt: Uuid) -> Reply {
        match fault {
            Some(Fault::NotConnected) => return lost(Class::NotSent, "not-connected"),
            Some(Fault::Late { ms }) if !self.refuses(request) => {
                let at_ms = self.world.now_ms() + PATIENCE.as_millis() as u64 + ms;
                self.world.will_arrive(at_ms, self.http(request, attempt));
                tokio::time::sleep(PATIENCE).await;
                return in_doubt();
            }
            Some(Fault::LostBefore | Fault::Late { .. }) => {
                tokio::time::sleep(PATIENCE).await;
                return in_doubt();
            }
            Some(Fault::ErrorBefore { retry_after_s }) => {
                return error(request, 503, retry_after_s);
            }
            Some(Fault::Throttled { retry_after_s }) => return error(request, 429, retry_after_s),
            Some(Fault::Unauthenticated) => {
                self.token.lock().unwrap().take();
                return refused(request, 401, "InvalidAuthenticationToken");
            }
            Some(Fault::Contended) => {
                return refused(request, 409, "Directory_ConcurrencyViolation");
            }
            Some(Fault::PageBefore { status }) => return page(request, status),
            Some(Fault::Refused { status, code }) => return refused(request, status, code),
            Some(Fault::LostAfter | Fault::ErrorAfter { .. } | Fault::PageAfter { .. } | Fault::Slow { .. }) | None => {
            }
        }
        let reply = self.at_service(number, request, attempt).await;
        match fault {
            Some(Fault::LostAfter) => {
                tokio::time::sleep(PATIENCE).await;
                in_doubt()
            }
            Some(Fault::ErrorAfter { retry_after_s }) => error(request, 502, retry_after_s),
            Some(Fault::PageAfter { status }) => page(request, status),
            Some(Fault::Slow { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                sorted(request, &reply)
            }
            Some(
                Fault::NotConnected
                | Fault::LostBefore
                | Fault::Late { .. }
                | Fault::ErrorBefore { .. }
                | Fault::Throttled { .. }
                | Fault::Unauthenticated
                | Fault::PageBefore { .. }
                | Fault::Refused { .. }
                | Fault::Contended,
            )
            | None => sorted(request, &reply),
        }
    }
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: &Request, attempt: Uuid) -> Reply {
        self.pass(Edge::BeforeSend).await;
        let writes = request.is_write();
        let (number, fault) = self.world.departs(writes, self.people_of(request));
        if writes {
            let account = self.world.account_of(&request.path);
            self.ledger.lock().unwrap().write_leaves(account, number);
        }
        let latency = Duration::from_millis(self.latency_ms(number));
        tokio::time::sleep(latency / 2).await;
        self.pass(Edge::InFlight).await;
        let reply = self.travel(number, fault, request, attempt).await;
        tokio::time::sleep(latency / 2).await;
        self.world.note(|| {
            let said = match &reply.result {
                Ok(success) => format!("{} {:?}", success.status, success.payload),
                Err(fault) => format!("{:?} {}", fault.class, fault.code),
            };
            let fault = fault.map(|fault| format!(" {fault:?}")).unwrap_or_default();
            let body = request.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
            format!("#{number}{fault} {:?} {}{body} -> {said}", request.method, request.path)
        });
        self.pass(Edge::Answered).await;
        if reply.result.is_ok() {
            self.world.was_answered(number);
        }
        reply
    }
}

impl Line {
    /// Whom a request is about, or the reads that go together in it.
    fn people_of(&self, request: &Request) -> Vec<usize> {
        let parts = request.body.as_ref().map(|body| &body["requests"]);
        let parts = parts.and_then(serde_json::Value::as_array);
        let paths = match parts {
            Some(parts) => parts.iter().filter_map(|part| part["url"].as_str()).collect(),
            None => vec![&*request.path],
        };
        let people = paths.into_iter();
        people.filter_map(|path| self.world.person_of(path)).collect()
    }

    /// Different for every request, and no other from run to run.
    fn latency_ms(&self, number: u64) -> u64 {
        let most = self.world.schedule.latency_ms;
        let mixed = (number ^ self.world.schedule.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        mixed % (most + 1)
    }
}

/// Whether a request has a body that Graph's description does not declare.
fn has_undeclared_body(request: &Request) -> bool {
    request.path.ends_with("/restore") && request.body.is_some()
}

fn bad_request() -> Response<Vec<u8>> {
    let body = br#"{"error":{"code":"Request_BadRequest","message":"unknown parameter"}}"#;
    let reply = Response::builder().status(400).body(body.to_vec());
    reply.expect("a status and a body make a reply")
}

fn sorted(request: &Request, reply: &Response<Vec<u8>>) -> Reply {
    let (status, headers) = (reply.status().as_u16(), reply.headers());
    classify(request, status, headers, reply.body(), UNIX_EPOCH)
}

fn error(request: &Request, status: u16, retry_after_s: Option<u64>) -> Reply {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after_s {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    classify(request, status, &headers, b"", UNIX_EPOCH)
}

fn refused(request: &Request, status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#);
    classify(request, status, &HeaderMap::new(), body.as_bytes(), UNIX_EPOCH)
}

fn page(request: &Request, status: u16) -> Reply {
    classify(request, status, &HeaderMap::new(), b"<html>no</html>", UNIX_EPOCH)
}

fn in_doubt() -> Reply {
    lost(Class::InDoubt, "timeout")
}

fn lost(class: Class, code: &str) -> Reply {
    TargetFault { class, code: code.to_owned(), message: "lost on the way".to_owned(), status: None }.into()
}
