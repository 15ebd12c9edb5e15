//! The options as they are written in addresses.

use super::*;
use crate::sim::schema::{RISKY_USERS, ROLE_ASSIGNMENTS, USERS};
use proptest::prelude::*;

const GROUP: &str = "62e90394-69f5-4237-9190-012177145e10";

fn filter(text: &str, is_advanced: bool) -> Result<FilterClause, GraphRefusal> {
    FilterClause::parse(text, &USERS, ApiVersion::V1, is_advanced)
}

fn plain(text: &str) -> Result<(&'static str, Comparison), GraphRefusal> {
    filter(text, false).map(|clause| (clause.property.name.as_str(), clause.comparison))
}

fn parse(set: &'static EntitySet, pairs: &[(&str, &str)], eventual: bool) -> Result<ODataQuery, GraphRefusal> {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ODataQuery::parse(&pairs, set, eventual, ApiVersion::V1)
}

fn one_of(values: &[&str]) -> Comparison {
    Comparison::In(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn the_known_clauses_are_read() {
    let id = format!("id eq '{GROUP}'");
    let starts = Comparison::Starts("a".to_owned());
    for (text, property, comparison) in [
        (id.as_str(), "id", one_of(&[GROUP])),
        ("mail in ('a@b.c', 'o''x@b.c')", "mail", one_of(&["a@b.c", "o'x@b.c"])),
        ("userPrincipalName in('a@b.c')", "userPrincipalName", one_of(&["a@b.c"])),
        ("startsWith(userPrincipalName,'a')", "userPrincipalName", starts),
        ("onPremisesImmutableId eq 'A=='", "onPremisesImmutableId", one_of(&["A=="])),
        ("proxyAddresses/any(p:p eq 'SMTP:a@b.c')", "proxyAddresses", one_of(&["SMTP:a@b.c"])),
        ("proxyAddresses/any(x: x eq 'smtp:a@b.c' )", "proxyAddresses", one_of(&["smtp:a@b.c"])),
    ] {
        assert_eq!(plain(text), Ok((property, comparison)), "{text}");
    }
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
        "mail/any(p:p eq 'x')",
        "contains(mail,'x')",
        "startsWith(displayName,'x')",
        "id eq 'x'",
        "accountEnabled eq 'true'",
        "proxyAddresses/any(p:q eq 'smtp:a@b.c')",
        "proxyAddresses/any(p:p eq 'smtp:a@b.c' or p eq 'x')",
        "proxyAddresses eq 'smtp:a@b.c'",
    ] {
        let refusal = plain(bad).unwrap_err();
        assert_eq!(refusal, GraphRefusal::unsupported(refusal.message().to_owned()), "{bad}");
    }
    assert_eq!(plain("nothing eq 'x'"), Err(GraphRefusal::unknown_property("nothing", "user")));
}

#[test]
fn ends_with_is_an_advanced_query() {
    let text = "endsWith(userPrincipalName,'a@b.c')";
    assert!(plain(text).is_err());
    let clause = filter(text, true).unwrap();
    assert_eq!(clause.comparison, Comparison::Ends("a@b.c".to_owned()));
    let both = [("$filter", text), ("$count", "true")];
    assert!(parse(&USERS, &both, true).is_ok());
    assert!(parse(&USERS, &both, false).is_err());
}

#[test]
fn fifteen_values_are_the_most_of_a_plain_query() {
    for (property, value) in [("mail", "a@b.c"), ("userPrincipalName", "a@b.c"), ("id", GROUP)] {
        let list = |n| format!("{property} in ({})", vec![format!("'{value}'"); n].join(","));
        assert!(plain(&list(15)).is_ok());
        let refusal = plain(&list(16)).unwrap_err();
        assert_eq!(refusal, GraphRefusal::unsupported(refusal.message().to_owned()));
        assert!(filter(&list(16), true).is_ok());
    }
}

#[test]
fn options_have_their_limits() {
    let one = |name, value| parse(&USERS, &[(name, value)], false);
    assert!(one("$top", "999").is_ok() && one("$top", "1000").is_err() && one("$top", "0").is_err());
    assert_eq!(one("$select", "id,nothing"), Err(GraphRefusal::unknown_property("nothing", "user")));
    assert_eq!(one("$skiptoken", "x"), Err(GraphRefusal::PAGE_TOKEN));
    assert!(one("$expand", "manager").is_err() && one("other", "x").is_ok());
    assert!(parse(&RISKY_USERS, &[("$count", "true")], true).is_err());
}

#[test]
fn the_holder_is_expanded_and_selected_from() {
    let expand = |value| parse(&ROLE_ASSIGNMENTS, &[("$expand", value)], false);
    let described = |value| expand(value).unwrap().described("x");
    assert_eq!(described("principal($select=id, displayName)"), "x(principal(id,displayName))");
    assert_eq!(described("principal"), "x(principal())");
    let both = [("$select", "id"), ("$expand", "principal")];
    assert_eq!(parse(&ROLE_ASSIGNMENTS, &both, false).unwrap().described("x"), "x(id,principal())");
    for bad in [
        "roleDefinition",
        "principal,roleDefinition",
        "principal($expand=x)",
        "principal($select=id;$expand=x)",
        "principal($select=id),roleDefinition($select=id)",
    ] {
        assert!(expand(bad).is_err(), "{bad}");
    }
}

#[test]
fn roles_are_filtered_by_holder_or_role() {
    let filter = |text: &str| {
        let query = parse(&ROLE_ASSIGNMENTS, &[("$filter", text)], false)?;
        Ok::<_, GraphRefusal>(query.filter.map(|clause| clause.property.name.as_str()))
    };
    assert_eq!(filter(&format!("roleDefinitionId eq '{GROUP}'")), Ok(Some("roleDefinitionId")));
    assert_eq!(filter(&format!("principalId eq '{GROUP}'")), Ok(Some("principalId")));
    assert!(filter("principalId eq 'x'").is_err());
    assert!(filter(&format!("principalId ne '{GROUP}'")).is_err());
}

proptest! {
    #[test]
    fn quoted_texts_come_back(text in ".{0,30}") {
        let quoted = format!("'{}' rest", text.replace('\'', "''"));
        prop_assert_eq!(parts(&quoted), Some(vec![FilterPart::Text(text), FilterPart::Word("rest")]));
    }

    #[test]
    fn no_filter_makes_the_parser_fall_over(text in ".{0,60}") {
        let _outcome = plain(&text);
    }
}
