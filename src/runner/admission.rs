//! Which row comes next: exposed ones first, then the others that have been written to, then those that were admitted before
//! and have nothing begun, then new ones in the order of the input.

use crate::batch::{Layout, Mapping};
use crate::journal::{JournalError, Planned, RowNumber, RowRecord, RunReader, RunRecord};
use crate::machine::{Outcome, RowState};
use std::collections::VecDeque;

/// A row to be worked on.
#[derive(Debug)]
pub struct Admitted {
    /// Which.
    pub row: RowNumber,
    /// The physical line it begins at.
    pub line: u64,
    /// Its canonical values.
    pub values: Vec<Option<String>>,
    /// Where the journal has it, if it was begun.
    pub record: Option<RowRecord>,
    /// What the plan says of it, where the run executes one.
    pub planned: Option<Planned>,
}

/// Which rows may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every row.
    All,
    /// Only those that have been written to: they are brought to their end while nobody else begins.
    Written,
}

/// The rows still to be worked on, in order. Holds only those that an earlier process left half way, and those that came
/// back: no more than were ever in flight.
pub struct Admission {
    reader: RunReader,
    layout: Layout,
    mapping: Mapping,
    written: VecDeque<RowNumber>,
    /// Admitted before, and nothing begun.
    parked: VecDeque<RowNumber>,
    next: u64,
    begun_max: u64,
    rows: u64,
    selection: Selection,
}

/// Which rows of a run are walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that have not ended.
    Unfinished,
    /// Those that ended as they should: done or unchanged.
    Good,
}

impl Selection {
    /// How many of a run's rows it has.
    #[must_use]
    pub fn count(self, run: &RunRecord) -> u64 {
        let good = run.outcome_count(Outcome::Done) + run.outcome_count(Outcome::Unchanged);
        match self {
            Selection::Unfinished => run.outcome_count(Outcome::Pending),
            Selection::Good => good,
        }
    }

    fn has(self, record: Option<&RowRecord>) -> bool {
        match self {
            Selection::Unfinished => record.is_none_or(|record| record.state == RowState::Waiting),
            Selection::Good => {
                record.is_some_and(|record| matches!(record.outcome(), Outcome::Done | Outcome::Unchanged))
            }
        }
    }
}

impl Admission {
    /// For a run as it stands.
    #[must_use]
    pub fn new(reader: RunReader, run: &RunRecord, layout: &Layout, selection: Selection) -> Self {
        let (next, rows, under_way) = match selection {
            Selection::Unfinished => (run.begun_through + 1, run.rows, reader.active()),
            Selection::Good => (1, run.begun_max, Vec::new()),
        };
        let numbers = |written: bool| {
            let rows = under_way.iter().filter(|(_, record)| record.has_begun_writing() == written);
            rows.map(|(row, _)| *row).collect()
        };
        Admission {
            written: numbers(true),
            parked: numbers(false),
            layout: layout.clone(),
            mapping: run.header.input.mapping.clone(),
            next,
            begun_max: run.begun_max,
            rows,
            selection,
            reader,
        }
    }

    /// The next row, or None when all within reach were handed out.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn next_row(&mut self, reach: Reach) -> Result<Option<Admitted>, JournalError> {
        if let Some(row) = self.written.pop_front() {
            return self.admit_again(row);
        }
        if reach == Reach::Written {
            return Ok(None);
        }
        if let Some(row) = self.parked.pop_front() {
            return self.admit_again(row);
        }
        while self.next <= self.rows {
            let row = RowNumber(self.next);
            self.next += 1;
            let record = match row.0 > self.begun_max {
                true => None,
                false => self.reader.row(row)?,
            };
            if self.selection.has(record.as_ref()) {
                return self.admit(row, record);
            }
        }
        Ok(None)
    }

    /// Takes back a row that was handed out and had nothing begun: it comes before all new ones.
    pub fn send_back(&mut self, row: RowNumber) {
        self.parked.push_back(row);
    }

    /// Hands out no row any more, whatever was done to it.
    pub fn close(&mut self) {
        self.written.clear();
        self.parked.clear();
        self.next = self.rows + 1;
    }

    fn admit_again(&mut self, row: RowNumber) -> Result<Option<Admitted>, JournalError> {
        let record = self.reader.row(row)?;
        self.admit(row, record)
    }

    fn admit(&mut self, row: RowNumber, record: Option<RowRecord>) -> Result<Option<Admitted>, JournalError> {
        let missing = || JournalError::Checkpoint(format!("row {row} of the input is not in it"));
        let input = self.reader.input(row)?.ok_or_else(missing)?;
        Ok(Some(Admitted {
            row,
            line: input.line,
            values: self.mapping.values(&self.layout, &input.cells),
            record,
            planned: input.planned,
        }))
    }
}
