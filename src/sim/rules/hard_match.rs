//! What Entra Connect does in a real tenant: an object newly arriving from an on-premises directory finds the user of the
//! cloud that has its anchor as ImmutableID, and takes it over. Since the hardening of 2026 (Microsoft's page on Connect with
//! an existing tenant) it is refused for accounts that were linked before and for those with a directory role. No client of
//! Graph can do this, so tests do it here: it shows whether what a batch did is of use.

use crate::sim::store::IndexKey;
use crate::sim::user::{self, DirectoryRole};
use crate::sim::{Collection, Document, Tenant};

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
pub(crate) fn plan(tenant: &Tenant, blocks_takeover: bool, anchor: &str) -> Result<Document, NoHardMatch> {
    let store = &tenant.users;
    let key = IndexKey::Anchor(anchor);
    let Some(user) = store.holder(key, None).and_then(|slot| store.get(slot)) else {
        let is_in_bin = store.with(Collection::Deleted, key).next().is_some();
        return Err(if is_in_bin { NoHardMatch::Deleted } else { NoHardMatch::Nobody });
    };
    check(user, blocks_takeover)?;
    let mut after = user.clone();
    user::set_synced(&mut after, true);
    user::link(&mut after, tenant.seed);
    Ok(after)
}

fn check(user: &Document, blocks_takeover: bool) -> Result<(), NoHardMatch> {
    if user::synced(user) == Some(true) {
        return Err(NoHardMatch::Synchronized);
    }
    if blocks_takeover {
        return Err(NoHardMatch::Blocked);
    }
    if user::identifier(user).is_some() {
        return Err(NoHardMatch::IdentifierSet);
    }
    match user::role(user) {
        DirectoryRole::Ordinary => Ok(()),
        DirectoryRole::Holder => Err(NoHardMatch::RoleHeld),
        DirectoryRole::Eligible => Err(NoHardMatch::RoleEligible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimTime;
    use crate::sim::chance;
    use crate::sim::tenant::tests::tenant;
    use serde_json::Value;

    fn anna(change: impl FnOnce(&mut Document)) -> Tenant {
        let mut anna = user::document(chance::uuid([1; 16]), "anna@contoso.com", Some("A=="));
        change(&mut anna);
        tenant([anna], &[], 0)
    }

    fn refused(change: impl FnOnce(&mut Document)) -> NoHardMatch {
        plan(&anna(change), false, "A==").unwrap_err()
    }

    #[test]
    fn an_ordinary_account_is_taken_over_and_linked() {
        let tenant = anna(|_| {});
        let after = plan(&tenant, false, "A==").unwrap();
        assert_eq!(user::synced(&after), Some(true));
        assert!(user::identifier(&after).is_some());
        assert_eq!(plan(&tenant, true, "A=="), Err(NoHardMatch::Blocked));
        assert_eq!(plan(&tenant, false, "a=="), Err(NoHardMatch::Nobody));
    }

    #[test]
    fn every_obstacle_has_its_name() {
        let delete = |user: &mut Document| *user = user::deleted(user, SimTime(0));
        assert_eq!(refused(delete), NoHardMatch::Deleted);
        assert_eq!(refused(|user| user::set_synced(user, true)), NoHardMatch::Synchronized);
        assert_eq!(refused(|user| user::link(user, 7)), NoHardMatch::IdentifierSet);
        let holds = |user: &mut Document| user::set_role(user, DirectoryRole::Holder);
        assert_eq!(refused(holds), NoHardMatch::RoleHeld);
        let may = |user: &mut Document| user::set_role(user, DirectoryRole::Eligible);
        assert_eq!(refused(may), NoHardMatch::RoleEligible);
    }

    #[test]
    fn a_cleared_link_is_no_obstacle() {
        let tenant = anna(|user| {
            user::link(user, 7);
            user.insert("onPremisesObjectIdentifier".into(), Value::Null);
        });
        assert!(plan(&tenant, false, "A==").is_ok());
    }
}
