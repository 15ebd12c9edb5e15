//! Where work that blocks is done: the one edge between the journal's tasks and the disk.
//!
//! Log and checkpoint are written by tasks, in a simulation as in production; only where their blocking calls run differs.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc;
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

/// On one thread of its own, which waits for nothing but the disk: nobody else's calls get before a barrier.
pub struct OwnThread(mpsc::Sender<(BlockingWork, oneshot::Sender<()>)>);

impl OwnThread {
    /// # Errors
    /// The system's, when it has no thread to give.
    pub fn start(name: &str) -> io::Result<OwnThread> {
        let (calls, queue) = mpsc::channel::<(BlockingWork, oneshot::Sender<()>)>();
        let work_off = move || {
            for (work, ended) in queue {
                // A panic has been shown already; whoever waits for its result finds none.
                let _panicked = catch_unwind(AssertUnwindSafe(work));
                let _nobody_waits = ended.send(());
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work_off)?;
        Ok(OwnThread(calls))
    }
}

impl Blocking for OwnThread {
    fn run(&self, work: BlockingWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (ended, wait) = oneshot::channel();
        // The thread lives as long as the sender, so the call arrives.
        let _sent = self.0.send((work, ended));
        Box::pin(async { drop(wait.await) })
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
