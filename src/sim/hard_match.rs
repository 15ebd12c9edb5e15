//! What Entra Connect does in a real tenant: an object newly arriving from an on-premises directory finds the user of the
//! cloud that has its anchor as ImmutableID, and takes it over. Since the hardening of 2026 (Microsoft's page on Connect with
//! an existing tenant) it is refused for accounts that were linked before and for those with a directory role. No client of
//! Graph can do this, so tests do it here: it shows whether what a batch did is of use.

use super::chance;
use super::property::Property;
use super::user::{Role, Sync, User, Written};
use super::world::World;

/// The tenant's switch `blockCloudObjectTakeoverThroughHardMatchEnabled`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Off: objects from on premises take accounts of the cloud over.
    #[default]
    Allowed,
    /// On.
    Blocked,
}

/// Why an arriving object takes nobody over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoHardMatch {
    /// A new account would be made.
    #[error("nobody has this ImmutableID")]
    Nobody,
    /// Only deleted users have it, and nothing arriving finds those.
    #[error("only a deleted user has this ImmutableID")]
    Deleted,
    /// It is the account's own object already, and synchronization goes on.
    #[error("the user with this ImmutableID is synchronized already")]
    Synchronized,
    /// The tenant's switch is on.
    #[error("InvalidHardMatch: the tenant blocks the takeover of cloud accounts")]
    Blocked,
    /// The account was linked to an object before.
    #[error("AttributeUpdateNotAllowed: onPremisesObjectIdentifier is set")]
    IdentifierSet,
    /// The account holds a directory role.
    #[error("InvalidHardMatch: the user holds a directory role")]
    RoleHeld,
    /// The account may activate a directory role.
    #[error("InvalidHardMatch: the user is eligible for a directory role")]
    RoleEligible,
    /// The change could not be stored, and was not made.
    #[error("the takeover could not be stored and was not made")]
    NotStored,
}

/// The user that an object with this anchor takes over, as it is afterwards.
pub(super) fn plan(world: &World, takeover: Takeover, anchor: &str) -> Result<User, NoHardMatch> {
    let directory = &world.directory;
    let holder = directory.holder_of_anchor(anchor);
    let Some(user) = holder.and_then(|slot| directory.get(slot)) else {
        let deleted = directory.deleted_with_anchor(anchor);
        return Err(if deleted.is_empty() {
            NoHardMatch::Nobody
        } else {
            NoHardMatch::Deleted
        });
    };
    check(user, takeover)?;
    let mut after = User {
        sync: Sync::Active,
        ..user.clone()
    };
    link(&mut after, world.seed);
    Ok(after)
}

fn check(user: &User, takeover: Takeover) -> Result<(), NoHardMatch> {
    if user.sync == Sync::Active {
        return Err(NoHardMatch::Synchronized);
    }
    if takeover == Takeover::Blocked {
        return Err(NoHardMatch::Blocked);
    }
    match user.written(Property::OnPremisesObjectIdentifier) {
        None | Some(Written::Null) => {}
        Some(Written::Text(_) | Written::List(_)) => return Err(NoHardMatch::IdentifierSet),
    }
    match user.role {
        Role::Ordinary => Ok(()),
        Role::Administrator => Err(NoHardMatch::RoleHeld),
        Role::Eligible => Err(NoHardMatch::RoleEligible),
    }
}

/// Stamps what links an account to its object on premises. Which object that is hangs on the ImmutableID.
pub(super) fn link(user: &mut User, seed: u64) {
    let anchor = user.immutable_id.as_deref().unwrap_or_default();
    let draw = chance::digest(seed, "identifier", anchor);
    let identifier = uuid::Builder::from_random_bytes(chance::first_half(&draw)).into_uuid();
    user.write(
        Property::OnPremisesObjectIdentifier,
        Written::Text(identifier.to_string().into()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::UnixMillis;
    use crate::sim::directory::Directory;
    use crate::sim::domains::Domains;
    use crate::sim::lag::Lag;
    use crate::sim::user::UserId;
    use crate::sim::world::ActorRole;

    fn world(change: impl FnOnce(&mut User)) -> World {
        let mut anna = User::new(
            UserId::from_octets([1; 16]),
            "anna@contoso.com",
            Some("A=="),
        );
        change(&mut anna);
        let mut directory = Directory::default();
        directory.put(anna);
        World {
            seed: 7,
            app_role: ActorRole::Nothing,
            domains: Domains::new(),
            directory,
            lag: Lag::new(0),
        }
    }

    fn refused(change: impl FnOnce(&mut User)) -> NoHardMatch {
        plan(&world(change), Takeover::Allowed, "A==").unwrap_err()
    }

    #[test]
    fn an_ordinary_account_is_taken_over_and_linked() {
        let world = world(|_| {});
        let after = plan(&world, Takeover::Allowed, "A==").unwrap();
        assert_eq!(after.sync, Sync::Active);
        let linked = after.written(Property::OnPremisesObjectIdentifier);
        assert!(matches!(linked, Some(Written::Text(_))));
        let blocked = plan(&world, Takeover::Blocked, "A==");
        assert_eq!(blocked, Err(NoHardMatch::Blocked));
        let other = plan(&world, Takeover::Allowed, "a==");
        assert_eq!(other, Err(NoHardMatch::Nobody));
    }

    #[test]
    fn every_obstacle_has_its_name() {
        assert_eq!(
            refused(|user| user.deleted_at = Some(UnixMillis(0))),
            NoHardMatch::Deleted
        );
        assert_eq!(
            refused(|user| user.sync = Sync::Active),
            NoHardMatch::Synchronized
        );
        assert_eq!(refused(|user| link(user, 7)), NoHardMatch::IdentifierSet);
        assert_eq!(
            refused(|user| user.role = Role::Administrator),
            NoHardMatch::RoleHeld
        );
        assert_eq!(
            refused(|user| user.role = Role::Eligible),
            NoHardMatch::RoleEligible
        );
    }

    #[test]
    fn a_cleared_link_is_no_obstacle() {
        let world = world(|user| {
            link(user, 7);
            user.unwrite(Property::OnPremisesObjectIdentifier);
        });
        assert!(plan(&world, Takeover::Allowed, "A==").is_ok());
    }
}
