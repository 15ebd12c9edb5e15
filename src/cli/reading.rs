//! What `plan` and `verify` share: rows are read and nothing is written, and a pass that is cut off says how far it came.

use super::connect::{Cast, Connected, Hitch, Target};
use super::exit::Exit;
use super::failure::Failure;
use super::waits::{Cut, Waits, trouble_of};
use crate::job::{Job, Settings};
use crate::journal::RunRecord;
use crate::progress::print;
use crate::runner::admission::Admission;
use crate::runner::client::RunAbort;
use crate::runner::pass::Pass;
use crate::runner::preflight::{Ready, prepare};
use crate::runner::reading::{ReadQuestion, ReadWork};
use crate::runner::stop::AdmissionGate;
use crate::runner::{Consumer, DispatchEnd, Dispatcher, MaxFailed, Policy, RunEvent, Schedule};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often somebody who waits is told how far it is.
const PRINT_EVERY: Duration = Duration::from_secs(10);

/// Signs in, and looks whether the job can do its work.
pub(super) async fn connect(
    run: &RunRecord,
    job: &Job,
    target: Target,
    cast: Cast,
    waits: &mut Waits,
) -> Result<(Connected, Ready), Failure> {
    let hitch = Hitch::new();
    let connecting = target.connect(run.id().0, job, cast, &hitch);
    let connected = waits.wait(|| hitch.words(), connecting).await.map_err(Cut::into_failure)??;
    let services = &connected.services;
    let preparing = prepare(job, &run.header.params, services);
    let ready = waits.wait(|| trouble_of(services), preparing).await.map_err(Cut::into_failure);
    match ready.and_then(|ready| ready.map_err(|RunAbort(problem)| Failure::of_problem(Exit::Fault, &problem))) {
        Ok(ready) => Ok((connected, ready)),
        Err(failure) => {
            connected.close().await;
            Err(failure)
        }
    }
}

/// Asks the same of every row that is admitted. `rows` are all that can be.
pub(super) async fn read(
    (rows, run): (u64, &RunRecord),
    job: &Arc<Job>,
    connected: &Connected,
    settings: Settings,
    admission: Admission,
    question: ReadQuestion,
    (waits, concurrency): (Waits, Option<u32>),
) -> DispatchEnd {
    let work = ReadWork {
        services: Arc::clone(&connected.services),
        job: Arc::clone(job),
        settings,
        run: run.id(),
        gate: AdmissionGate::default(),
        question,
    };
    let walked = RunRecord { rows, counts: Default::default(), ..run.clone() };
    let dispatcher = Dispatcher::new(
        Pass::Read(Arc::new(work)),
        admission,
        &walked,
        concurrency.map(|rows| rows as usize),
        Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX },
        Schedule::default(),
        vec![Box::new(HowFar { printed_at: Instant::now() })],
    );
    dispatcher.run(waits.into_commands()).await
}

/// Says so where not all rows were read.
pub(super) fn must_be_whole(end: DispatchEnd, read: u64, rows: u64) -> Result<(), Failure> {
    let Some(reason) = end.stopped else {
        return end.journal.map_or(Ok(()), |error| Err(error.into()));
    };
    Err(Failure::with(
        Exit::of_stop(&reason.stop()),
        format!("stopped after {read} of {rows} rows: {}", reason.text()),
        "nothing was changed; run the same command again to read all of them",
    ))
}

/// Says now and then how far it is.
struct HowFar {
    printed_at: Instant,
}

impl Consumer for HowFar {
    fn on_event(&mut self, event: &RunEvent) {
        if let RunEvent::Tick(snapshot) = event
            && self.printed_at.elapsed() >= PRINT_EVERY
        {
            self.printed_at = Instant::now();
            print(format_args!("{} of {} rows read", snapshot.counts.total(), snapshot.rows));
        }
    }
}
