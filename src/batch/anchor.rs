//! Reading what people give as a GUID or an ImmutableID: in the command that converts a value, and in the cells of
//! the two kinds of columns.
//!
//! A column takes one spelling, so that a whole file cannot mix two orders of octets unseen; the command takes all.
//! Values that are none of them are diagnosed in `mistake`.

use super::finding::Fault;
use super::formula::undefused;
use super::immutable_id::{ImmutableId, ObjectGuid, decode, decode_ldap_escapes};
use super::mistake::{classic_mistake, has_lost_its_case, has_one_case};
use super::rule::Rule;

pub use super::mistake::AnchorError;

/// How a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text of a GUID, with dashes or in braces.
    GuidText,
    /// 32 hexadecimal digits: the octets in their order.
    Hex,
    /// The octets as a filter of LDAP writes them, `\e9\23…`.
    LdapEscapes,
    /// Base64 of the octets.
    Base64,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Form::GuidText => "GUID",
            Form::Hex => "octets in hexadecimal",
            Form::LdapEscapes => "LDAP filter escapes",
            Form::Base64 => "ImmutableID",
        })
    }
}

/// One person's anchor in its three spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// How the value was written.
    pub form: Form,
    /// The GUID.
    pub guid: ObjectGuid,
    /// The octets as LDAP shows them, in hexadecimal.
    pub hex: String,
    /// What Entra ID's onPremisesImmutableId must be.
    pub immutable_id: ImmutableId,
    /// What was assumed while reading, for the person who asked.
    pub notes: Vec<String>,
}

/// Reads one value in any of its spellings, for the command that converts it.
///
/// # Errors
/// When the value is none of them, with the mistake that it looks like.
pub fn interpret(text: &str) -> Result<Anchor, AnchorError> {
    let bare = text.trim();
    let mut notes = Vec::new();
    if bare.len() != text.len() {
        notes.push("the white space around the value was left out".to_owned());
    }
    let (form, guid) = read_any(undefused(bare))?;
    if guid.is_nil() {
        return Err(AnchorError::Nil);
    }
    match form {
        Form::Hex => {
            let other = guid.swapped();
            notes.push(format!(
                "read as the octets in their order, as LDAP shows them; a GUID without dashes looks the same and \
                 would be {other}, ImmutableID {}",
                ImmutableId::from(other)
            ));
        }
        Form::Base64 => notes.extend(doubts(bare, guid).into_iter().map(|fault| fault.message)),
        Form::GuidText | Form::LdapEscapes => {}
    }
    Ok(Anchor {
        form,
        guid,
        hex: guid.hex(),
        immutable_id: guid.into(),
        notes,
    })
}

fn read_any(text: &str) -> Result<(Form, ObjectGuid), AnchorError> {
    if let Some(guid) = ObjectGuid::parse(text) {
        let bare_digits = text.len() == 32;
        // `parse` took the digits for text; LDAP shows them in the order of the octets.
        return Ok(if bare_digits {
            (Form::Hex, guid.swapped())
        } else {
            (Form::GuidText, guid)
        });
    }
    if let Some(guid) = decode_ldap_escapes(text) {
        return Ok((Form::LdapEscapes, guid));
    }
    match decode(text) {
        Some(_) if has_lost_its_case(text) => Err(AnchorError::LostCase),
        Some(guid) => Ok((Form::Base64, guid)),
        None => Err(classic_mistake(text).unwrap_or(AnchorError::Unreadable)),
    }
}

/// Reads a cell of a column of GUIDs. What it finds wrong goes to `faults`; an error there means no value.
pub fn read_guid(text: &str, faults: &mut Vec<Fault>) -> Option<ObjectGuid> {
    let Some(guid) = ObjectGuid::parse(text) else {
        faults.push(not_a_guid(text));
        return None;
    };
    if guid.is_nil() {
        faults.push(Fault::error(Rule::Guid, AnchorError::Nil.sentence()));
        return None;
    }
    if !text.contains('-') {
        faults.push(
            Fault::warning(
                Rule::Guid,
                "is read as a GUID without dashes; octets in hexadecimal look the same",
            )
            .suggesting(Some(guid.to_string())),
        );
    }
    Some(guid)
}

fn not_a_guid(text: &str) -> Fault {
    let (message, meant) = match (decode(text), decode_ldap_escapes(text)) {
        (Some(_), _) if has_lost_its_case(text) => (AnchorError::LostCase.sentence(), None),
        (Some(guid), _) => (
            "is an ImmutableID, not the text of a GUID".into(),
            Some(guid),
        ),
        (None, Some(guid)) => (
            "is octets with LDAP's escapes, not the text of a GUID".into(),
            Some(guid),
        ),
        (None, None) => {
            let mistake = classic_mistake(text).unwrap_or(AnchorError::Unreadable);
            (mistake.sentence(), mistake.meant())
        }
    };
    Fault::error(Rule::Guid, message).suggesting(meant.map(|guid| guid.to_string()))
}

/// Reads a cell of a column of ImmutableIDs. What it finds wrong goes to `faults`; an error there means no value.
pub fn read_immutable_id(text: &str, faults: &mut Vec<Fault>) -> Option<ImmutableId> {
    let fault = |mistake: AnchorError| {
        let meant = mistake
            .meant()
            .map(|guid| ImmutableId::from(guid).to_string());
        Fault::error(Rule::ImmutableId, mistake.sentence()).suggesting(meant)
    };
    match decode(text) {
        Some(guid) if guid.is_nil() => faults.push(fault(AnchorError::Nil)),
        Some(_) if has_lost_its_case(text) => faults.push(fault(AnchorError::LostCase)),
        Some(guid) => {
            faults.extend(doubts(text, guid));
            return Some(guid.into());
        }
        None => match (other_spelling(text), classic_mistake(text)) {
            (Some(spelling), _) => faults.push(spelling),
            (None, Some(mistake)) => faults.push(fault(mistake)),
            (None, None) => return read_free_text(text, faults),
        },
    }
    None
}

/// The faults of a good GUID in a wrong spelling for a column of ImmutableIDs.
fn other_spelling(text: &str) -> Option<Fault> {
    let error = |message: String| Fault::error(Rule::ImmutableId, message);
    let suggest = |guid: ObjectGuid| Some(ImmutableId::from(guid).to_string());
    if let Some(guid) = decode_ldap_escapes(text) {
        return Some(
            error("is octets with LDAP's escapes, not an ImmutableID".into())
                .suggesting(suggest(guid)),
        );
    }
    let guid = ObjectGuid::parse(text)?;
    if text.contains('-') {
        return Some(
            error("is the text of a GUID, not an ImmutableID".into()).suggesting(suggest(guid)),
        );
    }
    Some(error(format!(
        "is 32 hexadecimal digits, not an ImmutableID; as a GUID without dashes it would be {}, as octets {}",
        ImmutableId::from(guid),
        ImmutableId::from(guid.swapped())
    )))
}

fn read_free_text(text: &str, faults: &mut Vec<Fault>) -> Option<ImmutableId> {
    match ImmutableId::from_free_text(text) {
        Ok(id) => {
            faults.push(Fault::warning(
                Rule::ImmutableId,
                "is not made from a GUID; it is used as it is, as an anchor of free text",
            ));
            Some(id)
        }
        Err(error) => {
            faults.push(Fault::error(
                Rule::ImmutableId,
                format!("is not base64 of 16 octets, and {error}"),
            ));
            None
        }
    }
}

/// What speaks against a readable ImmutableID without making it wrong.
fn doubts(text: &str, guid: ObjectGuid) -> Vec<Fault> {
    let canonical = ImmutableId::from(guid);
    let mut doubts = Vec::new();
    if canonical.as_str() != text {
        doubts.push(
            Fault::warning(
                Rule::ImmutableId,
                format!("ends in a symbol that no encoder writes; {canonical} is used"),
            )
            .suggesting(Some(canonical.to_string())),
        );
    } else if has_one_case(text) {
        doubts.push(Fault::warning(
            Rule::ImmutableId,
            "has letters of one case only; check that nothing has changed its case",
        ));
    }
    if !guid.is_random() && guid.swapped().is_random() {
        doubts.push(Fault::warning(
            Rule::ImmutableId,
            format!(
                "stands for the GUID {guid}, which Active Directory would hardly make; {} would be usual, so check \
                 the order of the octets where it was converted",
                guid.swapped()
            ),
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::finding::Severity;

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
    const HEX: &str = "e923599c52deea3388de7ebc8633b9cc";
    const ID: &str = "6SNZnFLe6jOI3n68hjO5zA==";

    fn as_id(text: &str) -> (Option<String>, Vec<Fault>) {
        let mut faults = Vec::new();
        let id = read_immutable_id(text, &mut faults);
        (id.map(|id| id.to_string()), faults)
    }

    #[test]
    fn every_spelling_leads_to_the_same_anchor() {
        let ldap: String = HEX
            .as_bytes()
            .chunks(2)
            .map(|pair| format!("\\{}", str::from_utf8(pair).unwrap()))
            .collect();
        for (text, form) in [
            (GUID, Form::GuidText),
            (HEX, Form::Hex),
            (ldap.as_str(), Form::LdapEscapes),
            (ID, Form::Base64),
        ] {
            let anchor = interpret(text).unwrap();
            assert_eq!(
                (anchor.form, anchor.guid.to_string()),
                (form, GUID.to_owned())
            );
            assert_eq!(
                (anchor.hex.as_str(), anchor.immutable_id.as_str()),
                (HEX, ID)
            );
        }
    }

    #[test]
    fn what_was_assumed_is_told() {
        let note = &interpret(HEX).unwrap().notes[0];
        assert!(
            note.contains("e923599c-52de-ea33-88de-7ebc8633b9cc"),
            "{note}"
        );
        assert!(interpret(&format!(" {GUID}")).unwrap().notes[0].contains("white space"));
        assert!(interpret(GUID).unwrap().notes.is_empty());
    }

    #[test]
    fn classic_mistakes_are_named_and_mended() {
        let guid = ObjectGuid::parse(GUID).unwrap();
        let table = [
            ("", AnchorError::Blank),
            ("#NAME?", AnchorError::Spreadsheet("#NAME?".into())),
            (
                "System.Byte[]",
                AnchorError::TypeName("System.Byte[]".into()),
            ),
            ("null", AnchorError::Absent("null".into())),
            (
                "OWM1OTIzZTktZGU1Mi0zM2VhLTg4ZGUtN2ViYzg2MzNiOWNj",
                AnchorError::EncodedText(guid),
            ),
            ("6SNZnFLe6jOI3n68hjO5zA", AnchorError::LostPadding(guid)),
            ("6SNZnFLe6jOI3n68hjO5zA=", AnchorError::LostPadding(guid)),
            ("6snznfle6joi3n68hjo5za==", AnchorError::LostCase),
            ("AAAAAAAAAAAAAAAAAAAAAA==", AnchorError::Nil),
            ("00000000-0000-0000-0000-000000000000", AnchorError::Nil),
            ("+AAA", AnchorError::Octets(3)),
            ("hello", AnchorError::Unreadable),
        ];
        for (text, expected) in table {
            assert_eq!(interpret(text), Err(expected), "{text}");
        }
        let url_safe = interpret("MyIRAFVEd2aImaq7zN3u_w==").unwrap_err();
        let meant = url_safe
            .meant()
            .map(|guid| ImmutableId::from(guid).to_string());
        assert_eq!(meant.as_deref(), Some("MyIRAFVEd2aImaq7zN3u/w=="));
    }

    #[test]
    fn a_column_of_immutable_ids_takes_the_normal_case_silently() {
        assert_eq!(as_id(ID), (Some(ID.to_owned()), vec![]));
    }

    #[test]
    fn a_column_of_immutable_ids_refuses_mistakes_with_a_suggestion() {
        for text in [
            GUID,
            "6SNZnFLe6jOI3n68hjO5zA",
            "OWM1OTIzZTktZGU1Mi0zM2VhLTg4ZGUtN2ViYzg2MzNiOWNj",
        ] {
            let (id, faults) = as_id(text);
            assert_eq!(id, None, "{text}");
            assert_eq!(
                (faults[0].severity, faults[0].suggestion.as_deref()),
                (Severity::Error, Some(ID)),
                "{text}"
            );
        }
        for text in [
            HEX,
            "System.Byte[]",
            "NULL",
            "a@contoso.com",
            "6snznfle6joi3n68hjo5za==",
        ] {
            let (id, faults) = as_id(text);
            assert_eq!(
                (id, faults.len(), faults[0].severity),
                (None, 1, Severity::Error),
                "{text}"
            );
        }
    }

    #[test]
    fn a_doubtful_immutable_id_is_used_with_a_warning() {
        let (id, faults) = as_id("6SNZnFLe6jOI3n68hjO5zB==");
        assert_eq!(
            (id.as_deref(), faults[0].severity),
            (Some(ID), Severity::Warning)
        );
        let (id, faults) = as_id("E10023");
        assert_eq!(
            (id.as_deref(), faults[0].severity),
            (Some("E10023"), Severity::Warning)
        );
        // The octets of 744cca2e-abf0-4df2-b1a7-ac9702956ea8 in the order of its text.
        let (id, faults) = as_id("dEzKLqvwTfKxp6yXApVuqA==");
        assert_eq!(id.as_deref(), Some("dEzKLqvwTfKxp6yXApVuqA=="));
        assert!(
            faults[0]
                .message
                .contains("744cca2e-abf0-4df2-b1a7-ac9702956ea8"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_column_of_guids_reads_digits_without_dashes_with_a_warning() {
        let mut faults = Vec::new();
        let guid = read_guid("9c5923e9de5233ea88de7ebc8633b9cc", &mut faults);
        assert_eq!(guid, ObjectGuid::parse(GUID));
        assert_eq!((faults.len(), faults[0].severity), (1, Severity::Warning));
        assert_eq!(read_guid(ID, &mut faults), None);
        assert_eq!(
            (faults[1].severity, faults[1].suggestion.as_deref()),
            (Severity::Error, Some(GUID))
        );
    }

    proptest! {
        #[test]
        fn any_anchor_is_read_back(octets: [u8; 16]) {
            let guid = ObjectGuid::from_octets(octets);
            let read = interpret(&guid.hex());
            if guid.is_nil() {
                prop_assert_eq!(read, Err(AnchorError::Nil));
            } else {
                prop_assert_eq!(read.map(|anchor| anchor.guid), Ok(guid));
                prop_assert_eq!(as_id(&ImmutableId::from(guid).to_string()).0, Some(ImmutableId::from(guid).to_string()));
            }
        }

        #[test]
        fn a_cell_has_a_value_or_an_error(text in "[\\PC=+/]{1,30}") {
            let (id, faults) = as_id(&text);
            let refused = faults.iter().any(|fault| fault.severity == Severity::Error);
            prop_assert_eq!(id.is_none(), refused);
        }
    }
}
