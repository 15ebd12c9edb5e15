//! What a test needs of the machine beyond Rust: root, file systems, `strace`, `script`, Samba. Where it is missing the test cannot
//! run and says so; with `CUTOVER_TEST_TOOLS=required` in the environment, as in CI, that is a failure.

use std::fmt::Display;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// For a test that cannot run here, which then ends.
#[track_caller]
pub fn cannot_run(why: impl Display) {
    let required = std::env::var("CUTOVER_TEST_TOOLS").is_ok_and(|value| value == "required");
    assert!(!required, "this test cannot run: {why}");
    // Not by a macro: a passed test would keep it to itself.
    let place = std::panic::Location::caller();
    let word = format!("SKIPPED, {place}: {why}\n");
    std::io::stderr().write_all(word.as_bytes()).unwrap();
}

pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
