//! Sorting more records than memory may hold: sorted runs in one temporary file, merged while they are read.
//!
//! A record is a few numbers; whoever uses the sorter decides what they mean. The temporary file has no name and disappears
//! with the process, however it ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

/// Memory for records before they go to disk, in bytes. Holds the first search through some two million rows.
pub const HELD_BYTES_MAX: usize = 32 << 20;

/// Least part of a run that is read back at once, in records. With very many runs this decides the memory.
const RUN_BUFFER_RECORDS_MIN: usize = 128;

/// Takes records in any order and hands them out sorted.
pub struct Sorter<const N: usize> {
    held: Vec<[u64; N]>,
    held_records_max: usize,
    file: Option<File>,
    /// Where each sorted run ends in the file; it begins where the one before ends.
    ends: Vec<u64>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds so many bytes of records in memory, and at least one record.
    pub fn new(held_bytes_max: usize) -> Sorter<N> {
        let held_records_max = (held_bytes_max / size_of::<[u64; N]>()).max(1);
        Sorter { held: Vec::new(), held_records_max, file: None, ends: Vec::new() }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn push(&mut self, record: [u64; N]) -> io::Result<()> {
        if self.held.len() == self.held_records_max {
            self.held.sort_unstable();
            let mut writer = BufWriter::new(self.file.take().map_or_else(tempfile::tempfile, Ok)?);
            self.held.iter().flatten().try_for_each(|number| writer.write_all(&number.to_le_bytes()))?;
            let mut file = writer.into_inner()?;
            self.ends.push(file.stream_position()?);
            self.file = Some(file);
            self.held.clear();
        }
        self.held.push(record);
        Ok(())
    }

    /// All records taken, sorted.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        self.held.sort_unstable();
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let runs = begins.zip(&self.ends).map(|(begin, end)| Run { unread: begin..*end, buffer: IntoIter::default() });
        let runs: Vec<Run<N>> = runs.collect();
        let buffer_records = (self.held_records_max / runs.len().max(1)).max(RUN_BUFFER_RECORDS_MIN);
        let held = self.held.into_iter().peekable();
        let mut sorted = Sorted { held, file: self.file, runs, buffer_records, heads: BinaryHeap::new() };
        (0..sorted.runs.len()).try_for_each(|run| sorted.advance(run))?;
        Ok(sorted)
    }
}

/// The records in their order: those still held, and those of the runs.
pub struct Sorted<const N: usize> {
    held: Peekable<IntoIter<[u64; N]>>,
    file: Option<File>,
    runs: Vec<Run<N>>,
    buffer_records: usize,
    /// The first unread record of every run that has one.
    heads: BinaryHeap<Reverse<([u64; N], usize)>>,
}

struct Run<const N: usize> {
    unread: Range<u64>,
    buffer: IntoIter<[u64; N]>,
}

impl<const N: usize> Sorted<N> {
    fn advance(&mut self, index: usize) -> io::Result<()> {
        let run = &mut self.runs[index];
        if let (0, Some(file)) = (run.buffer.len(), &mut self.file) {
            let wanted = (self.buffer_records * size_of::<[u64; N]>()) as u64;
            let mut bytes = vec![0; wanted.min(run.unread.end - run.unread.start) as usize];
            file.seek(SeekFrom::Start(run.unread.start))?;
            file.read_exact(&mut bytes)?;
            run.unread.start += bytes.len() as u64;
            let numbers: Vec<u64> = bytes.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
            run.buffer = numbers.as_chunks().0.to_vec().into_iter();
        }
        self.heads.extend(run.buffer.next().map(|record| Reverse((record, index))));
        Ok(())
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let first_of_runs = self.heads.peek().map(|Reverse((record, _))| *record);
        if let Some(held) = self.held.next_if(|held| first_of_runs.is_none_or(|first| *held <= first)) {
            return Some(Ok(held));
        }
        let Reverse((record, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(records: &[[u64; 2]], held_bytes_max: usize) -> Vec<[u64; 2]> {
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
        let records: Vec<[u64; 2]> = (0..5000).rev().map(|number| [number, !number]).collect();
        let expected: Vec<[u64; 2]> = (0..5000).map(|number| [number, !number]).collect();
        assert_eq!(sorted(&records, 1000 * 16), expected);
    }

    proptest! {
        #[test]
        fn sorting_on_disk_is_sorting(records: Vec<[u64; 2]>, held_bytes_max in 0usize..100) {
            let mut expected = records.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(&records, held_bytes_max), expected);
        }
    }
}
