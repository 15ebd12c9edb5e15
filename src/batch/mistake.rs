//! The classic mistakes with GUIDs and ImmutableIDs, each with what to do about it.
//!
//! They come from spreadsheets, scripts and converters, and people meet the same ones again and again. A value is
//! suggested only where the mistake loses nothing; case that is lost cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::Diagnostic;

use super::immutable_id::{ImmutableId, ObjectGuid, decode, decode_encoded_text, decode_unpadded};

/// What spreadsheets leave of a cell that they took for a formula.
const SPREADSHEET_ERRORS: [&str; 7] = [
    "#NAME?", "#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NULL!",
];
/// What databases and scripts write for nothing.
const WORDS_FOR_NOTHING: [&str; 6] = ["NULL", "$NULL", "NONE", "N/A", "NIL", "NAN"];

/// Why a value is not an anchor. The help says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum AnchorError {
    /// Nothing is there.
    #[error("there is no value")]
    #[diagnostic(
        code(anchor::blank),
        help("give a GUID, 32 hexadecimal digits or an ImmutableID")
    )]
    Blank,
    /// A word that stands for nothing.
    #[error("`{0}` stands for a value that is absent")]
    #[diagnostic(code(anchor::absent), help("leave the cell empty"))]
    Absent(String),
    /// A spreadsheet took the value for a formula.
    #[error("`{0}` is what a spreadsheet leaves of a value it took for a formula")]
    #[diagnostic(
        code(anchor::spreadsheet),
        help(
            "export the column again and open it as text: a value that begins with + is not a formula"
        )
    )]
    Spreadsheet(String),
    /// The name of a type instead of a value.
    #[error("`{0}` is the name of a PowerShell type, not a value")]
    #[diagnostic(
        code(anchor::type_name),
        help("export it again with [Convert]::ToBase64String($_.ObjectGUID.ToByteArray())")
    )]
    TypeName(String),
    /// The GUID of only zeros.
    #[error("is the GUID of only zeros, which belongs to nobody")]
    #[diagnostic(code(anchor::nil), help("export the attribute again: it was empty"))]
    Nil,
    /// Base64 of the GUID's text.
    #[error("is the base64 of the text {0}, not of the GUID's 16 octets")]
    #[diagnostic(code(anchor::encoded_text), help("use {}", ImmutableId::from(*.0)))]
    EncodedText(ObjectGuid),
    /// The alphabet that is meant for addresses.
    #[error("uses base64's alphabet for URLs (- and _), which Entra ID refuses")]
    #[diagnostic(code(anchor::url_safe), help("use {}", ImmutableId::from(*.0)))]
    UrlSafe(ObjectGuid),
    /// The two = at the end are missing.
    #[error("has lost the padding (==) at its end")]
    #[diagnostic(code(anchor::padding), help("use {}", ImmutableId::from(*.0)))]
    LostPadding(ObjectGuid),
    /// All letters are of one case.
    #[error(
        "has letters of one case only and cannot be right: upper and lower case differ here, and something has changed them"
    )]
    #[diagnostic(code(anchor::case), help("export it again without changing its case"))]
    LostCase,
    /// 24 symbols or fewer that are something else.
    #[error("is base64 of {0} octets; a GUID has 16")]
    #[diagnostic(
        code(anchor::octets),
        help("check whether the value was cut or is another attribute")
    )]
    Octets(usize),
    /// None of the above.
    #[error("is neither a GUID nor 32 hexadecimal digits nor an ImmutableID")]
    #[diagnostic(
        code(anchor::unreadable),
        help(
            "a GUID is like 9c5923e9-de52-33ea-88de-7ebc8633b9cc, an ImmutableID like 6SNZnFLe6jOI3n68hjO5zA=="
        )
    )]
    Unreadable,
}

impl AnchorError {
    /// The GUID that was meant, where the mistake leaves no doubt.
    pub fn meant(&self) -> Option<ObjectGuid> {
        match self {
            AnchorError::EncodedText(guid)
            | AnchorError::UrlSafe(guid)
            | AnchorError::LostPadding(guid) => Some(*guid),
            AnchorError::Blank
            | AnchorError::Absent(_)
            | AnchorError::Spreadsheet(_)
            | AnchorError::TypeName(_)
            | AnchorError::Nil
            | AnchorError::LostCase
            | AnchorError::Octets(_)
            | AnchorError::Unreadable => None,
        }
    }

    /// What is wrong and what to do, in one line, for the message of a finding.
    pub fn sentence(&self) -> String {
        match (self.meant(), self.help()) {
            // A finding with a suggestion says it there, in the form that its column wants.
            (Some(_), _) | (None, None) => self.to_string(),
            (None, Some(help)) => format!("{self}; {help}"),
        }
    }
}

/// Whether the case of a base64 text was changed beyond doubt: its letters are all of one case, and the last symbol
/// is one that only a change of case can have made. Either alone happens to good values.
pub fn has_lost_its_case(text: &str) -> bool {
    has_one_case(text) && decode(text).is_some_and(|guid| ImmutableId::from(guid).as_str() != text)
}

/// Whether all letters of a text are of one case, and there are letters.
pub fn has_one_case(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_lowercase()) != text.bytes().any(|b| b.is_ascii_uppercase())
}

/// The mistake that a text is known for, if it is one. Expects that the text is not a readable anchor.
pub fn classic_mistake(text: &str) -> Option<AnchorError> {
    if text.is_empty() {
        return Some(AnchorError::Blank);
    }
    let upper = text.to_ascii_uppercase();
    if SPREADSHEET_ERRORS.contains(&upper.as_str()) {
        return Some(AnchorError::Spreadsheet(text.to_owned()));
    }
    if WORDS_FOR_NOTHING.contains(&upper.as_str()) {
        return Some(AnchorError::Absent(text.to_owned()));
    }
    if upper.starts_with("SYSTEM.") {
        return Some(AnchorError::TypeName(text.to_owned()));
    }
    decode_encoded_text(text)
        .map(AnchorError::EncodedText)
        .or_else(|| mistaken_alphabet_or_padding(text))
        .or_else(|| other_length(text))
}

fn mistaken_alphabet_or_padding(text: &str) -> Option<AnchorError> {
    let guid = decode_unpadded(text)?;
    Some(if text.contains(['-', '_']) {
        AnchorError::UrlSafe(guid)
    } else {
        AnchorError::LostPadding(guid)
    })
}

/// Base64 of the wrong number of octets. Only `+`, `/` or `=` tell it from a free text.
fn other_length(text: &str) -> Option<AnchorError> {
    let octets = STANDARD.decode(text).ok()?;
    text.contains(['+', '/', '='])
        .then_some(AnchorError::Octets(octets.len()))
}
