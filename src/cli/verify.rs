//! `cutover verify`: reads again what a run has finished, and reports what is no longer as it should be. Writes nothing, neither
//! to the target nor to the journal.

use super::args::{Global, VerifyArgs};
use super::connect::Target;
use super::context::{print_json, warn_unused};
use super::exit::Exit;
use super::failure::Failure;
use super::reading::{connect, must_be_whole, read};
use super::resume::{job_of, must_be_the_same};
use super::signals;
use super::sim::cast_of;
use super::waits::Waits;
use super::work::{preflight_failure, warn_of};
use crate::journal::{RowNumber, RunRecord, Snapshot};
use crate::progress::{counted, name_run, print_result, warn};
use crate::runner::admission::{Admission, Selection};
use crate::runner::preflight::Check;
use crate::runner::reading::{Drift, ReadQuestion, Verification};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What is told of all rows.
#[derive(Debug, Default, Serialize)]
struct DriftReport {
    run: String,
    /// Rows that were read.
    checked: u64,
    drifted: Vec<Drifted>,
    /// Rows that could not be read.
    unread: Vec<Unread>,
}

#[derive(Debug, Serialize)]
struct Drifted {
    row: u64,
    key: String,
    property: String,
    expected: Value,
    found: Value,
}

#[derive(Debug, Serialize)]
struct Unread {
    row: u64,
    key: String,
    error_code: String,
    error: String,
    advice: String,
}

pub(super) async fn main(global: &Global, args: &VerifyArgs) -> Result<Exit, Failure> {
    let snapshot = Snapshot::take(&global.journal)?;
    let run = snapshot.find(args.run.as_deref())?;
    let (mut reader, unused) = snapshot.rows(&run)?;
    unused.iter().for_each(warn_unused);
    name_run(run.id());
    let spec = args.target.target.as_deref();
    let target = Target::named(Some(spec.unwrap_or(&run.header.target_spec)))?;
    must_be_the_same(&run, &target)?;
    let job = Arc::new(job_of(&run)?);
    let (sender, commands) = mpsc::channel(1);
    signals::hear(sender);
    let mut waits = Waits::new(commands, &target);
    let cast = cast_of(global, &snapshot.runs(), &run.header, &mut reader, &job)?;
    let (connected, ready) = connect(&run, &job, target, cast, &mut waits).await?;
    // What only a write needs may be missing.
    warn_of(ready.warnings().chain(ready.unknown()).chain(ready.bad()));
    let Some(settings) = &ready.settings else {
        connected.close().await;
        return Err(preflight_failure(&ready.bad().collect::<Vec<&Check>>()));
    };
    let findings = DriftReport { run: run.id().to_string(), ..DriftReport::default() };
    let findings = Arc::new(Mutex::new(findings));
    let found = Arc::clone(&findings);
    let question = ReadQuestion::Verify(Box::new(move |row, key, verification| {
        found.lock().unwrap_or_else(PoisonError::into_inner).take(row, key, verification);
    }));
    let rows = Selection::Good.count(&run);
    let admission = Admission::of_good_rows(reader, &run, &job.layout);
    let how = (waits, args.concurrency);
    let end = read((rows, &run), &job, &connected, settings.clone(), admission, question, how).await;
    connected.close().await;
    let mut findings = std::mem::take(&mut *findings.lock().unwrap_or_else(PoisonError::into_inner));
    findings.drifted.sort_by_key(|drifted| drifted.row);
    findings.unread.sort_by_key(|unread| unread.row);
    if args.json {
        print_json(&findings)?;
    } else {
        findings.print(&run);
    }
    must_be_whole(end, findings.checked, rows)?;
    Ok(match (&findings.unread[..], &findings.drifted[..]) {
        ([], []) => Exit::Good,
        ([], _) => Exit::Findings,
        (_, _) => Exit::Fault,
    })
}

impl DriftReport {
    fn take(&mut self, row: RowNumber, key: &str, verification: Verification) {
        let (row, key) = (row.0, key.to_owned());
        match verification {
            Verification::Drifts(drifts) => {
                self.checked += 1;
                let drifted = drifts.into_iter().map(|drift| {
                    let Drift { property, expected, found } = drift;
                    Drifted { row, key: key.clone(), property, expected, found }
                });
                self.drifted.extend(drifted);
            }
            Verification::Unread(problem) => self.unread.push(Unread {
                row,
                key,
                error_code: problem.code,
                error: problem.message,
                advice: problem.advice,
            }),
        }
    }

    fn print(&self, run: &RunRecord) {
        for one in &self.drifted {
            print_result(format_args!(
                "row {} ({}): {} should be {}, and is {}",
                one.row,
                one.key.trim(),
                one.property,
                one.expected,
                one.found
            ));
        }
        for one in &self.unread {
            warn(format_args!(
                "row {} ({}) could not be read: {}: {}; {}",
                one.row,
                one.key.trim(),
                one.error_code,
                one.error,
                one.advice
            ));
        }
        let mut rows: Vec<u64> = self.drifted.iter().map(|one| one.row).collect();
        rows.dedup();
        print_result(format_args!(
            "run {}: {} read again, {} no longer as they should be",
            run.id(),
            counted(self.checked, "finished row", "finished rows"),
            rows.len()
        ));
    }
}
