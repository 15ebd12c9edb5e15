//! The schema: every entity set that the tenant serves, with its properties by Graph's names and what may be done with each.
//! Reads, `$select`, `$filter`, the bodies of writes and their refusals all follow from these tables. A name that is not here
//! is refused, as Graph refuses an unknown one; Graph itself knows some more.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::refusal::GraphRefusal;
use super::rules::derive;
use super::{anchor, upn};

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

/// A property of an entity set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) form: ValueForm,
    pub(super) write: WriteRule,
    pub(super) filter: FilterRule,
    /// What it is unless something is stored.
    derive: Option<fn(&Document) -> Value>,
    /// A GET without `$select` shows it.
    is_default: bool,
    is_beta: bool,
    /// Changing it on an administrator takes a higher role (users resource page, "sensitive actions").
    pub(super) is_sensitive: bool,
    /// The cloud owns it even when the rest of the account comes from an on-premises directory.
    pub(super) is_cloud_owned: bool,
}

impl PartialEq for Property {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Property {
    const fn new(name: &'static str, form: ValueForm, write: WriteRule) -> Self {
        Self {
            name,
            form,
            write,
            filter: FilterRule::Never,
            derive: None,
            is_default: false,
            is_beta: false,
            is_sensitive: false,
            is_cloud_owned: false,
        }
    }

    const fn text(name: &'static str) -> Self {
        Self::new(name, ValueForm::Text, WriteRule::Writable)
    }

    const fn texts(name: &'static str) -> Self {
        Self::new(name, ValueForm::Texts, WriteRule::Writable)
    }

    /// One that the service writes itself.
    const fn fixed(name: &'static str) -> Self {
        Self::new(name, ValueForm::Text, WriteRule::ReadOnly)
    }

    const fn guid(name: &'static str) -> Self {
        Self::new(name, ValueForm::Guid, WriteRule::ReadOnly).filter(FilterRule::Equal)
    }

    const fn shown(mut self) -> Self {
        self.is_default = true;
        self
    }

    const fn beta(mut self) -> Self {
        self.is_beta = true;
        self
    }

    const fn sensitive(mut self) -> Self {
        self.is_sensitive = true;
        self
    }

    const fn cloud_owned(mut self) -> Self {
        self.is_cloud_owned = true;
        self
    }

    const fn filter(mut self, filter: FilterRule) -> Self {
        self.filter = filter;
        self
    }

    const fn derived(mut self, derive: fn(&Document) -> Value) -> Self {
        self.derive = Some(derive);
        self
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

/// A kind of entity, as one address serves it.
#[derive(Debug)]
pub(super) struct EntitySet {
    pub(super) type_name: &'static str,
    pub(super) properties: &'static [Property],
    /// The query options that it takes beside `$select`.
    pub(super) options: &'static [&'static str],
}

impl EntitySet {
    const fn new(type_name: &'static str, properties: &'static [Property], options: &'static [&'static str]) -> Self {
        Self { type_name, properties, options }
    }

    /// The property that a version of Graph knows by this name; names are compared exactly.
    pub(super) fn property(&self, name: &str, version: ApiVersion) -> Result<&'static Property, GraphRefusal> {
        let mut known = self.properties.iter();
        known
            .find(|property| property.name == name && (version == ApiVersion::Beta || !property.is_beta))
            .ok_or_else(|| GraphRefusal::unknown_property(name, self.type_name))
    }

    /// What a GET gives when nothing is selected.
    pub(super) fn default_select(&self) -> Vec<&'static Property> {
        self.properties.iter().filter(|property| property.is_default).collect()
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
pub(super) fn object(body: &[u8]) -> Result<Document, GraphRefusal> {
    if body.is_empty() {
        return Err(GraphRefusal::bad_request("Empty payload: a JSON object is expected."));
    }
    serde_json::from_slice(body)
        .map_err(|error| GraphRefusal::bad_request(format!("The body is not a JSON object: {error}.")))
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

const EQUAL: FilterRule = FilterRule::Equal;
const PARTIAL: FilterRule = FilterRule::Partial;
const ANY: FilterRule = FilterRule::Any;

/// The default set comes first (user-get in Microsoft's reference).
#[rustfmt::skip]
const USER: &[Property] = &[
    Property::texts("businessPhones").shown().sensitive(),
    Property::text("displayName").shown().derived(derive::display_name),
    Property::text("givenName").shown().derived(derive::given_name),
    Property::guid("id").shown(),
    Property::text("jobTitle").shown(),
    Property::new("mail", ValueForm::Address, WriteRule::Writable).shown().filter(PARTIAL),
    Property::text("mobilePhone").shown().sensitive(),
    Property::text("officeLocation").shown(),
    Property::text("preferredLanguage").shown(),
    Property::text("surname").shown().derived(derive::surname),
    Property::new("userPrincipalName", ValueForm::Upn, WriteRule::Writable).shown().sensitive().filter(PARTIAL),
    Property::new("accountEnabled", ValueForm::Flag, WriteRule::Writable).sensitive(),
    Property::text("city"),
    Property::text("companyName"),
    Property::text("country"),
    Property::fixed("createdDateTime"),
    Property::fixed("deletedDateTime"),
    Property::text("department"),
    Property::text("employeeId"),
    Property::fixed("isManagementRestricted"),
    Property::fixed("lastPasswordChangeDateTime").derived(derive::first_password),
    Property::text("mailNickname").derived(derive::nickname),
    Property::fixed("onPremisesDistinguishedName"),
    Property::fixed("onPremisesDomainName"),
    Property::new("onPremisesImmutableId", ValueForm::Anchor, WriteRule::Writable).sensitive().filter(EQUAL),
    Property::fixed("onPremisesLastSyncDateTime"),
    Property::new("onPremisesObjectIdentifier", ValueForm::Guid, WriteRule::ClearOnly).beta(),
    Property::new("onPremisesProvisioningErrors", ValueForm::Texts, WriteRule::ReadOnly),
    Property::fixed("onPremisesSamAccountName"),
    Property::fixed("onPremisesSecurityIdentifier"),
    Property::fixed("onPremisesSyncEnabled"),
    Property::fixed("onPremisesUserPrincipalName"),
    Property::texts("otherMails").sensitive().cloud_owned(),
    Property::new("passwordProfile", ValueForm::Object, WriteRule::Secret).sensitive().cloud_owned(),
    Property::text("postalCode"),
    Property::new("proxyAddresses", ValueForm::Addresses, WriteRule::ReadOnly).filter(ANY).derived(derive::proxy_addresses),
    Property::fixed("signInSessionsValidFromDateTime"),
    Property::text("state"),
    Property::text("streetAddress"),
    Property::text("usageLocation").cloud_owned(),
    Property::fixed("userType").derived(|_| json!("Member")),
];

const DOMAIN: &[Property] = &shown([
    "authenticationType",
    "availabilityStatus",
    "id",
    "isAdminManaged",
    "isDefault",
    "isInitial",
    "isRoot",
    "isVerified",
    "passwordNotificationWindowInDays",
    "passwordValidityPeriodInDays",
    "supportedServices",
]);

const TENANT: &[Property] = &shown(["displayName", "id", "onPremisesSyncEnabled", "tenantType", "verifiedDomains"]);

const ASSIGNMENT: &[Property] = &[
    Property::fixed("appScopeId"),
    Property::fixed("directoryScopeId").shown(),
    Property::fixed("id").shown(),
    Property::guid("principalId").shown(),
    Property::guid("roleDefinitionId").shown(),
];

const ELIGIBILITY: &[Property] = &[
    Property::fixed("appScopeId").shown(),
    Property::fixed("directoryScopeId").shown(),
    Property::fixed("endDateTime").shown(),
    Property::fixed("id").shown(),
    Property::fixed("memberType").shown(),
    Property::guid("principalId").shown(),
    Property::guid("roleDefinitionId").shown(),
    Property::fixed("roleEligibilityScheduleId").shown(),
    Property::fixed("startDateTime").shown(),
];

const RISKY_USER: &[Property] = &[
    Property::guid("id").shown(),
    Property::fixed("isDeleted").shown(),
    Property::fixed("isProcessing").shown(),
    Property::fixed("riskDetail").shown(),
    Property::fixed("riskLastUpdatedDateTime").shown(),
    Property::fixed("riskLevel").shown(),
    Property::fixed("riskState").shown(),
    Property::fixed("userDisplayName").shown(),
    Property::fixed("userPrincipalName").shown(),
];

/// Properties that the service writes itself and every GET shows.
const fn shown<const N: usize>(names: [&'static str; N]) -> [Property; N] {
    let mut properties = [Property::fixed("").shown(); N];
    let mut at = 0;
    while at < N {
        properties[at].name = names[at];
        at += 1;
    }
    properties
}

const PAGED: &[&str] = &["$filter", "$top", "$skiptoken"];
const COUNTED: &[&str] = &["$filter", "$top", "$skiptoken", "$count"];
const EXPANDED: &[&str] = &["$filter", "$top", "$skiptoken", "$expand"];
/// A group's members, who are users here, cannot be filtered.
const UNFILTERED: &[&str] = &["$top", "$skiptoken", "$count"];

pub(super) static USERS: EntitySet = EntitySet::new("user", USER, COUNTED);
pub(super) static MEMBERS: EntitySet = EntitySet::new("user", USER, UNFILTERED);
pub(super) static DOMAINS: EntitySet = EntitySet::new("domain", DOMAIN, &[]);
pub(super) static ORGANIZATION: EntitySet = EntitySet::new("organization", TENANT, &[]);
pub(super) static RISKY_USERS: EntitySet = EntitySet::new("riskyUser", RISKY_USER, PAGED);
pub(super) static ROLE_ASSIGNMENTS: EntitySet = EntitySet::new("unifiedRoleAssignment", ASSIGNMENT, EXPANDED);
pub(super) static ROLE_ELIGIBILITIES: EntitySet =
    EntitySet::new("unifiedRoleEligibilityScheduleInstance", ELIGIBILITY, EXPANDED);

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
