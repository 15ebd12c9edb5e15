//! Any bytes as one record of a log.
#![no_main]

#[path = "../../tests/promises/foreign/log_entry.rs"]
mod log_entry;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| drop(log_entry::check(bytes)));
