//! A record of any bytes: an entry that is written as it was read, or an error.

use cutover::journal::line::Entry;

/// Reads the bytes as one record.
pub fn check(bytes: &[u8]) -> Option<Entry> {
    let entry = Entry::decode(bytes).ok()?;
    round_trips(&entry);
    Some(entry)
}

/// An entry reads back as it was written.
pub fn round_trips(entry: &Entry) {
    let bytes = entry.encode().unwrap();
    assert_eq!(Entry::decode(&bytes).as_ref(), Ok(entry));
}
