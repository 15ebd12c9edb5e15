//! The promises of the design, held by the library itself: no process is started and no time passes but simulated time. A folder or
//! file a subject.
#![allow(clippy::unwrap_used, clippy::expect_used)]

/// As in the program itself; millions of moments are mostly allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../support/doubles/mod.rs"]
mod doubles;
mod foreign;
mod graph_description;
mod library_run;
mod people;
mod rooms;
mod simulation;
mod small_world;
mod throttling;
