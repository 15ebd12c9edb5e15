//! cutover: a bulk migration batch runner with a resumable job journal.
//!
//! The rooms, from the bottom up; each knows only those above it in this list. `ARCHITECTURE.md` has the map.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

// What tests share with the library's own names its rooms as they do.
#[cfg(test)]
extern crate self as cutover;

pub mod core;
pub mod sim;

pub mod values;

pub mod batch;
pub mod job;

pub mod machine;

pub mod journal;

pub mod services;

pub mod runner;

pub mod progress;
pub mod report;

pub mod cli;
