//! One request, taken out of HTTP: what the simulated tenant needs to decide about it and nothing more.

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde_json::{Value, json};

use super::endpoints::endpoint;
use super::limits::{RequestCost, is_identity_protection};
use super::service::SimService;
use super::{ApiVersion, GraphRefusal, Identity, Route, SimTime};

/// Longest client-request-id that is echoed. It should be a GUID; more is cut from the protocol, not stored.
const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;
/// Below this page size a listing is cheaper (Microsoft's page on throttling limits).
const SMALL_PAGE: usize = 20;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) route: Result<Route, GraphRefusal>,
    /// The path and the raw query as they came, for links to further pages.
    pub(super) path: String,
    pub(super) raw_query: String,
    /// The decoded query options.
    pub(super) pairs: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) now: SimTime,
    pub(super) identity: Identity,
}

impl Call {
    /// The request without its body.
    pub(super) fn new(service: &SimService, parts: &Parts, now: SimTime) -> Self {
        let path = parts.uri.path();
        let identity = service.sequencer.next(parts.method.as_str(), path);
        let (route, pairs) = match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(Query(pairs)) => (Route::parse(path), pairs),
            Err(_) => (Err(GraphRefusal::bad_request("The query does not decode to UTF-8.")), Vec::new()),
        };
        let route = match route {
            Ok(Route::Batch) if !service.options.serves_batch => Err(GraphRefusal::no_such_path(path)),
            route => route,
        };
        Self {
            method: parts.method.clone(),
            route,
            path: path.to_owned(),
            raw_query: parts.uri.query().unwrap_or_default().to_owned(),
            pairs,
            headers: parts.headers.clone(),
            body: Vec::new(),
            now,
            identity,
        }
    }

    /// The caller's own id for the request.
    pub(super) fn client_request_id(&self) -> Option<&str> {
        let text = self.header("client-request-id")?;
        (!text.is_empty() && text.len() <= CLIENT_REQUEST_ID_BYTES_MAX).then_some(text)
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// What identifies a failed request in its reply. The service makes the caller's id up for a caller that sent none.
    pub(super) fn inner_error(&self) -> Value {
        let request_id = self.identity.request_id().to_string();
        let client_request_id = self.client_request_id().unwrap_or(&request_id);
        json!({"date": self.now.plain_text(), "request-id": request_id, "client-request-id": client_request_id})
    }

    /// The body of a write, which must call itself JSON; an action may have none.
    pub(super) fn json_body(&self) -> Result<&[u8], GraphRefusal> {
        let content_type = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let is_json = content_type.to_ascii_lowercase().starts_with("application/json");
        if self.body.is_empty() || is_json { Ok(&self.body) } else { Err(GraphRefusal::MEDIA_TYPE) }
    }

    pub(super) fn version(&self) -> ApiVersion {
        ApiVersion::of_path(&self.path)
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    /// What the request costs by Microsoft's table: what listing the address costs, 1 more with `$expand`, less 1 with
    /// `$select` and with a small page, and never less than 1.
    pub(super) fn cost(&self) -> RequestCost {
        let is_identity_protection = is_identity_protection(&self.path);
        if !self.is_read() {
            return RequestCost { is_identity_protection, units: 1, writes: 1 };
        }
        let listed = match &self.route {
            Ok(Route::Graph(pattern, _)) => endpoint(pattern, "GET").map_or(1, |endpoint| endpoint.units),
            Ok(_) | Err(_) => 1,
        };
        let top = self.pair("$top").and_then(|top| top.parse::<usize>().ok());
        let is_small = top.is_some_and(|top| top < SMALL_PAGE);
        let base = listed + u32::from(self.pair("$expand").is_some());
        let saved = u32::from(self.pair("$select").is_some()) + u32::from(is_small);
        RequestCost { is_identity_protection, units: base.saturating_sub(saved).max(1), writes: 0 }
    }

    fn pair(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, path: &str, pairs: &[(&str, &str)]) -> Call {
        Call {
            method,
            route: Route::parse(path),
            path: path.to_owned(),
            raw_query: String::new(),
            pairs: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            now: SimTime(0),
            identity: Identity::for_test(1),
        }
    }

    #[test]
    fn costs_follow_the_published_table() {
        let units = |path, pairs: &[_]| call(Method::GET, path, pairs).cost().units;
        assert_eq!(units("/v1.0/users", &[]), 2);
        assert_eq!(units("/v1.0/users", &[("$select", "id")]), 1);
        assert_eq!(units("/v1.0/users", &[("$top", "20")]), 2);
        assert_eq!(units("/v1.0/users", &[("$top", "19"), ("$select", "id")]), 1);
        assert_eq!(units("/v1.0/users/a@b.c", &[("$select", "id")]), 1);
        let group = "/v1.0/groups/7e06b566-15f3-4013-8bf8-79874d52e68a/transitiveMembers";
        assert_eq!(units(group, &[("$select", "id")]), 4);
        let roles = "/v1.0/roleManagement/directory/roleAssignments";
        assert_eq!(units(roles, &[("$expand", "principal")]), 2);
        let write = call(Method::PATCH, "/v1.0/users/a@b.c", &[]);
        assert_eq!(write.cost(), RequestCost { is_identity_protection: false, units: 1, writes: 1 });
    }

    #[test]
    fn a_caller_without_an_id_gets_the_requests_own() {
        let mut call = call(Method::GET, "/v1.0/users", &[]);
        let id = call.identity.request_id().to_string();
        assert_eq!(
            (&call.inner_error()["date"], &call.inner_error()["client-request-id"]),
            (&json!("1970-01-01T00:00:00"), &json!(id))
        );
        call.headers.insert("client-request-id", axum::http::HeaderValue::from_static("mine"));
        assert_eq!(call.inner_error()["client-request-id"], "mine");
    }

    #[test]
    fn bodies_must_be_json_by_their_own_account() {
        let mut call = call(Method::PATCH, "/v1.0/users/a@b.c", &[]);
        assert!(call.json_body().is_ok());
        call.body = b"{}".to_vec();
        assert_eq!(call.json_body(), Err(GraphRefusal::MEDIA_TYPE));
        let value = axum::http::HeaderValue::from_static("Application/JSON; charset=utf-8");
        call.headers.insert(header::CONTENT_TYPE, value);
        assert!(call.json_body().is_ok());
    }
}
