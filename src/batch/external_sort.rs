//! Sorting more records than memory may hold: sorted runs in one temporary file, merged while they are read.
//!
//! Records are byte arrays and are ordered as bytes, so integers in them are big-endian. Whoever uses the sorter
//! decides what the bytes mean. The temporary file has no name and disappears with the process, however it ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// Memory for records before they go to disk, and again for reading them back, in bytes. Holds the search through
/// some half a million rows without touching the disk.
pub const HELD_BYTES_MAX: usize = 32 << 20;

/// Least part of a run that is read back at once, in records. With very many runs this decides the memory.
const RUN_BUFFER_RECORDS_MIN: usize = 128;

/// Takes records in any order and hands them out sorted.
pub struct Sorter<const N: usize> {
    held: Vec<[u8; N]>,
    held_records_max: usize,
    spilled: Spilled,
}

/// Sorted runs, one after the other.
#[derive(Default)]
struct Spilled {
    file: Option<File>,
    /// Where each run ends; it begins where the one before ends.
    ends: Vec<u64>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds so many bytes of records in memory, and at least one record.
    pub fn new(held_bytes_max: usize) -> Sorter<N> {
        Sorter { held: Vec::new(), held_records_max: (held_bytes_max / N).max(1), spilled: Spilled::default() }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn push(&mut self, record: [u8; N]) -> io::Result<()> {
        if self.held.len() == self.held_records_max {
            self.spill()?;
        }
        self.held.push(record);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        self.spilled.append(&self.held)?;
        self.held.clear();
        Ok(())
    }

    /// All records taken, sorted.
    ///
    /// # Errors
    /// When the temporary file cannot be written or read.
    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        if self.spilled.ends.is_empty() {
            self.held.sort_unstable();
            return Ok(Sorted::Held(self.held.into_iter()));
        }
        self.spill()?;
        // The merge needs the memory that the records had.
        self.held = Vec::new();
        Merge::new(self.spilled, self.held_records_max).map(Sorted::Merged)
    }
}

impl Spilled {
    fn append<const N: usize>(&mut self, records: &[[u8; N]]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let mut writer = BufWriter::new(file);
        for record in records {
            writer.write_all(record)?;
        }
        let mut file = writer.into_inner()?;
        self.ends.push(file.stream_position()?);
        self.file = Some(file);
        Ok(())
    }
}

/// The records in their order.
pub enum Sorted<const N: usize> {
    /// All of them fitted into memory.
    Held(std::vec::IntoIter<[u8; N]>),
    /// They come from disk.
    Merged(Merge<N>),
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Sorted::Held(records) => records.next().map(Ok),
            Sorted::Merged(merge) => merge.next().transpose(),
        }
    }
}

/// Merges sorted runs. Keeps a part of each in memory.
pub struct Merge<const N: usize> {
    file: Option<File>,
    runs: Vec<Run<N>>,
    /// The first unread record of every run that has one.
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

struct Run<const N: usize> {
    unread: std::ops::Range<u64>,
    buffer: std::vec::IntoIter<[u8; N]>,
    buffer_records: usize,
}

impl<const N: usize> Merge<N> {
    fn new(spilled: Spilled, held_records_max: usize) -> io::Result<Merge<N>> {
        let buffer_records = (held_records_max / spilled.ends.len()).max(RUN_BUFFER_RECORDS_MIN);
        let mut begin = 0;
        let mut runs = Vec::with_capacity(spilled.ends.len());
        for end in spilled.ends {
            runs.push(Run { unread: begin..end, buffer: Vec::new().into_iter(), buffer_records });
            begin = end;
        }
        let mut merge = Merge { file: spilled.file, heads: BinaryHeap::with_capacity(runs.len()), runs };
        for index in 0..merge.runs.len() {
            merge.advance(index)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        let Some(Reverse((record, index))) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(index)?;
        Ok(Some(record))
    }

    fn advance(&mut self, index: usize) -> io::Result<()> {
        let (Some(run), Some(file)) = (self.runs.get_mut(index), self.file.as_mut()) else {
            return Ok(());
        };
        if let Some(record) = run.next(file)? {
            self.heads.push(Reverse((record, index)));
        }
        Ok(())
    }
}

impl<const N: usize> Run<N> {
    fn next(&mut self, file: &mut File) -> io::Result<Option<[u8; N]>> {
        if self.buffer.len() == 0 {
            self.refill(file)?;
        }
        Ok(self.buffer.next())
    }

    fn refill(&mut self, file: &mut File) -> io::Result<()> {
        let wanted = (self.buffer_records * N) as u64;
        let bytes = wanted.min(self.unread.end - self.unread.start);
        file.seek(SeekFrom::Start(self.unread.start))?;
        let mut part = file.take(bytes);
        let mut records = Vec::new();
        for _ in 0..bytes / N as u64 {
            let mut record = [0; N];
            part.read_exact(&mut record)?;
            records.push(record);
        }
        self.unread.start += bytes;
        self.buffer = records.into_iter();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(records: &[[u8; 2]], held_bytes_max: usize) -> Vec<[u8; 2]> {
        let mut sorter = Sorter::new(held_bytes_max);
        for record in records {
            sorter.push(*record).unwrap();
        }
        sorter.finish().unwrap().collect::<io::Result<_>>().unwrap()
    }

    #[test]
    fn nothing_sorts_to_nothing() {
        assert!(sorted(&[], 8).is_empty());
    }

    #[test]
    fn runs_longer_than_a_buffer_are_read_to_their_end() {
        let records: Vec<[u8; 2]> = (0..5000u16).rev().map(u16::to_be_bytes).collect();
        let expected: Vec<[u8; 2]> = (0..5000u16).map(u16::to_be_bytes).collect();
        assert_eq!(sorted(&records, 1000 * 2), expected);
    }

    proptest! {
        #[test]
        fn sorting_on_disk_is_sorting(records: Vec<[u8; 2]>, held_bytes_max in 0usize..20) {
            let mut expected = records.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(&records, held_bytes_max), expected);
        }
    }
}
