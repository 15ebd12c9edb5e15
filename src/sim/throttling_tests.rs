//! What a client sees of the tenant's limits: headers of whole replies, and another app's load that changes.

use axum::http::{Request, Response};

use super::*;

const BEGIN_MS: i64 = 1_700_000_000_000;

struct Client {
    tenant: Direct,
    token: String,
    person: String,
}

impl Client {
    /// Of a tenant that allows ten writes in ten seconds.
    fn new(other_app_writes_per_s: f64) -> Client {
        let options = Options {
            population: Population::Generated { users: 20 },
            faults: Faults::none(),
            limits: ServiceLimits {
                tenant_writes: Some(RateQuota { amount: 10, window_ms: 10_000 }),
                ..ServiceLimits::default()
            },
            other_app_writes_per_s,
            ..Options::default()
        };
        let tenant = Direct::new(&options, 0).unwrap();
        let listing = Request::get("/sim/users").body(Vec::new()).unwrap();
        let lines = String::from_utf8(reply(&tenant, listing, 0).into_body()).unwrap();
        let plain = lines.lines().find(|line| {
            line.contains("\"deleted\":false")
                && line.contains("\"administrator\":false")
                && !line.contains("\"onPremisesSyncEnabled\":true")
        });
        let person: serde_json::Value = serde_json::from_str(plain.unwrap()).unwrap();
        Client { token: tenant.token(BEGIN_MS), person: person["id"].as_str().unwrap().to_owned(), tenant }
    }

    fn send(&self, method: &str, path: &str, priority: &str, at_ms: i64) -> Response<Vec<u8>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("x-ms-throttle-priority", priority)
            .body(br#"{"jobTitle": "Baker"}"#.to_vec())
            .unwrap();
        reply(&self.tenant, request, at_ms)
    }

    fn write(&self, priority: &str, at_ms: i64) -> Response<Vec<u8>> {
        let path = format!("/v1.0/users/{}", self.person);
        self.send("PATCH", &path, priority, at_ms)
    }

    /// How many writes are taken at once.
    fn taken_at_once(&self, priority: &str, at_ms: i64) -> usize {
        let writes = std::iter::repeat_with(|| self.write(priority, at_ms).status());
        writes.take_while(|status| *status == 204).count()
    }
}

fn reply(tenant: &Direct, request: Request<Vec<u8>>, at_ms: i64) -> Response<Vec<u8>> {
    match tenant.answer(request, BEGIN_MS + at_ms) {
        Some(reply) => reply,
        None => panic!("cut"),
    }
}

fn header<'a>(reply: &'a Response<Vec<u8>>, name: &str) -> Option<&'a str> {
    Some(reply.headers().get(name)?.to_str().unwrap())
}

#[test]
fn the_tenants_limit_is_named_in_the_reply_and_warned_of() {
    let client = Client::new(0.0);
    let replies: Vec<_> = (0..11).map(|_| client.write("high", 0)).collect();
    assert_eq!(header(&replies[7], "x-ms-throttle-limit-percentage"), None);
    assert_eq!(header(&replies[8], "x-ms-throttle-limit-percentage"), Some("0.90"));
    let refused = &replies[10];
    assert_eq!(refused.status(), 429);
    let scope = format!("Tenant/Write/{CLIENT_ID}/{TENANT_ID}");
    assert_eq!(header(refused, "x-ms-throttle-scope"), Some(&*scope));
    assert_eq!(header(refused, "x-ms-throttle-information"), Some("WriteLimitExceeded"));
    assert_eq!(header(refused, "retry-after"), Some("2.000"));
}

#[test]
fn low_priority_is_refused_while_high_is_served() {
    let client = Client::new(0.0);
    assert_eq!(client.taken_at_once("low", 0), 9);
    // The refused one was paid for; a second later there is one again, which low may not have.
    assert_eq!(client.write("low", 1_400).status(), 429);
    assert_eq!(client.write("high", 2_800).status(), 204);
}

#[test]
fn another_app_has_its_part_of_the_tenants_limit() {
    let client = Client::new(0.5);
    assert_eq!(client.taken_at_once("high", 0), 10);
    // From one in debt, with half of one a second.
    assert_eq!(client.taken_at_once("high", 10_000), 4);
    client.tenant.change_other_app(0.0, BEGIN_MS + 10_000);
    assert_eq!(client.taken_at_once("high", 16_000), 5);
}

#[test]
fn risky_users_have_one_request_a_second_and_no_time_to_wait() {
    let client = Client::new(0.0);
    let risk = |method, at_ms| client.send(method, "/v1.0/identityProtection/riskyUsers", "low", at_ms);
    assert_ne!(risk("GET", 0).status(), 429);
    let refused = risk("POST", 100);
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after"), None);
    assert!(header(&refused, "x-ms-throttle-scope").unwrap().starts_with("Tenant/ReadWrite/"));
    assert_eq!(client.write("low", 100).status(), 204, "writes go on");
    assert_ne!(risk("GET", 2_100).status(), 429);
}
