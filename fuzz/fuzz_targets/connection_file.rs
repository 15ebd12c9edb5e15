//! Any text as a connection file.
#![no_main]

#[path = "../../tests/promises/foreign/connection_file.rs"]
mod connection_file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| drop(connection_file::check(text)));
