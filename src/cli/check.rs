//! `cutover check`: offline; parse the file, lint every row, print every finding.

use super::args::CheckArgs;
use super::context::JobBatch;
use super::{Exit, Failure};
use crate::batch::dialect::encoding_name;
use crate::batch::{Finding, FindingCounts, InputError, Visit};
use crate::job::Settings;
use crate::progress::{counted, print_json_text, print_result, print_text, warn};
use crate::runner::start::each_row;
use crate::values::Severity;
use serde_json::json;
use std::path::Path;

pub(super) fn main(args: &CheckArgs) -> Result<Exit, Failure> {
    let mut output = Output { json: args.json, summary: FindingCounts::default() };
    let batch = match JobBatch::read(&args.batch)? {
        Ok(batch) => batch,
        Err(error) => return Err(output.unreadable(&args.batch.csv, error)),
    };
    output.begin(&batch);
    for finding in &batch.input.findings {
        output.finding(finding);
    }
    let unusable = batch.file_errors().next().is_some();
    let mut rows = 0;
    if !unusable {
        let settings = Settings::new(&batch.params, &serde_json::Map::new());
        let read = each_row::<InputError>(&batch.job, &settings, &batch.input, |item| {
            match item {
                Visit::Row { row, findings } => {
                    rows = row.number;
                    findings.iter().for_each(|f| output.finding(f));
                }
                Visit::Clash(finding) => output.finding(&finding),
            }
            Ok(())
        });
        if let Err(error) = read {
            return Err(output.cut_off(rows, error));
        }
    }
    output.end(rows);
    Ok(match (unusable, output.summary.is_empty()) {
        (true, _) => Exit::Unusable,
        (false, false) => Exit::Findings,
        (false, true) => Exit::Good,
    })
}

/// Prints findings as they come, so that memory does not grow with them.
struct Output {
    json: bool,
    summary: FindingCounts,
}

impl Output {
    fn begin(&self, batch: &JobBatch) {
        if !self.json {
            return batch.tell_dialect();
        }
        let dialect = &batch.input.dialect;
        Output::head(&json!({
            "file": batch.input.file.display().to_string(),
            "encoding": encoding_name(dialect.encoding),
            "delimiter": char::from(dialect.delimiter).to_string(),
            "preamble_lines": dialect.preamble_lines,
            "unused_columns": batch.input.unread,
        }));
    }

    /// The object stays open: findings follow one by one, and the number of rows at the end.
    fn head(head: &serde_json::Value) {
        let head = head.to_string();
        print_json_text(&format!("{},\"findings\":[", head.trim_end_matches('}')));
    }

    /// Whoever reads JSON gets a whole object, though the file cannot be read.
    fn unreadable(&mut self, file: &Path, error: InputError) -> Failure {
        if self.json {
            let file = file.display().to_string();
            Output::head(&json!({"file": file, "encoding": null, "delimiter": null, "preamble_lines": 0}));
        }
        self.cut_off(0, error)
    }

    /// The same, where it cannot be read to its end. A person is told by the failure itself.
    fn cut_off(&mut self, rows: u64, error: InputError) -> Failure {
        if self.json {
            self.finding(&error.finding());
            self.end(rows);
        }
        Failure::from(error)
    }

    fn finding(&mut self, finding: &Finding) {
        let comma = if self.summary.is_empty() { "" } else { "," };
        self.summary.add(finding);
        if !self.json {
            return print_text(format_args!("{finding}\n"));
        }
        match serde_json::to_string(finding) {
            Ok(text) => print_json_text(&format!("{comma}\n{text}")),
            Err(error) => warn(format_args!("a finding cannot be shown: {error}")),
        }
    }

    fn end(&self, rows: u64) {
        if self.json {
            return print_json_text(&format!("],\"rows\":{rows}}}\n"));
        }
        let rows = counted(rows, "row", "rows");
        let errors = counted(self.summary.count(Severity::Error), "error", "errors");
        let warnings = counted(self.summary.count(Severity::Warning), "warning", "warnings");
        print_result(format_args!("{rows}, {errors}, {warnings}"));
    }
}
