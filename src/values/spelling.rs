//! The ways in which programs write the 16 octets of a GUID, beside its usual text and the ImmutableID.
//!
//! LDAP hands the octets out in an order of their own, and 32 digits look the same in both orders. Active Directory
//! makes random GUIDs, whose version digit stands elsewhere in each order: it tells which of the two was written.

use super::guid::{ObjectGuid, decode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Notation {
    /// The text of a GUID.
    #[strum(serialize = "the text of a GUID")]
    GuidText,
    /// The octets in hexadecimal.
    #[strum(serialize = "octets in hexadecimal")]
    Hex,
    /// The octets as a filter of LDAP writes them, `\e9\23…`.
    #[strum(serialize = "octets with LDAP's escapes")]
    LdapEscapes,
    /// The octets as decimal numbers.
    #[strum(serialize = "octets in decimal")]
    Decimal,
    /// Base64 of the octets.
    #[strum(serialize = "an ImmutableID")]
    Base64,
    /// The characters of an ImmutableID in hexadecimal, as Entra Connect's connector space names a person.
    #[strum(serialize = "the characters of an ImmutableID in hexadecimal")]
    HexOfBase64,
}

/// A GUID and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// How.
    pub form: Notation,
    /// Which one.
    pub guid: ObjectGuid,
}

/// What 32 hexadecimal digits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OctetOrder {
    /// A GUID's text without its dashes.
    Text,
    /// The octets as LDAP hands them out.
    Octets,
    /// Nothing tells.
    Unclear,
}

/// Which order digits have that were read as a GUID's text.
pub fn order(digits: ObjectGuid) -> OctetOrder {
    let octets = digits.swapped();
    if octets == digits {
        return OctetOrder::Text;
    }
    match digits.plausibility().cmp(&octets.plausibility()) {
        std::cmp::Ordering::Greater => OctetOrder::Text,
        std::cmp::Ordering::Less => OctetOrder::Octets,
        std::cmp::Ordering::Equal => OctetOrder::Unclear,
    }
}

/// Reads digits in groups, however they are grouped, marked and wrapped, and characters that were encoded once too
/// often. 32 bare digits are read only where their order is clear.
pub fn spelled(text: &str) -> Option<Spelling> {
    in_groups(text).or_else(|| hex_of_base64(text))
}

/// What stands between two groups of digits, or around all of them.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_dash(c) || ":,;.\\%_|{}()[]<>'\"=".contains(c)
}

/// A hyphen, or what a word processor makes of one.
pub fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}')
}

fn in_groups(text: &str) -> Option<Spelling> {
    let lower = text.to_ascii_lowercase();
    let is_marked = lower.contains("0x") || lower.contains('\\') || lower.starts_with("x'");
    let digits = ["urn:uuid:", "guid", "0x", "\\x", "x'"].iter().fold(lower, |text, mark| text.replace(mark, " "));
    let groups: Vec<&str> = digits.split(is_separator).filter(|group| !group.is_empty()).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_text = matches!(*lengths, [8, 4, 4, 4, 12] | [8, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2]);
    let is_even = [(32, 1), (16, 2), (8, 4), (4, 8), (2, 16)]
        .iter()
        .any(|(length, count)| lengths.len() == *count && lengths.iter().all(|one| one == length));
    if !is_text && !is_even {
        return decimal(text, &groups);
    }
    let read = ObjectGuid::parse(&groups.concat())?;
    let (form, guid) = match (is_text, is_marked, order(read)) {
        (true, _, _) | (false, false, OctetOrder::Text) => (Notation::GuidText, read),
        (false, false, OctetOrder::Unclear) if groups.len() == 1 => return None,
        (false, true, _) if text.starts_with('\\') && !text.starts_with("\\x") => {
            (Notation::LdapEscapes, read.swapped())
        }
        (false, true, _) | (false, false, OctetOrder::Octets | OctetOrder::Unclear) => (Notation::Hex, read.swapped()),
    };
    Some(Spelling { form, guid })
}

/// PowerShell shows an array of bytes so. A sign would make other numbers of them.
fn decimal(text: &str, groups: &[&str]) -> Option<Spelling> {
    if text.contains(is_dash) {
        return None;
    }
    let octets: Option<Vec<u8>> = groups.iter().map(|group| group.parse().ok()).collect();
    let octets: [u8; 16] = octets?.try_into().ok()?;
    Some(Spelling { form: Notation::Decimal, guid: ObjectGuid::from_octets(octets) })
}

fn hex_of_base64(text: &str) -> Option<Spelling> {
    let digits = text.trim_start_matches("CN=").trim_matches(|c| matches!(c, '{' | '}'));
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let character = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok().map(char::from);
    let characters: Option<String> = pairs.iter().map(character).collect();
    decode(&characters?).map(|guid| Spelling { form: Notation::HexOfBase64, guid })
}

/// The GUID whose text, hexadecimal digits or ImmutableID was base64-encoded by mistake.
pub fn decode_encoded_text(text: &str) -> Option<ObjectGuid> {
    let mut bytes = STANDARD.decode(text).ok()?;
    // PowerShell's [Text.Encoding]::Unicode has a NUL after each letter.
    bytes.retain(|byte| *byte != 0);
    let inner = String::from_utf8(bytes).ok()?;
    let inner = inner.trim();
    decode(inner).or_else(|| spelled(inner).map(|spelling| spelling.guid))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values::ImmutableId;

    /// GUIDs as Active Directory makes them.
    pub fn random_guids() -> impl Strategy<Value = ObjectGuid> {
        any::<[u8; 16]>().prop_map(|bytes| {
            let guid = uuid::Builder::from_random_bytes(bytes).into_uuid();
            ObjectGuid::parse(&guid.to_string()).unwrap()
        })
    }

    fn pairs(hex: &str) -> Vec<String> {
        let (pairs, _) = hex.as_bytes().as_chunks::<2>();
        pairs.iter().map(|pair| str::from_utf8(pair).unwrap().to_owned()).collect()
    }

    /// What programs make of a GUID, and of its octets.
    pub fn spellings(guid: ObjectGuid) -> Vec<(String, Notation)> {
        let hex = guid.hex();
        let pairs = pairs(&hex);
        let text = guid.to_string();
        let (head, tail) = (&text[..18], text[19..].replace('-', ""));
        let tail: Vec<&str> = (0..8).map(|at| &tail[2 * at..2 * at + 2]).collect();
        let x_format = format!("{{0x{},{{0x{}}}}}", head.replace('-', ",0x"), tail.join(",0x"));
        let decimal: Vec<String> = guid.octets().iter().map(u8::to_string).collect();
        let characters: String = ImmutableId::from(guid).as_str().bytes().map(|byte| format!("{byte:02X}")).collect();
        let mut all: Vec<(String, Notation)> = [
            pairs.join(" "),
            pairs.join(" ").to_uppercase(),
            pairs.join("-").to_uppercase(),
            pairs.join(":"),
            pairs.join(","),
            format!("0x{hex}"),
            format!("0x{}", pairs.join(", 0x")),
            format!("X'{hex}'"),
            format!("\\x{hex}"),
            format!("\\x{}", pairs.join("\\x")),
        ]
        .into_iter()
        .map(|text| (text, Notation::Hex))
        .collect();
        all.push((format!("\\{}", pairs.join("\\")), Notation::LdapEscapes));
        for written in [
            format!("({text})"),
            format!("urn:uuid:{text}"),
            format!("guid'{text}'"),
            text.replace('-', "\u{2013}"),
            x_format,
        ] {
            all.push((written, Notation::GuidText));
        }
        all.push((format!("CN={{{characters}}}"), Notation::HexOfBase64));
        // Sixteen numbers of two digits each are taken for hexadecimal.
        if decimal.iter().any(|number| number.len() != 2) {
            all.push((decimal.join(" "), Notation::Decimal));
            all.push((format!("{{{}}}", decimal.join(", ")), Notation::Decimal));
        }
        all
    }

    #[test]
    fn the_version_digit_tells_the_order() {
        for (digits, expected) in [
            ("e923599c52deea4388de7ebc8633b901", OctetOrder::Octets),
            ("9c5923e9de5243ea88de7ebc8633b901", OctetOrder::Text),
            ("9c5923e9de5233ea88de7ebc8633b901", OctetOrder::Text),
            ("9c5923e9de52434a88de7ebc8633b901", OctetOrder::Unclear),
            ("9c5923e9de52e3ea88de7ebc8633b901", OctetOrder::Unclear),
            ("11111111111111111111111111111111", OctetOrder::Text),
        ] {
            let guid = ObjectGuid::parse(digits).unwrap();
            assert_eq!(order(guid), expected, "{digits}");
        }
    }

    #[test]
    fn what_is_cut_or_has_other_letters_is_none() {
        for text in [
            "",
            "E9 23 59 9C 52 DE EA 43 88 DE 7E BC 86 33 B9",
            "E9 23 59 9C 52 DE EA 43 88 DE 7E BC 86 33 B9 0G",
            "233, 35, 89, 156...",
            "-23, 35, 89, -100, 82, -34, -22, 67, -120, -34, 126, -68, -122, 51, -71, 1",
            "256 35 89 156 82 222 234 67 136 222 126 188 134 51 185 1",
            "S-1-5-21-1004336348-1177238915-682003330-512",
            "hello",
            "9c5923e9de52434a88de7ebc8633b901",
        ] {
            assert_eq!(spelled(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_leads_back_to_its_guid(guid in random_guids()) {
            for (text, form) in spellings(guid) {
                prop_assert_eq!(spelled(&text), Some(Spelling { form, guid }), "{}", text);
            }
        }

        #[test]
        fn what_was_encoded_twice_leads_back(guid in random_guids()) {
            for text in [guid.to_string(), ImmutableId::from(guid).to_string()] {
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                prop_assert_eq!(decode_encoded_text(&STANDARD.encode(&text)), Some(guid));
                prop_assert_eq!(decode_encoded_text(&STANDARD.encode(wide)), Some(guid));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-fx\\\\ {}'üA-F-]{0,80}") {
            if let Some(spelling) = spelled(&text) {
                prop_assert_eq!(ObjectGuid::parse(&spelling.guid.to_string()), Some(spelling.guid));
            }
        }
    }
}
