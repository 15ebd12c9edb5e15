//! Working on a run until it ends or has to stop: what `run` and `resume` share.

use super::args::WorkArgs;
use super::connect::{Connected, Target};
use super::consent::{ask, heading};
use super::context::{absolute, operator, report_dir};
use super::control_server::{LiveProcess, listen};
use super::ending::{LeftExposed, RunEnding, advise};
use super::half_way::mention_others;
use super::sim::cast_of;
use super::waits::{Cut, Waits};
use super::{Exit, Failure, Global};
use crate::job::{Job, Settings};
use crate::journal::{ControlToken, Copied, Journal, JournalError, Session, Stop};
use crate::progress::{self, counted, name_run, print, warn, warn_if_quiet};
use crate::runner::admission::{Admission, Selection};
use crate::runner::claims::Claims;
use crate::runner::client::RunAbort;
use crate::runner::exposed::{Exposed, Person};
use crate::runner::preflight::{Check, Ready, Verdict};
use crate::runner::reopen::{Retried, reopen};
use crate::runner::stop::AdmissionGate;
use crate::runner::worker::Work;
use crate::runner::{Clock, DispatchEnd, Dispatcher, Policy, Schedule, Services, StopKind, StopReason, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Between two looks whether the last user of the session is gone.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Looks in all: two seconds.
const RELEASE_POLLS_MAX: u32 = 200;

/// How far a run is that is open in this process.
pub(super) enum RunStage {
    /// Its rows are in the journal, but it does not exist before it is begun: after the person at the terminal was asked, if
    /// somebody is to be.
    New { copied: Copied, must_ask: bool },
    /// It was begun before.
    Begun,
    /// It was begun before, and these rows of it begin again.
    Retry(Retried),
}

/// Works on an open run until it ends, writes the report and says how it went.
pub(super) async fn work(
    global: &Global,
    args: &WorkArgs,
    schedule: Schedule,
    journal: Journal,
    (session, mut stage): (Session, RunStage),
    job: Arc<Job>,
    target: Target,
) -> Result<Exit, Failure> {
    let target_spec = target.spec.clone();
    let run = session.header().id;
    mention_others(&journal, run, &global.journal);
    name_run(run);
    let journal = Arc::new(Mutex::new(journal));
    let dir = report_dir(args.report.as_deref(), &run.to_string());
    let attempt = RunAttempt { global, args, journal: &journal, session: Arc::new(session), job, report: &dir };
    let (end, people) = attempt.make(target, schedule, &mut stage).await;
    let session = released(attempt.session).await?;
    if !matches!(stage, RunStage::Begun) {
        // A new run is withdrawn. A retry has begun nothing again, so the run stands as it stood.
        if let RunStage::New { .. } = stage
            && let Err(error) = journal.lock().await.withdraw(session).await
        {
            tracing::info!("the run is removed when the journal is opened next: {error}");
        }
        let never_begun = || Failure::program("the work has ended and was never begun");
        return Err(end.err().map_or_else(never_begun, Cut::into_failure));
    }
    let (stopped, fault) = match end {
        Ok(DispatchEnd { stopped, journal }) => (stopped, journal),
        Err(Cut::Stopped(reason)) => (Some(reason), None),
        Err(Cut::Journal(error)) => (Some(StopKind::Journal.because(error.to_string())), Some(error)),
        Err(Cut::Failed(failure)) => {
            let exposed = LeftExposed::remembered(&people, run, &dir);
            exposed.warn();
            return Err(failure.if_exposed(exposed.is_anybody()));
        }
    };
    let stop = stopped.as_ref().map_or(Stop::Finished, StopReason::stop);
    let closed = session.close(SystemClock.now(), stop).await;
    let ending = RunEnding { global, args, dir: &dir, target_spec: &target_spec };
    let (exit, exposed) = ending.print_closed(closed, fault);
    let exposed = exposed.unwrap_or_else(|| LeftExposed::remembered(&people, run, &dir));
    exposed.warn();
    advise(stopped.as_ref(), &global.journal);
    mention_others(&*journal.lock().await, run, &global.journal);
    Ok(exit.if_exposed(exposed.is_anybody()))
}

/// The session, once nobody else uses it.
async fn released(session: Arc<Session>) -> Result<Session, Failure> {
    let mut shared = session;
    for _ in 0..RELEASE_POLLS_MAX {
        match Arc::try_unwrap(shared) {
            Ok(session) => return Ok(session),
            Err(still) => shared = still,
        }
        tokio::time::sleep(RELEASE_POLL).await;
    }
    Err(Failure::program("something still uses the journal's session"))
}

/// What leads from an open run to its end.
struct RunAttempt<'a> {
    global: &'a Global,
    args: &'a WorkArgs,
    journal: &'a Arc<Mutex<Journal>>,
    session: Arc<Session>,
    job: Arc<Job>,
    report: &'a Path,
}

impl RunAttempt<'_> {
    /// Returns how the work ended, and who cannot sign in then.
    async fn make(
        &self,
        target: Target,
        schedule: Schedule,
        stage: &mut RunStage,
    ) -> (Result<DispatchEnd, Cut>, Vec<Person>) {
        let (mut waits, commands) = Waits::for_target(&target);
        let connected = match self.connect(target, &mut waits).await {
            Ok(connected) => connected,
            Err(cut) => return (Err(cut), self.left_exposed().await),
        };
        let services = Arc::clone(&connected.services);
        let gate = AdmissionGate::default();
        let live = LiveProcess {
            session: Arc::downgrade(&self.session),
            gate: gate.clone(),
            commands,
            services: Arc::clone(&services),
            token: ControlToken::new(Uuid::new_v4().to_string()),
        };
        let mut server = JoinSet::new();
        // A run goes on without it.
        if let Err(error) = listen(&mut server, self.journal, live).await {
            tracing::warn!("other processes cannot ask this one how the run stands: {error}");
        }
        let end = match self.begin(&connected, &mut waits, stage).await {
            Ok(settings) => self.dispatch(&services, settings, gate, waits, schedule).await,
            Err(cut) => Err(cut),
        };
        connected.close().await;
        server.shutdown().await;
        (end, services.gauges.exposed.list())
    }

    async fn connect(&self, target: Target, waits: &mut Waits) -> Result<Connected, Cut> {
        let runs = self.journal.lock().await.runs()?;
        let mut reader = self.session.reader().await?;
        let header = self.session.header();
        let cast = cast_of(self.global, &runs, header, &mut reader, &self.job)?;
        waits.connect(target, header, &self.job, cast).await
    }

    /// Whom an earlier process left exposed, for an attempt that ended before it could ask the target.
    async fn left_exposed(&self) -> Vec<Person> {
        let exposed = Exposed::default();
        if let Err(error) = self.take_in(&exposed).await {
            tracing::warn!("who is exposed cannot be read from the journal: {error}");
        }
        exposed.list()
    }

    async fn take_in(&self, exposed: &Exposed) -> Result<(), JournalError> {
        let mapping = &self.session.header().input.mapping;
        exposed.take_in(&mut self.session.reader().await?, mapping, &self.job.layout)
    }

    /// The preflight, the header, and the consent; after that a new run exists.
    async fn begin(&self, connected: &Connected, waits: &mut Waits, stage: &mut RunStage) -> Result<Settings, Cut> {
        let services = &connected.services;
        self.take_in(&services.gauges.exposed).await?;
        let at = || SystemClock.now();
        if matches!(stage, RunStage::Begun) {
            self.session.opened(at()).await.map_err(Cut::Journal)?;
        }
        let ready = waits.prepare(services, self.session.header(), &self.job).await?;
        let ready = ready.map_err(|RunAbort(problem)| {
            Cut::Stopped(StopKind::Target.because(format!("{problem}; {}", problem.advice)))
        })?;
        let settings = self.fit(&ready).await?;
        self.print_heading(connected, &ready, stage);
        if let RunStage::New { must_ask: true, .. } = stage {
            ask(waits).await?;
        }
        match std::mem::replace(stage, RunStage::Begun) {
            RunStage::New { copied, .. } => self.session.begin(copied, at()).await?,
            RunStage::Retry(retried) => {
                let rows = reopen(&self.session, &retried, &operator(), &SystemClock).await.map_err(Cut::Journal)?;
                print(format_args!("{} again", counted(rows, "row begins", "rows begin")));
            }
            RunStage::Begun => return Ok(settings),
        }
        self.session.opened(at()).await.map_err(Cut::Journal)?;
        Ok(settings)
    }

    /// Nothing must speak against the run, unless somebody is half way: those people are finished with whatever the app may
    /// still do.
    async fn fit(&self, ready: &Ready) -> Result<Settings, Failure> {
        warn_of(ready.of(Verdict::Warning).chain(ready.of(Verdict::Unknown)));
        match &ready.settings {
            Some(settings) if ready.of(Verdict::Bad).next().is_none() => Ok(settings.clone()),
            Some(settings) if !self.session.reader().await?.half_way()?.is_empty() => {
                ready
                    .of(Verdict::Bad)
                    .for_each(|check| warn(format_args!("{}: {}; {}", check.name, check.detail, check.advice)));
                Ok(settings.clone())
            }
            Some(_) | None => Err(preflight_failure(ready)),
        }
    }

    /// A person who is asked sees it even with `--quiet`.
    fn print_heading(&self, connected: &Connected, ready: &Ready, stage: &RunStage) {
        let run = self.session.run();
        let rows = match stage {
            RunStage::New { copied, .. } => copied.rows(),
            RunStage::Begun | RunStage::Retry(_) => run.rows,
        };
        let heading = heading(&self.job, connected, ready, rows, run.counts.total());
        let (journal, report) = (absolute(&self.global.journal), absolute(self.report));
        let places = format!("journal   {}\nreport    {}", journal.display(), report.display());
        let heading = format!("{heading}\nrun       {}\n{places}", run.id());
        print(&heading);
        if matches!(stage, RunStage::New { must_ask: true, .. }) {
            warn_if_quiet(heading);
        }
    }

    async fn dispatch(
        &self,
        services: &Arc<Services>,
        settings: Settings,
        gate: AdmissionGate,
        waits: Waits,
        schedule: Schedule,
    ) -> Result<DispatchEnd, Cut> {
        // The reader first: it waits until the checkpoint, and so what is known of the run, is up to the log.
        let reader = self.session.reader().await?;
        let run = self.session.run();
        let admission = Admission::new(reader, &run, &self.job.layout, Selection::Unfinished);
        let work = Arc::new(Work {
            services: Arc::clone(services),
            job: Arc::clone(&self.job),
            settings,
            session: Arc::clone(&self.session),
            claims: Claims::new(&self.session),
            exposure_gate: Arc::default(),
            gate,
        });
        let policy = Policy { max_failed: self.args.max_failed, max_stranded: self.args.max_stranded };
        let dispatcher = Dispatcher::new(
            work,
            admission,
            &run,
            self.args.concurrency.map(|rows| rows as usize),
            policy,
            schedule,
            vec![progress::consumer()],
        );
        Ok(dispatcher.run(waits.into_commands()).await)
    }
}

/// What somebody should know before it begins.
pub(super) fn warn_of<'c>(checks: impl Iterator<Item = &'c Check>) {
    for check in checks {
        warn(format_args!("{}: {}", check.name, check.detail));
    }
}

/// Everything that stands in the way of a run or a plan.
pub(super) fn preflight_failure(ready: &Ready) -> Failure {
    let lines = ready.of(Verdict::Bad).map(|check| format!("\n{}: {}\n    {}", check.name, check.detail, check.advice));
    let message = format!("the run cannot begin{}", lines.collect::<String>());
    Failure::usage("preflight", message, "`cutover doctor` shows every check; nothing was changed")
}
