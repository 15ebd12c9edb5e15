//! How a run stands when a process leaves it: the report, the numbers in words, who cannot sign in, and the command that
//! continues.

use super::args::WorkArgs;
use super::context::{print_json, report_dir};
use super::half_way::mention_others;
use super::{Exit, Failure, Global};
use crate::journal::reserve::RESERVE_BYTES;
use crate::journal::{Closed, Journal, JournalError, RunId, RunReader, RunRecord};
use crate::progress::{counted, name_run, note_end, print, print_result, warn, warn_if_quiet};
use crate::report::{self, Liveness, OUTCOMES, Report, ReportError, RunSummary, SUMMARY, UNFINISHED, listed};
use crate::runner::exposed::Person;
use crate::runner::{StopKind, StopReason};
use serde_json::json;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What the ending of a run is printed with.
pub(super) struct RunEnding<'a> {
    pub global: &'a Global,
    pub args: &'a WorkArgs,
    /// The folder of its report.
    pub dir: &'a Path,
    pub target_spec: &'a str,
}

/// Writes the report of a finished run again and says how it stands.
pub(super) fn finish(
    global: &Global,
    args: &WorkArgs,
    journal: &Journal,
    run: &RunRecord,
    target_spec: &str,
) -> Result<Exit, Failure> {
    name_run(run.id());
    let dir = report_dir(args.report.as_deref(), &run.id().to_string());
    let ending = RunEnding { global, args, dir: &dir, target_spec };
    let exposed = ending.print(run, &mut journal.reader(run)?)?;
    mention_others(journal, run.id(), &global.journal);
    Ok(Exit::of_run(run).if_exposed(exposed.is_anybody()))
}

impl RunEnding<'_> {
    /// Prints how a run ended that this process worked on: first what went wrong with the journal, then as much as can still be
    /// read and written. Returns who is left exposed, if the journal can be trusted about that.
    pub fn print_closed(&self, mut closed: Closed, fault: Option<JournalError>) -> (Exit, Option<LeftExposed>) {
        let run = closed.run.clone();
        let fault = fault.or(closed.fault.take());
        let is_whole = fault.is_none();
        let mut exit = Exit::of_run(&run);
        if let Some(error) = fault {
            exit = exit.or_worse(Failure::from(error).print());
            put_back(&closed, &self.global.journal);
        }
        let reader = closed.reader().map_err(Failure::from);
        match reader.and_then(|mut reader| self.print(&run, &mut reader)) {
            Ok(exposed) => (exit, Some(exposed).filter(|_| is_whole)),
            Err(failure) => {
                let exit = exit.or_worse(failure.print());
                self.print_resume(&run);
                (exit, None)
            }
        }
    }

    /// Writes the report and prints how the run stands, the second also where the first fails. Returns who is left exposed.
    fn print(&self, run: &RunRecord, reader: &mut RunReader) -> Result<LeftExposed, Failure> {
        let (written, summary) = match report::write(run, reader, self.dir, &Liveness::Nobody) {
            Ok(written) => written,
            Err(error) => {
                let summary = report::summarize(run, reader, &Liveness::Nobody)?;
                self.print_numbers(&summary, None)?;
                return Err(error.into());
            }
        };
        self.print_numbers(&summary, Some(&written))?;
        if !run.is_complete() {
            self.print_resume(run);
        } else if summary.good() < summary.rows {
            let file = written.dir.join(UNFINISHED);
            let command = report::rerun_command(&run.header.job, &file, self.target_spec, &self.global.journal);
            self.print_line(format_args!("fix the rows in {}, then: {command}", file.display()));
        }
        let half_way = summary.exposed.iter().filter(|person| !person.stranded);
        let keys = half_way.map(|person| person.key.clone()).collect();
        Ok(LeftExposed { keys, listed: Ok(written.path(report::EXPOSED)) })
    }

    fn print_numbers(&self, summary: &RunSummary, written: Option<&Report>) -> Result<(), Failure> {
        let file = |name: &str| written.map(|report| report.dir.join(name).display().to_string());
        let files = json!({"outcomes": file(OUTCOMES), "unfinished": file(UNFINISHED), "summary": file(SUMMARY)});
        let RunSummary { run, state, rows, outcomes, exposed, .. } = summary;
        // The last line of `--progress json`.
        note_end(json!({
            "state": state, "rows": rows, "outcomes": outcomes, "exposed": exposed, "report": written.map(|_| files),
        }));
        if self.args.json {
            return print_json(summary);
        }
        print_result(report::end_lines(summary, &self.global.journal).join("\n"));
        if let Some(why) = report::stop_reason(summary) {
            warn_if_quiet(format_args!("run {run} stopped: {why}"));
        }
        if let Some(file) = file(OUTCOMES) {
            if summary.good() < *rows {
                let left = counted(rows - summary.good(), "row is", "rows are");
                warn_if_quiet(format_args!("run {run}: {left} neither done nor unchanged: {file}"));
            }
            print_result(format_args!("report    {file}"));
        }
        Ok(())
    }

    fn print_resume(&self, run: &RunRecord) {
        let command = report::resume_command(&run.id().to_string(), self.target_spec, &self.global.journal);
        self.print_line(format_args!("continue with: {command}"));
    }

    /// With `--json`, standard output is for the JSON alone.
    fn print_line(&self, text: impl Display) {
        match self.args.json {
            true => print(text),
            false => print_result(text),
        }
    }
}

/// Puts a log back that was deleted while the run was worked on.
fn put_back(closed: &Closed, journal: &Path) {
    match closed.put_back() {
        Ok(false) => {}
        Ok(true) => {
            warn(format_args!("the journal's log was still open and has been put back into `{}`", journal.display()))
        }
        // The exit code is decided by what went wrong before.
        Err(error) => drop(Failure::from(error).print()),
    }
}

/// What to do before the run can continue, where the disk needs attention first.
pub(super) fn advise(stopped: Option<&StopReason>, journal: &Path) {
    if let Some(StopReason { kind: StopKind::DiskFull, text }) = stopped {
        warn(format_args!(
            "{text}: no more people were begun, and those under way were brought to safety\n\
             free at least {} MiB on the disk of `{}`, then continue",
            RESERVE_BYTES >> 20,
            journal.display()
        ));
    }
}

/// Those who cannot sign in until the run continues.
pub(super) struct LeftExposed {
    keys: Vec<String>,
    /// Where all of them are listed; None where there is nobody to list.
    listed: Result<Option<PathBuf>, ReportError>,
}

impl LeftExposed {
    /// As this process remembers them, for when the journal cannot be trusted.
    pub fn remembered(people: &[Person], run: RunId, report_dir: &Path) -> LeftExposed {
        LeftExposed {
            listed: report::write_exposed_list(people, run, report_dir),
            keys: people.iter().map(|person| person.key.clone()).collect(),
        }
    }

    pub fn is_anybody(&self) -> bool {
        !self.keys.is_empty()
    }

    /// On standard error, since the report may not be writable either.
    pub fn warn(&self) {
        if !self.is_anybody() {
            return;
        }
        warn(left_in_words(&self.keys));
        match &self.listed {
            Ok(path) => path.iter().for_each(|path| warn(format_args!("all of them: {}", path.display()))),
            Err(error) => warn(error),
        }
    }
}

fn left_in_words(people: &[String]) -> String {
    let who = match people.len() {
        1 => "this person".to_owned(),
        count => format!("these {count} people"),
    };
    let named = listed(people.iter().map(String::as_str));
    format!("{who} cannot sign in until the run continues: {named}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_many_are_counted() {
        let keys = |count| -> Vec<String> { (1..=count).map(|row| format!("p{row}@contoso.com")).collect() };
        assert_eq!(left_in_words(&keys(1)), "this person cannot sign in until the run continues: p1@contoso.com");
        let many = left_in_words(&keys(23));
        assert!(many.starts_with("these 23 people cannot sign in until the run continues: p1@"));
        assert!(many.ends_with("p20@contoso.com, and 3 more"), "{many}");
    }
}
