//! The anchor of a person in Entra ID: base64 of the GUID's octets, or another text that the tenant was set up with.

use super::anchor::{AnchorError, read_bare, read_clear};
use super::guid::{ObjectGuid, decode};
use super::mistake::has_one_case;
use super::rule::Rule;
use super::spelling::{Notation, OctetOrder, Spelling, order};
use super::upn::is_mail_address;
use super::violation::Violation;
use std::fmt;

/// A free-text anchor has fewer characters than this, letters and digits counted once and others three times
/// (Microsoft, "Azure AD Connect: Design concepts", on sourceAnchor).
pub const FREE_ANCHOR_UNITS_LIMIT: usize = 60;
/// How often a character that is neither letter nor digit counts in a free-text anchor (same page).
const FREE_ANCHOR_OTHER_UNITS: usize = 3;
/// Characters that a free-text anchor may not contain (same page).
const FREE_ANCHOR_FORBIDDEN: &str = "\\!#$%&*+/=?^`{}|~<>()';:,[]\"@_";

/// An anchor as Entra ID's onPremisesImmutableId holds it. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImmutableId(String);

/// What an anchor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum AnchorKind {
    /// Base64 of a GUID's octets: what Entra Connect makes.
    #[strum(serialize = "guid")]
    Guid,
    /// A mail address: what Google and Okta have people set where they sign them in.
    #[strum(serialize = "mail")]
    MailAddress,
    /// Any other text, such as an employee number.
    #[strum(serialize = "text")]
    Text,
}

impl ImmutableId {
    /// What an anchor with this text is made of.
    pub fn kind_of(text: &str) -> AnchorKind {
        if decode(text).is_some() {
            AnchorKind::Guid
        } else if is_mail_address(text) {
            AnchorKind::MailAddress
        } else {
            AnchorKind::Text
        }
    }

    /// Takes a text that is not made from a GUID, such as an employee number.
    ///
    /// # Errors
    /// The one of Microsoft's rules for such anchors that the text breaks.
    pub fn from_free_text(text: &str) -> Result<ImmutableId, String> {
        let forbidden = |c: &char| c.is_control() || FREE_ANCHOR_FORBIDDEN.contains(*c);
        if let Some(wrong) = text.chars().find(forbidden) {
            return Err(format!("has the character {wrong}, which an anchor that is not base64 may not contain"));
        }
        let units = |c: char| if c.is_ascii_alphanumeric() { 1 } else { FREE_ANCHOR_OTHER_UNITS };
        if text.chars().map(units).sum::<usize>() >= FREE_ANCHOR_UNITS_LIMIT {
            return Err(format!(
                "is too long for an anchor: fewer than {FREE_ANCHOR_UNITS_LIMIT} characters are allowed, others than letters \
                 and digits counting three"
            ));
        }
        Ok(ImmutableId(text.to_owned()))
    }

    /// The text, exactly as Entra ID compares it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ImmutableId> for String {
    fn from(id: ImmutableId) -> String {
        id.0
    }
}

impl From<ObjectGuid> for ImmutableId {
    fn from(guid: ObjectGuid) -> ImmutableId {
        let mut text = String::new();
        guid.write_base64(&mut text);
        ImmutableId(text)
    }
}

impl fmt::Display for ImmutableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a cell of a column of ImmutableIDs. An error among the violations means no value.
pub fn read(cell: &str, violations: &mut Vec<Violation>) -> Option<ImmutableId> {
    read_bare(cell, violations, read_text)
}

fn read_text(text: &str, violations: &mut Vec<Violation>) -> Option<ImmutableId> {
    match read_clear(text) {
        Ok(Spelling { form: Notation::Base64, guid }) => {
            violations.extend(doubts(text, guid));
            return Some(guid.into());
        }
        Ok(Spelling { form, guid }) => {
            let same = match form {
                Notation::GuidText => String::new(),
                Notation::Hex
                | Notation::LdapEscapes
                | Notation::Decimal
                | Notation::Base64
                | Notation::HexOfBase64 => {
                    format!("; its GUID is {guid}")
                }
            };
            let message = format!("is {form}, not an ImmutableID{same}");
            let wanted = ImmutableId::from(guid).to_string();
            violations.push(Violation::error(Rule::ImmutableId, message).suggesting(Some(wanted)));
        }
        Err(AnchorError::Unreadable) => return read_other(text, violations),
        Err(mistake) => {
            violations.push(mistake.violation(Rule::ImmutableId, |guid| ImmutableId::from(guid).to_string()));
        }
    }
    None
}

/// An anchor that is not made from a GUID. Whether the tenant has such ones the job must know.
fn read_other(text: &str, violations: &mut Vec<Violation>) -> Option<ImmutableId> {
    let (id, warning) = if is_mail_address(text) {
        let warning = "is a mail address: right only where another identity provider, such as Google or Okta, signs people in \
                       (--set anchors=any allows its other anchors, too)";
        (ImmutableId(text.to_owned()), warning)
    } else {
        match ImmutableId::from_free_text(text) {
            Ok(id) => (id, "is not made from a GUID; it can only be an anchor of free text"),
            Err(why) => {
                let message = format!("is not base64 of 16 octets, and {why}");
                violations.push(Violation::error(Rule::ImmutableId, message));
                return None;
            }
        }
    };
    violations.push(Violation::warning(Rule::ImmutableId, warning));
    Some(id)
}

/// What speaks against a readable ImmutableID without making it wrong.
pub(super) fn doubts(text: &str, guid: ObjectGuid) -> Vec<Violation> {
    let canonical = ImmutableId::from(guid);
    let warning = |message: String| Violation::warning(Rule::ImmutableId, message);
    let mut doubts = Vec::new();
    if canonical.as_str() != text {
        let doubt = warning(format!("ends in a symbol that no encoder writes; {canonical} is used"));
        doubts.push(doubt.suggesting(Some(canonical.to_string())));
    } else if has_one_case(text) {
        doubts.push(warning("has letters of one case only; check that nothing has changed its case".into()));
    }
    let other = guid.swapped();
    if order(guid) == OctetOrder::Octets && other.is_random() {
        let doubt = warning(format!(
            "stands for the GUID {guid}, which Active Directory would hardly make; {other} would be usual, so check the \
             order of the octets where it was converted"
        ));
        doubts.push(doubt.suggesting(Some(ImmutableId::from(other).to_string())));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::guid::{BINARY_ANCHOR_CHARS, decode_unpadded};
    use super::*;

    /// GUID text, octets in hexadecimal, ImmutableID, and the base64 of the octets in the order of the text.
    const VECTORS: [(&str, &str, &str, &str); 3] = [
        (
            "9c5923e9-de52-33ea-88de-7ebc8633b9cc",
            "e923599c52deea3388de7ebc8633b9cc",
            "6SNZnFLe6jOI3n68hjO5zA==",
            "nFkj6d5SM+qI3n68hjO5zA==",
        ),
        (
            "00112233-4455-6677-8899-aabbccddeeff",
            "33221100554477668899aabbccddeeff",
            "MyIRAFVEd2aImaq7zN3u/w==",
            "ABEiM0RVZneImaq7zN3u/w==",
        ),
        (
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "e004253f894fd3119a0c0305e82c3301",
            "4AQlP4lP0xGaDAMF6CwzAQ==",
            "PyUE4E+JEdOaDAMF6CwzAQ==",
        ),
    ];

    #[test]
    fn the_known_vectors_convert() {
        for (text, hex, id, big_endian) in VECTORS {
            let guid = ObjectGuid::parse(text).unwrap();
            assert_eq!(guid.to_string(), text);
            assert_eq!(guid.hex(), hex);
            assert_eq!(ImmutableId::from(guid).as_str(), id);
            assert_eq!(ImmutableId::from(guid.swapped()).as_str(), big_endian);
            assert_eq!(decode(id), Some(guid));
        }
    }

    #[test]
    fn a_published_value_converts() {
        let guid = ObjectGuid::parse("744cca2e-abf0-4df2-b1a7-ac9702956ea8").unwrap();
        assert_eq!(ImmutableId::from(guid).as_str(), "LspMdPCr8k2xp6yXApVuqA==");
        assert_eq!(guid.hex(), "2eca4c74f0abf24db1a7ac9702956ea8");
    }

    #[test]
    fn a_guid_is_read_in_its_usual_spellings_only() {
        let guid = ObjectGuid::parse(VECTORS[0].0);
        for text in [
            "{9C5923E9-DE52-33EA-88DE-7EBC8633B9CC}",
            "9c5923e9de5233ea88de7ebc8633b9cc",
            "{9c5923e9de5233ea88de7ebc8633b9cc}",
        ] {
            assert_eq!(ObjectGuid::parse(text), guid, "{text}");
        }
        for text in [
            "",
            " 9c5923e9-de52-33ea-88de-7ebc8633b9cc",
            "{9c5923e9-de52-33ea-88de-7ebc8633b9cc",
            "9c5923e9-de52-33ea-88de-7ebc8633b9cc}",
            "urn:uuid:9c5923e9-de52-33ea-88de-7ebc8633b9cc",
            "9c5923e9-de52-33ea-88de-7ebc8633b9c",
        ] {
            assert_eq!(ObjectGuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn free_text_anchors_follow_microsofts_rules() {
        assert!(ImmutableId::from_free_text("E-10023").is_ok());
        assert!(ImmutableId::from_free_text("a@b.com").is_err_and(|why| why.contains('@')));
        assert!(ImmutableId::from_free_text(&"a".repeat(59)).is_ok());
        for text in ["a".repeat(60), "-".repeat(20)] {
            assert!(ImmutableId::from_free_text(&text).is_err_and(|why| why.contains("too long")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_guid_survives_the_round_trip(octets: [u8; 16]) {
            let guid = ObjectGuid::from_octets(octets);
            let id = ImmutableId::from(guid);
            prop_assert_eq!(id.as_str().len(), BINARY_ANCHOR_CHARS);
            prop_assert_eq!(decode(id.as_str()), Some(guid));
            prop_assert_eq!(decode_unpadded(id.as_str().trim_end_matches('=')), Some(guid));
            prop_assert_eq!(ObjectGuid::parse(&guid.to_string()), Some(guid));
            prop_assert_eq!(guid.octets(), octets);
        }
    }
}
