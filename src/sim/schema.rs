//! The schema: every entity set that the tenant serves, with its properties by Graph's names and what may be done with each.
//! Reads, `$select`, `$filter`, the bodies of writes and their refusals all follow from these tables. A name that is not here
//! is refused, as Graph refuses an unknown one; Graph itself knows some more.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::odata::ODataQuery;
use super::rules::{derive, domains, risk, roles, users};
use super::store::Slot;
use super::view::ReplicaView;
use super::{GraphRefusal, anchor, upn};

/// An entity: what is stored of it, by property. Names that begin with `#` are ours and never shown.
pub(super) type Document = Map<String, Value>;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueForm {
    Guid,
    Upn,
    /// An ImmutableID.
    Anchor,
    /// A mail address.
    Address,
    /// Mail addresses, each after its protocol.
    Addresses,
    Flag,
    Text,
    Texts,
    Object,
}

/// What a write may do with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteRule {
    Writable,
    /// Only null can be written.
    ClearOnly,
    /// Taken and never shown again.
    Secret,
    ReadOnly,
}

/// How a property can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterRule {
    Never,
    /// `eq` and `in`.
    Equal,
    /// `eq`, `in`, `startsWith` and `endsWith`.
    Partial,
    /// `any(p:p eq …)`.
    Any,
}

/// What else is to be known of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trait {
    /// A GET without `$select` shows it.
    Shown,
    Beta,
    /// Changing it on an administrator takes a higher role (users resource page, "sensitive actions").
    Sensitive,
    /// The cloud owns it even when the rest of the account comes from an on-premises directory.
    CloudOwned,
}

/// A property of an entity set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) form: ValueForm,
    pub(super) write: WriteRule,
    pub(super) filter: FilterRule,
    traits: &'static [Trait],
    /// What it is unless something is stored.
    derive: Option<fn(&Document) -> Value>,
}

impl PartialEq for Property {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Property {
    const fn derived(mut self, derive: fn(&Document) -> Value) -> Self {
        self.derive = Some(derive);
        self
    }

    pub(super) fn is(&self, wanted: Trait) -> bool {
        self.traits.contains(&wanted)
    }

    /// The value that a client sees.
    pub(super) fn value<'a>(&self, document: &'a Document) -> Cow<'a, Value> {
        match (document.get(self.name), self.derive) {
            (Some(stored), _) => Cow::Borrowed(stored),
            (None, Some(derive)) => Cow::Owned(derive(document)),
            (None, None) if self.form == ValueForm::Texts => Cow::Owned(json!([])),
            (None, None) => Cow::Owned(Value::Null),
        }
    }

    /// Whether a write may give it this value, as far as the text alone tells.
    fn check(&self, value: &Value) -> Result<(), GraphRefusal> {
        let invalid = |reason: &str| Err(GraphRefusal::invalid_value(self.name, reason));
        let is_good = match (self.write, self.form, value) {
            (WriteRule::ReadOnly, ..) => return Err(GraphRefusal::read_only(self.name)),
            (WriteRule::ClearOnly, _, value) => value.is_null(),
            (_, ValueForm::Upn, Value::String(text)) => match upn::parse(text) {
                Ok(_) => true,
                Err(reason) => return invalid(reason),
            },
            (_, ValueForm::Anchor, Value::String(text)) => match anchor::check(text) {
                Ok(()) => true,
                Err(reason) => return invalid(reason),
            },
            (_, ValueForm::Address, Value::String(mail)) => mail.is_ascii() && mail.contains('@'),
            (_, ValueForm::Flag, value) => value.is_boolean(),
            (_, ValueForm::Text, Value::String(_)) => true,
            (_, ValueForm::Anchor | ValueForm::Address | ValueForm::Text, value) => value.is_null(),
            (_, ValueForm::Texts, Value::Array(items)) => items.iter().all(Value::is_string),
            (_, ValueForm::Object, value) => value.is_object(),
            (_, ValueForm::Upn | ValueForm::Texts | ValueForm::Guid | ValueForm::Addresses, _) => false,
        };
        if is_good { Ok(()) } else { invalid("the value is of the wrong type or malformed") }
    }
}

/// Entities with their places in a listing; a page ends at a place and the next one begins there.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = (Slot, Cow<'a, Document>)> + 'a>;

type RowsRule = for<'a> fn(ReplicaView<'a>, &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal>;
type FindRule = for<'a> fn(ReplicaView<'a>) -> Option<Cow<'a, Document>>;
/// Properties in groups.
pub(super) type Properties = &'static [&'static [Property]];

/// A kind of entity, as one address serves it.
#[derive(Debug)]
pub(super) struct EntitySet {
    pub(super) type_name: &'static str,
    /// How descriptions name the set.
    pub(super) context: &'static str,
    /// Whether its entities tell their type.
    pub(super) is_typed: bool,
    pub(super) properties: Properties,
    /// The query options that it takes beside `$select`.
    pub(super) options: &'static [&'static str],
    /// What a request sees of the set, from a place on.
    pub(super) rows: RowsRule,
    /// The entity that the key in a request's path names.
    pub(super) find: FindRule,
}

impl EntitySet {
    /// The property that a version of Graph knows by this name; names are compared exactly.
    pub(super) fn property(&self, name: &str, version: ApiVersion) -> Result<&'static Property, GraphRefusal> {
        let mut known = self.properties.iter().copied().flatten();
        known
            .find(|property| property.name == name && (version == ApiVersion::Beta || !property.is(Trait::Beta)))
            .ok_or_else(|| GraphRefusal::unknown_property(name, self.type_name))
    }

    /// What a GET gives when nothing is selected.
    pub(super) fn default_select(&self) -> Vec<&'static Property> {
        self.properties.iter().copied().flatten().filter(|property| property.is(Trait::Shown)).collect()
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

/// Reads an id in the form with dashes, the only one that Graph takes.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    let is_long = text.len() == uuid::fmt::Hyphenated::LENGTH;
    Uuid::try_parse(text).ok().filter(|_| is_long)
}

/// A stored text; None where there is none or null.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    document.get(name)?.as_str()
}

use FilterRule::{Any, Equal, Never, Partial};
use Trait::{Beta, CloudOwned, Sensitive, Shown};
use ValueForm::{Address, Addresses, Anchor, Flag, Guid, Object, Text, Texts, Upn};
use WriteRule::{ClearOnly, ReadOnly, Secret, Writable};

const fn row(
    name: &'static str,
    form: ValueForm,
    write: WriteRule,
    filter: FilterRule,
    traits: &'static [Trait],
) -> Property {
    Property { name, form, write, filter, traits, derive: None }
}

/// Texts of which the same is to be known.
const fn texts<const N: usize>(names: [&'static str; N], write: WriteRule, traits: &'static [Trait]) -> [Property; N] {
    let mut properties = [row("", Text, write, Never, traits); N];
    let mut at = 0;
    while at < N {
        properties[at].name = names[at];
        at += 1;
    }
    properties
}

/// What of a user Graph shows unasked comes first (user-get in Microsoft's reference).
#[rustfmt::skip]
const USER: Properties = &[&[
    row("businessPhones", Texts, Writable, Never, &[Shown, Sensitive]),
    row("displayName", Text, Writable, Never, &[Shown]).derived(derive::display_name),
    row("givenName", Text, Writable, Never, &[Shown]).derived(derive::given_name),
    row("id", Guid, ReadOnly, Equal, &[Shown]),
    row("jobTitle", Text, Writable, Never, &[Shown]),
    row("mail", Address, Writable, Partial, &[Shown]),
    row("mobilePhone", Text, Writable, Never, &[Shown, Sensitive]),
    row("officeLocation", Text, Writable, Never, &[Shown]),
    row("preferredLanguage", Text, Writable, Never, &[Shown]),
    row("surname", Text, Writable, Never, &[Shown]).derived(derive::surname),
    row("userPrincipalName", Upn, Writable, Partial, &[Shown, Sensitive]),
    row("accountEnabled", Flag, Writable, Never, &[Sensitive]),
    row("lastPasswordChangeDateTime", Text, ReadOnly, Never, &[]).derived(derive::first_password),
    row("mailNickname", Text, Writable, Never, &[]).derived(derive::nickname),
    row("onPremisesImmutableId", Anchor, Writable, Equal, &[Sensitive]),
    row("onPremisesObjectIdentifier", Guid, ClearOnly, Never, &[Beta]),
    row("onPremisesProvisioningErrors", Texts, ReadOnly, Never, &[]),
    row("otherMails", Texts, Writable, Never, &[Sensitive, CloudOwned]),
    row("passwordProfile", Object, Secret, Never, &[Sensitive, CloudOwned]),
    row("proxyAddresses", Addresses, ReadOnly, Any, &[]).derived(derive::proxy_addresses),
    row("usageLocation", Text, Writable, Never, &[CloudOwned]),
    row("userType", Text, ReadOnly, Never, &[]).derived(|_| json!("Member")),
], &texts([
    "city", "companyName", "country", "department", "employeeId", "postalCode", "state", "streetAddress",
], Writable, &[]), &texts([
    "createdDateTime", "deletedDateTime", "isManagementRestricted", "onPremisesDistinguishedName", "onPremisesDomainName",
    "onPremisesLastSyncDateTime", "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled",
    "onPremisesUserPrincipalName", "signInSessionsValidFromDateTime",
], ReadOnly, &[])];

#[rustfmt::skip]
const DOMAIN: Properties = &[&texts([
    "authenticationType", "availabilityStatus", "id", "isAdminManaged", "isDefault", "isInitial", "isRoot", "isVerified",
    "passwordNotificationWindowInDays", "passwordValidityPeriodInDays", "supportedServices",
], ReadOnly, &[Shown])];

#[rustfmt::skip]
const TENANT: Properties = &[&texts([
    "displayName", "id", "onPremisesSyncEnabled", "tenantType", "verifiedDomains",
], ReadOnly, &[Shown])];

/// Who has which role.
const GRANTED: &[Property] =
    &[row("principalId", Guid, ReadOnly, Equal, &[Shown]), row("roleDefinitionId", Guid, ReadOnly, Equal, &[Shown])];

const ASSIGNMENT: Properties =
    &[GRANTED, &texts(["directoryScopeId", "id"], ReadOnly, &[Shown]), &texts(["appScopeId"], ReadOnly, &[])];

#[rustfmt::skip]
const ELIGIBILITY: Properties = &[GRANTED, &texts([
    "appScopeId", "directoryScopeId", "endDateTime", "id", "memberType", "roleEligibilityScheduleId", "startDateTime",
], ReadOnly, &[Shown])];

#[rustfmt::skip]
const RISKY_USER: Properties = &[&[row("id", Guid, ReadOnly, Equal, &[Shown])], &texts([
    "isDeleted", "isProcessing", "riskDetail", "riskLastUpdatedDateTime", "riskLevel", "riskState", "userDisplayName",
    "userPrincipalName",
], ReadOnly, &[Shown])];

const PAGED: &[&str] = &["$filter", "$top", "$skiptoken"];
const COUNTED: &[&str] = &["$filter", "$top", "$skiptoken", "$count"];
const EXPANDED: &[&str] = &["$filter", "$top", "$skiptoken", "$expand"];
/// A group's members, who are users here, cannot be filtered.
const UNFILTERED: &[&str] = &["$top", "$skiptoken", "$count"];

const fn set(
    type_name: &'static str,
    context: &'static str,
    properties: Properties,
    options: &'static [&'static str],
    rows: RowsRule,
    find: FindRule,
) -> EntitySet {
    EntitySet { type_name, context, is_typed: false, properties, options, rows, find }
}

const fn typed(set: EntitySet) -> EntitySet {
    EntitySet { is_typed: true, ..set }
}

/// Of a set whose entities have no address of their own.
const NONE: FindRule = |_| None;

pub(super) static USERS: EntitySet = set("user", "users", USER, COUNTED, users::live, users::find_live);
pub(super) static DELETED_USERS: EntitySet =
    set("user", "directoryObjects/microsoft.graph.user", USER, COUNTED, users::in_bin, NONE);
pub(super) static DELETED_USER: EntitySet =
    typed(set("user", "directoryObjects", USER, COUNTED, users::in_bin, users::find_in_bin));
pub(super) static MEMBERS: EntitySet = typed(set("user", "directoryObjects", USER, UNFILTERED, roles::members, NONE));
pub(super) static USER_MEMBERS: EntitySet = set("user", "users", USER, UNFILTERED, roles::user_members, NONE);
pub(super) static DOMAINS: EntitySet = set("domain", "domains", DOMAIN, &[], domains::rows, domains::find);
pub(super) static ORGANIZATION: EntitySet =
    set("organization", "organization", TENANT, &[], domains::organization, NONE);
pub(super) static RISKY_USERS: EntitySet =
    set("riskyUser", "identityProtection/riskyUsers", RISKY_USER, PAGED, risk::rows, risk::find);
pub(super) static ROLE_ASSIGNMENTS: EntitySet = set(
    "unifiedRoleAssignment",
    "roleManagement/directory/roleAssignments",
    ASSIGNMENT,
    EXPANDED,
    roles::assignments,
    NONE,
);
pub(super) static ROLE_ELIGIBILITIES: EntitySet = set(
    "unifiedRoleEligibilityScheduleInstance",
    "roleManagement/directory/roleEligibilityScheduleInstances",
    ELIGIBILITY,
    EXPANDED,
    roles::eligibilities,
    NONE,
);

#[cfg(test)]
mod tests {
    use super::*;

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
        let names: Vec<_> = USERS.default_select().iter().map(|property| property.name).collect();
        assert_eq!(names.len(), 11);
        assert!(names.contains(&"userPrincipalName") && names.contains(&"businessPhones"));
        assert!(!names.contains(&"onPremisesImmutableId") && !names.contains(&"accountEnabled"));
    }
}
