//! Directory roles: who holds one and who may activate one, by themselves or as a member of a role-assignable group, as the
//! lists of Microsoft's role management show it. Which role it is, and by which way somebody comes to it, hangs on the id.
//!
//! The lists tell of live users only; whether Entra shows the roles of deleted ones is not documented.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::chance;
use super::envelope::{Envelope, Head};
use super::errors::Refusal;
use super::property::Property;
use super::query::{self, Advanced, Options};
use super::reply::Reply;
use super::role_query::{Expand, RoleOptions};
use super::shape;
use super::token::SERVICE_PRINCIPAL_ID;
use super::user::{Role, User};
use super::world::{ActorRole, World};
use super::{claims, role_query};

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
pub(super) enum RoleList {
    /// Of roles that are held.
    Assignments,
    /// Of roles that can be activated.
    Eligibilities,
}

impl RoleList {
    fn name(self) -> &'static str {
        match self {
            Self::Assignments => "roleAssignments",
            Self::Eligibilities => "roleEligibilityScheduleInstances",
        }
    }

    /// What stands on the list.
    fn role(self) -> Role {
        match self {
            Self::Assignments => Role::Administrator,
            Self::Eligibilities => Role::Eligible,
        }
    }

    /// The group through which people come onto it.
    fn group(self, seed: u64) -> Uuid {
        let digest = chance::digest(seed, "role group", self.name());
        uuid::Builder::from_random_bytes(chance::first_half(&digest)).into_uuid()
    }

    fn group_name(self) -> &'static str {
        match self {
            Self::Assignments => "Exchange administrators",
            Self::Eligibilities => "Exchange administrators on call",
        }
    }
}

/// How somebody comes to a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Group,
}

fn way(user: &User) -> Way {
    if user.id.number().is_multiple_of(BY_GROUP_ONE_IN) {
        Way::Group
    } else {
        Way::Direct
    }
}

/// Who has a role.
#[derive(Debug, Clone, Copy)]
pub(super) enum Principal<'a> {
    User(&'a User),
    Group {
        id: Uuid,
        name: &'static str,
    },
    Service {
        id: &'static str,
        name: &'static str,
    },
}

impl Principal<'_> {
    fn id(&self) -> Uuid {
        match self {
            Self::User(user) => user.id.uuid(),
            Self::Group { id, .. } => *id,
            Self::Service { id, .. } => constant(id),
        }
    }

    /// The principal in its own words, with what is selected of it, as far as its kind has that.
    fn to_json(self, expand: &Expand) -> Value {
        let (kind, mut all) = match self {
            Self::User(user) => ("user", user_values(user, expand)),
            Self::Group { id, name } => ("group", named_values(&id.to_string(), name)),
            Self::Service { id, name } => ("servicePrincipal", named_values(id, name)),
        };
        if let Some(names) = &expand.select {
            all.retain(|name, _| names.iter().any(|selected| selected == name));
        }
        let kind = json!(format!("#microsoft.graph.{kind}"));
        all.insert("@odata.type".to_owned(), kind);
        Value::Object(all)
    }
}

fn user_values(user: &User, expand: &Expand) -> Map<String, Value> {
    let properties = match &expand.select {
        None => Property::default_set(),
        Some(names) => names
            .iter()
            .filter_map(|name| Property::parse(name, expand.version))
            .collect(),
    };
    properties
        .into_iter()
        .map(|property| (property.name().to_owned(), shape::value(user, property)))
        .collect()
}

fn named_values(id: &str, name: &str) -> Map<String, Value> {
    let values = [("id", id), ("displayName", name)];
    values
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .into_iter()
        .collect()
}

/// A role that somebody has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant<'a> {
    principal: Principal<'a>,
    pub(super) principal_id: Uuid,
    pub(super) role: &'static str,
}

impl<'a> Grant<'a> {
    fn new(principal: Principal<'a>, role: &'static str) -> Self {
        Self {
            principal,
            principal_id: principal.id(),
            role,
        }
    }

    fn to_json(self, list: RoleList, options: &RoleOptions) -> Value {
        let (principal, role) = (self.principal_id, self.role);
        let mut all = match list {
            RoleList::Assignments => json!({
                "id": role_query::grant_id(constant(role), principal, ""),
                "principalId": principal,
                "directoryScopeId": "/",
                "roleDefinitionId": role,
            }),
            RoleList::Eligibilities => json!({
                "id": role_query::grant_id(constant(role), principal, "-e"),
                "principalId": principal,
                "roleDefinitionId": role,
                "directoryScopeId": "/",
                "appScopeId": null,
                "startDateTime": ELIGIBLE_SINCE,
                "endDateTime": null,
                "memberType": "Direct",
                "roleEligibilityScheduleId": schedule_id(role, principal),
            }),
        };
        if let (Some(names), Value::Object(all)) = (&options.select, &mut all) {
            all.retain(|name, _| names.iter().any(|selected| selected == name));
        }
        if let Some(expand) = &options.expand {
            all["principal"] = self.principal.to_json(expand);
        }
        all
    }
}

/// One of the ids in this file, which are all well-formed.
fn constant(id: &str) -> Uuid {
    Uuid::try_parse(id).unwrap_or_default()
}

fn schedule_id(role: &str, principal: Uuid) -> Uuid {
    let digest = chance::digest(0, role, &principal.to_string());
    uuid::Builder::from_random_bytes(chance::first_half(&digest)).into_uuid()
}

/// A page of one of the lists.
pub(super) fn list(
    world: &World,
    list: RoleList,
    envelope: Envelope<'_>,
) -> Result<Reply, Refusal> {
    let options = RoleOptions::parse(&envelope.call.pairs, list, envelope.call.version())?;
    let from = usize::try_from(options.from).unwrap_or(usize::MAX);
    let mut found = grants(world, list)
        .filter(|grant| {
            options
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(grant))
        })
        .skip(from);
    let shown: Vec<_> = found.by_ref().take(options.page_size).collect();
    let after = from.saturating_add(shown.len());
    let head = Head {
        set: format!(
            "roleManagement/directory/{}{}",
            list.name(),
            options.described()
        ),
        count: None,
        next: found.next().and_then(|_| u32::try_from(after).ok()),
    };
    Ok(envelope.page(&head, shown, |out, grant| {
        out.extend_from_slice(grant.to_json(list, &options).to_string().as_bytes());
    }))
}

/// Everything on a list: service principals, the group, and then people.
fn grants(world: &World, list: RoleList) -> impl Iterator<Item = Grant<'_>> {
    let group = Principal::Group {
        id: list.group(world.seed),
        name: list.group_name(),
    };
    let services = match list {
        RoleList::Assignments => service_grants(world.app_role),
        RoleList::Eligibilities => Vec::new(),
    };
    let people = world
        .directory
        .privileged()
        .filter(move |user| user.role == list.role() && way(user) == Way::Direct);
    services
        .into_iter()
        .chain([Grant::new(group, GROUP_ROLE)])
        .chain(people.map(|user| Grant::new(Principal::User(user), own_role(user))))
}

fn service_grants(app_role: ActorRole) -> Vec<Grant<'static>> {
    let synchronization = Principal::Service {
        id: SYNCHRONIZATION_PRINCIPAL_ID,
        name: "ConnectSyncProvisioning",
    };
    let app = Principal::Service {
        id: SERVICE_PRINCIPAL_ID,
        name: "Migration",
    };
    let held: &[&str] = match app_role {
        ActorRole::Nothing => &[],
        ActorRole::Administrator => &[
            claims::PRIVILEGED_AUTHENTICATION_ADMINISTRATOR,
            claims::HYBRID_IDENTITY_ADMINISTRATOR,
        ],
    };
    let of_app = held.iter().map(|role| Grant::new(app, role));
    std::iter::once(Grant::new(synchronization, SYNCHRONIZATION_ACCOUNTS))
        .chain(of_app)
        .collect()
}

fn own_role(user: &User) -> &'static str {
    let place = user.id.number() / BY_GROUP_ONE_IN;
    ROLES[usize::try_from(place).unwrap_or_default() % ROLES.len()]
}

/// A page of a group's members. With the cast to users Graph demands an advanced query.
pub(super) fn members(
    world: &World,
    group: Uuid,
    cast: bool,
    envelope: Envelope<'_>,
) -> Result<Reply, Refusal> {
    let options = envelope.call.options()?;
    if cast && options.advanced == Advanced::No {
        return Err(Refusal::UnsupportedQuery(
            "The cast to a type needs the header ConsistencyLevel: eventual and $count=true."
                .to_owned(),
        ));
    }
    if options.filter.is_some() {
        return Err(Refusal::UnsupportedQuery(
            "The simulated tenant does not support $filter here.".to_owned(),
        ));
    }
    let list = [RoleList::Assignments, RoleList::Eligibilities]
        .into_iter()
        .find(|list| list.group(world.seed) == group)
        .ok_or_else(|| Refusal::NotFound(group.to_string()))?;
    Ok(members_page(world, list, cast, &options, envelope))
}

fn members_page(
    world: &World,
    list: RoleList,
    cast: bool,
    options: &Options,
    envelope: Envelope<'_>,
) -> Reply {
    let members = || {
        let people = world.directory.privileged();
        people.filter(|user| user.role == list.role() && way(user) == Way::Group)
    };
    let from = usize::try_from(options.from).unwrap_or(usize::MAX);
    let shown: Vec<_> = members().skip(from).take(options.page_size()).collect();
    let after = from.saturating_add(shown.len());
    let is_first = options.advanced == Advanced::Yes && options.from == 0;
    let set = if cast { "users" } else { "directoryObjects" };
    let head = Head {
        set: query::described(set, options),
        count: is_first.then(|| members().count()),
        next: members().nth(after).and_then(|_| u32::try_from(after).ok()),
    };
    envelope.page(&head, shown, |out, user| {
        let kind: &[u8] = if cast {
            b"{"
        } else {
            b"{\"@odata.type\":\"#microsoft.graph.user\","
        };
        out.extend_from_slice(kind);
        shape::write_properties(out, user, &options.select);
        out.push(b'}');
    })
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
