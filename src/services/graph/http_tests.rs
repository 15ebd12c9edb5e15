//! Graph's client against a server on loopback.

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::core::{Expects, Method, Secret};
use crate::services::connection::THROTTLE_PRIORITIES;
use crate::services::http::USER_AGENT;
use crate::services::test_server::{Answer, Server};
use crate::services::{Auth, Payload, SecretSource, Success};

const ATTEMPT: Uuid = Uuid::from_u128(7);

fn read(path: &str) -> Request {
    Request::get(path, Expects::Object)
}

fn graph(server: &Server) -> HttpTransport {
    HttpTransport::new(&server.connection_to(&server.root)).unwrap()
}

fn fault(reply: Reply) -> Fault {
    reply.result.unwrap_err()
}

#[tokio::test]
async fn a_write_arrives_whole_and_its_reply_is_read() {
    let server = Server::start().await;
    server.answer_api(Answer {
        headers: vec![("request-id", "r-1".to_owned()), ("x-ms-throttle-limit-percentage", "0.91".to_owned())],
        ..Answer::new(200, r#"{"id":"1"}"#)
    });
    let request = Request {
        expects: Expects::Done,
        method: Method::Patch,
        headers: vec![("Prefer".to_owned(), "return=minimal".to_owned())],
        body: Some(json!({"userPrincipalName": "a@contoso.test"})),
        ..read("/users/a%23b@contoso.test?$select=id")
    };
    let reply = graph(&server).send(&request, ATTEMPT).await;
    assert_eq!(
        reply,
        Reply {
            result: Ok(Success { status: 200, payload: Payload::Object(json!({"id": "1"})) }),
            request_id: Some("r-1".to_owned()),
            usage: Some(0.91),
            is_echo: false,
        }
    );
    let call = &server.calls()[0];
    assert_eq!(call.method, "PATCH");
    assert_eq!(call.uri, "/v1.0/users/a%23b@contoso.test?$select=id");
    assert_eq!(call.body, r#"{"userPrincipalName":"a@contoso.test"}"#);
    for (name, value) in [
        ("authorization", "Bearer token-1"),
        ("client-request-id", "00000000-0000-0000-0000-000000000007"),
        ("return-client-request-id", "true"),
        ("x-ms-throttle-priority", "low"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("prefer", "return=minimal"),
        ("user-agent", USER_AGENT),
    ] {
        assert_eq!(call.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn the_priority_is_the_connections() {
    let server = Server::start().await;
    for priority in THROTTLE_PRIORITIES {
        let mut connection = server.connection_to(&server.root);
        connection.graph.throttle_priority = priority;
        server.answer_api(Answer::new(200, r#"{"id":"1"}"#));
        let graph = HttpTransport::new(&connection).unwrap();
        graph.send(&read("/users/1"), ATTEMPT).await;
        let calls = server.calls();
        let sent = &calls.last().unwrap().headers["x-ms-throttle-priority"];
        assert_eq!(sent, priority);
    }
}

#[tokio::test]
async fn many_rows_share_one_sign_in() {
    let server = Server::start().await;
    let graph = std::sync::Arc::new(graph(&server));
    let mut rows = JoinSet::new();
    for _ in 0..50 {
        let graph = std::sync::Arc::clone(&graph);
        rows.spawn(async move { graph.send(&read("/users/1"), ATTEMPT).await });
    }
    while let Some(reply) = rows.join_next().await {
        assert!(reply.unwrap().result.is_ok());
    }
    assert_eq!(server.sign_ins().len(), 1);
    assert_eq!(server.calls().len(), 50);
}

#[tokio::test]
async fn a_refused_token_is_replaced_for_the_next_request() {
    let server = Server::start().await;
    let graph = graph(&server);
    server.answer_api(Answer::new(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}"#));
    let refused = fault(graph.send(&read("/users/1"), ATTEMPT).await);
    assert_eq!(refused.class, Class::Unauthenticated);
    assert_eq!(refused.code, "InvalidAuthenticationToken");
    server.answer_api(Answer::new(200, r#"{"id":"1"}"#));
    assert!(graph.send(&read("/users/1"), ATTEMPT).await.result.is_ok());
    let tokens: Vec<_> = server.calls().iter().map(|call| call.headers["authorization"].clone()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-3"]);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let server = Server::start().await;
    server.answer_sign_in(Answer::new(
        401,
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong hu&sh","error_codes":[7000215]}"#,
    ));
    let graph = graph(&server);
    let tried = graph.sign_in().await.unwrap_err();
    let sent = fault(graph.send(&read("/users/1"), ATTEMPT).await);
    assert_eq!(tried, sent);
    assert_eq!((sent.class, sent.code.as_str()), (Class::SignIn, "AADSTS7000215"));
    assert_eq!(sent.message, "AADSTS7000215: wrong ***");
    assert_eq!(server.sign_ins().len(), 1, "a refusal is remembered");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn tokens_that_are_all_refused_are_a_refused_sign_in_until_one_is_taken() {
    let server = Server::start().await;
    let graph = graph(&server);
    let expired = r#"{"error":{"code":"InvalidAuthenticationToken","message":"wrong audience"}}"#;
    server.answer_api(Answer::new(401, expired));
    let mut classes = Vec::new();
    for _ in 0..5 {
        classes.push(fault(graph.send(&read("/users/1"), ATTEMPT).await).class);
    }
    let (some, all) = (Class::Unauthenticated, Class::SignIn);
    assert_eq!(classes, [some, some, some, all, all]);
    server.answer_api(Answer::new(200, r#"{"id":"1"}"#));
    assert!(graph.send(&read("/users/1"), ATTEMPT).await.result.is_ok());
    server.answer_api(Answer::new(401, expired));
    let fault = fault(graph.send(&read("/users/1"), ATTEMPT).await);
    assert_eq!(fault.class, Class::Unauthenticated);
}

#[tokio::test]
async fn a_closed_port_means_not_sent() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let graph = HttpTransport::new(&server.connection_to(&closed)).unwrap();
    let fault = fault(graph.send(&read("/users/1"), ATTEMPT).await);
    assert_eq!((fault.class, fault.code.as_str()), (Class::NotSent, "not-connected"));
    assert!(!fault.message.contains("/users/1"), "{}", fault.message);
}

#[tokio::test]
async fn a_connection_cut_after_the_request_leaves_doubt() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let _ = peer.read(&mut bytes).await;
        }
    });
    let graph = HttpTransport::new(&server.connection_to(&endpoint)).unwrap();
    let fault = fault(graph.send(&read("/users/1"), ATTEMPT).await);
    assert_eq!(fault.class, Class::InDoubt);
    assert_eq!((fault.code.as_str(), fault.status), ("connection-lost", None));
}

#[tokio::test]
async fn the_token_goes_to_the_endpoint_only() {
    let server = Server::start().await;
    let graph = graph(&server);
    let next = format!("{}/v1.0/users?$skiptoken=2", server.root);
    assert!(graph.send(&read(&next), ATTEMPT).await.result.is_ok());
    for foreign in [
        "http://127.0.0.1:1/v1.0/users",
        &format!("{}0/v1.0/users", server.root),
        &format!("{}@evil.test/v1.0/users", server.root),
        "users/1",
    ] {
        let fault = fault(graph.send(&read(foreign), ATTEMPT).await);
        assert_eq!((fault.class, fault.code.as_str()), (Class::Rejected, "foreign-address"), "{foreign}");
    }
    server.answer_api(Answer {
        headers: vec![("location", format!("{}/elsewhere", server.root))],
        ..Answer::new(302, "")
    });
    assert_eq!(fault(graph.send(&read("/users/1"), ATTEMPT).await).class, Class::UNAVAILABLE);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_rejected() {
    let server = Server::start().await;
    let request = Request { headers: vec![("bad name".to_owned(), String::new())], ..read("/users/1") };
    let fault = fault(graph(&server).send(&request, ATTEMPT).await);
    assert_eq!((fault.class, fault.code.as_str()), (Class::Rejected, "request-malformed"));
}

#[tokio::test]
async fn what_it_was_sent_is_struck_out_of_a_refusal() {
    let server = Server::start().await;
    let (token, secret) = ("Zq8~first-token-0123456789", "a&secret of the app");
    let sign_in = format!(r#"{{"expires_in":3599,"access_token":"{token}"}}"#);
    server.answer_sign_in(Answer::new(200, sign_in));
    let words =
        format!(r#"{{"error":{{"code":"Bad/{token}","message":"{} Bearer {token}, {secret}"}}}}"#, "x".repeat(480));
    server.answer_api(Answer { headers: vec![("request-id", format!("id {token}"))], ..Answer::new(400, words) });
    let mut connection = server.connection_to(&server.root);
    connection.graph.auth =
        Auth::ClientSecret { client_id: "app".to_owned(), secret: SecretSource::Given(Secret::new(secret)) };
    let graph = HttpTransport::new(&connection).unwrap();
    let reply = graph.send(&read("/users/1"), ATTEMPT).await;
    let said = format!("{reply:?}");
    assert!(said.contains("Bad/***") && said.contains("id ***"), "{said}");
    assert!(!said.contains("Zq8~") && !said.contains("a&secret"), "{said}");
}
