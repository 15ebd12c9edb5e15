//! One play: many rows that write without end, a line with latency, the simulated tenant at its other end, and what went
//! over the line.

use async_trait::async_trait;
use axum::http::{Request as HttpRequest, Response};
use cutover::core::{Expects, Method, Request};
use cutover::journal::UnixMillis;
use cutover::runner::client::ServiceClient;
use cutover::runner::{Clock, Gauges, Services};
use cutover::services::budget::Priority;
use cutover::services::{Class, Graph, GraphLimits, Patience, Registry, Reply, Transport, classify};
use cutover::sim::{Direct, Faults, Options, Population, ServiceLimits};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// More than any latency here needs at twenty a second.
const ROWS: usize = 64;
const RISK_ROWS: usize = 4;
/// When the play begins by the tenant's clock; before that the bucket is brought to its level.
const BEGIN_MS: i64 = 1_700_000_000_000;
const WRITE_PATH: &str = "/users/";
const RISK_PATH: &str = "/identityProtection/riskyUsers?$top=1";

/// What is played.
#[derive(Debug, Clone)]
pub struct Scene {
    pub seed: u64,
    pub limits: ServiceLimits,
    /// The share of the tenant's bucket that is used when it begins.
    pub used: f64,
    /// What another app writes a second, from when on.
    pub loads: Vec<(Duration, f64)>,
    pub latency_ms: Range<u64>,
    pub lasting: Duration,
    /// Our budget of writes.
    pub writes: &'static str,
    /// The share of requests that are refused by chance, without a word on whose limit it is.
    pub chance: f64,
    /// Whether refusals name the limit (`x-ms-throttle-scope`).
    pub naming: Naming,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Named,
    Unnamed,
}

/// Who asks what.
enum Load {
    Writes,
    WritesAndRisk,
    Reads,
}

/// What went over the line, by the time since the beginning.
#[derive(Debug, Default)]
pub struct Played {
    pub taken: Vec<Duration>,
    pub refused: Vec<Duration>,
    pub reads_taken: Vec<Duration>,
    pub reads_refused: Vec<Duration>,
    pub first_sign: Option<Duration>,
}

fn within(times: &[Duration], range: &Range<Duration>) -> usize {
    times.iter().filter(|at| range.contains(*at)).count()
}

fn per_second(times: &[Duration], range: &Range<Duration>) -> f64 {
    within(times, range) as f64 / (range.end - range.start).as_secs_f64()
}

impl Played {
    /// Writes taken a second.
    pub fn rate(&self, range: Range<Duration>) -> f64 {
        per_second(&self.taken, &range)
    }

    /// The share of writes refused with 429 until then.
    pub fn refused_share(&self, until: Duration) -> f64 {
        let range = Duration::ZERO..until;
        let refused = within(&self.refused, &range) as f64;
        refused / (refused + within(&self.taken, &range) as f64)
    }

    /// Reads taken a second.
    pub fn read_rate(&self, range: Range<Duration>) -> f64 {
        per_second(&self.reads_taken, &range)
    }

    pub fn reads_refused(&self, range: Range<Duration>) -> usize {
        within(&self.reads_refused, &range)
    }
}

/// Writes without end.
pub fn play(scene: &Scene) -> Played {
    run(scene, &Load::Writes)
}

/// The same, and beside it reads of risky users.
pub fn play_with_risk(scene: &Scene) -> Played {
    run(scene, &Load::WritesAndRisk)
}

/// Reads of a person without end.
pub fn play_reads(scene: &Scene) -> Played {
    run(scene, &Load::Reads)
}

fn run(scene: &Scene, load: &Load) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(perform(scene, load))
}

async fn perform(scene: &Scene, load: &Load) -> Played {
    let line = Arc::new(Line::new(scene));
    let services = services(&line, scene);
    let path = format!("{WRITE_PATH}{}", line.person);
    let body = Some(json!({"jobTitle": "Baker"}));
    let write = Request::write(Method::Patch, path, body);
    let read = |path: &str| Request::get(path, Expects::Object);
    let requests = match load {
        Load::Writes => vec![write; ROWS],
        Load::WritesAndRisk => [vec![write; ROWS], vec![read(RISK_PATH); RISK_ROWS]].concat(),
        Load::Reads => vec![read(&write.path); ROWS],
    };
    let mut rows = JoinSet::new();
    for (row, request) in requests.into_iter().enumerate() {
        rows.spawn(ask_without_end(Arc::clone(&services), format!("row {row}"), request));
    }
    for (at, load) in &scene.loads {
        sleep_until(line.begun + *at).await;
        line.tenant.change_other_app(*load, line.now_ms());
    }
    sleep_until(line.begun + scene.lasting).await;
    rows.shutdown().await;
    std::mem::take(&mut *line.played.lock().unwrap())
}

async fn ask_without_end(services: Arc<Services>, name: String, request: Request) {
    let mut client = ServiceClient::new(&services, name);
    loop {
        let _answer = match request.is_write() {
            true => client.write(&request, "write", Priority::Started).await,
            false => client.read(&request, Priority::Started).await.map(drop),
        };
    }
}

fn services(line: &Arc<Line>, scene: &Scene) -> Arc<Services> {
    let budgets = GraphLimits::GRAPH;
    Arc::new(Services {
        registry: Registry::of(
            Arc::new(Graph::new(
                Arc::clone(line) as _,
                "contoso.test",
                GraphLimits {
                    writes: scene.writes.parse().unwrap(),
                    reads: budgets.reads,
                    identity_protection: budgets.identity_protection,
                },
                Patience { silence: Duration::from_secs(300), sign_in: Duration::from_secs(300) },
            )),
            Vec::new(),
        ),
        directory: None,
        clock: Arc::new(RunMode),
        run: Uuid::from_u128(u128::from(scene.seed)),
        app: cutover::job::AppFacts::default(),
        process_at: 0,
        gauges: Gauges::default(),
    })
}

/// Nothing here is stored or shown.
struct RunMode;

impl Clock for RunMode {
    fn now(&self) -> UnixMillis {
        0
    }
}

/// The line to the tenant.
struct Line {
    tenant: Direct,
    token: String,
    person: String,
    begun: Instant,
    latency_ms: Range<u64>,
    dice: Mutex<ChaCha8Rng>,
    chance: f64,
    naming: Naming,
    played: Mutex<Played>,
}

impl Line {
    fn new(scene: &Scene) -> Line {
        let options = Options {
            seed: scene.seed,
            population: Population::Generated { users: 60 },
            faults: Faults::none(),
            limits: scene.limits,
            token_life_s: 86_400,
            ..Options::default()
        };
        let tenant = Direct::new(&options, BEGIN_MS).unwrap();
        let line = Line {
            token: tenant.token(BEGIN_MS),
            person: somebody(&tenant),
            tenant,
            begun: Instant::now(),
            latency_ms: scene.latency_ms.clone(),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(scene.seed)),
            chance: scene.chance,
            naming: scene.naming,
            played: Mutex::default(),
        };
        line.use_up(scene);
        line
    }

    /// Another app takes what is used before the play begins.
    fn use_up(&self, scene: &Scene) {
        let Some(bucket) = scene.limits.tenant_writes else {
            return;
        };
        // In one second, beside what refills in it.
        let refills = f64::from(bucket.amount) * 1_000.0 / bucket.window_ms as f64;
        let load = f64::from(bucket.amount) * scene.used + refills;
        self.tenant.change_other_app(load, BEGIN_MS - 1_000);
        self.tenant.change_other_app(0.0, BEGIN_MS);
    }

    fn now_ms(&self) -> i64 {
        BEGIN_MS + self.begun.elapsed().as_millis() as i64
    }

    fn http(&self, request: &Request) -> HttpRequest<Vec<u8>> {
        let body = request.body.as_ref().map(ToString::to_string);
        HttpRequest::builder()
            .method(request.method.as_ref())
            .uri(format!("/v1.0{}", request.path))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("x-ms-throttle-priority", "low")
            .body(body.unwrap_or_default().into_bytes())
            .unwrap()
    }

    fn answer(&self, request: &Request) -> Response<Vec<u8>> {
        match self.tenant.answer(self.http(request), self.now_ms()) {
            Some(answer) => answer,
            None => panic!("this tenant makes no troubles of its own"),
        }
    }

    fn refuses_by_chance(&self) -> bool {
        self.dice.lock().unwrap().random::<f64>() < self.chance
    }

    fn note(&self, request: &Request, reply: &Reply) {
        let at = self.begun.elapsed();
        let mut played = self.played.lock().unwrap();
        let fault = reply.result.as_ref().err();
        let is_refused = fault.is_some_and(|fault| matches!(fault.class, Class::Throttled { .. }));
        let is_write = request.is_write();
        if is_write && (is_refused || reply.usage.is_some()) {
            played.first_sign.get_or_insert(at);
        }
        match (is_write, is_refused) {
            (true, true) => played.refused.push(at),
            (true, false) => {
                assert!(fault.is_none(), "{fault:?}");
                played.taken.push(at);
            }
            (false, true) => played.reads_refused.push(at),
            (false, false) => played.reads_taken.push(at),
        }
    }
}

/// A refusal that says for how long, and no more.
fn busy() -> Response<Vec<u8>> {
    let reply = Response::builder().status(429).header("retry-after", "1");
    reply.body(Vec::new()).unwrap()
}

/// The id of a person who can be written to.
fn somebody(tenant: &Direct) -> String {
    let request = HttpRequest::get("/sim/users").body(Vec::new()).unwrap();
    let Some(reply) = tenant.answer(request, BEGIN_MS) else {
        panic!("cut");
    };
    let lines = String::from_utf8(reply.into_body()).unwrap();
    let plain = lines.lines().find(|line| {
        line.contains("\"deleted\":false")
            && line.contains("\"administrator\":false")
            && !line.contains("\"onPremisesSyncEnabled\":true")
    });
    let person: serde_json::Value = serde_json::from_str(plain.unwrap()).unwrap();
    person["id"].as_str().unwrap().to_owned()
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: &Request, _attempt: Uuid) -> Reply {
        // Here single requests are looked at.
        if request.path.ends_with("/$batch") {
            let no = br#"{"error":{"code":"BadRequest","message":"no batches here"}}"#;
            return classify(request, 400, &axum::http::HeaderMap::new(), no, UNIX_EPOCH);
        }
        let latency_ms = self.dice.lock().unwrap().random_range(self.latency_ms.clone());
        sleep(Duration::from_millis(latency_ms / 2)).await;
        let mut answer = match self.refuses_by_chance() {
            true => busy(),
            false => self.answer(request),
        };
        if self.naming == Naming::Unnamed {
            answer.headers_mut().remove("x-ms-throttle-scope");
        }
        sleep(Duration::from_millis(latency_ms - latency_ms / 2)).await;
        let status = answer.status().as_u16();
        let reply = classify(request, status, answer.headers(), answer.body(), UNIX_EPOCH);
        self.note(request, &reply);
        reply
    }
}
