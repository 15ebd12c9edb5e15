//! The query options of a request, for every entity set: `$select`, `$filter`, `$expand`, `$top`, `$count` and the paging
//! token. Only the filters that a directory answers quickly are known: one clause of `eq`, `in`, `any`, `startsWith` or
//! `endsWith`. Everything else is refused rather than half understood; Graph itself answers some of it.

use serde_json::Value;

use super::document::parse_id;
use super::schema::{FilterRule, Property, ValueForm};
use super::store::IndexKey;
use super::{ApiVersion, Document, EntitySet, GraphRefusal};

/// Objects on a page when nothing is said.
const PAGE_DEFAULT: usize = 100;
/// Most objects on a page (directory-deleteditems-list in Microsoft's reference).
const PAGE_MAX: usize = 999;
/// Most values in an `in` clause without the advanced query header; seen in the service's own error text
/// (microsoft-graph-docs-contrib, issue 1238).
const IN_VALUES_MAX: usize = 15;
/// Most characters of a filter in an advanced query, the service's limit on such an address (the same issue).
const ADVANCED_FILTER_CHARS_MAX: usize = 2_048;
/// What a proxy address for mail begins with.
const SMTP: &str = "smtp:";

/// How a value is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    /// With any of these.
    In(Vec<String>),
    Starts(String),
    /// In an advanced query only.
    Ends(String),
}

/// The one clause of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FilterClause {
    pub(super) property: &'static Property,
    pub(super) comparison: Comparison,
}

impl FilterClause {
    fn parse(text: &str, set: &EntitySet, version: ApiVersion, is_advanced: bool) -> Result<Self, GraphRefusal> {
        let parts = parts(text).ok_or_else(|| unsupported("a quote is not closed"))?;
        let (name, wanted, comparison) = understood(&parts)
            .ok_or_else(|| unsupported("a single clause with eq, in, any, startsWith or endsWith is expected"))?;
        let property = set.property(name, version)?;
        if property.filter != wanted && (property.filter, wanted) != (FilterRule::Partial, FilterRule::Equal) {
            return Err(unsupported("the property cannot be filtered by in this way"));
        }
        match (&comparison, is_advanced) {
            (Comparison::Ends(_), false) => {
                Err(GraphRefusal::unsupported("endsWith needs the header ConsistencyLevel: eventual and $count=true."))
            }
            (Comparison::In(values), false) if values.len() > IN_VALUES_MAX => Err(GraphRefusal::unsupported(format!(
                "Too many child clauses in the filter: {}, and {IN_VALUES_MAX} are allowed.",
                values.len()
            ))),
            (Comparison::In(values), _)
                if property.form == ValueForm::Guid && values.iter().any(|value| parse_id(value).is_none()) =>
            {
                Err(unsupported("an id is not a GUID"))
            }
            (_, true) if text.chars().count() > ADVANCED_FILTER_CHARS_MAX => Err(unsupported("it is too long")),
            _ => Ok(Self { property, comparison }),
        }
    }

    pub(super) fn matches(&self, document: &Document) -> bool {
        let value = &*self.property.value(document);
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        items.iter().filter_map(Value::as_str).any(|item| self.matches_text(item))
    }

    fn matches_text(&self, text: &str) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        match &self.comparison {
            Comparison::In(values) if self.property.form == ValueForm::Anchor => values.iter().any(|one| one == text),
            Comparison::In(values) => values.iter().any(|one| one.eq_ignore_ascii_case(text)),
            Comparison::Starts(start) => lower(text).starts_with(&lower(start)),
            Comparison::Ends(end) => lower(text).ends_with(&lower(end)),
        }
    }

    /// Where an index has a value of this property.
    pub(super) fn index_key<'a>(&self, value: &'a str) -> Option<IndexKey<'a>> {
        match self.property.form {
            ValueForm::Anchor => Some(IndexKey::Anchor(value)),
            ValueForm::Upn | ValueForm::Address => Some(IndexKey::Address(value)),
            ValueForm::Addresses => {
                let (protocol, address) = value.split_at_checked(SMTP.len())?;
                protocol.eq_ignore_ascii_case(SMTP).then_some(IndexKey::Address(address))
            }
            ValueForm::Guid | ValueForm::Flag | ValueForm::Text | ValueForm::Texts | ValueForm::Object => None,
        }
    }
}

/// What `$expand` can show.
pub(super) const NAVIGATION: &str = "principal";

/// What is selected of what is expanded; None for its default set.
type Expansion = Option<Vec<String>>;

/// The query options of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ODataQuery {
    pub(super) filter: Option<FilterClause>,
    /// The selected properties, or the default set.
    pub(super) select: Vec<&'static Property>,
    is_selected: bool,
    /// The names are not checked: each kind of object has properties of its own.
    pub(super) expand: Option<Expansion>,
    pub(super) page_size: usize,
    /// Whether it carries both halves of an advanced query: the header and `$count=true`.
    pub(super) is_advanced: bool,
    /// Where the page begins.
    pub(super) from: u32,
}

impl ODataQuery {
    /// Reads the options of a request; `eventual` says that it has the header `ConsistencyLevel: eventual`.
    pub(super) fn parse(
        pairs: &[(String, String)],
        set: &'static EntitySet,
        eventual: bool,
        version: ApiVersion,
    ) -> Result<Self, GraphRefusal> {
        let is_counted = pairs.iter().any(|(name, value)| name == "$count" && value == "true");
        let mut query = Self {
            filter: None,
            select: set.default_select(),
            is_selected: false,
            expand: None,
            // A set that takes no page size is small and has one page.
            page_size: if set.options.contains(&"$top") { PAGE_DEFAULT } else { usize::MAX },
            is_advanced: eventual && is_counted,
            from: 0,
        };
        for (name, value) in pairs.iter().filter(|(name, _)| name.starts_with('$')) {
            let is_served = name == "$select" || set.options.contains(&name.as_str());
            match name.as_str() {
                "$select" => {
                    let names = value.split(',').map(|name| set.property(name.trim(), version));
                    query.select = names.collect::<Result<_, _>>()?;
                    query.is_selected = true;
                }
                "$filter" if is_served => {
                    query.filter = Some(FilterClause::parse(value, set, version, query.is_advanced)?);
                }
                "$expand" if is_served => query.expand = Some(expansion(value)?),
                "$top" if is_served => query.page_size = page_size(value)?,
                "$count" if is_served && matches!(value.as_str(), "true" | "false") => {}
                "$skiptoken" if is_served => query.from = value.parse().map_err(|_| GraphRefusal::PAGE_TOKEN)?,
                _ => {
                    let message = format!("The simulated tenant does not support {name}={value} here.");
                    return Err(GraphRefusal::unsupported(message));
                }
            }
        }
        Ok(query)
    }

    /// The part of a description's address that names a set and what is shown of it.
    pub(super) fn described(&self, set: &str) -> String {
        let selected = self.select.iter().filter(|_| self.is_selected).map(|property| property.name.clone());
        let expanded = self.expand.iter().map(|names| {
            let names = names.as_ref().map(|names| names.join(","));
            format!("{NAVIGATION}({})", names.unwrap_or_default())
        });
        let parts: Vec<String> = selected.chain(expanded).collect();
        if parts.is_empty() { set.to_owned() } else { format!("{set}({})", parts.join(",")) }
    }
}

fn page_size(value: &str) -> Result<usize, GraphRefusal> {
    match value.parse() {
        Ok(top @ 1..=PAGE_MAX) => Ok(top),
        _ => Err(GraphRefusal::bad_request(format!("Invalid page size '{value}': $top goes from 1 to {PAGE_MAX}."))),
    }
}

/// `principal` or `principal($select=a,b)`, and nothing else: role assignments take one expansion only.
fn expansion(value: &str) -> Result<Expansion, GraphRefusal> {
    let inner = match value.trim().strip_prefix(NAVIGATION) {
        Some("") => return Ok(None),
        Some(rest) => rest.strip_prefix("($select=").and_then(|rest| rest.strip_suffix(')')),
        None => None,
    };
    let inner = inner.filter(|inner| !inner.contains(['(', ')', ';', '$']));
    let names = inner.map(|inner| inner.split(',').map(|name| name.trim().to_owned()).collect());
    names
        .map(Some)
        .ok_or_else(|| GraphRefusal::unsupported(format!("The simulated tenant does not expand '{value}' here.")))
}

/// A part of a filter.
#[derive(Debug, PartialEq)]
enum FilterPart<'a> {
    Word(&'a str),
    Sign(char),
    /// What stands in single quotes.
    Text(String),
}

/// The parts of a filter; None when a quote is not closed.
fn parts(filter: &str) -> Option<Vec<FilterPart<'_>>> {
    let mut parts = Vec::new();
    let mut rest = filter.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (part, after) = match first {
            '\'' => literal(&rest[1..])?,
            _ if end > 0 => (FilterPart::Word(&rest[..end]), &rest[end..]),
            sign => (FilterPart::Sign(sign), &rest[sign.len_utf8()..]),
        };
        parts.push(part);
        rest = after.trim_start();
    }
    Some(parts)
}

/// A text after its first quote, in which a doubled quote is one, and what comes after it.
fn literal(mut rest: &str) -> Option<(FilterPart<'static>, &str)> {
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        let Some(next) = after.strip_prefix('\'') else {
            return Some((FilterPart::Text(value), after));
        };
        value.push('\'');
        rest = next;
    }
}

/// The name of a clause's property, how that must be open to filters, and what it is compared with.
fn understood<'a>(clause: &[FilterPart<'a>]) -> Option<(&'a str, FilterRule, Comparison)> {
    use FilterPart::{Sign, Text, Word};
    Some(match clause {
        [Word(function), Sign('('), Word(name), Sign(','), Text(value), Sign(')')] => {
            let comparison = match function.to_ascii_lowercase().as_str() {
                "startswith" => Comparison::Starts(value.clone()),
                "endswith" => Comparison::Ends(value.clone()),
                _ => return None,
            };
            (name, FilterRule::Partial, comparison)
        }
        [Word(name), Word("eq"), Text(value)] => (name, FilterRule::Equal, Comparison::In(vec![value.clone()])),
        [Word(name), Word("in"), Sign('('), list @ .., Sign(')')] => {
            let items = list.split(|part| *part == Sign(',')).map(|item| match item {
                [Text(value)] => Some(value.clone()),
                _ => None,
            });
            (name, FilterRule::Equal, Comparison::In(items.collect::<Option<_>>()?))
        }
        [
            Word(name),
            Sign('/'),
            Word("any"),
            Sign('('),
            Word(item),
            Sign(':'),
            Word(same),
            Word("eq"),
            Text(value),
            Sign(')'),
        ] if item == same => (name, FilterRule::Any, Comparison::In(vec![value.clone()])),
        _ => return None,
    })
}

fn unsupported(reason: &str) -> GraphRefusal {
    GraphRefusal::unsupported(format!("Unsupported or invalid query filter clause: {reason}."))
}

#[cfg(test)]
#[path = "odata_tests.rs"]
mod tests;
