//! Any records as a whole log, which a journal is opened on. Each record is two bytes of length and so many bytes.
#![no_main]

#[path = "../../tests/promises/foreign/journal_records.rs"]
mod journal_records;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| journal_records::check(&records(bytes)));

fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        records.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
    records
}
