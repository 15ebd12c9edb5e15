//! The edge to HTTP: takes requests apart, adds latency, and hands replies back. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Form, FromRequest as _, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Response};
use axum::{Router, routing::any};

use super::batch::Batching;
use super::call::Call;
use super::clock::UnixMillis;
use super::connection::Connection;
use super::errors::Refusal;
use super::login;
use super::oracle;
use super::reply::Reply;
use super::route::{Place, SignInPlace, no_such_path};
use super::service::{Outcome, Service};

/// Longest body that is read. A user's properties need a small part of it.
const BODY_BYTES_MAX: usize = 256 * 1_024;

/// The server's one door: every path comes to the same handler, which reads it itself.
pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(any(handle)).with_state(service)
}

async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut call = call(&service, &parts, service.clock.now());
    if let Some(outcome) = from_oracle(&service, &call) {
        return delivered(outcome, &connection);
    }
    let mut dice = call.identity.dice();
    let latency_ms = service.faults.latency_ms(&mut dice);
    // Half of it passes before anything is done: a client that gives up may have changed something, or not.
    pause(latency_ms / 2).await;
    call.now = service.clock.now();
    let outcome = match call.place.clone() {
        Ok(Place::SignIn(place)) => {
            service.counters.requests.add_one();
            Outcome::Reply(sign_in(&service, &place, parts, body, &call).await)
        }
        Ok(_) | Err(_) => match to_bytes(body, BODY_BYTES_MAX).await {
            Ok(bytes) => {
                call.body = bytes.into();
                service.answer(&call, &mut dice)
            }
            Err(_) => service.refuse(&call, &Refusal::BodyTooLong),
        },
    };
    pause(latency_ms - latency_ms / 2).await;
    delivered(outcome, &connection)
}

/// The request without its body.
pub(super) fn call(service: &Service, parts: &Parts, now: UnixMillis) -> Call {
    let path = parts.uri.path();
    let place = match Place::parse(path) {
        Ok(Place::Batch) if service.batching == Batching::Unknown => Err(no_such_path(path)),
        place => place,
    };
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs);
    let undecodable = |_| Refusal::BadRequest("The query does not decode to UTF-8.".to_owned());
    let (place, pairs) = match pairs.map_err(undecodable) {
        Ok(pairs) => (place, pairs),
        Err(refusal) => (Err(refusal), Vec::new()),
    };
    Call {
        method: parts.method.clone(),
        place,
        path: path.to_owned(),
        raw_query: parts.uri.query().unwrap_or_default().to_owned(),
        pairs,
        headers: parts.headers.clone(),
        body: Vec::new(),
        now,
        identity: service.sequencer.next(parts.method.as_str(), path),
    }
}

pub(super) fn from_oracle(service: &Service, call: &Call) -> Option<Outcome> {
    let answer = match call.place.as_ref().ok()? {
        Place::SimStats => Ok(oracle::stats(&service.counters)),
        Place::SimUsers => oracle::users(&service.tenant, &call.pairs),
        Place::SimWrites => Ok(oracle::writes(&service.tenant)),
        Place::SimTokens => Ok(oracle::tokens(&service.tokens)),
        Place::SignIn(_)
        | Place::Users
        | Place::User(_)
        | Place::DeletedUsers
        | Place::Deleted(_)
        | Place::Restore(_)
        | Place::Domains
        | Place::Domain(_)
        | Place::Organization
        | Place::RoleAssignments
        | Place::RoleEligibilities
        | Place::GroupMembers { .. }
        | Place::RiskyUsers
        | Place::RiskyUser(_)
        | Place::RiskAction(_)
        | Place::Batch => return None,
    };
    let answer = if call.method == Method::GET {
        answer
    } else {
        Err(Refusal::Method)
    };
    Some(match answer {
        Ok(reply) => Outcome::Reply(reply),
        Err(refusal) => service.refuse(call, &refusal),
    })
}

async fn sign_in(
    service: &Service,
    place: &SignInPlace,
    parts: Parts,
    body: Body,
    call: &Call,
) -> Reply {
    // A body that is no form has no fields, and is refused for the first one that is missing. A GET has its query.
    let form =
        Form::<Vec<(String, String)>>::from_request(Request::from_parts(parts, body), &()).await;
    let fields = form.map(|Form(fields)| fields).unwrap_or_default();
    login::answer(service, place, &fields, call)
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn delivered(outcome: Outcome, connection: &Connection) -> Response<Body> {
    match outcome {
        Outcome::Reply(reply) => reply.into_response(),
        Outcome::Cut => {
            connection.cut();
            // Never arrives: it only makes the server try to write.
            Response::new(Body::empty())
        }
    }
}
