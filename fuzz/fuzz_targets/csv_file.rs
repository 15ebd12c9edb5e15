//! Any bytes as a CSV file for the shipped job.
#![no_main]

#[path = "../../tests/promises/foreign/csv_file.rs"]
mod csv_file;

use cutover::batch::Layout;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static LAYOUT: LazyLock<Layout> =
    LazyLock::new(|| cutover::job::find("immutable-id").unwrap().layout);

fuzz_target!(|bytes: &[u8]| csv_file::check(bytes, &LAYOUT));
