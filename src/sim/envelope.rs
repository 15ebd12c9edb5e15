//! What stands around objects in a reply: the address of their description, the count, and the way to the next page.

use axum::http::StatusCode;

use super::call::Call;
use super::reply::Reply;
use super::shape;

/// Most of a small reply's bytes, so that its buffer grows seldom.
const REPLY_BYTES: usize = 1_024;

/// The request that a reply belongs to, and the server's own address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) call: &'a Call,
    pub(super) root: &'a str,
}

/// What a page of a collection says about itself.
#[derive(Debug)]
pub(super) struct Head {
    /// The part after `$metadata#`.
    pub(super) set: String,
    /// How many objects all pages have together, where that was asked for.
    pub(super) count: Option<usize>,
    /// The paging token of the next page, if there is one.
    pub(super) next: Option<u32>,
}

impl Envelope<'_> {
    /// The address of a description.
    pub(super) fn context(&self, set: &str) -> String {
        let version = self.call.version().segment();
        format!("{}/{version}/$metadata#{set}", self.root)
    }

    /// The beginning of a body: an open brace and the address of its description.
    pub(super) fn open(&self, set: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(REPLY_BYTES);
        out.extend_from_slice(b"{\"@odata.context\":");
        shape::write_text(&mut out, &self.context(set));
        out
    }

    /// A page; `write` writes one object with its braces.
    pub(super) fn page<T>(
        &self,
        head: &Head,
        objects: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Vec<u8>, T),
    ) -> Reply {
        let mut out = self.open(&head.set);
        if let Some(count) = head.count {
            out.extend_from_slice(format!(",\"@odata.count\":{count}").as_bytes());
        }
        if let Some(next) = head.next {
            out.extend_from_slice(b",\"@odata.nextLink\":");
            shape::write_text(&mut out, &self.next_link(next));
        }
        out.extend_from_slice(b",\"value\":[");
        for (index, object) in objects.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(&mut out, object);
        }
        out.extend_from_slice(b"]}");
        Reply::json(StatusCode::OK, out)
    }

    /// The address of the next page: this one's with another paging token.
    fn next_link(&self, next: u32) -> String {
        let is_token =
            |part: &&str| part.starts_with("$skiptoken=") || part.starts_with("%24skiptoken=");
        let kept = self
            .call
            .raw_query
            .split('&')
            .filter(|part| !part.is_empty() && !is_token(part));
        let query: String = kept.flat_map(|part| [part, "&"]).collect();
        format!("{}{}?{query}$skiptoken={next}", self.root, self.call.path)
    }
}
