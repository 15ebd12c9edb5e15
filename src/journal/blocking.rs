//! Where work that blocks is done: the one edge between the journal's tasks and the disk.
//!
//! Log and checkpoint are written by tasks, in a simulation as in production; only where their blocking calls run differs.

use std::future::Future;
use std::pin::Pin;
use tokio::sync::oneshot;

/// A call that blocks.
pub type BlockingWork = Box<dyn FnOnce() + Send>;

/// Runs calls that block.
pub trait Blocking: Send + Sync {
    /// Ends when the call has.
    fn run(&self, work: BlockingWork) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// On the runtime's threads for that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threads;

impl Blocking for Threads {
    fn run(&self, work: BlockingWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {
            // A panic has been shown already; whoever waits for its result finds none.
            let _panicked = tokio::task::spawn_blocking(work).await;
        })
    }
}

/// What a call returned; `None` if it panicked.
pub(super) async fn result_of<T: Send + 'static>(
    blocking: &dyn Blocking,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, mut receiver) = oneshot::channel();
    let work = Box::new(move || drop(sender.send(call())));
    blocking.run(work).await;
    receiver.try_recv().ok()
}
