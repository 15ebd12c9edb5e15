//! The rules of the tenant: which writes are allowed and what they make of a user. Pure: a write is first planned,
//! which decides everything and changes nothing, and then committed, which cannot fail; between the two the caller
//! stores it. What a client may read, and how late, stands in `read`.

use rand::RngExt as _;

use super::chance::{self, Identity};
use super::change::{Change, RestoreOptions};
use super::clock::UnixMillis;
use super::directory::{Directory, Slot};
use super::domains::{Authentication, Domains};
use super::errors::Refusal;
use super::lag::Lag;
use super::ledger::WriteKind;
use super::property::Property;
use super::upn;
use super::user::{Mail, Role, Sync, User, UserId, UserKey};

/// What a creation must say at least (user-post-users in Microsoft's reference).
const REQUIRED_FOR_CREATION: [Property; 5] = [
    Property::AccountEnabled,
    Property::DisplayName,
    Property::MailNickname,
    Property::PasswordProfile,
    Property::UserPrincipalName,
];

/// Whether who acts holds directory roles, which acting on administrators takes, and clearing an on-premises identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActorRole {
    /// It has permissions only.
    Nothing,
    /// Privileged Authentication Administrator and Hybrid Identity Administrator.
    Administrator,
}

/// Who asks for a write, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) role: ActorRole,
    pub(super) at: UnixMillis,
}

/// A write that is allowed but not made yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) kind: WriteKind,
    pub(super) id: UserId,
    /// The user afterwards; nothing after a purge.
    pub(super) after: Option<User>,
}

/// The tenant's true state.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    /// What the app holds. What a request may do is told by its token, which can be older.
    pub(super) app_role: ActorRole,
    pub(super) domains: Domains,
    pub(super) directory: Directory,
    pub(super) lag: Lag,
}

impl World {
    /// `nth` makes the new user's id differ from that of an earlier user of the same name.
    pub(super) fn plan_create(
        &self,
        actor: Actor,
        change: &Change,
        nth: u64,
    ) -> Result<Planned, Refusal> {
        for required in REQUIRED_FOR_CREATION {
            if !change.properties().any(|property| property == required) {
                return Err(missing(required));
            }
        }
        let upn = change
            .upn()
            .ok_or_else(|| missing(Property::UserPrincipalName))?;
        let label = format!("{nth} {}", upn.to_ascii_lowercase());
        let id = UserId::from_octets(chance::first_half(&chance::digest(
            self.seed, "created", &label,
        )));
        let mut after = User::new(id, upn, None);
        after.mail = Mail::Nothing;
        change.apply_to(&mut after, actor.at);
        self.check_domain(&after)?;
        self.check_unique(&after, None)?;
        Ok(Planned {
            kind: WriteKind::Create,
            id,
            after: Some(after),
        })
    }

    pub(super) fn plan_patch(
        &self,
        actor: Actor,
        key: &UserKey,
        change: &Change,
    ) -> Result<Planned, Refusal> {
        let slot = self.live_slot(key)?;
        let before = self.directory.get(slot).ok_or_else(|| not_found(key))?;
        if change.properties().any(Property::is_sensitive) {
            check_role(actor, before)?;
        }
        if change.clears_identifier() && actor.role == ActorRole::Nothing {
            return Err(Refusal::RoleMissing);
        }
        check_mastery(before, change)?;
        let mut after = before.clone();
        change.apply_to(&mut after, actor.at);
        if before.upn != after.upn {
            self.check_domain(&after)?;
        }
        self.check_anchor_change(before, &after)?;
        self.check_unique(&after, Some(slot))?;
        Ok(Planned {
            kind: WriteKind::Patch,
            id: after.id,
            after: Some(after),
        })
    }

    pub(super) fn plan_delete(&self, actor: Actor, key: &UserKey) -> Result<Planned, Refusal> {
        let slot = self.live_slot(key)?;
        let before = self.directory.get(slot).ok_or_else(|| not_found(key))?;
        check_role(actor, before)?;
        let after = User {
            deleted_at: Some(actor.at),
            ..before.clone()
        };
        Ok(Planned {
            kind: WriteKind::Delete,
            id: before.id,
            after: Some(after),
        })
    }

    pub(super) fn plan_restore(
        &self,
        actor: Actor,
        id: UserId,
        options: &RestoreOptions,
    ) -> Result<Planned, Refusal> {
        let before = self.deleted(id)?;
        check_role(actor, before)?;
        let mut after = User {
            deleted_at: None,
            ..before.clone()
        };
        // A restored account belongs to the cloud; its ImmutableID stays.
        if after.sync == Sync::Active {
            after.sync = Sync::Ended;
        }
        if let Some(upn) = &options.new_upn {
            after.move_to(upn);
        }
        self.check_domain(&after)?;
        if options.drop_taken_mail && self.mail_conflict(&after, None).is_some() {
            after.mail = Mail::Nothing;
        }
        self.check_unique(&after, None)?;
        Ok(Planned {
            kind: WriteKind::Restore,
            id,
            after: Some(after),
        })
    }

    pub(super) fn plan_purge(&self, actor: Actor, id: UserId) -> Result<Planned, Refusal> {
        check_role(actor, self.deleted(id)?)?;
        Ok(Planned {
            kind: WriteKind::Purge,
            id,
            after: None,
        })
    }

    /// Makes a planned write.
    pub(super) fn commit(&mut self, planned: Planned, now: UnixMillis, identity: &Identity) {
        let written = match planned.after {
            Some(after) => Some(self.directory.put(after)),
            None => self
                .directory
                .purge(planned.id)
                .map(|(slot, before)| (slot, Some(before))),
        };
        let delay_ms_max = self.lag.delay_ms_max();
        if let Some((slot, before)) = written
            && delay_ms_max > 0
        {
            let delay_ms = identity.dice().random_range(0..=delay_ms_max);
            self.lag.record(slot, before, now, delay_ms);
        }
    }

    fn live_slot(&self, key: &UserKey) -> Result<Slot, Refusal> {
        let slot = match key {
            UserKey::Id(id) => self.directory.slot_of(*id),
            UserKey::Upn(upn) => self.directory.live_by_upn(upn),
        };
        let live = slot.filter(|slot| self.directory.get(*slot).is_some_and(User::is_live));
        live.ok_or_else(|| not_found(key))
    }

    fn deleted(&self, id: UserId) -> Result<&User, Refusal> {
        let user = self.directory.by_id(id).filter(|user| !user.is_live());
        user.ok_or_else(|| Refusal::NotFound(id.to_string()))
    }

    /// How the user's UPN signs in, if its domain is the tenant's.
    fn authentication(&self, user: &User) -> Result<Authentication, Refusal> {
        let parts = upn::parse(&user.upn).map_err(|reason| Refusal::InvalidValue {
            property: Property::UserPrincipalName,
            reason: reason.to_owned(),
        })?;
        self.domains
            .find(parts.domain)
            .ok_or_else(|| Refusal::UnverifiedDomain(parts.domain.to_owned()))
    }

    /// A federated domain takes only users that its identity provider can find.
    fn check_domain(&self, after: &User) -> Result<(), Refusal> {
        match self.authentication(after)? {
            Authentication::Federated if after.immutable_id.is_none() => {
                Err(Refusal::AnchorRequired)
            }
            Authentication::Federated | Authentication::Managed => Ok(()),
        }
    }

    /// Whether one PATCH could move a user and change the ImmutableID at once is not documented, so neither the
    /// old nor the new domain may be federated then.
    fn check_anchor_change(&self, before: &User, after: &User) -> Result<(), Refusal> {
        if before.immutable_id == after.immutable_id {
            return Ok(());
        }
        match (self.authentication(before)?, self.authentication(after)?) {
            (Authentication::Managed, Authentication::Managed) => Ok(()),
            (Authentication::Federated, _) | (_, Authentication::Federated) => {
                Err(Refusal::AnchorFixed)
            }
        }
    }

    fn check_unique(&self, after: &User, own: Option<Slot>) -> Result<(), Refusal> {
        let conflicts = [
            self.upn_conflict(after, own),
            self.mail_conflict(after, own),
            self.anchor_conflict(after, own),
        ];
        match conflicts.into_iter().flatten().next() {
            Some(conflict) => Err(conflict),
            None => Ok(()),
        }
    }

    fn upn_conflict(&self, after: &User, own: Option<Slot>) -> Option<Refusal> {
        let holder = self
            .directory
            .holder_of_address(&after.upn)
            .filter(|slot| Some(*slot) != own)?;
        let by_upn = self
            .directory
            .get(holder)
            .is_some_and(|user| upn::same(&user.upn, &after.upn));
        let property = if by_upn {
            Property::UserPrincipalName
        } else {
            Property::ProxyAddresses
        };
        Some(Refusal::Conflict {
            property,
            value: after.upn.to_string(),
        })
    }

    fn mail_conflict(&self, after: &User, own: Option<Slot>) -> Option<Refusal> {
        let mail = after.mail_address()?;
        self.directory
            .holder_of_address(mail)
            .filter(|slot| Some(*slot) != own)?;
        Some(Refusal::Conflict {
            property: Property::ProxyAddresses,
            value: mail.to_owned(),
        })
    }

    fn anchor_conflict(&self, after: &User, own: Option<Slot>) -> Option<Refusal> {
        let anchor = after.immutable_id.as_deref()?;
        self.directory
            .holder_of_anchor(anchor)
            .filter(|slot| Some(*slot) != own)?;
        Some(Refusal::Conflict {
            property: Property::OnPremisesImmutableId,
            value: anchor.to_owned(),
        })
    }
}

/// Acting on somebody who holds a role takes a role; who may only activate one is like everybody else.
fn check_role(actor: Actor, target: &User) -> Result<(), Refusal> {
    match (target.role, actor.role) {
        (Role::Administrator, ActorRole::Nothing) => Err(Refusal::RoleMissing),
        (Role::Administrator, ActorRole::Administrator) | (Role::Ordinary | Role::Eligible, _) => {
            Ok(())
        }
    }
}

fn check_mastery(before: &User, change: &Change) -> Result<(), Refusal> {
    match before.sync {
        Sync::Never | Sync::Ended => Ok(()),
        Sync::Active => match change
            .properties()
            .find(|property| !property.is_cloud_owned())
        {
            Some(mastered) => Err(Refusal::Mastered(mastered)),
            None => Ok(()),
        },
    }
}

fn missing(property: Property) -> Refusal {
    Refusal::InvalidValue {
        property,
        reason: "it is required to create a user".to_owned(),
    }
}

fn not_found(key: &UserKey) -> Refusal {
    Refusal::NotFound(key.to_string())
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
