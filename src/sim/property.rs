//! The properties of a user that the simulated tenant knows, by Graph's names, and what may be done with each.
//! A name that is not here is refused in `$select` and in bodies, as Graph refuses an unknown one; Graph itself
//! knows some more.

use serde::{Deserialize, Serialize};

use super::route::Version;

/// What a PATCH may do with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The user principal name, with rules of its own.
    Upn,
    /// The ImmutableID, with rules of its own.
    Anchor,
    /// The main mail address, which no other live user may have.
    Mail,
    /// True or false: whether the account may sign in.
    Enabled,
    /// Text or null.
    Text,
    /// A list of texts.
    List,
    /// What links the account to an on-premises object: only null can be written.
    Identifier,
    /// Taken and never shown again.
    Secret,
    /// Not to be written.
    ReadOnly,
}

/// A property of a user. The order is that of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Property {
    BusinessPhones,
    DisplayName,
    GivenName,
    Id,
    JobTitle,
    Mail,
    MobilePhone,
    OfficeLocation,
    PreferredLanguage,
    Surname,
    UserPrincipalName,
    AccountEnabled,
    City,
    CompanyName,
    Country,
    CreatedDateTime,
    DeletedDateTime,
    Department,
    EmployeeId,
    IsManagementRestricted,
    LastPasswordChangeDateTime,
    MailNickname,
    OnPremisesDistinguishedName,
    OnPremisesDomainName,
    OnPremisesImmutableId,
    OnPremisesLastSyncDateTime,
    OnPremisesObjectIdentifier,
    OnPremisesProvisioningErrors,
    OnPremisesSamAccountName,
    OnPremisesSecurityIdentifier,
    OnPremisesSyncEnabled,
    OnPremisesUserPrincipalName,
    OtherMails,
    PasswordProfile,
    PostalCode,
    ProxyAddresses,
    SignInSessionsValidFromDateTime,
    State,
    StreetAddress,
    UsageLocation,
    UserType,
}

/// How many properties at the beginning of [`TABLE`] are given when nothing is selected (user-get in Microsoft's
/// reference).
const DEFAULT_COUNT: usize = 11;

/// Every property with its name and kind, the default set first.
const TABLE: [(Property, &str, Kind); 41] = [
    (Property::BusinessPhones, "businessPhones", Kind::List),
    (Property::DisplayName, "displayName", Kind::Text),
    (Property::GivenName, "givenName", Kind::Text),
    (Property::Id, "id", Kind::ReadOnly),
    (Property::JobTitle, "jobTitle", Kind::Text),
    (Property::Mail, "mail", Kind::Mail),
    (Property::MobilePhone, "mobilePhone", Kind::Text),
    (Property::OfficeLocation, "officeLocation", Kind::Text),
    (Property::PreferredLanguage, "preferredLanguage", Kind::Text),
    (Property::Surname, "surname", Kind::Text),
    (Property::UserPrincipalName, "userPrincipalName", Kind::Upn),
    (Property::AccountEnabled, "accountEnabled", Kind::Enabled),
    (Property::City, "city", Kind::Text),
    (Property::CompanyName, "companyName", Kind::Text),
    (Property::Country, "country", Kind::Text),
    (Property::CreatedDateTime, "createdDateTime", Kind::ReadOnly),
    (Property::DeletedDateTime, "deletedDateTime", Kind::ReadOnly),
    (Property::Department, "department", Kind::Text),
    (Property::EmployeeId, "employeeId", Kind::Text),
    (
        Property::IsManagementRestricted,
        "isManagementRestricted",
        Kind::ReadOnly,
    ),
    (
        Property::LastPasswordChangeDateTime,
        "lastPasswordChangeDateTime",
        Kind::ReadOnly,
    ),
    (Property::MailNickname, "mailNickname", Kind::Text),
    (
        Property::OnPremisesDistinguishedName,
        "onPremisesDistinguishedName",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesDomainName,
        "onPremisesDomainName",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesImmutableId,
        "onPremisesImmutableId",
        Kind::Anchor,
    ),
    (
        Property::OnPremisesLastSyncDateTime,
        "onPremisesLastSyncDateTime",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesObjectIdentifier,
        "onPremisesObjectIdentifier",
        Kind::Identifier,
    ),
    (
        Property::OnPremisesProvisioningErrors,
        "onPremisesProvisioningErrors",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesSamAccountName,
        "onPremisesSamAccountName",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesSecurityIdentifier,
        "onPremisesSecurityIdentifier",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesSyncEnabled,
        "onPremisesSyncEnabled",
        Kind::ReadOnly,
    ),
    (
        Property::OnPremisesUserPrincipalName,
        "onPremisesUserPrincipalName",
        Kind::ReadOnly,
    ),
    (Property::OtherMails, "otherMails", Kind::List),
    (Property::PasswordProfile, "passwordProfile", Kind::Secret),
    (Property::PostalCode, "postalCode", Kind::Text),
    (Property::ProxyAddresses, "proxyAddresses", Kind::ReadOnly),
    (
        Property::SignInSessionsValidFromDateTime,
        "signInSessionsValidFromDateTime",
        Kind::ReadOnly,
    ),
    (Property::State, "state", Kind::Text),
    (Property::StreetAddress, "streetAddress", Kind::Text),
    (Property::UsageLocation, "usageLocation", Kind::Text),
    (Property::UserType, "userType", Kind::ReadOnly),
];

impl Property {
    /// The property that a version of Graph knows by this name; names are compared exactly.
    pub(super) fn parse(name: &str, version: Version) -> Option<Self> {
        let found = TABLE.iter().find(|row| row.1 == name).map(|row| row.0);
        found.filter(|property| version == Version::Beta || !property.is_beta_only())
    }

    fn is_beta_only(self) -> bool {
        matches!(self, Self::OnPremisesObjectIdentifier)
    }

    pub(super) fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    pub(super) fn kind(self) -> Kind {
        TABLE[self as usize].2
    }

    /// What a GET gives when nothing is selected.
    pub(super) fn default_set() -> Vec<Self> {
        TABLE.iter().take(DEFAULT_COUNT).map(|row| row.0).collect()
    }

    /// Whether changing it on an administrator takes a higher role (users resource page, "sensitive actions").
    pub(super) fn is_sensitive(self) -> bool {
        matches!(
            self,
            Self::AccountEnabled
                | Self::BusinessPhones
                | Self::MobilePhone
                | Self::OnPremisesImmutableId
                | Self::OtherMails
                | Self::PasswordProfile
                | Self::UserPrincipalName
        )
    }

    /// Whether the cloud owns it even when the rest of the account comes from an on-premises directory.
    pub(super) fn is_cloud_owned(self) -> bool {
        matches!(
            self,
            Self::UsageLocation | Self::OtherMails | Self::PasswordProfile
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (index, (property, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(
                *property as usize, index,
                "{name} stands in the wrong place"
            );
            assert_eq!(serde_json::to_value(property).unwrap(), *name);
        }
    }

    #[test]
    fn one_property_is_known_to_beta_only() {
        let parse = |version| Property::parse("onPremisesObjectIdentifier", version);
        assert_eq!(parse(Version::V1), None);
        assert_eq!(
            parse(Version::Beta),
            Some(Property::OnPremisesObjectIdentifier)
        );
    }

    #[test]
    fn the_default_set_leaves_the_anchor_out() {
        let set = Property::default_set();
        assert!(
            set.contains(&Property::UserPrincipalName) && set.contains(&Property::BusinessPhones)
        );
        assert!(
            !set.contains(&Property::OnPremisesImmutableId)
                && !set.contains(&Property::AccountEnabled)
        );
    }
}
