//! Sorting more records than memory may hold: sorted runs in temporary files, merged while they are read.
//!
//! A record is a few numbers; whoever uses the sorter decides what they mean. The temporary files have no names and disappear
//! with the process, however it ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::iter::Peekable;

/// Memory for records before they go to disk, in bytes. Holds the first search through some two million rows.
pub const HELD_BYTES_MAX: usize = 32 << 20;

/// Least number of records in a run, since each run is an open file.
const RUN_RECORDS_MIN: usize = 16;

/// Takes records in any order and hands them out sorted.
pub struct Sorter<const N: usize> {
    held: Vec<[u64; N]>,
    held_records_max: usize,
    runs: Vec<BufReader<File>>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds so many bytes of records in memory.
    pub fn new(held_bytes_max: usize) -> Sorter<N> {
        let held_records_max = (held_bytes_max / size_of::<[u64; N]>()).max(RUN_RECORDS_MIN);
        Sorter { held: Vec::new(), held_records_max, runs: Vec::new() }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn push(&mut self, record: [u64; N]) -> io::Result<()> {
        if self.held.len() == self.held_records_max {
            self.held.sort_unstable();
            let mut file = BufWriter::new(tempfile::tempfile()?);
            self.held.iter().flatten().try_for_each(|number| file.write_all(&number.to_le_bytes()))?;
            let mut file = file.into_inner()?;
            file.rewind()?;
            self.runs.push(BufReader::new(file));
            self.held.clear();
        }
        self.held.push(record);
        Ok(())
    }

    /// All records taken, sorted.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        self.held.sort_unstable();
        let held = self.held.into_iter().peekable();
        let mut sorted = Sorted { held, runs: self.runs, heads: BinaryHeap::new() };
        (0..sorted.runs.len()).try_for_each(|run| sorted.advance(run))?;
        Ok(sorted)
    }
}

/// The records in their order: those still held, and those of the runs.
pub struct Sorted<const N: usize> {
    held: Peekable<std::vec::IntoIter<[u64; N]>>,
    runs: Vec<BufReader<File>>,
    /// The first unread record of every run that has one.
    heads: BinaryHeap<Reverse<([u64; N], usize)>>,
}

impl<const N: usize> Sorted<N> {
    fn advance(&mut self, run: usize) -> io::Result<()> {
        let file = &mut self.runs[run];
        if !file.fill_buf()?.is_empty() {
            let mut record = [0; N];
            for number in &mut record {
                let mut bytes = [0; 8];
                file.read_exact(&mut bytes)?;
                *number = u64::from_le_bytes(bytes);
            }
            self.heads.push(Reverse((record, run)));
        }
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
        fn sorting_on_disk_is_sorting(records: Vec<[u64; 2]>, held_bytes_max in 0usize..500) {
            let mut expected = records.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(&records, held_bytes_max), expected);
        }
    }
}
