//! Items of rows in a temporary file: taken in any order, read back in the order of the rows. Memory does not grow with them.
//!
//! The file has no name and disappears with the process, however it ends.

use crate::batch::external_sort::{Sorted, Sorter};
use crate::journal::{JournalError, RowNumber};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::iter::Peekable;
use std::marker::PhantomData;

/// Memory for one sort before it goes to disk, in bytes.
pub(super) const SORTED_IN_MEMORY: usize = 1 << 20;

/// Takes items of rows.
pub struct Spool<T> {
    file: BufWriter<File>,
    end: u64,
    /// The row of each item, and where it begins.
    places: Sorter<2>,
    items: PhantomData<fn(&T)>,
}

/// Items of rows, in the order of the rows and of one row in the order in which they came.
pub struct Spooled<T> {
    file: BufReader<File>,
    at: u64,
    places: Peekable<Sorted<2>>,
    items: PhantomData<fn() -> T>,
}

impl<T: Serialize> Spool<T> {
    /// An empty one.
    ///
    /// # Errors
    /// There can be no temporary file.
    pub fn new() -> Result<Spool<T>, JournalError> {
        let file = BufWriter::new(tempfile::tempfile().map_err(of_temporary_file)?);
        Ok(Spool { file, end: 0, places: Sorter::new(SORTED_IN_MEMORY), items: PhantomData })
    }

    /// Takes an item of a row.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, row: RowNumber, item: &T) -> Result<(), JournalError> {
        self.write(row, item).map_err(of_temporary_file)
    }

    fn write(&mut self, row: RowNumber, item: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(item)?;
        line.push(b'\n');
        self.places.push([row.0, self.end])?;
        self.end += line.len() as u64;
        self.file.write_all(&line)
    }

    /// All items that were taken.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn finish(self) -> Result<Spooled<T>, JournalError> {
        let file = self.file.into_inner().map_err(|error| of_temporary_file(error.into_error()))?;
        let places = self.places.finish().map_err(of_temporary_file)?;
        Ok(Spooled { file: BufReader::new(file), at: self.end, places: places.peekable(), items: PhantomData })
    }
}

impl<T: DeserializeOwned> Spooled<T> {
    /// The next item, and which row's it is.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn next_item(&mut self) -> Result<Option<(RowNumber, T)>, JournalError> {
        self.read_through(RowNumber(u64::MAX)).map_err(of_temporary_file)
    }

    /// The next item of this row, if it has one more. Rows are asked for in their order.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn next_of(&mut self, row: RowNumber) -> Result<Option<T>, JournalError> {
        while let Some((found, item)) = self.read_through(row).map_err(of_temporary_file)? {
            if found == row {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    fn read_through(&mut self, last: RowNumber) -> io::Result<Option<(RowNumber, T)>> {
        let is_due = |place: &io::Result<[u64; 2]>| place.as_ref().map_or(true, |[row, _]| *row <= last.0);
        let Some([row, begins]) = self.places.next_if(is_due).transpose()? else {
            return Ok(None);
        };
        self.file.seek_relative(begins.wrapping_sub(self.at).cast_signed())?;
        let mut line = Vec::new();
        self.at = begins + self.file.read_until(b'\n', &mut line)? as u64;
        Ok(Some((RowNumber(row), serde_json::from_slice(&line)?)))
    }
}

/// Temporary files fail as the journal's do, and for the same reasons.
pub(super) fn of_temporary_file(source: io::Error) -> JournalError {
    JournalError::File { what: "temporary file in", path: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More rows than one sort holds in memory, from both ends.
    #[test]
    fn items_come_back_in_the_order_of_the_rows() {
        let rows = 3 * (SORTED_IN_MEMORY / size_of::<[u64; 2]>()) as u64;
        let mut spool = Spool::new().unwrap();
        for row in (1..=rows / 2).flat_map(|row| [row, rows + 1 - row]) {
            spool.push(RowNumber(row), &format!("{row}\n")).unwrap();
        }
        spool.push(RowNumber(7), &"once more".to_owned()).unwrap();
        let mut spooled: Spooled<String> = spool.finish().unwrap();
        assert_eq!(spooled.next_item().unwrap(), Some((RowNumber(1), "1\n".to_owned())));
        assert_eq!(spooled.next_of(RowNumber(7)).unwrap().as_deref(), Some("7\n"));
        assert_eq!(spooled.next_of(RowNumber(7)).unwrap().as_deref(), Some("once more"));
        assert_eq!(spooled.next_of(RowNumber(7)).unwrap(), None);
        for row in 8..=rows {
            assert_eq!(spooled.next_of(RowNumber(row)).unwrap(), Some(format!("{row}\n")));
        }
        assert!(spooled.next_item().unwrap().is_none());
    }
}
