//! `exposed.csv`: who cannot sign in now.

use super::Sink;
use super::csv_sink::{Cells, CsvSink};
use crate::core::defused;
use crate::journal::RunRecord;
use crate::report::error::ReportError;
use crate::report::outcome::OutcomeRow;
use std::borrow::Cow;
use std::path::Path;

const COLUMNS: [&str; 8] = ["row", "key", "object_id", "upn_now", "upn_home", "since", "doubtful", "advice"];

pub(super) fn begin(path: &Path, _run: &RunRecord) -> Result<Box<dyn Sink>, ReportError> {
    Ok(CsvSink::if_any(path, &COLUMNS, lines))
}

fn lines<'r>(row: &'r OutcomeRow<'_>) -> Vec<Cells<'r>> {
    let Some(person) = &row.exposed else {
        return Vec::new();
    };
    let text = |value: &'r Option<String>| defused(value.as_deref().unwrap_or_default());
    vec![vec![
        person.row.to_string().into(),
        defused(&person.key),
        text(&person.object_id),
        text(&person.upn_now),
        defused(&person.upn_home),
        text(&person.since),
        if person.doubtful { "yes" } else { "no" }.into(),
        Cow::Owned(row.exposed_advice(person)),
    ]]
}
