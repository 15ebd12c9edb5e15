//! What follows from other properties of a user until something is written over it: names, addresses, the date of the
//! first password.

use serde_json::{Value, json};

use super::clock::SimTime;
use super::document::{Document, text};
use super::names::capitalised;
use super::user;

const MINUTE_MS: u64 = 60_000;
/// 2022-01-01: the first day on which somebody's password was set.
const PASSWORDS_BEGAN: SimTime = SimTime(1_640_995_200_000);
/// Three years.
const PASSWORD_MINUTES: u64 = 3 * 365 * 24 * 60;

/// The value of a derived property.
pub(super) fn value(name: &str, user: &Document) -> Value {
    match name {
        "displayName" => display_name(user),
        "givenName" => json!(names(user).0),
        "surname" => json!(names(user).1),
        "mailNickname" => json!(local_part(user)),
        "proxyAddresses" => json!(Vec::from_iter(text(user, "mail").map(|mail| format!("SMTP:{mail}")))),
        "lastPasswordChangeDateTime" => first_password(user),
        "userType" => json!("Member"),
        _ => Value::Null,
    }
}

pub(super) fn display_name(user: &Document) -> Value {
    match names(user) {
        (Some(given), Some(surname)) => json!(format!("{given} {surname}")),
        (Some(name), None) | (None, Some(name)) => json!(name),
        (None, None) => json!(user::home_upn(user)),
    }
}

/// When a user's password was set, unless it was set while the tenant was simulated: some day of three years, which hangs
/// on the id alone.
fn first_password(user: &Document) -> Value {
    let minutes = u64::from(user::number(user)) % PASSWORD_MINUTES;
    json!(PASSWORDS_BEGAN.plus_ms(minutes * MINUTE_MS).zulu_text())
}

/// The part before the `@` of the address that the user was born with, as far as it is known.
fn local_part(user: &Document) -> &str {
    let address = text(user, "mail").unwrap_or_else(|| user::home_upn(user));
    address.split_once('@').map_or(address, |(local, _)| local)
}

/// Given name and surname, guessed from `given.surname` as people do.
fn names(user: &Document) -> (Option<String>, Option<String>) {
    let local = local_part(user).trim_end_matches(|c: char| c.is_ascii_digit());
    let (given, surname) = local.split_once('.').unwrap_or((local, ""));
    let name = |part: &str| (!part.is_empty()).then(|| capitalised(part));
    (name(given), name(surname))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance;
    use crate::sim::schema::{ApiVersion, USERS};

    fn shown(user: &Document, name: &str) -> Value {
        USERS.property(name, ApiVersion::Beta).unwrap().value(user).into_owned()
    }

    #[test]
    fn names_and_addresses_follow_from_the_mail_address() {
        let mut user = user::document(chance::uuid([1; 16]), "anna.o'hara7@contoso.com", None);
        user.insert("onPremisesSyncEnabled".into(), json!(true));
        assert_eq!(shown(&user, "displayName"), "Anna O'hara");
        assert_eq!(shown(&user, "proxyAddresses")[0], "SMTP:anna.o'hara7@contoso.com");
        assert_eq!(shown(&user, "onPremisesSyncEnabled"), true);
        assert_eq!(shown(&user, "deletedDateTime"), Value::Null);
        assert_eq!(shown(&user, "businessPhones"), json!([]));
    }

    #[test]
    fn deletion_shows_in_date_and_upn_but_not_in_mail() {
        let user = user::document(chance::uuid([1; 16]), "a@contoso.com", None);
        let user = user::deleted(&user, SimTime(0));
        assert_eq!(shown(&user, "deletedDateTime"), "1970-01-01T00:00:00Z");
        let upn = shown(&user, "userPrincipalName");
        let (digits, home) = upn.as_str().unwrap().split_at(32);
        assert_eq!((digits, home), (&*user::id(&user).simple().to_string(), "a@contoso.com"));
        assert_eq!(shown(&user, "mail"), "a@contoso.com");
        assert_eq!(user::home_upn(&user), "a@contoso.com");
    }

    #[test]
    fn a_password_has_a_date_and_who_never_had_one_has_null() {
        let mut user = user::document(chance::uuid([1; 16]), "a@contoso.com", None);
        let date = shown(&user, "lastPasswordChangeDateTime");
        assert!(date.as_str().is_some_and(|date| date.starts_with("202")), "{date}");
        user.insert("lastPasswordChangeDateTime".into(), Value::Null);
        assert_eq!(shown(&user, "lastPasswordChangeDateTime"), Value::Null);
    }
}
