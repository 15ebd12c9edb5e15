//! How a user looks in JSON. Written straight into the reply's buffer, property by property, because building a
//! tree of values first would cost more time than everything else that a read does.

use serde_json::Value;

use super::clock::UnixMillis;
use super::property::Property;
use super::user::{Password, Sync, User, Written};

const MINUTE_MS: u64 = 60_000;
/// 2022-01-01: the first day on which somebody's password was set.
const PASSWORDS_BEGAN: UnixMillis = UnixMillis(1_640_995_200_000);
/// Three years.
const PASSWORD_MINUTES: u64 = 3 * 365 * 24 * 60;

/// Writes `"name":value` pairs, without braces, for the selected properties.
pub(super) fn write_properties(out: &mut Vec<u8>, user: &User, properties: &[Property]) {
    for (index, property) in properties.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(property.name().as_bytes());
        out.extend_from_slice(b"\":");
        write_value(out, user, *property);
    }
}

/// Writes a text as JSON.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let plain = text
        .bytes()
        .all(|byte| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

/// One property as a value, where speed does not matter.
pub(super) fn value(user: &User, property: Property) -> Value {
    let mut out = Vec::new();
    write_value(&mut out, user, property);
    serde_json::from_slice(&out).unwrap_or(Value::Null)
}

fn write_value(out: &mut Vec<u8>, user: &User, property: Property) {
    if let Some(written) = user.written(property) {
        return write_written(out, written);
    }
    match property {
        Property::Id => write_text(out, &user.id.to_string()),
        Property::UserPrincipalName => write_text(out, &user.shown_upn()),
        Property::OnPremisesImmutableId => write_optional(out, user.immutable_id.as_deref()),
        Property::Mail => write_optional(out, user.mail_address()),
        Property::MailNickname => write_text(out, local_part(user)),
        Property::ProxyAddresses => write_proxies(out, user),
        Property::AccountEnabled => write_flag(out, user.enabled),
        Property::DeletedDateTime => {
            write_optional(out, user.deleted_at.map(|at| at.zulu_text()).as_deref())
        }
        Property::OnPremisesSyncEnabled => write_sync(out, user.sync),
        Property::DisplayName => write_text(out, &display_name(user)),
        Property::GivenName => write_optional(out, names(user).0.as_deref()),
        Property::Surname => write_optional(out, names(user).1.as_deref()),
        Property::UserType => write_text(out, "Member"),
        Property::LastPasswordChangeDateTime => {
            write_optional(out, first_password(user).as_deref());
        }
        Property::BusinessPhones
        | Property::OtherMails
        | Property::OnPremisesProvisioningErrors => {
            out.extend_from_slice(b"[]");
        }
        // Not simulated, or nothing unless it was written.
        Property::JobTitle
        | Property::MobilePhone
        | Property::OfficeLocation
        | Property::PreferredLanguage
        | Property::City
        | Property::CompanyName
        | Property::Country
        | Property::CreatedDateTime
        | Property::Department
        | Property::EmployeeId
        | Property::IsManagementRestricted
        | Property::OnPremisesDistinguishedName
        | Property::OnPremisesDomainName
        | Property::OnPremisesLastSyncDateTime
        | Property::OnPremisesObjectIdentifier
        | Property::OnPremisesSamAccountName
        | Property::OnPremisesSecurityIdentifier
        | Property::OnPremisesUserPrincipalName
        | Property::PasswordProfile
        | Property::PostalCode
        | Property::SignInSessionsValidFromDateTime
        | Property::State
        | Property::StreetAddress
        | Property::UsageLocation => out.extend_from_slice(b"null"),
    }
}

fn write_written(out: &mut Vec<u8>, written: &Written) {
    match written {
        Written::Text(text) => write_text(out, text),
        Written::List(texts) => write_list(out, texts),
        Written::Null => out.extend_from_slice(b"null"),
    }
}

fn write_list(out: &mut Vec<u8>, texts: &[Box<str>]) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(out, text);
    }
    out.push(b']');
}

fn write_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_flag(out: &mut Vec<u8>, flag: bool) {
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

fn write_sync(out: &mut Vec<u8>, sync: Sync) {
    match sync {
        Sync::Never => out.extend_from_slice(b"null"),
        Sync::Active => write_flag(out, true),
        Sync::Ended => write_flag(out, false),
    }
}

fn write_proxies(out: &mut Vec<u8>, user: &User) {
    match user.mail_address() {
        Some(mail) => write_list(out, &[format!("SMTP:{mail}").into()]),
        None => out.extend_from_slice(b"[]"),
    }
}

/// When a user's password was set, unless it was set while the tenant was simulated: some day of three years, which hangs
/// on the id alone.
fn first_password(user: &User) -> Option<String> {
    match user.password {
        Password::Never => None,
        Password::Set => {
            let minutes = u64::from(user.id.number()) % PASSWORD_MINUTES;
            Some(PASSWORDS_BEGAN.plus_ms(minutes * MINUTE_MS).zulu_text())
        }
    }
}

/// The part before the `@` of the address that the user was born with, as far as it is known.
fn local_part(user: &User) -> &str {
    let address = user.mail_address().unwrap_or(&user.upn);
    address.split_once('@').map_or(address, |(local, _)| local)
}

fn display_name(user: &User) -> String {
    match names(user) {
        (Some(given), Some(surname)) => format!("{given} {surname}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => user.upn.to_string(),
    }
}

/// Given name and surname, guessed from `given.surname` as people do.
fn names(user: &User) -> (Option<String>, Option<String>) {
    let local = local_part(user).trim_end_matches(|c: char| c.is_ascii_digit());
    match local.split_once('.') {
        Some((given, surname)) => (capitalised(given), capitalised(surname)),
        None => (capitalised(local), None),
    }
}

fn capitalised(name: &str) -> Option<String> {
    let mut rest = name.chars();
    let first = rest.next()?;
    Some(first.to_uppercase().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::user::UserId;
    use proptest::prelude::*;

    fn object(user: &User, properties: &[Property]) -> Value {
        let mut out = vec![b'{'];
        write_properties(&mut out, user, properties);
        out.push(b'}');
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_user_shows_what_is_selected() {
        let mut user = User::new(
            UserId::from_octets([1; 16]),
            "anna.o'hara7@contoso.com",
            None,
        );
        user.sync = Sync::Active;
        let all = [
            Property::DisplayName,
            Property::ProxyAddresses,
            Property::OnPremisesSyncEnabled,
            Property::DeletedDateTime,
        ];
        let shown = object(&user, &all);
        assert_eq!(shown["displayName"], "Anna O'hara");
        assert_eq!(shown["proxyAddresses"][0], "SMTP:anna.o'hara7@contoso.com");
        assert_eq!(shown["onPremisesSyncEnabled"], true);
        assert_eq!(shown["deletedDateTime"], Value::Null);
        assert!(shown.get("mail").is_none());
    }

    #[test]
    fn deletion_shows_in_date_and_upn_but_not_in_mail() {
        let mut user = User::new(UserId::from_octets([1; 16]), "a@contoso.com", None);
        user.deleted_at = Some(UnixMillis(0));
        assert_eq!(
            value(&user, Property::DeletedDateTime),
            "1970-01-01T00:00:00Z"
        );
        assert_eq!(value(&user, Property::UserPrincipalName), user.shown_upn());
        assert_eq!(value(&user, Property::Mail), "a@contoso.com");
    }

    #[test]
    fn a_password_has_a_date_and_who_never_had_one_has_null() {
        let mut user = User::new(UserId::from_octets([1; 16]), "a@contoso.com", None);
        let date = value(&user, Property::LastPasswordChangeDateTime);
        assert!(
            date.as_str().is_some_and(|date| date.starts_with("202")),
            "{date}"
        );
        user.password = Password::Never;
        assert_eq!(
            value(&user, Property::LastPasswordChangeDateTime),
            Value::Null
        );
    }

    proptest! {
        #[test]
        fn every_text_survives(text in ".{0,20}") {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
