//! `cutover check`: offline; parse the file, lint every row, print every finding.

use super::args::CheckArgs;
use super::context::JobBatch;
use super::{Exit, Failure};
use crate::batch::dialect::encoding_name;
use crate::batch::{Finding, FindingCounts, InputError, Visit};
use crate::job::Settings;
use crate::progress::{counted, print_json_text, print_result, print_text};
use crate::runner::start::each_row;
use crate::values::Severity;
use serde_json::json;
use std::path::Path;

pub(super) fn main(args: &CheckArgs) -> Result<Exit, Failure> {
    let opened = JobBatch::read(&args.batch)?;
    let mut output = Output { json: args.json, counts: FindingCounts::default(), rows: 0 };
    output.begin(&args.batch.csv, opened.as_ref().ok());
    match opened.and_then(|batch| lint(&batch, &mut output)) {
        Ok(is_usable) => {
            output.end();
            Ok(match (is_usable, output.counts.is_empty()) {
                (false, _) => Exit::Unusable,
                (true, false) => Exit::Findings,
                (true, true) => Exit::Good,
            })
        }
        // A person is told by the failure itself; whoever reads JSON gets a whole object.
        Err(error) => {
            if args.json {
                output.finding(&error.finding());
                output.end();
            }
            Err(error.into())
        }
    }
}

/// Returns whether the file as a whole can be used; the rows of one that cannot are not looked at.
fn lint(batch: &JobBatch, output: &mut Output) -> Result<bool, InputError> {
    batch.input.findings.iter().for_each(|finding| output.finding(finding));
    if batch.file_errors().next().is_some() {
        return Ok(false);
    }
    let settings = Settings::new(&batch.params, &serde_json::Map::new());
    each_row::<InputError>(&batch.job, &settings, &batch.input, |item| {
        match item {
            Visit::Row { row, findings } => {
                output.rows = row.number;
                findings.iter().for_each(|finding| output.finding(finding));
            }
            Visit::Clash(finding) => output.finding(&finding),
        }
        Ok(())
    })?;
    Ok(true)
}

/// Prints findings as they come, so that memory does not grow with them.
struct Output {
    json: bool,
    counts: FindingCounts,
    rows: u64,
}

impl Output {
    /// The object stays open: findings follow one by one, and the number of rows at the end. None of the batch is known if its file
    /// cannot be read.
    fn begin(&self, file: &Path, batch: Option<&JobBatch>) {
        if !self.json {
            return batch.into_iter().for_each(JobBatch::tell_dialect);
        }
        let dialect = batch.map(|batch| &batch.input.dialect);
        let head = json!({
            "file": file.display().to_string(),
            "encoding": dialect.map(|dialect| encoding_name(dialect.encoding)),
            "delimiter": dialect.map(|dialect| char::from(dialect.delimiter).to_string()),
            "preamble_lines": dialect.map_or(0, |dialect| dialect.preamble_lines),
            "unused_columns": batch.map(|batch| &batch.input.unread),
        });
        print_json_text(&format!("{},\"findings\":[", head.to_string().trim_end_matches('}')));
    }

    fn finding(&mut self, finding: &Finding) {
        let comma = if self.counts.is_empty() { "" } else { "," };
        self.counts.add(finding);
        match self.json {
            true => print_json_text(&format!("{comma}\n{}", json!(finding))),
            false => print_text(format_args!("{finding}\n")),
        }
    }

    fn end(&self) {
        if self.json {
            return print_json_text(&format!("],\"rows\":{}}}\n", self.rows));
        }
        let rows = counted(self.rows, "row", "rows");
        let errors = counted(self.counts.count(Severity::Error), "error", "errors");
        let warnings = counted(self.counts.count(Severity::Warning), "warning", "warnings");
        print_result(format_args!("{rows}, {errors}, {warnings}"));
    }
}
