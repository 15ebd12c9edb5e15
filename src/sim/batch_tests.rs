//! Batches as a client sees them.

use super::*;
use crate::sim::{Direct, Faults, Options, Population, RateQuota, ServiceLimits};
use axum::http::Response;

fn quiet() -> Options {
    Options {
        population: Population::Generated { users: 40 },
        faults: Faults::none(),
        limits: ServiceLimits::off(),
        ..Options::default()
    }
}

fn send(tenant: &Direct, request: axum::http::request::Builder, body: &Value) -> Response<Vec<u8>> {
    let request = request
        .header("authorization", format!("Bearer {}", tenant.token(0)))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    match tenant.answer(request, 0) {
        Some(reply) => reply,
        None => panic!("cut"),
    }
}

fn batch(tenant: &Direct, requests: &[Value]) -> (u16, Value) {
    let body = json!({ "requests": requests });
    let reply = send(tenant, Request::post("/v1.0/$batch"), &body);
    (reply.status().as_u16(), serde_json::from_slice(reply.body()).unwrap())
}

/// The replies by their ids; the batch itself must be well-formed.
fn replies(tenant: &Direct, requests: &[Value]) -> HashMap<String, Value> {
    let (status, body) = batch(tenant, requests);
    assert_eq!(status, 200, "{body}");
    let responses = body["responses"].as_array().unwrap().iter();
    responses.map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone())).collect()
}

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "method": "GET", "url": url})
}

fn patch(id: &str, url: &str, title: &str) -> Value {
    json!({"id": id, "method": "PATCH", "url": url, "body": {"jobTitle": title},
        "headers": {"Content-Type": "application/json"}})
}

fn after(mut request: Value, earlier: &str) -> Value {
    request["dependsOn"] = json!([earlier]);
    request
}

fn stats(tenant: &Direct) -> Value {
    let reply = send(tenant, Request::get("/sim/stats"), &Value::Null);
    serde_json::from_slice(reply.body()).unwrap()
}

/// Somebody whom the app may write to.
fn somebody(tenant: &Direct) -> String {
    let reply = send(tenant, Request::get("/sim/users"), &Value::Null);
    let lines = String::from_utf8(reply.into_body()).unwrap();
    let users = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let plain = |user: &Value| {
        user["deleted"] == false && user["administrator"] == false && user["onPremisesSyncEnabled"] != true
    };
    users.into_iter().find(plain).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_part_has_a_reply_of_its_own() {
    let tenant = Direct::new(&quiet(), 0).unwrap();
    let user = somebody(&tenant);
    let found = replies(
        &tenant,
        &[
            get("1", &format!("/users/{user}?$select=id")),
            get("2", "users/nobody@contoso.com"),
            get("3", &format!("/users?$filter=id in ('{user}')&$select=id")),
            patch("4", &format!("/users/{user}"), "Baker"),
            get("5", "/$batch"),
        ],
    );
    assert_eq!(found["1"]["status"], 200);
    assert_eq!(found["1"]["body"]["id"], json!(user));
    assert_eq!(found["1"]["headers"]["x-ms-resource-unit"], "1");
    assert_eq!(found["2"]["body"]["error"]["code"], "Request_ResourceNotFound");
    assert_eq!(found["3"]["body"]["value"], json!([{"id": user}]));
    assert_eq!((&found["4"]["status"], found["4"].get("body")), (&json!(204), None));
    assert_eq!(found["5"]["status"], 400);
    let stats = stats(&tenant);
    assert_eq!((&stats["requests"], &stats["writes"]), (&json!(5), &json!(1)), "each part is a request");
}

#[test]
fn the_limits_count_parts_and_permissions_are_asked_for_each() {
    let writes = Some(RateQuota { amount: 1, window_ms: 3_600_000 });
    let limits = ServiceLimits { writes, ..ServiceLimits::off() };
    let mut options = Options { limits, ..quiet() };
    options.permissions.remove(&"Domain.Read.All".parse().unwrap());
    let tenant = Direct::new(&options, 0).unwrap();
    let user = format!("/users/{}", somebody(&tenant));
    let found = replies(
        &tenant,
        &[patch("a", &user, "Baker"), patch("b", &user, "Smith"), get("c", "/domains"), get("d", "/organization")],
    );
    assert_eq!(found["a"]["status"], 204);
    assert_eq!(found["b"]["status"], 429);
    assert!(found["b"]["headers"]["retry-after"].is_string());
    assert_eq!(found["c"]["status"], 403);
    assert_eq!(found["d"]["status"], 200);
}

#[test]
fn parts_meet_faults_by_themselves_and_a_lost_one_is_a_timeout() {
    let faults = Faults { error_before: 0.2, drop_after: 0.2, ..Faults::none() };
    let tenant = Direct::new(&Options { faults, ..quiet() }, 0).unwrap();
    let requests: Vec<_> = (0..20).map(|n| get(&n.to_string(), &format!("/users/nobody{n}@contoso.com"))).collect();
    let whole = (0..20).find_map(|_| {
        let body = json!({ "requests": requests });
        let request = Request::post("/v1.0/$batch")
            .header("authorization", format!("Bearer {}", tenant.token(0)))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        match tenant.answer(request.unwrap(), 0) {
            Some(reply) if reply.status() == 200 => Some(reply.into_body()),
            Some(_) | None => None,
        }
    });
    let body: Value = serde_json::from_slice(&whole.unwrap()).unwrap();
    let statuses: HashSet<_> = body["responses"].as_array().unwrap().iter().map(|one| one["status"].as_u64()).collect();
    assert!(statuses.contains(&Some(404)) && statuses.contains(&Some(504)), "{statuses:?}");
}

#[test]
fn a_sequence_stops_at_the_first_that_fails() {
    let tenant = Direct::new(&quiet(), 0).unwrap();
    let user = format!("/users/{}", somebody(&tenant));
    let found = replies(
        &tenant,
        &[
            patch("1", &user, "Baker"),
            after(patch("2", "/users/nobody@contoso.com", "Baker"), "1"),
            after(patch("3", &user, "Smith"), "2"),
        ],
    );
    let statuses = ["1", "2", "3"].map(|id| found[id]["status"].clone());
    assert_eq!(statuses, [json!(204), json!(404), json!(424)]);
    assert_eq!(stats(&tenant)["writes"], 1);
}

#[test]
fn what_is_no_batch_is_refused_as_a_whole() {
    let tenant = Direct::new(&quiet(), 0).unwrap();
    let user = format!("/users/{}", somebody(&tenant));
    let one = || get("1", &user);
    let many: Vec<_> = (0..21).map(|n| get(&n.to_string(), &user)).collect();
    let no_type = json!({"id": "1", "method": "PATCH", "url": user, "body": {"jobTitle": "Baker"}});
    let no_body = json!({"id": "1", "method": "POST", "url": user});
    for bad in [
        many,
        vec![],
        vec![get("a", &user), get("A", &user)],
        vec![json!({"method": "GET", "url": user})],
        vec![no_type],
        vec![no_body],
        vec![one(), after(get("2", &user), "3")],
        vec![one(), get("2", &user), after(get("3", &user), "2")],
    ] {
        let (status, body) = batch(&tenant, &bad);
        assert_eq!((status, &body["error"]["code"]), (400, &json!("BadRequest")), "{bad:?}");
    }
    let stats = stats(&tenant);
    assert_eq!((&stats["requests"], &stats["writes"]), (&json!(0), &json!(0)));
}

#[test]
fn a_service_without_batches_knows_no_such_segment() {
    let tenant = Direct::new(&Options { serves_batch: false, ..quiet() }, 0).unwrap();
    let (status, body) = batch(&tenant, &[get("1", "/organization")]);
    assert_eq!((status, &body["error"]["code"]), (400, &json!("BadRequest")));
    assert!(body["error"]["message"].as_str().unwrap().contains("Resource not found for the segment"));
}
