//! `cutover verify`: reads again what a run has finished, and reports what is no longer as it should be. Writes nothing, neither
//! to the target nor to the journal.

use super::args::{Global, VerifyArgs};
use super::context::{print_json, snapshot, warn_unused};
use super::exit::Exit;
use super::failure::Failure;
use super::reading::{ReadPass, must_be_whole};
use super::resume::target_and_job;
use super::sim::cast_of;
use super::waits::Waits;
use super::work::{preflight_failure, warn_of};
use crate::core::Problem;
use crate::journal::{RowNumber, RunId};
use crate::progress::{counted, name_run, print_result, warn};
use crate::runner::admission::{Admission, Selection};
use crate::runner::preflight::Verdict;
use crate::runner::reading::{Drift, ReadQuestion, Verification};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;

/// What is told of all rows.
#[derive(Serialize)]
struct DriftReport {
    run: RunId,
    /// Rows that were read.
    checked: u64,
    drifted: Vec<OfRow<Drift>>,
    /// Rows that could not be read.
    unread: Vec<OfRow<Unread>>,
}

#[derive(Serialize)]
struct OfRow<T> {
    row: u64,
    key: String,
    #[serde(flatten)]
    found: T,
}

#[derive(Serialize)]
struct Unread {
    error_code: String,
    error: String,
    advice: String,
}

pub(super) async fn main(global: &Global, args: &VerifyArgs) -> Result<Exit, Failure> {
    let snapshot = snapshot(global)?;
    let run = snapshot.find(args.run.as_deref())?;
    let (mut reader, unused) = snapshot.rows(&run)?;
    unused.iter().for_each(warn_unused);
    name_run(run.id());
    let (target, job) = target_and_job(&run, &args.target)?;
    let (waits, _commands) = Waits::for_target(&target);
    let cast = cast_of(global, &snapshot.runs(), &run.header, &mut reader, &job)?;
    let pass = ReadPass::connect(&run, &job, target, cast, waits).await?;
    let ready = &pass.ready;
    // What only a write needs may be missing.
    warn_of(ready.of(Verdict::Warning).chain(ready.of(Verdict::Unknown)).chain(ready.of(Verdict::Bad)));
    let settings = ready.settings.clone().ok_or_else(|| preflight_failure(ready))?;
    let findings = DriftReport { run: run.id(), checked: 0, drifted: Vec::new(), unread: Vec::new() };
    let findings = Arc::new(Mutex::new(findings));
    let found = Arc::clone(&findings);
    let question = ReadQuestion::Verify(Box::new(move |row, key, verification| {
        found.lock().take(row, key, verification);
    }));
    let rows = Selection::Good.count(&run);
    let admission = Admission::new(reader, &run, &job.layout, Selection::Good);
    let end = pass.read(settings, rows, admission, question, args.concurrency).await;
    let mut findings = findings.lock();
    findings.drifted.sort_by_key(|drifted| drifted.row);
    findings.unread.sort_by_key(|unread| unread.row);
    if args.json {
        print_json(&*findings)?;
    } else {
        findings.print();
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
                self.drifted.extend(drifts.into_iter().map(|found| OfRow { row, key: key.clone(), found }));
            }
            Verification::Unread(Problem { code, message, advice }) => {
                let found = Unread { error_code: code, error: message, advice };
                self.unread.push(OfRow { row, key, found });
            }
        }
    }

    fn print(&self) {
        for OfRow { row, key, found: Drift { property, expected, found } } in &self.drifted {
            print_result(format_args!("row {row} ({}): {property} should be {expected}, and is {found}", key.trim()));
        }
        for OfRow { row, key, found: Unread { error_code, error, advice } } in &self.unread {
            warn(format_args!("row {row} ({}) could not be read: {error_code}: {error}; {advice}", key.trim()));
        }
        let drifted = self.drifted.chunk_by(|one, next| one.row == next.row).count();
        let read = counted(self.checked, "finished row", "finished rows");
        print_result(format_args!("run {}: {read} read again, {drifted} no longer as they should be", self.run));
    }
}
