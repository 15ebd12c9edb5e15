//! The permissions of Microsoft Graph that an app can be granted, and which of them each address takes. One of several is
//! enough everywhere, as the tables in Microsoft's reference of each call say it; what a token carries is what counts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::call::Call;
use super::errors::Refusal;
use super::route::Place;

/// A permission of Microsoft Graph, as it stands in a token's `roles` or `scp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// `Directory.Read.All`
    DirectoryReadAll,
    /// `Directory.ReadWrite.All`
    DirectoryReadWriteAll,
    /// `Domain.Read.All`
    DomainReadAll,
    /// `Domain.ReadWrite.All`
    DomainReadWriteAll,
    /// `Group.Read.All`
    GroupReadAll,
    /// `Group.ReadWrite.All`
    GroupReadWriteAll,
    /// `GroupMember.Read.All`
    GroupMemberReadAll,
    /// `GroupMember.ReadWrite.All`
    GroupMemberReadWriteAll,
    /// `IdentityRiskyUser.Read.All`
    RiskyUserReadAll,
    /// `IdentityRiskyUser.ReadWrite.All`
    RiskyUserReadWriteAll,
    /// `Organization.Read.All`
    OrganizationReadAll,
    /// `Organization.ReadWrite.All`
    OrganizationReadWriteAll,
    /// `RoleEligibilitySchedule.Read.Directory`
    RoleEligibilityRead,
    /// `RoleEligibilitySchedule.ReadWrite.Directory`
    RoleEligibilityReadWrite,
    /// `RoleManagement.Read.All`
    RoleManagementReadAll,
    /// `RoleManagement.Read.Directory`
    RoleManagementRead,
    /// `RoleManagement.ReadWrite.Directory`
    RoleManagementReadWrite,
    /// `User.DeleteRestore.All`
    UserDeleteRestoreAll,
    /// `User.Read.All`
    UserReadAll,
    /// `User.ReadWrite.All`
    UserReadWriteAll,
    /// `User-OnPremisesSyncBehavior.ReadWrite.All`
    UserSyncBehaviorReadWriteAll,
}

use Permission as P;

/// Every permission with its name. The order is that of the enum.
const TABLE: [(Permission, &str); 21] = [
    (P::DirectoryReadAll, "Directory.Read.All"),
    (P::DirectoryReadWriteAll, "Directory.ReadWrite.All"),
    (P::DomainReadAll, "Domain.Read.All"),
    (P::DomainReadWriteAll, "Domain.ReadWrite.All"),
    (P::GroupReadAll, "Group.Read.All"),
    (P::GroupReadWriteAll, "Group.ReadWrite.All"),
    (P::GroupMemberReadAll, "GroupMember.Read.All"),
    (P::GroupMemberReadWriteAll, "GroupMember.ReadWrite.All"),
    (P::RiskyUserReadAll, "IdentityRiskyUser.Read.All"),
    (P::RiskyUserReadWriteAll, "IdentityRiskyUser.ReadWrite.All"),
    (P::OrganizationReadAll, "Organization.Read.All"),
    (P::OrganizationReadWriteAll, "Organization.ReadWrite.All"),
    (
        P::RoleEligibilityRead,
        "RoleEligibilitySchedule.Read.Directory",
    ),
    (
        P::RoleEligibilityReadWrite,
        "RoleEligibilitySchedule.ReadWrite.Directory",
    ),
    (P::RoleManagementReadAll, "RoleManagement.Read.All"),
    (P::RoleManagementRead, "RoleManagement.Read.Directory"),
    (
        P::RoleManagementReadWrite,
        "RoleManagement.ReadWrite.Directory",
    ),
    (P::UserDeleteRestoreAll, "User.DeleteRestore.All"),
    (P::UserReadAll, "User.Read.All"),
    (P::UserReadWriteAll, "User.ReadWrite.All"),
    (
        P::UserSyncBehaviorReadWriteAll,
        "User-OnPremisesSyncBehavior.ReadWrite.All",
    ),
];

const READ_USERS: &[Permission] = &[
    P::UserReadAll,
    P::UserReadWriteAll,
    P::DirectoryReadAll,
    P::DirectoryReadWriteAll,
];
const WRITE_USERS: &[Permission] = &[P::UserReadWriteAll, P::DirectoryReadWriteAll];
/// Not even `Directory.ReadWrite.All` lets an app delete a user.
const DELETE_AND_RESTORE: &[Permission] = &[P::UserDeleteRestoreAll, P::UserReadWriteAll];
const CLEAR_IDENTIFIER: &[Permission] = &[P::UserSyncBehaviorReadWriteAll];
const READ_DOMAINS: &[Permission] = &[
    P::DomainReadAll,
    P::DomainReadWriteAll,
    P::DirectoryReadAll,
    P::DirectoryReadWriteAll,
];
const READ_ORGANIZATION: &[Permission] = &[
    P::OrganizationReadAll,
    P::OrganizationReadWriteAll,
    P::DirectoryReadAll,
    P::DirectoryReadWriteAll,
];
const READ_ASSIGNMENTS: &[Permission] = &[
    P::RoleManagementRead,
    P::RoleManagementReadAll,
    P::RoleManagementReadWrite,
    P::DirectoryReadAll,
    P::DirectoryReadWriteAll,
];
const READ_ELIGIBILITIES: &[Permission] = &[
    P::RoleEligibilityRead,
    P::RoleEligibilityReadWrite,
    P::RoleManagementRead,
    P::RoleManagementReadAll,
    P::RoleManagementReadWrite,
];
const READ_MEMBERS: &[Permission] = &[
    P::GroupMemberReadAll,
    P::GroupMemberReadWriteAll,
    P::GroupReadAll,
    P::GroupReadWriteAll,
    P::DirectoryReadAll,
];
const READ_RISK: &[Permission] = &[P::RiskyUserReadAll, P::RiskyUserReadWriteAll];
const WRITE_RISK: &[Permission] = &[P::RiskyUserReadWriteAll];

impl Permission {
    /// Everything that a shipped job can make use of, and nothing more.
    #[must_use]
    pub fn of_shipped_jobs() -> BTreeSet<Permission> {
        BTreeSet::from([
            P::UserReadWriteAll,
            P::UserDeleteRestoreAll,
            P::DomainReadAll,
            P::OrganizationReadAll,
            P::RoleManagementRead,
            P::RoleEligibilityRead,
            P::GroupMemberReadAll,
            P::UserSyncBehaviorReadWriteAll,
            P::RiskyUserReadWriteAll,
        ])
    }

    /// The name, as Microsoft's permissions reference has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no permission which the simulated tenant knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the simulated tenant knows no permission `{0}`; it knows {known}", known = names())]
pub struct UnknownPermission(String);

fn names() -> String {
    TABLE.map(|(_, name)| name).join(", ")
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    /// Reads a name, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = TABLE
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        found
            .map(|(permission, _)| *permission)
            .ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// Whether what is granted is enough for a request. What is no address or has no such method is refused elsewhere.
pub(super) fn check(granted: &BTreeSet<Permission>, call: &Call) -> Result<(), Refusal> {
    match &call.place {
        Ok(place) => check_any(granted, of_place(place, call.method.as_str())),
        Err(_) => Ok(()),
    }
}

/// Whether what is granted is enough to clear `onPremisesObjectIdentifier`, beside the permission to write users.
pub(super) fn check_identifier(granted: &BTreeSet<Permission>) -> Result<(), Refusal> {
    check_any(granted, CLEAR_IDENTIFIER)
}

fn check_any(granted: &BTreeSet<Permission>, enough: &[Permission]) -> Result<(), Refusal> {
    let is_granted = enough.is_empty() || enough.iter().any(|one| granted.contains(one));
    if is_granted {
        Ok(())
    } else {
        Err(Refusal::PermissionMissing)
    }
}

/// The permissions of which one is enough; none where none is asked for.
fn of_place(place: &Place, method: &str) -> &'static [Permission] {
    match (place, method) {
        (Place::Users | Place::User(_), "GET") => READ_USERS,
        (Place::User(_), "DELETE") => DELETE_AND_RESTORE,
        (Place::Users | Place::User(_), _) => WRITE_USERS,
        (Place::DeletedUsers | Place::Deleted(_) | Place::Restore(_), _) => DELETE_AND_RESTORE,
        (Place::Domains | Place::Domain(_), _) => READ_DOMAINS,
        (Place::Organization, _) => READ_ORGANIZATION,
        (Place::RoleAssignments, _) => READ_ASSIGNMENTS,
        (Place::RoleEligibilities, _) => READ_ELIGIBILITIES,
        (Place::GroupMembers { .. }, _) => READ_MEMBERS,
        (Place::RiskyUsers | Place::RiskyUser(_), _) => READ_RISK,
        (Place::RiskAction(_), _) => WRITE_RISK,
        (
            Place::SignIn(_)
            | Place::Batch
            | Place::SimStats
            | Place::SimUsers
            | Place::SimWrites
            | Place::SimTokens,
            _,
        ) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_the_table_stands_in_the_order_of_the_enum() {
        for (index, (permission, name)) in TABLE.iter().enumerate() {
            assert_eq!(*permission as usize, index, "{name}");
            assert_eq!(name.to_lowercase().parse(), Ok(*permission));
            assert_eq!(permission.to_string(), *name);
        }
        assert!("User.Everything".parse::<Permission>().is_err());
    }

    #[test]
    fn one_of_several_is_enough_and_another_one_is_not() {
        let granted = |one| BTreeSet::from([one]);
        let deleted = of_place(&Place::DeletedUsers, "GET");
        assert_eq!(
            check_any(&granted(P::UserDeleteRestoreAll), deleted),
            Ok(())
        );
        assert_eq!(check_any(&granted(P::UserReadWriteAll), deleted), Ok(()));
        assert_eq!(
            check_any(&granted(P::DirectoryReadWriteAll), deleted),
            Err(Refusal::PermissionMissing)
        );
        let users = |method| of_place(&Place::Users, method);
        assert_eq!(check_any(&granted(P::UserReadAll), users("GET")), Ok(()));
        assert_eq!(
            check_any(&granted(P::UserReadAll), users("POST")),
            Err(Refusal::PermissionMissing)
        );
        assert_eq!(check_any(&BTreeSet::new(), &[]), Ok(()));
    }
}
