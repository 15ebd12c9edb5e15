//! `cutover check`: offline; parse the file, lint every row, print every finding.

use super::args::CheckArgs;
use super::context::Batch;
use super::exit::{Exit, Failure};
use crate::batch::{Finding, InputError, Severity, Summary, Visit};
use crate::job::Settings;
use crate::progress::{counted, say_result, show_json, show_text, warn};
use crate::runner::start::each_row;
use serde_json::json;

pub(super) fn main(args: &CheckArgs) -> Result<Exit, Failure> {
    let batch = Batch::open(&args.batch)?;
    let mut output = Output::new(args.json);
    output.begin(&batch);
    for finding in &batch.input.findings {
        output.finding(finding);
    }
    let unusable = batch.file_errors().next().is_some();
    let mut rows = 0;
    if !unusable {
        let settings = Settings::new(&batch.params, &serde_json::Map::new());
        rows = each_row::<InputError>(&batch.job, &settings, &batch.input, |item| {
            match item {
                Visit::Row { row: _, findings } => findings.iter().for_each(|f| output.finding(f)),
                Visit::Clash(finding) => output.finding(&finding),
            }
            Ok(())
        })
        .map_err(Failure::unusable)?;
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
    first: bool,
    summary: Summary,
}

impl Output {
    fn new(json: bool) -> Output {
        Output {
            json,
            first: true,
            summary: Summary::default(),
        }
    }

    fn begin(&self, batch: &Batch) {
        if !self.json {
            batch.tell_dialect();
            return;
        }
        let dialect = &batch.input.dialect;
        let head = json!({
            "file": batch.input.file.display().to_string(),
            "encoding": dialect.encoding.to_string(),
            "delimiter": char::from(dialect.delimiter).to_string(),
            "preamble_lines": dialect.preamble_lines,
        });
        // The object stays open: findings follow one by one, and the number of rows at the end.
        let head = head.to_string();
        show_json(&format!("{},\"findings\":[", head.trim_end_matches('}')));
    }

    fn finding(&mut self, finding: &Finding) {
        self.summary.add(finding);
        if !self.json {
            show_text(format_args!("{finding}\n"));
            return;
        }
        let comma = if self.first { "" } else { "," };
        self.first = false;
        match serde_json::to_string(finding) {
            Ok(text) => show_json(&format!("{comma}\n{text}")),
            Err(error) => warn(format_args!("a finding cannot be shown: {error}")),
        }
    }

    fn end(&self, rows: u64) {
        if self.json {
            show_json(&format!("],\"rows\":{rows}}}\n"));
            return;
        }
        let errors = self.summary.count(Severity::Error);
        let warnings = self.summary.count(Severity::Warning);
        say_result(format_args!(
            "{}, {}, {}",
            counted(rows, "row", "rows"),
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings")
        ));
    }
}
