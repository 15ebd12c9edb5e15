//! One row, from admission to its end: the loop between machine, journal and target.
//!
//! Read `Worker::drive` from top to bottom: it does what the machine asks for and tells it what came of it. A read goes the way
//! observe → assess → claim → tell. Nothing leaves for the target before the transition that intends it is durable. Events that
//! change nothing worth keeping (a look that taught nothing) stay in memory; everything else is committed together with the
//! next decision, so that n writes cost n + 1 barriers.

use super::admission::Admitted;
use super::assess::{Assessment, Seen, refused};
use super::claims::{ClaimVerdict, Claims, Wanted};
use super::client::{NoAnswer, RunAbort, ServiceClient, left};
use super::directory::{NoEntry, ask};
use super::event::Who;
use super::exposed::{Away, away, key_of};
use super::exposure_gate::{ExposureGate, ExposurePlace};
use super::observe::{ObserveError, Observer};
use super::problems::unread;
use super::row::LiveRow;
use super::services::Services;
use super::stop::AdmissionGate;
use crate::core::Problem;
use crate::job::{Job, RowView, Settings};
use crate::journal::{JournalError, Session, UnixMillis};
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
pub type WorkerEnd = Result<RowEnd, Unfinished>;

/// A row that is over.
#[derive(Debug)]
pub struct RowEnd {
    /// How.
    pub outcome: Outcome,
    /// Who it is, for those who watch.
    pub who: Who,
    /// Why it needs a person, if it does.
    pub error_code: Option<String>,
    /// What it needed.
    pub effort: Effort,
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

/// Why a worker let go of a row that is not over. Neither this row nor any other can go on, unless it is parked or waits.
#[derive(Debug)]
pub enum Unfinished {
    /// The run drains, and the row need not go on: it waits for the next process.
    Parked,
    /// The row had nothing begun and waits until another one has ended.
    Waits,
    /// The target refuses this program.
    Target(Problem),
    /// The on-premises directory refuses this program or is silent: no row can begin, and those that were begun do not need it.
    Directory(Problem),
    /// The journal failed.
    Journal(JournalError),
    /// A fault of the program.
    Program(IllegalMove),
}

impl From<JournalError> for Unfinished {
    fn from(error: JournalError) -> Self {
        Unfinished::Journal(error)
    }
}

impl From<IllegalMove> for Unfinished {
    fn from(error: IllegalMove) -> Self {
        Unfinished::Program(error)
    }
}

impl From<RunAbort> for Unfinished {
    fn from(abort: RunAbort) -> Self {
        Unfinished::Target(abort.0)
    }
}

impl NoAnswer {
    /// What it says about the row.
    ///
    /// # Errors
    /// It says something about the run.
    pub(super) fn about_row(self) -> Result<Fault, Unfinished> {
        match self {
            NoAnswer::Fault(fault) => Ok(fault),
            NoAnswer::Abort(abort) => Err(abort.into()),
            NoAnswer::Left => Err(Unfinished::Parked),
        }
    }
}

/// Works on one row.
pub async fn work(work: Arc<Work>, admitted: Admitted) -> WorkerEnd {
    let begun = Instant::now();
    let Admitted { row, line, values, record, planned } = admitted;
    let mut worker = Worker::new(&work, LiveRow::new(row, record, planned), key_of(&work.job.layout, &values));
    let end = worker.drive(&values).await;
    match &end {
        Ok(()) => worker.show_away(None),
        // The intent that it gave up with was never durable, and so nothing was sent.
        Err(Unfinished::Parked | Unfinished::Waits) => {
            worker.show_away(worker.row.record().exposed().then_some(Away::Now));
        }
        // Whoever is exposed still is.
        Err(Unfinished::Target(_) | Unfinished::Directory(_) | Unfinished::Journal(_) | Unfinished::Program(_)) => {}
    }
    end?;
    let record = worker.row.record();
    Ok(RowEnd {
        outcome: record.outcome(),
        error_code: record.problem().map(|problem| problem.code.clone()),
        who: Who { line, key: worker.key.to_owned() },
        effort: Effort {
            busy: begun.elapsed().saturating_sub(worker.client.waited()),
            reads: record.reads,
            writes: record.attempts,
        },
    })
}

struct Worker<'a> {
    work: &'a Work,
    row: LiveRow,
    /// What identifies it to people.
    key: &'a str,
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

impl<'a> Worker<'a> {
    fn new(work: &'a Work, row: LiveRow, key: &'a str) -> Worker<'a> {
        let name = row.number().to_string();
        let seed = work.services.seed_of(&name);
        Worker {
            work,
            row,
            key,
            client: ServiceClient::new(&work.services, name),
            rereads: Delays::new(Sequence::ReplicationRead, seed),
            retries: Delays::new(Sequence::RowRetry, seed),
            undo_retries: Delays::new(Sequence::Undo, seed),
            retry_in: None,
            place: None,
            write_begun: (Instant::now(), Duration::ZERO),
        }
    }

    /// Until the row has ended.
    async fn drive(&mut self, values: &[Option<String>]) -> Result<(), Unfinished> {
        let mut effect = self.tell(self.row.beginning())?;
        let view = match self.bind(values).await? {
            Ok(view) => view,
            Err(event) => {
                while effect != Effect::Finish {
                    effect = self.tell(event.clone())?;
                }
                return self.commit().await;
            }
        };
        self.take_on(&view);
        let end = self.go_on(&view, effect).await;
        if let Err(Unfinished::Journal(_)) = end
            && self.row.doubtful_since().is_some()
        {
            // Nothing can be made durable any more, so nothing more is sent. What became of a write in doubt can still be seen,
            // so that nobody is named as exposed who is not. A row that cannot be seen stays in doubt, and is named.
            let _seen = self.look(&view).await;
        }
        end
    }

    async fn go_on(&mut self, view: &RowView, first: Effect) -> Result<(), Unfinished> {
        let mut effect = first;
        loop {
            self.leave_place(effect);
            effect = match effect {
                Effect::Observe => {
                    self.post()?;
                    self.look(view).await?
                }
                Effect::ObserveLater => {
                    self.post()?;
                    let delay = self.until_next_look();
                    unless(self.parked(), self.client.pause(delay)).await?.map_err(|_| Unfinished::Parked)?;
                    self.look(view).await?
                }
                Effect::Persist(attempt) => self.persist(view, attempt).await?,
                Effect::Send(attempt) => self.send(view, attempt).await?,
                Effect::Finish => return self.finish(view).await,
                // Only for a row that waits or an answer that came too late; neither happens to a worker.
                Effect::Nothing => Effect::Observe,
            };
        }
    }

    /// The job as the row sees it, or what the machine is to be told instead: something speaks against the row before it is
    /// looked at, or it cannot even be bound to the job.
    async fn bind(&self, values: &[Option<String>]) -> Result<Result<RowView, Event>, Unfinished> {
        let Work { services, job, settings, .. } = self.work;
        let entry = if self.row.states().is_some() {
            // It was looked at before, and goes on with what was said then.
            self.row.said_by_directory()
        } else {
            let asking = ask(services.directory.as_ref(), job, settings, values);
            match unless(self.parked(), asking).await? {
                Ok(entry) => entry,
                Err(NoEntry::Against(problem)) => return Ok(Err(refused(problem, false))),
                Err(NoEntry::Abort(problem)) => return Err(Unfinished::Directory(problem)),
            }
        };
        let view = RowView::new(job, settings, values, entry);
        Ok(view.map_err(|error| Event::Unobservable(error.problem())))
    }

    /// A row that has written keeps what it has, whatever others want.
    fn take_on(&self, view: &RowView) {
        let Some(states) = self.row.states() else {
            return;
        };
        if let Some(account) = view.account(&states.before).ok().flatten() {
            // What cannot be told now was claimed when it could.
            let values = view.claimed(&states.before, &states.now).unwrap_or_default();
            self.work.claims.take_on(self.row.number(), &account, &values);
        }
    }

    /// Reads the person, makes of it what can be believed, and tells the machine.
    async fn look(&mut self, view: &RowView) -> Result<Effect, Unfinished> {
        if self.may_park() {
            return Err(Unfinished::Parked);
        }
        let observer = Observer {
            view,
            states: self.row.states(),
            others: Some((&self.work.claims, self.row.number())),
            priority: self.row.priority(),
            client: &mut self.client,
        };
        let parked = parked(&self.work.gate, &self.row);
        let seen = match unless(parked, observer.observe()).await? {
            Ok(found) => Seen::Found(found),
            Err(ObserveError::Journal(error)) => return Err(error.into()),
            Err(ObserveError::NoAnswer(no_answer)) => self.unseen(&no_answer.about_row()?),
            Err(ObserveError::Job(error)) => Seen::JobError(error),
        };
        let mut assessment = self.row.assess(view, seen, self.now());
        self.claim(view, &mut assessment)?;
        let event = self.row.take_in(view, assessment);
        if event != Event::Lagging {
            self.rereads.reset();
        }
        Ok(self.tell(event)?)
    }

    /// Why the person could not be read. After a write, that may mean that nobody knows what it did.
    fn unseen(&self, fault: &Fault) -> Seen {
        let problem = if self.row.has_stored_intent() { fault.problem() } else { unread(fault) };
        match fault.is_refusal() {
            true => Seen::Refused(problem),
            false => Seen::Silence(problem),
        }
    }

    /// When the row's account was seen for the first time, other rows have a say.
    fn claim(&self, view: &RowView, assessment: &mut Assessment) -> Result<(), Unfinished> {
        let (Some(states), None) = (&assessment.states, self.row.states()) else {
            return Ok(());
        };
        let wanted = match Wanted::of(view, &states.now, assessment.prepared.is_some()) {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return Ok(()),
            Err(error) => {
                *assessment = Assessment::of(Event::Unobservable(error.problem()));
                return Ok(());
            }
        };
        let patience = self.work.job.limits.replication;
        match self.work.claims.claim(self.row.number(), &wanted, self.now(), patience)? {
            ClaimVerdict::Free => {}
            ClaimVerdict::Waits => return Err(Unfinished::Waits),
            ClaimVerdict::Lagging => *assessment = Assessment::of(Event::Lagging),
            ClaimVerdict::Against(problem) => assessment.refuse(problem),
            ClaimVerdict::OfAnother(problem) => *assessment = Assessment::of(refused(problem, false)),
        }
        Ok(())
    }

    /// A growing delay, but no longer than a write in doubt is looked for: the person may be waiting for it.
    fn until_next_look(&mut self) -> Duration {
        if let Some(delay) = self.retry_in.take() {
            return delay;
        }
        let delay = self.rereads.next_delay();
        let Some(since) = self.row.doubtful_since() else {
            return delay;
        };
        let since = Duration::from_millis(self.now().saturating_sub(since));
        let left = self.work.job.limits.doubt.saturating_sub(since);
        if left.is_zero() { delay } else { delay.min(left) }
    }

    /// The intent of a write becomes durable; nothing has left before.
    async fn persist(&mut self, view: &RowView, attempt: Attempt) -> Result<Effect, Unfinished> {
        self.take_place().await?;
        if self.may_park() {
            return Err(Unfinished::Parked);
        }
        self.write_begun = (Instant::now(), self.client.waited());
        self.row.report_meanwhile(view, attempt, &self.work.session.header().rules);
        self.commit().await?;
        Ok(self.tell(Event::Durable(attempt))?)
    }

    async fn send(&mut self, view: &RowView, attempt: Attempt) -> Result<Effect, Unfinished> {
        let write = match self.row.write(view, attempt) {
            Ok(Some(write)) => write,
            Ok(None) => return Ok(Effect::Observe),
            Err(problem) => return Ok(self.tell(Event::Refused(attempt, problem))?),
        };
        let token = format!("{}/{}", attempt.step.0, attempt.number);
        let answer = self.client.write(&write.request, &token, self.row.priority()).await;
        let (begun, waited) = self.write_begun;
        self.work.exposure_gate.learn(begun, self.client.waited() - waited);
        let event = match answer {
            Ok(()) => {
                self.retries.reset();
                self.undo_retries.reset();
                self.row.applied(view, attempt, &write, self.now())
            }
            Err(NoAnswer::Left) => {
                self.tell(Event::Contended(attempt, left()))?;
                self.commit().await?;
                return Err(Unfinished::Parked);
            }
            Err(no_answer) => self.row.unanswered(view, attempt, &no_answer.about_row()?),
        };
        if matches!(event, Event::Refused(..) | Event::Contended(..)) && self.row.record().is_going_back() {
            self.retry_in = Some(self.undo_retries.next_delay());
        } else if matches!(event, Event::Contended(..)) {
            self.retry_in = Some(self.retries.next_delay());
        }
        Ok(self.tell(event)?)
    }

    async fn finish(&mut self, view: &RowView) -> Result<(), Unfinished> {
        self.row.report(view);
        self.commit().await?;
        // What the row ends with is not free, though a replica may show that it is.
        if let (Some(states), Some(at)) = (self.row.states(), self.row.record().left_at) {
            // What cannot be told was not claimed either.
            let values = view.claimed(&states.now, &states.now).unwrap_or_default();
            let replication = self.work.job.limits.replication.as_millis() as u64;
            self.work.claims.keep(&values, at.saturating_add(replication));
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Result<Effect, IllegalMove> {
        let rules = &self.work.session.header().rules;
        let effect = self.row.tell(event, self.now(), rules)?;
        self.show_away(away(self.row.record(), rules));
        // While the run drains nobody has to wait who can work: what was begun goes on in the next process.
        let gate = (!self.row.record().exposed()).then_some(&self.work.gate);
        self.client.leave_by(gate);
        Ok(effect)
    }

    /// Hands in what a later process should know, without waiting: the last write's success shares the barrier of the end.
    fn post(&mut self) -> Result<(), Unfinished> {
        if self.row.has_change() {
            let transition = self.row.take_transition(self.client.take_costs());
            self.work.session.post(transition, self.row.record())?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Unfinished> {
        let transition = self.row.take_transition(self.client.take_costs());
        Ok(self.work.session.commit(transition, self.row.record()).await?)
    }

    fn now(&self) -> UnixMillis {
        self.work.services.clock.now()
    }

    fn show_away(&self, away: Option<Away>) {
        self.work.services.gauges.exposed.note(self.row.number(), self.key, away);
    }

    /// Nobody is moved where they cannot work before there is a place for them.
    async fn take_place(&mut self) -> Result<(), Unfinished> {
        let (record, gate) = (self.row.record(), &self.work.exposure_gate);
        let away = away(record, &self.work.session.header().rules);
        if away.is_none() {
            self.place = None;
        } else if record.exposed() || self.place.is_some() {
            // Whoever has a place would wait for themselves.
            self.place.get_or_insert_with(|| gate.join());
        } else {
            // The intent is in no journal yet, so a process that ends here puts nobody at stake.
            self.show_away(None);
            let entering = gate.enter(|| self.work.services.registry.main().paced().rate());
            let parked = self.parked();
            let place = unless(parked, self.client.take_turn(entering)).await?;
            self.place = Some(place.map_err(|_| Unfinished::Parked)?);
            self.show_away(away);
        }
        Ok(())
    }

    /// Whoever waits for something else than a reply leaves the place to others.
    fn leave_place(&mut self, effect: Effect) {
        let keeps = match effect {
            Effect::Persist(_) | Effect::Send(_) => true,
            Effect::ObserveLater => false,
            Effect::Observe | Effect::Finish | Effect::Nothing => self.row.record().exposed(),
        };
        if !keeps {
            self.place = None;
        }
    }

    /// A row that has nothing begun need not begin while the run drains.
    fn may_park(&self) -> bool {
        let closed = self.work.gate.is_closed() || self.work.session.shortage().is_some();
        closed && !self.row.has_stored_intent()
    }

    fn parked(&self) -> impl Future<Output = ()> + use<> {
        parked(&self.work.gate, &self.row)
    }
}

/// Ends once the row may park.
fn parked(gate: &AdmissionGate, row: &LiveRow) -> impl Future<Output = ()> + use<> {
    let (gate, has_stored_intent) = (gate.clone(), row.has_stored_intent());
    async move {
        match has_stored_intent {
            true => std::future::pending().await,
            false => gate.closed().await,
        }
    }
}

/// Waits for something, unless the row may park before: no read and no pause of a budget holds up a drain for somebody who was
/// not touched.
async fn unless<T>(parked: impl Future<Output = ()>, wait: impl Future<Output = T>) -> Result<T, Unfinished> {
    tokio::select! {
        biased;
        () = parked => Err(Unfinished::Parked),
        came = wait => Ok(came),
    }
}
