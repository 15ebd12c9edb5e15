//! Opening a file as a batch: its digest, its dialect, its header, and where the job's columns are.
//!
//! This is the first of two passes over the file. It keeps nothing of the rows; the second pass is in `rows`, and
//! finds out whether the file is still the same.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::column::Layout;
use super::dialect::{Dialect, delimiter_and_preamble, encoding_name, known_binary, known_text};
use super::error::InputError;
use super::finding::Finding;
use super::header::{self, Headings, Mapping, is_read};
use super::records::RecordReader;
use super::source::{Probe, Source, probe};
use crate::values::{Rule, Violation};

use super::source::Digest;

/// A file whose header has been read.
#[derive(Debug)]
pub struct Input {
    pub(super) source: Source,
    /// The path as it was given.
    pub file: PathBuf,
    /// The SHA-256 of the file's bytes.
    pub digest: Digest,
    /// What kind of CSV it is.
    pub dialect: Dialect,
    /// The headings as they stand in the file.
    pub header: Vec<String>,
    /// Where the layout's columns stand.
    pub mapping: Mapping,
    /// The headings that belong to no column of the layout.
    pub unread: Vec<String>,
    /// What there is to say about the file as a whole. An error among them means that its rows must not be used.
    pub findings: Vec<Finding>,
}

/// Opens a file and finds the layout's columns in it. A path that is no regular file (a pipe) is copied to a temporary
/// file first.
///
/// # Errors
/// When the file is no CSV that could be linted. A required column that is absent, or bytes that are malformed, are
/// findings instead.
pub fn open(path: &Path, layout: &Layout) -> Result<Input, InputError> {
    let source = Source::prepare(path)?;
    let reader = source.reader().map_err(InputError::read(path))?;
    let probed = probe(reader).map_err(InputError::read(path))?;
    refuse_other_kinds(path, &probed)?;

    let dialect = dialect_of(&probed, layout);
    let mut records = RecordReader::open(&source, path, dialect)?;
    let Some(first) = records.next()? else {
        return Err(InputError::Empty(path.to_owned()));
    };
    let header = first.cells;
    let headings = header::map(layout, &header, first.line);
    let Headings { mapping, unread, findings: columns } = headings;

    let mut findings: Vec<Finding> = encoding_finding(&probed).into_iter().collect();
    findings.extend(columns);
    if records.next()?.is_none() {
        findings.push(Violation::error(Rule::Empty, "the file has a header and no rows").in_file(None));
    }
    Ok(Input { source, file: path.to_owned(), digest: probed.digest, dialect, header, mapping, unread, findings })
}

fn refuse_other_kinds(path: &Path, probed: &Probe) -> Result<(), InputError> {
    let path = path.to_owned();
    let kind = known_binary(&probed.sample).or_else(|| known_text(&text_of(probed)));
    if let Some(kind) = kind {
        return Err(InputError::Binary(path, kind));
    }
    match probed.nul_line {
        Some(line) => Err(InputError::NotText(path, line)),
        None => Ok(()),
    }
}

/// The beginning of the text.
fn text_of(probed: &Probe) -> Cow<'_, str> {
    probed.encoding.decode_with_bom_removal(&probed.sample).0
}

fn dialect_of(probed: &Probe, layout: &Layout) -> Dialect {
    let is_heading = |heading: &str| is_read(layout, heading);
    let (delimiter, preamble_lines) = delimiter_and_preamble(&text_of(probed), &is_heading);
    Dialect { encoding: probed.encoding, delimiter, preamble_lines, bom: probed.bom }
}

fn encoding_finding(probed: &Probe) -> Option<Finding> {
    let line = probed.malformed_line?;
    let encoding = encoding_name(probed.encoding);
    let found = match probed.is_guess {
        true => Violation::warning(
            Rule::Encoding,
            format!(
                "is not UTF-8 from this line on, so the file is read as {encoding}; check the letters with accents, or \
                 save the file as UTF-8"
            ),
        ),
        false => Violation::error(
            Rule::Encoding,
            format!("has bytes that {encoding} does not allow, though the file is marked so; export the file again"),
        ),
    };
    Some(found.in_file(Some(line)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::ControlFlow;

    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::batch::{Visit, column::Column};
    use crate::values::CellKind;
    use crate::values::Severity;
    use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

    fn layout() -> Layout {
        let upn = Column {
            name: "upn".into(),
            kind: CellKind::Text,
            aliases: vec!["UserPrincipalName".into()],
            required: true,
            unique: Some("UPN".into()),
        };
        Layout { columns: vec![upn], key: 0 }
    }

    fn file(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn opened(bytes: &[u8]) -> Result<Input, InputError> {
        open(file(bytes).path(), &layout())
    }

    fn described(bytes: &[u8]) -> String {
        opened(bytes).unwrap().dialect.to_string()
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_files_of_known_programs_open() {
        let excel = utf16("\u{feff}UserPrincipalName\tOrt\r\na@b.de\tKöln\r\n", u16::to_le_bytes);
        assert_eq!(described(&excel), "UTF-16 LE with BOM, tab");
        let bare = utf16("sep=;\r\nupn;Ort\r\na@b.de;Köln\r\n", u16::to_be_bytes);
        assert_eq!(described(&bare), "UTF-16 BE, semicolon, 1 line before the header");
        let powershell = b"#TYPE Selected.User\r\n\"upn\",\"x\"\r\n\"a@b.de\",\"y\"\r\n";
        assert_eq!(described(powershell), "UTF-8, comma, 1 line before the header");
        let entra = b"\xef\xbb\xbfversion:v1.0\nUser name [userPrincipalName] Required\na@b.de\n";
        assert_eq!(described(entra), "UTF-8 with BOM, comma, 1 line before the header");
    }

    #[test]
    fn windows_1252_is_told() {
        let input = opened(b"upn;Ort\r\na@b.de;K\xf6ln\r\n").unwrap();
        assert_eq!(input.dialect.encoding, WINDOWS_1252);
        let finding = &input.findings[0];
        assert_eq!(
            (finding.rule.clone(), finding.severity, finding.line),
            (Rule::Encoding, Severity::Warning, Some(2))
        );
    }

    #[test]
    fn malformed_bytes_under_a_mark_are_an_error_of_the_file() {
        let input = opened(b"\xef\xbb\xbfupn\na@b.de\n\xff\n").unwrap();
        let finding = &input.findings[0];
        assert_eq!((finding.rule.clone(), finding.severity, finding.line), (Rule::Encoding, Severity::Error, Some(3)));
    }

    #[test]
    fn a_missing_column_is_told_with_the_line_of_the_header() {
        let input = opened(b"sep=,\n\nname\nadele\n").unwrap();
        let finding = &input.findings[0];
        assert_eq!((finding.rule.clone(), finding.line, finding.row), (Rule::MissingColumn, Some(3), None));
    }

    #[test]
    fn a_header_alone_is_an_error_of_the_file() {
        for bytes in ["upn,x\r\n,,\r\n\r\n", "upn,x", "upn,x\r\n\x1a"] {
            let input = opened(bytes.as_bytes()).unwrap();
            let [finding] = input.findings.as_slice() else {
                panic!("{bytes:?}: {:?}", input.findings);
            };
            assert_eq!((finding.rule.clone(), finding.severity, finding.row), (Rule::Empty, Severity::Error, None));
        }
    }

    #[test]
    fn files_that_are_no_csv_are_errors() {
        assert!(matches!(opened(b""), Err(InputError::Empty { .. })));
        assert!(matches!(opened(b"\xef\xbb\xbf\r\n;;\r\n"), Err(InputError::Empty { .. })));
        assert!(matches!(opened(b"PK\x03\x04xxxx"), Err(InputError::Binary { .. })));
        assert!(matches!(opened(b"upn,b\n\0,c\n"), Err(InputError::NotText(_, 2))));
        assert!(matches!(opened(b"upn,\"b\n"), Err(InputError::OpenQuote(_, 1))));
        let missing = open(Path::new("no such file.csv"), &layout());
        assert!(matches!(missing, Err(InputError::Open { .. })));
        assert!(matches!(open(&std::env::temp_dir(), &layout()), Err(InputError::Open { .. })));
    }

    /// How a file may be written: the encoding, a mark, the delimiter, the line end and where quotes stand.
    #[derive(Debug, Clone)]
    struct Writing {
        encoding: &'static Encoding,
        bom: bool,
        delimiter: u8,
        terminator: &'static str,
        quotes: csv::QuoteStyle,
    }

    fn writings() -> impl Strategy<Value = Writing> {
        let encodings = [UTF_8, UTF_16LE, UTF_16BE, WINDOWS_1252];
        let delimiter = prop::sample::select(vec![b',', b';', b'\t']);
        let terminator = prop::sample::select(vec!["\n", "\r\n", "\r"]);
        let quotes = prop::sample::select(vec![csv::QuoteStyle::Necessary, csv::QuoteStyle::Always]);
        (prop::sample::select(encodings.to_vec()), any::<bool>(), delimiter, terminator, quotes).prop_map(
            |(encoding, bom, delimiter, terminator, quotes)| Writing {
                encoding,
                bom: bom && encoding != WINDOWS_1252,
                delimiter,
                terminator,
                quotes,
            },
        )
    }

    fn written(writing: &Writing, rows: &[Vec<String>]) -> Vec<u8> {
        let terminator = match writing.terminator {
            "\r\n" => csv::Terminator::CRLF,
            other => csv::Terminator::Any(other.as_bytes()[0]),
        };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(writing.delimiter)
            .terminator(terminator)
            .quote_style(writing.quotes)
            .from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let text = if writing.bom { format!("\u{feff}{text}") } else { text };
        match writing.encoding {
            encoding if encoding == UTF_16LE => utf16(&text, u16::to_le_bytes),
            encoding if encoding == UTF_16BE => utf16(&text, u16::to_be_bytes),
            encoding => encoding.encode(&text).0.into_owned(),
        }
    }

    fn rows_of(input: &Input) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut keep = |visit| {
            if let Visit::Row { row, .. } = visit {
                rows.push(row.cells);
            }
            ControlFlow::<()>::Continue(())
        };
        assert!(input.rows(&layout(), &mut |_, _| {}, &mut keep).unwrap().is_continue());
        rows
    }

    proptest! {
        #[test]
        fn cells_come_back_as_they_were_written(
            writing in writings(),
            cells in prop::collection::vec(("[a-z]{1,8}", "[ a-zä€,;\t\"\r\n]{0,12}"), 1..30),
        ) {
            // The heading tells Windows-1252 from UTF-8 beyond doubt.
            let mut rows = vec![vec!["upn".to_owned(), "Größe".to_owned()]];
            rows.extend(cells.into_iter().map(|(upn, other)| vec![upn, other]));
            let file = file(&written(&writing, &rows));
            let input = open(file.path(), &layout()).unwrap();
            let expected = Dialect {
                encoding: writing.encoding,
                delimiter: writing.delimiter,
                preamble_lines: 0,
                bom: writing.bom,
            };
            prop_assert_eq!(input.dialect, expected);
            prop_assert_eq!(&input.header, &rows[0]);
            prop_assert_eq!(rows_of(&input), &rows[1..]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let file = file(&[b"upn,x\n".as_slice(), &bytes].concat());
            if let Ok(input) = open(file.path(), &layout()) {
                let mut go_on = |_| ControlFlow::<()>::Continue(());
                let ended = input.rows(&layout(), &mut |_, _| {}, &mut go_on);
                let is_expected = matches!(ended, Ok(_) | Err(InputError::OpenQuote { .. }));
                prop_assert!(is_expected, "{ended:?}");
            }
        }
    }
}
