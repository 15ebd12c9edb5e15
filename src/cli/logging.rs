//! Logging, by tracing: warnings on standard error, more or less on demand, and JSON lines into a file.

use super::args::Global;
use super::exit::Failure;
use std::fs::OpenOptions;
use std::sync::Mutex;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::prelude::*;

/// Sets logging up for the process.
///
/// # Errors
/// When the log file cannot be written, or `CUTOVER_LOG` makes no sense.
pub(super) fn init(global: &Global) -> Result<(), Failure> {
    // That a line cannot be written would be said on standard error, by a panic where that cannot be written either.
    let to_stderr = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_filter(filter(global)?);
    let to_file = match &global.log {
        Some(path) => {
            // Behind what is there: the same line is run again after a kill, and beside a live process that writes here.
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|error| {
                let message = format!("the log `{}` cannot be written: {error}", path.display());
                Failure::usage(message, "name another file with --log")
            })?;
            let layer = tracing_subscriber::fmt::layer()
                .log_internal_errors(false)
                .json()
                .with_writer(Mutex::new(file));
            Some(layer.with_filter(file_filter(global)?))
        }
        None => None,
    };
    tracing_subscriber::registry()
        .with(to_stderr)
        .with(to_file)
        .init();
    Ok(())
}

/// The checkpoint's database complains in words of its own of what the journal has told in the operator's.
fn level(global: &Global) -> &'static str {
    match (global.quiet, global.verbose) {
        (true, _) => "error,sled=off",
        (false, 0) => "warn,sled=off",
        (false, 1) => "cutover=info,warn,sled=off",
        (false, 2) => "cutover=debug,info,sled=off",
        (false, _) => "trace",
    }
}

fn filter(global: &Global) -> Result<EnvFilter, Failure> {
    match std::env::var("CUTOVER_LOG") {
        Ok(text) if global.verbose == 0 && !global.quiet => parsed(&text),
        Ok(_) | Err(_) => parsed(level(global)),
    }
}

/// A file is for looking things up later: it gets more than the terminal.
fn file_filter(global: &Global) -> Result<EnvFilter, Failure> {
    match std::env::var("CUTOVER_LOG") {
        Ok(text) => parsed(&text),
        Err(_) if global.verbose > 1 => parsed(level(global)),
        Err(_) => parsed("cutover=info,warn,sled=off"),
    }
}

fn parsed(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(text).map_err(|error| {
        let message = format!("`CUTOVER_LOG={text}` is no log level: {error}");
        Failure::usage(message, "write error, warn, info, debug or trace")
    })
}
