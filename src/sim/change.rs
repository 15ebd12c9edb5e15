//! What the body of a write asks for, read from JSON and checked as far as the text alone allows: known names,
//! writable properties, types, and the form of UPNs and ImmutableIDs. What depends on the tenant is asked in
//! `world`.

use serde_json::{Map, Value};

use super::clock::UnixMillis;
use super::errors::Refusal;
use super::property::{Kind, Property};
use super::route::Version;
use super::user::{User, Written};
use super::{anchor, upn};

/// One property and the value it is to have.
#[derive(Debug, Clone, PartialEq)]
enum Assignment {
    Upn(String),
    Anchor(Option<String>),
    Mail(Option<String>),
    Enabled(bool),
    Plain(Property, Written),
    Secret(Property),
    /// Nothing links the account to an on-premises object any more.
    NoIdentifier,
}

impl Assignment {
    fn property(&self) -> Property {
        match self {
            Self::Upn(_) => Property::UserPrincipalName,
            Self::Anchor(_) => Property::OnPremisesImmutableId,
            Self::Mail(_) => Property::Mail,
            Self::Enabled(_) => Property::AccountEnabled,
            Self::Plain(property, _) | Self::Secret(property) => *property,
            Self::NoIdentifier => Property::OnPremisesObjectIdentifier,
        }
    }
}

/// The body of a PATCH or of a creation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change(Vec<Assignment>);

impl Change {
    /// Reads a body; `version` decides which properties there are.
    pub(super) fn parse(body: &[u8], version: Version) -> Result<Self, Refusal> {
        let assignments = object(body)?
            .into_iter()
            .filter(|(name, _)| !name.starts_with('@'));
        assignments
            .map(|(name, value)| assignment(&name, value, version))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn properties(&self) -> impl Iterator<Item = Property> {
        self.0.iter().map(Assignment::property)
    }

    /// Whether it cuts the link to an on-premises object.
    pub(super) fn clears_identifier(&self) -> bool {
        self.0.contains(&Assignment::NoIdentifier)
    }

    /// The UPN that the body asks for.
    pub(super) fn upn(&self) -> Option<&str> {
        self.0.iter().find_map(|assignment| match assignment {
            Assignment::Upn(upn) => Some(upn.as_str()),
            Assignment::Anchor(_)
            | Assignment::Mail(_)
            | Assignment::Enabled(_)
            | Assignment::Plain(..)
            | Assignment::Secret(_)
            | Assignment::NoIdentifier => None,
        })
    }

    pub(super) fn apply_to(&self, user: &mut User, at: UnixMillis) {
        for assignment in &self.0 {
            match assignment {
                Assignment::Upn(upn) => user.move_to(upn),
                Assignment::Anchor(anchor) => user.immutable_id = anchor.as_deref().map(Into::into),
                Assignment::Mail(mail) => user.set_mail(mail.as_deref()),
                Assignment::Enabled(enabled) => user.enabled = *enabled,
                Assignment::Plain(property, value) => user.write(*property, value.clone()),
                // The only secret is the password.
                Assignment::Secret(_) => user.write(
                    Property::LastPasswordChangeDateTime,
                    Written::Text(at.zulu_text().into()),
                ),
                Assignment::NoIdentifier => user.unwrite(Property::OnPremisesObjectIdentifier),
            }
        }
    }
}

/// The optional body of a restore; Microsoft's own PowerShell module sends both to v1.0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RestoreOptions {
    /// Restore straight to this UPN.
    pub(super) new_upn: Option<String>,
    /// Drop the mail address when a live user has it by now, rather than refuse.
    pub(super) drop_taken_mail: bool,
}

impl RestoreOptions {
    /// Reads the body; an empty one asks for nothing special.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let mut options = Self::default();
        for (name, value) in object(body)? {
            match (name.as_str(), value) {
                ("newUserPrincipalName", Value::String(upn)) => {
                    options.new_upn = Some(checked_upn(upn)?)
                }
                ("autoReconcileProxyConflict", Value::Bool(drop)) => options.drop_taken_mail = drop,
                ("newUserPrincipalName" | "autoReconcileProxyConflict", Value::Null) => {}
                (name, _) => {
                    return Err(Refusal::BadBody(format!(
                        "The parameter '{name}' is unknown or of the wrong type."
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::BadBody(
            "Empty payload: a JSON object is expected.".to_owned(),
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::BadBody(format!("The body is not a JSON object: {error}.")))
}

fn assignment(name: &str, value: Value, version: Version) -> Result<Assignment, Refusal> {
    let property =
        Property::parse(name, version).ok_or_else(|| Refusal::UnknownProperty(name.to_owned()))?;
    match (property.kind(), value) {
        (Kind::ReadOnly, _) => Err(Refusal::ReadOnly(property)),
        (Kind::Upn, Value::String(upn)) => checked_upn(upn).map(Assignment::Upn),
        (Kind::Anchor, Value::String(anchor)) => {
            checked_anchor(anchor).map(|anchor| Assignment::Anchor(Some(anchor)))
        }
        (Kind::Anchor, Value::Null) => Ok(Assignment::Anchor(None)),
        (Kind::Mail, Value::String(mail)) if mail.is_ascii() && mail.contains('@') => {
            Ok(Assignment::Mail(Some(mail)))
        }
        (Kind::Mail, Value::Null) => Ok(Assignment::Mail(None)),
        (Kind::Enabled, Value::Bool(enabled)) => Ok(Assignment::Enabled(enabled)),
        (Kind::Text, Value::String(text)) => {
            Ok(Assignment::Plain(property, Written::Text(text.into())))
        }
        (Kind::Text, Value::Null) => Ok(Assignment::Plain(property, Written::Null)),
        (Kind::List, Value::Array(items)) => {
            texts(property, items).map(|list| Assignment::Plain(property, list))
        }
        (Kind::Identifier, Value::Null) => Ok(Assignment::NoIdentifier),
        (Kind::Secret, Value::Object(_)) => Ok(Assignment::Secret(property)),
        (
            Kind::Upn
            | Kind::Anchor
            | Kind::Mail
            | Kind::Enabled
            | Kind::Text
            | Kind::List
            | Kind::Identifier
            | Kind::Secret,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
        ) => Err(invalid(
            property,
            "the value is of the wrong type or malformed",
        )),
    }
}

fn texts(property: Property, items: Vec<Value>) -> Result<Written, Refusal> {
    let texts = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text.into()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(invalid(property, "a list of texts is expected"))
        }
    });
    texts.collect::<Result<_, _>>().map(Written::List)
}

fn checked_upn(text: String) -> Result<String, Refusal> {
    match upn::parse(&text) {
        Ok(_) => Ok(text),
        Err(reason) => Err(invalid(Property::UserPrincipalName, reason)),
    }
}

fn checked_anchor(text: String) -> Result<String, Refusal> {
    match anchor::check(&text) {
        Ok(()) => Ok(text),
        Err(reason) => Err(invalid(Property::OnPremisesImmutableId, reason)),
    }
}

fn invalid(property: Property, reason: &str) -> Refusal {
    Refusal::InvalidValue {
        property,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_bodies_are_refused_by_name() {
        let refused = |body: &str| Change::parse(body.as_bytes(), Version::V1).unwrap_err();
        assert!(matches!(refused(""), Refusal::BadBody(_)));
        assert!(matches!(refused("[]"), Refusal::BadBody(_)));
        assert_eq!(
            refused(r#"{"immutableId":"x"}"#),
            Refusal::UnknownProperty("immutableId".to_owned())
        );
        assert_eq!(refused(r#"{"id":"x"}"#), Refusal::ReadOnly(Property::Id));
        for body in [
            r#"{"onPremisesImmutableId":""}"#,
            r#"{"onPremisesImmutableId":"a_b"}"#,
            r#"{"onPremisesImmutableId":5}"#,
            r#"{"userPrincipalName":null}"#,
            r#"{"userPrincipalName":"é@contoso.com"}"#,
            r#"{"accountEnabled":"true"}"#,
            r#"{"otherMails":[1]}"#,
        ] {
            assert!(
                matches!(refused(body), Refusal::InvalidValue { .. }),
                "{body}"
            );
        }
    }

    #[test]
    fn the_identifier_is_betas_and_can_only_be_cleared() {
        let parse = |body: &str, version| Change::parse(body.as_bytes(), version);
        let clear = r#"{"onPremisesObjectIdentifier":null}"#;
        assert_eq!(
            parse(clear, Version::V1),
            Err(Refusal::UnknownProperty(
                "onPremisesObjectIdentifier".to_owned()
            ))
        );
        let cleared = Change(vec![Assignment::NoIdentifier]);
        assert_eq!(parse(clear, Version::Beta), Ok(cleared));
        let set = r#"{"onPremisesObjectIdentifier":"7e06b566-15f3-4013-8bf8-79874d52e68a"}"#;
        assert!(matches!(
            parse(set, Version::Beta),
            Err(Refusal::InvalidValue { .. })
        ));
    }

    #[test]
    fn null_clears_and_annotations_are_passed_over() {
        let change = Change::parse(
            br#"{"@odata.type":"x","onPremisesImmutableId":null}"#,
            Version::V1,
        )
        .unwrap();
        assert_eq!(change, Change(vec![Assignment::Anchor(None)]));
    }

    #[test]
    fn a_restore_may_say_nothing_or_two_things() {
        assert_eq!(
            RestoreOptions::parse(b"").unwrap(),
            RestoreOptions::default()
        );
        assert_eq!(
            RestoreOptions::parse(b"{}").unwrap(),
            RestoreOptions::default()
        );
        let both = br#"{"newUserPrincipalName":"a@b.c","autoReconcileProxyConflict":true}"#;
        let expected = RestoreOptions {
            new_upn: Some("a@b.c".to_owned()),
            drop_taken_mail: true,
        };
        assert_eq!(RestoreOptions::parse(both).unwrap(), expected);
        assert!(RestoreOptions::parse(br#"{"newUserPrincipalName":"a b@c"}"#).is_err());
        assert!(RestoreOptions::parse(br#"{"other":1}"#).is_err());
    }
}
