//! What stands in for disk, database and threads where a test must see them at their worst, or run the same way twice.

// Each program that includes this file needs a part of it.
#![allow(dead_code, unused_imports)]

mod log_file;
mod store;

pub use log_file::{Choices, MemoryLogFile, SECTOR_BYTES};
pub use store::MemoryStore;

use cutover::journal::blocking::{Blocking, BlockingWork};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Blocking work on the task that asks for it, which takes some time by tokio's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline {
    /// What a barrier takes.
    pub barrier: Duration,
}

impl Blocking for Inline {
    fn run(&self, work: BlockingWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let barrier = self.barrier;
        Box::pin(async move {
            if !barrier.is_zero() {
                tokio::time::sleep(barrier).await;
            }
            work();
        })
    }
}
