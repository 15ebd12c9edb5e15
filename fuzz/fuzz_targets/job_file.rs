//! Any text as a job file.
#![no_main]

#[path = "../../tests/promises/foreign/job_file.rs"]
mod job_file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| drop(job_file::check(text)));
