//! The dispatcher: owns the rows in flight, the counts and the reason for stopping.
//!
//! One loop waits for whatever comes first: a command, a tick, or a row that ended; of several at once always in this order,
//! so that a run on simulated time goes the same way every time. Each is handled by a plain method.
//! Workers share nothing with it; they are asked for nothing and report once, at their end. The order is the same
//! everywhere: journal, counts, consumers.

use super::admission::{Admission, Reach};
use super::command::{Answer, Asked, Command, Refused};
use super::event::{Consumer, RunEvent, Snapshot, Who};
use super::flight::Flight;
use super::pass::Pass;
use super::policy::Policy;
use super::schedule::Schedule;
use super::stop::{AdmissionPause, RunMode, StopKind, StopReason};
use super::worker::{RowEnd, Unfinished, WorkerEnd};
use crate::core::Problem;
use crate::journal::{Counts, JournalError, RowNumber, RunId, RunRecord};
use crate::machine::Outcome;
use crate::services::budget::{Quota, fits};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often those who watch get a snapshot.
const TICK: Duration = Duration::from_millis(250);

/// Rows that begin together: as many as a lookup takes. They wait for each other no longer than this.
const CROWD_MAX: usize = 15;
const CROWD_WAIT_MAX: Duration = Duration::from_secs(5);

/// Over which time the present rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(20);

/// How long rows may take to end after the journal has failed: time for an answer that is awaited. Whoever has none by then is
/// in doubt, as after a kill.
const END_WITHOUT_JOURNAL: Duration = Duration::from_secs(60);

/// How long a drain may take before it is said what it waits for, and how often it is said after that.
const DRAIN_WORD_AFTER: Duration = Duration::from_secs(2);
const DRAIN_WORD_EVERY: Duration = Duration::from_secs(30);

/// No estimate of the time left before this many rows have ended: it would mean nothing.
const ROWS_BEFORE_ESTIMATE: u64 = 20;

/// Everything the dispatcher works with.
pub struct Dispatcher {
    pass: Pass,
    admission: Admission,
    flight: Flight,
    last_admitted: Instant,
    policy: Policy,
    consumers: Vec<Box<dyn Consumer>>,
    workers: JoinSet<WorkerEnd>,
    rows_of: HashMap<Id, RowNumber>,
    run: RunId,
    rows: u64,
    counts: Counts,
    /// Rows that ended while this process worked: what the policy looks at.
    here: Counts,
    schedule: Schedule,
    mode: RunMode,
    /// Since when rows may begin; the target's silence before that says nothing.
    open_since: Instant,
    /// The budget of writes as the connection file has it: no command goes beyond.
    writes_allowed: Quota,
    /// When rows that have not ended by themselves are given up.
    give_up_at: Option<Instant>,
    /// When it is said again what a drain waits for.
    word_at: Option<Instant>,
    exhausted: bool,
    /// The journal's first error.
    journal_error: Option<JournalError>,
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
        pass: impl Into<Pass>,
        admission: Admission,
        run: &RunRecord,
        concurrency: Option<usize>,
        policy: Policy,
        schedule: Schedule,
        consumers: Vec<Box<dyn Consumer>>,
    ) -> Dispatcher {
        let pass = pass.into();
        Dispatcher {
            writes_allowed: pass.services().registry.main().paced().quota(),
            pass,
            admission,
            flight: Flight::new(concurrency),
            last_admitted: Instant::now(),
            policy,
            consumers,
            workers: JoinSet::new(),
            rows_of: HashMap::new(),
            run: run.id(),
            rows: run.rows,
            counts: run.counts.clone(),
            here: Counts::default(),
            schedule,
            mode: RunMode::default(),
            open_since: Instant::now(),
            give_up_at: None,
            word_at: None,
            exhausted: false,
            journal_error: None,
            rates: VecDeque::new(),
        }
    }

    /// Works until every row has ended, or until the run has to stop.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Asked>) -> DispatchEnd {
        let run = self.run;
        let snapshot = self.snapshot();
        self.tell(&RunEvent::Started { run, snapshot });
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What is kept back on the disk is for the rows under way.
            if let Some(full) = self.pass.shortage().map(disk_full) {
                self.drain(full);
            }
            if let Err(error) = self.admit() {
                self.journal_failed(error);
            }
            if self.has_ended() {
                break;
            }
            // In this order and not by chance: a simulated run must go the same way twice. Commands and ticks are rare.
            tokio::select! {
                biased;
                Some(asked) = commands.recv() => {
                    let answer = self.command(asked.command).await;
                    // Who asked may have gone; the command was followed all the same.
                    let _gone = asked.answer.send(answer);
                }
                _ = ticks.tick() => self.tick().await,
                Some(ended) = self.workers.join_next_with_id() => self.worker_ended(ended).await,
            }
        }
        let last = self.snapshot();
        self.tell(&RunEvent::Ended(last));
        let stopped = self.mode.stopping().filter(|_| self.counts.total() < self.rows).cloned();
        DispatchEnd { stopped, journal: self.journal_error }
    }

    fn is_anybody_waiting(&self) -> bool {
        self.pass.claims().is_some_and(|claims| claims.is_anybody_waiting())
    }

    /// Nobody is under way, and nobody will be: all were handed out, or none may begin any more.
    fn has_ended(&self) -> bool {
        let all_ended = self.counts.total() >= self.rows || (self.exhausted && !self.is_anybody_waiting());
        self.workers.is_empty() && (all_ended || self.mode.stopping().is_some())
    }

    fn admit(&mut self) -> Result<(), JournalError> {
        self.heed_schedule();
        self.admit_some()?;
        if self.wake_the_rest() {
            self.admit_some()?;
        }
        Ok(())
    }

    fn admit_some(&mut self) -> Result<(), JournalError> {
        let services = self.pass.services();
        let main = services.registry.main();
        let room = self.flight.rows(main.read_rate(), main.paced().rate());
        let reach = match self.mode {
            RunMode::Running => Reach::All,
            RunMode::Paused(_) | RunMode::Stopping(_) => Reach::Written,
        };
        let room = if self.waits_for_a_crowd(reach, room) { 0 } else { room };
        while self.workers.len() < room && !self.exhausted {
            self.last_admitted = Instant::now();
            match self.admission.next_row(reach)? {
                Some(row) => {
                    let number = row.row;
                    let handle = self.pass.begin(&mut self.workers, row);
                    self.rows_of.insert(handle.id(), number);
                }
                None if reach == Reach::All => self.exhausted = true,
                None => break,
            }
        }
        let in_flight = self.workers.len() as u64;
        let gauge = &self.pass.services().gauges.in_flight;
        gauge.store(in_flight, Ordering::Relaxed);
        Ok(())
    }

    /// Closes or opens the gate as clock and operator want it. A run that stops does not come back.
    fn heed_schedule(&mut self) {
        if self.mode.stopping().is_some() {
            return;
        }
        let now = self.pass.services().clock.now();
        if let Some(why) = self.schedule.overdue(now) {
            return self.drain(StopKind::Requested.because(why));
        }
        match (self.schedule.pause_at(now), &self.mode) {
            (Some(pause), RunMode::Paused(known)) if pause == *known => {}
            (Some(pause), _) => self.close_gate(pause),
            (None, RunMode::Paused(_)) => self.open_gate(),
            (None, RunMode::Running | RunMode::Stopping(_)) => {}
        }
    }

    fn close_gate(&mut self, pause: AdmissionPause) {
        tracing::info!("paused: {pause}");
        self.set_mode(RunMode::Paused(pause.clone()));
        self.tell(&RunEvent::Paused(pause));
    }

    fn open_gate(&mut self) {
        tracing::info!("going on");
        self.open_since = Instant::now();
        self.set_mode(RunMode::Running);
        self.tell(&RunEvent::GoingOn);
    }

    fn set_mode(&mut self, mode: RunMode) {
        self.pass.gate().set(mode.clone());
        self.mode = mode;
    }

    async fn worker_ended(&mut self, ended: Result<(Id, WorkerEnd), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(row) = self.rows_of.remove(&id) else {
            return;
        };
        let end = match ended {
            Ok((_, end)) => end,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                let text = format!("the worker of row {row} failed: {error}");
                return self.stop_now(StopKind::Program.because(text)).await;
            }
        };
        match end {
            Ok(RowEnd { outcome, who, error_code, effort }) => {
                self.flight.learn(&effort, Instant::now());
                self.row_ended(row, who, outcome, error_code);
            }
            // It had nothing begun, and begins before all new ones when rows may begin again.
            Err(Unfinished::Parked) => {
                if let Some(claims) = self.pass.claims() {
                    claims.let_go(row);
                }
                self.send_back(&[row]);
            }
            // It comes back when the row that it waits for has ended.
            Err(Unfinished::Waits) => {}
            Err(Unfinished::Target(problem)) => self.stop_now(refused(&problem)).await,
            Err(Unfinished::Directory(problem)) => self.drain(refused(&problem)),
            Err(Unfinished::Journal(error)) => self.journal_failed(error),
            Err(Unfinished::Program(error)) => self.stop_now(StopKind::Program.because(error.to_string())).await,
        }
    }

    fn send_back(&mut self, rows: &[RowNumber]) {
        rows.iter().for_each(|row| self.admission.send_back(*row));
        self.exhausted &= rows.is_empty();
    }

    /// Where all rows have ended or wait, those that wait for somebody who may yet be found look again. Answers whether
    /// there are any.
    fn wake_the_rest(&mut self) -> bool {
        if self.mode != RunMode::Running || !self.exhausted || !self.workers.is_empty() {
            return false;
        }
        let Some(claims) = self.pass.claims() else {
            return false;
        };
        let rows = claims.all_were_seen();
        self.send_back(&rows);
        !rows.is_empty()
    }

    fn row_ended(&mut self, row: RowNumber, who: Who, outcome: Outcome, error_code: Option<String>) {
        self.counts.add(outcome);
        self.here.add(outcome);
        tracing::info!(row = row.0, key = %who.key, %outcome, error_code);
        if let Some(claims) = self.pass.claims() {
            let woken = claims.ended(row, outcome, self.pass.services().clock.now());
            self.send_back(&woken);
        }
        self.tell(&RunEvent::RowEnded { row, who, outcome, error_code });
        if let Some(verdict) = self.policy.verdict(&self.here) {
            self.drain(StopKind::Policy.because(verdict));
        }
    }

    /// Nothing new begins. Where nothing more can be made durable, what is under way ends at its next commit.
    fn journal_failed(&mut self, error: JournalError) {
        // A checkpoint that has no room fails, too: what somebody has to see to is the disk.
        let mut full = None;
        if let JournalError::Store(store) = &error {
            full = store.want_of_room().map(disk_full).or_else(|| self.pass.shortage().map(disk_full));
        }
        self.drain(full.unwrap_or_else(|| StopKind::Journal.because(error.to_string())));
        if error.is_final() {
            self.give_up_at.get_or_insert_with(|| Instant::now() + END_WITHOUT_JOURNAL);
        }
        self.journal_error.get_or_insert(error);
    }

    /// Begins no more rows. A graver reason replaces a milder one.
    fn drain(&mut self, reason: StopReason) {
        let known = self.mode.stopping();
        if known.is_some_and(|known| reason.kind <= known.kind) {
            return;
        }
        if !reason.kind.leaves_time() {
            self.admission.close();
        }
        tracing::info!("draining: {}", reason.text);
        self.set_mode(RunMode::Stopping(reason.clone()));
        self.word_at.get_or_insert_with(|| Instant::now() + DRAIN_WORD_AFTER);
        self.tell(&RunEvent::Draining(reason));
    }

    /// Waits for nobody.
    async fn stop_now(&mut self, reason: StopReason) {
        let reason = match self.mode.stopping() {
            Some(known) if known.kind > reason.kind => known.clone(),
            Some(_) | None => reason,
        };
        tracing::info!("stopping at once: {}", reason.text);
        self.set_mode(RunMode::Stopping(reason.clone()));
        let exposed = self.pass.services().gauges.exposed.at_stake();
        self.tell(&RunEvent::StoppingNow { reason, exposed });
        self.admission.close();
        self.workers.shutdown().await;
        self.rows_of.clear();
    }

    async fn command(&mut self, command: Command) -> Answer {
        match command {
            Command::Pause(why) => self.pause(why),
            Command::Continue => self.end_pause(),
            Command::Pace(quota) => self.pace(quota),
            Command::Drain(why) => {
                self.drain(StopKind::Requested.because(why));
                Ok(())
            }
            Command::Interrupt(why) => {
                self.drain(StopKind::Requested.because(why));
                let at_stake = self.pass.services().gauges.exposed.at_stake();
                let snapshot = self.snapshot();
                self.tell(&RunEvent::Interrupted { snapshot, at_stake });
                Ok(())
            }
            Command::StopNow(why) => {
                self.stop_now(StopKind::Requested.because(why)).await;
                Ok(())
            }
        }
    }

    fn pause(&mut self, why: String) -> Answer {
        self.must_not_be_stopping()?;
        self.schedule.pause(why);
        self.heed_schedule();
        Ok(())
    }

    fn end_pause(&mut self) -> Answer {
        self.must_not_be_stopping()?;
        match &self.mode {
            RunMode::Paused(AdmissionPause::Operator(_)) => {}
            RunMode::Paused(pause @ AdmissionPause::Window { .. }) => {
                return Err(Refused::PausedOtherwise(pause.clone()));
            }
            RunMode::Running | RunMode::Stopping(_) => return Err(Refused::NotPaused),
        }
        self.schedule.go_on();
        self.heed_schedule();
        Ok(())
    }

    fn must_not_be_stopping(&self) -> Answer {
        match self.mode.stopping() {
            Some(reason) => Err(Refused::Stopping(reason.text.clone())),
            None => Ok(()),
        }
    }

    fn pace(&mut self, wanted: Quota) -> Answer {
        let allowed = self.writes_allowed;
        if !fits(wanted, allowed) {
            return Err(Refused::TooFast { wanted, allowed });
        }
        tracing::info!("new pace: {wanted}");
        self.pass.services().registry.main().paced().set_quota(wanted);
        Ok(())
    }

    /// Rows that begin together read together, in fewer requests. Whoever was written to waits for nobody.
    fn waits_for_a_crowd(&self, reach: Reach, room: usize) -> bool {
        let crowd = (room / 4).min(CROWD_MAX);
        let is_late = self.last_admitted.elapsed() >= CROWD_WAIT_MAX;
        reach == Reach::All && !is_late && self.workers.len() + crowd > room
    }

    async fn tick(&mut self) {
        if self.give_up_at.is_some_and(|at| at <= Instant::now()) {
            self.workers.shutdown().await;
        }
        let main = self.pass.services().registry.main();
        // While nobody is under way nothing is asked, and no answer is nobody's fault.
        if main.is_given_up(Some(self.open_since)) && !self.workers.is_empty() {
            let (seconds, why) = (main.patience.silence.as_secs(), main.trouble().unwrap_or_default());
            let text = format!("the target has given no good reply for {seconds} s: {why}");
            self.stop_now(StopKind::Target.because(text)).await;
        }
        self.stop_in_vain().await;
        self.note_rate();
        let snapshot = self.snapshot();
        self.tell_what_a_drain_waits_for(&snapshot);
        self.tell(&RunEvent::Tick(snapshot));
    }

    /// While the sign-in is refused a drain could last for hours, and there is nobody whom it would bring to safety.
    async fn stop_in_vain(&mut self) {
        let services = self.pass.services();
        let is_held = services.registry.iter().any(|one| one.refused_for().is_some());
        let nobody = services.gauges.exposed.count() == 0;
        let stopping = self.mode.stopping().filter(|_| is_held && nobody);
        if let Some(reason) = stopping.cloned() {
            self.stop_now(reason).await;
        }
    }

    fn tell_what_a_drain_waits_for(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        if self.workers.is_empty() || self.word_at.is_none_or(|at| now < at) {
            return;
        }
        self.word_at = Some(now + DRAIN_WORD_EVERY);
        let services = self.pass.services();
        let left = services.registry.iter().filter_map(|endpoint| endpoint.patience_left(Some(self.open_since)));
        let gives_up_in = left.min();
        self.tell(&RunEvent::StillDraining { snapshot: snapshot.clone(), gives_up_in });
    }

    fn tell(&mut self, event: &RunEvent) {
        for consumer in &mut self.consumers {
            consumer.on_event(event);
        }
    }

    fn note_rate(&mut self) {
        let now = Instant::now();
        let writes = self.pass.services().gauges.writes.load(Ordering::Relaxed);
        self.rates.push_back((now, writes, self.here.total()));
        while self.rates.len() > 2 && self.rates.front().is_some_and(|(at, ..)| now - *at > RATE_WINDOW) {
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
        let services = self.pass.services();
        let (writes_per_s, rows_per_s) = self.present_rates();
        Snapshot {
            rows: self.rows,
            counts: self.counts.clone(),
            in_flight: self.workers.len(),
            exposed: services.gauges.exposed.count(),
            writes_per_s,
            budget_per_s: services.registry.main().paced().full_rate(),
            left: self.left(rows_per_s),
            waiting: services.registry.waiting(),
            eased: services.registry.eased(),
            binding: services.registry.binding(),
            mode: self.mode.clone(),
        }
    }

    fn left(&self, rows_per_s: f64) -> Option<Duration> {
        if self.here.total() < ROWS_BEFORE_ESTIMATE || rows_per_s <= 0.0 {
            return None;
        }
        let rows = self.rows.saturating_sub(self.counts.total());
        Duration::try_from_secs_f64(rows as f64 / rows_per_s).ok()
    }
}

fn refused(problem: &Problem) -> StopReason {
    StopKind::Target.because(format!("{problem}; {}", problem.advice))
}

fn disk_full(why: impl std::fmt::Display) -> StopReason {
    StopKind::DiskFull.because(format!("the disk with the journal is full ({why})"))
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
