//! Group commit: many callers, one writer, one barrier for all that wait.
//!
//! A task owns the log. While it waits for the disk, records gather; it then writes all of them as one group. So the rate of
//! records follows from the callers, not from the disk's time for a barrier.
//!
//! It gives no order between different callers, and tries nothing again: the first error is everybody's.

use super::blocking::{Blocking, result_of};
use super::error::{CommitError, LogError};
use super::fold::Mark;
use super::line::line_bytes;
use super::log::Log;
use super::scan::Head;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How long a crowd that was answered may take to come back before the next barrier: a barrier costs the processor more than
/// a crowd loses by waiting this long for the next one. Nobody waits any longer once all of them are there.
const GATHER: Duration = Duration::from_millis(1);

/// Records in one group from which on that is so. A few callers never wait for others.
const CROWD_MIN: usize = 4;

/// Bytes after which a group takes no further record (4 MiB): nobody waits for a long write of others.
const GROUP_BYTES_SOFT_MAX: usize = 4 << 20;

/// A record to be stored, and what it means.
#[derive(Debug)]
pub struct Record {
    /// Its JSON.
    pub json: Vec<u8>,
    /// What it means for the checkpoint; not stored.
    pub mark: Mark,
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// A group that is durable.
#[derive(Debug)]
pub struct Durable {
    /// What its records mean, each with the byte of the log at which it begins.
    pub marks: Vec<(u64, Mark)>,
    /// The place after them.
    pub head: Head,
}

type Answer = oneshot::Sender<Result<(), CommitError>>;

struct Request {
    record: Record,
    answer: Option<Answer>,
}

/// Where records are handed in to become durable.
#[derive(Debug)]
pub struct Writer {
    requests: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
    ended: Arc<OnceLock<CommitError>>,
}

impl Writer {
    /// Starts the task. Every durable group is told to `durable`, in the order of the log, before anybody is answered.
    #[must_use]
    pub fn start(log: Log, blocking: Arc<dyn Blocking>, durable: mpsc::Sender<Durable>) -> Writer {
        let (requests, received) = mpsc::unbounded_channel();
        let ended = Arc::new(OnceLock::new());
        let task = Task {
            requests: received,
            blocking,
            durable,
            ended: Arc::clone(&ended),
            held: None,
        };
        Writer {
            requests,
            task: tokio::spawn(task.run(log)),
            ended,
        }
    }

    /// Stores a record; `Ok` means that it is durable. Given up half way, it may be stored.
    ///
    /// # Errors
    /// A record over the log's limits is refused, and only it. Any other error is final for every caller.
    pub async fn commit(&self, record: Record) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(record, Some(answer))?;
        answered.await.unwrap_or_else(|_| Err(self.why_ended()))
    }

    /// Stores a record without waiting for it, before anything that the same caller hands in later.
    ///
    /// # Errors
    /// As [`Writer::commit`], for what is known by now; a later error shows at the next call.
    pub fn post(&self, record: Record) -> Result<(), CommitError> {
        self.hand_in(record, None)
    }

    fn hand_in(&self, record: Record, answer: Option<Answer>) -> Result<(), CommitError> {
        line_bytes(&record.json).map_err(LogError::from)?;
        let request = Request { record, answer };
        self.requests
            .send(request)
            .map_err(|_| self.why_ended())
    }

    fn why_ended(&self) -> CommitError {
        self.ended.get().cloned().unwrap_or(CommitError::Stopped)
    }

    /// Writes all that waits and ends the task.
    ///
    /// # Errors
    /// The error that ended the log, if one did.
    pub async fn close(self) -> Result<(), CommitError> {
        let Writer {
            requests,
            task,
            ended,
        } = self;
        drop(requests);
        if task.await.is_err() {
            return Err(CommitError::Stopped);
        }
        ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

struct Task {
    requests: mpsc::UnboundedReceiver<Request>,
    blocking: Arc<dyn Blocking>,
    durable: mpsc::Sender<Durable>,
    ended: Arc<OnceLock<CommitError>>,
    /// Was received and found no room in the last group.
    held: Option<Request>,
}

impl Task {
    async fn run(mut self, log: Log) {
        let mut log = log;
        let mut wanted = 1;
        loop {
            let requests = self.gather(wanted).await;
            if requests.is_empty() {
                return;
            }
            let (records, answers): (Vec<Record>, Vec<Option<Answer>>) = requests
                .into_iter()
                .map(|request| (request.record, request.answer))
                .unzip();
            let append = move || {
                let stored = log.append_group(&records);
                (log, records, stored)
            };
            let stored = result_of(&*self.blocking, append).await;
            let Some((same, records, stored)) = stored else {
                return self.end(CommitError::Stopped, answers);
            };
            log = same;
            match stored {
                Ok(positions) => {
                    let marks = records.into_iter().map(|record| record.mark);
                    let durable = Durable {
                        marks: positions.into_iter().zip(marks).collect(),
                        head: log.head(),
                    };
                    // The checkpoint outlives this task; without it the log is still whole.
                    let _gone = self.durable.send(durable).await;
                }
                Err(error) => return self.end(error.into(), answers),
            }
            wanted = if answers.len() >= CROWD_MIN {
                // Counted before anybody is answered: who comes back at once must not be counted twice.
                self.requests.len() + answers.len()
            } else {
                1
            };
            answer(answers, Ok(()));
        }
    }

    /// Waits for requests and takes all that are there; none when there will be no more. Until `wanted` of them are there it
    /// waits a moment for the crowd.
    async fn gather(&mut self, wanted: usize) -> Vec<Request> {
        let (mut requests, mut bytes) = (Vec::new(), 0);
        let mut deadline = None;
        loop {
            while let Some(next) = self.held.take().or_else(|| self.requests.try_recv().ok()) {
                bytes += next.record.json.len();
                if !requests.is_empty() && bytes > GROUP_BYTES_SOFT_MAX {
                    self.held = Some(next);
                    return requests;
                }
                requests.push(next);
            }
            if requests.is_empty() {
                self.held = self.requests.recv().await;
                if self.held.is_none() {
                    return requests;
                }
                continue;
            }
            if requests.len() >= wanted {
                return requests;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + GATHER);
            match timeout_at(deadline, self.requests.recv()).await {
                Ok(Some(next)) => self.held = Some(next),
                Ok(None) | Err(_) => return requests,
            }
        }
    }

    /// Nothing is stored any more: whoever waits and whoever will come learns why.
    fn end(mut self, error: CommitError, answers: Vec<Option<Answer>>) {
        // The first error is the one that counts.
        let _known = self.ended.set(error.clone());
        self.requests.close();
        answer(answers, Err(error.clone()));
        while let Ok(request) = self.requests.try_recv() {
            answer(vec![request.answer], Err(error.clone()));
        }
    }
}

fn answer(answers: Vec<Option<Answer>>, result: Result<(), CommitError>) {
    for answer in answers.into_iter().flatten() {
        // Who gave up does not want to know.
        let _gone = answer.send(result.clone());
    }
}
