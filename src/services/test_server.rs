//! A web server on loopback for tests: signs everybody in, answers as told, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::auth::{Auth, SecretSource};
use super::connection::{Connection, GraphConnection, GraphLimits};
use super::{Cloud, Patience};
use crate::core::Secret;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// The answer to every request of a kind.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }
}

#[derive(Debug)]
struct Inner {
    sign_in: Mutex<Answer>,
    api: Mutex<Answer>,
    asked: Mutex<Vec<Asked>>,
}

/// A server that lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub(super) struct Server {
    inner: Arc<Inner>,
    pub(super) root: String,
}

impl Server {
    pub(super) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let token = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"token-N"}"#;
        let inner = Arc::new(Inner {
            sign_in: Mutex::new(Answer::new(200, token)),
            api: Mutex::new(Answer::new(200, r#"{"id":"1"}"#)),
            asked: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { inner, root }
    }

    pub(super) fn answer_sign_in(&self, answer: Answer) {
        *self.inner.sign_in.lock().unwrap() = answer;
    }

    pub(super) fn answer_api(&self, answer: Answer) {
        *self.inner.api.lock().unwrap() = answer;
    }

    pub(super) fn sign_ins(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(is_sign_in).collect()
    }

    pub(super) fn calls(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| !is_sign_in(asked)).collect()
    }

    fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// A connection that signs in here and talks to the service at `endpoint`.
    pub(super) fn connection_to(&self, endpoint: &str) -> Connection {
        Connection {
            ad: None,
            graph: GraphConnection {
                tenant: "contoso.test".to_owned(),
                cloud: Cloud::GLOBAL,
                auth: Auth::ClientSecret {
                    client_id: "app".to_owned(),
                    secret: SecretSource::Given(Secret::new("hu&sh")),
                },
                endpoint: endpoint.parse().unwrap(),
                login: self.root.parse().unwrap(),
                limits: GraphLimits::GRAPH,
                throttle_priority: "low",
                patience: Patience::USUAL,
            },
        }
    }
}

fn is_sign_in(asked: &Asked) -> bool {
    asked.uri.path().ends_with("/oauth2/v2.0/token")
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked { method, uri, headers, body: String::from_utf8(body.to_vec()).unwrap() };
    let is_sign_in = is_sign_in(&asked);
    let count = {
        let mut all = inner.asked.lock().unwrap();
        all.push(asked);
        all.len()
    };
    let source = if is_sign_in { &inner.sign_in } else { &inner.api };
    let answer = source.lock().unwrap().clone();
    // Every token is another one.
    let body = answer.body.replace("token-N", &format!("token-{count}"));
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
    }
    response
}
