//! The rules of users: which writes are allowed and what they make of a user; UPNs and ImmutableIDs in federated domains,
//! the recycle bin, addresses that nobody else may have, accounts that an on-premises directory is the master of.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::domains::DomainKind;
use crate::sim::document::parse_id;
use crate::sim::permission::{self, CLEAR_IDENTIFIER};
use crate::sim::schema::{DELETED_USER, Property, WriteRule, parameters};
use crate::sim::store::keys;
use crate::sim::user::{
    DirectoryRole, IDENTIFIER, MAIL, UPN, anchor, deleted, document, home_upn, id, role, set_synced, synced, upn,
};
use crate::sim::{
    Collection, Document, GraphOperation, GraphRefusal, GraphReply, ODataQuery, PlannedWrite, ReplicaView, Rows,
    SimTime, Slot, Tenant, USERS, chance, upn,
};

/// What a creation must say at least (user-post-users in Microsoft's reference).
const REQUIRED_FOR_CREATION: [&str; 5] =
    ["accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"];

/// Who asks for a write, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserActor {
    /// Holds the directory roles that acting on administrators and clearing an on-premises identifier take.
    pub(crate) is_administrator: bool,
    pub(crate) at: SimTime,
}

pub(crate) fn live<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    Ok(view.rows(Collection::Live, query.filter.as_ref(), query.from))
}

pub(crate) fn in_bin<'a>(view: ReplicaView<'a>, query: &'a ODataQuery) -> Result<Rows<'a>, GraphRefusal> {
    Ok(view.rows(Collection::Deleted, query.filter.as_ref(), query.from))
}

pub(crate) fn list_untyped(_: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    Err(GraphRefusal::bad_request(
        "The listing of deleted items needs a type, such as /directory/deletedItems/microsoft.graph.user.",
    ))
}

pub(crate) fn create(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    // Read first, as everything that can refuse a request must come before its write.
    let query = operation.query(&USERS)?;
    let change = USERS.assignments(operation.call.json_body()?, operation.call.version())?;
    let planned = plan_create(operation.tenant, operation.actor(), &change, operation.tenant.writes.next_seq())?;
    let id = planned.id;
    operation.write(planned)?;
    Ok(operation.entity(StatusCode::CREATED, &USERS, &query, present(operation.tenant, id)?))
}

pub(crate) fn patch(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    let change = USERS.assignments(operation.call.json_body()?, operation.call.version())?;
    if clears_identifier(&change) {
        permission::check_any(&operation.rights.permissions, CLEAR_IDENTIFIER)?;
    }
    operation.write(plan_patch(operation.tenant, operation.actor(), operation.key, &change)?)
}

pub(crate) fn delete(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    operation.write(plan_delete(operation.tenant, operation.actor(), operation.key)?)
}

pub(crate) fn purge(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    operation.write(plan_purge(operation.tenant, operation.actor(), operation.id())?)
}

pub(crate) fn restore(operation: &mut GraphOperation<'_>) -> Result<GraphReply, GraphRefusal> {
    let query = operation.query(&DELETED_USER)?;
    let wishes = RestoreWishes::parse(operation.call.json_body()?)?;
    let id = operation.id();
    operation.write(plan_restore(operation.tenant, operation.actor(), id, &wishes)?)?;
    Ok(operation.entity(StatusCode::OK, &DELETED_USER, &query, present(operation.tenant, id)?))
}

/// The reply to a write shows the write, whatever the replicas say.
fn present(tenant: &Tenant, id: Uuid) -> Result<&Document, GraphRefusal> {
    tenant.users.by_id(id).ok_or_else(|| GraphRefusal::not_found(id))
}

/// The optional body of a restore; Microsoft's own PowerShell module sends both to v1.0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreWishes {
    /// Restore straight to this UPN.
    #[serde(rename = "newUserPrincipalName")]
    new_upn: Option<String>,
    /// Drop the mail address when a live user has it by now, rather than refuse.
    #[serde(rename = "autoReconcileProxyConflict")]
    drops_taken_mail: Option<bool>,
}

impl RestoreWishes {
    /// Reads the body; an empty one asks for nothing special.
    fn parse(body: &[u8]) -> Result<Self, GraphRefusal> {
        let wishes: Self = if body.is_empty() { Self::default() } else { parameters(body)? };
        if let Some(new_upn) = &wishes.new_upn {
            upn::parse(new_upn).map_err(|reason| GraphRefusal::invalid_value(UPN, reason))?;
        }
        Ok(wishes)
    }
}

type Assignments = [(&'static Property, Value)];

/// Whether it cuts the link to an on-premises object.
fn clears_identifier(change: &Assignments) -> bool {
    change.iter().any(|(property, _)| property.name == IDENTIFIER)
}

fn apply(change: &Assignments, user: &mut Document, at: SimTime) {
    for (property, value) in change {
        match property.write {
            // The only secret is the password.
            WriteRule::Secret => user.insert("lastPasswordChangeDateTime".into(), json!(at.zulu_text())),
            _ => user.insert(property.name.clone(), value.clone()),
        };
    }
}

/// `nth` makes the new user's id differ from that of an earlier user of the same name.
pub(crate) fn plan_create(
    tenant: &Tenant,
    actor: UserActor,
    change: &Assignments,
    nth: u64,
) -> Result<PlannedWrite, GraphRefusal> {
    for required in REQUIRED_FOR_CREATION {
        if !change.iter().any(|(property, _)| property.name == required) {
            return Err(GraphRefusal::invalid_value(required, "it is required to create a user"));
        }
    }
    let named = change.iter().find(|(property, _)| property.name == UPN);
    let upn = named.and_then(|(_, value)| value.as_str()).unwrap_or_default();
    let label = format!("{nth} {}", upn.to_ascii_lowercase());
    let id = chance::id(tenant.seed, "created", &label);
    let mut after = document(id, upn, None);
    after.remove(MAIL);
    apply(change, &mut after, actor.at);
    check_domain(tenant, &after)?;
    check_unique(tenant, &after, None)?;
    Ok(PlannedWrite { method: "create", id, after: Some(after) })
}

pub(crate) fn plan_patch(
    tenant: &Tenant,
    actor: UserActor,
    key: &str,
    change: &Assignments,
) -> Result<PlannedWrite, GraphRefusal> {
    let (slot, before) = found_live(tenant, key)?;
    if change.iter().any(|(property, _)| property.sensitive) {
        check_role(actor, before)?;
    }
    if clears_identifier(change) && !actor.is_administrator {
        return Err(GraphRefusal::DENIED);
    }
    check_mastery(before, change)?;
    let mut after = before.clone();
    apply(change, &mut after, actor.at);
    if upn(before) != upn(&after) {
        check_domain(tenant, &after)?;
    }
    check_anchor_change(tenant, before, &after)?;
    check_unique(tenant, &after, Some(slot))?;
    Ok(PlannedWrite { method: "patch", id: id(before), after: Some(after) })
}

pub(crate) fn plan_delete(tenant: &Tenant, actor: UserActor, key: &str) -> Result<PlannedWrite, GraphRefusal> {
    let (_, before) = found_live(tenant, key)?;
    check_role(actor, before)?;
    Ok(PlannedWrite { method: "delete", id: id(before), after: Some(deleted(before, actor.at)) })
}

pub(crate) fn plan_restore(
    tenant: &Tenant,
    actor: UserActor,
    id: Uuid,
    wishes: &RestoreWishes,
) -> Result<PlannedWrite, GraphRefusal> {
    let before = found_in_bin(tenant, id)?;
    check_role(actor, before)?;
    let mut after = before.clone();
    after.insert(UPN.into(), json!(wishes.new_upn.as_deref().unwrap_or_else(|| home_upn(before))));
    after.remove("deletedDateTime");
    // A restored account belongs to the cloud; its ImmutableID stays.
    if synced(&after) == Some(true) {
        set_synced(&mut after, false);
    }
    check_domain(tenant, &after)?;
    if wishes.drops_taken_mail == Some(true) && conflicts(tenant, &after, None).any(|(name, ..)| name == MAIL) {
        after.remove(MAIL);
    }
    check_unique(tenant, &after, None)?;
    Ok(PlannedWrite { method: "restore", id, after: Some(after) })
}

pub(crate) fn plan_purge(tenant: &Tenant, actor: UserActor, id: Uuid) -> Result<PlannedWrite, GraphRefusal> {
    check_role(actor, found_in_bin(tenant, id)?)?;
    Ok(PlannedWrite { method: "purge", id, after: None })
}

fn found_live<'a>(tenant: &'a Tenant, key: &str) -> Result<(Slot, &'a Document), GraphRefusal> {
    let slot = parse_id(key).map_or_else(|| tenant.users.live_by_upn(key), |id| tenant.users.slot_of(id));
    let found = slot.and_then(|slot| Some((slot, tenant.users.get(slot)?)));
    let live = found.filter(|(_, user)| Collection::of(user) == Collection::Live);
    live.ok_or_else(|| GraphRefusal::not_found(key))
}

fn found_in_bin(tenant: &Tenant, id: Uuid) -> Result<&Document, GraphRefusal> {
    let user = tenant.users.by_id(id).filter(|user| Collection::of(user) == Collection::Deleted);
    user.ok_or_else(|| GraphRefusal::not_found(id))
}

/// How the user's UPN signs in, if its domain is the tenant's.
fn domain_kind(tenant: &Tenant, user: &Document) -> Result<DomainKind, GraphRefusal> {
    let parts = upn::parse(upn(user)).map_err(|reason| GraphRefusal::invalid_value(UPN, reason))?;
    let kind = tenant.domains.find(parts.domain);
    kind.ok_or_else(|| unverified_domain(parts.domain))
}

fn unverified_domain(domain: &str) -> GraphRefusal {
    GraphRefusal::bad_request(format!(
        "The domain portion '{domain}' of the userPrincipalName is not a verified domain of this organization."
    ))
}

/// A federated domain takes only users that its identity provider can find.
fn check_domain(tenant: &Tenant, after: &Document) -> Result<(), GraphRefusal> {
    match domain_kind(tenant, after)? {
        DomainKind::Federated if anchor(after).is_none() => Err(anchor_required()),
        DomainKind::Federated | DomainKind::Managed => Ok(()),
    }
}

fn anchor_required() -> GraphRefusal {
    GraphRefusal::bad_request(
        "One or more property values are invalid: a user in a federated domain needs onPremisesImmutableId.",
    )
}

/// Whether one PATCH could move a user and change the ImmutableID at once is not documented, so neither the
/// old nor the new domain may be federated then.
fn check_anchor_change(tenant: &Tenant, before: &Document, after: &Document) -> Result<(), GraphRefusal> {
    if anchor(before) == anchor(after) {
        return Ok(());
    }
    match (domain_kind(tenant, before)?, domain_kind(tenant, after)?) {
        (DomainKind::Managed, DomainKind::Managed) => Ok(()),
        (DomainKind::Federated, _) | (_, DomainKind::Federated) => Err(anchor_fixed()),
    }
}

fn anchor_fixed() -> GraphRefusal {
    GraphRefusal::bad_request(
        "Unable to update the required property FederatedUser.SourceAnchor: the userPrincipalName is in a federated domain.",
    )
}

/// The properties whose values other live users hold: name, value and holder.
fn conflicts<'a>(
    tenant: &'a Tenant,
    user: &'a Document,
    own: Option<Slot>,
) -> impl Iterator<Item = (&'static str, &'a str, Slot)> {
    keys(user).filter_map(move |(name, key)| Some((name, key.text(), tenant.users.holder(key, own)?)))
}

/// A UPN that is another user's address, and no UPN, counts as an address, too.
fn check_unique(tenant: &Tenant, after: &Document, own: Option<Slot>) -> Result<(), GraphRefusal> {
    let Some((name, value, holder)) = conflicts(tenant, after, own).next() else {
        return Ok(());
    };
    let is_upn = tenant.users.get(holder).is_some_and(|user| upn(user).eq_ignore_ascii_case(value));
    let is_address = name == MAIL || (name == UPN && !is_upn);
    Err(GraphRefusal::conflict(if is_address { "proxyAddresses" } else { name }, value))
}

/// Acting on somebody who holds a role takes a role; who may only activate one is like everybody else.
fn check_role(actor: UserActor, target: &Document) -> Result<(), GraphRefusal> {
    let is_out_of_reach = role(target) == DirectoryRole::Holder && !actor.is_administrator;
    if is_out_of_reach { Err(GraphRefusal::DENIED) } else { Ok(()) }
}

fn check_mastery(before: &Document, change: &Assignments) -> Result<(), GraphRefusal> {
    let mut mastered = change.iter().filter(|(property, _)| !property.cloud_owned);
    match mastered.next() {
        Some((property, _)) if synced(before) == Some(true) => Err(mastered_elsewhere(&property.name)),
        Some(_) | None => Ok(()),
    }
}

fn mastered_elsewhere(property: &str) -> GraphRefusal {
    GraphRefusal::bad_request(format!(
        "Unable to update the property '{property}': on-premises mastered Directory Sync objects or objects currently \
         undergoing migration are not writable here."
    ))
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
