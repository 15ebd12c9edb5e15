//! The real program, as an operator meets it: started, steered, stopped, killed, run twice at once, on disks that break, beside a
//! real domain controller. A file a subject. The simulated tenant has the last word on what was done, not the program.
//!
//! What a test needs of the machine (root, file systems, `strace`, Samba) is in `support::tools`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(unix)]
mod active_directory;
#[cfg(target_os = "linux")]
mod broken_disk;
mod check;
mod control;
mod damaged_checkpoint;
mod end_to_end;
mod explain;
mod half_way;
mod jobs;
mod journal_command;
mod killed;
mod killed_journal;
mod other_app;
mod output;
#[cfg(target_os = "linux")]
mod power_cut;
mod preflight;
mod report;
mod retry;
mod run_again;
#[cfg(unix)]
mod secrets;
mod sign_in;
#[cfg(unix)]
mod stopping;
mod two_processes;
mod verify;
