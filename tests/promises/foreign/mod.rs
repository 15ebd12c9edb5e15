//! Whatever bytes come from outside: nothing panics, nothing is believed that was not written, and every complaint has its
//! place. The checks are those of the fuzzers under `fuzz/`; here chance makes the bytes, and a failing input is
//! shrunk and shown.

mod connection_file;
mod csv_file;
mod entries;
mod job_file;
mod journal_records;
mod log_bytes;
mod log_entry;
mod reply;
mod short_text;

use cutover::batch::Layout;
use log_bytes::Harm;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use reply::Wire;
use std::sync::LazyLock;

const JOB: &str = include_str!("../../../jobs/immutable-id.toml");
const CONNECTION: &str = r#"[graph]
tenant = "contoso.onmicrosoft.com"
client_id = "11111111-2222-3333-4444-555555555555"
auth = "client-secret"
client_secret = { env = "SECRET" }
patience = "5m"

[graph.limits]
writes = "3000/150s"
reads = "12/s"
"#;

static LAYOUT: LazyLock<Layout> = LazyLock::new(|| cutover::job::find("immutable-id").unwrap().layout);

fn layout() -> Layout {
    LAYOUT.clone()
}

/// The text with one line put in before its line `at`, which comes back from 1.
fn with_line(text: &str, at: Index, line: &str) -> (String, usize) {
    let mut lines: Vec<&str> = text.lines().collect();
    let at = at.index(lines.len() + 1);
    lines.insert(at, line);
    (lines.join("\n"), at + 1)
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

/// Bytes that look like the CSV of careless people.
fn careless_csv() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        "[a-c]{1,2}@contoso\\.com",
        "[a-z0-9]{8}-[0-9]{4}-4[0-9]{3}-8[0-9]{3}-[0-9a-f]{12}",
        "[A-Za-z0-9+/]{22}==",
        "[ \"';,\t\r\nä@=]{0,6}",
        ".{0,4}",
    ];
    let separator = prop::sample::select(vec![",", ";", "\t", "\n", "\r\n", "\r"]);
    let head = prop::sample::select(vec![
        "upn,object_guid,immutable_id,temp_upn\n",
        "sep=;\nUPN;objectGUID\n",
        "\u{feff}User name\tImmutableId\r\n",
        "\"upn\",\"object_guid\"\r",
        "",
    ]);
    let encoding = prop::sample::select(vec!["utf-8", "utf-16le", "utf-16be", "windows-1252"]);
    (head, vec((cell, separator), 0..25), encoding, bytes(3)).prop_map(|(head, cells, encoding, last)| {
        let cells = cells.into_iter().map(|(cell, separator)| cell + separator);
        let text = head.to_owned() + &cells.collect::<String>();
        let mut bytes: Vec<u8> = match encoding {
            "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "windows-1252" => text.chars().map(|letter| letter as u8).collect(),
            _ => text.into_bytes(),
        };
        bytes.extend(last);
        bytes
    })
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || 0_usize..2_000;
    prop_oneof![
        at().prop_map(|at| Harm::Cut { at }),
        (at(), 1_u8..).prop_map(|(at, by)| Harm::Change { at, by }),
        (at(), at()).prop_map(|(at, count)| Harm::Drop { at, count }),
        (at(), at()).prop_map(|(at, count)| Harm::Repeat { at, count }),
    ]
}

/// A reply of a service: its own form of JSON, or anything.
fn wire() -> impl Strategy<Value = Wire> {
    let code = prop_oneof![Just("Request_BadRequest".to_owned()), Just("ObjectConflict".to_owned()), "(?s).{0,120}",];
    let error = (code.clone(), "(?s).{0,60}", vec(code, 0..3)).prop_map(|(code, message, details)| {
        let details: Vec<_> = details.into_iter().map(|code| serde_json::json!({ "code": code })).collect();
        serde_json::json!({"error": {"code": code, "message": message, "details": details}})
    });
    let token = ("(?s).{0,9}", any::<u64>())
        .prop_map(|(token, life)| serde_json::json!({"access_token": token, "expires_in": life}));
    let json = prop_oneof![error, token].prop_map(|json| json.to_string().into_bytes());
    let body = prop_oneof![json, bytes(60)];
    let header =
        prop_oneof!["[0-9.,]{0,12}", "[A-Za-z0-9 :/_-]{0,30}", Just("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),];
    let header = prop_oneof![header.prop_map(String::into_bytes), bytes(12)];
    (100_u16..600, vec(header, 0..8), body, any::<u32>()).prop_map(|(status, headers, body, now_s)| Wire {
        status,
        headers,
        body,
        now_s,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_csv_is_read_or_refused(bytes in prop_oneof![careless_csv(), bytes(200)]) {
        csv_file::check(&bytes, &LAYOUT);
    }

    #[test]
    fn any_job_text_is_read_or_refused(text in "(?s)[ -~\n]{0,200}") {
        let _either_way = job_file::check(&text);
        let _either_way = job_file::check(&format!("format = 1\n{text}"));
    }

    #[test]
    fn an_unknown_key_in_a_connection_file_is_refused_with_its_line(at: Index) {
        let (text, line) = with_line(CONNECTION, at, "unheard_of = 1");
        let Err(cutover::services::ConnectionError::Mistakes { mistakes, .. }) = connection_file::check(&text) else {
            panic!("not refused:\n{text}");
        };
        prop_assert!(mistakes.iter().any(|mistake| mistake.line == line), "line {}: {:?}", line, mistakes);
    }

    #[test]
    fn any_connection_text_is_read_or_refused(text in "(?s).{0,120}", at: Index) {
        let _either_way = connection_file::check(&text);
        let _either_way = connection_file::check(&with_line(CONNECTION, at, &text).0);
    }

    #[test]
    fn any_log_is_read_or_named_as_damaged(bytes in bytes(300)) {
        log_bytes::check(&bytes);
    }

    #[test]
    fn harm_to_a_log_invents_nothing(
        groups in vec(vec(bytes(60), 1..4), 0..6),
        harm in harm(),
    ) {
        log_bytes::check_harmed(&groups, harm);
    }

    #[test]
    fn any_record_is_read_or_refused(bytes in bytes(80), entry in entries::entry(), at: Index, by: u8) {
        log_entry::check(&bytes);
        let mut changed = entry.encode().unwrap();
        let at = at.index(changed.len());
        changed[at] ^= by;
        log_entry::check(&changed);
        changed.truncate(at);
        log_entry::check(&changed);
    }

    #[test]
    fn every_entry_reads_back(entry in entries::entry()) {
        log_entry::round_trips(&entry);
    }

    #[test]
    fn any_reply_has_one_class(wire in wire(), secret in "[!-~]{8,20}") {
        reply::check(&wire, &secret);
    }

    #[test]
    fn no_reply_makes_the_sign_in_quote_its_secret(
        status in 200_u16..600,
        secret in "[!-~]{8,20}",
        before in "[a-z ]{0,520}",
        in_code: bool,
    ) {
        let words = format!("{before}{secret} is wrong");
        let key = if in_code { "error" } else { "error_description" };
        let body = serde_json::json!({ key: words }).to_string().into_bytes();
        reply::check(&Wire { status, headers: Vec::new(), body, now_s: 0 }, &secret);
    }

    #[test]
    fn any_short_text_is_read_or_refused(text in prop_oneof![
        ".{0,40}",
        "[0-9]{1,10} ?/ ?[0-9.]{0,6} ?(ms|s|m|h|min|day|us)?",
        "[A-Za-z0-9+/_-]{20,24}={0,2}",
        "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}",
        "(\\\\[0-9a-f]{2}){15,17}",
        "[ -~]{0,8}@[a-z.-]{0,8}",
        "\\{\"pid\":[0-9]{1,11},\"command\":\"[a-z]{0,3}\",\"since\":\"\"(,\"run\":null)?\\}",
    ]) {
        short_text::check(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_records_make_a_journal_or_an_error(records in entries::log()) {
        let records: Vec<Vec<u8>> = records.iter().map(|entry| entry.encode().unwrap()).collect();
        journal_records::check(&records);
    }

    #[test]
    fn an_unknown_key_in_a_job_is_refused_with_its_line(at: Index) {
        let (text, line) = with_line(JOB, at, "unheard_of = 1");
        let Err(found) = job_file::check(&text) else {
            panic!("not refused:\n{text}");
        };
        prop_assert!(found.mistakes.iter().any(|mistake| mistake.line == line), "line {}: {}", line, found.listing());
    }

    /// A job in which one letter is another one.
    #[test]
    fn a_mistyped_job_is_read_or_refused(at: Index, letter in "[ -~\n]") {
        let at = at.index(JOB.len());
        let text = format!("{}{letter}{}", &JOB[..at], &JOB[at + 1..]);
        let _either_way = job_file::check(&text);
    }
}
