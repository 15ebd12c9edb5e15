//! A simulated tenant with a case's people, and a proxy in front of it that returns what the case wants returned.

use crate::expectation::Ending;
use crate::manifest::{Case, Reply, Twist};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use cutover::sim::{Faults, Options, Population, ServiceLimits, Simulator};
use percent_encoding::percent_decode_str;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const REQUEST_BYTES_MAX: usize = 1 << 20;

pub struct Wire {
    between: Arc<Between>,
    simulator: Simulator,
    url: String,
}

/// What stands between the program and the tenant.
struct Between {
    client: Client,
    tenant: String,
    url: String,
    twists: Vec<Mutex<Twisting>>,
    /// Authentication types by domain, where they differ from the tenant's own.
    domains: BTreeMap<String, String>,
    ids: BTreeMap<String, String>,
    writes: AtomicU64,
}

/// A twist and how often it was met.
struct Twisting {
    twist: Twist,
    matched: u32,
    met: u32,
    since: Option<Instant>,
}

impl Wire {
    pub async fn start(case: &Case) -> Wire {
        let options = Options {
            population: Population::Generated { users: 0 },
            faults: Faults { latency_base_ms: case.latency(), ..Faults::none() },
            limits: ServiceLimits::off(),
            // Cases twist single requests.
            serves_batch: false,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let ids = hire(case, &client, &simulator).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let between = Arc::new(Between {
            client,
            tenant: simulator.url(),
            url: url.clone(),
            twists: case.replies.iter().map(Twisting::new).collect(),
            domains: domains(&case.domains),
            ids,
            writes: AtomicU64::new(0),
        });
        let app = Router::new().fallback(pass).with_state(Arc::clone(&between));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Wire { between, simulator, url }
    }

    pub fn connection_file(&self) -> String {
        let direct = self.simulator.connection_file();
        direct.replace(&self.simulator.url(), &self.url)
    }

    pub fn secret(&self) -> &'static str {
        cutover::sim::CLIENT_SECRET
    }

    pub fn with_ids(&self, text: &str) -> String {
        self.between.with_ids(text)
    }

    /// The ending, and with it the tenant as it is now.
    pub async fn complete(&self, mut ending: Ending) -> Ending {
        ending.writes = self.between.writes.load(Ordering::Relaxed);
        for (name, id) in &self.between.ids {
            let url = format!("{}/sim/users?id={id}", self.simulator.url());
            let reply = self.between.client.get(url).send().await.unwrap();
            let person = reply.json().await.unwrap();
            ending.people.insert(name.clone(), person);
        }
        ending
    }
}

/// Makes the case's people, in order; the object ids by name.
async fn hire(case: &Case, client: &Client, simulator: &Simulator) -> BTreeMap<String, String> {
    let graph = format!("{}/v1.0", simulator.url());
    let token = token(client, simulator).await;
    let mut ids = BTreeMap::new();
    for person in &case.people {
        let local = person.upn.split(['@', '#']).next().unwrap();
        let body = json!({
            "accountEnabled": true,
            "displayName": local,
            "mailNickname": local,
            "passwordProfile": {"password": "x"},
            "userPrincipalName": person.upn,
            "mail": person.mail,
            "onPremisesImmutableId": person.immutable_id,
        });
        let made = client.post(format!("{graph}/users")).json(&body);
        let made = made.bearer_auth(&token).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        if person.deleted {
            let gone = client.delete(format!("{graph}/users/{id}"));
            let gone = gone.bearer_auth(&token).send().await.unwrap();
            gone.error_for_status().unwrap();
        }
        ids.insert(person.name().to_owned(), id);
    }
    ids
}

async fn token(client: &Client, simulator: &Simulator) -> String {
    let url = format!("{}/{}/oauth2/v2.0/token", simulator.url(), cutover::sim::INITIAL_DOMAIN);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", cutover::sim::CLIENT_ID),
        ("client_secret", cutover::sim::CLIENT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let reply = client.post(url).form(&form).send().await.unwrap();
    let reply: Value = reply.json().await.unwrap();
    reply["access_token"].as_str().unwrap().to_owned()
}

fn domains(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once(':').unwrap());
    pairs
        .map(|(name, kind)| {
            let kind = match kind {
                "federated" => "Federated",
                "managed" => "Managed",
                other => panic!("a domain cannot be {other}"),
            };
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

async fn pass(State(between): State<Arc<Between>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, REQUEST_BYTES_MAX).await.unwrap();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let plain = percent_decode_str(&target).decode_utf8_lossy().into_owned();
    let is_batch = plain.ends_with("/$batch");
    let is_write = parts.method != Method::GET && !plain.ends_with("/token") && !is_batch;
    if is_write {
        between.writes.fetch_add(1, Ordering::Relaxed);
    }
    let text = String::from_utf8_lossy(&body);
    for twisting in between.twists.iter().filter(|_| !is_batch) {
        if twisting.lock().unwrap().meets(&parts.method, &plain, &text) {
            let reply = twisting.lock().unwrap().twist.reply.clone();
            return between.instead(&reply, &target);
        }
    }
    let mut headers = parts.headers;
    headers.remove("host");
    let sent = between.client.request(parts.method, format!("{}{target}", between.tenant));
    let reply = sent.headers(headers).body(body).send().await.unwrap();
    between.returned(reply, plain.contains("/domains")).await
}

impl Between {
    fn instead(&self, reply: &Reply, target: &str) -> Response {
        let body = match &reply.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let body = self.with_ids(&body).replace("$SELF", &format!("{}{target}", self.url));
        let mut made = Response::builder().status(reply.status);
        if !reply.headers.contains_key("Content-Type") {
            made = made.header("Content-Type", "application/json");
        }
        for (name, value) in &reply.headers {
            made = made.header(name, value);
        }
        made.body(Body::from(body)).unwrap()
    }

    async fn returned(&self, reply: reqwest::Response, is_domains: bool) -> Response {
        let mut made = Response::builder().status(reply.status());
        for (name, value) in reply.headers() {
            if name != "content-length" && name != "transfer-encoding" {
                made = made.header(name, value);
            }
        }
        let body = reply.bytes().await.unwrap();
        let body = if is_domains { self.with_domains(&body) } else { body };
        let text = String::from_utf8_lossy(&body).replace(&self.tenant, &self.url);
        made.body(Body::from(text)).unwrap()
    }

    fn with_domains(&self, body: &Bytes) -> Bytes {
        let mut listing: Value = serde_json::from_slice(body).unwrap();
        for domain in listing["value"].as_array_mut().unwrap() {
            let name = domain["id"].as_str().unwrap();
            if let Some(kind) = self.domains.get(name) {
                domain["authenticationType"] = json!(kind);
            }
        }
        Bytes::from(listing.to_string())
    }

    fn with_ids(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| {
            text.replace(&format!("$ID({name})"), id).replace(&format!("$HEX({name})"), &id.replace('-', ""))
        })
    }
}

impl Twisting {
    fn new(twist: &Twist) -> Mutex<Twisting> {
        Mutex::new(Twisting { twist: twist.clone(), matched: 0, met: 0, since: None })
    }

    /// Whether this request is met; counts it where it matches.
    fn meets(&mut self, method: &Method, target: &str, body: &str) -> bool {
        let twist = &self.twist;
        let has = |part: &Option<String>, whole: &str| {
            part.as_ref().is_none_or(|part| whole.contains(&part.replace('\\', "")))
        };
        let matches = twist.method.as_ref().is_none_or(|wanted| wanted == method.as_str())
            && has(&twist.path, target)
            && has(&twist.body, body);
        if !matches {
            return false;
        }
        self.matched += 1;
        if self.matched <= twist.after || twist.times.is_some_and(|times| self.met >= times) {
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if let Some(seconds) = twist.for_s
            && since.elapsed() > Duration::from_secs_f64(seconds)
        {
            return false;
        }
        self.met += 1;
        true
    }
}
