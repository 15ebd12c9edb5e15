//! The permissions of Microsoft Graph that an app can be granted, and which of them each address takes. One of several is
//! enough everywhere, as the tables in Microsoft's reference of each call say it; what a token carries is what counts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::refusal::GraphRefusal;

/// A permission of Microsoft Graph, as it stands in a token's `roles` or `scp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphPermission {
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

use GraphPermission as P;

/// Permissions of which one is enough.
pub(super) type Permissions = &'static [GraphPermission];

/// Every permission with its name. The order is that of the enum.
#[rustfmt::skip]
const TABLE: [(GraphPermission, &str); 21] = [
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
    (P::RoleEligibilityRead, "RoleEligibilitySchedule.Read.Directory"),
    (P::RoleEligibilityReadWrite, "RoleEligibilitySchedule.ReadWrite.Directory"),
    (P::RoleManagementReadAll, "RoleManagement.Read.All"),
    (P::RoleManagementRead, "RoleManagement.Read.Directory"),
    (P::RoleManagementReadWrite, "RoleManagement.ReadWrite.Directory"),
    (P::UserDeleteRestoreAll, "User.DeleteRestore.All"),
    (P::UserReadAll, "User.Read.All"),
    (P::UserReadWriteAll, "User.ReadWrite.All"),
    (P::UserSyncBehaviorReadWriteAll, "User-OnPremisesSyncBehavior.ReadWrite.All"),
];

#[rustfmt::skip]
pub(super) const READ_USERS: Permissions = &[
    P::UserReadAll, P::UserReadWriteAll, P::DirectoryReadAll, P::DirectoryReadWriteAll,
];
pub(super) const WRITE_USERS: Permissions = &[P::UserReadWriteAll, P::DirectoryReadWriteAll];
/// Not even `Directory.ReadWrite.All` lets an app delete a user.
pub(super) const DELETE_AND_RESTORE: Permissions = &[P::UserDeleteRestoreAll, P::UserReadWriteAll];
pub(super) const CLEAR_IDENTIFIER: Permissions = &[P::UserSyncBehaviorReadWriteAll];
#[rustfmt::skip]
pub(super) const READ_DOMAINS: Permissions = &[
    P::DomainReadAll, P::DomainReadWriteAll, P::DirectoryReadAll, P::DirectoryReadWriteAll,
];
#[rustfmt::skip]
pub(super) const READ_ORGANIZATION: Permissions = &[
    P::OrganizationReadAll, P::OrganizationReadWriteAll, P::DirectoryReadAll, P::DirectoryReadWriteAll,
];
#[rustfmt::skip]
pub(super) const READ_ASSIGNMENTS: Permissions = &[
    P::RoleManagementRead, P::RoleManagementReadAll, P::RoleManagementReadWrite, P::DirectoryReadAll,
    P::DirectoryReadWriteAll,
];
#[rustfmt::skip]
pub(super) const READ_ELIGIBILITIES: Permissions = &[
    P::RoleEligibilityRead, P::RoleEligibilityReadWrite, P::RoleManagementRead, P::RoleManagementReadAll,
    P::RoleManagementReadWrite,
];
#[rustfmt::skip]
pub(super) const READ_MEMBERS: Permissions = &[
    P::GroupMemberReadAll, P::GroupMemberReadWriteAll, P::GroupReadAll, P::GroupReadWriteAll,
    P::DirectoryReadAll,
];
pub(super) const READ_RISK: Permissions = &[P::RiskyUserReadAll, P::RiskyUserReadWriteAll];
pub(super) const WRITE_RISK: Permissions = &[P::RiskyUserReadWriteAll];

impl GraphPermission {
    /// Everything that a shipped job can make use of, and nothing more.
    #[must_use]
    pub fn of_shipped_jobs() -> BTreeSet<GraphPermission> {
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

impl fmt::Display for GraphPermission {
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

impl FromStr for GraphPermission {
    type Err = UnknownPermission;

    /// Reads a name, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = TABLE.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(permission, _)| *permission).ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// Whether what is granted is enough. Nothing is asked for where no permission would be enough.
pub(super) fn check_any(granted: &BTreeSet<GraphPermission>, enough: Permissions) -> Result<(), GraphRefusal> {
    let is_granted = enough.is_empty() || enough.iter().any(|one| granted.contains(one));
    if is_granted { Ok(()) } else { Err(GraphRefusal::denied()) }
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
        assert!("User.Everything".parse::<GraphPermission>().is_err());
    }

    #[test]
    fn one_of_several_is_enough_and_another_one_is_not() {
        let check = |one, enough| check_any(&BTreeSet::from([one]), enough);
        assert_eq!(check(P::UserDeleteRestoreAll, DELETE_AND_RESTORE), Ok(()));
        assert_eq!(check(P::UserReadWriteAll, DELETE_AND_RESTORE), Ok(()));
        let denied = Err(GraphRefusal::denied());
        assert_eq!(check(P::DirectoryReadWriteAll, DELETE_AND_RESTORE), denied);
        assert_eq!(check(P::UserReadAll, READ_USERS), Ok(()));
        assert_eq!(check(P::UserReadAll, WRITE_USERS), denied);
        assert_eq!(check_any(&BTreeSet::new(), &[]), Ok(()));
    }
}
