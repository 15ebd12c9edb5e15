//! `check`: what is wrong with a file is told offline, all of it at once, with the place, whatever the file's
//! encoding and delimiter.

use crate::support::{Ran, end};
use serde_json::{Value, json};
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
        json!([finding["line"], finding["row"], finding["column"], finding["rule"], finding["severity"]])
    };
    findings.iter().map(place).collect()
}

fn utf16(text: &str, bom: u16, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(bom).chain(text.encode_utf16()).flat_map(bytes).collect()
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
    assert_eq!(places(&report), [json!([2, null, null, "Encoding", "warning"])]);
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
    let errors: Vec<Value> = places(&report).into_iter().filter(|place| place[4] == "error").collect();
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
    assert!(found.contains(&json!([2, 1, "temp_upn", "Duplicate", "error"])), "{found:?}");
    assert!(found.contains(&json!([3, 2, "upn", "Duplicate", "error"])), "{found:?}");
}

#[test]
fn two_cells_that_contradict_each_other_are_an_error_of_the_row() {
    let text = format!("upn,object_guid,immutable_id\nann@contoso.com,{GUID},nFkj6d5SM+qI3n68hjO5zA==\n");
    let report = check(text).must_end(1).json();
    assert_eq!(places(&report), [json!([2, 1, null, "ImmutableId", "error"])]);
}

#[test]
fn a_file_without_the_key_column_cannot_be_used() {
    let ran = check(format!("name,object_guid\nann,{GUID}\n")).must_end(2);
    let report = ran.json();
    assert_eq!(places(&report), [json!([1, null, "upn", "MissingColumn", "error"])]);
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("`name`"));
}

#[test]
fn two_headings_for_one_column_cannot_be_used() {
    let text = format!("upn,UserPrincipalName,object_guid\nann@contoso.com,bob@contoso.com,{GUID}\n");
    let report = check(text).must_end(2).json();
    let found = places(&report);
    assert!(found.iter().any(|place| place[3] == "DuplicateColumn" && place[1].is_null()), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let ran = end(folder.path(), &["check", "immutable-id", "gone.csv"]).must_end(2);
    assert!(ran.complaint().contains("gone.csv"), "{}", ran.stderr);
}

/// The rows with an error, and everything that was said.
fn refused(bytes: impl AsRef<[u8]>) -> (Vec<u64>, String) {
    let report = check(bytes).must_end(1).json();
    let findings = report["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    let mut rows: Vec<u64> = errors.filter_map(|error| error["row"].as_u64()).collect();
    rows.dedup();
    (rows, report.to_string())
}

#[test]
fn what_is_no_anchor_is_an_error_among_good_ones() {
    let cells = [
        "-",
        "unknown",
        "n.a.",
        "TRUE",
        "(null)",
        "System.Byte[]",
        "6SNZnFLe6kOI3n...",
        "6SNZnFLe6kOI3n68hjO5A…",
        "６SNZnFLe6kOI3n68hjO5AQ＝＝",
        "6SNZnFLe6kOI\u{200b}3n68hjO5AQ==",
        "1.23E+10",
        "E-10023",
        "E9 23 59 9C 52 DE EA 43 88 DE 7E BC 86 33 B9 01",
    ];
    let rows = (0..).zip(cells).map(|(number, cell)| {
        format!(
            "p{number}@contoso.com,6SNZnFLe6kOI3n68hjO5{}A==\nq{number}@contoso.com,{cell}\n",
            char::from(b'A' + number as u8)
        )
    });
    let text: String = std::iter::once("upn,immutable_id\n".to_owned()).chain(rows).collect();
    let wrong: Vec<u64> = (1..=cells.len() as u64).map(|number| 2 * number).collect();
    assert_eq!(refused(text).0, wrong);
}

#[test]
fn other_anchors_are_allowed_by_who_says_that_the_tenant_has_them() {
    let folder = TempDir::new().unwrap();
    let text = "upn,immutable_id\nann@contoso.com,E-10023\nbob@contoso.com,bob@contoso.com\n";
    std::fs::write(folder.path().join("people.csv"), text).unwrap();
    let line = ["check", "immutable-id", "people.csv", "--json"];
    let severities = |more: &[&str]| {
        let report = end(folder.path(), &[&line, more].concat()).must_end(1).json();
        let told = places(&report).into_iter();
        told.map(|place| json!([place[1], place[4]])).collect::<Vec<_>>()
    };
    let warned = [json!([1, "warning"]), json!([2, "warning"])];
    assert_eq!(severities(&["--set", "anchors=any"]), warned);
    let refused = [json!([1, "warning"]), json!([1, "error"]), json!([2, "warning"])];
    assert_eq!(severities(&[]), refused);
}

#[test]
fn octets_are_refused_with_the_guid_and_the_immutable_id_that_are_meant() {
    for octets in [
        "e923599c52deea4388de7ebc8633b901",
        "E9-23-59-9C-52-DE-EA-43-88-DE-7E-BC-86-33-B9-01",
        r"\E9\23\59\9C\52\DE\EA\43\88\DE\7E\BC\86\33\B9\01",
        "0xE923599C52DEEA4388DE7EBC8633B901",
        "233 35 89 156 82 222 234 67 136 222 126 188 134 51 185 1",
    ] {
        for column in ["object_guid", "immutable_id"] {
            let (rows, told) = refused(format!("upn,{column}\nu1@contoso.com,{octets}\n"));
            assert_eq!(rows, [1], "{octets} in {column}");
            for meant in ["9c5923e9-de52-43ea-88de-7ebc8633b901", "6SNZnFLe6kOI3n68hjO5AQ=="] {
                assert!(told.contains(meant), "{octets} in {column}: {told}");
            }
        }
    }
    let text = "upn,object_guid\nu1@contoso.com,9c5923e9de5243ea88de7ebc8633b901\n";
    assert_eq!(check(text).must_end(0).json()["findings"], json!([]));
}

#[test]
fn a_upn_from_the_list_of_deleted_users_is_told_as_such() {
    let text = format!("upn,object_guid\n9c5923e9de5243ea88de7ebc8633b94danna@contoso.com,{OTHER_GUID}\n");
    let (rows, told) = refused(text);
    assert_eq!(rows, [1]);
    assert!(told.contains("object id in front"), "{told}");
}

#[test]
fn columns_that_are_not_read_are_named_once() {
    let text = format!(
        "UserPrincipalName,ObjectGUID,mS-DS-ConsistencyGuid,Department\n\
         a@contoso.com,{GUID},6SNZnFLe6kOI3n68hjO5Ag==,Sales\nb@contoso.com,{OTHER_GUID},,Sales\n"
    );
    let report = check(text).must_end(1).json();
    assert_eq!(places(&report), [json!([1, null, "immutable_id", "UnreadColumn", "warning"])]);
    assert_eq!(report["findings"][0]["suggestion"], "immutable_id");
    assert_eq!(report["unused_columns"], json!(["mS-DS-ConsistencyGuid", "Department"]));
}

#[test]
fn a_heading_is_never_suggested_to_itself() {
    for (heading, suggestion) in
        [("User Principle Name", json!("UserPrincipalName")), ("UserPrincipalName   ImmutableId      ", Value::Null)]
    {
        let report = check(format!("{heading}\r\na@contoso.com\r\n")).must_end(2).json();
        assert_eq!(report["findings"][0]["suggestion"], suggestion);
    }
}

#[test]
fn lines_between_and_behind_the_rows_leave_the_people_alone() {
    let row = |name: &str, guid: &str| format!("{name}@contoso.com,{guid}\r\n");
    let (ann, bob) = (row("ann", GUID), row("bob", OTHER_GUID));
    let header = "upn,object_guid\r\n";
    for (text, wrong) in [
        (format!("{header}{ann}{bob}\r\n(2 rows affected)\r\n"), vec![3]),
        (format!("\u{feff}{header}{ann}\u{feff}{header}{bob}"), vec![2]),
        (format!("{header}--------,--------\r\n{ann}{bob}"), vec![1]),
        (format!("{header}\"ann@contoso.com,{GUID}\"\r\n{bob}"), vec![1]),
    ] {
        assert_eq!(refused(&text).0, wrong, "{text}");
    }
    let text = format!("{header}{ann}{bob}\u{1a}").replace(',', "|");
    let report = check(text).must_end(0).json();
    assert_eq!((&report["rows"], &report["delimiter"]), (&json!(2), &json!("|")));
}

#[test]
fn a_file_that_cannot_be_used_is_still_a_whole_report() {
    for (bytes, line, says) in [
        (&b"upn,object_guid\r\n"[..], Value::Null, "no rows"),
        (b"upn,x\na@contoso.com,\"b\nc@contoso.com,d\n", json!(2), "quote"),
        (b"upn,x\na@contoso.com,\0b\n", json!(2), "NUL"),
        (b"dn: CN=Ann,DC=contoso,DC=com\nobjectGUID:: 6SNZ\n", Value::Null, "LDIF"),
        (b"PK\x03\x04", Value::Null, "Excel"),
        (b"", Value::Null, "no header"),
    ] {
        let report = check(bytes).must_end(2).json();
        let finding = &report["findings"][0];
        assert_eq!((&finding["line"], &finding["row"]), (&line, &Value::Null));
        assert_eq!(finding["severity"], "error");
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn one_value_is_converted_from_whatever_shows_it() {
    let folder = TempDir::new().unwrap();
    let octets = "E9 23 59 9C 52 DE EA 43 88 DE 7E BC 86 33 B9 01";
    let mut words = vec!["immutable-id"];
    words.extend(octets.split(' '));
    for line in [
        words,
        vec!["immutable-id", octets],
        vec!["immutable-id", "E9-23-59-9C-52-DE-EA-43-88-DE-7E-BC-86-33-B9-01"],
        vec!["immutable-id", "9c5923e9de5243ea88de7ebc8633b901"],
        vec!["immutable-id", "6SNZnFLe6kOI3n68hjO5AQ=="],
    ] {
        let told = end(folder.path(), &line).must_end(0).stdout;
        assert!(told.contains("9c5923e9-de52-43ea-88de-7ebc8633b901"), "{told}");
    }
    for wrong in ["foo", "-", "6SNZnFLe6kOI3n..."] {
        let ran = end(folder.path(), &["immutable-id", wrong]).must_end(2);
        assert!(ran.complaint().contains(&format!("`{wrong}`")), "{}", ran.stderr);
    }
}
