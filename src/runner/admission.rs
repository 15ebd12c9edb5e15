//! Which row comes next: exposed ones first, then the others that were begun, then new ones in the order of the input.

use crate::batch::{Layout, Mapping};
use crate::journal::{InputRow, JournalError, RowNumber, RowRecord, RunReader, RunRecord};
use crate::machine::RowState;
use std::collections::VecDeque;

/// A row to be worked on.
#[derive(Debug)]
pub struct Admitted {
    /// Which.
    pub row: RowNumber,
    /// Its canonical values.
    pub values: Vec<Option<String>>,
    /// Where the journal has it, if it was begun.
    pub record: Option<RowRecord>,
}

/// The rows still to be worked on, in order. Holds only those that an earlier process left half way.
pub struct Admission {
    reader: RunReader,
    layout: Layout,
    mapping: Mapping,
    begun: VecDeque<RowNumber>,
    next: u64,
    begun_max: u64,
    rows: u64,
}

impl Admission {
    /// For a run as it stands.
    ///
    /// # Errors
    /// [`JournalError`] when the checkpoint cannot be read.
    pub fn new(reader: RunReader, run: &RunRecord, layout: &Layout) -> Result<Self, JournalError> {
        Ok(Admission {
            begun: reader.active()?.into(),
            reader,
            layout: layout.clone(),
            mapping: run.header.input.mapping.clone(),
            next: run.begun_through + 1,
            begun_max: run.begun_max,
            rows: run.rows,
        })
    }

    /// The next row, or None when all were handed out.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Admitted>, JournalError> {
        if let Some(row) = self.begun.pop_front() {
            let record = self.reader.row(row)?;
            return self.admit(row, record);
        }
        while self.next <= self.rows {
            let row = RowNumber(self.next);
            self.next += 1;
            if row.0 > self.begun_max || self.is_new(row)? {
                return self.admit(row, None);
            }
        }
        Ok(None)
    }

    fn is_new(&self, row: RowNumber) -> Result<bool, JournalError> {
        let record = self.reader.row(row)?;
        Ok(record.is_none_or(|record| record.state == RowState::Waiting))
    }

    fn admit(
        &mut self,
        row: RowNumber,
        record: Option<RowRecord>,
    ) -> Result<Option<Admitted>, JournalError> {
        let missing = || JournalError::Checkpoint(format!("row {row} of the input is not in it"));
        let input = self.reader.input(row)?.ok_or_else(missing)?;
        Ok(Some(Admitted {
            row,
            values: canonical(&self.mapping, &self.layout, &input),
            record,
        }))
    }
}

/// The canonical values of a row of the input, in the order of the layout.
#[must_use]
pub fn canonical(mapping: &Mapping, layout: &Layout, input: &InputRow) -> Vec<Option<String>> {
    let values = mapping.values(layout, &input.cells);
    values
        .into_iter()
        .map(|value| value.map(|value| value.to_string()))
        .collect()
}
