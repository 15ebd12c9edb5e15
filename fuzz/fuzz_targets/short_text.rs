//! Any text as a quota, a time, a UPN, a GUID, an ImmutableID, a journal's holder.
#![no_main]

#[path = "../../tests/promises/foreign/short_text.rs"]
mod short_text;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| short_text::check(text));
