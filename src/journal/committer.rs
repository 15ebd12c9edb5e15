//! Group commit: many callers, one writer, one barrier for all that wait.
//!
//! A thread of its own owns the log. While it waits for the disk, requests gather; it then writes all of them as one group.
//! So the rate of records follows from the callers, not from the disk's time for a barrier. A request is never split
//! between groups. The thread is a plain one, since a barrier blocks, and it goes on when the runtime is busy or gone.
//!
//! [`Committer::inline`] does the same without a thread: of those who wait, the first one writes for all. It is for
//! simulations, which must run the same way twice.
//!
//! It deliberately gives no order between different callers, and tries nothing again: the first error answers everybody.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;
use tokio::sync::oneshot;

use super::error::LogError;
use super::log::Log;
use super::scan::{Head, Position};
use queue::{Answer, Request, Waiting, gather, locked};

mod queue;

/// How long a crowd that was answered may take to come back before the next barrier: a barrier costs the processor more than
/// a crowd loses by waiting this long for the next one. Nobody waits any longer once all of them are there.
const GATHER: Duration = Duration::from_millis(1);

/// Requests in one group from which on that is so. A few callers never wait for others.
const CROWD_MIN: usize = 4;

/// Bytes to store, and what the caller wants back once they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// The payload.
    pub bytes: Vec<u8>,
    /// Carried along; not stored.
    pub tag: T,
}

impl<T> AsRef<[u8]> for Record<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A group that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable<T> {
    /// Its records in the order of the log, each with its place.
    pub records: Vec<(Position, Record<T>)>,
    /// The place behind them.
    pub head: Head,
}

/// Told of every group that became durable, in the order of the log, on the writer's thread, after the callers were
/// answered. It must not commit or post itself: nobody would be there to take it.
pub type OnDurable<T> = Box<dyn FnMut(Durable<T>) + Send>;

/// Why a commit is not known to be durable.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum CommitError {
    /// The log refused the records or has failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),

    /// The writer is gone without a word; a fault of the program.
    #[error(
        "the journal's writer has stopped; whether the last records were stored is known after opening the journal again"
    )]
    #[diagnostic(
        code(journal::writer_stopped),
        help(
            "`cutover resume`: nothing was sent without a stored intent, and rows in doubt are read again first"
        )
    )]
    Stopped,
}

/// Where records are handed in to become durable.
pub struct Committer<T: Send + 'static> {
    mode: Mode<T>,
}

enum Mode<T: Send + 'static> {
    Thread(WriterThread<T>),
    Inline(Box<Inline<T>>),
}

impl<T: Send + 'static> Committer<T> {
    /// Starts the writer's thread.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn spawn(log: Log, on_durable: OnDurable<T>) -> std::io::Result<Committer<T>> {
        let writer = Writer { log, on_durable };
        Ok(Committer {
            mode: Mode::Thread(WriterThread::spawn(writer)?),
        })
    }

    /// Writes on the calling task, without a thread. A barrier takes the time of `barrier` by tokio's clock, during which
    /// others join its group.
    #[must_use]
    pub fn inline(log: Log, on_durable: OnDurable<T>, barrier: Duration) -> Committer<T> {
        Committer {
            mode: Mode::Inline(Box::new(Inline {
                waiting: Waiting::new(),
                writer: Mutex::new(Writer { log, on_durable }),
                barrier,
            })),
        }
    }

    /// Stores records as a part of one group; `Ok` means that they are durable. Given up half way, they may be stored.
    ///
    /// # Errors
    /// Records over the log's limits are refused, and only they. Any other error is final for every caller.
    pub async fn commit(&self, records: Vec<Record<T>>) -> Result<(), CommitError> {
        match &self.mode {
            Mode::Thread(thread) => {
                let (answer, answered) = oneshot::channel();
                thread.waiting.add(Request::new(records, Some(answer))?)?;
                answered.await.unwrap_or(Err(CommitError::Stopped))
            }
            Mode::Inline(inline) => {
                let (answer, answered) = oneshot::channel();
                inline.waiting.add(Request::new(records, Some(answer))?)?;
                if !inline.barrier.is_zero() {
                    tokio::time::sleep(inline.barrier).await;
                }
                inline.write_waiting();
                answered.await.unwrap_or(Err(CommitError::Stopped))
            }
        }
    }

    /// Stores records without waiting for it, before anything that the same caller hands in later. Blocks the calling
    /// thread only while more than 16 MiB wait for the disk.
    ///
    /// # Errors
    /// As [`Committer::commit`], for what is known by now; a later error shows at the next call.
    pub fn post(&self, records: Vec<Record<T>>) -> Result<(), CommitError> {
        match &self.mode {
            Mode::Thread(thread) => thread.waiting.add_when_room(Request::new(records, None)?),
            Mode::Inline(inline) => inline.waiting.add(Request::new(records, None)?),
        }
    }

    /// Writes all that waits, ends the thread and answers where the log ends. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The error that ended the log, if one did.
    pub fn close(self) -> Result<Head, CommitError> {
        match self.mode {
            Mode::Thread(mut thread) => thread.join(),
            Mode::Inline(inline) => {
                inline.write_waiting();
                locked(&inline.writer).end()
            }
        }
    }
}

/// The log and the one who is told of it.
struct Writer<T> {
    log: Log,
    on_durable: OnDurable<T>,
}

impl<T> Writer<T> {
    fn write(&mut self, records: Vec<Record<T>>, answers: Vec<Answer>) -> Result<(), CommitError> {
        let stored = self.log.append_group(&records);
        self.tell(stored, records, answers)
    }

    fn tell(
        &mut self,
        stored: Result<Vec<Position>, LogError>,
        records: Vec<Record<T>>,
        answers: Vec<Answer>,
    ) -> Result<(), CommitError> {
        let result = stored.map_err(CommitError::from);
        let answer = result.as_ref().map(|_| ()).map_err(CommitError::clone);
        if let Ok(positions) = result
            && !positions.is_empty()
        {
            // Before the answers, so that whoever is answered and then reads finds what was stored.
            let records = positions.into_iter().zip(records).collect();
            (self.on_durable)(Durable {
                records,
                head: self.log.head(),
            });
        }
        for waiting in answers {
            // Who gave up does not want to know.
            let _gone = waiting.send(answer.clone());
        }
        answer
    }

    fn end(&mut self) -> Result<Head, CommitError> {
        // An empty group costs nothing, but tells whether the log has failed.
        self.write(Vec::new(), Vec::new())?;
        Ok(self.log.head())
    }
}

struct Inline<T> {
    waiting: Waiting<T>,
    writer: Mutex<Writer<T>>,
    barrier: Duration,
}

impl<T> Inline<T> {
    fn write_waiting(&self) {
        let mut writer = locked(&self.writer);
        for (records, answers) in gather(self.waiting.take_now()) {
            if let Err(error) = writer.write(records, answers) {
                self.waiting.end(error);
            }
        }
    }
}

impl<T> Drop for Inline<T> {
    fn drop(&mut self) {
        self.write_waiting();
    }
}

struct WriterThread<T> {
    waiting: Arc<Waiting<T>>,
    thread: Option<JoinHandle<Result<Head, CommitError>>>,
}

impl<T: Send + 'static> WriterThread<T> {
    fn spawn(writer: Writer<T>) -> std::io::Result<WriterThread<T>> {
        let waiting = Arc::new(Waiting::new());
        let served = Served(Arc::clone(&waiting));
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || served.by(writer))?;
        Ok(WriterThread {
            waiting,
            thread: Some(thread),
        })
    }
}

impl<T> WriterThread<T> {
    fn join(&mut self) -> Result<Head, CommitError> {
        self.waiting.close();
        let ended = self.thread.take().map(JoinHandle::join);
        // A panic has been shown already, by the thread itself.
        ended
            .and_then(Result::ok)
            .unwrap_or(Err(CommitError::Stopped))
    }
}

impl<T> Drop for WriterThread<T> {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Nobody is left to be told.
            let _result = self.join();
        }
    }
}

/// The writer's side of the queue: however its thread ends, nobody waits for it in vain.
struct Served<T>(Arc<Waiting<T>>);

impl<T> Served<T> {
    fn by(&self, mut writer: Writer<T>) -> Result<Head, CommitError> {
        let mut wanted = 1;
        loop {
            let requests = self.0.take(wanted, GATHER);
            if requests.is_empty() {
                return writer.end();
            }
            wanted = 1;
            for (records, answers) in gather(requests) {
                let stored = writer.log.append_group(&records);
                if answers.len() >= CROWD_MIN {
                    // Counted before anybody is answered: who comes back at once must not be counted twice.
                    wanted = self.0.len() + answers.len();
                }
                if let Err(error) = writer.tell(stored, records, answers) {
                    self.0.end(error);
                }
            }
        }
    }
}

impl<T> Drop for Served<T> {
    fn drop(&mut self) {
        self.0.end(CommitError::Stopped);
    }
}

#[cfg(test)]
mod tests;
