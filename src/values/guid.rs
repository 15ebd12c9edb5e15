//! The GUID of a person in Active Directory.
//!
//! objectGUID is 16 octets. As text it is written with its first three fields turned round (Microsoft stores them
//! little-endian), while the ImmutableID is the base64 of the octets as they are stored. Everything that knows about
//! this order is in this file, and so is reading a column of GUIDs. Whatever else people paste is read in `anchor`.

use super::anchor::{read_bare, read_clear};
use super::immutable_id::ImmutableId;
use super::rule::Rule;
use super::spelling::{Notation, Spelling};
use super::violation::Violation;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD, URL_SAFE_NO_PAD};
use std::fmt;
use uuid::Uuid;

/// Length of an ImmutableID made from a GUID, in characters: base64 of 16 octets.
pub const BINARY_ANCHOR_CHARS: usize = 24;
/// Accepts set bits after the 16th octet, which encoders never write and some converters leave behind.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// A GUID as Active Directory's objectGUID and mS-DS-ConsistencyGuid hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        Uuid::from_bytes(self.octets()).simple().to_string()
    }

    /// Adds the text of the ImmutableID that is made from it.
    pub fn write_base64(self, text: &mut String) {
        STANDARD.encode_string(self.octets(), text);
    }

    /// Reads a GUID's text: 32 hexadecimal digits in either case, with or without dashes, with or without braces.
    /// White space around it is not accepted.
    pub fn parse(text: &str) -> Option<ObjectGuid> {
        let bare = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
        // The uuid crate reads `urn:uuid:` and more; only the lengths of the two plain forms are wanted here.
        matches!(bare.len(), 32 | 36).then(|| Uuid::try_parse(bare).ok()).flatten().map(ObjectGuid)
    }

    /// The GUID whose first three fields are turned round, which is what a converter makes that forgets the order.
    pub fn swapped(self) -> ObjectGuid {
        ObjectGuid(Uuid::from_bytes(self.octets()))
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
}

impl fmt::Display for ObjectGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

/// Reads a cell of a column of GUIDs. An error among the violations means no value.
pub fn read(cell: &str, violations: &mut Vec<Violation>) -> Option<ObjectGuid> {
    read_bare(cell, violations, read_text)
}

fn read_text(text: &str, violations: &mut Vec<Violation>) -> Option<ObjectGuid> {
    match read_clear(text) {
        Ok(Spelling { guid, form: Notation::GuidText }) if ObjectGuid::parse(text).is_some() => {
            violations.extend(doubt(text, guid));
            return Some(guid);
        }
        Ok(Spelling { guid, form }) => {
            let message = match form {
                Notation::GuidText => "is a GUID in an unusual spelling".to_owned(),
                Notation::Base64 => format!("is {form}, not the text of a GUID"),
                Notation::Hex | Notation::LdapEscapes | Notation::Decimal | Notation::HexOfBase64 => {
                    format!("is {form}, not the text of a GUID; its ImmutableID is {}", ImmutableId::from(guid))
                }
            };
            violations.push(Violation::error(Rule::Guid, message).suggesting(Some(guid.to_string())));
        }
        Err(mistake) => violations.push(mistake.violation(Rule::Guid, |guid| guid.to_string())),
    }
    None
}

/// What speaks against a GUID that can be read.
fn doubt(text: &str, guid: ObjectGuid) -> Option<Violation> {
    let other = guid.swapped();
    let warning = |message: String, suggestion: ObjectGuid| {
        Some(Violation::warning(Rule::Guid, message).suggesting(Some(suggestion.to_string())))
    };
    match text.contains('-') {
        // The octets with dashes between them, as far as anybody can tell.
        true if guid.plausibility() == 0 && other.is_random() => warning(
            format!(
                "is no GUID that Active Directory would make; {other} would be usual, so check the order of the \
                 octets where it was converted"
            ),
            other,
        ),
        false if !guid.is_random() && other != guid => {
            warning("is read as a GUID without dashes; octets in hexadecimal look the same".into(), guid)
        }
        true | false => None,
    }
}

/// A GUID is compared as the ImmutableID it will be.
pub fn write_unique_key(guid: &str, key: &mut String) {
    match ObjectGuid::parse(guid) {
        Some(guid) => guid.write_base64(key),
        None => key.push_str(guid),
    }
}

/// The GUID in a base64 text of 24 characters, also when the last symbol has bits that no encoder sets.
pub fn decode(text: &str) -> Option<ObjectGuid> {
    let mut octets = [0; 16];
    // Room for the estimate that the decoder makes before it knows the padding.
    let mut buffer = [0; 18];
    if text.len() != BINARY_ANCHOR_CHARS || LENIENT.decode_slice(text, &mut buffer) != Ok(octets.len()) {
        return None;
    }
    octets.copy_from_slice(&buffer[..16]);
    Some(ObjectGuid::from_octets(octets))
}

/// The octets of a base64 text in the URL-safe alphabet or without its padding: 22 symbols that stand for a GUID.
pub fn decode_unpadded(text: &str) -> Option<ObjectGuid> {
    let symbols = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    if symbols.len() != BINARY_ANCHOR_CHARS - 2 {
        return None;
    }
    let octets = URL_SAFE_NO_PAD.decode(symbols).ok()?;
    octets.try_into().ok().map(ObjectGuid::from_octets)
}
