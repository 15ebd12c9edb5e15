//! The schema: every entity set that the tenant serves, and what may be done with the properties of its entities (`schema.toml`).
//! Reads, `$select`, `$filter`, the bodies of writes and their refusals all follow from these tables.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::rules::{domains, risk, roles, users};
use super::{Document, GraphRefusal, ODataQuery, ReplicaView, Slot, anchor, derive, upn};

/// The versions of Graph. Nearly everything here is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiVersion {
    V1,
    Beta,
}

impl ApiVersion {
    pub(super) fn of_path(path: &str) -> Self {
        if path.starts_with("/beta/") { Self::Beta } else { Self::V1 }
    }

    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// What values a property takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ValueForm {
    Guid,
    Upn,
    Anchor,
    Address,
    Addresses,
    Flag,
    #[default]
    Text,
    Texts,
    Object,
}

/// What a write may do with a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum WriteRule {
    Writable,
    ClearOnly,
    Secret,
    #[default]
    ReadOnly,
}

/// How a property can be filtered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum FilterRule {
    #[default]
    Never,
    Equal,
    Partial,
    Any,
}

/// A property of a type of entity; `schema.toml` explains the fields.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Property {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) form: ValueForm,
    pub(super) write: WriteRule,
    pub(super) filter: FilterRule,
    shown: bool,
    beta: bool,
    pub(super) sensitive: bool,
    pub(super) cloud_owned: bool,
    derived: bool,
}

/// The properties of each type. The table is part of the program and read by its tests, so that it is never empty.
static PROPERTIES: LazyLock<HashMap<String, Vec<Property>>> = LazyLock::new(|| read().unwrap_or_default());

fn read() -> Result<HashMap<String, Vec<Property>>, toml::de::Error> {
    let types: HashMap<String, BTreeMap<String, Property>> = toml::from_str(include_str!("schema.toml"))?;
    let named = |(name, property)| Property { name, ..property };
    Ok(types.into_iter().map(|(name, properties)| (name, properties.into_iter().map(named).collect())).collect())
}

impl Property {
    /// The value that a client sees.
    pub(super) fn value<'a>(&self, document: &'a Document) -> Cow<'a, Value> {
        match document.get(&self.name) {
            Some(stored) => Cow::Borrowed(stored),
            None if self.derived => Cow::Owned(derive::value(&self.name, document)),
            None if self.form == ValueForm::Texts => Cow::Owned(json!([])),
            None => Cow::Owned(Value::Null),
        }
    }

    /// Whether a write may give it this value, as far as the text alone tells.
    fn check(&self, value: &Value) -> Result<(), GraphRefusal> {
        let allowed = |is_good: bool| is_good.then_some(()).ok_or("the value is of the wrong type or malformed");
        let checked = match (self.write, self.form, value) {
            (WriteRule::ReadOnly, ..) => return Err(GraphRefusal::read_only(&self.name)),
            (WriteRule::ClearOnly, ..) => allowed(value.is_null()),
            (_, ValueForm::Upn, Value::String(text)) => upn::parse(text).map(drop),
            (_, ValueForm::Anchor, Value::String(text)) => anchor::check(text),
            (_, ValueForm::Address, Value::String(mail)) => allowed(mail.is_ascii() && mail.contains('@')),
            (_, ValueForm::Text, Value::String(_)) => Ok(()),
            (_, ValueForm::Anchor | ValueForm::Address | ValueForm::Text, _) => allowed(value.is_null()),
            (_, ValueForm::Flag, _) => allowed(value.is_boolean()),
            (_, ValueForm::Texts, Value::Array(items)) => allowed(items.iter().all(Value::is_string)),
            (_, ValueForm::Object, _) => allowed(value.is_object()),
            (_, ValueForm::Upn | ValueForm::Texts | ValueForm::Guid | ValueForm::Addresses, _) => allowed(false),
        };
        checked.map_err(|reason| GraphRefusal::invalid_value(&self.name, reason))
    }
}

/// Entities with their places in a listing; a page ends at a place and the next one begins there.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = (Slot, Cow<'a, Document>)> + 'a>;

type RowsRule = for<'a> fn(ReplicaView<'a>, &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal>;
type FindRule = for<'a> fn(ReplicaView<'a>) -> Option<Cow<'a, Document>>;

/// A kind of entity, as one address serves it.
#[derive(Debug)]
pub(super) struct EntitySet {
    pub(super) type_name: &'static str,
    /// How descriptions name the set.
    pub(super) context: &'static str,
    /// Whether its entities tell their type.
    pub(super) is_typed: bool,
    /// The query options that it takes beside `$select`.
    pub(super) options: &'static [&'static str],
    /// What a request sees of the set, from a place on.
    pub(super) rows: RowsRule,
    /// The entity that the key in a request's path names.
    pub(super) find: FindRule,
}

impl EntitySet {
    pub(super) fn properties(&self) -> &'static [Property] {
        PROPERTIES.get(self.type_name).map_or(&[], Vec::as_slice)
    }

    /// The property that a version of Graph knows by this name; names are compared exactly.
    pub(super) fn property(&self, name: &str, version: ApiVersion) -> Result<&'static Property, GraphRefusal> {
        let mut known = self.properties().iter().filter(|property| version == ApiVersion::Beta || !property.beta);
        known.find(|property| property.name == name).ok_or_else(|| GraphRefusal::unknown_property(name, self.type_name))
    }

    /// What a GET gives when nothing is selected.
    pub(super) fn default_select(&self) -> Vec<&'static Property> {
        self.properties().iter().filter(|property| property.shown).collect()
    }

    /// Reads the body of a write. Annotations are passed over.
    pub(super) fn assignments(
        &self,
        body: &[u8],
        version: ApiVersion,
    ) -> Result<Vec<(&'static Property, Value)>, GraphRefusal> {
        let assignments = object(body)?.into_iter().filter(|(name, _)| !name.starts_with('@'));
        assignments
            .map(|(name, value)| {
                let property = self.property(&name, version)?;
                property.check(&value)?;
                Ok((property, value))
            })
            .collect()
    }
}

/// A body that must be a JSON object.
fn object(body: &[u8]) -> Result<Document, GraphRefusal> {
    if body.is_empty() {
        return Err(GraphRefusal::bad_request("Empty payload: a JSON object is expected."));
    }
    serde_json::from_slice(body)
        .map_err(|error| GraphRefusal::bad_request(format!("The body is not a JSON object: {error}.")))
}

/// The parameters of an action.
pub(super) fn parameters<T: DeserializeOwned>(body: &[u8]) -> Result<T, GraphRefusal> {
    serde_json::from_slice(body)
        .map_err(|error| GraphRefusal::bad_request(format!("The parameters are not understood: {error}.")))
}

const PAGED: &[&str] = &["$filter", "$top", "$skiptoken"];
const COUNTED: &[&str] = &["$filter", "$top", "$skiptoken", "$count"];
const EXPANDED: &[&str] = &["$filter", "$top", "$skiptoken", "$expand"];
/// A group's members, who are users here, cannot be filtered.
const UNFILTERED: &[&str] = &["$top", "$skiptoken", "$count"];

const fn set(
    type_name: &'static str,
    context: &'static str,
    options: &'static [&'static str],
    rows: RowsRule,
    find: FindRule,
) -> EntitySet {
    EntitySet { type_name, context, is_typed: false, options, rows, find }
}

const fn typed(set: EntitySet) -> EntitySet {
    EntitySet { is_typed: true, ..set }
}

/// Of a set whose entities have no address of their own.
const NONE: FindRule = |_| None;

pub(super) static USERS: EntitySet = set("user", "users", COUNTED, users::live, |view| view.live());
pub(super) static DELETED_USERS: EntitySet =
    set("user", "directoryObjects/microsoft.graph.user", COUNTED, users::in_bin, NONE);
pub(super) static DELETED_USER: EntitySet =
    typed(set("user", "directoryObjects", COUNTED, users::in_bin, |view| view.deleted()));
pub(super) static MEMBERS: EntitySet = typed(set("user", "directoryObjects", UNFILTERED, roles::members, NONE));
pub(super) static USER_MEMBERS: EntitySet = set("user", "users", UNFILTERED, roles::user_members, NONE);
pub(super) static DOMAINS: EntitySet = set("domain", "domains", &[], domains::rows, domains::find);
pub(super) static ORGANIZATION: EntitySet = set("organization", "organization", &[], domains::organization, NONE);
pub(super) static RISKY_USERS: EntitySet =
    set("riskyUser", "identityProtection/riskyUsers", PAGED, risk::rows, risk::find);
pub(super) static ROLE_ASSIGNMENTS: EntitySet =
    set("unifiedRoleAssignment", "roleManagement/directory/roleAssignments", EXPANDED, roles::assignments, NONE);
pub(super) static ROLE_ELIGIBILITIES: EntitySet = set(
    "unifiedRoleEligibilityScheduleInstance",
    "roleManagement/directory/roleEligibilityScheduleInstances",
    EXPANDED,
    roles::eligibilities,
    NONE,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_has_its_properties() {
        assert_eq!(read().unwrap().len(), 6);
        for set in [&USERS, &DOMAINS, &ORGANIZATION, &RISKY_USERS, &ROLE_ASSIGNMENTS, &ROLE_ELIGIBILITIES] {
            assert!(!set.default_select().is_empty(), "{}", set.type_name);
        }
    }

    fn refused(body: &str) -> GraphRefusal {
        USERS.assignments(body.as_bytes(), ApiVersion::V1).unwrap_err()
    }

    #[test]
    fn malformed_bodies_are_refused_by_name() {
        assert!(refused("").message().starts_with("Empty payload"));
        assert!(refused("[]").message().starts_with("The body is not a JSON object"));
        assert_eq!(refused(r#"{"immutableId":"x"}"#), GraphRefusal::unknown_property("immutableId", "user"));
        assert_eq!(refused(r#"{"id":"x"}"#), GraphRefusal::read_only("id"));
        for body in [
            r#"{"onPremisesImmutableId":""}"#,
            r#"{"onPremisesImmutableId":"a_b"}"#,
            r#"{"onPremisesImmutableId":5}"#,
            r#"{"userPrincipalName":null}"#,
            r#"{"userPrincipalName":"é@contoso.com"}"#,
            r#"{"accountEnabled":"true"}"#,
            r#"{"otherMails":[1]}"#,
        ] {
            assert!(refused(body).message().starts_with("One or more property values are invalid"), "{body}");
        }
    }

    #[test]
    fn the_identifier_is_betas_and_can_only_be_cleared() {
        let parse = |body: &str, version| USERS.assignments(body.as_bytes(), version);
        let clear = r#"{"onPremisesObjectIdentifier":null}"#;
        assert!(parse(clear, ApiVersion::V1).is_err());
        assert_eq!(parse(clear, ApiVersion::Beta).unwrap().len(), 1);
        let set = r#"{"onPremisesObjectIdentifier":"7e06b566-15f3-4013-8bf8-79874d52e68a"}"#;
        assert!(parse(set, ApiVersion::Beta).is_err());
    }

    #[test]
    fn null_clears_and_annotations_are_passed_over() {
        let body = br#"{"@odata.type":"x","onPremisesImmutableId":null}"#;
        let read = USERS.assignments(body, ApiVersion::V1).unwrap();
        let anchor = USERS.property("onPremisesImmutableId", ApiVersion::V1).unwrap();
        assert_eq!(read, [(anchor, Value::Null)]);
    }

    #[test]
    fn the_default_set_leaves_the_anchor_out() {
        let names: Vec<_> = USERS.default_select().iter().map(|property| &*property.name).collect();
        assert_eq!(names.len(), 11);
        assert!(names.contains(&"userPrincipalName") && names.contains(&"businessPhones"));
        assert!(!names.contains(&"onPremisesImmutableId") && !names.contains(&"accountEnabled"));
    }
}
