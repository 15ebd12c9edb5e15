//! What every room may use and what knows no other room: problems that people read, secrets, words that look alike, cells that a
//! spreadsheet would run, files in TOML, files that are whole or not there.

pub mod config;
mod counted;
mod files;
mod formula;
mod nearest;
mod problem;
mod request;
mod secret;

pub use config::Flaw;
pub use counted::counted;
pub use files::{AtomicFile, remove_abandoned_parts};
pub use formula::{defused, undefused};
pub use nearest::{nearest, nearest_first};
pub use problem::{NOT_AGAIN, NOTHING_CHANGED, Problem, ProblemKind, UNDONE};
pub use request::{Expects, Method, Request, ServiceName};
pub use secret::{Secret, Secrets};
