//! The program: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

use cutover::cli::{Exit, main as run};

/// Rows are many small allocations on several threads; this allocator is measurably faster at them than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    run(std::env::args_os().collect())
}
