//! The query options of a request, for every entity set: `$select`, `$filter`, `$expand`, `$top`, `$count` and the paging
//! token. Only the filters that a directory answers quickly are known: one clause of `eq`, `in`, `any`, `startsWith` or
//! `endsWith`. Everything else is refused rather than half understood; Graph itself answers some of it.

use serde_json::Value;

use super::schema::{ApiVersion, EntitySet, FilterRule, Property, ValueForm, parse_id};
use super::store::IndexKey;
use super::{Document, GraphRefusal};

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
        let mut rest = Scanner(text.trim());
        let clause = rest.clause(set, version)?;
        if !rest.0.trim().is_empty() {
            return Err(unsupported("a single clause is expected"));
        }
        match (&clause.comparison, is_advanced) {
            (Comparison::Ends(_), false) => {
                Err(GraphRefusal::unsupported("endsWith needs the header ConsistencyLevel: eventual and $count=true."))
            }
            (Comparison::In(values), false) if values.len() > IN_VALUES_MAX => Err(GraphRefusal::unsupported(format!(
                "Too many child clauses in the filter: {}, and {IN_VALUES_MAX} are allowed.",
                values.len()
            ))),
            (_, true) if text.chars().count() > ADVANCED_FILTER_CHARS_MAX => Err(unsupported("it is too long")),
            _ => Ok(clause),
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
                "$skiptoken" if is_served => query.from = value.parse().map_err(|_| GraphRefusal::page_token())?,
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
        let selected = self.select.iter().filter(|_| self.is_selected).map(|property| property.name.to_owned());
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

/// What is left of a filter.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn clause(&mut self, set: &EntitySet, version: ApiVersion) -> Result<FilterClause, GraphRefusal> {
        let word = self.word();
        if word.is_empty() {
            return Err(unsupported("a property or a function is expected"));
        }
        let function = word.to_ascii_lowercase();
        let (property, comparison) = match function.as_str() {
            "startswith" | "endswith" if self.takes("(") => {
                let property = set.property(self.word(), version)?;
                self.expect(",", "a function takes two arguments")?;
                let value = self.literal()?;
                self.expect(")", "a single clause is expected")?;
                let starts = function == "startswith";
                (property, if starts { Comparison::Starts(value) } else { Comparison::Ends(value) })
            }
            _ if self.takes("(") => return Err(unsupported("the function is not known")),
            _ => {
                let property = set.property(word, version)?;
                let is_any = self.takes("/any(");
                if is_any != (property.filter == FilterRule::Any) {
                    return Err(unsupported("the property cannot be filtered by"));
                }
                (property, if is_any { self.any()? } else { self.equality()? })
            }
        };
        check(property, &comparison)?;
        Ok(FilterClause { property, comparison })
    }

    /// `p:p eq 'text')`, after the parenthesis.
    fn any(&mut self) -> Result<Comparison, GraphRefusal> {
        let form = "any(p:p eq 'text') is expected";
        let variable = self.word().to_owned();
        self.expect(":", form)?;
        if self.word() != variable || self.word() != "eq" {
            return Err(unsupported(form));
        }
        let value = self.literal()?;
        self.expect(")", "a single clause is expected")?;
        Ok(Comparison::In(vec![value]))
    }

    /// `eq 'text'` or `in ('text','text')`.
    fn equality(&mut self) -> Result<Comparison, GraphRefusal> {
        match self.word() {
            "eq" => Ok(Comparison::In(vec![self.literal()?])),
            "in" => {
                self.expect("(", "a list in parentheses is expected")?;
                let mut values = vec![self.literal()?];
                while self.takes(",") {
                    values.push(self.literal()?);
                }
                self.expect(")", "the list does not end as it should")?;
                Ok(Comparison::In(values))
            }
            _ => Err(unsupported("the operator is not known")),
        }
    }

    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        word
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, sign: &str, otherwise: &str) -> Result<(), GraphRefusal> {
        if self.takes(sign) { Ok(()) } else { Err(unsupported(otherwise)) }
    }

    /// A text in single quotes, in which a doubled quote is one.
    fn literal(&mut self) -> Result<String, GraphRefusal> {
        self.expect("'", "a text in single quotes is expected")?;
        let mut value = String::new();
        loop {
            let (before, after) = self.0.split_once('\'').ok_or_else(|| unsupported("a quote is not closed"))?;
            value.push_str(before);
            self.0 = after;
            match after.strip_prefix('\'') {
                Some(next) => self.0 = next,
                None => return Ok(value),
            }
            value.push('\'');
        }
    }
}

fn check(property: &Property, comparison: &Comparison) -> Result<(), GraphRefusal> {
    match (property.filter, comparison) {
        (FilterRule::Never, _) => Err(unsupported("the property cannot be filtered by")),
        (FilterRule::Equal | FilterRule::Any, Comparison::Starts(_) | Comparison::Ends(_)) => {
            Err(unsupported("the property cannot be compared in part"))
        }
        (_, Comparison::In(values)) if property.form == ValueForm::Guid => {
            let are_ids = values.iter().all(|value| parse_id(value).is_some());
            if are_ids { Ok(()) } else { Err(unsupported("an id is not a GUID")) }
        }
        (FilterRule::Equal | FilterRule::Partial | FilterRule::Any, _) => Ok(()),
    }
}

fn unsupported(reason: &str) -> GraphRefusal {
    GraphRefusal::unsupported(format!("Unsupported or invalid query filter clause: {reason}."))
}

#[cfg(test)]
#[path = "odata_tests.rs"]
mod tests;
