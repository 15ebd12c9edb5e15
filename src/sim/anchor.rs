//! What an ImmutableID may look like, and how one is made from an objectGUID. Sources: the property's description
//! in Microsoft's SDK (`$` and `_` are refused) and the Connect design concepts (fewer than 60 characters,
//! case-sensitive). The tenant does not demand 16 octets: an anchor may be any short text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// An ImmutableID has fewer characters than this.
const CHARS_LIMIT: usize = 60;

/// Says which rule a value breaks. The empty text is refused since only JSON null clears the property.
pub(super) fn check(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty; only null clears the property");
    }
    if value.chars().count() >= CHARS_LIMIT {
        return Err("it is too long");
    }
    if value.contains(['$', '_']) {
        return Err("'$' and '_' are not allowed in it");
    }
    Ok(())
}

/// The ImmutableID that directory synchronisation derives from an objectGUID: standard base64 of the 16 octets,
/// of which the first three fields are little-endian.
pub(super) fn of_guid(guid: Uuid) -> String {
    STANDARD.encode(guid.to_bytes_le())
}

/// The ImmutableID of 16 octets as they stand.
pub(super) fn of_octets(octets: [u8; 16]) -> String {
    STANDARD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_becomes_the_published_value() {
        let guid = Uuid::from_u128(0x744c_ca2e_abf0_4df2_b1a7_ac97_0295_6ea8);
        assert_eq!(of_guid(guid), "LspMdPCr8k2xp6yXApVuqA==");
    }

    #[test]
    fn the_rules_hold_at_their_edges() {
        assert!(check(&"x".repeat(59)).is_ok());
        assert!(check(&"x".repeat(60)).is_err());
        for bad in ["", "a_b", "a$b"] {
            assert!(check(bad).is_err(), "{bad:?} was taken");
        }
    }
}
