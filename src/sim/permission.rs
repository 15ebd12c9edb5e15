//! The permissions of Microsoft Graph that an app can be granted, and which of them each kind of request takes. One of
//! several is enough everywhere, as the tables in Microsoft's reference of each call say it; what a token carries is what
//! counts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::refusal::GraphRefusal;

/// A permission of Microsoft Graph, by the name that stands in a token's `roles` or `scp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GraphPermission(&'static str);

/// The names of permissions of which one is enough, with spaces between.
pub(super) type Permissions = &'static str;

pub(super) const READ_USERS: Permissions = "User.Read.All User.ReadWrite.All Directory.Read.All \
    Directory.ReadWrite.All";
pub(super) const WRITE_USERS: Permissions = "User.ReadWrite.All Directory.ReadWrite.All";
/// Not even `Directory.ReadWrite.All` lets an app delete a user.
pub(super) const DELETE_AND_RESTORE: Permissions = "User.DeleteRestore.All User.ReadWrite.All";
pub(super) const CLEAR_IDENTIFIER: Permissions = "User-OnPremisesSyncBehavior.ReadWrite.All";
pub(super) const READ_DOMAINS: Permissions = "Domain.Read.All Domain.ReadWrite.All Directory.Read.All \
    Directory.ReadWrite.All";
pub(super) const READ_ORGANIZATION: Permissions = "Organization.Read.All Organization.ReadWrite.All \
    Directory.Read.All Directory.ReadWrite.All";
pub(super) const READ_ASSIGNMENTS: Permissions = "RoleManagement.Read.Directory RoleManagement.Read.All \
    RoleManagement.ReadWrite.Directory Directory.Read.All Directory.ReadWrite.All";
pub(super) const READ_ELIGIBILITIES: Permissions = "RoleEligibilitySchedule.Read.Directory \
    RoleEligibilitySchedule.ReadWrite.Directory RoleManagement.Read.Directory RoleManagement.Read.All \
    RoleManagement.ReadWrite.Directory";
pub(super) const READ_MEMBERS: Permissions = "GroupMember.Read.All GroupMember.ReadWrite.All Group.Read.All \
    Group.ReadWrite.All Directory.Read.All";
pub(super) const READ_RISK: Permissions = "IdentityRiskyUser.Read.All IdentityRiskyUser.ReadWrite.All";
pub(super) const WRITE_RISK: Permissions = "IdentityRiskyUser.ReadWrite.All";

/// Every list above: together they are all that the tenant knows.
#[rustfmt::skip]
const KNOWN: [Permissions; 11] = [
    READ_USERS, WRITE_USERS, DELETE_AND_RESTORE, CLEAR_IDENTIFIER, READ_DOMAINS, READ_ORGANIZATION, READ_ASSIGNMENTS,
    READ_ELIGIBILITIES, READ_MEMBERS, READ_RISK, WRITE_RISK,
];

impl GraphPermission {
    /// Everything that a shipped job can make use of, and nothing more.
    #[must_use]
    pub fn of_shipped_jobs() -> BTreeSet<GraphPermission> {
        let names = "User.ReadWrite.All User.DeleteRestore.All Domain.Read.All Organization.Read.All \
            RoleManagement.Read.Directory RoleEligibilitySchedule.Read.Directory GroupMember.Read.All \
            User-OnPremisesSyncBehavior.ReadWrite.All IdentityRiskyUser.ReadWrite.All";
        names.split(' ').map(GraphPermission).collect()
    }

    /// The name, as Microsoft's permissions reference has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for GraphPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A name that is no permission which the simulated tenant knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the simulated tenant knows no permission `{0}`; it knows {known}", known = Vec::from_iter(known()).join(", "))]
pub struct UnknownPermission(String);

fn known() -> BTreeSet<&'static str> {
    KNOWN.into_iter().flat_map(|names| names.split(' ')).collect()
}

impl FromStr for GraphPermission {
    type Err = UnknownPermission;

    /// Reads a name, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = known().into_iter().find(|name| name.eq_ignore_ascii_case(text));
        found.map(GraphPermission).ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// Whether what is granted is enough. Nothing is asked for where no permission would be enough.
pub(super) fn check_any(granted: &BTreeSet<GraphPermission>, enough: Permissions) -> Result<(), GraphRefusal> {
    let is_granted = enough.is_empty() || enough.split(' ').any(|name| granted.contains(&GraphPermission(name)));
    if is_granted { Ok(()) } else { Err(GraphRefusal::DENIED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_in_any_case() {
        assert_eq!(known().len(), 21);
        for name in known() {
            let read: GraphPermission = name.to_lowercase().parse().unwrap();
            assert_eq!((read.name(), read.to_string()), (name, name.to_owned()));
        }
        assert!(GraphPermission::of_shipped_jobs().iter().all(|granted| known().contains(granted.name())));
        let unknown = "User.Everything".parse::<GraphPermission>().unwrap_err();
        assert!(
            unknown.to_string().contains("it knows Directory.Read.All, Directory.ReadWrite.All, Domain"),
            "{unknown}"
        );
    }

    #[test]
    fn one_of_several_is_enough_and_another_one_is_not() {
        let check = |one, enough| check_any(&BTreeSet::from([GraphPermission(one)]), enough);
        assert_eq!(check("User.DeleteRestore.All", DELETE_AND_RESTORE), Ok(()));
        assert_eq!(check("User.ReadWrite.All", DELETE_AND_RESTORE), Ok(()));
        let denied = Err(GraphRefusal::DENIED);
        assert_eq!(check("Directory.ReadWrite.All", DELETE_AND_RESTORE), denied);
        assert_eq!(check("User.Read.All", READ_USERS), Ok(()));
        assert_eq!(check("User.Read.All", WRITE_USERS), denied);
        assert_eq!(check_any(&BTreeSet::new(), ""), Ok(()));
    }
}
