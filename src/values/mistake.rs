//! The classic mistakes with GUIDs and ImmutableIDs, each with what to do about it.
//!
//! They come from spreadsheets, scripts and converters, and people meet the same ones again and again. A value is
//! suggested only where the mistake loses nothing; case that is lost cannot be guessed.

use super::guid::{BINARY_ANCHOR_CHARS, ObjectGuid, decode, decode_unpadded};
use super::immutable_id::ImmutableId;
use super::rule::Rule;
use super::spelling::{OctetOrder, decode_encoded_text, is_dash, order, spelled};
use super::text::is_invisible;
use super::upn::described;
use super::violation::Violation;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miette::Diagnostic;
use percent_encoding::percent_decode_str;

/// What spreadsheets leave of a cell that they took for a formula.
const SPREADSHEET_ERRORS: [&str; 9] =
    ["#NAME?", "#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"];
/// What databases, directories, scripts and people write for nothing, and for yes and no. Compared by letters and
/// digits alone and without case, so that `(null)`, `n.a.` and `<not set>` are among them.
const WORDS_FOR_NOTHING: &str = "0 absent blank dbnull empty false keine keiner leer missing n na nan nein nichtfestgelegt nil no \
    none notapplicable notassigned notavailable notfound notset novalue null ohne tba tbd todo true unassigned unbekannt \
    undefined unknown unset void yes";
/// How the names of PowerShell's types begin.
const TYPE_NAMES: [&str; 5] = ["system.", "microsoft.", "deserialized.", "byte[]", "@{"];

/// Why a value is not an anchor: what is wrong with it, to be read after its subject. The help says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum AnchorError {
    /// Nothing is there.
    #[error("is empty")]
    #[diagnostic(code(anchor::blank), help("give a GUID, 32 hex digits or an ImmutableID"))]
    Blank,
    /// A word that stands for nothing.
    #[error("is a word for nothing, or for yes and no, and nobody's anchor")]
    #[diagnostic(code(anchor::absent), help("leave the cell empty, or take the value from the directory"))]
    Absent,
    /// Only a part of the value is there.
    #[error("was cut: the dots stand for the rest of the value")]
    #[diagnostic(
        code(anchor::cut),
        help("export it to a file (Export-Csv) and do not copy it from a table on the screen")
    )]
    Cut,
    /// A spreadsheet took the value for a formula.
    #[error("is what a spreadsheet leaves of a value it took for a formula")]
    #[diagnostic(
        code(anchor::spreadsheet),
        help("export the column again and open it as text: a value that begins with + is not a formula")
    )]
    Spreadsheet,
    /// A spreadsheet took the value for a number or a date.
    #[error("is a number or a date, as a spreadsheet makes them of other values")]
    #[diagnostic(code(anchor::number), help("export the column again and open it as text"))]
    Number,
    /// The name of a type instead of a value.
    #[error("is the name of a PowerShell type, not a value")]
    #[diagnostic(
        code(anchor::type_name),
        help("export it again with [Convert]::ToBase64String($_.ObjectGUID.ToByteArray())")
    )]
    TypeName,
    /// The GUID of only zeros.
    #[error("is the GUID of only zeros, which belongs to nobody")]
    #[diagnostic(code(anchor::nil), help("export the attribute again: it was empty"))]
    Nil,
    /// All letters are of one case.
    #[error("has letters of one case only; upper and lower case differ here, and something has changed them")]
    #[diagnostic(code(anchor::case), help("export it again without changing its case"))]
    LostCase,
    /// Base64 of the GUID's text.
    #[error("is the base64 of a text, not of the 16 octets of the GUID {0}")]
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
    /// Characters that no anchor has, around or among others that make one.
    #[error("has {}, which no anchor has", described(*.found))]
    #[diagnostic(code(anchor::sign), help("{}", take_out(*.meant)))]
    Sign {
        /// The first of them.
        found: char,
        /// What the value would be without, where that leaves no doubt.
        meant: Option<ObjectGuid>,
    },
    /// 32 digits that may be a GUID's text or its octets.
    #[error(
        "is 32 hex digits whose order nothing tells: as a GUID without dashes {}, as octets {}", .0, .0.swapped()
    )]
    #[diagnostic(code(anchor::order), help("write the GUID with its dashes, as the directory shows it"))]
    UnclearOrder(ObjectGuid),
    /// 24 symbols or fewer that are something else.
    #[error("is base64 of {0} octets; a GUID has 16")]
    #[diagnostic(code(anchor::octets), help("check whether the value was cut or is another attribute"))]
    Octets(usize),
    /// None of the above.
    #[error("is not a GUID, 32 hex digits or an ImmutableID")]
    #[diagnostic(
        code(anchor::unreadable),
        help("expected for example 9c5923e9-de52-33ea-88de-7ebc8633b9cc or 6SNZnFLe6jOI3n68hjO5zA==")
    )]
    Unreadable,
}

fn take_out(meant: Option<ObjectGuid>) -> String {
    match meant {
        Some(guid) => format!("use {}", ImmutableId::from(guid)),
        None => "export the value again, or take the character out".to_owned(),
    }
}

impl AnchorError {
    /// As what is wrong with a cell, suggesting what was meant in the form that its column wants.
    pub fn violation(&self, rule: Rule, written: impl Fn(ObjectGuid) -> String) -> Violation {
        if let AnchorError::EncodedText(guid)
        | AnchorError::UrlSafe(guid)
        | AnchorError::LostPadding(guid)
        | AnchorError::Sign { meant: Some(guid), .. } = self
        {
            return Violation::error(rule, self.to_string()).suggesting(Some(written(*guid)));
        }
        let help = self.help().map(|help| format!("; {help}"));
        Violation::error(rule, format!("{self}{}", help.unwrap_or_default()))
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

/// The mistake that a text is known for. Expects that the text is not a readable anchor.
pub fn classic_mistake(text: &str) -> AnchorError {
    let lower = text.to_ascii_lowercase();
    // Compared by letters and digits: signs alone say as little as the words do.
    let bare: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    if text.is_empty() {
        AnchorError::Blank
    } else if SPREADSHEET_ERRORS.contains(&text.to_ascii_uppercase().as_str()) {
        AnchorError::Spreadsheet
    } else if TYPE_NAMES.iter().any(|name| lower.starts_with(name)) {
        AnchorError::TypeName
    } else if text.contains('…') || text.contains("..") {
        AnchorError::Cut
    } else if bare.is_empty() || WORDS_FOR_NOTHING.split_whitespace().any(|word| word == bare) {
        AnchorError::Absent
    } else if is_number_or_date(text) {
        AnchorError::Number
    } else {
        disguised(text).or_else(|| other_length(text)).unwrap_or(AnchorError::Unreadable)
    }
}

/// `1.23E+10`, `3,5`, `01.02.2026`, `2026-02-01 00:00`. A plain number is not meant: it can be somebody's.
fn is_number_or_date(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let is_signed = text.contains(['.', ',', '/', ':', '+']) || matches!(*groups, [1..=4, 1..=2, 1..=4]);
    let begins = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    let has_parts_only = text.chars().all(|c| c.is_ascii_alphanumeric() || " .,/:+-".contains(c));
    begins && is_signed && has_parts_only && matches!(letters.as_str(), "" | "e" | "E" | "T" | "TZ" | "AM" | "PM")
}

/// Octets in an encoding that no anchor has, or an anchor with something around it.
fn disguised(text: &str) -> Option<AnchorError> {
    if let Some(guid) = decode_encoded_text(text).filter(|guid| !guid.is_nil()) {
        return Some(AnchorError::EncodedText(guid));
    }
    if let Some(guid) = decode_unpadded(text).filter(|guid| !guid.is_nil()) {
        let is_for_urls = text.contains(['-', '_']);
        return Some(if is_for_urls { AnchorError::UrlSafe(guid) } else { AnchorError::LostPadding(guid) });
    }
    // A character outside of ASCII is in no anchor; white space, quotes and escapes are wrong where the rest makes one.
    let meant = meant_by(&without_signs(text)).or_else(|| plus_for_blank(text)).filter(|guid| !guid.is_nil());
    let foreign = text.chars().find(|c| !c.is_ascii_graphic() && *c != ' ');
    let removable = text.chars().find(|c| matches!(c, ' ' | '"' | '\'' | '%' | '`')).filter(|_| meant.is_some());
    foreign.or(removable).map(|found| AnchorError::Sign { found, meant })
}

/// The text as it would be without what hides, quotes and widens its letters.
fn without_signs(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    let visible = decoded.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c) && !is_quote(*c));
    let plain: String = visible.map(narrow).collect();
    match plain.strip_prefix('=') {
        Some(rest) => rest.to_owned(),
        None => plain,
    }
}

/// Quotes as programs and word processors write them.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}')
}

/// The ASCII letter of a full-width one (U+FF01 to U+FF5E), and the hyphen of a dash.
fn narrow(c: char) -> char {
    let code = u32::from(c);
    match c {
        c if is_dash(c) => '-',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(code - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// What the text of a form makes of a `+`.
fn plus_for_blank(text: &str) -> Option<ObjectGuid> {
    (text.len() == BINARY_ANCHOR_CHARS).then(|| decode(&text.replace(' ', "+"))).flatten()
}

fn meant_by(text: &str) -> Option<ObjectGuid> {
    if let Some(guid) = ObjectGuid::parse(text) {
        return match (text.contains('-'), order(guid)) {
            (true, _) | (false, OctetOrder::Text) => Some(guid),
            (false, OctetOrder::Octets) => Some(guid.swapped()),
            (false, OctetOrder::Unclear) => None,
        };
    }
    decode(text).filter(|_| !has_lost_its_case(text)).or_else(|| spelled(text).map(|spelling| spelling.guid))
}

/// Base64 of the wrong number of octets. Only `+`, `/` or `=` tell it from a free text.
fn other_length(text: &str) -> Option<AnchorError> {
    let octets = STANDARD.decode(text).ok()?;
    text.contains(['+', '/', '=']).then_some(AnchorError::Octets(octets.len()))
}
