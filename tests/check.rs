//! `check`: what is wrong with a file is told offline, all of it at once, with the place, whatever the file's
//! encoding and delimiter.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Ran, end};
use tempfile::TempDir;

const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const OTHER_GUID: &str = "9c5923e9-de52-33ea-88de-7ebc8633b9cc";

fn check(bytes: impl AsRef<[u8]>) -> Ran {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("people.csv"), bytes).unwrap();
    let line = ["check", "immutable-id", "people.csv", "--json"];
    end(folder.path(), &line)
}

/// Line, row, column, rule and severity of every finding.
fn places(report: &Value) -> Vec<Value> {
    let findings = report["findings"].as_array().unwrap();
    let place = |finding: &Value| {
        json!([
            finding["line"],
            finding["row"],
            finding["column"],
            finding["rule"],
            finding["severity"]
        ])
    };
    findings.iter().map(place).collect()
}

fn utf16(text: &str, bom: u16, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(bom)
        .chain(text.encode_utf16())
        .flat_map(bytes)
        .collect()
}

#[test]
fn a_good_file_has_no_findings_in_any_encoding() {
    let text = format!("upn;object_guid\r\nann@contoso.com;{GUID}\r\n");
    let files = [
        ("UTF-8", text.clone().into_bytes()),
        ("UTF-8", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16 LE", utf16(&text, 0xfeff, u16::to_le_bytes)),
        ("UTF-16 BE", utf16(&text, 0xfeff, u16::to_be_bytes)),
    ];
    for (encoding, bytes) in files {
        let report = check(bytes).must_end(0).json();
        assert_eq!(report["encoding"], encoding);
        assert_eq!(report["delimiter"], ";");
        assert_eq!(report["preamble_lines"], 0);
        assert_eq!(report["rows"], 1);
        assert_eq!(report["file"], "people.csv");
        assert_eq!(report["findings"], json!([]));
    }
}

#[test]
fn every_usual_delimiter_is_found() {
    for delimiter in [",", ";", "\t"] {
        let text = format!("upn{delimiter}object_guid\nann@contoso.com{delimiter}{GUID}\n");
        let report = check(text).must_end(0).json();
        assert_eq!(report["delimiter"], delimiter);
    }
}

#[test]
fn the_line_that_excel_writes_about_itself_is_passed_over_and_counted() {
    let text = format!("sep=;\nUser principal name;objectGUID\nann@contoso.com;{GUID}\n");
    let report = check(text).must_end(0).json();
    assert_eq!(report["preamble_lines"], 1);
    assert_eq!(report["rows"], 1);
}

#[test]
fn a_file_that_is_not_utf_8_is_read_with_a_warning() {
    let mut bytes = b"upn,object_guid,name\nann@contoso.com,".to_vec();
    bytes.extend_from_slice(GUID.as_bytes());
    bytes.extend_from_slice(b",M\xfcller\n");
    let report = check(bytes).must_end(1).json();
    assert_eq!(report["encoding"], "Windows-1252");
    assert_eq!(
        places(&report),
        [json!([2, null, null, "Encoding", "warning"])]
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let text = format!(
        "upn,object_guid\n\
         a b@contoso.com,{GUID}\n\
         \"bob@contoso.com\n\",{OTHER_GUID}\n\
         \n\
         cid@contoso.com,xyz\n\
         dan@contoso.com\n\
         ,3f2504e0-4f89-11d3-9a0c-0305e82c3301\n\
         no-address,744cca2e-abf0-4df2-b1a7-ac9702956ea8\n"
    );
    let report = check(text).must_end(1).json();
    let errors: Vec<Value> = places(&report)
        .into_iter()
        .filter(|place| place[4] == "error")
        .collect();
    // The second row goes over two lines, and a blank line is no row.
    let expected = [
        json!([2, 1, "upn", "Character", "error"]),
        json!([6, 3, "object_guid", "Guid", "error"]),
        json!([7, 4, null, "Ragged", "error"]),
        json!([8, 5, "upn", "Blank", "error"]),
        json!([9, 6, "upn", "Format", "error"]),
    ];
    for place in &expected {
        assert!(errors.contains(place), "{place} is not in {errors:?}");
    }
    assert_eq!(report["rows"], 6);
    let blank = &report["findings"][0];
    assert_eq!(blank["value"], "a b@contoso.com");
    assert_eq!(blank["suggestion"], "ab@contoso.com");
    assert!(blank["message"].as_str().unwrap().contains("blank"));
}

#[test]
fn both_rows_of_a_pair_that_must_differ_are_named() {
    let text = format!(
        "upn,object_guid\n\
         ann@contoso.com,{GUID}\n\
         bob@contoso.com,{OTHER_GUID}\n\
         ANN@contoso.com,3f2504e0-4f89-11d3-9a0c-0305e82c3301\n\
         cid@contoso.com,{GUID}\n"
    );
    let report = check(text).must_end(1).json();
    let mut found = places(&report);
    found.sort_by_key(|place| (place[2].to_string(), place[0].as_u64()));
    let expected = [
        json!([2, 1, "object_guid", "Duplicate", "error"]),
        json!([5, 4, "object_guid", "Duplicate", "error"]),
        json!([2, 1, "upn", "Duplicate", "error"]),
        json!([4, 3, "upn", "Duplicate", "error"]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_temporary_upn_that_is_somebodys_own_is_a_duplicate() {
    let text = format!(
        "upn,object_guid,temp_upn\n\
         ann@contoso.com,{GUID},bob@fabrikam.com\n\
         bob@fabrikam.com,{OTHER_GUID},\n"
    );
    let report = check(text).must_end(1).json();
    let found = places(&report);
    assert!(
        found.contains(&json!([2, 1, "temp_upn", "Duplicate", "error"])),
        "{found:?}"
    );
    assert!(
        found.contains(&json!([3, 2, "upn", "Duplicate", "error"])),
        "{found:?}"
    );
}

#[test]
fn two_cells_that_contradict_each_other_are_an_error_of_the_row() {
    let text =
        format!("upn,object_guid,immutable_id\nann@contoso.com,{GUID},nFkj6d5SM+qI3n68hjO5zA==\n");
    let report = check(text).must_end(1).json();
    assert_eq!(
        places(&report),
        [json!([2, 1, null, "ImmutableId", "error"])]
    );
}

#[test]
fn a_file_without_the_key_column_cannot_be_used() {
    let ran = check(format!("name,object_guid\nann,{GUID}\n")).must_end(2);
    let report = ran.json();
    assert_eq!(
        places(&report),
        [json!([1, null, "upn", "MissingColumn", "error"])]
    );
    assert!(
        report["findings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("`name`")
    );
}

#[test]
fn two_headings_for_one_column_cannot_be_used() {
    let text =
        format!("upn,UserPrincipalName,object_guid\nann@contoso.com,bob@contoso.com,{GUID}\n");
    let report = check(text).must_end(2).json();
    let found = places(&report);
    assert!(
        found
            .iter()
            .any(|place| place[3] == "DuplicateColumn" && place[1].is_null()),
        "{found:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let ran = end(folder.path(), &["check", "immutable-id", "gone.csv"]).must_end(2);
    assert!(ran.complaint().contains("gone.csv"), "{}", ran.stderr);
}
