//! What `plan` and `verify` share: rows are read and nothing is written, and a pass that is cut off says how far it came.

use super::connect::{Cast, Connected, Target};
use super::exit::Exit;
use super::failure::Failure;
use super::waits::{Cut, Waits};
use crate::job::{Job, Settings};
use crate::journal::RunRecord;
use crate::progress::print;
use crate::runner::admission::Admission;
use crate::runner::client::RunAbort;
use crate::runner::pass::Pass;
use crate::runner::preflight::Ready;
use crate::runner::reading::{ReadQuestion, ReadWork};
use crate::runner::stop::AdmissionGate;
use crate::runner::{Consumer, DispatchEnd, Dispatcher, MaxFailed, Policy, RunEvent, Schedule};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often somebody who waits is told how far it is.
const PRINT_EVERY: Duration = Duration::from_secs(10);

/// A pass over rows that can begin.
pub(super) struct ReadPass {
    pub connected: Connected,
    pub ready: Ready,
    run: RunRecord,
    job: Arc<Job>,
    waits: Waits,
}

impl ReadPass {
    /// Signs in, and looks whether the job can do its work.
    pub async fn connect(
        run: &RunRecord,
        job: &Arc<Job>,
        target: Target,
        cast: Cast,
        mut waits: Waits,
    ) -> Result<ReadPass, Failure> {
        let connected = waits.connect(target, &run.header, job, cast).await.map_err(Cut::into_failure)?;
        let ready = waits.prepare(&connected.services, &run.header, job).await.map_err(Cut::into_failure)?;
        let ready = ready.map_err(|RunAbort(problem)| Failure::of_problem(Exit::Fault, &problem))?;
        Ok(ReadPass { connected, ready, run: run.clone(), job: Arc::clone(job), waits })
    }

    /// Asks the same of every row that is admitted. `rows` are all that can be.
    pub async fn read(
        self,
        settings: Settings,
        rows: u64,
        admission: Admission,
        question: ReadQuestion,
        concurrency: Option<u32>,
    ) -> DispatchEnd {
        let work = ReadWork {
            services: Arc::clone(&self.connected.services),
            job: self.job,
            settings,
            gate: AdmissionGate::default(),
            question,
        };
        let walked = RunRecord { rows, counts: Default::default(), ..self.run };
        let dispatcher = Dispatcher::new(
            Pass::Read(Arc::new(work)),
            admission,
            &walked,
            concurrency.map(|rows| rows as usize),
            Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX },
            Schedule::default(),
            vec![Box::new(HowFar { printed_at: Instant::now() })],
        );
        let end = dispatcher.run(self.waits.into_commands()).await;
        self.connected.close().await;
        end
    }
}

/// Says so where not all rows were read.
pub(super) fn must_be_whole(end: DispatchEnd, read: u64, rows: u64) -> Result<(), Failure> {
    let Some(reason) = end.stopped else {
        return end.journal.map_or(Ok(()), |error| Err(error.into()));
    };
    Err(Failure::with(
        Exit::of_stop(&reason.stop()),
        format!("stopped after {read} of {rows} rows: {}", reason.text),
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
