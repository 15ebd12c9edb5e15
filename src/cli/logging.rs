//! Logging, by tracing: warnings on standard error in the style of everything else there, more or less on request; and JSON lines
//! to a file.

use super::{Failure, Global};
use crate::progress::log;
use std::fmt::{Debug, Write as _};
use std::fs::OpenOptions;
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// Sets logging up for the process.
///
/// # Errors
/// When the log file cannot be written, or `CUTOVER_LOG` makes no sense.
pub(super) fn init(global: &Global) -> Result<(), Failure> {
    let variable = std::env::var("CUTOVER_LOG").ok();
    let unless_given = variable.as_deref().filter(|_| global.verbose == 0 && !global.quiet);
    let to_stderr = Spoken.with_filter(parsed(unless_given.unwrap_or(level(global)))?);
    // A file is for later, so it gets more than the terminal.
    let of_file = if global.verbose > 1 { level(global) } else { "cutover=info,warn,sled=off" };
    let of_file = variable.as_deref().unwrap_or(of_file);
    let to_file = match &global.log {
        Some(path) => {
            // Appends: the same command is run again after a kill, and other processes may write to the file, too.
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|error| {
                let message = format!("the log `{}` cannot be written: {error}", path.display());
                Failure::usage("usage", message, "name another file with --log")
            })?;
            // tracing reports its own errors on standard error, and panics if that fails.
            let layer =
                tracing_subscriber::fmt::layer().log_internal_errors(false).json().with_writer(Mutex::new(file));
            Some(layer.with_filter(parsed(of_file)?))
        }
        None => None,
    };
    tracing_subscriber::registry().with(to_stderr).with(to_file).init();
    Ok(())
}

/// Prints each event on standard error.
struct Spoken;

impl<S: Subscriber> Layer<S> for Spoken {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        log(*event.metadata().level(), &words.0);
    }
}

/// An event's message and fields in one line.
#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let gap = if self.0.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{gap}{value:?}"),
            name => write!(self.0, "{gap}{name}={value:?}"),
        };
    }
}

/// sled is off: the journal reports its errors in the operator's words.
fn level(global: &Global) -> &'static str {
    match (global.quiet, global.verbose) {
        (true, _) => "error,sled=off",
        (false, 0) => "warn,sled=off",
        (false, 1) => "cutover=info,warn,sled=off",
        (false, 2) => "cutover=debug,info,sled=off",
        (false, _) => "trace",
    }
}

fn parsed(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(text).map_err(|error| {
        let message = format!("`CUTOVER_LOG={text}` is not a log level: {error}");
        Failure::usage("usage", message, "write error, warn, info, debug or trace")
    })
}
