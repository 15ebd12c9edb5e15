//! The simulated tenant over real HTTP on loopback, without latency.

mod hard_match;
mod permissions;
mod risk;
mod roles;

use std::path::Path;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::*;

fn client() -> Client {
    // Another test may have installed it already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

fn person(upn: &str) -> Person {
    Person { upn: upn.to_owned(), temp_upn: None, wanted_immutable_id: Some(format!("wanted-{upn}")) }
}

fn quiet() -> Options {
    let people = (0..200).map(|n| person(&format!("person{n}@contoso.com"))).collect();
    Options {
        population: Population::People(people),
        faults: Faults::none(),
        limits: ServiceLimits::off(),
        ..Options::default()
    }
}

/// A simulator with somebody who is signed in to it.
struct Session {
    simulator: Simulator,
    client: Client,
    token: String,
}

impl Session {
    async fn start(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let client = client();
        let token = token(&simulator, &client).await;
        Self { simulator, client, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.simulator.url());
        self.client.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        parts(self.request(Method::GET, path).send().await.unwrap()).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PATCH, path).json(body).send().await.unwrap()
    }

    /// What the oracle knows of everybody.
    async fn everybody(&self) -> Vec<Value> {
        self.lines("/sim/users").await
    }

    async fn lines(&self, path: &str) -> Vec<Value> {
        let text = self.request(Method::GET, path).send().await.unwrap().text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An ordinary live user of the federated domain.
    async fn somebody(&self) -> (String, String) {
        let everybody = self.everybody().await;
        let ordinary = |user: &&Value| {
            user["deleted"] == false
                && user["onPremisesSyncEnabled"] == Value::Null
                && user["administrator"] == false
                && user["userPrincipalName"].as_str().unwrap().ends_with("@contoso.com")
        };
        let user = everybody.iter().find(ordinary).unwrap();
        (text(&user["id"]), text(&user["userPrincipalName"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn parts(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn sign_in(simulator: &Simulator, client: &Client, secret: &str) -> Response {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", secret),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let url = format!("{}/{}/oauth2/v2.0/token", simulator.url(), INITIAL_DOMAIN);
    client.post(url).form(&form).send().await.unwrap()
}

async fn token(simulator: &Simulator, client: &Client) -> String {
    let (status, body) = parts(sign_in(simulator, client, CLIENT_SECRET).await).await;
    assert_eq!((status, &body["expires_in"]), (StatusCode::OK, &json!(3_599)));
    text(&body["access_token"])
}

#[tokio::test]
async fn signing_in_takes_the_right_secret_and_graph_takes_a_token() {
    let session = Session::start(quiet()).await;
    let (status, body) = parts(sign_in(&session.simulator, &session.client, "wrong").await).await;
    assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    let url = format!("{}/v1.0/organization", session.simulator.url());
    let (status, body) = parts(session.client.get(&url).send().await.unwrap()).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("InvalidAuthenticationToken")));
    let (status, body) = session.get("/v1.0/organization").await;
    assert_eq!((status, &body["value"][0]["id"]), (StatusCode::OK, &json!(TENANT_ID)));
    session.simulator.stop().await;
}

#[tokio::test]
async fn a_federated_users_anchor_changes_by_the_four_writes() {
    let session = Session::start(quiet()).await;
    let (id, home) = session.somebody().await;
    let path = format!("/v1.0/users/{id}");
    let refused = session.patch(&path, &json!({"onPremisesImmutableId": null})).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    for body in [
        json!({"userPrincipalName": "temporary@contoso.onmicrosoft.com"}),
        json!({"onPremisesImmutableId": null}),
        json!({"onPremisesImmutableId": "NEW"}),
        json!({"userPrincipalName": home}),
    ] {
        let response = session.patch(&path, &body).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{body}");
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let (_, user) = session.get(&format!("/v1.0/users('{home}')?$select=id,onPremisesImmutableId")).await;
    assert_eq!((&user["id"], &user["onPremisesImmutableId"]), (&json!(id), &json!("NEW")));
    let (_, user) = session.get(&path).await;
    assert!(user.get("onPremisesImmutableId").is_none() && user["userPrincipalName"] == json!(home));
    let writes = session.lines("/sim/writes").await;
    assert_eq!(writes.len(), 4);
    assert_eq!(writes[2]["changed"]["onPremisesImmutableId"], json!({"from": null, "to": "NEW"}));
    let (_, stats) = session.get("/sim/stats").await;
    assert_eq!((&stats["writes"], &stats["reads"], &stats["tokens"]), (&json!(4), &json!(2), &json!(1)));
}

#[tokio::test]
async fn deleted_users_are_found_restored_and_listed_in_pages() {
    let session = Session::start(quiet()).await;
    let (id, home) = session.somebody().await;
    let live = format!("/v1.0/users/{id}");
    let deleted = format!("/v1.0/directory/deletedItems/{id}");
    assert_eq!(session.request(Method::DELETE, &live).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(session.get(&live).await.0, StatusCode::NOT_FOUND);
    let (_, user) = session.get(&deleted).await;
    assert_eq!(text(&user["userPrincipalName"]), format!("{}{home}", id.replace('-', "")));
    let cast = "/v1.0/directory/deletedItems/microsoft.graph.user";
    let (_, found) = session.get(&format!("{cast}?$filter=mail eq '{home}'&$select=id")).await;
    assert_eq!(found["value"], json!([{"id": id}]));
    assert_eq!(session.get("/v1.0/directory/deletedItems").await.0, StatusCode::BAD_REQUEST);

    let all = session.everybody().await.iter().filter(|user| user["deleted"] == true).count();
    let mut seen = 0;
    let mut next = Some(format!("{cast}?$top=5&$select=id"));
    while let Some(path) = next {
        let (_, page) = session.get(&path).await;
        seen += page["value"].as_array().unwrap().len();
        let link = page["@odata.nextLink"].as_str();
        next = link.map(|link| link.strip_prefix(&session.simulator.url()).unwrap().to_owned());
    }
    assert!(all > 5 && seen == all, "{seen} of {all}");

    let misspelt = format!("{deleted}/restore?$select=nothing");
    let refused = session.request(Method::POST, &misspelt).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(session.get(&live).await.0, StatusCode::NOT_FOUND, "a refused restore restores nothing");

    let restored = session.request(Method::POST, &format!("{deleted}/restore")).send().await.unwrap();
    let (status, user) = parts(restored).await;
    assert_eq!((status, &user["userPrincipalName"]), (StatusCode::OK, &json!(home)));
    assert_eq!(session.get(&live).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_advanced_query_needs_both_its_halves() {
    let session = Session::start(quiet()).await;
    let path = "/v1.0/directory/deletedItems/microsoft.graph.user?$filter=endsWith(userPrincipalName,'@contoso.com')&$count=true";
    let (status, body) = session.get(path).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("Request_UnsupportedQuery")));
    let (status, body) =
        parts(session.request(Method::GET, path).header("ConsistencyLevel", "eventual").send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["@odata.count"].as_u64().unwrap() as usize, body["value"].as_array().unwrap().len());
}

#[tokio::test]
async fn errors_and_headers_identify_the_request() {
    let session = Session::start(quiet()).await;
    let request = session.request(Method::GET, "/v1.0/users/nobody@contoso.com").header("client-request-id", "mine");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["client-request-id"], "mine");
    assert_eq!(response.headers()["x-ms-resource-unit"], "1");
    assert!(response.headers().contains_key("date"));
    let request_id = response.headers()["request-id"].to_str().unwrap().to_owned();
    let (status, body) = parts(response).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!("Request_ResourceNotFound")));
    assert_eq!(body["error"]["innerError"]["request-id"], json!(request_id));
    let (status, _) = session.get("/v1.0/users?$select=nothing").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, domain) = session.get("/v1.0/domains/contoso.com").await;
    assert_eq!(domain["authenticationType"], "Federated");
}

#[tokio::test]
async fn a_passed_limit_answers_429_with_all_its_headers() {
    let limits = ServiceLimits { writes: Some(RateQuota { amount: 1, window_ms: 3_600_000 }), ..ServiceLimits::off() };
    let session = Session::start(Options { limits, ..quiet() }).await;
    let (id, _) = session.somebody().await;
    let path = format!("/v1.0/users/{id}");
    let first = session.patch(&path, &json!({"jobTitle": "Baker"})).await;
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    assert_eq!(first.headers()["x-ms-throttle-limit-percentage"], "1.00");
    let second = session.patch(&path, &json!({"jobTitle": "Smith"})).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(second.headers()["retry-after"].to_str().unwrap().contains('.'));
    let scope = second.headers()["x-ms-throttle-scope"].to_str().unwrap().to_owned();
    assert_eq!(scope, format!("Tenant_Application/Write/{CLIENT_ID}/{TENANT_ID}"));
    assert_eq!(second.headers()["x-ms-throttle-information"], "WriteLimitExceeded");
    assert_eq!(parts(second).await.1["error"]["code"], "TooManyRequests");
    assert_eq!(session.get(&path).await.0, StatusCode::OK, "reads go on");
}

async fn job_title_after(faults: Faults) -> (Result<StatusCode, reqwest::Error>, Value) {
    let session = Session::start(Options { faults, ..quiet() }).await;
    let (id, _) = session.somebody().await;
    let request = session.request(Method::PATCH, &format!("/v1.0/users/{id}")).json(&json!({"jobTitle": "Baker"}));
    let outcome = request.send().await.map(|response| response.status());
    let writes = session.lines("/sim/writes").await;
    let (_, stats) = session.get("/sim/stats").await;
    assert_eq!(stats["faults"], json!(1));
    (outcome, writes.first().map_or(Value::Null, |write| write["changed"]["jobTitle"]["to"].clone()))
}

#[tokio::test]
async fn faults_happen_before_or_after_the_write() {
    let (outcome, title) = job_title_after(Faults { error_before: 1.0, ..Faults::none() }).await;
    assert!(outcome.unwrap().is_server_error() && title == Value::Null);
    let (outcome, title) = job_title_after(Faults { error_after: 1.0, ..Faults::none() }).await;
    assert!(outcome.unwrap().is_server_error() && title == "Baker");
    let (outcome, title) = job_title_after(Faults { drop_before: 1.0, ..Faults::none() }).await;
    assert!(outcome.is_err() && title == Value::Null);
    let (outcome, title) = job_title_after(Faults { drop_after: 1.0, ..Faults::none() }).await;
    assert!(outcome.is_err() && title == "Baker");
    let (outcome, title) = job_title_after(Faults { expire_token: 1.0, ..Faults::none() }).await;
    assert!(outcome.unwrap() == StatusCode::UNAUTHORIZED && title == Value::Null);
    let (outcome, title) = job_title_after(Faults { throttle: 1.0, ..Faults::none() }).await;
    assert!(outcome.unwrap() == StatusCode::TOO_MANY_REQUESTS && title == Value::Null);
}

#[tokio::test]
async fn a_tenant_with_a_state_directory_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let options = |path: &Path| Options { state: Some(path.to_owned()), ..quiet() };
    let session = Session::start(options(directory.path())).await;
    let (id, _) = session.somebody().await;
    let path = format!("/v1.0/users/{id}");
    session.patch(&path, &json!({"jobTitle": "Baker"})).await;
    session.simulator.stop().await;
    let session = Session::start(options(directory.path())).await;
    let (_, user) = session.get(&path).await;
    assert_eq!(user["jobTitle"], "Baker");
    assert_eq!(session.lines("/sim/writes").await.len(), 1);
}

#[tokio::test]
async fn plain_http_2_is_served_too() {
    let session = Session::start(quiet()).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("{}/v1.0/domains", session.simulator.url());
    let response = client.get(url).bearer_auth(&session.token).send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn impossible_faults_and_a_taken_port_are_errors() {
    let impossible = Options { faults: Faults { throttle: 2.0, ..Faults::none() }, ..quiet() };
    assert!(matches!(Simulator::start(impossible).await, Err(SimError::Faults)));
    let first = Simulator::start(quiet()).await.unwrap();
    let taken = Options { port: first.address.port(), ..quiet() };
    assert!(matches!(Simulator::start(taken).await, Err(SimError::Listen(..))));
    assert!(first.connection_file().contains(&format!("endpoint = \"{}\"", first.url())));
}
