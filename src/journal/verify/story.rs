//! What the records of a run must tell, apart from what the machine allows: a beginning, its rows in order, their end, then the
//! work.

use crate::journal::import::{ROWS_PER_RECORD, RowSet};
use crate::journal::line::Entry;
use crate::journal::row::{RowNumber, RowRecord};
use crate::journal::run::{InputRow, RunId};

/// The order in which a run's records come.
#[derive(Debug, Default)]
pub(super) struct Story {
    began: bool,
    /// Rows copied so far.
    copied: u64,
    /// All rows, once they were copied.
    rows: Option<u64>,
    /// The highest row that moved.
    moved_max: u64,
    ended: RowSet,
}

impl Story {
    /// # Errors
    /// Why the record does not belong here.
    pub(super) fn take(&mut self, id: RunId, entry: &Entry) -> Result<(), String> {
        if self.began == matches!(entry, Entry::Began { .. }) {
            return Err("a run begins with its beginning, and once".into());
        }
        match entry {
            Entry::Began { run, format: _ } => {
                self.began = true;
                must(run.id == id, || format!("this is the log of run {id}"))
            }
            Entry::Rows(rows) => self.copy(rows),
            Entry::Imported { rows, at: _ } => self.imported(*rows),
            Entry::Moved(transition) => {
                let row = transition.row;
                self.moved_max = self.moved_max.max(row.0);
                must(!self.ended.contains(row), || format!("row {row} had ended before it"))?;
                self.rows_are_there()
            }
            Entry::Reopened(reopening) => {
                let row = reopening.moved.row;
                must(self.ended.contains(row), || format!("row {row} had not ended before it"))?;
                self.ended.remove(row);
                Ok(())
            }
            Entry::Adopted(adoption) => {
                self.moved_max = self.moved_max.max(adoption.row.0);
                must(self.rows.is_none(), || "the end of the input was before it".into())
            }
            Entry::Opened { .. } | Entry::Closed { .. } => {
                must(self.rows.is_some(), || "the rows were not all copied before it".into())
            }
        }
    }

    /// A row that has ended takes no further record.
    pub(super) fn note(&mut self, row: RowNumber, record: &RowRecord) {
        if record.ended_at.is_some() {
            self.ended.insert(row);
        }
    }

    fn copy(&mut self, rows: &[InputRow]) -> Result<(), String> {
        must(self.rows.is_none(), || "the end of the input was before it".into())?;
        for row in rows {
            self.copied += 1;
            let due = self.copied;
            must(row.number.0 == due, || format!("row {} stands where row {due} is due", row.number))?;
        }
        Ok(())
    }

    fn imported(&mut self, rows: u64) -> Result<(), String> {
        let copied = self.copied;
        must(self.rows.is_none(), || "the input ended before".into())?;
        must(rows == copied, || format!("{copied} rows were copied"))?;
        self.rows = Some(rows);
        self.rows_are_there()
    }

    /// A row that the input speaks against is refused while the copying goes on, and may be ahead of it by a record.
    fn rows_are_there(&self) -> Result<(), String> {
        let moved = self.moved_max;
        let rows = self.rows.unwrap_or(self.copied + ROWS_PER_RECORD as u64);
        must(moved <= rows, || format!("there is no row {moved}"))
    }
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
