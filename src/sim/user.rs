//! A user as a document: what is kept under which property, and what can be read off it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::chance;
use super::clock::SimTime;
use super::document::{Document, parse_id, text};

pub(super) const UPN: &str = "userPrincipalName";
pub(super) const MAIL: &str = "mail";
pub(super) const ANCHOR: &str = "onPremisesImmutableId";
pub(super) const IDENTIFIER: &str = "onPremisesObjectIdentifier";
const SYNCED: &str = "onPremisesSyncEnabled";
/// Digits of the id before a deleted user's UPN.
const ID_DIGITS: usize = uuid::fmt::Simple::LENGTH;
/// Where the directory role is kept; a user has no property that tells it.
const ROLE: &str = "#role";

/// The two collections of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    /// `/users`.
    Live,
    /// `/directory/deletedItems`.
    Deleted,
}

impl Collection {
    pub(super) fn of(document: &Document) -> Self {
        if text(document, "deletedDateTime").is_some() { Self::Deleted } else { Self::Live }
    }
}

/// Whether a user holds a role that ordinary apps may not touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DirectoryRole {
    Ordinary,
    Holder,
    /// May activate one and has not: ordinary apps may act on them, and a hard match may not.
    Eligible,
}

/// A live, enabled, ordinary cloud user whose mail address is the UPN.
pub(super) fn document(id: Uuid, upn: &str, anchor: Option<&str>) -> Document {
    let mut user = Document::new();
    user.insert("id".into(), json!(id));
    user.insert(UPN.into(), json!(upn));
    user.insert(MAIL.into(), json!(upn));
    user.insert("accountEnabled".into(), json!(true));
    if let Some(anchor) = anchor {
        user.insert(ANCHOR.into(), json!(anchor));
    }
    user
}

/// The user in the recycle bin: the service puts the id's digits before the UPN.
pub(super) fn deleted(user: &Document, at: SimTime) -> Document {
    let mut user = user.clone();
    let mangled = format!("{}{}", id(&user).simple(), upn(&user));
    user.insert(UPN.into(), json!(mangled));
    user.insert("deletedDateTime".into(), json!(at.zulu_text()));
    user
}

pub(super) fn id(user: &Document) -> Uuid {
    text(user, "id").and_then(parse_id).unwrap_or_default()
}

/// A number that hangs on the id, for what is derived from it.
pub(super) fn number(user: &Document) -> u32 {
    let [a, b, c, d, ..] = *id(user).as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

pub(super) fn upn(user: &Document) -> &str {
    text(user, UPN).unwrap_or_default()
}

/// The UPN as it is while live.
pub(super) fn home_upn(user: &Document) -> &str {
    match Collection::of(user) {
        Collection::Live => upn(user),
        Collection::Deleted => upn(user).get(ID_DIGITS..).unwrap_or_default(),
    }
}

pub(super) fn anchor(user: &Document) -> Option<&str> {
    text(user, ANCHOR)
}

/// Whether an on-premises directory is the master; None when it never was.
pub(super) fn synced(user: &Document) -> Option<bool> {
    user.get(SYNCED)?.as_bool()
}

pub(super) fn set_synced(user: &mut Document, is_synced: bool) {
    user.insert(SYNCED.into(), json!(is_synced));
}

/// What links the account to an object on premises.
pub(super) fn identifier(user: &Document) -> Option<&str> {
    text(user, IDENTIFIER)
}

/// Stamps what links an account to its object on premises. Which object that is hangs on the ImmutableID.
pub(super) fn link(user: &mut Document, seed: u64) {
    let id = chance::id(seed, "identifier", anchor(user).unwrap_or_default());
    user.insert(IDENTIFIER.into(), json!(id));
}

pub(super) fn role(user: &Document) -> DirectoryRole {
    let stored = user.get(ROLE).and_then(|role| DirectoryRole::deserialize(role).ok());
    stored.unwrap_or(DirectoryRole::Ordinary)
}

pub(super) fn set_role(user: &mut Document, role: DirectoryRole) {
    user.insert(ROLE.into(), json!(role));
}
