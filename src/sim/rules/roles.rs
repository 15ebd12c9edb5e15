//! Directory roles: who holds one and who may activate one, by themselves or as a member of a role-assignable group, as the
//! lists of Microsoft's role management show it. Which role it is, and by which way somebody comes to it, hangs on the id.
//!
//! The lists tell of live users only; whether Entra shows the roles of deleted ones is not documented.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sim::document::{fields, parse_id};
use crate::sim::odata::NAVIGATION;
use crate::sim::schema::Property;
use crate::sim::user::{self, DirectoryRole};
use crate::sim::{
    ApiVersion, Document, GraphRefusal, ODataQuery, ReplicaView, Rows, SERVICE_PRINCIPAL_ID, Tenant, USERS, chance,
    token,
};

/// One in this many comes to a role as a member of a group.
const BY_GROUP_ONE_IN: u32 = 3;
/// The role of directory synchronisation's own service principal.
const SYNCHRONIZATION_ACCOUNTS: &str = "d29b2b05-8046-44ba-8758-1e26182fcf32";
/// That service principal.
const SYNCHRONIZATION_PRINCIPAL_ID: &str = "51a1a7ed-0002-4000-8000-00000000a99b";
/// Exchange Administrator: the role that the groups have.
const GROUP_ROLE: &str = "29232cdf-9323-42fd-ade2-1d097af3e4de";
/// Global Administrator, Privileged Authentication Administrator, Security Administrator and Exchange Administrator: only
/// roles that take a role to act on.
const ROLES: [&str; 4] = [
    "62e90394-69f5-4237-9190-012177145e10",
    token::PRIVILEGED_AUTHENTICATION_ADMINISTRATOR,
    "194ae4cb-b126-40b2-bd5b-6091b380977d",
    GROUP_ROLE,
];
/// When everybody's eligibility began.
const ELIGIBLE_SINCE: &str = "2026-01-05T08:00:00Z";

/// A list of Microsoft's role management.
#[derive(Debug, PartialEq, Eq)]
struct RoleList {
    /// What those on the list have.
    role: DirectoryRole,
    /// What the id of its group is drawn from, and the group's name.
    group: (&'static str, &'static str),
    /// How the ids of its entries end.
    suffix: &'static str,
}

static ASSIGNMENTS: RoleList =
    RoleList { role: DirectoryRole::Holder, group: ("roleAssignments", "Exchange administrators"), suffix: "" };
static ELIGIBILITIES: RoleList = RoleList {
    role: DirectoryRole::Eligible,
    group: ("roleEligibilityScheduleInstances", "Exchange administrators on call"),
    suffix: "-e",
};

impl RoleList {
    /// The group through which people come onto it.
    fn group_id(&self, seed: u64) -> Uuid {
        chance::id(seed, "role group", self.group.0)
    }

    /// People on the list, by themselves or through its group.
    fn people<'a>(&self, tenant: &'a Tenant, by_group: bool) -> impl Iterator<Item = &'a Document> + use<'a> {
        let role = self.role;
        tenant.users.privileged().filter(move |user| {
            user::role(user) == role && user::number(user).is_multiple_of(BY_GROUP_ONE_IN) == by_group
        })
    }
}

/// Who has a role: a user, or somebody of another kind of whom an id and a name are known.
#[derive(Debug, Clone)]
struct RolePrincipal<'a> {
    kind: &'static str,
    document: Cow<'a, Document>,
}

impl RolePrincipal<'_> {
    fn other(kind: &'static str, id: Uuid, name: &str) -> Self {
        Self { kind, document: Cow::Owned(fields(json!({"id": id, "displayName": name}))) }
    }

    /// The principal in its own words, with what is selected of it, as far as its kind has that.
    fn shown(&self, selected: Option<&Vec<String>>, version: ApiVersion) -> Value {
        let properties: Vec<&Property> = match selected {
            None => USERS.default_select(),
            Some(names) => names.iter().filter_map(|name| USERS.property(name, version).ok()).collect(),
        };
        let has = |property: &&Property| self.kind == "user" || self.document.contains_key(&property.name);
        let values = properties.into_iter().filter(has);
        let values = values.map(|property| (property.name.clone(), property.value(&self.document).into_owned()));
        let mut shown: Document = values.collect();
        shown.insert("@odata.type".to_owned(), json!(format!("#microsoft.graph.{}", self.kind)));
        Value::Object(shown)
    }
}

/// One of the ids in this file, which are all well-formed.
fn constant(id: &str) -> Uuid {
    Uuid::try_parse(id).unwrap_or_default()
}

/// The id of an entry, as Entra makes it: the octets of both ids, and how often and in which list it stands.
fn grant_id(role: &str, principal: Uuid, suffix: &str) -> String {
    let octets = [constant(role).to_bytes_le(), principal.to_bytes_le()].concat();
    format!("{}-1{suffix}", URL_SAFE_NO_PAD.encode(octets))
}

/// An entry of a list.
fn grant(list: &RoleList, principal: Uuid, role: &str) -> Document {
    let mut entry = fields(json!({
        "id": grant_id(role, principal, list.suffix),
        "principalId": principal,
        "directoryScopeId": "/",
        "roleDefinitionId": role,
    }));
    if *list == ELIGIBILITIES {
        let schedule = chance::id(0, role, &principal.to_string());
        entry.insert("startDateTime".into(), json!(ELIGIBLE_SINCE));
        entry.insert("memberType".into(), json!("Direct"));
        entry.insert("roleEligibilityScheduleId".into(), json!(schedule));
    }
    entry
}

/// Everything on a list: service principals, the group, and then people.
fn holders<'a>(
    tenant: &'a Tenant,
    list: &RoleList,
) -> impl Iterator<Item = (RolePrincipal<'a>, &'static str)> + use<'a> {
    let group = RolePrincipal::other("group", list.group_id(tenant.seed), list.group.1);
    let services = if *list == ASSIGNMENTS { service_holders(tenant.app_is_administrator) } else { Vec::new() };
    let people = list
        .people(tenant, false)
        .map(|user| (RolePrincipal { kind: "user", document: Cow::Borrowed(user) }, own_role(user)));
    services.into_iter().chain([(group, GROUP_ROLE)]).chain(people)
}

fn service_holders(app_is_administrator: bool) -> Vec<(RolePrincipal<'static>, &'static str)> {
    let service = |id, name| RolePrincipal::other("servicePrincipal", constant(id), name);
    let mut held = vec![(service(SYNCHRONIZATION_PRINCIPAL_ID, "ConnectSyncProvisioning"), SYNCHRONIZATION_ACCOUNTS)];
    if app_is_administrator {
        let app = service(SERVICE_PRINCIPAL_ID, "Migration");
        held.push((app.clone(), token::PRIVILEGED_AUTHENTICATION_ADMINISTRATOR));
        held.push((app, token::HYBRID_IDENTITY_ADMINISTRATOR));
    }
    held
}

fn own_role(user: &Document) -> &'static str {
    let place = user::number(user) / BY_GROUP_ONE_IN;
    ROLES[usize::try_from(place).unwrap_or_default() % ROLES.len()]
}

pub(crate) fn assignments<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    entries(&ASSIGNMENTS, view, query)
}

pub(crate) fn eligibilities<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    entries(&ELIGIBILITIES, view, query)
}

fn entries<'a>(
    list: &'static RoleList,
    view: ReplicaView<'a>,
    query: &'a ODataQuery,
) -> Result<Rows<'a>, GraphRefusal> {
    let entries = holders(view.tenant, list).map(move |(principal, role)| {
        let mut entry = grant(list, user::id(&principal.document), role);
        if let Some(selected) = &query.expand {
            entry.insert(NAVIGATION.to_owned(), principal.shown(selected.as_ref(), view.version));
        }
        Cow::Owned(entry)
    });
    let found = entries.filter(|entry| query.filter.as_ref().is_none_or(|filter| filter.matches(entry)));
    Ok(numbered(found, query))
}

/// Rows with their places, from where a page begins.
fn numbered<'a>(rows: impl Iterator<Item = Cow<'a, Document>> + 'a, query: &ODataQuery) -> Rows<'a> {
    Box::new((0..).zip(rows).skip(usize::try_from(query.from).unwrap_or(usize::MAX)))
}

pub(crate) fn members<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    let group = parse_id(view.key);
    let list = [&ASSIGNMENTS, &ELIGIBILITIES].into_iter().find(|list| Some(list.group_id(view.tenant.seed)) == group);
    let list = list.ok_or_else(|| GraphRefusal::not_found(view.key))?;
    Ok(numbered(list.people(view.tenant, true).map(Cow::Borrowed), query))
}

/// With the cast to users Graph demands an advanced query.
pub(crate) fn user_members<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    if !query.is_advanced {
        return Err(GraphRefusal::unsupported(
            "The cast to a type needs the header ConsistencyLevel: eventual and $count=true.",
        ));
    }
    members(view, query)
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
