//! `cutover verify`: reads again what a run has finished, and reports what is no longer as it should be. Writes nothing, neither
//! to the target nor to the journal.

use super::args::{Global, VerifyArgs};
use super::connect::{Connected, Hitch, Target};
use super::context::{print_json, warn_unused};
use super::exit::Exit;
use super::failure::Failure;
use super::resume::{job_of, must_be_the_same};
use super::signals;
use super::sim::cast_of;
use super::waits::{Cut, Waits, trouble_of};
use super::work::{preflight_failure, warn_of};
use crate::job::{Job, Settings};
use crate::journal::{Counts, RunReader, RunRecord, Snapshot, Stop};
use crate::progress::{counted, name_run, print, print_result, warn};
use crate::runner::admission::{Admission, Selection};
use crate::runner::client::RunAbort;
use crate::runner::pass::Pass;
use crate::runner::preflight::{Check, prepare};
use crate::runner::reading::{Drift, ReadWork, RowReading, Verification};
use crate::runner::stop::Gate;
use crate::runner::{Asked, Consumer, DispatchEnd, Dispatcher, MaxFailed, Policy, RunEvent, Schedule};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often somebody who waits is told how far it is.
const WORD_EVERY: Duration = Duration::from_secs(10);

/// What is told of all rows.
#[derive(Debug, Serialize)]
struct Findings {
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
    let connected = connect(global, &snapshot, &mut reader, &job, target, &mut waits).await?;
    let read = read(reader, &run, &job, &connected, waits, args.concurrency).await;
    connected.close().await;
    let (end, mut findings) = read?;
    findings.drifted.sort_by_key(|drifted| drifted.row);
    findings.unread.sort_by_key(|unread| unread.row);
    if args.json {
        print_json(&findings)?;
    } else {
        findings.print(&run);
    }
    exit_of(&end, &findings, &run)
}

fn exit_of(end: &DispatchEnd, findings: &Findings, run: &RunRecord) -> Result<Exit, Failure> {
    if let Some(reason) = &end.stopped {
        let exit = match reason.stop() {
            Stop::Requested(_) => Exit::Requested,
            Stop::Fault(_) | Stop::Finished => Exit::Fault,
        };
        let rows = Selection::Good.count(run);
        return Err(Failure::with(
            exit,
            format!("stopped after {} of {rows} rows: {}", findings.checked, reason.text()),
            "nothing was changed; run the same command again to read all of them",
        ));
    }
    Ok(match (&findings.unread[..], &findings.drifted[..]) {
        ([], []) => Exit::Good,
        ([], _) => Exit::Findings,
        (_, _) => Exit::Fault,
    })
}

async fn connect(
    global: &Global,
    snapshot: &Snapshot,
    reader: &mut RunReader,
    job: &Job,
    target: Target,
    waits: &mut Waits,
) -> Result<Connected, Failure> {
    let header = Arc::clone(&reader.run().header);
    let cast = cast_of(global, &snapshot.runs(), &header, reader, job)?;
    let hitch = Hitch::new();
    let connecting = target.connect(header.id.0, job, cast, &hitch);
    let connected = waits.wait(|| hitch.words(), connecting).await;
    connected.map_err(Cut::into_failure)?
}

async fn read(
    reader: RunReader,
    run: &RunRecord,
    job: &Arc<Job>,
    connected: &Connected,
    mut waits: Waits,
    concurrency: Option<u32>,
) -> Result<(DispatchEnd, Findings), Failure> {
    let services = &connected.services;
    let preparing = prepare(job, &run.header.params, services);
    let ready = waits.wait(|| trouble_of(services), preparing).await;
    let ready = ready.map_err(Cut::into_failure)?;
    let ready = ready.map_err(|RunAbort(problem)| Failure::of_problem(Exit::Fault, &problem))?;
    // What only a write needs may be missing.
    warn_of(ready.warnings().chain(ready.unknown()).chain(ready.bad()));
    let bad: Vec<&Check> = ready.bad().collect();
    let Some(settings) = &ready.settings else {
        return Err(preflight_failure(&bad));
    };
    let admission = Admission::of_good_rows(reader, run, &job.layout);
    dispatch(run, job, connected, settings, admission, waits.into_commands(), concurrency).await
}

async fn dispatch(
    run: &RunRecord,
    job: &Arc<Job>,
    connected: &Connected,
    settings: &Settings,
    admission: Admission,
    commands: mpsc::Receiver<Asked>,
    concurrency: Option<u32>,
) -> Result<(DispatchEnd, Findings), Failure> {
    let findings = Arc::new(Mutex::new(Findings {
        run: run.id().to_string(),
        checked: 0,
        drifted: Vec::new(),
        unread: Vec::new(),
    }));
    let found = Arc::clone(&findings);
    let work = ReadWork {
        services: Arc::clone(&connected.services),
        job: Arc::clone(job),
        settings: settings.clone(),
        run: run.id(),
        gate: Gate::default(),
        sink: Box::new(move |reading| {
            found.lock().unwrap_or_else(PoisonError::into_inner).take(reading);
        }),
    };
    let rows = Selection::Good.count(run);
    let walked = RunRecord { rows, counts: Counts::default(), ..run.clone() };
    let end = Dispatcher::new(
        Pass::Read(Arc::new(work)),
        admission,
        &walked,
        concurrency.map(|rows| rows as usize),
        Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX },
        Schedule::default(),
        vec![Box::new(HowFar::default())],
    )
    .run(commands)
    .await;
    let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    let empty = Findings { run: String::new(), checked: 0, drifted: Vec::new(), unread: Vec::new() };
    Ok((end, std::mem::replace(&mut *findings, empty)))
}

impl Findings {
    fn take(&mut self, reading: RowReading) {
        let (row, key) = (reading.row.0, reading.key);
        match reading.result {
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

/// Says now and then how far it is.
#[derive(Default)]
struct HowFar {
    said_at: Option<Instant>,
}

impl Consumer for HowFar {
    fn on_event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Tick(snapshot) => {
                let said_at = *self.said_at.get_or_insert_with(Instant::now);
                if said_at.elapsed() >= WORD_EVERY {
                    self.said_at = Some(Instant::now());
                    let (read, rows) = (snapshot.counts.total(), snapshot.rows);
                    print(format_args!("{read} of {rows} rows read"));
                }
            }
            RunEvent::Started { .. }
            | RunEvent::RowEnded { .. }
            | RunEvent::Held(_)
            | RunEvent::GoingOn
            | RunEvent::Draining(_)
            | RunEvent::Interrupted { .. }
            | RunEvent::StillDraining { .. }
            | RunEvent::StoppingNow { .. }
            | RunEvent::Ended(_) => {}
        }
    }
}
