//! A log of any bytes: whole groups and a torn end, or damage that is named; what is cut off stays cut off.

use crate::doubles::MemoryLogFile;
use cutover::journal::RunId;
use cutover::journal::error::LogError;
use cutover::journal::log::{Log, inspect, read_record};
use cutover::journal::scan::Head;
use uuid::Uuid;

const RUN: RunId = RunId(Uuid::from_u128(1));

type Records = Vec<Vec<u8>>;

/// The place before the first record of the logs that are made here.
pub fn genesis() -> Head {
    Head::genesis(RUN)
}

/// Reads the bytes as a log from its beginning; answers its groups if it is not damaged.
pub fn check(bytes: &[u8]) -> Option<Vec<Records>> {
    let medium = MemoryLogFile::holding(bytes.to_vec());
    let mut groups: Vec<Records> = Vec::new();
    let mut positions: Vec<u64> = Vec::new();
    let walked = inspect(&medium, genesis(), |group| {
        positions.extend(group.lines().map(|line| line.before.offset));
        groups.push(group.lines().map(|line| line.record()).collect());
        Ok::<_, LogError>(())
    });
    let (head, torn_bytes) = match walked {
        Ok(walked) => walked,
        Err(LogError::Damaged { at, .. }) => {
            assert!(at < bytes.len() as u64);
            assert!(Log::open(Box::new(medium.clone()), genesis(), |_| Ok::<_, LogError>(())).is_err());
            assert_eq!(medium.bytes(), bytes, "a damaged log is not cut");
            return None;
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(head.records as usize, positions.len());
    assert_eq!(head.offset + torn_bytes, bytes.len() as u64);
    for (position, record) in positions.iter().zip(groups.iter().flatten()) {
        let again = read_record(&medium, *position).unwrap();
        assert_eq!(again.as_ref(), Some(record));
    }
    goes_on(&medium, &groups, head);
    Some(groups)
}

/// Opened to be written, the log has the same groups, takes one more, and has all of them the next time.
fn goes_on(medium: &MemoryLogFile, groups: &[Records], head: Head) {
    let (mut log, _) = Log::open(Box::new(medium.clone()), genesis(), |_| Ok::<_, LogError>(())).unwrap();
    assert_eq!(log.head(), head);
    log.append_group(&[record(b"one more")]).unwrap();
    medium.cut_power(0);
    let mut found = 0;
    let (_, torn_bytes) = inspect(medium, genesis(), |_| {
        found += 1;
        Ok::<_, LogError>(())
    })
    .unwrap();
    assert_eq!(found, groups.len() + 1);
    assert_eq!(torn_bytes, 0);
}

/// A record that holds these bytes.
fn record(bytes: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "bytes": bytes })).unwrap()
}

/// What becomes of a log on the way to its reader.
#[derive(Debug, Clone, Copy)]
pub enum Harm {
    /// It ends here.
    Cut { at: usize },
    /// One byte is another.
    Change { at: usize, by: u8 },
    /// Bytes are missing.
    Drop { at: usize, count: usize },
    /// Bytes are there twice.
    Repeat { at: usize, count: usize },
}

/// Writes groups and does harm to the bytes: what is read must be groups that were written, from the first on.
pub fn check_harmed(groups: &[Records], harm: Harm) {
    let medium = MemoryLogFile::default();
    let mut log = Log::create(Box::new(medium.clone()), RUN);
    let records = |group: &Records| group.iter().map(|bytes| record(bytes)).collect();
    let groups: Vec<Records> = groups.iter().map(records).collect();
    groups.iter().for_each(|group| drop(log.append_group(group).unwrap()));
    let harmed = harmed(medium.bytes(), harm);
    let written: Vec<&Records> = groups.iter().filter(|group| !group.is_empty()).collect();
    if let Some(found) = check(&harmed) {
        assert!(found.len() <= written.len(), "{harm:?} invented a group");
        assert!(found.iter().eq(written.into_iter().take(found.len())), "{harm:?}");
    }
}

fn harmed(mut bytes: Vec<u8>, harm: Harm) -> Vec<u8> {
    let place = |at: usize| at % (bytes.len() + 1);
    match harm {
        Harm::Cut { at } => bytes.truncate(place(at)),
        Harm::Change { at, by } => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= by;
            }
        }
        Harm::Drop { at, count } => {
            let at = place(at);
            let until = bytes.len().min(at.saturating_add(count));
            bytes.drain(at..until);
        }
        Harm::Repeat { at, count } => {
            let at = place(at);
            let until = bytes.len().min(at.saturating_add(count));
            let again = bytes[at..until].to_vec();
            bytes.splice(until..until, again);
        }
    }
    bytes
}
