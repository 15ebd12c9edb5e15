//! `$batch`: up to twenty requests in one. Each part is a request of its own, with its own permissions, throttling, lag and
//! faults; only the way to the service is shared. What the outer request must look like is Microsoft's page on JSON
//! batching; the two rules about `dependsOn` are what the service itself says when they are broken.

use std::collections::{HashMap, HashSet};

use axum::http::{Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rand::seq::SliceRandom as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, GraphRefusal, GraphReply, SimService};

/// Most requests in one batch.
const PARTS_MAX: usize = 20;
/// What clients leave as it is in a part's address and an address cannot have. A `%` is theirs already.
const UNENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

#[derive(Deserialize)]
struct BatchBody {
    requests: Vec<BatchPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchPart {
    id: String,
    method: String,
    url: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Option<Value>,
    #[serde(default)]
    depends_on: Vec<String>,
}

/// Runs the parts of a batch one after the other; their replies come back in any order, as Graph's do.
pub(super) fn carry_out(service: &SimService, call: &Call) -> GraphReply {
    responses(service, call).unwrap_or_else(|refusal| service.refused(call, &refusal))
}

fn responses(service: &SimService, call: &Call) -> Result<GraphReply, GraphRefusal> {
    if call.method != Method::POST {
        return Err(GraphRefusal::METHOD);
    }
    let mut failed = HashSet::new();
    let mut responses = Vec::new();
    for part in parse(call.json_body()?)? {
        let is_held = part.depends_on.iter().any(|id| failed.contains(&id.to_lowercase()));
        let reply = if is_held { service.refused(call, &dependency_failed()) } else { run(service, call, &part)? };
        if !reply.is_success() {
            failed.insert(part.id.to_lowercase());
        }
        responses.push(response(&part.id, reply));
    }
    responses.shuffle(&mut call.identity.dice());
    Ok(GraphReply::value(StatusCode::OK, &json!({ "responses": responses })))
}

fn parse(body: &[u8]) -> Result<Vec<BatchPart>, GraphRefusal> {
    let BatchBody { requests } =
        serde_json::from_slice(body).map_err(|error| refusal(format!("Invalid batch payload format: {error}.")))?;
    if requests.is_empty() || requests.len() > PARTS_MAX {
        return Err(refusal(format!(
            "Number of batch request steps must be from 1 to the maximum value of {PARTS_MAX}."
        )));
    }
    let mut earlier = HashSet::new();
    for (at, part) in requests.iter().enumerate() {
        check(part)?;
        let mut depends_on = part.depends_on.iter().map(|id| id.to_lowercase());
        if !depends_on.all(|id| earlier.contains(&id)) {
            return Err(refusal(format!("Invalid dependency for request Id: {}.", part.id)));
        }
        if !earlier.insert(part.id.to_lowercase()) {
            return Err(refusal(format!("Request Id: {} is not unique.", part.id)));
        }
        if at > 1 && part.depends_on.is_empty() != requests[1].depends_on.is_empty() {
            return Err(refusal("Batch should be either fully sequential or fully parallel.".to_owned()));
        }
    }
    Ok(requests)
}

/// Whoever writes must send a body, if only an empty one, and say what it is.
fn check(part: &BatchPart) -> Result<(), GraphRefusal> {
    let names_type = part.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    let writes = ["POST", "PATCH", "PUT"].iter().any(|method| part.method.eq_ignore_ascii_case(method));
    if (writes && part.body.is_none()) || (part.body.is_some() && !names_type) {
        let id = &part.id;
        return Err(refusal(format!("Write request id: {id} does not contain Content-Type header or body.")));
    }
    Ok(())
}

fn run(service: &SimService, outer: &Call, part: &BatchPart) -> Result<GraphReply, GraphRefusal> {
    let version = outer.version().segment();
    let url = utf8_percent_encode(part.url.trim_start_matches('/'), UNENCODED);
    let mut request = Request::builder().method(part.method.to_uppercase().as_str()).uri(format!("/{version}/{url}"));
    for (name, value) in &part.headers {
        request = request.header(name, value);
    }
    let malformed = |_| refusal(format!("Invalid batch payload format: request Id: {}.", part.id));
    let (mut parts, ()) = request.body(()).map_err(malformed)?.into_parts();
    if let Some(token) = outer.headers.get(header::AUTHORIZATION) {
        parts.headers.insert(header::AUTHORIZATION, token.clone());
    }
    let mut call = Call::new(service, &parts, outer.now);
    call.body = part.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let mut dice = call.identity.dice();
    let reply = service.serve_part(&call, &mut dice);
    // The connection that is lost is the one behind the door, so the door replies.
    Ok(reply.unwrap_or_else(|| service.refused(&call, &GraphRefusal::fault(504))))
}

fn response(id: &str, reply: GraphReply) -> Value {
    let response = reply.into_response();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let mut part = json!({"id": id, "status": response.status().as_u16(), "headers": headers});
    if let Ok(body) = serde_json::from_slice(response.body()) {
        part["body"] = body;
    }
    part
}

fn refusal(message: String) -> GraphRefusal {
    GraphRefusal::new(400, "BadRequest", message)
}

fn dependency_failed() -> GraphRefusal {
    let message = "A request that this one depends on failed, so it was not carried out.";
    GraphRefusal::new(424, "FailedDependency", message)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
