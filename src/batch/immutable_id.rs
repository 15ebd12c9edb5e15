//! The two forms in which Active Directory and Entra ID know the same person: objectGUID and ImmutableID.
//!
//! objectGUID is 16 octets. As text it is written with its first three fields turned round (Microsoft stores them
//! little-endian), while the ImmutableID is the base64 of the octets as they are stored. Everything that knows about
//! this order is in this file. Reading what people paste is the business of `anchor`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use uuid::Uuid;

use super::upn::is_mail_address;

/// Length of an ImmutableID made from a GUID, in characters: base64 of 16 octets.
pub const BINARY_ANCHOR_CHARS: usize = 24;
/// A free-text anchor has fewer characters than this, letters and digits counted once and others three times
/// (Microsoft, "Azure AD Connect: Design concepts", on sourceAnchor).
pub const FREE_ANCHOR_UNITS_LIMIT: usize = 60;
/// How often a character that is neither letter nor digit counts in a free-text anchor (same page).
const FREE_ANCHOR_OTHER_UNITS: usize = 3;
/// Characters that a free-text anchor may not contain (same page).
const FREE_ANCHOR_FORBIDDEN: &str = "\\!#$%&*+/=?^`{}|~<>()';:,[]\"@_";

/// Accepts set bits after the 16th octet, which encoders never write and some converters leave behind.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// A GUID as Active Directory's objectGUID and mS-DS-ConsistencyGuid hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectGuid(Uuid);

impl ObjectGuid {
    /// The GUID that LDAP hands out as these octets.
    pub fn from_octets(octets: [u8; 16]) -> ObjectGuid {
        ObjectGuid(Uuid::from_bytes_le(octets))
    }

    /// The octets as LDAP hands them out.
    pub fn octets(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }

    /// The octets in their order as 32 lower-case hexadecimal digits. Not the GUID's text without dashes.
    pub fn hex(self) -> String {
        ObjectGuid::from_text_order(self.octets())
            .0
            .simple()
            .to_string()
    }

    /// Adds the text of the ImmutableID that is made from it.
    pub fn write_base64(self, text: &mut String) {
        STANDARD.encode_string(self.octets(), text);
    }

    /// Reads a GUID's text: 32 hexadecimal digits in either case, with or without dashes, with or without braces.
    /// White space around it is not accepted.
    pub fn parse(text: &str) -> Option<ObjectGuid> {
        let bare = text
            .strip_prefix('{')
            .map_or(Some(text), |rest| rest.strip_suffix('}'))?;
        // The uuid crate reads `urn:uuid:` and more; only the lengths of the two plain forms are wanted here.
        matches!(bare.len(), 32 | 36)
            .then(|| Uuid::try_parse(bare).ok())
            .flatten()
            .map(ObjectGuid)
    }

    /// The GUID whose first three fields are turned round, which is what a converter makes that forgets the order.
    pub fn swapped(self) -> ObjectGuid {
        ObjectGuid::from_text_order(self.octets())
    }

    /// Whether it is the GUID of only zeros, which belongs to nobody.
    pub fn is_nil(self) -> bool {
        self.0.is_nil()
    }

    /// How likely a directory has made it. Active Directory makes random ones (version 4); other versions of the
    /// standard are rarer, and anything else is rather the octets in another order.
    pub fn plausibility(self) -> u8 {
        match (self.0.get_variant(), self.0.get_version_num()) {
            (uuid::Variant::RFC4122, 4) => 2,
            (uuid::Variant::RFC4122, 1..=5) => 1,
            _ => 0,
        }
    }

    /// Whether it is a random GUID, as Active Directory makes them for new objects.
    pub fn is_random(self) -> bool {
        self.plausibility() == 2
    }

    fn from_text_order(bytes: [u8; 16]) -> ObjectGuid {
        ObjectGuid(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ObjectGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

/// An anchor as Entra ID's onPremisesImmutableId holds it. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ImmutableId(String);

/// What an anchor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorKind {
    /// Base64 of a GUID's octets: what Entra Connect makes.
    Guid,
    /// A mail address: what Google and Okta have people set where they sign them in.
    MailAddress,
    /// Any other text, such as an employee number.
    Text,
}

impl fmt::Display for AnchorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AnchorKind::Guid => "guid",
            AnchorKind::MailAddress => "mail",
            AnchorKind::Text => "text",
        })
    }
}

/// Why a free text cannot be an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FreeTextError {
    /// It has a character that Microsoft rules out.
    #[error("has the character {0}, which an anchor that is not base64 may not contain")]
    Forbidden(char),
    /// It is too long as Microsoft counts.
    #[error(
        "is too long for an anchor: fewer than {FREE_ANCHOR_UNITS_LIMIT} characters are allowed, others than letters and digits counting three"
    )]
    TooLong,
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

    /// Takes a mail address. `None` if the text is none.
    pub fn from_mail_address(text: &str) -> Option<ImmutableId> {
        is_mail_address(text).then(|| ImmutableId(text.to_owned()))
    }

    /// Takes a text that is not made from a GUID, such as an employee number.
    ///
    /// # Errors
    /// When the text breaks Microsoft's rules for such anchors.
    pub fn from_free_text(text: &str) -> Result<ImmutableId, FreeTextError> {
        let forbidden = |c: &char| c.is_control() || FREE_ANCHOR_FORBIDDEN.contains(*c);
        if let Some(wrong) = text.chars().find(forbidden) {
            return Err(FreeTextError::Forbidden(wrong));
        }
        let units: usize = text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    1
                } else {
                    FREE_ANCHOR_OTHER_UNITS
                }
            })
            .sum();
        if units >= FREE_ANCHOR_UNITS_LIMIT {
            return Err(FreeTextError::TooLong);
        }
        Ok(ImmutableId(text.to_owned()))
    }

    /// The text, exactly as Entra ID compares it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ObjectGuid> for ImmutableId {
    fn from(guid: ObjectGuid) -> ImmutableId {
        ImmutableId(STANDARD.encode(guid.octets()))
    }
}

impl fmt::Display for ImmutableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The GUID in a base64 text of 24 characters, also when the last symbol has bits that no encoder sets.
pub fn decode(text: &str) -> Option<ObjectGuid> {
    let mut octets = [0; 16];
    // Room for the estimate that the decoder makes before it knows the padding.
    let mut buffer = [0; 18];
    if text.len() != BINARY_ANCHOR_CHARS
        || LENIENT.decode_slice(text, &mut buffer) != Ok(octets.len())
    {
        return None;
    }
    octets.copy_from_slice(&buffer[..16]);
    Some(ObjectGuid::from_octets(octets))
}

/// The octets of a base64 text in the URL-safe alphabet or without its padding: 22 symbols that stand for a GUID.
pub fn decode_unpadded(text: &str) -> Option<ObjectGuid> {
    let symbols = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    if symbols.len() != BINARY_ANCHOR_CHARS - 2 {
        return None;
    }
    let octets = URL_SAFE_NO_PAD.decode(symbols).ok()?;
    octets.try_into().ok().map(ObjectGuid::from_octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(
            ImmutableId::from_free_text("a@b.com"),
            Err(FreeTextError::Forbidden('@'))
        );
        assert!(ImmutableId::from_free_text(&"a".repeat(59)).is_ok());
        assert_eq!(
            ImmutableId::from_free_text(&"a".repeat(60)),
            Err(FreeTextError::TooLong)
        );
        assert_eq!(
            ImmutableId::from_free_text(&"-".repeat(20)),
            Err(FreeTextError::TooLong)
        );
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
