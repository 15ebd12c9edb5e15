//! One row, from admission to its end: the loop between machine, journal and target.
//!
//! Read `Worker::drive` from top to bottom: it does what the machine asks for and tells it what came of it. Nothing leaves
//! for the target before the transition that intends it is durable. Events that change nothing worth keeping (a look that
//! taught nothing) stay in memory; everything else is committed together with the next decision, so that n writes cost
//! n + 1 barriers.

use super::exposed::{is_exposed, key_of};
use super::observe::{Found, ObserveError, observe};
use super::services::Services;
use super::sight::{Judge, States, doing, job_problem};
use super::stop::Gate;
use super::talk::{Halt, NoAnswer, Talk, problem};
use crate::job::{Job, RowView, Settings, State, Write};
use crate::journal::{Facts, JournalError, RowNumber, RowRecord, Session, Transition};
use crate::machine::{
    Active, Attempt, Course, Effect, Event, IllegalMove, Outcome, Phase, Problem, RowState,
};
use crate::pace::{Delays, Priority, Sequence};
use crate::target::Class;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the workers of one run share.
pub struct Work {
    /// Target, budgets, clock.
    pub services: Arc<Services>,
    /// The job.
    pub job: Arc<Job>,
    /// Its parameters and lookups.
    pub settings: Settings,
    /// The journal of the run.
    pub session: Arc<Session>,
    /// Whether rows may still begin.
    pub gate: Gate,
}

/// How a worker ended.
#[derive(Debug)]
pub enum WorkerEnd {
    /// The row is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// What it needed.
        effort: Effort,
    },
    /// The run is draining and the row had nothing begun: it waits for the next process.
    Parked,
    /// No row can go on.
    Halted(Halted),
}

/// What a row needed, for deciding how many are worked on at once.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time from admission to end, less the waiting for permits.
    pub busy: Duration,
    /// Reads sent.
    pub reads: u32,
    /// Writes begun.
    pub writes: u32,
}

/// Why no row can go on.
#[derive(Debug)]
pub enum Halted {
    /// The target refuses this program.
    Target(Problem),
    /// The journal failed.
    Journal(JournalError),
    /// A fault of the program.
    Program(IllegalMove),
}

impl From<JournalError> for Halted {
    fn from(error: JournalError) -> Self {
        Halted::Journal(error)
    }
}

impl From<IllegalMove> for Halted {
    fn from(error: IllegalMove) -> Self {
        Halted::Program(error)
    }
}

impl From<Halt> for Halted {
    fn from(halt: Halt) -> Self {
        Halted::Target(halt.0)
    }
}

/// Whether a worker goes on or has come to its end.
enum Next {
    Do(Effect),
    Ended(Outcome),
    Parked,
}

/// Works on one row. `values` are its canonical values, `record` is where the journal has it, if it was begun.
pub async fn work(
    work: Arc<Work>,
    row: RowNumber,
    values: Vec<Option<String>>,
    record: Option<RowRecord>,
) -> WorkerEnd {
    let begun = Instant::now();
    let key = key_of(&work.job.layout, &values).to_owned();
    let mut worker = Worker::new(work, row, key, record);
    let end = worker.drive(&values).await;
    match &end {
        Ok(Some(_)) => worker.show_exposure(false),
        Err(Halted::Journal(_)) => worker.look_once_more(&values).await,
        // Whoever is exposed still is.
        Ok(None) | Err(Halted::Target(_) | Halted::Program(_)) => {}
    }
    match end {
        Ok(Some(outcome)) => WorkerEnd::Ended {
            outcome,
            effort: Effort {
                busy: begun.elapsed().saturating_sub(worker.talk.waited()),
                reads: worker.record.reads,
                writes: worker.record.attempts,
            },
        },
        Ok(None) => WorkerEnd::Parked,
        Err(halted) => WorkerEnd::Halted(halted),
    }
}

struct Worker {
    work: Arc<Work>,
    row: RowNumber,
    /// What identifies it to people.
    key: String,
    /// As it is now, ahead of the journal by `events` and `facts`.
    record: RowRecord,
    /// As the journal has it.
    stored: RowRecord,
    events: Vec<Event>,
    facts: Facts,
    states: Option<States>,
    talk: Talk,
    rereads: Delays,
}

impl Worker {
    fn new(work: Arc<Work>, row: RowNumber, key: String, record: Option<RowRecord>) -> Worker {
        let record = record.unwrap_or_default();
        let talk = Talk::new(&work.services, row.to_string());
        let seed = work.services.seed_of(&row.to_string());
        Worker {
            states: states_of(&record),
            stored: record.clone(),
            record,
            row,
            key,
            events: Vec::new(),
            facts: Facts::default(),
            talk,
            rereads: Delays::new(Sequence::ReplicationRead, seed),
            work,
        }
    }

    /// The row's outcome, or None when it was parked.
    async fn drive(&mut self, values: &[Option<String>]) -> Result<Option<Outcome>, Halted> {
        let job = Arc::clone(&self.work.job);
        let mut effect = match self.record.state {
            RowState::Waiting => self.tell(Event::Admitted)?,
            RowState::Active(_) | RowState::Ended(_) => self.tell(Event::Recovered)?,
        };
        let view = match RowView::new(&job, &self.work.settings, values) {
            Ok(view) => view,
            Err(error) => return self.give_up(job_problem(&error)).await,
        };
        loop {
            let next = match effect {
                Effect::Observe => self.observe(&view).await?,
                Effect::ObserveLater => {
                    self.post()?;
                    tokio::time::sleep(self.rereads.next_delay()).await;
                    self.observe(&view).await?
                }
                Effect::Persist(attempt) => self.persist(attempt).await?,
                Effect::Send(attempt) => self.send(&view, attempt).await?,
                Effect::Finish => self.finish(&view).await?,
                // Only for a row that waits or an answer that came too late; neither happens to a worker.
                Effect::Nothing => Next::Do(Effect::Observe),
            };
            match next {
                Next::Do(wanted) => effect = wanted,
                Next::Ended(outcome) => return Ok(Some(outcome)),
                Next::Parked => return Ok(None),
            }
        }
    }

    /// The row cannot even be bound to the job.
    async fn give_up(&mut self, problem: Problem) -> Result<Option<Outcome>, Halted> {
        let mut effect = self.tell(Event::Unobservable(problem.clone()))?;
        while effect != Effect::Finish {
            effect = self.tell(Event::Unobservable(problem.clone()))?;
        }
        self.commit().await?;
        Ok(Some(self.record.outcome()))
    }

    fn tell(&mut self, event: Event) -> Result<Effect, IllegalMove> {
        let now = self.work.services.clock.now();
        let rules = &self.work.session.header().rules;
        self.events.push(event.clone());
        let effect = self.record.take(event, now, rules)?;
        self.show_exposure(is_exposed(&self.record));
        Ok(effect)
    }

    fn show_exposure(&self, exposed: bool) {
        let gauges = &self.work.services.gauges;
        gauges.exposed.note(self.row, &self.key, exposed);
    }

    /// Nothing can be made durable any more, so nothing more is sent. What became of a write in doubt can still be seen, so
    /// that nobody is named as exposed who is not.
    async fn look_once_more(&mut self, values: &[Option<String>]) {
        let in_doubt = matches!(
            &self.record.state,
            RowState::Active(Active {
                phase: Phase::Doubtful(_),
                ..
            })
        );
        let job = Arc::clone(&self.work.job);
        let Ok(view) = RowView::new(&job, &self.work.settings, values) else {
            return;
        };
        if in_doubt {
            // A row that cannot be seen stays in doubt, and is named.
            let _seen = self.look(&view).await;
        }
    }

    fn priority(&self) -> Priority {
        let RowState::Active(active) = &self.record.state else {
            return Priority::New;
        };
        match (&active.course, active.phase) {
            (Course::Back(_), _) => Priority::Compensate,
            (Course::Forward, _) if active.progress.exposed => Priority::Exposed,
            (Course::Forward, Phase::Verifying) => Priority::Verify,
            (Course::Forward, _) if self.record.has_begun_writing() => Priority::Started,
            (Course::Forward, _) => Priority::New,
        }
    }

    /// A row that has nothing begun need not begin while the run drains.
    fn may_park(&self) -> bool {
        let closed = self.work.gate.is_closed() || self.work.session.shortage().is_some();
        closed && !self.stored.has_begun_writing()
    }

    async fn observe(&mut self, view: &RowView) -> Result<Next, Halted> {
        if self.may_park() {
            return Ok(Next::Parked);
        }
        self.post()?;
        self.look(view).await
    }

    async fn look(&mut self, view: &RowView) -> Result<Next, Halted> {
        let known = self.states.as_ref().map(|states| states.now.clone());
        let job = Arc::clone(&self.work.job);
        let priority = self.priority();
        let seen = observe(&job, view, known.as_ref(), &mut self.talk, priority).await;
        let event = match seen {
            Ok(found) => self.judge(view, found),
            Err(ObserveError::NoAnswer(NoAnswer::Halt(halt))) => return Err(halt.into()),
            Err(ObserveError::NoAnswer(NoAnswer::Fault(fault))) => {
                Event::Unobservable(problem(&fault))
            }
            Err(ObserveError::Job(error)) => Event::Unobservable(job_problem(&error)),
        };
        if event != Event::Lagging {
            self.rereads.reset();
        }
        Ok(Next::Do(self.tell(event)?))
    }

    fn judge(&mut self, view: &RowView, found: Found) -> Event {
        let judge = Judge {
            job: &self.work.job,
            view,
            record: &self.record,
            now: self.work.services.clock.now(),
        };
        let (event, states) = judge.observed(found, self.states.as_ref());
        if let Some(states) = states {
            self.learn(states);
        }
        event
    }

    fn learn(&mut self, states: States) {
        if self.record.before.is_none() {
            self.facts.before = Some(states.before.to_text());
        } else if self
            .states
            .as_ref()
            .is_none_or(|known| known.now != states.now)
        {
            self.facts.expected = Some(states.now.to_text());
        }
        self.record
            .before
            .get_or_insert_with(|| states.before.to_text());
        self.states = Some(states);
    }

    /// The intent of a write becomes durable; nothing has left before.
    async fn persist(&mut self, attempt: Attempt) -> Result<Next, Halted> {
        if self.may_park() {
            return Ok(Next::Parked);
        }
        self.commit().await?;
        Ok(Next::Do(self.tell(Event::Durable(attempt))?))
    }

    async fn send(&mut self, view: &RowView, attempt: Attempt) -> Result<Next, Halted> {
        let Some(states) = self.states.clone() else {
            return Ok(Next::Do(Effect::Observe));
        };
        let write = match self.write_of(view, attempt, &states) {
            Ok(write) => write,
            Err(problem) => {
                return Ok(Next::Do(self.tell(Event::Refused(attempt, problem))?));
            }
        };
        let token = format!("{}/{}", attempt.step.0, attempt.number);
        let priority = self.priority();
        let event = match self.talk.write(&write.ask, &token, priority).await {
            Ok(_) => self.applied(view, attempt, states, &write),
            Err(NoAnswer::Halt(halt)) => return Err(halt.into()),
            Err(NoAnswer::Fault(fault)) => match fault.class {
                Class::InDoubt { .. } => Event::Doubted(attempt, problem(&fault)),
                Class::NotFound | Class::Contended => Event::Contended(attempt, problem(&fault)),
                Class::Duplicate
                | Class::InvalidValue
                | Class::Denied
                | Class::Throttled { .. }
                | Class::Unsupported
                | Class::Unauthenticated
                | Class::SignIn
                | Class::NotSent
                | Class::Rejected => Event::Refused(attempt, problem(&fault)),
            },
        };
        Ok(Next::Do(self.tell(event)?))
    }

    fn write_of(
        &self,
        view: &RowView,
        attempt: Attempt,
        states: &States,
    ) -> Result<Write, Problem> {
        let course = match &self.record.state {
            RowState::Active(Active { course, .. }) => course,
            RowState::Waiting | RowState::Ended(_) => &Course::Forward,
        };
        view.write(doing(course, attempt.step), &states.before, &states.now)
            .map_err(|error| job_problem(&error))
    }

    fn applied(
        &mut self,
        view: &RowView,
        attempt: Attempt,
        mut states: States,
        write: &Write,
    ) -> Event {
        states.now.merge(&write.effect);
        let judge = Judge {
            job: &self.work.job,
            view,
            record: &self.record,
            now: self.work.services.clock.now(),
        };
        let forecast = judge.forecast(attempt.step, &states);
        self.learn(states);
        Event::Applied(attempt, forecast)
    }

    async fn finish(&mut self, view: &RowView) -> Result<Next, Halted> {
        if let Some(states) = &self.states {
            self.facts.report = Some(view.report(&states.before, &states.now));
        }
        self.commit().await?;
        Ok(Next::Ended(self.record.outcome()))
    }

    /// Hands in what a later process should know, without waiting: the last write's success shares the barrier of the end.
    fn post(&mut self) -> Result<(), Halted> {
        // Looks that taught nothing would only fill the journal: they are told with the next event that does.
        let taught = self.events.iter().any(|event| *event != Event::Lagging);
        if !taught || !self.record.has_begun_writing() {
            return Ok(());
        }
        let (transition, after) = self.transition()?;
        self.work.session.post(transition, &self.stored, &after)?;
        self.stored = after;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Halted> {
        let (transition, after) = self.transition()?;
        self.work
            .session
            .commit(transition, &self.stored, &after)
            .await?;
        self.stored = after;
        Ok(())
    }

    /// What the journal lacks, and the row it leads to: folded as it will be when the log is read again, so that nothing is
    /// stored that the log does not say.
    fn transition(&mut self) -> Result<(Transition, RowRecord), IllegalMove> {
        let costs = self.talk.take_costs();
        let mut facts = std::mem::take(&mut self.facts);
        facts.reads = costs.reads;
        facts.throttled = costs.throttled;
        facts.request_id = costs.request_id;
        facts.begun_at = self
            .record
            .begun_at
            .filter(|_| self.stored.begun_at.is_none());
        let transition = Transition {
            row: self.row,
            at: self.work.services.clock.now(),
            events: std::mem::take(&mut self.events),
            facts,
        };
        let mut after = self.stored.clone();
        after.apply(&transition, &self.work.session.header().rules)?;
        self.record.clone_from(&after);
        Ok((transition, after))
    }
}

fn states_of(record: &RowRecord) -> Option<States> {
    let before = State::from_text(record.before.as_deref()?)?;
    let now = match record.expected.as_deref() {
        Some(text) => State::from_text(text)?,
        None => before.clone(),
    };
    Some(States { before, now })
}
