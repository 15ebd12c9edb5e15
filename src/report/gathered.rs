//! What a report says of single people: who cannot work now, who is done and still needs somebody, how long people could not
//! work. Gathered in the one pass over the rows that a report makes anyway.

use super::summary::{Exposed, Liveness, rfc3339};
use crate::core::Problem;
use crate::journal::{InputRow, RowRecord, RunRecord};
use crate::machine::Outcome;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Digits that the exposure's percentiles are kept to.
const DIGITS: u8 = 3;

/// Longest exposure that is told apart: 30 days, in milliseconds.
const EXPOSED_MS_MAX: u64 = 30 * 24 * 3_600 * 1_000;

/// Somebody who cannot work now, as far as the journal knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExposedPerson {
    /// Their row.
    pub row: u64,
    /// What identifies it.
    pub key: String,
    /// The account, where it is known.
    pub object_id: Option<String>,
    /// The UPN they have now, or may have.
    pub upn_now: Option<String>,
    /// The UPN they belong at.
    pub upn_home: String,
    /// Since when: RFC 3339, UTC.
    pub since: Option<String>,
    /// A write is not answered: they may be at home after all.
    pub doubtful: bool,
    /// The row is over, and going on with the run brings nobody back.
    pub stranded: bool,
}

/// People who are done and of whom somebody should know the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warned {
    /// Its code.
    pub code: String,
    /// How many they are.
    pub rows: u64,
    /// What it is, as it is told of the first of them.
    pub warning: String,
    /// What to do about it.
    pub advice: String,
}

/// All of it.
pub(super) struct Gathered {
    /// None only if the bounds above were nonsense.
    histogram: Option<Histogram<u64>>,
    pub(super) exposed: Vec<ExposedPerson>,
    warned: BTreeMap<String, Warned>,
    /// Rows with at least one warning.
    pub(super) warned_rows: u64,
}

impl Gathered {
    pub(super) fn new() -> Gathered {
        Gathered {
            histogram: Histogram::new_with_max(EXPOSED_MS_MAX, DIGITS).ok(),
            exposed: Vec::new(),
            warned: BTreeMap::new(),
            warned_rows: 0,
        }
    }

    /// Takes a row in. People whom another run has taken over are that run's.
    pub(super) fn add(
        &mut self,
        run: &RunRecord,
        live: &Liveness,
        input: &InputRow,
        record: &RowRecord,
    ) {
        if let Some(histogram) = self.histogram.as_mut().filter(|_| record.exposed_ms > 0) {
            histogram.saturating_record(record.exposed_ms);
        }
        self.warned_rows += u64::from(!warnings_of(record).is_empty());
        for warning in warnings_of(record) {
            let known = self.warned.entry(warning.code.clone());
            let known = known.or_insert_with(|| Warned {
                code: warning.code.clone(),
                rows: 0,
                warning: warning.message.clone(),
                advice: warning.advice.clone(),
            });
            known.rows += 1;
        }
        match live {
            Liveness::TakenOver { .. } if record.is_half_way() => {}
            Liveness::Nobody | Liveness::Live { .. } | Liveness::TakenOver { .. } => {
                self.exposed.extend(exposed_person(run, input, record));
            }
        }
    }

    pub(super) fn warned(&self) -> Vec<Warned> {
        self.warned.values().cloned().collect()
    }

    pub(super) fn figures(&self) -> Exposed {
        let histogram = self.histogram.as_ref();
        histogram.map_or_else(Exposed::default, |histogram| Exposed {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        })
    }
}

/// What somebody should know of a row that is done; those that are not have a reason of their own.
pub(super) fn warnings_of(record: &RowRecord) -> &[Problem] {
    match record.outcome() {
        Outcome::Done => &record.warnings,
        Outcome::Unchanged
        | Outcome::Refused
        | Outcome::Failed
        | Outcome::Reverted
        | Outcome::Held
        | Outcome::Stranded
        | Outcome::Pending => &[],
    }
}

/// The person of a row, if they cannot work now.
pub(super) fn exposed_person(
    run: &RunRecord,
    input: &InputRow,
    record: &RowRecord,
) -> Option<ExposedPerson> {
    let exposure = record.exposure(&run.header.rules)?;
    let key = key_of(run, input);
    Some(ExposedPerson {
        row: input.number.0,
        key: key.to_owned(),
        object_id: reported(run, record, "object_id"),
        upn_now: reported(run, record, "upn_after"),
        upn_home: key.trim().to_owned(),
        since: exposure.since.map(rfc3339),
        doubtful: exposure.doubtful,
        stranded: record.outcome() == Outcome::Stranded,
    })
}

/// What identifies a row, as it stands in the file.
pub(super) fn key_of<'i>(run: &RunRecord, input: &'i InputRow) -> &'i str {
    let cell = input.cells.get(run.header.input.key_cell);
    cell.map_or("", String::as_str)
}

/// A cell of the job's own columns, if it has that one.
pub(super) fn reported(run: &RunRecord, record: &RowRecord, column: &str) -> Option<String> {
    let columns = &run.header.report_columns;
    let at = columns.iter().position(|name| name == column)?;
    record
        .report
        .get(at)
        .filter(|cell| !cell.is_empty())
        .cloned()
}
