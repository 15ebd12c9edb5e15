//! What waits for the writer, and how it is put together to groups.
//!
//! A plain mutex with two conditions and no channel: posts come from code that cannot await, commits from code that must not
//! block, the writer takes all that is there at one stroke, and the bound counts bytes rather than messages. Once the
//! queue has ended, nobody waits in it.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{CommitError, Record};
use crate::journal::error::LogError;
use crate::journal::log::group_bytes;

/// Bytes, headers included, after which a group takes no further request (4 MiB): the barrier is paid for by then, and nobody
/// waits for a long write of others.
const GROUP_BYTES_SOFT_MAX: usize = 4 << 20;

/// Bytes, headers included, that may wait before a post makes its caller wait (16 MiB), so that somebody who posts faster than
/// the disk writes does not fill the memory. A commit needs no such bound: its caller waits anyway.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Where the result of a commit goes.
pub(super) type Answer = oneshot::Sender<Result<(), CommitError>>;

/// Records that must become durable together.
pub(super) struct Request<T> {
    records: Vec<Record<T>>,
    bytes: usize,
    answer: Option<Answer>,
}

impl<T> Request<T> {
    /// A request that the log will take.
    ///
    /// # Errors
    /// Those of [`group_bytes`].
    pub(super) fn new(records: Vec<Record<T>>, answer: Option<Answer>) -> Result<Self, LogError> {
        Ok(Request {
            bytes: group_bytes(&records)?,
            records,
            answer,
        })
    }
}

enum Phase {
    Open,
    /// What waits is still written.
    Closing,
    /// Nothing is written any more.
    Ended(CommitError),
}

struct Queue<T> {
    requests: Vec<Request<T>>,
    bytes: usize,
    phase: Phase,
    /// Requests at which the writer wants to be woken: it is not woken for each of a crowd.
    wanted: usize,
}

impl<T> Queue<T> {
    fn add(&mut self, request: Request<T>) -> Result<(), CommitError> {
        match &self.phase {
            Phase::Open => {}
            Phase::Closing => return Err(CommitError::Stopped),
            Phase::Ended(error) => return Err(error.clone()),
        }
        self.bytes += request.bytes;
        self.requests.push(request);
        Ok(())
    }

    fn is_full(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.bytes > WAITING_BYTES_MAX
    }

    /// Whether the writer has something to wait for still. A group that is long enough is not waited for to grow.
    fn is_short(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.requests.len() < self.wanted
            && self.bytes <= GROUP_BYTES_SOFT_MAX
    }

    fn take_all(&mut self) -> Vec<Request<T>> {
        self.bytes = 0;
        mem::take(&mut self.requests)
    }
}

/// The queue between callers and writer.
pub(super) struct Waiting<T> {
    queue: Mutex<Queue<T>>,
    work: Condvar,
    room: Condvar,
}

impl<T> Waiting<T> {
    pub(super) fn new() -> Waiting<T> {
        let queue = Queue {
            requests: Vec::new(),
            bytes: 0,
            phase: Phase::Open,
            wanted: 1,
        };
        Waiting {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        locked(&self.queue).requests.len()
    }

    /// Puts a request behind the others.
    ///
    /// # Errors
    /// The one that ended the queue.
    pub(super) fn add(&self, request: Request<T>) -> Result<(), CommitError> {
        let queue = locked(&self.queue);
        self.add_to(queue, request)
    }

    /// As `add`, but while too much waits, so does the calling thread.
    ///
    /// # Errors
    /// The one that ended the queue.
    pub(super) fn add_when_room(&self, request: Request<T>) -> Result<(), CommitError> {
        let queue = locked(&self.queue);
        let queue = self
            .room
            .wait_while(queue, |queue| queue.is_full())
            .unwrap_or_else(PoisonError::into_inner);
        self.add_to(queue, request)
    }

    fn add_to(
        &self,
        mut queue: MutexGuard<'_, Queue<T>>,
        request: Request<T>,
    ) -> Result<(), CommitError> {
        queue.add(request)?;
        let is_enough = !queue.is_short();
        drop(queue);
        if is_enough {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for requests and takes all of them; none when there will be no more. Until `wanted` of them are there it waits
    /// no longer than `patience`.
    pub(super) fn take(&self, wanted: usize, patience: Duration) -> Vec<Request<T>> {
        let mut queue = locked(&self.queue);
        if wanted > 1 {
            queue.wanted = wanted;
            (queue, _) = self
                .work
                .wait_timeout_while(queue, patience, |queue| queue.is_short())
                .unwrap_or_else(PoisonError::into_inner);
            queue.wanted = 1;
        }
        let mut queue = self
            .work
            .wait_while(queue, |queue| queue.is_short())
            .unwrap_or_else(PoisonError::into_inner);
        let requests = queue.take_all();
        drop(queue);
        self.room.notify_all();
        requests
    }

    /// Takes all requests that are there, without waiting for any.
    pub(super) fn take_now(&self) -> Vec<Request<T>> {
        locked(&self.queue).take_all()
    }

    /// There will be no more requests; those that wait are still to be taken.
    pub(super) fn close(&self) {
        let mut queue = locked(&self.queue);
        if matches!(queue.phase, Phase::Open) {
            queue.phase = Phase::Closing;
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Nothing is taken any more: what waits and what will come is answered with this error, or with an earlier one.
    pub(super) fn end(&self, error: CommitError) {
        let mut queue = locked(&self.queue);
        let waiting = queue.take_all();
        if !matches!(queue.phase, Phase::Ended(_)) {
            queue.phase = Phase::Ended(error.clone());
        }
        drop(queue);
        self.room.notify_all();
        for answer in waiting.into_iter().filter_map(|request| request.answer) {
            // Who gave up does not want to know.
            let _gone = answer.send(Err(error.clone()));
        }
    }
}

/// A lock that a panic elsewhere does not close.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The queue is whole at every point where a thread could panic; the log keeps its own word on failure.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The records of one group, and who waits for them.
pub(super) type Gathered<T> = (Vec<Record<T>>, Vec<Answer>);

/// Puts requests together to groups, in order and none of them split.
pub(super) fn gather<T>(requests: Vec<Request<T>>) -> impl Iterator<Item = Gathered<T>> {
    let mut requests = requests.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = requests.next()?;
        let mut bytes = first.bytes;
        let mut records = first.records;
        let mut answers = Vec::from_iter(first.answer);
        while let Some(next) = requests.next_if(|next| bytes + next.bytes <= GROUP_BYTES_SOFT_MAX) {
            bytes += next.bytes;
            records.extend(next.records);
            answers.extend(next.answer);
        }
        Some((records, answers))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: usize, records: u8) -> Request<u8> {
        let records = (0..records)
            .map(|tag| Record {
                bytes: vec![tag; bytes],
                tag,
            })
            .collect();
        Request::new(records, None).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn waiting(requests: usize) -> Waiting<u8> {
        let waiting = Waiting::new();
        (0..requests).for_each(|_| waiting.add(request(1, 1)).unwrap());
        waiting
    }

    #[test]
    fn a_crowd_is_waited_for_until_all_of_it_is_there() {
        let waiting = waiting(1);
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| (0..2).for_each(|_| waiting.add(request(1, 1)).unwrap()));
            waiting.take(3, HOUR).len()
        });
        assert_eq!(taken, 3);
    }

    #[test]
    fn who_does_not_come_back_is_not_waited_for_for_ever() {
        assert_eq!(waiting(1).take(3, Duration::ZERO).len(), 1);
        let closed = waiting(1);
        closed.close();
        assert_eq!(closed.take(3, HOUR).len(), 1);
        assert_eq!(closed.take(3, HOUR).len(), 0);
    }

    #[test]
    fn a_long_group_is_not_waited_for_to_grow() {
        let waiting = waiting(1);
        waiting.add(request(GROUP_BYTES_SOFT_MAX, 1)).unwrap();
        assert_eq!(waiting.take(3, HOUR).len(), 2);
    }

    fn group_sizes(requests: Vec<Request<u8>>) -> Vec<usize> {
        gather(requests).map(|(records, _)| records.len()).collect()
    }

    #[test]
    fn small_requests_share_a_group() {
        assert_eq!(group_sizes((0..9).map(|_| request(100, 2)).collect()), [18]);
        assert!(group_sizes(Vec::new()).is_empty());
    }

    #[test]
    fn no_request_is_split_and_no_group_grows_beyond_its_bound_by_another() {
        let over = GROUP_BYTES_SOFT_MAX / 2;
        assert_eq!(
            group_sizes(vec![
                request(1, 1),
                request(over, 3),
                request(1, 1),
                request(over, 1)
            ]),
            [1, 3, 2]
        );
    }

    #[test]
    fn headers_count_too() {
        let empty = GROUP_BYTES_SOFT_MAX / crate::journal::frame::HEADER_BYTES;
        let sizes = group_sizes((0..=empty).map(|_| request(0, 1)).collect());
        assert_eq!(sizes, [empty, 1]);
    }
}
