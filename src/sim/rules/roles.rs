//! Directory roles: who holds one and who may activate one, by themselves or as a member of a role-assignable group, as the
//! lists of Microsoft's role management show it. Which role it is, and by which way somebody comes to it, hangs on the id.
//!
//! The lists tell of live users only; whether Entra shows the roles of deleted ones is not documented.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::domains::fields;
use super::users::{self, DirectoryRole};
use crate::sim::chance;
use crate::sim::claims;
use crate::sim::odata::{Advanced, NAVIGATION, ODataQuery};
use crate::sim::operation::{GraphOperation, Shown};
use crate::sim::refusal::GraphRefusal;
use crate::sim::reply::GraphReply;
use crate::sim::schema::{
    ApiVersion, Document, EntitySet, MEMBERS, Property, ROLE_ASSIGNMENTS, ROLE_ELIGIBILITIES, USERS,
};
use crate::sim::tenant::{ActorRole, Tenant};
use crate::sim::token::SERVICE_PRINCIPAL_ID;

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
    claims::PRIVILEGED_AUTHENTICATION_ADMINISTRATOR,
    "194ae4cb-b126-40b2-bd5b-6091b380977d",
    GROUP_ROLE,
];
/// When everybody's eligibility began.
const ELIGIBLE_SINCE: &str = "2026-01-05T08:00:00Z";

/// The two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoleList {
    /// Of roles that are held.
    Assignments,
    /// Of roles that can be activated.
    Eligibilities,
}

impl RoleList {
    const ALL: [Self; 2] = [Self::Assignments, Self::Eligibilities];

    fn set(self) -> (&'static str, &'static EntitySet) {
        match self {
            Self::Assignments => ("roleAssignments", &ROLE_ASSIGNMENTS),
            Self::Eligibilities => ("roleEligibilityScheduleInstances", &ROLE_ELIGIBILITIES),
        }
    }

    /// What those on the list have.
    fn role(self) -> DirectoryRole {
        match self {
            Self::Assignments => DirectoryRole::Holder,
            Self::Eligibilities => DirectoryRole::Eligible,
        }
    }

    /// The group through which people come onto it.
    fn group(self, seed: u64) -> Uuid {
        chance::uuid(chance::first_half(&chance::digest(seed, "role group", self.set().0)))
    }

    fn group_name(self) -> &'static str {
        match self {
            Self::Assignments => "Exchange administrators",
            Self::Eligibilities => "Exchange administrators on call",
        }
    }

    /// People on the list, by themselves or through its group.
    fn people(self, tenant: &Tenant, by_group: bool) -> impl Iterator<Item = &Document> {
        let privileged = tenant.users.privileged();
        privileged.filter(move |user| {
            users::role(user) == self.role() && users::number(user).is_multiple_of(BY_GROUP_ONE_IN) == by_group
        })
    }
}

/// Who has a role.
#[derive(Debug, Clone, Copy)]
enum RolePrincipal<'a> {
    User(&'a Document),
    Group(Uuid, &'static str),
    Service(&'static str, &'static str),
}

impl RolePrincipal<'_> {
    fn id(&self) -> Uuid {
        match self {
            Self::User(user) => users::id(user),
            Self::Group(id, _) => *id,
            Self::Service(id, _) => constant(id),
        }
    }

    /// The principal in its own words, with what is selected of it, as far as its kind has that.
    fn shown(self, selected: Option<&Vec<String>>, version: ApiVersion) -> Value {
        let known = |name: &String| USERS.property(name, version).ok();
        let (kind, mut all) = match self {
            Self::User(user) => {
                let properties: Vec<&Property> = match selected {
                    None => USERS.default_select(),
                    Some(names) => names.iter().filter_map(known).collect(),
                };
                let values = properties.into_iter();
                let values = values.map(|property| (property.name.to_owned(), property.value(user).into_owned()));
                ("user", values.collect())
            }
            Self::Group(id, name) => ("group", fields(json!({"id": id, "displayName": name}))),
            Self::Service(id, name) => ("servicePrincipal", fields(json!({"id": id, "displayName": name}))),
        };
        all.retain(|name, _| selected.is_none_or(|names| names.contains(name)));
        all.insert("@odata.type".to_owned(), json!(format!("#microsoft.graph.{kind}")));
        Value::Object(all)
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
fn grant(list: RoleList, principal: Uuid, role: &str) -> Document {
    fields(match list {
        RoleList::Assignments => json!({
            "id": grant_id(role, principal, ""),
            "principalId": principal,
            "directoryScopeId": "/",
            "roleDefinitionId": role,
        }),
        RoleList::Eligibilities => json!({
            "id": grant_id(role, principal, "-e"),
            "principalId": principal,
            "roleDefinitionId": role,
            "directoryScopeId": "/",
            "startDateTime": ELIGIBLE_SINCE,
            "memberType": "Direct",
            "roleEligibilityScheduleId":
                chance::uuid(chance::first_half(&chance::digest(0, role, &principal.to_string()))),
        }),
    })
}

/// Everything on a list: service principals, the group, and then people.
fn holders(tenant: &Tenant, list: RoleList) -> impl Iterator<Item = (RolePrincipal<'_>, &'static str)> {
    let group = RolePrincipal::Group(list.group(tenant.seed), list.group_name());
    let services = match list {
        RoleList::Assignments => service_holders(tenant.app_role),
        RoleList::Eligibilities => Vec::new(),
    };
    let people = list.people(tenant, false).map(|user| (RolePrincipal::User(user), own_role(user)));
    services.into_iter().chain([(group, GROUP_ROLE)]).chain(people)
}

fn service_holders(app_role: ActorRole) -> Vec<(RolePrincipal<'static>, &'static str)> {
    let synchronization = RolePrincipal::Service(SYNCHRONIZATION_PRINCIPAL_ID, "ConnectSyncProvisioning");
    let app = RolePrincipal::Service(SERVICE_PRINCIPAL_ID, "Migration");
    let mut held = vec![(synchronization, SYNCHRONIZATION_ACCOUNTS)];
    if app_role == ActorRole::Administrator {
        held.push((app, claims::PRIVILEGED_AUTHENTICATION_ADMINISTRATOR));
        held.push((app, claims::HYBRID_IDENTITY_ADMINISTRATOR));
    }
    held
}

fn own_role(user: &Document) -> &'static str {
    let place = users::number(user) / BY_GROUP_ONE_IN;
    ROLES[usize::try_from(place).unwrap_or_default() % ROLES.len()]
}

pub(crate) fn assignments(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    list_page(operation, RoleList::Assignments)
}

pub(crate) fn eligibilities(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    list_page(operation, RoleList::Eligibilities)
}

fn list_page(operation: &GraphOperation<'_>, list: RoleList) -> Result<GraphReply, GraphRefusal> {
    let (name, set) = list.set();
    let query = operation.query(set)?;
    let entries = holders(operation.tenant, list).map(|(principal, role)| {
        let mut entry = grant(list, principal.id(), role);
        if let Some(selected) = &query.expand {
            let shown = principal.shown(selected.as_ref(), operation.call.version());
            entry.insert(NAVIGATION.to_owned(), shown);
        }
        entry
    });
    let found = entries.filter(|entry| query.filter.as_ref().is_none_or(|filter| filter.matches(entry)));
    let set = format!("roleManagement/directory/{name}");
    Ok(operation.page(&set, &query, None, Shown::Plain, numbered(found, &query)))
}

/// Rows with their places, from where a page begins.
fn numbered<D>(rows: impl Iterator<Item = D>, query: &ODataQuery) -> impl Iterator<Item = (u32, D)> {
    (0..).zip(rows).skip(usize::try_from(query.from).unwrap_or(usize::MAX))
}

pub(crate) fn members(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    let query = operation.query(&MEMBERS)?;
    members_page(operation, &query, "directoryObjects", Shown::Typed("user"))
}

/// With the cast to users Graph demands an advanced query.
pub(crate) fn user_members(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    let query = operation.query(&MEMBERS)?;
    if query.advanced == Advanced::No {
        return Err(GraphRefusal::unsupported(
            "The cast to a type needs the header ConsistencyLevel: eventual and $count=true.",
        ));
    }
    members_page(operation, &query, "users", Shown::Plain)
}

fn members_page(
    operation: &GraphOperation<'_>,
    query: &ODataQuery,
    set: &str,
    shown: Shown,
) -> Result<GraphReply, GraphRefusal> {
    let (tenant, group) = (&*operation.tenant, operation.id());
    let list = RoleList::ALL.into_iter().find(|list| list.group(tenant.seed) == group);
    let list = list.ok_or_else(|| GraphRefusal::not_found(group))?;
    let is_counted = query.advanced == Advanced::Yes && query.from == 0;
    let count = is_counted.then(|| list.people(tenant, true).count());
    Ok(operation.page(set, query, count, shown, numbered(list.people(tenant, true), query)))
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
