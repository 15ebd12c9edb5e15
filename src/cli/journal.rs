//! `cutover journal`: proving that the journal says what it said when it was written, and taking its history elsewhere.

use super::args::{JournalCommand, JournalVerifyArgs};
use super::context::{must_be_there, print_json, warn_unused};
use super::{Exit, Failure, Global};
use crate::core::AtomicFile;
use crate::journal::export::{self, Exported};
use crate::journal::verify::{self as checks, Compared, Finding, Kind, Request, Verdict, verify_beside, verify_export};
use crate::journal::{Holder, Journal, JournalError};
use crate::progress::{print, print_result, print_text, warn};
use std::collections::BTreeMap;
use std::io::{self, BufWriter};
use std::path::Path;

pub(super) fn main(global: &Global, what: Option<JournalCommand>) -> Result<Exit, Failure> {
    match what {
        None => verify(global, &JournalVerifyArgs::default()),
        Some(JournalCommand::Verify(args)) => verify(global, &args),
        Some(JournalCommand::Export { run, output }) => export(global, &run, output.as_deref()),
    }
}

fn verify(global: &Global, args: &JournalVerifyArgs) -> Result<Exit, Failure> {
    if args.head.is_some() && args.run.is_none() && args.export.is_none() {
        return Err(Failure::usage(
            "usage",
            "a head belongs to one run, and none is named",
            "write `cutover journal verify RUN --head HASH`; `cutover runs` lists the runs",
        ));
    }
    let verdicts = match &args.export {
        Some(file) => vec![verify_export(file, args.head).map_err(|error| Failure::new(Exit::Unusable, error))?],
        None => verify_journal(global, args)?,
    };
    if args.json {
        print_json(&BTreeMap::from([("runs", &verdicts)]))?;
    } else {
        verdicts.iter().for_each(print_in_words);
    }
    let mut findings = verdicts.iter().flat_map(|verdict| &verdict.findings).peekable();
    if findings.peek().is_none() {
        return Ok(Exit::Good);
    }
    warn(match findings.all(|finding| finding.kind == Kind::Checkpoint) {
        true => "the log is good: move the folder `checkpoint` out of the journal, and it is built again from the log",
        false => {
            "run nothing on this journal: copy its folder away as it is, and compare with a backup, or with an export or a head \
             kept elsewhere"
        }
    });
    Ok(Exit::Findings)
}

fn verify_journal(global: &Global, args: &JournalVerifyArgs) -> Result<Vec<Verdict>, Failure> {
    let dir = &global.journal;
    must_be_there(global)?;
    let request = Request { run: args.run.as_deref(), head: args.head };
    if let Some(holder) = Journal::holder(dir)?.filter(Holder::may_live) {
        print(format_args!(
            "note: process {} (`cutover {}`) has the journal: its logs are checked as far as they are written, and the \
             checkpoint can be compared when it has ended",
            holder.pid, holder.command
        ));
        return verify_beside(dir, &request).map_err(|error| Failure::new(Exit::Unusable, error));
    }
    let (verdicts, unused) = checks::verify(dir, &request).map_err(|error| Failure::new(Exit::Unusable, error))?;
    unused.iter().for_each(warn_unused);
    Ok(verdicts)
}

fn print_in_words(verdict: &Verdict) {
    print_result(format_args!("run       {}", verdict.run));
    print_result(format_args!("records   {}, head {}", verdict.records, verdict.head));
    for note in &verdict.notes {
        print_result(format_args!("note      {note}"));
    }
    if verdict.ok {
        print_result(format_args!("good      {}", praise(verdict.checkpoint)));
    }
    for finding in &verdict.findings {
        print_text(format_args!("FOUND     {}{}\n", place(finding), finding.message));
    }
    if verdict.more_findings > 0 {
        print_result(format_args!("          … and {} more", verdict.more_findings));
    }
}

fn praise(compared: Compared) -> &'static str {
    match compared {
        Compared::Compared => {
            "every record follows from the one before it, every row from its records, and the checkpoint says the same"
        }
        Compared::InUse | Compared::None | Compared::LogNotGood => {
            "every record follows from the one before it, and every row from its records"
        }
        Compared::NeverBegan => {
            "every record follows from the one before it; the run never began, since its rows were not all copied"
        }
    }
}

fn place(finding: &Finding) -> String {
    let record = finding.record.map(|record| format!("record {record}"));
    let offset = finding.offset.map(|offset| format!("byte {offset}"));
    let places: Vec<String> = [record, offset].into_iter().flatten().collect();
    if places.is_empty() { String::new() } else { format!("{}: ", places.join(", ")) }
}

fn export(global: &Global, run: &str, output: Option<&Path>) -> Result<Exit, Failure> {
    must_be_there(global)?;
    let exported = match output {
        None => export::export(&global.journal, run, &mut BufWriter::new(io::stdout().lock())),
        Some(file) => export_to(global, run, file),
    };
    let Exported { run, records, head, torn_bytes } = exported.map_err(failure)?;
    if torn_bytes > 0 {
        warn(format_args!("the last {torn_bytes} bytes of the log are no whole group of records and are left out"));
    }
    print(format_args!("exported {records} records of run {run}, head {head}"));
    Ok(Exit::Good)
}

/// In its place only once it is whole, and readable by its owner only.
fn export_to(global: &Global, run: &str, file: &Path) -> Result<Exported, JournalError> {
    let mut out = AtomicFile::create(file).map_err(JournalError::ExportOutput)?;
    let exported = export::export(&global.journal, run, &mut out)?;
    out.commit().map_err(JournalError::ExportOutput)?;
    Ok(exported)
}

/// A history that is damaged is a finding; what cannot be read or written at all is not usable.
fn failure(error: JournalError) -> Failure {
    let is_damaged = matches!(error, JournalError::Log(_) | JournalError::Entry(_));
    Failure::new(if is_damaged { Exit::Findings } else { Exit::Unusable }, error)
}
