//! One row, from admission to its end: the loop between machine, journal and target.
//!
//! Read `Worker::drive` from top to bottom: it does what the machine asks for and tells it what came of it. Nothing leaves
//! for the target before the transition that intends it is durable. Events that change nothing worth keeping (a look that
//! taught nothing) stay in memory; everything else is committed together with the next decision, so that n writes cost
//! n + 1 barriers.

use super::admission::Admitted;
use super::assess::{Assessment, Seen, refused};
use super::claims::{Claims, Verdict, Wanted};
use super::client::{NoAnswer, RunAbort, ServiceClient, left};
use super::directory::{Answer, ask};
use super::event::Who;
use super::exposed::{Away, away, key_of};
use super::exposure_gate::{ExposureGate, ExposurePlace};
use super::observe::{ObserveError, Others, observe};
use super::problems::unread;
use super::row::{Change, LiveRow};
use super::services::Services;
use super::stop::AdmissionGate;
use crate::core::Problem;
use crate::job::{EvalError, Job, RowView, Settings};
use crate::journal::{JournalError, RowRecord, Session, UnixMillis};
use crate::machine::{Attempt, Effect, Event, IllegalMove, Outcome};
use crate::services::Fault;
use crate::services::budget::{Delays, Sequence};
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
    pub gate: AdmissionGate,
    /// What each row has for itself.
    pub claims: Claims,
    /// How many people may be away at once.
    pub exposure_gate: Arc<ExposureGate>,
}

/// How a worker ended.
#[derive(Debug)]
pub enum WorkerEnd {
    /// The row is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Who it is, for those who watch.
        who: Who,
        /// Why it needs a person, if it does.
        error_code: Option<String>,
        /// What it needed.
        effort: Effort,
    },
    /// The run is draining and the row had nothing begun: it waits for the next process.
    Parked,
    /// The row had nothing begun and waits until another one has ended.
    Waits,
    /// No row can go on.
    Halted(Halted),
}

/// What a row needed, for deciding how many are worked on at once.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time from admission to end, less the waiting for its turns.
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
    /// The on-premises directory refuses this program or is silent: no row can begin, and those that were begun do not need it.
    Directory(Problem),
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

impl From<RunAbort> for Halted {
    fn from(abort: RunAbort) -> Self {
        Halted::Target(abort.0)
    }
}

/// Whether a worker goes on or has come to its end.
enum Next {
    Do(Effect),
    Done(Rest),
}

/// Where a row is when its worker lets go of it.
enum Rest {
    Ended(Outcome),
    Parked,
    Waits,
}

/// Works on one row.
pub async fn work(work: Arc<Work>, admitted: Admitted) -> WorkerEnd {
    let begun = Instant::now();
    let Admitted { row, line, values, record, planned } = admitted;
    let key = key_of(&work.job.layout, &values).to_owned();
    let row = LiveRow::new(row, record).held_to(planned);
    let mut worker = Worker::new(work, row, key);
    let end = worker.drive(&values).await;
    match &end {
        Ok(Rest::Ended(_)) => worker.show_away(None),
        Err(Halted::Journal(_)) => worker.look_once_more(&values).await,
        // The intent that it gave up with was never durable, and so nothing was sent.
        Ok(Rest::Parked | Rest::Waits) => worker.show_away(worker.away(worker.row.stored())),
        // Whoever is exposed still is.
        Err(Halted::Target(_) | Halted::Directory(_) | Halted::Program(_)) => {}
    }
    match end {
        Ok(Rest::Ended(outcome)) => WorkerEnd::Ended {
            outcome,
            error_code: worker.row.record().problem().map(|problem| problem.code.clone()),
            who: Who { line, key: worker.key },
            effort: Effort {
                busy: begun.elapsed().saturating_sub(worker.client.waited()),
                reads: worker.row.record().reads,
                writes: worker.row.record().attempts,
            },
        },
        Ok(Rest::Parked) => WorkerEnd::Parked,
        Ok(Rest::Waits) => WorkerEnd::Waits,
        Err(halted) => WorkerEnd::Halted(halted),
    }
}

struct Worker {
    work: Arc<Work>,
    row: LiveRow,
    /// What identifies it to people.
    key: String,
    client: ServiceClient,
    rereads: Delays,
    /// Between tries of a step that met another change, or an account that is not everywhere yet. They grow until one is
    /// taken, so that all tries together outlast the replication.
    retries: Delays,
    /// Between tries of an undo that was not taken.
    undo_retries: Delays,
    /// The step was not taken: how long to wait before it may be tried again.
    retry_in: Option<Duration>,
    /// Where the person is away, or about to be.
    place: Option<ExposurePlace>,
    /// When the last write was begun, and how long it had been waited for turns by then.
    write_begun: (Instant, Duration),
}

impl Worker {
    fn new(work: Arc<Work>, row: LiveRow, key: String) -> Worker {
        let number = row.number();
        let client = ServiceClient::new(&work.services, number.to_string());
        let seed = work.services.seed_of(&number.to_string());
        Worker {
            row,
            key,
            client,
            rereads: Delays::new(Sequence::ReplicationRead, seed),
            retries: Delays::new(Sequence::RowRetry, seed),
            undo_retries: Delays::new(Sequence::Undo, seed),
            retry_in: None,
            place: None,
            write_begun: (Instant::now(), Duration::ZERO),
            work,
        }
    }

    /// Until the row has ended, or may not go on for now.
    async fn drive(&mut self, values: &[Option<String>]) -> Result<Rest, Halted> {
        let job = Arc::clone(&self.work.job);
        let mut effect = self.begin()?;
        let directory = match self.ask_directory(values).await? {
            Answer::NotAsked => None,
            Answer::Entry(entry) => Some(entry),
            Answer::Against(problem) => return self.bar(problem).await,
            Answer::Parked => return Ok(Rest::Parked),
        };
        let view = match RowView::new(&job, &self.work.settings, values, directory) {
            Ok(view) => view,
            Err(error) => return self.give_up(error.problem()).await,
        };
        self.take_on(&view);
        loop {
            self.leave_place(&effect);
            let next = match effect {
                Effect::Observe => self.observe(&view).await?,
                Effect::ObserveLater => {
                    self.post()?;
                    let delay = self.until_next_look(&job);
                    self.may_leave();
                    tokio::select! {
                        biased;
                        () = self.parked() => Next::Done(Rest::Parked),
                        waited = self.client.pause(delay) => match waited {
                            Ok(()) => self.observe(&view).await?,
                            Err(_) => Next::Done(Rest::Parked),
                        },
                    }
                }
                Effect::Persist(attempt) => self.persist(&view, attempt).await?,
                Effect::Send(attempt) => self.send(&view, attempt).await?,
                Effect::Finish => self.finish(&view).await?,
                // Only for a row that waits or an answer that came too late; neither happens to a worker.
                Effect::Nothing => Next::Do(Effect::Observe),
            };
            match next {
                Next::Do(wanted) => effect = wanted,
                Next::Done(rest) => return Ok(rest),
            }
        }
    }

    /// A growing delay, but no longer than a write in doubt is looked for: the person may be waiting for it.
    fn until_next_look(&mut self, job: &Job) -> Duration {
        if let Some(delay) = self.retry_in.take() {
            return delay;
        }
        let delay = self.rereads.next_delay();
        match self.row.doubt_left(job, self.now()) {
            Some(left) => delay.min(left),
            None => delay,
        }
    }

    fn now(&self) -> UnixMillis {
        self.work.services.clock.now()
    }

    fn begin(&mut self) -> Result<Effect, IllegalMove> {
        let now = self.now();
        let effect = self.row.begin(now, &self.work.session.header().rules)?;
        self.show_exposure();
        Ok(effect)
    }

    /// A row that was looked at before goes on with what was said then.
    async fn ask_directory(&self, values: &[Option<String>]) -> Result<Answer, Halted> {
        if self.row.states().is_some() {
            let said = self.row.said_by_directory();
            return Ok(said.map_or(Answer::NotAsked, Answer::Entry));
        }
        let (work, may_park) = (&self.work, || self.may_park());
        let directory = work.services.directory.as_ref();
        let answer = tokio::select! {
            biased;
            () = self.parked() => return Ok(Answer::Parked),
            answer = ask(directory, &work.job, &work.settings, values, &may_park) => answer,
        };
        answer.map_err(|RunAbort(problem)| Halted::Directory(problem))
    }

    /// Something speaks against the row before it was looked at.
    async fn bar(&mut self, problem: Problem) -> Result<Rest, Halted> {
        self.tell(refused(problem, false))?;
        self.commit().await?;
        Ok(Rest::Ended(self.row.record().outcome()))
    }

    /// The row cannot even be bound to the job.
    async fn give_up(&mut self, problem: Problem) -> Result<Rest, Halted> {
        let mut effect = self.tell(Event::Unobservable(problem.clone()))?;
        while effect != Effect::Finish {
            effect = self.tell(Event::Unobservable(problem.clone()))?;
        }
        self.commit().await?;
        Ok(Rest::Ended(self.row.record().outcome()))
    }

    fn tell(&mut self, event: Event) -> Result<Effect, IllegalMove> {
        let work = Arc::clone(&self.work);
        let effect = self.row.tell(event, self.now(), &work.session.header().rules)?;
        self.show_exposure();
        Ok(effect)
    }

    fn show_exposure(&self) {
        self.show_away(self.away(self.row.record()));
    }

    fn away(&self, record: &RowRecord) -> Option<Away> {
        away(record, &self.work.session.header().rules)
    }

    fn show_away(&self, away: Option<Away>) {
        let gauges = &self.work.services.gauges;
        gauges.exposed.note(self.row.number(), &self.key, away);
    }

    /// Nothing can be made durable any more, so nothing more is sent. What became of a write in doubt can still be seen, so
    /// that nobody is named as exposed who is not.
    async fn look_once_more(&mut self, values: &[Option<String>]) {
        let job = Arc::clone(&self.work.job);
        let said = self.row.said_by_directory();
        let Ok(view) = RowView::new(&job, &self.work.settings, values, said) else {
            return;
        };
        if self.row.is_in_doubt() {
            // A row that cannot be seen stays in doubt, and is named.
            let _seen = self.look(&view).await;
        }
    }

    /// A row that has nothing begun need not begin while the run drains.
    fn may_park(&self) -> bool {
        let closed = self.work.gate.is_closed() || self.work.session.shortage().is_some();
        closed && !self.row.stored().has_begun_writing()
    }

    /// While the run drains nobody has to wait who can work: what was begun goes on in the next process.
    fn may_leave(&mut self) {
        let gate = (!self.row.record().exposed()).then_some(&self.work.gate);
        self.client.leave_by(gate);
    }

    /// Nobody is moved where they cannot work before there is a place for them. Answers whether the row may go on.
    async fn take_place(&mut self) -> bool {
        let work = Arc::clone(&self.work);
        let (record, gate) = (self.row.record(), &work.exposure_gate);
        if !record.may_be_exposed(&work.session.header().rules) {
            self.place = None;
            return true;
        }
        // Whoever has a place would wait for themselves.
        if record.exposed() || self.place.is_some() {
            self.place.get_or_insert_with(|| gate.join());
            return true;
        }
        // The intent is in no journal yet, so a process that ends here puts nobody at stake.
        self.show_away(self.away(self.row.stored()));
        self.may_leave();
        let parked = self.parked();
        let entering = gate.enter(|| work.services.registry.main().paced().rate());
        self.place = tokio::select! {
            biased;
            () = parked => None,
            place = self.client.take_turn(entering) => place.ok(),
        };
        if self.place.is_some() {
            self.show_exposure();
        }
        self.place.is_some()
    }

    /// Whoever waits for something else than a reply leaves the place to others.
    fn leave_place(&mut self, effect: &Effect) {
        let keeps = match effect {
            Effect::Persist(_) | Effect::Send(_) => true,
            Effect::ObserveLater => false,
            Effect::Observe | Effect::Finish | Effect::Nothing => self.row.record().exposed(),
        };
        if !keeps {
            self.place = None;
        }
    }

    /// Ends once the row may park, so that no read and no pause of a budget holds up a drain for somebody who was not touched.
    fn parked(&self) -> impl Future<Output = ()> + use<> {
        let gate = self.work.gate.clone();
        let has_begun_writing = self.row.stored().has_begun_writing();
        async move {
            match has_begun_writing {
                true => std::future::pending().await,
                false => gate.closed().await,
            }
        }
    }

    async fn observe(&mut self, view: &RowView) -> Result<Next, Halted> {
        if self.may_park() {
            return Ok(Next::Done(Rest::Parked));
        }
        self.post()?;
        self.look(view).await
    }

    async fn look(&mut self, view: &RowView) -> Result<Next, Halted> {
        let states = self.row.states().cloned();
        let job = Arc::clone(&self.work.job);
        let priority = self.row.priority();
        self.may_leave();
        let work = Arc::clone(&self.work);
        let others = Others { claims: &work.claims, row: self.row.number() };
        let (states, others) = (states.as_ref(), Some(others));
        let parked = self.parked();
        let seen = tokio::select! {
            biased;
            () = parked => return Ok(Next::Done(Rest::Parked)),
            seen = observe(&job, view, states, others, &mut self.client, priority) => seen,
        };
        let seen = match seen {
            Ok(found) => Seen::Found(found),
            Err(ObserveError::Journal(error)) => return Err(error.into()),
            Err(ObserveError::NoAnswer(NoAnswer::Abort(abort))) => return Err(abort.into()),
            Err(ObserveError::NoAnswer(NoAnswer::Left)) => return Ok(Next::Done(Rest::Parked)),
            Err(ObserveError::NoAnswer(NoAnswer::Fault(fault))) => {
                let problem = self.unseen(&fault);
                match fault.is_refusal() {
                    true => Seen::Refused(problem),
                    false => Seen::Silence(problem),
                }
            }
            Err(ObserveError::Job(error)) => Seen::JobError(error),
        };
        let mut assessment = self.row.assess(&job, view, seen, self.now());
        match self.claim(view, &assessment)? {
            Ok(Verdict::Free) => {}
            Ok(Verdict::Waits) => return Ok(Next::Done(Rest::Waits)),
            Ok(Verdict::Lagging) => assessment.postpone(),
            Ok(Verdict::Against(problem)) => assessment.refuse(problem),
            Ok(Verdict::OfAnother(problem)) => assessment.disown(refused(problem, false)),
            Err(error) => assessment.disown(Event::Unobservable(error.problem())),
        }
        let event = self.row.take_in(view, assessment);
        if event != Event::Lagging {
            self.rereads.reset();
        }
        Ok(Next::Do(self.tell(event)?))
    }

    /// Why the person could not be read. After a write, that may mean that nobody knows what it did.
    fn unseen(&self, fault: &Fault) -> Problem {
        if self.row.stored().has_begun_writing() { fault.problem() } else { unread(fault) }
    }

    /// A row that has written keeps what it has, whatever others want.
    fn take_on(&self, view: &RowView) {
        let Some(states) = self.row.states() else {
            return;
        };
        let account = view.account(&states.before).ok().flatten();
        // What cannot be told now was claimed when it could.
        let values = view.claimed(&states.before, &states.now);
        if let Some(account) = account {
            let values = values.unwrap_or_default();
            self.work.claims.take_on(self.row.number(), &account, &values);
        }
    }

    /// Whether the row may go on, now that its account was seen for the first time.
    fn claim(&self, view: &RowView, assessment: &Assessment) -> Result<Result<Verdict, EvalError>, JournalError> {
        let (Some(states), None) = (&assessment.states, self.row.states()) else {
            return Ok(Ok(Verdict::Free));
        };
        let wanted = match Wanted::of(view, &states.now, assessment.prepared.is_some()) {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return Ok(Ok(Verdict::Free)),
            Err(error) => return Ok(Err(error)),
        };
        let patience = self.work.job.limits.replication;
        let (claims, row) = (&self.work.claims, self.row.number());
        claims.claim(row, &wanted, self.now(), patience).map(Ok)
    }

    /// The intent of a write becomes durable; nothing has left before.
    async fn persist(&mut self, view: &RowView, attempt: Attempt) -> Result<Next, Halted> {
        if !self.take_place().await || self.may_park() {
            return Ok(Next::Done(Rest::Parked));
        }
        self.write_begun = (Instant::now(), self.client.waited());
        let rules = &self.work.session.header().rules;
        self.row.report_meanwhile(&self.work.job, view, attempt, rules);
        self.commit().await?;
        Ok(Next::Do(self.tell(Event::Durable(attempt))?))
    }

    async fn send(&mut self, view: &RowView, attempt: Attempt) -> Result<Next, Halted> {
        let job = Arc::clone(&self.work.job);
        let write = match self.row.write(&job, view, attempt) {
            Ok(Some(write)) => write,
            Ok(None) => return Ok(Next::Do(Effect::Observe)),
            Err(problem) => {
                return Ok(Next::Do(self.tell(Event::Refused(attempt, problem))?));
            }
        };
        let token = format!("{}/{}", attempt.step.0, attempt.number);
        let priority = self.row.priority();
        self.may_leave();
        let answer = self.client.write(&write.request, &token, priority).await;
        let (begun, waited) = self.write_begun;
        let waited = self.client.waited() - waited;
        self.work.exposure_gate.learn(begun, waited);
        let event = match answer {
            Ok(_) => {
                let now = self.now();
                self.row.applied(&job, view, attempt, &write, now)
            }
            Err(NoAnswer::Abort(abort)) => return Err(abort.into()),
            Err(NoAnswer::Left) => {
                self.tell(Event::Contended(attempt, left()))?;
                self.commit().await?;
                return Ok(Next::Done(Rest::Parked));
            }
            Err(NoAnswer::Fault(fault)) => self.row.unanswered(&job, attempt, &fault),
        };
        match event {
            Event::Applied(..) => {
                self.retries.reset();
                self.undo_retries.reset();
            }
            Event::Refused(..) | Event::Contended(..) if self.row.record().is_going_back() => {
                self.retry_in = Some(self.undo_retries.next_delay());
            }
            Event::Contended(..) => self.retry_in = Some(self.retries.next_delay()),
            Event::Refused(..)
            | Event::Doubted(..)
            | Event::Admitted
            | Event::Rejected(_)
            | Event::Observed(_)
            | Event::Lagging
            | Event::Unobservable(_)
            | Event::Durable(_)
            | Event::Recovered
            | Event::Retried { .. }
            | Event::RolledBack(_) => {}
        }
        Ok(Next::Do(self.tell(event)?))
    }

    async fn finish(&mut self, view: &RowView) -> Result<Next, Halted> {
        self.row.report(view);
        self.commit().await?;
        self.keep(view);
        Ok(Next::Done(Rest::Ended(self.row.record().outcome())))
    }

    /// What the row ends with is not free, though a replica may show that it is.
    fn keep(&self, view: &RowView) {
        let (Some(states), Some(at)) = (self.row.states(), self.row.record().wrote_at) else {
            return;
        };
        // What cannot be told was not claimed either.
        let values = view.claimed(&states.now, &states.now).unwrap_or_default();
        let replication = self.work.job.limits.replication.as_millis() as u64;
        self.work.claims.keep(values, at.saturating_add(replication));
    }

    /// Hands in what a later process should know, without waiting: the last write's success shares the barrier of the end.
    fn post(&mut self) -> Result<(), Halted> {
        if self.row.has_change() {
            let change = self.take_change()?;
            self.work.session.post(change.transition, &change.before, &change.after)?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Halted> {
        let change = self.take_change()?;
        self.work.session.commit(change.transition, &change.before, &change.after).await?;
        Ok(())
    }

    fn take_change(&mut self) -> Result<Change, IllegalMove> {
        let work = Arc::clone(&self.work);
        let costs = self.client.take_costs();
        self.row.take_change(costs, self.now(), &work.session.header().rules)
    }
}
