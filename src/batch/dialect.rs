//! What kind of CSV a file is: its encoding, its delimiter, and the lines before its header.
//!
//! Decided from the first kilobytes and from signs that programs really leave there: byte order marks, the NUL bytes
//! of UTF-16, PowerShell's `#TYPE`, Excel's `sep=`, the version line of Entra's bulk templates. Whether a file without
//! such a sign is UTF-8 only its end can tell, so that is decided where the whole file is read.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use std::fmt;

/// How much of a file is looked at, in bytes. A header of a thousand columns fits.
pub const SAMPLE_BYTES_MAX: usize = 64 << 10;

/// Delimiters that are looked for, the most common first: it wins where nothing speaks for another.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Before its first entry an LDIF file has no more lines than these: a version, comments on the search.
const LDIF_LINES_MAX: usize = 20;

/// What was found out about a file. Its `Display` is one line for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// How the text is stored.
    pub encoding: &'static Encoding,
    /// The byte between two cells; always ASCII.
    pub delimiter: u8,
    /// Physical lines before the header.
    pub preamble_lines: u64,
    /// Whether the file begins with a byte order mark.
    pub bom: bool,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoding = encoding_name(self.encoding);
        let bom = if self.bom { " with BOM" } else { "" };
        let delimiter = match self.delimiter {
            b',' => "comma".to_owned(),
            b';' => "semicolon".to_owned(),
            b'\t' => "tab".to_owned(),
            b'|' => "pipe".to_owned(),
            other => format!("delimiter {}", char::from(other)),
        };
        write!(f, "{encoding}{bom}, {delimiter}")?;
        match self.preamble_lines {
            0 => Ok(()),
            1 => f.write_str(", 1 line before the header"),
            lines => write!(f, ", {lines} lines before the header"),
        }
    }
}

/// The name for people: `UTF-16 LE`, `Windows-1252`.
pub fn encoding_name(encoding: &'static Encoding) -> String {
    encoding.name().replace("UTF-16", "UTF-16 ").replace("windows", "Windows")
}

/// The encoding that the beginning of a file shows, and whether a byte order mark does. `None` if nothing does.
pub fn marked_encoding(sample: &[u8]) -> Option<(&'static Encoding, bool)> {
    match Encoding::for_bom(sample) {
        Some((encoding, _)) => Some((encoding, true)),
        None => encoding_by_nuls(sample).map(|encoding| (encoding, false)),
    }
}

/// UTF-16 without a mark: the ASCII in it (headings, addresses, delimiters) has a NUL in every second byte.
fn encoding_by_nuls(sample: &[u8]) -> Option<&'static Encoding> {
    let (pairs, _) = sample.as_chunks::<2>();
    let first = pairs.iter().filter(|[first, second]| *first == 0 && *second != 0).count();
    let second = pairs.iter().filter(|[first, second]| *first != 0 && *second == 0).count();
    // A quarter, since the cells may be in a script that has few ASCII characters.
    let is_pattern = |with: usize, against: usize| with * 4 >= pairs.len().max(1) && against * 10 <= with;
    if is_pattern(second, first) {
        Some(UTF_16LE)
    } else if is_pattern(first, second) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// What a file is that is no text at all, by the bytes with which such files begin.
pub fn known_binary(sample: &[u8]) -> Option<&'static str> {
    match sample {
        [b'P', b'K', 3, 4, ..] => Some("an Excel workbook or another zip archive"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some("an old Excel workbook or another Office document"),
        [b'%', b'P', b'D', b'F', ..] => Some("a PDF document"),
        [0x1f, 0x8b, ..] => Some("a gzip archive"),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("text in UTF-32"),
        _ => None,
    }
}

/// What a text is that is not CSV, by its first lines.
pub fn known_text(text: &str) -> Option<&'static str> {
    let begins = text.trim_start();
    let after = |bracket: char| begins.strip_prefix(bracket).map(str::trim_start);
    if begins.starts_with('<') {
        return Some("HTML or XML");
    }
    if after('{').is_some_and(|rest| rest.starts_with('"'))
        || after('[').is_some_and(|rest| rest.starts_with(['{', '"']))
    {
        return Some("JSON");
    }
    let is_entry = |line: &str| line.starts_with("dn: ") || line.starts_with("dn:: ");
    if lines(text).take(LDIF_LINES_MAX).any(is_entry) {
        return Some("LDIF, which has a line per attribute (csvde writes CSV)");
    }
    None
}

/// The delimiter and the number of lines before the header, from the beginning of the text. `is_heading` tells
/// whether a heading is one that the job reads; the delimiter that yields the most of those wins.
pub fn delimiter_and_preamble(text: &str, is_heading: &dyn Fn(&str) -> bool) -> (u8, u64) {
    let mut declared = None;
    let mut preamble_lines = 0;
    for line in lines(text) {
        match preamble(line) {
            Preamble::Separator(delimiter) => declared = Some(delimiter),
            Preamble::Other => {}
            Preamble::None => {
                return (declared.unwrap_or_else(|| best_delimiter(line, is_heading)), preamble_lines);
            }
        }
        preamble_lines += 1;
    }
    (declared.unwrap_or(DELIMITERS[0]), preamble_lines)
}

/// Physical lines, whatever ends them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['\r', '\n'])
        .scan(false, |after_cr, part| {
            let rest_of_crlf = *after_cr && part == "\n";
            *after_cr = part.ends_with('\r');
            Some((!rest_of_crlf).then_some(part))
        })
        .flatten()
}

enum Preamble {
    Separator(u8),
    Other,
    None,
}

fn preamble(line: &str) -> Preamble {
    // A spreadsheet that saves such a line again puts quotes around it and empty cells behind it.
    let bare = line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | ','));
    let lower = bare.to_ascii_lowercase();
    if let [b's', b'e', b'p', b'=', delimiter] =
        *without_line_end(line).to_ascii_lowercase().trim_matches('"').as_bytes()
        && is_delimiter(delimiter)
    {
        return Preamble::Separator(delimiter);
    }
    if lower == "sep=" {
        return Preamble::Separator(b',');
    }
    let is_blank = bare.trim_matches(|c: char| c.is_whitespace() || c == ';').is_empty();
    if is_blank || lower.starts_with("#type ") || lower.starts_with("version:v") {
        return Preamble::Other;
    }
    Preamble::None
}

fn without_line_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn is_delimiter(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_punctuation() && byte != b'"')
}

fn best_delimiter(header: &str, is_heading: &dyn Fn(&str) -> bool) -> u8 {
    let score = |delimiter: u8| {
        let headings = split(header, delimiter);
        (headings.iter().filter(|heading| is_heading(heading)).count(), headings.len())
    };
    // Of equal scores `max_by_key` takes the last, and the first is wanted.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| score(*delimiter)).unwrap_or(DELIMITERS[0])
}

/// The headings of one line, well enough to count them; the real reading is the csv crate's.
fn split(line: &str, delimiter: u8) -> Vec<&str> {
    let mut quoted = false;
    line.split(|c: char| {
        quoted ^= c == '"';
        !quoted && c == char::from(delimiter)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use encoding_rs::{UTF_8, WINDOWS_1252};

    fn detected(text: &str) -> (u8, u64) {
        delimiter_and_preamble(text, &|heading| heading.trim() == "upn")
    }

    #[test]
    fn the_delimiter_is_the_one_that_yields_headings() {
        assert_eq!(detected("upn,b\n"), (b',', 0));
        assert_eq!(detected("a;upn\r\n"), (b';', 0));
        assert_eq!(detected("a\tupn\r"), (b'\t', 0));
        assert_eq!(detected("upn|b"), (b'|', 0));
        assert_eq!(detected("upn"), (b',', 0));
        assert_eq!(detected("Name, first, last;upn"), (b';', 0));
        assert_eq!(detected("\"a;b;c\",d\n"), (b',', 0));
        assert_eq!(detected("x;y;z"), (b';', 0));
    }

    #[test]
    fn lines_before_the_header_are_known() {
        assert_eq!(detected("#TYPE System.Management.Automation.PSCustomObject\r\nupn;b"), (b';', 1));
        assert_eq!(detected("version:v1.0\nupn,b"), (b',', 1));
        assert_eq!(detected("version:v1.0,,,\nupn,b"), (b',', 1));
        assert_eq!(detected("sep=;\r\nupn"), (b';', 1));
        assert_eq!(detected("\"sep=\t\"\nupn"), (b'\t', 1));
        assert_eq!(detected("sep=|\nupn"), (b'|', 1));
        assert_eq!(detected("sep=,\nupn;b"), (b',', 1));
        assert_eq!(detected("\r\n \r\n;;\r\nversion:v1.0\rupn;b"), (b';', 4));
        assert_eq!(detected("\n\n"), (b',', 2));
        assert_eq!(detected(""), (b',', 0));
    }

    #[test]
    fn marks_and_nuls_show_the_encoding() {
        assert_eq!(marked_encoding(b"\xef\xbb\xbfupn"), Some((UTF_8, true)));
        assert_eq!(marked_encoding(b"\xff\xfeu\0"), Some((UTF_16LE, true)));
        assert_eq!(marked_encoding(b"\xfe\xff\0u"), Some((UTF_16BE, true)));
        assert_eq!(marked_encoding(b"u\0p\0n\0\r\0\n\0"), Some((UTF_16LE, false)));
        assert_eq!(marked_encoding(b"\0u\0p\0n\0\r\0\n"), Some((UTF_16BE, false)));
        assert_eq!(marked_encoding(b"upn\r\n"), None);
        assert_eq!(marked_encoding(b"upn;guid\0"), None);
        assert_eq!(marked_encoding(&[0; 64]), None);
        assert_eq!(marked_encoding(b""), None);
    }

    #[test]
    fn texts_of_other_kinds_are_known() {
        for (text, kind) in [
            ("<!DOCTYPE html>", Some("HTML")),
            ("\r\n<?xml version=\"1.0\"?>", Some("XML")),
            ("[\r\n  {\"upn\": 1}]", Some("JSON")),
            ("{ \"value\": []}", Some("JSON")),
            ("version: 1\r\n\r\ndn: CN=Anna\r\n", Some("LDIF")),
            ("# extended LDIF\n#\ndn:: Q049\n", Some("LDIF")),
            ("[upn],[object_guid]\r\n", None),
            ("upn,dn\r\na@b.de,dn: x\r\n", None),
        ] {
            let found = known_text(text);
            let is_right = match (found, kind) {
                (Some(found), Some(kind)) => found.contains(kind),
                (found, kind) => found == kind,
            };
            assert!(is_right, "{text}: {found:?}");
        }
        assert!(known_binary(&[0xff, 0xfe, 0, 0, b'u', 0, 0, 0]).is_some());
    }

    #[test]
    fn the_description_is_one_line() {
        let dialect = Dialect { encoding: UTF_16LE, delimiter: b';', preamble_lines: 1, bom: true };
        assert_eq!(dialect.to_string(), "UTF-16 LE with BOM, semicolon, 1 line before the header");
        let dialect = Dialect { encoding: UTF_8, delimiter: b'^', preamble_lines: 0, bom: false };
        assert_eq!(dialect.to_string(), "UTF-8, delimiter ^");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_detection_panic(bytes: Vec<u8>) {
            let encoding = marked_encoding(&bytes).map_or(WINDOWS_1252, |(encoding, _)| encoding);
            let (text, _) = encoding.decode_with_bom_removal(&bytes);
            let (delimiter, lines) = detected(&text);
            prop_assert!(is_delimiter(delimiter));
            prop_assert!(lines <= text.len() as u64);
        }
    }
}
