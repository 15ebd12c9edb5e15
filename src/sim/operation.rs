//! One request to Graph that is to be carried out. Admission, tokens and faults are over when it comes here. It has what
//! the rules of the entity sets need: the query, what the client may see, the form of Graph's replies, and the way to write.

use axum::http::StatusCode;
use uuid::Uuid;

use super::document::parse_id;
use super::endpoints::{GraphEndpoint, Handler};
use super::odata::NAVIGATION;
use super::rules::users::UserActor;
use super::{
    Call, Document, EntitySet, GraphRefusal, GraphReply, ODataQuery, PlannedWrite, ReplicaView, Tenant, TokenRights,
    permission,
};

/// Most of a small reply's bytes, so that its buffer grows seldom.
const REPLY_BYTES: usize = 1_024;

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
        match &endpoint.handler {
            Handler::List(set) => self.list(set),
            Handler::Get(set) => self.get(set),
            Handler::Rule(rule) => rule(&mut self),
        }
    }

    pub(super) fn query(&self, set: &'static EntitySet) -> Result<ODataQuery, GraphRefusal> {
        let level = self.call.header("consistencylevel");
        let is_eventual = level.is_some_and(|level| level.eq_ignore_ascii_case("eventual"));
        ODataQuery::parse(&self.call.pairs, set, is_eventual, self.call.version())
    }

    fn view(&self) -> ReplicaView<'_> {
        let (now, identity, version) = (self.call.now, &self.call.identity, self.call.version());
        ReplicaView { tenant: self.tenant, now, identity, version, key: self.key }
    }

    pub(super) fn actor(&self) -> UserActor {
        UserActor { is_administrator: self.rights.is_administrator, at: self.call.now }
    }

    /// The id in the path, whose form was checked when the path was read.
    pub(super) fn id(&self) -> Uuid {
        parse_id(self.key).unwrap_or_default()
    }

    /// Makes a planned write; the reply is for those that show nothing.
    pub(super) fn write(&mut self, planned: PlannedWrite) -> Result<GraphReply, GraphRefusal> {
        let client_request_id = self.call.client_request_id();
        self.tenant.write(planned, self.call.now, &self.call.identity, client_request_id)?;
        Ok(GraphReply::no_content())
    }

    fn get(&self, set: &'static EntitySet) -> Result<GraphReply, GraphRefusal> {
        let query = self.query(set)?;
        let found = (set.find)(self.view()).ok_or_else(|| GraphRefusal::not_found(self.key))?;
        Ok(self.entity(StatusCode::OK, set, &query, &found))
    }

    /// A page of a set; a paging token is the place where the next page begins.
    fn list(&self, set: &'static EntitySet) -> Result<GraphReply, GraphRefusal> {
        let query = self.query(set)?;
        let mut rows = (set.rows)(self.view(), &query)?;
        let mut out = self.opened(&query.described(set.context));
        if query.is_advanced && query.from == 0 {
            let count = (set.rows)(self.view(), &query)?.count();
            out.extend_from_slice(format!(",\"@odata.count\":{count}").as_bytes());
        }
        let page: Vec<_> = rows.by_ref().take(query.page_size).collect();
        if let Some((next, _)) = rows.next() {
            out.extend_from_slice(b",\"@odata.nextLink\":");
            write_json(&mut out, &self.next_link(next));
        }
        out.extend_from_slice(b",\"value\":[");
        for (index, (_, document)) in page.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            write_object(&mut out, set, &query, document);
        }
        out.extend_from_slice(b"]}");
        Ok(GraphReply::json(StatusCode::OK, out))
    }

    /// One object.
    pub(super) fn entity(
        &self,
        status: StatusCode,
        set: &EntitySet,
        query: &ODataQuery,
        document: &Document,
    ) -> GraphReply {
        let mut out = self.opened(&format!("{}/$entity", query.described(set.context)));
        out.push(b',');
        write_object(&mut out, set, query, document);
        GraphReply::json(status, out)
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
fn write_object(out: &mut Vec<u8>, set: &EntitySet, query: &ODataQuery, document: &Document) {
    if set.is_typed {
        out.extend_from_slice(format!("\"@odata.type\":\"#microsoft.graph.{}\",", set.type_name).as_bytes());
    }
    for property in &query.select {
        write_member(out, &property.name, &property.value(document));
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
fn write_member(out: &mut Vec<u8>, name: &str, value: &serde_json::Value) {
    write_json(out, name);
    out.push(b':');
    write_json(out, value);
    out.push(b',');
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts and JSON values always serialise, and a vector takes whatever is written.
    let _infallible = serde_json::to_writer(out, value);
}
