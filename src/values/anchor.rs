//! Reading what people give as a GUID or an ImmutableID: for the command that converts a value, and for the two kinds of columns.
//!
//! A column takes one spelling, so that a whole file cannot mix two orders of octets unseen; the command takes all.
//! `mistake` diagnoses values that are none of them.

use super::guid::{ObjectGuid, decode};
use super::immutable_id::{ImmutableId, doubts};
use super::mistake::{classic_mistake, has_lost_its_case};
use super::rule::Rule;
use super::spelling::{OctetOrder, Spelling, order, spelled};
use super::violation::Violation;
use crate::core::undefused;

pub use super::mistake::AnchorError;
pub use super::spelling::Notation;

/// A value that was read, in whichever spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// How the value was written.
    pub form: Notation,
    /// The GUID.
    pub guid: ObjectGuid,
    /// What was assumed while reading, for the person who asked.
    pub notes: Vec<String>,
}

/// Reads one value in any of its spellings, for the command that converts it.
///
/// # Errors
/// When the value is none of them, with the mistake that it looks like.
pub fn interpret(text: &str) -> Result<Anchor, AnchorError> {
    let bare = undefused(text.trim());
    let spelling = read_any(bare)?;
    let mut notes = Vec::new();
    if text.trim().len() != text.len() {
        notes.push("the white space around the value was left out".to_owned());
    }
    notes.extend(assumed(bare, spelling));
    Ok(Anchor { form: spelling.form, guid: spelling.guid, notes })
}

fn assumed(text: &str, Spelling { form, guid }: Spelling) -> Vec<String> {
    let other = guid.swapped();
    let both = |this: &str, that: &str| {
        let other_id = ImmutableId::from(other);
        vec![format!("read as {this}; {that} would be {other}, ImmutableID {other_id}")]
    };
    match form {
        Notation::GuidText if bare_digits(text).is_some() => {
            both("a GUID without dashes", "octets in their order, as LDAP shows them, look the same and")
        }
        Notation::Hex if bare_digits(text).is_some() => {
            both("the octets in their order, as LDAP shows them", "a GUID without dashes looks the same and")
        }
        Notation::Base64 => doubts(text, guid).into_iter().map(|doubt| doubt.message).collect(),
        Notation::GuidText | Notation::Hex | Notation::LdapEscapes | Notation::Decimal | Notation::HexOfBase64 => {
            Vec::new()
        }
    }
}

/// 32 digits that are a GUID's text without dashes or its octets.
fn bare_digits(text: &str) -> Option<ObjectGuid> {
    ObjectGuid::parse(text).filter(|_| !text.contains('-'))
}

fn read_any(text: &str) -> Result<Spelling, AnchorError> {
    let spelling = match (ObjectGuid::parse(text), decode(text)) {
        (Some(read), _) if text.contains('-') || order(read) == OctetOrder::Text => {
            Spelling { form: Notation::GuidText, guid: read }
        }
        (Some(read), _) => Spelling { form: Notation::Hex, guid: read.swapped() },
        (None, Some(_)) if has_lost_its_case(text) => return Err(AnchorError::LostCase),
        (None, Some(guid)) => Spelling { form: Notation::Base64, guid },
        (None, None) => spelled(text).ok_or_else(|| classic_mistake(text))?,
    };
    match spelling.guid.is_nil() {
        true => Err(AnchorError::Nil),
        false => Ok(spelling),
    }
}

/// As [`read_any`], where nobody can be asked which order digits have.
pub(super) fn read_clear(text: &str) -> Result<Spelling, AnchorError> {
    match bare_digits(text).filter(|digits| order(*digits) == OctetOrder::Unclear) {
        Some(digits) => Err(AnchorError::UnclearOrder(digits)),
        None => read_any(text),
    }
}

/// Reads what a cell has without the white space around it, which can mean nothing in an anchor, and without the apostrophe with
/// which spreadsheets and reports mark a text. What was left out is told, unless the value is refused anyway.
pub(super) fn read_bare<T>(
    cell: &str,
    violations: &mut Vec<Violation>,
    read: impl FnOnce(&str, &mut Vec<Violation>) -> Option<T>,
) -> Option<T> {
    let cell = undefused(cell);
    let bare = cell.trim_matches(|c: char| c.is_ascii_whitespace());
    let unmarked = bare.strip_prefix('\'').filter(|rest| decode(rest).is_some() || ObjectGuid::parse(rest).is_some());
    let (used, found) = match unmarked {
        Some(rest) => (rest, "an apostrophe before it"),
        None => (bare, "white space around it"),
    };
    let before = violations.len();
    let value = read(used, violations)?;
    if used.len() != cell.len() {
        let message = format!("has {found}; the value is used without it");
        let warning = Violation::warning(Rule::Character, message).suggesting(Some(used.to_owned()));
        violations.insert(before, warning);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values::spelling::tests::{random_guids, spellings};
    use crate::values::{Severity, guid, immutable_id};

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
    const HEX: &str = "e923599c52deea3388de7ebc8633b9cc";
    const ID: &str = "6SNZnFLe6jOI3n68hjO5zA==";

    fn as_id(text: &str) -> (Option<String>, Vec<Violation>) {
        let mut faults = Vec::new();
        let id = immutable_id::read(text, &mut faults);
        (id.map(|id| id.to_string()), faults)
    }

    #[test]
    fn every_spelling_leads_to_the_same_anchor() {
        let ldap: String =
            HEX.as_bytes().chunks(2).map(|pair| format!("\\{}", str::from_utf8(pair).unwrap())).collect();
        for (text, form) in [
            (GUID, Notation::GuidText),
            (HEX, Notation::Hex),
            (ldap.as_str(), Notation::LdapEscapes),
            (ID, Notation::Base64),
        ] {
            let anchor = interpret(text).unwrap();
            assert_eq!((anchor.form, anchor.guid.to_string()), (form, GUID.to_owned()));
            assert_eq!((anchor.guid.hex().as_str(), ImmutableId::from(anchor.guid).as_str()), (HEX, ID));
        }
    }

    #[test]
    fn what_was_assumed_is_told() {
        let note = &interpret(HEX).unwrap().notes[0];
        assert!(note.contains("e923599c-52de-ea33-88de-7ebc8633b9cc"), "{note}");
        assert!(interpret(&format!(" {GUID}")).unwrap().notes[0].contains("white space"));
        assert!(interpret(GUID).unwrap().notes.is_empty());
    }

    #[test]
    fn classic_mistakes_are_named_and_fixed() {
        let table = [
            ("", AnchorError::Blank),
            ("#NAME?", AnchorError::Spreadsheet),
            ("System.Byte[]", AnchorError::TypeName),
            ("@{ObjectGUID=x}", AnchorError::TypeName),
            ("null", AnchorError::Absent),
            ("<not set>", AnchorError::Absent),
            ("n.a.", AnchorError::Absent),
            ("--", AnchorError::Absent),
            ("\\N", AnchorError::Absent),
            ("TRUE", AnchorError::Absent),
            ("6SNZnFLe6kOI3n...", AnchorError::Cut),
            ("6SNZnFLe6kOI3n\u{2026}", AnchorError::Cut),
            ("{233, 35, 89, 156...}", AnchorError::Cut),
            ("1.23E+10", AnchorError::Number),
            ("01.02.2026", AnchorError::Number),
            ("2026-02-01", AnchorError::Number),
            ("6snznfle6joi3n68hjo5za==", AnchorError::LostCase),
            ("AAAAAAAAAAAAAAAAAAAAAA==", AnchorError::Nil),
            ("00000000-0000-0000-0000-000000000000", AnchorError::Nil),
            ("+AAA", AnchorError::Octets(3)),
            ("hello", AnchorError::Unreadable),
        ];
        for (text, expected) in table {
            assert_eq!(interpret(text), Err(expected), "{text}");
        }
        for (text, told, wanted) in [
            ("OWM1OTIzZTktZGU1Mi0zM2VhLTg4ZGUtN2ViYzg2MzNiOWNj", "the base64 of a text", ID),
            ("6SNZnFLe6jOI3n68hjO5zA", "padding", ID),
            ("6SNZnFLe6jOI3n68hjO5zA=", "padding", ID),
            ("MyIRAFVEd2aImaq7zN3u_w==", "alphabet for URLs", "MyIRAFVEd2aImaq7zN3u/w=="),
        ] {
            let mistake = interpret(text).unwrap_err();
            assert!(mistake.to_string().contains(told), "{mistake}");
            let suggested = mistake.violation(Rule::ImmutableId, |guid| ImmutableId::from(guid).to_string()).suggestion;
            assert_eq!(suggested.as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_column_of_immutable_ids_takes_the_normal_case_silently() {
        assert_eq!(as_id(ID), (Some(ID.to_owned()), vec![]));
    }

    #[test]
    fn a_column_of_immutable_ids_refuses_mistakes_with_a_suggestion() {
        for text in [GUID, "6SNZnFLe6jOI3n68hjO5zA", "OWM1OTIzZTktZGU1Mi0zM2VhLTg4ZGUtN2ViYzg2MzNiOWNj"] {
            let (id, faults) = as_id(text);
            assert_eq!(id, None, "{text}");
            assert_eq!((faults[0].severity, faults[0].suggestion.as_deref()), (Severity::Error, Some(ID)), "{text}");
        }
        for text in [HEX, "System.Byte[]", "NULL", "6snznfle6joi3n68hjo5za=="] {
            let (id, faults) = as_id(text);
            assert_eq!((id, faults.len(), faults[0].severity), (None, 1, Severity::Error), "{text}");
        }
    }

    #[test]
    fn a_doubtful_immutable_id_is_used_with_a_warning() {
        let (id, faults) = as_id("6SNZnFLe6jOI3n68hjO5zB==");
        assert_eq!((id.as_deref(), faults[0].severity), (Some(ID), Severity::Warning));
        let (id, faults) = as_id("E10023");
        assert_eq!((id.as_deref(), faults[0].severity), (Some("E10023"), Severity::Warning));
        // The octets of 744cca2e-abf0-4df2-b1a7-ac9702956ea8 in the order of its text.
        let (id, faults) = as_id("dEzKLqvwTfKxp6yXApVuqA==");
        assert_eq!(id.as_deref(), Some("dEzKLqvwTfKxp6yXApVuqA=="));
        assert!(faults[0].message.contains("744cca2e-abf0-4df2-b1a7-ac9702956ea8"), "{faults:?}");
    }

    #[test]
    fn a_column_of_guids_reads_digits_without_dashes_with_a_warning() {
        let mut faults = Vec::new();
        let guid = guid::read("9c5923e9de5233ea88de7ebc8633b9cc", &mut faults);
        assert_eq!(guid, ObjectGuid::parse(GUID));
        assert_eq!((faults.len(), faults[0].severity), (1, Severity::Warning));
        assert_eq!(guid::read(ID, &mut faults), None);
        assert_eq!((faults[1].severity, faults[1].suggestion.as_deref()), (Severity::Error, Some(GUID)));
    }

    #[test]
    fn a_mail_address_is_an_anchor_of_other_providers() {
        let (id, faults) = as_id("anna@contoso.com");
        assert_eq!((id.as_deref(), faults.len(), faults[0].severity), (Some("anna@contoso.com"), 1, Severity::Warning));
        assert!(faults[0].message.contains("anchors=any"), "{faults:?}");
    }

    #[test]
    fn what_stands_for_no_value_is_refused_in_both_kinds_of_columns() {
        for text in [
            "-",
            "--",
            "\u{2014}",
            "?",
            "unknown",
            "n.a.",
            "N/A",
            "none",
            "(null)",
            "TRUE",
            "false",
            "#N/A",
            "System.Object[]",
            "Microsoft.ActiveDirectory.Management.ADPropertyValueCollection",
            "6SNZnFLe6kOI3n...",
            "9c5923e9-de52-43ea-\u{2026}",
            "1,23E+10",
            "44.927",
        ] {
            let (id, faults) = as_id(text);
            assert_eq!((id, faults[0].severity), (None, Severity::Error), "{text}");
            let mut faults = Vec::new();
            assert_eq!(guid::read(text, &mut faults), None, "{text}");
        }
    }

    #[test]
    fn signs_that_nobody_sees_or_that_look_alike_are_refused_with_the_value_without_them() {
        for text in [
            "6SNZnFLe6jOI3n68hjO5zA\u{ff1d}\u{ff1d}",
            "\u{ff16}SNZnFLe6jOI3n68hjO5zA==",
            "6SNZnFLe6jOI\u{200b}3n68hjO5zA==",
            "6SNZnFLe6jOI\u{ad}3n68hjO5zA==",
            "\u{feff}6SNZnFLe6jOI3n68hjO5zA==",
            "6SNZnFLe6jOI3n68hjO5zA==\u{a0}",
            "6SNZnFLe6jOI 3n68hjO5zA==",
            "6SNZnFLe6jOI3n68hjO5zA%3D%3D",
            "=\"6SNZnFLe6jOI3n68hjO5zA==\"",
            "\u{201c}6SNZnFLe6jOI3n68hjO5zA==\u{201d}",
            "9c5923e9-de52-33ea-88de-7ebc8633b9cc\u{200e}",
        ] {
            let (id, faults) = as_id(text);
            assert_eq!(
                (id, faults[0].severity, faults[0].suggestion.as_deref()),
                (None, Severity::Error, Some(ID)),
                "{text:?}"
            );
            let mut faults = Vec::new();
            assert_eq!(guid::read(text, &mut faults), None, "{text:?}");
            assert_eq!(faults[0].suggestion.as_deref(), Some(GUID), "{text:?}");
        }
        // A letter of another alphabet looks like one of ours; which one is meant is not guessed.
        let (id, faults) = as_id("6SNZnFLe6jOI3n68hjO5z\u{410}==");
        assert_eq!((id, faults[0].suggestion.clone()), (None, None));
    }

    #[test]
    fn digits_whose_order_nothing_tells_are_refused_with_both_readings() {
        let mut faults = Vec::new();
        let digits = "9c5923e9de52434a88de7ebc8633b901";
        assert_eq!(guid::read(digits, &mut faults), None);
        let message = &faults[0].message;
        assert!(message.contains("9c5923e9-de52-434a-") && message.contains("e923599c-52de-4a43-"), "{message}");
        assert_eq!(as_id(digits).0, None);
    }

    proptest! {
        #[test]
        fn any_anchor_is_read_back(octets: [u8; 16]) {
            let guid = ObjectGuid::from_octets(octets);
            let read = interpret(&guid.to_string());
            if guid.is_nil() {
                prop_assert_eq!(read, Err(AnchorError::Nil));
            } else {
                prop_assert_eq!(read.map(|anchor| anchor.guid), Ok(guid));
                prop_assert_eq!(as_id(&ImmutableId::from(guid).to_string()).0, Some(ImmutableId::from(guid).to_string()));
            }
        }

        #[test]
        fn a_spelling_that_a_column_does_not_take_is_refused_with_the_value_that_it_takes(guid in random_guids()) {
            let hex = if order(guid.swapped()) == OctetOrder::Octets { vec![guid.hex()] } else { vec![] };
            for text in spellings(guid).into_iter().map(|(text, _)| text).chain(hex) {
                let (id, faults) = as_id(&text);
                prop_assert_eq!(&id, &None, "{}", text);
                let suggested = ImmutableId::from(guid).to_string();
                prop_assert_eq!(faults[0].suggestion.as_ref(), Some(&suggested), "{}", text);
                let mut faults = Vec::new();
                prop_assert_eq!(guid::read(&text, &mut faults), None, "{}", text);
                prop_assert_eq!(faults[0].suggestion.as_ref(), Some(&guid.to_string()), "{}", text);
                prop_assert_eq!(interpret(&text).map(|anchor| anchor.guid), Ok(guid), "{}", text);
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
