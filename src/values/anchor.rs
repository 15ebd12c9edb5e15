//! Reading what people give as a GUID or an ImmutableID: in the command that converts a value, and in the cells of
//! the two kinds of columns.
//!
//! A column takes one spelling, so that a whole file cannot mix two orders of octets unseen; the command takes all.
//! Values that are none of them are diagnosed in `mistake`.

use super::guid::{ObjectGuid, decode};
use super::immutable_id::ImmutableId;
use super::mistake::{classic_mistake, has_lost_its_case, has_one_case};
use super::rule::Rule;
use super::spelling::{OctetOrder, Spelling, order, spelled};
use super::violation::Violation;
use crate::core::undefused;

pub use super::mistake::AnchorError;
pub use super::spelling::Notation;

/// One person's anchor in its three spellings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// How the value was written.
    pub form: Notation,
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
    let bare = undefused(bare);
    let Spelling { form, guid } = read_any(bare)?;
    if guid.is_nil() {
        return Err(AnchorError::Nil);
    }
    notes.extend(assumed(bare, form, guid));
    Ok(Anchor { form, guid, hex: guid.hex(), immutable_id: guid.into(), notes })
}

/// What the person who asked should know of the reading.
fn assumed(text: &str, form: Notation, guid: ObjectGuid) -> Vec<String> {
    let is_bare = ObjectGuid::parse(text).is_some() && !text.contains('-');
    let other = guid.swapped();
    let other_id = ImmutableId::from(other);
    match form {
        Notation::GuidText if is_bare => vec![format!(
            "read as a GUID without dashes; octets in their order, as LDAP shows them, look the same and would be \
             {other}, ImmutableID {other_id}"
        )],
        Notation::Hex if is_bare => vec![format!(
            "read as the octets in their order, as LDAP shows them; a GUID without dashes looks the same and would be \
             {other}, ImmutableID {other_id}"
        )],
        Notation::Base64 => doubts(text, guid).into_iter().map(|fault| fault.message).collect(),
        Notation::GuidText | Notation::Hex | Notation::LdapEscapes | Notation::Decimal | Notation::HexOfBase64 => {
            Vec::new()
        }
    }
}

fn read_any(text: &str) -> Result<Spelling, AnchorError> {
    if let Some(read) = ObjectGuid::parse(text) {
        let is_text = text.contains('-') || order(read) == OctetOrder::Text;
        let (form, guid) = if is_text { (Notation::GuidText, read) } else { (Notation::Hex, read.swapped()) };
        return Ok(Spelling { form, guid });
    }
    match (decode(text), spelled(text)) {
        (Some(_), _) if has_lost_its_case(text) => Err(AnchorError::LostCase),
        (Some(guid), _) => Ok(Spelling { form: Notation::Base64, guid }),
        (None, Some(spelling)) => Ok(spelling),
        (None, None) => Err(classic_mistake(text).unwrap_or(AnchorError::Unreadable)),
    }
}

/// Reads a cell of a column of GUIDs.
pub fn read_guid_cell(cell: &str, violations: &mut Vec<Violation>) -> Option<String> {
    let text = trimmed(undefused(cell), violations);
    read_guid(text, violations).map(|guid| guid.to_string())
}

/// A GUID is compared as the ImmutableID it will be.
pub fn write_unique_key(guid: &str, key: &mut String) {
    match ObjectGuid::parse(guid) {
        Some(guid) => guid.write_base64(key),
        None => key.push_str(guid),
    }
}

/// Reads a cell of a column of ImmutableIDs.
pub fn read_immutable_id_cell(cell: &str, violations: &mut Vec<Violation>) -> Option<String> {
    let text = trimmed(undefused(cell), violations);
    read_immutable_id(text, violations).map(String::from)
}

/// White space around an anchor can mean nothing, nor can the apostrophe with which spreadsheets and reports mark a
/// text, so the rest is used; it is still told.
fn trimmed<'a>(cell: &'a str, faults: &mut Vec<Violation>) -> &'a str {
    let bare = cell.trim_matches(|c: char| c.is_ascii_whitespace());
    let unmarked = bare.strip_prefix('\'').filter(|rest| decode(rest).is_some() || ObjectGuid::parse(rest).is_some());
    if let Some(rest) = unmarked {
        let message = "has an apostrophe before it; the value is used without it";
        let fault = Violation::warning(Rule::Character, message);
        faults.push(fault.suggesting(Some(rest.to_owned())));
        return rest;
    }
    if bare.len() != cell.len() {
        faults.push(
            Violation::warning(Rule::Character, "has white space around it; the value is used without it")
                .suggesting(Some(bare.to_owned())),
        );
    }
    bare
}

/// Reads the text of a GUID. What it finds wrong goes to `faults`; an error there means no value.
pub fn read_guid(text: &str, faults: &mut Vec<Violation>) -> Option<ObjectGuid> {
    let refused = |mistake: AnchorError| {
        let meant = mistake.meant().map(|guid| guid.to_string());
        Violation::error(Rule::Guid, mistake.sentence()).suggesting(meant)
    };
    match ObjectGuid::parse(text) {
        Some(guid) if guid.is_nil() => faults.push(refused(AnchorError::Nil)),
        Some(guid) if text.contains('-') => {
            faults.extend(turned_round(guid));
            return Some(guid);
        }
        Some(digits) => match order(digits) {
            OctetOrder::Text => {
                faults.extend(hardly_text(digits));
                return Some(digits);
            }
            OctetOrder::Octets => faults.push(not_a_guid(Spelling { form: Notation::Hex, guid: digits.swapped() })),
            OctetOrder::Unclear => faults.push(refused(AnchorError::UnclearOrder(digits))),
        },
        None => faults.push(match read_any(text) {
            Ok(spelling) => not_a_guid(spelling),
            Err(mistake) => refused(mistake),
        }),
    }
    None
}

fn not_a_guid(spelling: Spelling) -> Violation {
    let Spelling { form, guid } = spelling;
    if guid.is_nil() {
        return Violation::error(Rule::Guid, AnchorError::Nil.sentence());
    }
    let message = match form {
        Notation::GuidText => "is a GUID in an unusual spelling".to_owned(),
        Notation::Base64 => format!("is {form}, not the text of a GUID"),
        Notation::Hex | Notation::LdapEscapes | Notation::Decimal | Notation::HexOfBase64 => {
            format!("is {form}, not the text of a GUID; its ImmutableID is {}", ImmutableId::from(guid))
        }
    };
    Violation::error(Rule::Guid, message).suggesting(Some(guid.to_string()))
}

/// A GUID's text that is the octets with dashes between them, as far as anybody can tell.
fn turned_round(guid: ObjectGuid) -> Option<Violation> {
    let other = guid.swapped();
    (guid.plausibility() == 0 && other.is_random()).then(|| {
        Violation::warning(
            Rule::Guid,
            format!(
                "is no GUID that Active Directory would make; {other} would be usual, so check the order of the \
                 octets where it was converted"
            ),
        )
        .suggesting(Some(other.to_string()))
    })
}

fn hardly_text(guid: ObjectGuid) -> Option<Violation> {
    let is_doubtful = !guid.is_random() && guid.swapped() != guid;
    is_doubtful.then(|| {
        Violation::warning(Rule::Guid, "is read as a GUID without dashes; octets in hexadecimal look the same")
            .suggesting(Some(guid.to_string()))
    })
}

/// Reads an ImmutableID. What it finds wrong goes to `faults`; an error there means no value.
pub fn read_immutable_id(text: &str, faults: &mut Vec<Violation>) -> Option<ImmutableId> {
    let refused = |mistake: AnchorError| {
        let meant = mistake.meant().map(ImmutableId::from);
        Violation::error(Rule::ImmutableId, mistake.sentence()).suggesting(meant.map(|id| id.to_string()))
    };
    let is_bare = ObjectGuid::parse(text).filter(|_| !text.contains('-'));
    match (is_bare.map(order), read_any(text)) {
        (Some(OctetOrder::Unclear), Ok(Spelling { guid, .. })) => {
            faults.push(refused(AnchorError::UnclearOrder(guid.swapped())));
        }
        (_, Ok(Spelling { guid, .. })) if guid.is_nil() => faults.push(refused(AnchorError::Nil)),
        (_, Ok(Spelling { form: Notation::Base64, guid })) => {
            faults.extend(doubts(text, guid));
            return Some(guid.into());
        }
        (_, Ok(spelling)) => faults.push(not_an_immutable_id(spelling)),
        (_, Err(AnchorError::Unreadable)) => return read_other_anchor(text, faults),
        (_, Err(mistake)) => faults.push(refused(mistake)),
    }
    None
}

fn not_an_immutable_id(spelling: Spelling) -> Violation {
    let Spelling { form, guid } = spelling;
    let told = match form {
        Notation::GuidText => String::new(),
        Notation::Hex | Notation::LdapEscapes | Notation::Decimal | Notation::Base64 | Notation::HexOfBase64 => {
            format!("; its GUID is {guid}")
        }
    };
    Violation::error(Rule::ImmutableId, format!("is {form}, not an ImmutableID{told}"))
        .suggesting(Some(ImmutableId::from(guid).to_string()))
}

/// An anchor that is not made from a GUID. Whether the tenant has such ones the job must know.
fn read_other_anchor(text: &str, faults: &mut Vec<Violation>) -> Option<ImmutableId> {
    if let Some(id) = ImmutableId::from_mail_address(text) {
        faults.push(Violation::warning(
            Rule::ImmutableId,
            "is a mail address: right only where another identity provider, such as Google or Okta, signs people in \
             (--set anchors=any allows its other anchors, too)",
        ));
        return Some(id);
    }
    match ImmutableId::from_free_text(text) {
        Ok(id) => {
            faults.push(Violation::warning(
                Rule::ImmutableId,
                "is not made from a GUID; it can only be an anchor of free text",
            ));
            Some(id)
        }
        Err(error) => {
            faults.push(Violation::error(Rule::ImmutableId, format!("is not base64 of 16 octets, and {error}")));
            None
        }
    }
}

/// What speaks against a readable ImmutableID without making it wrong.
fn doubts(text: &str, guid: ObjectGuid) -> Vec<Violation> {
    let canonical = ImmutableId::from(guid);
    let mut doubts = Vec::new();
    if canonical.as_str() != text {
        doubts.push(
            Violation::warning(
                Rule::ImmutableId,
                format!("ends in a symbol that no encoder writes; {canonical} is used"),
            )
            .suggesting(Some(canonical.to_string())),
        );
    } else if has_one_case(text) {
        doubts.push(Violation::warning(
            Rule::ImmutableId,
            "has letters of one case only; check that nothing has changed its case",
        ));
    }
    let other = guid.swapped();
    if order(guid) == OctetOrder::Octets && other.is_random() {
        doubts.push(
            Violation::warning(
                Rule::ImmutableId,
                format!(
                    "stands for the GUID {guid}, which Active Directory would hardly make; {other} would be usual, so \
                     check the order of the octets where it was converted"
                ),
            )
            .suggesting(Some(ImmutableId::from(other).to_string())),
        );
    }
    doubts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values::Severity;
    use crate::values::spelling::tests::{random_guids, spellings};

    const GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";
    const HEX: &str = "e923599c52deea3388de7ebc8633b9cc";
    const ID: &str = "6SNZnFLe6jOI3n68hjO5zA==";

    fn as_id(text: &str) -> (Option<String>, Vec<Violation>) {
        let mut faults = Vec::new();
        let id = read_immutable_id(text, &mut faults);
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
            assert_eq!((anchor.hex.as_str(), anchor.immutable_id.as_str()), (HEX, ID));
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
        let guid = ObjectGuid::parse(GUID).unwrap();
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
            ("OWM1OTIzZTktZGU1Mi0zM2VhLTg4ZGUtN2ViYzg2MzNiOWNj", AnchorError::EncodedText(guid)),
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
        let meant = url_safe.meant().map(|guid| ImmutableId::from(guid).to_string());
        assert_eq!(meant.as_deref(), Some("MyIRAFVEd2aImaq7zN3u/w=="));
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
        let guid = read_guid("9c5923e9de5233ea88de7ebc8633b9cc", &mut faults);
        assert_eq!(guid, ObjectGuid::parse(GUID));
        assert_eq!((faults.len(), faults[0].severity), (1, Severity::Warning));
        assert_eq!(read_guid(ID, &mut faults), None);
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
            assert_eq!(read_guid(text, &mut faults), None, "{text}");
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
            assert_eq!(read_guid(text, &mut faults), None, "{text:?}");
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
        assert_eq!(read_guid(digits, &mut faults), None);
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
                prop_assert_eq!(read_guid(&text, &mut faults), None, "{}", text);
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
