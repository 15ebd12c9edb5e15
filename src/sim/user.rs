//! One user, kept small: a million of them must fit into some hundred megabytes. What can be derived from the UPN
//! (names, mail address, nickname) is not stored until it differs. How a user looks in JSON is told elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::UnixMillis;
use super::property::Property;

/// The object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct UserId(Uuid);

impl UserId {
    pub(super) fn from_octets(octets: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(octets).into_uuid())
    }

    /// Reads the form with dashes, the only one that Graph takes for an id.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Reads the 32 digits without dashes that stand before a deleted user's UPN.
    pub(super) fn parse_simple(text: &str) -> Option<Self> {
        if text.len() != uuid::fmt::Simple::LENGTH {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }

    /// A number that hangs on the id, for what is derived from it.
    pub(super) fn number(self) -> u32 {
        let [a, b, c, d, ..] = *self.0.as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The id as others than users have it.
    pub(super) fn uuid(self) -> Uuid {
        self.0
    }

    /// The 32 lower-case digits without dashes.
    pub(super) fn simple(self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// How a request names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserKey {
    /// By object id.
    Id(UserId),
    /// By UPN, in any case.
    Upn(String),
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Upn(upn) => f.write_str(upn),
        }
    }
}

/// The main mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Mail {
    /// The same text as the UPN: the common case, stored in no bytes.
    AsUpn,
    /// An address that stayed when the UPN moved on, or that was set.
    Own(Box<str>),
    /// None.
    Nothing,
}

/// Whether an on-premises directory is the master of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sync {
    /// It never was.
    Never,
    /// It is: most properties cannot be written in the cloud.
    Active,
    /// It was, until the account was deleted and restored.
    Ended,
}

/// Whether the user holds a role that ordinary apps may not touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// Holds none.
    Ordinary,
    /// Holds one.
    Administrator,
    /// May activate one and has not: ordinary apps may act on them, and a hard match may not.
    Eligible,
}

/// Whether the user has a password in the cloud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Password {
    /// Never had one: an identity provider elsewhere has always asked for it.
    Never,
    /// Has one.
    #[default]
    Set,
}

/// A value that was written over what would be derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    /// A text.
    Text(Box<str>),
    /// Several texts.
    List(Vec<Box<str>>),
    /// JSON null.
    Null,
}

/// A user, live or soft-deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) id: UserId,
    /// The UPN as it is while live; deletion only changes how it is shown.
    pub(super) upn: Box<str>,
    pub(super) immutable_id: Option<Box<str>>,
    pub(super) mail: Mail,
    pub(super) sync: Sync,
    pub(super) role: Role,
    /// State files of earlier versions do not tell it.
    #[serde(default)]
    pub(super) password: Password,
    pub(super) enabled: bool,
    pub(super) deleted_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) overrides: Option<Box<Overrides>>,
}

/// What was written over derived values. Most users have none, so it stands behind one pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Overrides(Vec<(Property, Written)>);

impl User {
    /// A live, enabled, ordinary cloud user whose mail address is the UPN.
    pub(super) fn new(id: UserId, upn: &str, immutable_id: Option<&str>) -> Self {
        Self {
            id,
            upn: upn.into(),
            immutable_id: immutable_id.map(Into::into),
            mail: Mail::AsUpn,
            sync: Sync::Never,
            role: Role::Ordinary,
            password: Password::Set,
            enabled: true,
            deleted_at: None,
            overrides: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// The UPN as the service shows it: with the id's digits before it once the user is deleted.
    pub(super) fn shown_upn(&self) -> String {
        if self.is_live() {
            self.upn.to_string()
        } else {
            format!("{}{}", self.id.simple(), self.upn)
        }
    }

    pub(super) fn mail_address(&self) -> Option<&str> {
        match &self.mail {
            Mail::AsUpn => Some(&self.upn),
            Mail::Own(address) => Some(address),
            Mail::Nothing => None,
        }
    }

    /// Gives the user another UPN; the mail address stays what it was.
    pub(super) fn move_to(&mut self, upn: &str) {
        let before = std::mem::replace(&mut self.upn, upn.into());
        self.mail = match std::mem::replace(&mut self.mail, Mail::Nothing) {
            Mail::AsUpn if *before != *upn => Mail::Own(before),
            Mail::Own(address) if *address == *upn => Mail::AsUpn,
            other => other,
        };
    }

    pub(super) fn set_mail(&mut self, address: Option<&str>) {
        self.mail = match address {
            None => Mail::Nothing,
            Some(address) if *address == *self.upn => Mail::AsUpn,
            Some(address) => Mail::Own(address.into()),
        };
    }

    /// What was written over a property, if anything was.
    pub(super) fn written(&self, property: Property) -> Option<&Written> {
        let overrides = self.overrides.as_deref()?;
        overrides
            .0
            .iter()
            .find(|(name, _)| *name == property)
            .map(|(_, value)| value)
    }

    pub(super) fn write(&mut self, property: Property, value: Written) {
        let overrides = &mut self.overrides.get_or_insert_default().0;
        match overrides.iter_mut().find(|(name, _)| *name == property) {
            Some((_, old)) => *old = value,
            None => overrides.push((property, value)),
        }
    }

    /// Takes back what was written over a property.
    pub(super) fn unwrite(&mut self, property: Property) {
        if let Some(overrides) = &mut self.overrides {
            overrides.0.retain(|(name, _)| *name != property);
        }
        if self
            .overrides
            .as_ref()
            .is_some_and(|list| list.0.is_empty())
        {
            self.overrides = None;
        }
    }

    /// The properties that something was written over.
    pub(super) fn written_properties(&self) -> impl Iterator<Item = Property> {
        self.overrides
            .iter()
            .flat_map(|list| list.0.iter().map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> User {
        User::new(UserId::from_octets([7; 16]), "anna@contoso.com", None)
    }

    #[test]
    fn the_mail_address_stays_when_the_upn_moves_and_costs_nothing_once_it_is_back() {
        let mut user = anna();
        user.move_to("anna@contoso.onmicrosoft.com");
        assert_eq!(user.mail_address(), Some("anna@contoso.com"));
        user.move_to("anna@contoso.com");
        assert_eq!(user.mail, Mail::AsUpn);
    }

    #[test]
    fn a_deleted_users_upn_is_shown_mangled() {
        let mut user = anna();
        user.deleted_at = Some(UnixMillis(0));
        let shown = user.shown_upn();
        assert_eq!(shown.len(), 32 + "anna@contoso.com".len());
        assert_eq!(UserId::parse_simple(&shown[..32]), Some(user.id));
        assert!(
            shown[..32]
                .chars()
                .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
        );
    }

    #[test]
    fn a_user_is_small() {
        assert!(size_of::<User>() <= 112, "{} bytes", size_of::<User>());
    }

    #[test]
    fn what_is_unwritten_leaves_nothing_behind() {
        let mut user = anna();
        user.write(Property::City, Written::Null);
        user.unwrite(Property::JobTitle);
        assert_eq!(user.written(Property::City), Some(&Written::Null));
        user.unwrite(Property::City);
        assert_eq!(user, anna());
    }

    #[test]
    fn a_line_of_an_earlier_version_is_read() {
        let mut old = serde_json::to_value(anna()).unwrap();
        old.as_object_mut().unwrap().remove("password");
        assert_eq!(serde_json::from_value::<User>(old).unwrap(), anna());
    }

    #[test]
    fn users_survive_the_state_file() {
        let mut user = anna();
        user.write(Property::JobTitle, Written::Text("Baker".into()));
        user.write(Property::City, Written::Null);
        let text = serde_json::to_string(&user).unwrap();
        assert_eq!(serde_json::from_str::<User>(&text).unwrap(), user);
    }
}
