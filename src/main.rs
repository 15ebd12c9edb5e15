//! The program: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

use clap::Parser;
use cutover::cli::{Cli, Exit, main as run};

fn main() -> Exit {
    run(Cli::parse())
}
