//! Gathers lookups: reads that ask who has a value of some property, each for its own value, become one read for all values.
//!
//! `$filter=p eq 'a'` and `$filter=p eq 'b'` are served as `$filter=p in ('a','b')`, and each asker gets the entries that have
//! its value. Microsoft serves `in` wherever it serves `eq`, and up to 15 values in one clause. Where the reply does not show
//! whose each entry is, or the service refuses the clause, everybody asks alone.

use crate::core::{Expects, Request};
use crate::services::class::Concerns;
use crate::services::reply::{Payload, Reply, Success};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Most values in one clause ("Too many child clauses" beyond).
const VALUES_MAX: usize = 15;
/// Most characters of a clause, before they are encoded: gateways cut long addresses.
const CLAUSE_MAX: usize = 1_000;
const FILTER: &str = "$filter=";
const SELECT: &str = "$select=";
/// What a filter's text keeps in an address.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'\'').remove(b',');

/// A read that waits.
pub(super) struct Part {
    pub(super) request: Request,
    pub(super) attempt: Uuid,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Reads that travel as one request.
pub(super) struct ReadGroup {
    pub(super) request: Request,
    /// The name of the request on its way.
    pub(super) attempt: Uuid,
    askers: Vec<Part>,
    /// What each of them asks for, where it is a lookup.
    lookup: Option<ReadLookup>,
    wanted: Vec<Vec<String>>,
}

/// Who has some values of a property. Only reads that are alike but for the values are asked together.
#[derive(PartialEq)]
struct ReadLookup {
    property: String,
    /// The request without the values.
    before: String,
    after: String,
}

impl ReadGroup {
    /// One read by itself.
    pub(super) fn alone(part: Part) -> ReadGroup {
        let (request, attempt) = (part.request.clone(), part.attempt);
        ReadGroup { request, attempt, askers: vec![part], lookup: None, wanted: Vec::new() }
    }

    fn of(part: Part) -> ReadGroup {
        let (lookup, values) = ReadLookup::parse(&part.request).unzip();
        ReadGroup { lookup, wanted: Vec::from_iter(values), ..ReadGroup::alone(part) }
    }

    /// Whether one clause can ask for what both ask for.
    fn has_room_for(&self, other: &ReadGroup) -> bool {
        let values = || self.wanted.iter().chain(&other.wanted).flatten();
        let is_alike = self.lookup == other.lookup && self.request.headers == other.request.headers;
        let is_short =
            values().count() <= VALUES_MAX && values().map(|value| value.len() + 3).sum::<usize>() <= CLAUSE_MAX;
        self.lookup.is_some() && is_alike && is_short
    }

    /// Takes another read in.
    fn join(&mut self, other: ReadGroup) {
        // An id of its own, and the same one when a run is played again.
        self.attempt = Uuid::new_v5(&self.attempt, other.attempt.as_bytes());
        self.askers.extend(other.askers);
        self.wanted.extend(other.wanted);
    }

    /// One request for all of them.
    fn sealed(mut self) -> ReadGroup {
        if let Some(lookup) = self.lookup.as_ref().filter(|_| self.askers.len() > 1) {
            self.request.path = lookup.path(&self.wanted);
        }
        self
    }

    /// Hands the reply out; who has to ask alone comes back.
    pub(super) fn deliver(self, reply: Reply) -> Vec<Part> {
        let replies = match &self.lookup {
            Some(lookup) if self.askers.len() > 1 => match lookup.shares(&self.wanted, reply) {
                Some(replies) => replies,
                None => return self.askers,
            },
            Some(_) | None => vec![reply],
        };
        for (part, reply) in self.askers.into_iter().zip(replies) {
            // Nobody may be there any more.
            let _gone = part.reply.send(reply);
        }
        Vec::new()
    }
}

/// The fewest requests for these reads.
pub(super) fn gather(parts: Vec<Part>) -> Vec<ReadGroup> {
    let mut groups: Vec<ReadGroup> = Vec::new();
    for new in parts.into_iter().map(ReadGroup::of) {
        match groups.iter_mut().find(|group| group.has_room_for(&new)) {
            Some(group) => group.join(new),
            None => groups.push(new),
        }
    }
    groups.into_iter().map(ReadGroup::sealed).collect()
}

impl ReadLookup {
    /// A list filtered by one clause of `eq` or `in`, whose entries show the property.
    fn parse(request: &Request) -> Option<(ReadLookup, Vec<String>)> {
        let start = request.path.find(FILTER).filter(|_| request.expects == Expects::Page)? + FILTER.len();
        let (before, rest) = request.path.split_at(start);
        let (clause, after) = rest.split_at(rest.find('&').unwrap_or(rest.len()));
        let clause = percent_decode_str(clause).decode_utf8().ok()?;
        let (property, test) = clause.split_once(' ')?;
        let values = match test.split_once(' ')? {
            ("eq", value) => texts(value)?,
            ("in", list) => texts(list.strip_prefix('(')?.strip_suffix(')')?)?,
            _ => return None,
        };
        let query = before.split_once('?')?.1.split('&').chain(after.split('&'));
        let select = query.filter_map(|option| option.strip_prefix(SELECT)).next()?;
        let is_shown = select.split(',').any(|shown| shown == property);
        let lookup = ReadLookup { property: property.into(), before: before.into(), after: after.into() };
        is_shown.then_some((lookup, values))
    }

    fn path(&self, wanted: &[Vec<String>]) -> String {
        let mut quoted: Vec<String> = Vec::new();
        for value in wanted.iter().flatten() {
            let text = format!("'{}'", value.replace('\'', "''"));
            if !quoted.contains(&text) {
                quoted.push(text);
            }
        }
        let clause = format!("{} in ({})", self.property, quoted.join(","));
        format!("{}{}{}", self.before, utf8_percent_encode(&clause, KEPT), self.after)
    }

    /// Everybody's share of the reply; none where they have to ask alone.
    fn shares(&self, wanted: &[Vec<String>], reply: Reply) -> Option<Vec<Reply>> {
        let (status, items) = match reply.result {
            Ok(Success { status, payload: Payload::Page { items, next: None } }) => (status, items),
            Err(ref fault) if fault.class.facts().concerns != Concerns::Request => {
                return Some((0..wanted.len()).map(|at| reply.echo(at)).collect());
            }
            Ok(_) | Err(_) => return None,
        };
        if !items.iter().all(|item| wanted.iter().any(|values| self.shows_one_of(values, item))) {
            return None;
        }
        let whole = Reply { result: Ok(Success { status, payload: Payload::Nothing }), ..reply };
        let share = |(at, values): (usize, &Vec<String>)| {
            let items = items.iter().filter(|item| self.shows_one_of(values, item)).cloned().collect();
            let success = Success { status, payload: Payload::Page { items, next: None } };
            Reply { result: Ok(success), ..whole.echo(at) }
        };
        Some(wanted.iter().enumerate().map(share).collect())
    }

    /// Graph compares names without case.
    fn shows_one_of(&self, values: &[String], item: &Value) -> bool {
        let shown = item.get(&self.property).and_then(Value::as_str);
        shown.is_some_and(|shown| values.iter().any(|value| lower_case(value).eq(lower_case(shown))))
    }
}

fn lower_case(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Texts in single quotes, with commas between them; in a text a doubled quote is one.
fn texts(list: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start().strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let (before, after) = rest.split_once('\'')?;
            text.push_str(before);
            match after.strip_prefix('\'') {
                Some(more) => (text.push('\''), rest = more),
                None => break rest = after,
            };
        }
        texts.push(text);
        match rest.trim_start().strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.trim().is_empty().then_some(texts),
        }
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
