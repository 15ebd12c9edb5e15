//! Query options: `$filter`, `$select`, `$top`, `$count` and the paging token. Only the filters that a directory
//! answers quickly are known: one clause of `eq`, `in`, `startsWith` or `endsWith`. Everything else is refused
//! rather than half understood; Graph itself answers some of it.

use super::directory::Slot;
use super::errors::Refusal;
use super::property::Property;
use super::route::Version;
use super::upn;
use super::user::{User, UserId};

/// Objects on a page when nothing is said.
pub(super) const PAGE_DEFAULT: usize = 100;
/// Most objects on a page (directory-deleteditems-list in Microsoft's reference).
const PAGE_MAX: usize = 999;
/// Most values in an `in` clause without the advanced query header; seen in the service's own error text
/// (microsoft-graph-docs-contrib, issue 1238).
const IN_VALUES_MAX: usize = 15;
/// Most characters of a filter in an advanced query, the service's limit on such an address (the same issue).
const ADVANCED_FILTER_CHARS_MAX: usize = 2_048;

/// What stands before a proxy address for mail.
const SMTP: &str = "smtp:";

/// A text property that can be compared in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    Upn,
    Mail,
}

/// The one clause of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// One of these ids.
    Id(Vec<UserId>),
    /// One of these UPNs, as shown.
    Upn(Vec<String>),
    /// One of these ImmutableIDs.
    Anchor(Vec<String>),
    /// One of these mail addresses.
    Mail(Vec<String>),
    /// Begins so.
    Starts(Address, String),
    /// Ends so; an advanced query.
    Ends(Address, String),
}

impl Filter {
    pub(super) fn parse(text: &str, advanced: Advanced) -> Result<Self, Refusal> {
        let text = text.trim();
        let filter = match proxy(text)? {
            Some(filter) => filter,
            None => match function(text)? {
                Some(filter) => filter,
                None => comparison(text, advanced)?,
            },
        };
        match (&filter, advanced) {
            (Self::Ends(..), Advanced::No) => Err(Refusal::UnsupportedQuery(
                "endsWith needs the header ConsistencyLevel: eventual and $count=true.".to_owned(),
            )),
            (_, Advanced::Yes) if text.chars().count() > ADVANCED_FILTER_CHARS_MAX => {
                Err(unsupported("it is too long"))
            }
            _ => Ok(filter),
        }
    }

    pub(super) fn matches(&self, user: &User) -> bool {
        match self {
            Self::Id(ids) => ids.contains(&user.id),
            Self::Upn(names) => {
                let shown = user.shown_upn();
                names.iter().any(|name| upn::same(name, &shown))
            }
            Self::Anchor(anchors) => anchors
                .iter()
                .any(|anchor| user.immutable_id.as_deref() == Some(anchor)),
            Self::Mail(mails) => mails
                .iter()
                .any(|mail| user.mail_address().is_some_and(|own| upn::same(mail, own))),
            Self::Starts(address, text) => with_address(user, *address, |own| {
                own.starts_with(&text.to_ascii_lowercase())
            }),
            Self::Ends(address, text) => with_address(user, *address, |own| {
                own.ends_with(&text.to_ascii_lowercase())
            }),
        }
    }
}

fn with_address(user: &User, address: Address, test: impl Fn(&str) -> bool) -> bool {
    match address {
        Address::Upn => test(&user.shown_upn().to_ascii_lowercase()),
        Address::Mail => user
            .mail_address()
            .is_some_and(|own| test(&own.to_ascii_lowercase())),
    }
}

/// Whether a request carries both halves of an advanced query: the header and `$count=true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advanced {
    /// Both.
    Yes,
    /// Not both.
    No,
}

/// The query options of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) filter: Option<Filter>,
    /// The selected properties, or the default set.
    pub(super) select: Vec<Property>,
    /// The text of `$select` for the reply's context; its presence also makes a request cheaper.
    pub(super) select_text: Option<String>,
    pub(super) top: Option<usize>,
    pub(super) advanced: Advanced,
    /// Where the page begins.
    pub(super) from: Slot,
}

impl Options {
    /// Reads the options of a request; `eventual` says that it has the header `ConsistencyLevel: eventual`.
    pub(super) fn parse(
        pairs: &[(String, String)],
        eventual: bool,
        version: Version,
    ) -> Result<Self, Refusal> {
        let counted = pairs
            .iter()
            .any(|(name, value)| name == "$count" && value == "true");
        let advanced = if eventual && counted {
            Advanced::Yes
        } else {
            Advanced::No
        };
        let mut options = Self {
            filter: None,
            select: Property::default_set(),
            select_text: None,
            top: None,
            advanced,
            from: 0,
        };
        for (name, value) in pairs {
            options.take(name, value, version)?;
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: &str, version: Version) -> Result<(), Refusal> {
        match name {
            "$filter" => self.filter = Some(Filter::parse(value, self.advanced)?),
            "$select" => {
                self.select = select(value, version)?;
                self.select_text = Some(value.to_owned());
            }
            "$top" => self.top = Some(top(value)?),
            "$count" if value == "true" || value == "false" => {}
            "$skiptoken" => self.from = value.parse().map_err(|_| Refusal::PageToken)?,
            _ if name.starts_with('$') => {
                return Err(Refusal::UnsupportedQuery(format!(
                    "The simulated tenant does not support {name}={value}."
                )));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn page_size(&self) -> usize {
        self.top.unwrap_or(PAGE_DEFAULT)
    }
}

/// Reads a page size.
pub(super) fn top(value: &str) -> Result<usize, Refusal> {
    match value.parse() {
        Ok(top @ 1..=PAGE_MAX) => Ok(top),
        _ => Err(Refusal::BadRequest(format!(
            "Invalid page size '{value}': $top goes from 1 to {PAGE_MAX}."
        ))),
    }
}

fn select(value: &str, version: Version) -> Result<Vec<Property>, Refusal> {
    let names = value.split(',').map(str::trim);
    names
        .map(|name| {
            Property::parse(name, version).ok_or_else(|| Refusal::UnknownProperty(name.to_owned()))
        })
        .collect()
}

/// The part of a description's address that names a set and what was selected of it.
pub(super) fn described(set: &str, options: &Options) -> String {
    match &options.select_text {
        Some(text) => format!("{set}({text})"),
        None => set.to_owned(),
    }
}

/// `proxyAddresses/any(p:p eq 'smtp:…')`; nothing when the filter is another one. Users have one proxy address here, which
/// is that of their mail, so it is the same question.
fn proxy(text: &str) -> Result<Option<Filter>, Refusal> {
    let Some(rest) = text.strip_prefix("proxyAddresses/any(") else {
        return Ok(None);
    };
    let form = || unsupported("any(p:p eq 'text') is expected");
    let (name, rest) = rest.split_once(':').ok_or_else(form)?;
    let rest = rest
        .trim_start()
        .strip_prefix(name.trim())
        .and_then(|rest| rest.trim_start().strip_prefix("eq "))
        .ok_or_else(form)?;
    let (value, rest) = literal(rest)?;
    if rest.trim() != ")" {
        return Err(unsupported("a single clause is expected"));
    }
    let is_smtp = value
        .get(..SMTP.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SMTP));
    let mails = if is_smtp {
        vec![value[SMTP.len()..].to_owned()]
    } else {
        Vec::new()
    };
    Ok(Some(Filter::Mail(mails)))
}

/// `startsWith(property,'text')` or `endsWith(…)`; nothing when the filter is not a function call.
fn function(text: &str) -> Result<Option<Filter>, Refusal> {
    let Some((name, rest)) = text
        .split_once('(')
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphabetic()))
    else {
        return Ok(None);
    };
    let make = match name.to_ascii_lowercase().as_str() {
        "startswith" => Filter::Starts,
        "endswith" => Filter::Ends,
        _ => return Err(unsupported("the function is not known")),
    };
    let (property, rest) = rest
        .split_once(',')
        .ok_or_else(|| unsupported("a function takes two arguments"))?;
    let address = match Property::parse(property.trim(), Version::V1) {
        Some(Property::UserPrincipalName) => Address::Upn,
        Some(Property::Mail) => Address::Mail,
        _ => return Err(unsupported("the property cannot be compared in part")),
    };
    let (value, rest) = literal(rest)?;
    if rest.trim() != ")" {
        return Err(unsupported("a single clause is expected"));
    }
    Ok(Some(make(address, value)))
}

/// `property eq 'text'` or `property in ('text','text')`.
fn comparison(text: &str, advanced: Advanced) -> Result<Filter, Refusal> {
    let (property, rest) = text
        .split_once(' ')
        .ok_or_else(|| unsupported("an operator is missing"))?;
    let rest = rest.trim_start();
    let values = if let Some(rest) = rest.strip_prefix("eq ") {
        one_value(rest)?
    } else if let Some(rest) = rest.strip_prefix("in") {
        several_values(rest)?
    } else {
        return Err(unsupported("the operator is not known"));
    };
    if values.len() > IN_VALUES_MAX && advanced == Advanced::No {
        return Err(Refusal::UnsupportedQuery(format!(
            "Too many child clauses in the filter: {}, and {IN_VALUES_MAX} are allowed.",
            values.len()
        )));
    }
    match Property::parse(property, Version::V1) {
        Some(Property::Id) => ids(&values).map(Filter::Id),
        Some(Property::UserPrincipalName) => Ok(Filter::Upn(values)),
        Some(Property::OnPremisesImmutableId) => Ok(Filter::Anchor(values)),
        Some(Property::Mail) => Ok(Filter::Mail(values)),
        Some(_) => Err(unsupported("the property cannot be filtered by")),
        None => Err(Refusal::UnknownProperty(property.to_owned())),
    }
}

fn one_value(text: &str) -> Result<Vec<String>, Refusal> {
    let (value, rest) = literal(text)?;
    if rest.trim().is_empty() {
        Ok(vec![value])
    } else {
        Err(unsupported("a single clause is expected"))
    }
}

fn several_values(text: &str) -> Result<Vec<String>, Refusal> {
    let mut rest = text
        .trim_start()
        .strip_prefix('(')
        .ok_or_else(|| unsupported("a list in parentheses is expected"))?;
    let mut values = Vec::new();
    loop {
        let (value, after) = literal(rest)?;
        values.push(value);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.trim_end() == ")" => return Ok(values),
            None => return Err(unsupported("the list does not end as it should")),
        }
    }
}

fn ids(values: &[String]) -> Result<Vec<UserId>, Refusal> {
    let parsed = values
        .iter()
        .map(|value| UserId::parse(value).ok_or_else(|| unsupported("an id is not a GUID")));
    parsed.collect()
}

/// A text in single quotes, in which a doubled quote is one, and what follows it.
fn literal(text: &str) -> Result<(String, &str), Refusal> {
    let mut rest = text
        .trim_start()
        .strip_prefix('\'')
        .ok_or_else(|| unsupported("a text in single quotes is expected"))?;
    let mut value = String::new();
    loop {
        let (before, after) = rest
            .split_once('\'')
            .ok_or_else(|| unsupported("a quote is not closed"))?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(next) => {
                value.push('\'');
                rest = next;
            }
            None => return Ok((value, after)),
        }
    }
}

fn unsupported(reason: &str) -> Refusal {
    Refusal::UnsupportedQuery(format!(
        "Unsupported or invalid query filter clause: {reason}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Result<Filter, Refusal> {
        Filter::parse(text, Advanced::No)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_known_clauses_are_read() {
        let id = "7e06b566-15f3-4013-8bf8-79874d52e68a";
        assert_eq!(
            plain(&format!("id eq '{id}'")),
            Ok(Filter::Id(vec![UserId::parse(id).unwrap()]))
        );
        assert_eq!(
            plain("mail in ('a@b.c', 'o''x@b.c')"),
            Ok(Filter::Mail(vec!["a@b.c".to_owned(), "o'x@b.c".to_owned()]))
        );
        assert_eq!(
            plain("startsWith(userPrincipalName,'a')"),
            Ok(Filter::Starts(Address::Upn, "a".to_owned()))
        );
        assert_eq!(
            plain("onPremisesImmutableId eq 'A=='"),
            Ok(Filter::Anchor(vec!["A==".to_owned()]))
        );
        for text in [
            "proxyAddresses/any(p:p eq 'SMTP:a@b.c')",
            "proxyAddresses/any(x: x eq 'smtp:a@b.c' )",
        ] {
            assert_eq!(
                plain(text),
                Ok(Filter::Mail(vec!["a@b.c".to_owned()])),
                "{text}"
            );
        }
        assert_eq!(
            plain("proxyAddresses/any(p:p eq 'sip:a@b.c')"),
            Ok(Filter::Mail(Vec::new()))
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bad in [
            "",
            "mail",
            "mail ne 'x'",
            "mail eq x",
            "mail eq 'x",
            "mail eq 'x' or mail eq 'y'",
            "mail in ()",
            "contains(mail,'x')",
            "id eq 'x'",
            "accountEnabled eq 'true'",
            "proxyAddresses/any(p:q eq 'smtp:a@b.c')",
            "proxyAddresses/any(p:p eq 'smtp:a@b.c' or p eq 'x')",
            "proxyAddresses eq 'smtp:a@b.c'",
        ] {
            assert!(
                matches!(plain(bad), Err(Refusal::UnsupportedQuery(_))),
                "{bad}"
            );
        }
        assert_eq!(
            plain("nothing eq 'x'"),
            Err(Refusal::UnknownProperty("nothing".to_owned()))
        );
    }

    #[test]
    fn ends_with_is_an_advanced_query() {
        let text = "endsWith(userPrincipalName,'a@b.c')";
        assert!(matches!(plain(text), Err(Refusal::UnsupportedQuery(_))));
        assert_eq!(
            Filter::parse(text, Advanced::Yes),
            Ok(Filter::Ends(Address::Upn, "a@b.c".to_owned()))
        );
        let both = pairs(&[("$filter", text), ("$count", "true")]);
        assert!(Options::parse(&both, true, Version::V1).is_ok());
        assert!(Options::parse(&both, false, Version::V1).is_err());
    }

    #[test]
    fn fifteen_values_are_the_most_of_a_plain_query() {
        let list = |n| format!("mail in ({})", vec!["'a@b.c'"; n].join(","));
        assert!(plain(&list(15)).is_ok() && plain(&list(16)).is_err());
        assert!(Filter::parse(&list(16), Advanced::Yes).is_ok());
    }

    #[test]
    fn options_have_their_limits() {
        let parse = |name, value| Options::parse(&pairs(&[(name, value)]), false, Version::V1);
        assert!(
            parse("$top", "999").is_ok()
                && parse("$top", "1000").is_err()
                && parse("$top", "0").is_err()
        );
        assert_eq!(
            parse("$select", "id,nothing"),
            Err(Refusal::UnknownProperty("nothing".to_owned()))
        );
        assert_eq!(parse("$skiptoken", "x"), Err(Refusal::PageToken));
        assert!(parse("$expand", "manager").is_err() && parse("other", "x").is_ok());
    }

    proptest! {
        #[test]
        fn quoted_texts_come_back(text in ".{0,30}") {
            let quoted = format!("'{}' rest", text.replace('\'', "''"));
            prop_assert_eq!(literal(&quoted).unwrap(), (text, " rest"));
        }

        #[test]
        fn no_filter_makes_the_parser_fall_over(text in ".{0,60}") {
            let _outcome = plain(&text);
        }
    }
}
