//! Group commit: many callers, one writer, one barrier for all that wait.
//!
//! A task owns the log. While it waits for the disk, records gather; it then writes all of them as one group. So the rate of
//! records follows from the callers, not from the disk's time for a barrier.
//!
//! It gives no order between different callers, and tries nothing again: the first error is everybody's.

use super::blocking::{Blocking, result_of};
use super::error::LogError;
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

type Answer = oneshot::Sender<Result<(), LogError>>;

struct Request {
    record: Record,
    answer: Option<Answer>,
}

/// Where records are handed in to become durable.
#[derive(Debug)]
pub struct Writer {
    requests: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
    ended: Arc<OnceLock<LogError>>,
}

impl Writer {
    /// Starts the task. Every durable group is told to `durable`, in the order of the log, before anybody is answered.
    #[must_use]
    pub fn start(log: Log, blocking: Arc<dyn Blocking>, durable: mpsc::Sender<Durable>) -> Writer {
        let (requests, received) = mpsc::unbounded_channel();
        let ended = Arc::new(OnceLock::new());
        let task = Task { requests: received, blocking, durable, ended: Arc::clone(&ended), held: Vec::new() };
        Writer { requests, task: tokio::spawn(task.run(log)), ended }
    }

    /// Stores a record; `Ok` means that it is durable. Given up half way, it may be stored.
    ///
    /// # Errors
    /// A record over the log's limits is refused, and only it. Any other error is final for every caller.
    pub async fn commit(&self, record: Record) -> Result<(), LogError> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(record, Some(answer))?;
        answered.await.unwrap_or_else(|_| Err(self.why_ended()))
    }

    /// Stores a record without waiting for it, before anything that the same caller hands in later.
    ///
    /// # Errors
    /// As [`Writer::commit`], for what is known by now; a later error shows at the next call.
    pub fn post(&self, record: Record) -> Result<(), LogError> {
        self.hand_in(record, None)
    }

    fn hand_in(&self, record: Record, answer: Option<Answer>) -> Result<(), LogError> {
        line_bytes(&record.json)?;
        let request = Request { record, answer };
        self.requests.send(request).map_err(|_| self.why_ended())
    }

    fn why_ended(&self) -> LogError {
        self.ended.get().cloned().unwrap_or(LogError::Stopped)
    }

    #[cfg(test)]
    pub(super) async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }

    /// Writes all that waits and ends the task.
    ///
    /// # Errors
    /// The error that ended the log, if one did.
    pub async fn close(self) -> Result<(), LogError> {
        let Writer { requests, task, ended } = self;
        drop(requests);
        if task.await.is_err() {
            return Err(LogError::Stopped);
        }
        ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

struct Task {
    requests: mpsc::UnboundedReceiver<Request>,
    blocking: Arc<dyn Blocking>,
    durable: mpsc::Sender<Durable>,
    ended: Arc<OnceLock<LogError>>,
    /// Were received and found no room in the last group.
    held: Vec<Request>,
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
            let (records, answers): (Vec<Record>, Vec<Option<Answer>>) =
                requests.into_iter().map(|request| (request.record, request.answer)).unzip();
            let append = move || {
                let stored = log.append_group(&records);
                (log, records, stored)
            };
            let stored = result_of(&*self.blocking, append).await;
            let Some((same, records, stored)) = stored else {
                return self.end(LogError::Stopped, answers);
            };
            log = same;
            match stored {
                Ok(positions) => {
                    let marks = records.into_iter().map(|record| record.mark);
                    let durable = Durable { marks: positions.into_iter().zip(marks).collect(), head: log.head() };
                    // The checkpoint outlives this task; without it the log is still whole.
                    let _gone = self.durable.send(durable).await;
                }
                Err(error) => return self.end(error, answers),
            }
            wanted = if answers.len() >= CROWD_MIN {
                // Counted before anybody is answered: who comes back at once must not be counted twice.
                self.held.len() + self.requests.len() + answers.len()
            } else {
                1
            };
            answer(answers, Ok(()));
        }
    }

    /// Waits for requests and takes all that are there; none when there will be no more. Until `wanted` of them are there it
    /// waits a moment for the crowd.
    async fn gather(&mut self, wanted: usize) -> Vec<Request> {
        let mut requests = std::mem::take(&mut self.held);
        if requests.is_empty() {
            self.requests.recv_many(&mut requests, usize::MAX).await;
        }
        let deadline = Instant::now() + GATHER;
        while requests.len() < wanted {
            match timeout_at(deadline, self.requests.recv_many(&mut requests, usize::MAX)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let mut bytes = 0;
        let fits = requests.iter().take_while(|request| {
            bytes += request.record.json.len();
            bytes <= GROUP_BYTES_SOFT_MAX
        });
        self.held = requests.split_off(fits.count().max(1).min(requests.len()));
        requests
    }

    /// Nothing is stored any more: whoever waits and whoever will come learns why.
    fn end(mut self, error: LogError, answers: Vec<Option<Answer>>) {
        // The first error is the one that counts.
        let _known = self.ended.set(error.clone());
        self.requests.close();
        answer(answers, Err(error.clone()));
        answer(self.held.drain(..).map(|request| request.answer).collect(), Err(error.clone()));
        while let Ok(request) = self.requests.try_recv() {
            answer(vec![request.answer], Err(error.clone()));
        }
    }
}

fn answer(answers: Vec<Option<Answer>>, result: Result<(), LogError>) {
    for answer in answers.into_iter().flatten() {
        // Who gave up does not want to know.
        let _gone = answer.send(result.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::blocking::{OwnThread, Threads};
    use crate::journal::doubles::{Inline, MemoryLogFile};
    use crate::journal::line::LINE_BYTES_MAX;
    use crate::journal::log::inspect;
    use crate::journal::run::RunId;
    use uuid::Uuid;

    const RUN: RunId = RunId(Uuid::from_u128(1));

    fn record(number: u64) -> Record {
        Record { json: format!("{{\"n\":{number}}}").into_bytes(), mark: Mark::Opened { at: number } }
    }

    fn stored(file: &MemoryLogFile) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let walk = inspect(file, Head::genesis(RUN), |group| {
            records.extend(group.lines().map(|line| line.record()));
            Ok::<_, LogError>(())
        });
        walk.unwrap();
        records
    }

    /// A writer on a file in memory; what it tells is dropped.
    fn writer(blocking: Arc<dyn Blocking>) -> (MemoryLogFile, Writer) {
        let file = MemoryLogFile::default();
        let log = Log::create(Box::new(file.clone()), RUN);
        let (durable, mut told) = mpsc::channel(1);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        (file, Writer::start(log, blocking, durable))
    }

    fn slow() -> Arc<dyn Blocking> {
        let barrier = Duration::from_millis(5);
        Arc::new(Inline { barrier })
    }

    #[tokio::test]
    async fn what_was_answered_is_durable_and_in_the_callers_order() {
        let own: Arc<dyn Blocking> = Arc::new(OwnThread::start("journal-log").unwrap());
        for blocking in [slow(), Arc::new(Threads), own] {
            let (file, writer) = writer(blocking);
            for number in 0..10 {
                writer.post(record(2 * number)).unwrap();
                writer.commit(record(2 * number + 1)).await.unwrap();
                let disk = file.fork();
                disk.cut_power(0);
                assert_eq!(stored(&disk).len() as u64, 2 * number + 2);
            }
            writer.post(record(20)).unwrap();
            writer.close().await.unwrap();
            let all: Vec<_> = (0..=20).map(|number| record(number).json).collect();
            assert_eq!(stored(&file), all);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_shares_a_barrier() {
        let (file, writer) = writer(slow());
        let writer = Arc::new(writer);
        let callers = (0..64).map(|caller| {
            let writer = Arc::clone(&writer);
            tokio::spawn(async move {
                for number in 0..10 {
                    writer.commit(record(caller * 100 + number)).await.unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        assert_eq!(stored(&file).len(), 640);
        assert!(file.syncs() <= 12, "{} barriers", file.syncs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_over_the_limit_is_refused_and_only_it() {
        let (file, writer) = writer(slow());
        let too_long = Record { json: vec![b' '; LINE_BYTES_MAX], mark: Mark::Opened { at: 0 } };
        let refused = writer.commit(too_long).await;
        let is_it = |error: &LogError| matches!(error, LogError::RecordTooLong(_));
        assert!(refused.as_ref().is_err_and(is_it), "{refused:?}");
        writer.commit(record(1)).await.unwrap();
        assert_eq!(stored(&file).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn long_records_do_not_make_a_group_too_long() {
        let (file, writer) = writer(slow());
        for _ in 0..9 {
            let json = format!("{{\"n\":\"{}\"}}", "x".repeat(9 << 20)).into_bytes();
            let mark = Mark::Opened { at: 0 };
            writer.post(Record { json, mark }).unwrap();
        }
        writer.close().await.unwrap();
        assert_eq!(stored(&file).len(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_error_is_everybodys() {
        let (file, writer) = writer(slow());
        writer.commit(record(0)).await.unwrap();
        file.fail_after(1);
        let (first, second) = tokio::join!(writer.commit(record(1)), writer.commit(record(2)));
        for result in [first, second, writer.commit(record(3)).await, writer.post(record(4))] {
            let told = result.unwrap_err().to_string();
            assert!(told.contains("could not be made durable; 1 records"), "{told}");
        }
        assert!(writer.close().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_holds_nobody_up() {
        let (file, writer) = writer(slow());
        let gave_up = tokio::time::timeout(Duration::from_millis(1), writer.commit(record(1)));
        assert!(gave_up.await.is_err());
        writer.commit(record(2)).await.unwrap();
        assert_eq!(stored(&file).len(), 2);
    }

    /// A panic of the file: the log is lost with it, and nobody waits for ever.
    #[tokio::test]
    async fn a_writer_that_panicked_answers_everybody() {
        struct Panicking;
        impl Blocking for Panicking {
            fn run(
                &self,
                work: super::super::blocking::BlockingWork,
            ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
                drop(work);
                Box::pin(async {})
            }
        }
        let (_, writer) = writer(Arc::new(Panicking));
        assert!(matches!(writer.commit(record(1)).await, Err(LogError::Stopped)));
        assert!(writer.commit(record(2)).await.is_err());
        assert!(writer.close().await.is_err());
    }
}
