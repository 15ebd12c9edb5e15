//! The dispatcher: owns the rows in flight, the counts and the reason for stopping.
//!
//! One loop waits for whatever comes first: a row that ended, a command, or a tick. Each is handled by a plain method.
//! Workers share nothing with it; they are asked for nothing and report once, at their end. The order is the same
//! everywhere: journal, counts, consumers.

use super::admission::Admission;
use super::event::{Consumer, RunEvent, Snapshot};
use super::flight::Flight;
use super::policy::Policy;
use super::stop::StopReason;
use super::worker::{Halted, Work, WorkerEnd, work};
use crate::journal::{Counts, JournalError, RowNumber, RunRecord};
use crate::machine::Outcome;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often those who watch get a snapshot.
const TICK: Duration = Duration::from_millis(250);

/// Over which time the present rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(20);

/// No estimate of the time left before this many rows have ended: it would mean nothing.
const ROWS_BEFORE_ESTIMATE: u64 = 20;

/// What an operator can ask of a run under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin no more rows, bring everybody to safety, then stop. With the reason.
    Drain(String),
    /// Stop at once; the journal is good.
    StopNow(String),
}

/// Everything the dispatcher works with.
pub struct Dispatcher {
    work: Arc<Work>,
    admission: Admission,
    flight: Flight,
    policy: Policy,
    consumers: Vec<Box<dyn Consumer>>,
    workers: JoinSet<WorkerEnd>,
    rows_of: HashMap<Id, RowNumber>,
    rows: u64,
    counts: Counts,
    /// Rows that ended while this process worked: what the policy looks at.
    here: Counts,
    stopping: Option<StopReason>,
    exhausted: bool,
    rates: VecDeque<(Instant, u64, u64)>,
}

/// How a process's work on a run ended.
#[derive(Debug)]
pub struct DispatchEnd {
    /// Why it stopped, if before the end.
    pub stopped: Option<StopReason>,
    /// The journal's error, where that was it.
    pub journal: Option<JournalError>,
}

impl Dispatcher {
    /// For a run as it stands.
    #[must_use]
    pub fn new(
        work: Arc<Work>,
        admission: Admission,
        run: &RunRecord,
        concurrency: Option<usize>,
        policy: Policy,
        consumers: Vec<Box<dyn Consumer>>,
    ) -> Dispatcher {
        Dispatcher {
            work,
            admission,
            flight: Flight::new(concurrency),
            policy,
            consumers,
            workers: JoinSet::new(),
            rows_of: HashMap::new(),
            rows: run.rows,
            counts: run.counts.clone(),
            here: Counts::default(),
            stopping: None,
            exhausted: false,
            rates: VecDeque::new(),
        }
    }

    /// Works until every row has ended, or until the run has to stop.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> DispatchEnd {
        let run = self.work.session.header().id;
        let snapshot = self.snapshot();
        self.tell(&RunEvent::Started { run, snapshot });
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut journal = None;
        loop {
            if let Err(error) = self.admit() {
                self.journal_failed(&mut journal, error);
            }
            if self.workers.is_empty() && (self.exhausted || self.stopping.is_some()) {
                break;
            }
            // In this order and not by chance: a simulated run must go the same way twice. Commands and ticks are rare.
            tokio::select! {
                biased;
                Some(command) = commands.recv() => self.command(command).await,
                _ = ticks.tick() => self.tick().await,
                Some(ended) = self.workers.join_next_with_id() => {
                    self.worker_ended(ended, &mut journal).await;
                }
            }
        }
        let last = self.snapshot();
        self.tell(&RunEvent::Ended(last));
        DispatchEnd {
            stopped: self.stopping.filter(|_| self.counts.total() < self.rows),
            journal,
        }
    }

    fn admit(&mut self) -> Result<(), JournalError> {
        let services = &self.work.services;
        let room = self
            .flight
            .rows(services.reads.rate(), services.writes.rate());
        while self.workers.len() < room && self.stopping.is_none() && !self.exhausted {
            match self.admission.next_row()? {
                Some(row) => {
                    let task = work(Arc::clone(&self.work), row.row, row.values, row.record);
                    let handle = self.workers.spawn(task);
                    self.rows_of.insert(handle.id(), row.row);
                }
                None => self.exhausted = true,
            }
        }
        Ok(())
    }

    async fn worker_ended(
        &mut self,
        ended: Result<(Id, WorkerEnd), JoinError>,
        journal: &mut Option<JournalError>,
    ) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let row = self.rows_of.remove(&id);
        match ended {
            Ok((_, WorkerEnd::Ended { outcome, effort })) => {
                self.flight.learn(&effort);
                self.row_ended(row, outcome);
            }
            Ok((_, WorkerEnd::Parked)) => {}
            Ok((_, WorkerEnd::Halted(Halted::Target(problem)))) => {
                let text = format!("{problem}; {}", problem.advice);
                self.stop_now(StopReason::Target(text)).await;
            }
            Ok((_, WorkerEnd::Halted(Halted::Journal(error)))) => {
                self.journal_failed(journal, error);
            }
            Ok((_, WorkerEnd::Halted(Halted::Program(error)))) => {
                self.stop_now(StopReason::Program(error.to_string())).await;
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                let text = format!("the worker of row {row:?} failed: {error}");
                self.stop_now(StopReason::Program(text)).await;
            }
        }
    }

    fn row_ended(&mut self, row: Option<RowNumber>, outcome: Outcome) {
        self.counts.add(outcome);
        self.here.add(outcome);
        if let Some(row) = row {
            tracing::info!(row = row.0, %outcome);
            self.tell(&RunEvent::RowEnded { row, outcome });
        }
        if let Some(verdict) = self.policy.verdict(&self.here) {
            self.drain(StopReason::Policy(verdict));
        }
    }

    /// Nothing more can be made durable: what is under way ends at its next commit, and nothing new begins.
    fn journal_failed(&mut self, first: &mut Option<JournalError>, error: JournalError) {
        self.drain(StopReason::Journal(error.to_string()));
        first.get_or_insert(error);
    }

    /// Begins no more rows. A graver reason replaces a milder one.
    fn drain(&mut self, reason: StopReason) {
        if self.stopping.as_ref().is_some_and(|known| *known >= reason) {
            return;
        }
        self.work.gate.close();
        tracing::info!("draining: {}", reason.text());
        self.tell(&RunEvent::Draining(reason.clone()));
        self.stopping = Some(reason);
    }

    async fn stop_now(&mut self, reason: StopReason) {
        self.drain(reason);
        self.workers.shutdown().await;
        self.rows_of.clear();
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Drain(why) => self.drain(StopReason::Requested(why)),
            Command::StopNow(why) => self.stop_now(StopReason::Requested(why)).await,
        }
    }

    async fn tick(&mut self) {
        if let Some(since) = self.work.services.writes.trouble_since()
            && since.elapsed() >= self.work.services.patience
        {
            let seconds = self.work.services.patience.as_secs();
            let text = format!("the target has given no good answer for {seconds} s");
            self.stop_now(StopReason::Target(text)).await;
        }
        self.note_rate();
        let snapshot = self.snapshot();
        self.tell(&RunEvent::Tick(snapshot));
    }

    fn tell(&mut self, event: &RunEvent) {
        for consumer in &mut self.consumers {
            consumer.on_event(event);
        }
    }

    fn note_rate(&mut self) {
        let now = Instant::now();
        let writes = self.work.services.gauges.writes.load(Ordering::Relaxed);
        self.rates.push_back((now, writes, self.here.total()));
        while self.rates.len() > 2
            && self
                .rates
                .front()
                .is_some_and(|(at, ..)| now - *at > RATE_WINDOW)
        {
            self.rates.pop_front();
        }
    }

    /// Writes and rows a second over the last while.
    fn present_rates(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.rates.front(), self.rates.back()) else {
            return (0.0, 0.0);
        };
        let seconds = (last.0 - first.0).as_secs_f64();
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        let per_s = |from: u64, to: u64| (to - from) as f64 / seconds;
        (per_s(first.1, last.1), per_s(first.2, last.2))
    }

    fn snapshot(&self) -> Snapshot {
        let services = &self.work.services;
        let (writes_per_s, rows_per_s) = self.present_rates();
        Snapshot {
            rows: self.rows,
            counts: self.counts.clone(),
            in_flight: self.workers.len(),
            exposed: services.gauges.exposed.load(Ordering::Relaxed),
            writes_per_s,
            budget_per_s: services.writes.full_rate(),
            left: self.left(rows_per_s),
            waiting: self.waiting(),
            stopping: self.stopping.clone(),
        }
    }

    fn left(&self, rows_per_s: f64) -> Option<Duration> {
        if self.here.total() < ROWS_BEFORE_ESTIMATE || rows_per_s <= 0.0 {
            return None;
        }
        let rows = self.rows.saturating_sub(self.counts.total());
        Duration::try_from_secs_f64(rows as f64 / rows_per_s).ok()
    }

    fn waiting(&self) -> Option<(String, Duration)> {
        let services = &self.work.services;
        let pause = services.writes.pause().or_else(|| services.reads.pause())?;
        let left = pause.until.saturating_duration_since(Instant::now());
        Some((pause.reason.to_string(), left))
    }
}
