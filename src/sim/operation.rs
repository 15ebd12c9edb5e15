//! One request to Graph that is to be carried out. Admission, tokens and faults are over when it comes here. It has what
//! the rules of the entity sets need: the query, what the client may see, the form of Graph's replies, and the way to write.

use std::borrow::Borrow;

use axum::http::StatusCode;
use uuid::Uuid;

use super::call::Call;
use super::endpoints::GraphEndpoint;
use super::odata::{NAVIGATION, ODataQuery};
use super::permission;
use super::refusal::GraphRefusal;
use super::reply::GraphReply;
use super::rules::users::{UserActor, UserKey};
use super::schema::{Document, EntitySet, parse_id};
use super::tenant::{PlannedWrite, Tenant};
use super::token::TokenRights;
use super::view::ReplicaView;

/// Most of a small reply's bytes, so that its buffer grows seldom.
const REPLY_BYTES: usize = 1_024;

/// Whether an object tells its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Plain,
    Typed(&'static str),
}

pub(super) struct GraphOperation<'a> {
    pub(super) tenant: &'a mut Tenant,
    pub(super) call: &'a Call,
    /// The server's own address.
    pub(super) root: &'a str,
    /// What the request's token allows.
    pub(super) rights: &'a TokenRights,
    /// The key in the request's path.
    pub(super) key: &'a str,
}

impl GraphOperation<'_> {
    pub(super) fn carry_out(mut self, endpoint: &GraphEndpoint) -> Result<GraphReply, GraphRefusal> {
        permission::check_any(&self.rights.permissions, endpoint.permissions)?;
        (endpoint.handle)(&mut self)
    }

    pub(super) fn query(&self, set: &'static EntitySet) -> Result<ODataQuery, GraphRefusal> {
        let level = self.call.header("consistencylevel");
        let is_eventual = level.is_some_and(|level| level.eq_ignore_ascii_case("eventual"));
        ODataQuery::parse(&self.call.pairs, set, is_eventual, self.call.version())
    }

    pub(super) fn view(&self) -> ReplicaView<'_> {
        ReplicaView { tenant: self.tenant, now: self.call.now, identity: &self.call.identity }
    }

    pub(super) fn actor(&self) -> UserActor {
        UserActor { role: self.rights.role, at: self.call.now }
    }

    /// The id in the path, whose form was checked when the path was read.
    pub(super) fn id(&self) -> Uuid {
        parse_id(self.key).unwrap_or_default()
    }

    pub(super) fn user_key(&self) -> UserKey {
        UserKey::parse(self.key)
    }

    /// Makes a planned write; the reply is for those that show nothing.
    pub(super) fn write(&mut self, planned: PlannedWrite) -> Result<GraphReply, GraphRefusal> {
        let client_request_id = self.call.client_request_id();
        self.tenant.write(planned, self.call.now, &self.call.identity, client_request_id)?;
        Ok(GraphReply::no_content())
    }

    /// One object. `set` is the part of its description's address after `$metadata#`.
    pub(super) fn entity(
        &self,
        status: StatusCode,
        set: &str,
        query: &ODataQuery,
        shown: Shown,
        document: &Document,
    ) -> GraphReply {
        let mut out = self.opened(&format!("{}/$entity", query.described(set)));
        out.push(b',');
        write_object(&mut out, query, shown, document);
        GraphReply::json(status, out)
    }

    /// A page of a collection, from rows with their places in it; a paging token is the place where the next page begins.
    pub(super) fn page<D: Borrow<Document>>(
        &self,
        set: &str,
        query: &ODataQuery,
        count: Option<usize>,
        shown: Shown,
        mut rows: impl Iterator<Item = (u32, D)>,
    ) -> GraphReply {
        let page: Vec<D> = rows.by_ref().take(query.page_size).map(|(_, document)| document).collect();
        let mut out = self.opened(&query.described(set));
        if let Some(count) = count {
            out.extend_from_slice(format!(",\"@odata.count\":{count}").as_bytes());
        }
        if let Some((next, _)) = rows.next() {
            out.extend_from_slice(b",\"@odata.nextLink\":");
            write_json(&mut out, &self.next_link(next));
        }
        out.extend_from_slice(b",\"value\":[");
        for (index, document) in page.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            write_object(&mut out, query, shown, document.borrow());
        }
        out.extend_from_slice(b"]}");
        GraphReply::json(StatusCode::OK, out)
    }

    /// The beginning of a body: an open brace and the address of its description.
    fn opened(&self, set: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(REPLY_BYTES);
        out.extend_from_slice(b"{\"@odata.context\":");
        write_json(&mut out, &format!("{}/{}/$metadata#{set}", self.root, self.call.version().segment()));
        out
    }

    /// The address of the next page: this one's with another paging token.
    fn next_link(&self, next: u32) -> String {
        let is_token = |part: &&str| part.starts_with("$skiptoken=") || part.starts_with("%24skiptoken=");
        let kept = self.call.raw_query.split('&').filter(|part| !part.is_empty() && !is_token(part));
        let query: String = kept.flat_map(|part| [part, "&"]).collect();
        format!("{}{}?{query}$skiptoken={next}", self.root, self.call.path)
    }
}

/// Writes what is selected and a closing brace. Straight into the reply's buffer: building a tree of values first would cost
/// more time than everything else that a read does.
fn write_object(out: &mut Vec<u8>, query: &ODataQuery, shown: Shown, document: &Document) {
    if let Shown::Typed(name) = shown {
        out.extend_from_slice(format!("\"@odata.type\":\"#microsoft.graph.{name}\",").as_bytes());
    }
    for property in &query.select {
        write_member(out, property.name, &property.value(document));
    }
    if let Some(value) = query.expand.as_ref().and(document.get(NAVIGATION)) {
        write_member(out, NAVIGATION, value);
    }
    match out.last_mut() {
        Some(last @ b',') => *last = b'}',
        _ => out.push(b'}'),
    }
}

/// Writes a name, a value and a comma.
pub(super) fn write_member(out: &mut Vec<u8>, name: &str, value: &serde_json::Value) {
    write_json(out, name);
    out.push(b':');
    write_json(out, value);
    out.push(b',');
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts and JSON values always serialise, and a vector takes whatever is written.
    let _infallible = serde_json::to_writer(out, value);
}
