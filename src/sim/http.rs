//! The edge to HTTP: takes requests apart, adds latency, and hands replies back. It decides nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest as _, Request, State};
use axum::http::Response;
use axum::{Router, routing::any};
use futures_util::stream;

use super::service::count;
use super::{Call, GraphRefusal, GraphReply, Route, SimService, control, login};

/// Longest body that is read. A user's properties need a small part of it.
const BODY_BYTES_MAX: usize = 256 * 1_024;

/// The server's one door: every path comes to the same handler, which reads it itself.
pub(super) fn router(service: Arc<SimService>) -> Router {
    Router::new().fallback(any(handle)).with_state(service)
}

async fn handle(State(service): State<Arc<SimService>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut call = Call::new(&service, &parts, service.clock.now());
    if let Some(reply) = control::serve(&service, &call) {
        return delivered(Some(reply));
    }
    let mut dice = call.identity.dice();
    let latency_ms = service.faults.lock().latency_ms(&mut dice);
    // Half of it passes before anything is done: a client that gives up may have changed something, or not.
    pause(latency_ms / 2).await;
    call.now = service.clock.now();
    let reply = if let Ok(Route::SignIn(route)) = &call.route {
        count(&service.counters.requests);
        // A body that is no form has no fields, and is refused for the first one that is missing. A GET has its query.
        let form = Form::<Vec<(String, String)>>::from_request(Request::from_parts(parts, body), &()).await;
        let fields = form.map(|Form(fields)| fields).unwrap_or_default();
        Some(login::serve(&service, route, &fields, &call))
    } else {
        match to_bytes(body, BODY_BYTES_MAX).await {
            Ok(bytes) => {
                call.body = bytes.into();
                service.serve(&call, &mut dice)
            }
            Err(_) => service.refuse(&call, &GraphRefusal::TOO_LONG),
        }
    };
    pause(latency_ms - latency_ms / 2).await;
    delivered(reply)
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// A body that fails before its first byte makes the server give the connection up before the reply began, as a network does
/// it.
fn delivered(reply: Option<GraphReply>) -> Response<Body> {
    reply.map(|reply| reply.into_response().map(Body::from)).unwrap_or_else(|| {
        let cut: io::Result<Vec<u8>> = Err(io::ErrorKind::ConnectionAborted.into());
        Response::new(Body::from_stream(stream::iter([cut])))
    })
}
