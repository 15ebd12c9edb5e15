//! What callers may rely on, with a thread and without.

use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::journal::frame::{ChainHash, PAYLOAD_BYTES_MAX};
use crate::journal::log::{inspect, read_record};
use crate::journal::medium::Medium;
use crate::journal::memory::MemoryMedium;

type Tag = (usize, u32);
type Seen = Arc<Mutex<Vec<Durable<Tag>>>>;

fn genesis() -> ChainHash {
    ChainHash::genesis(b"test")
}

fn log(medium: impl Medium + 'static) -> Log {
    Log::create(medium, genesis()).unwrap()
}

fn record(caller: usize, number: u32) -> Record<Tag> {
    Record {
        bytes: format!("{caller}:{number}").into_bytes(),
        tag: (caller, number),
    }
}

fn seen() -> (Seen, OnDurable<Tag>) {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    (seen, Box::new(move |durable| locked(&told).push(durable)))
}

/// The payloads in the log, in its order.
fn stored(medium: &MemoryMedium) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    inspect(medium, Head::genesis(genesis()), |group| {
        records.extend(group.records().map(|(_, record)| record.to_vec()));
        Ok::<_, LogError>(())
    })
    .unwrap();
    records
}

/// Both ways to commit, each on its own medium.
fn both() -> Vec<(MemoryMedium, Seen, Committer<Tag>)> {
    let (threaded, on_thread, inline, on_inline) = (
        MemoryMedium::default(),
        seen(),
        MemoryMedium::default(),
        seen(),
    );
    let committers = [
        Committer::spawn(log(threaded.clone()), on_thread.1).unwrap(),
        Committer::inline(log(inline.clone()), on_inline.1, Duration::ZERO),
    ];
    [(threaded, on_thread.0), (inline, on_inline.0)]
        .into_iter()
        .zip(committers)
        .map(|((medium, seen), committer)| (medium, seen, committer))
        .collect()
}

/// A medium whose barriers say that they have begun, and end when they are allowed to.
struct Gated {
    medium: MemoryMedium,
    begun: mpsc::Sender<()>,
    allowed: mpsc::Receiver<()>,
}

impl Gated {
    fn new(medium: &MemoryMedium) -> (Gated, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, has_begun) = mpsc::channel();
        let (allow, allowed) = mpsc::channel();
        (
            Gated {
                medium: medium.clone(),
                begun,
                allowed,
            },
            has_begun,
            allow,
        )
    }
}

impl Medium for Gated {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.medium.append(bytes)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        let _test_is_over = self.begun.send(());
        let _test_is_over = self.allowed.recv();
        self.medium.sync()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.medium.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.medium.read_at(offset, buf)
    }
    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.medium.rewrite(offset, bytes)
    }
    fn truncate(&mut self, len: u64) -> std::io::Result<()> {
        self.medium.truncate(len)
    }
}

#[tokio::test]
async fn what_was_committed_survives_a_power_cut_at_once() {
    for (medium, _, committer) in both() {
        committer.post(vec![record(0, 1)]).unwrap();
        committer
            .commit(vec![record(0, 2), record(0, 3)])
            .await
            .unwrap();
        medium.cut_power(0);
        assert_eq!(stored(&medium), [b"0:1", b"0:2", b"0:3"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_keeps_its_order_and_listeners_hear_that_of_the_log() {
    for (medium, seen, committer) in both() {
        let committer = Arc::new(committer);
        let callers: Vec<_> = (0..16)
            .map(|caller| {
                let committer = Arc::clone(&committer);
                tokio::spawn(async move {
                    for number in (0..60).step_by(3) {
                        committer.post(vec![record(caller, number)]).unwrap();
                        let two = vec![record(caller, number + 1), record(caller, number + 2)];
                        committer.commit(two).await.unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let head = Arc::into_inner(committer).unwrap().close().unwrap();
        assert_eq!(head.records, 16 * 60);

        let seen = locked(&seen);
        assert_eq!(seen.last().unwrap().head, head);
        let heard: Vec<_> = seen.iter().flat_map(|durable| &durable.records).collect();
        assert!(
            heard
                .iter()
                .map(|(_, record)| &record.bytes)
                .eq(&stored(&medium))
        );
        for (position, record) in &heard {
            assert_eq!(read_record(&medium, *position).unwrap(), record.bytes);
        }
        for caller in 0..16 {
            let numbers = heard
                .iter()
                .map(|(_, record)| record.tag)
                .filter(|tag| tag.0 == caller);
            assert!(numbers.map(|tag| tag.1).eq(0..60));
        }
    }
}

#[tokio::test]
async fn all_that_waits_shares_one_barrier() {
    let medium = MemoryMedium::default();
    let (gated, has_begun, allow) = Gated::new(&medium);
    let committer = Committer::spawn(log(gated), Box::new(|_| {})).unwrap();
    committer.post(vec![record(0, 0)]).unwrap();
    has_begun.recv().unwrap();
    for number in 1..100 {
        committer.post(vec![record(0, number)]).unwrap();
    }
    let mut waiting = Box::pin(committer.commit(vec![record(0, 100)]));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    allow.send(()).unwrap();
    has_begun.recv().unwrap();
    assert_eq!(medium.syncs(), 1);
    assert_eq!(
        waiting
            .as_mut()
            .poll(&mut context)
            .map(|result| result.is_ok()),
        Poll::Pending
    );
    allow.send(()).unwrap();
    waiting.await.unwrap();
    assert_eq!((medium.syncs(), stored(&medium).len()), (2, 101));
}

#[tokio::test]
async fn the_first_error_answers_everybody_from_then_on() {
    for (medium, seen, committer) in both() {
        committer.commit(vec![record(0, 1)]).await.unwrap();
        medium.fail_after(1);
        let told = committer
            .commit(vec![record(0, 2)])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("could not be made durable; 1 records"),
            "{told}"
        );
        assert_eq!(
            committer
                .commit(vec![record(0, 3)])
                .await
                .unwrap_err()
                .to_string(),
            told
        );
        assert_eq!(
            committer.post(vec![record(0, 4)]).unwrap_err().to_string(),
            told
        );
        assert_eq!(committer.close().unwrap_err().to_string(), told);
        assert_eq!(locked(&seen).len(), 1);
        medium.cut_power(0);
        assert_eq!(stored(&medium), [b"0:1"]);
    }
}

#[tokio::test]
async fn those_who_wait_behind_a_failed_group_are_answered() {
    let medium = MemoryMedium::default();
    let (gated, has_begun, allow) = Gated::new(&medium);
    let committer = Arc::new(Committer::spawn(log(gated), Box::new(|_| {})).unwrap());
    committer.post(vec![record(0, 0)]).unwrap();
    has_begun.recv().unwrap();
    let others: Vec<_> = (1..5)
        .map(|number| {
            let committer = Arc::clone(&committer);
            tokio::spawn(async move { committer.commit(vec![record(0, number)]).await })
        })
        .collect();
    tokio::task::yield_now().await;
    medium.fail_after(0);
    allow.send(()).unwrap();
    for other in others {
        assert!(matches!(
            other.await.unwrap(),
            Err(CommitError::Log(LogError::Write { .. }))
        ));
    }
}

#[tokio::test]
async fn records_that_are_too_long_are_refused_alone() {
    for (medium, _, committer) in both() {
        let long = Record {
            bytes: vec![0; PAYLOAD_BYTES_MAX + 1],
            tag: (0, 0),
        };
        let refused = committer.commit(vec![long.clone()]).await;
        assert!(
            matches!(refused, Err(CommitError::Log(LogError::RecordTooLong(_)))),
            "{refused:?}"
        );
        assert!(committer.post(vec![long]).is_err());
        committer.commit(vec![record(0, 1)]).await.unwrap();
        assert_eq!(stored(&medium), [b"0:1"]);
    }
}

#[test]
fn closing_writes_what_waits_and_so_does_letting_go() {
    for (medium, _, committer) in both() {
        committer.post(vec![record(0, 1)]).unwrap();
        assert_eq!(committer.close().unwrap().records, 1);
        assert_eq!(stored(&medium), [b"0:1"]);
    }
    for (medium, _, committer) in both() {
        committer.post(vec![record(0, 1)]).unwrap();
        drop(committer);
        assert_eq!(stored(&medium), [b"0:1"]);
    }
}

#[tokio::test]
async fn nobody_waits_in_vain_for_a_writer_that_is_gone() {
    let told: OnDurable<Tag> = Box::new(|_| panic!("a listener's fault, on purpose"));
    let committer = Committer::spawn(log(MemoryMedium::default()), told).unwrap();
    for number in [1, 2] {
        assert!(matches!(
            committer.commit(vec![record(0, number)]).await,
            Err(CommitError::Stopped)
        ));
    }
    assert!(matches!(committer.close(), Err(CommitError::Stopped)));
}

#[test]
fn who_posts_faster_than_the_disk_waits_for_room() {
    let medium = MemoryMedium::default();
    let (gated, has_begun, allow) = Gated::new(&medium);
    let committer = Committer::spawn(log(gated), Box::new(|_| {})).unwrap();
    let megabyte = |number| {
        vec![Record {
            bytes: vec![0; 1 << 20],
            tag: (0, number),
        }]
    };
    committer.post(megabyte(0)).unwrap();
    has_begun.recv().unwrap();
    let (done, posted) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..20 {
                committer.post(megabyte(number)).unwrap();
                done.send(number).unwrap();
            }
        });
        // The seventeenth waits behind the sixteen that are over the bound with their headers.
        assert!(posted.iter().take(16).eq(1..17));
        assert_eq!(posted.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(allow);
        drop(has_begun);
    });
    assert_eq!(committer.close().unwrap().records, 20);
}
