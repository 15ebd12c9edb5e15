//! A tenant with the people that a test puts into it, a run of the job on it, and what came of it. Time is tokio's, paused.
//!
//! A test may stand between program and tenant: its service sees every request and may answer in the tenant's place.

use crate::library_run::{LibraryRun, Parts};
use async_trait::async_trait;
use axum::http::{HeaderMap, Request as HttpRequest};
use cutover::core::{Method, Request};
use cutover::runner::Clock;
use cutover::runner::client::ServiceClient;
use cutover::runner::lookups::look_up;
use cutover::services::{Reply, Transport, classify};
use cutover::sim::{Direct, Faults, Options, Population, ServiceLimits};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

pub const OLD: &str = "b2xkIG9sZCBvbGQgb2xkIQ==";
pub const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
pub const NEW: &str = "MyIRAFVEd2aImaq7zN3u/w==";

/// 2026-01-31 12:00 UTC.
const NOON: u64 = 1_769_860_800_000;
/// What every request takes.
const LATENCY: Duration = Duration::from_millis(50);

/// What a service does with a request.
pub enum Twist {
    /// What the tenant does.
    Nothing,
    /// This answer, and nothing is done.
    Instead(u16, Value),
    /// This answer of something in between, which is no JSON, and nothing is done.
    Page(u16, &'static str),
    /// The same, though it is done.
    PageAfter(u16, &'static str),
    /// It is done without its body.
    WithoutBody,
    /// It is done, and no answer comes.
    Silence,
    /// No answer comes, and it is done so much later.
    Late(Duration),
}

/// A request as a service sees it.
pub struct Moment<'a> {
    pub request: &'a Request,
    pub tenant: &'a Tenant,
    /// Since the run began.
    pub elapsed: Duration,
}

impl Moment<'_> {
    pub fn is(&self, method: Method, path: &str) -> bool {
        self.request.method == method && self.request.path.contains(path)
    }
}

pub type Quirk = Box<dyn FnMut(&Moment<'_>) -> Twist + Send>;

/// The tenant, and an administrator's hands in it.
pub struct Tenant {
    direct: Direct,
    began: Instant,
}

impl Tenant {
    fn now_ms(&self) -> u64 {
        NOON + self.began.elapsed().as_millis() as u64
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(String, String)],
    ) -> (u16, HeaderMap, Vec<u8>) {
        let now_ms = self.now_ms() as i64;
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.direct.token(now_ms)));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = body.map_or_else(Vec::new, |body| serde_json::to_vec(body).unwrap());
        let Some(reply) = self.direct.answer(request.body(body).unwrap(), now_ms) else {
            panic!("this tenant makes no troubles of its own");
        };
        let (parts, body) = reply.into_parts();
        (parts.status.as_u16(), parts.headers, body)
    }

    /// As an administrator, who must succeed.
    pub fn administer(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, _, reply) = self.ask(method, &format!("/v1.0{path}"), body.as_ref(), &[]);
        let text = String::from_utf8_lossy(&reply);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_slice(&reply).unwrap_or_default()
    }

    /// A live person with the mail address of their UPN; answers the object id.
    pub fn hire(&self, upn: &str, immutable_id: Option<&str>) -> String {
        let local = upn.split(['@', '#']).next().unwrap();
        let made = self.administer(
            "POST",
            "/users",
            Some(json!({
                "accountEnabled": true,
                "displayName": local,
                "mailNickname": local.replace('\'', ""),
                "passwordProfile": {"password": "x"},
                "userPrincipalName": upn,
                "mail": upn,
                "onPremisesImmutableId": immutable_id,
            })),
        );
        made["id"].as_str().unwrap().to_owned()
    }

    pub fn delete(&self, id: &str) {
        self.administer("DELETE", &format!("/users/{id}"), None);
    }

    /// Somebody who is in the recycle bin.
    pub fn deleted(&self, upn: &str, immutable_id: Option<&str>) -> String {
        let id = self.hire(upn, immutable_id);
        self.delete(&id);
        id
    }

    /// The account as the tenant's own page shows it.
    pub fn account(&self, id: &str) -> Value {
        let (_, _, reply) = self.ask("GET", &format!("/sim/users?id={id}"), None, &[]);
        serde_json::from_slice(&reply).unwrap()
    }

    /// Where a person stands: the UPN without the mangling, the ImmutableID, whether deleted.
    pub fn stand(&self, id: &str) -> (String, Option<String>, bool) {
        let account = self.account(id);
        let text = |key: &str| account[key].as_str().map(str::to_owned);
        let upn = text("homeUserPrincipalName").unwrap();
        (upn, text("onPremisesImmutableId"), account["deleted"] == true)
    }
}

impl Clock for Tenant {
    fn now(&self) -> u64 {
        self.now_ms()
    }
}

/// The line between program and tenant.
struct Line {
    tenant: Arc<Tenant>,
    began: Instant,
    quirk: Mutex<Quirk>,
    asked: Mutex<Vec<Request>>,
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: &Request, _attempt: uuid::Uuid) -> Reply {
        // Here single requests are looked at.
        if request.path.ends_with("/$batch") {
            let no = br#"{"error":{"code":"BadRequest","message":"no batches here"}}"#;
            return classify(request, 400, &HeaderMap::new(), no, UNIX_EPOCH);
        }
        self.asked.lock().unwrap().push(request.clone());
        tokio::time::sleep(LATENCY).await;
        let moment = Moment { request, tenant: &self.tenant, elapsed: self.began.elapsed() };
        let twist = (self.quirk.lock().unwrap())(&moment);
        let sorted =
            |status: u16, headers: &HeaderMap, body: &[u8]| classify(request, status, headers, body, UNIX_EPOCH);
        let body = match twist {
            Twist::Instead(status, body) => {
                let body = serde_json::to_vec(&body).unwrap();
                return sorted(status, &HeaderMap::new(), &body);
            }
            Twist::Page(status, page) => return sorted(status, &HeaderMap::new(), page.as_bytes()),
            Twist::WithoutBody => None,
            Twist::Nothing | Twist::Silence | Twist::Late(_) | Twist::PageAfter(..) => request.body.as_ref(),
        };
        let path = match request.path.strip_prefix(self.tenant.direct.root()) {
            Some(rest) => rest.to_owned(),
            None => format!("/v1.0{}", request.path),
        };
        let method: &'static str = request.method.into();
        if let Twist::Late(after) = twist {
            let (tenant, body) = (Arc::clone(&self.tenant), body.cloned());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                tenant.ask(method, &path, body.as_ref(), &[])
            });
            return sorted(504, &HeaderMap::new(), b"");
        }
        let (status, headers, reply) = self.tenant.ask(method, &path, body, &request.headers);
        match twist {
            Twist::Silence | Twist::Late(_) => sorted(504, &HeaderMap::new(), b""),
            Twist::PageAfter(status, page) => sorted(status, &HeaderMap::new(), page.as_bytes()),
            Twist::Nothing | Twist::WithoutBody | Twist::Instead(..) | Twist::Page(..) => {
                sorted(status, &headers, &reply)
            }
        }
    }
}

/// How a row ended.
#[derive(Debug)]
pub struct Ended {
    pub outcome: &'static str,
    /// Code, message and advice, where there is a problem.
    pub code: String,
    pub message: String,
    pub advice: String,
}

/// What a run came to.
pub struct Ran {
    pub rows: Vec<Ended>,
    /// Every request, in order.
    pub asked: Vec<Request>,
}

impl Ran {
    /// The writes: method, the last part of the path, body.
    pub fn writes(&self) -> Vec<String> {
        let writes = self.asked.iter().filter(|request| request.method != Method::Get);
        let told = writes.map(|request| {
            let body = request.body.as_ref().map(|body| format!(" {body}"));
            let is_restore = request.path.ends_with("/restore");
            let what = if is_restore { "restore" } else { "user" };
            format!("{} {what}{}", request.method.as_ref(), body.unwrap_or_default())
        });
        told.collect()
    }

    /// The only row's end.
    pub fn end(&self) -> &Ended {
        assert_eq!(self.rows.len(), 1);
        &self.rows[0]
    }
}

/// A tenant before a run.
pub struct Stage {
    pub tenant: Arc<Tenant>,
    quirk: Quirk,
    params: Vec<(String, String)>,
}

impl Stage {
    /// With replicas that may be so far behind.
    pub fn new(seed: u64, replication: Duration) -> Stage {
        let options = Options {
            seed,
            population: Population::Generated { users: 0 },
            faults: Faults::none(),
            limits: ServiceLimits::off(),
            replication_ms: replication.as_millis() as u64,
            token_life_s: 1 << 40,
            ..Options::default()
        };
        Stage {
            tenant: Arc::new(Tenant { direct: Direct::new(&options, NOON as i64).unwrap(), began: Instant::now() }),
            quirk: Box::new(|_| Twist::Nothing),
            params: Vec::new(),
        }
    }

    pub fn fresh() -> Stage {
        Stage::new(1, Duration::ZERO)
    }

    pub fn with(mut self, name: &str, value: &str) -> Stage {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// This service stands between the program and the tenant.
    pub fn through(mut self, quirk: impl FnMut(&Moment<'_>) -> Twist + Send + 'static) -> Stage {
        self.quirk = Box::new(quirk);
        self
    }

    /// A run of these rows, header first.
    pub async fn run(self, csv: &str) -> Ran {
        let job = cutover::job::find("immutable-id").unwrap();
        let line = Arc::new(Line {
            tenant: Arc::clone(&self.tenant),
            began: Instant::now(),
            quirk: Mutex::new(self.quirk),
            asked: Mutex::default(),
        });
        let run = LibraryRun::begin(Parts {
            job: &job,
            csv,
            params: &self.params,
            clock: Arc::clone(&self.tenant) as _,
            transport: Arc::clone(&line) as _,
            directory: None,
            barrier: Duration::ZERO,
        });
        let run = run.await;
        let mut client = ServiceClient::new(&run.services, "lookups".into());
        let settings = look_up(&job, &run.session.header().params, &mut client).await.unwrap();
        run.drive(settings, None).await;
        let mut rows = Vec::new();
        let mut reader = run.session.reader().await.unwrap();
        let read = reader.each::<cutover::journal::JournalError>(|_, record| {
            let record = record.unwrap();
            let problem = record.problem().cloned();
            let text =
                |of: fn(&cutover::core::Problem) -> &String| problem.as_ref().map(of).cloned().unwrap_or_default();
            rows.push(Ended {
                outcome: record.outcome().word(),
                code: text(|problem| &problem.code),
                message: text(|problem| &problem.message),
                advice: text(|problem| &problem.advice),
            });
            Ok(())
        });
        read.unwrap();
        let asked = line.asked.lock().unwrap().clone();
        Ran { rows, asked }
    }
}

/// Graph's error body.
pub fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "no"}})
}

/// A file with one row of UPN and objectGUID.
pub fn one(upn: &str) -> String {
    format!("upn,object_guid\n{upn},{GUID}\n")
}
