//! Working on a run until it ends or has to stop: what `run` and `resume` share.

use super::args::{Global, WorkArgs};
use super::connect::{Cast, Connected, Hitch, Target, person};
use super::context::{operator, print_json, report_dir};
use super::errors;
use super::exit::{Exit, Failure};
use super::half_way::{exposed_in_words, mention_others, resume_command, warned_in_words};
use super::last_words::{self, Exposed};
use super::live::{Bridge, Live};
use super::opening::{Consent, Cut, Header, Waits, trouble_of};
use super::signals;
use super::status::to_value;
use crate::batch::Digest;
use crate::job::{Job, Settings};
use crate::journal::{
    Closed, Copied, Journal, JournalError, RunHeader, RunReader, RunRecord, RunState, Session, Stop,
};
use crate::machine::Outcome;
use crate::progress::{self, counted, name_run, say, say_result, warn, warn_if_quiet};
use crate::report::{self, Liveness};
use crate::runner::admission::{Admission, canonical};
use crate::runner::claims::Claims;
use crate::runner::client::RunAbort;
use crate::runner::exposed::{self, Person};
use crate::runner::preflight::{Check, Ready, prepare};
use crate::runner::reopen::{Retried, reopen};
use crate::runner::stop::Gate;
use crate::runner::worker::Work;
use crate::runner::{
    Asked, Clock, DispatchEnd, Dispatcher, Policy, Schedule, Services, StopReason, SystemClock,
};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often it is looked whether the last user of the session is gone.
const SESSION_RELEASE_POLL: Duration = Duration::from_millis(10);

/// Commands on their way; more of them wait outside.
const COMMANDS_WAITING_MAX: usize = 4;

/// How many times; two seconds in all.
const SESSION_RELEASE_POLLS_MAX: u32 = 200;

/// A run that is open in this process.
pub(super) struct Opening {
    pub session: Session,
    pub stage: Stage,
}

/// How far it is.
pub(super) enum Stage {
    /// Its rows are in the journal, and it does not exist before it is begun.
    New(Copied, Consent),
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
    opening: Opening,
    job: Arc<Job>,
    target: Target,
) -> Result<Exit, Failure> {
    let target_spec = target.spec();
    let Opening { session, mut stage } = opening;
    let run = session.header().id;
    mention_others(&journal, run, &global.journal);
    name_run(run);
    let session = Arc::new(session);
    let journal = Arc::new(tokio::sync::Mutex::new(journal));
    let dir = report_dir(args.report.as_ref(), &run.to_string());
    let attempt = Attempt {
        global,
        args,
        journal: &journal,
        session: &session,
        job: &job,
        report: &dir,
    };
    let (end, exposed) = attempt.make(target, schedule, &mut stage).await;
    let session = released(session).await?;
    let end = match (stage, end) {
        (Stage::New(..), end) => {
            if let Err(error) = journal.lock().await.withdraw(session).await {
                tracing::info!("the run is removed when the journal is opened next: {error}");
            }
            let never_begun = || Failure::program("the run has ended and was never begun");
            return Err(end.err().map_or_else(never_begun, Cut::into_failure));
        }
        // Nothing has begun again: the run stands as it stood.
        (Stage::Retry(_), end) => {
            let never_begun = || Failure::program("the retry has ended and was never begun");
            return Err(end.err().map_or_else(never_begun, Cut::into_failure));
        }
        (Stage::Begun, Ok(end)) => end,
        (Stage::Begun, Err(Cut::Stopped(reason))) => DispatchEnd {
            stopped: Some(reason),
            journal: None,
        },
        (Stage::Begun, Err(Cut::Journal(error))) => DispatchEnd {
            stopped: Some(StopReason::Journal(error.to_string())),
            journal: Some(error),
        },
        (Stage::Begun, Err(Cut::Failed(failure))) => {
            let exposed = Exposed::remembered(&exposed, run, &dir);
            exposed.name();
            return Err(failure.if_exposed(!exposed.keys.is_empty()));
        }
    };
    let stop = end
        .stopped
        .as_ref()
        .map_or(Stop::Finished, StopReason::stop);
    let closed = session.close(SystemClock.now(), stop).await;
    let (exit, told) = tell_end(global, args, closed, end.journal, &dir, &target_spec);
    let exposed = told.unwrap_or_else(|| Exposed::remembered(&exposed, run, &dir));
    exposed.name();
    last_words::advise(end.stopped.as_ref(), &global.journal);
    mention_others(&*journal.lock().await, run, &global.journal);
    Ok(exit.if_exposed(!exposed.keys.is_empty()))
}

/// What the way from an open run to its end works with.
struct Attempt<'a> {
    global: &'a Global,
    args: &'a WorkArgs,
    journal: &'a Arc<tokio::sync::Mutex<Journal>>,
    session: &'a Arc<Session>,
    job: &'a Arc<Job>,
    report: &'a Path,
}

impl Attempt<'_> {
    /// Answers how the work ended, and who cannot sign in then.
    async fn make(
        &self,
        target: Target,
        schedule: Schedule,
        stage: &mut Stage,
    ) -> (Result<DispatchEnd, Cut>, Vec<Person>) {
        let (sender, commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        signals::hear(sender.clone());
        let mut waits = Waits::new(commands, &target);
        let connected = match self.connect(target, &mut waits).await {
            Ok(connected) => connected,
            Err(cut) => return (Err(cut), self.left_exposed().await),
        };
        let services = Arc::clone(&connected.services);
        let bridge = Bridge {
            gate: Gate::default(),
            commands: sender,
            services: Arc::clone(&services),
        };
        let gate = bridge.gate.clone();
        let live = Live::serve(self.journal, self.session, bridge).await;
        let end = match self.begin(&connected, &mut waits, stage).await {
            Ok(settings) => {
                let orders = Orders {
                    gate,
                    commands: waits.into_commands(),
                    schedule,
                };
                self.dispatch(&services, settings, orders).await
            }
            Err(cut) => Err(cut),
        };
        connected.close().await;
        live.stop().await;
        (end, services.gauges.exposed.list())
    }

    async fn connect(&self, target: Target, waits: &mut Waits) -> Result<Connected, Cut> {
        let header = self.session.header();
        let runs = self.journal.lock().await.runs().map_err(Failure::from)?;
        let mut reader = self.session.reader().await.map_err(Failure::from)?;
        let first = first_input(&runs, header);
        let cast = cast(self.global, first, header, &mut reader, self.job)?;
        let hitch = Hitch::new();
        let connecting = target.connect(self.session.header().id.0, self.job, cast, &hitch);
        Ok(waits.wait(|| hitch.words(), connecting).await??)
    }

    /// Whom an earlier process left exposed, where this one came to nothing before it could ask.
    async fn left_exposed(&self) -> Vec<Person> {
        let exposed = exposed::Exposed::default();
        if let Err(error) = self.take_in(&exposed).await {
            tracing::warn!("who is exposed cannot be read from the journal: {error}");
        }
        exposed.list()
    }

    async fn take_in(&self, exposed: &exposed::Exposed) -> Result<(), JournalError> {
        let mapping = &self.session.header().input.mapping;
        exposed.take_in(&mut self.session.reader().await?, mapping, &self.job.layout)
    }

    /// The checks before the run, the header, and the consent of whoever has to give it; a new run exists from then on.
    async fn begin(
        &self,
        connected: &Connected,
        waits: &mut Waits,
        stage: &mut Stage,
    ) -> Result<Settings, Cut> {
        let services = &connected.services;
        self.take_in(&services.gauges.exposed)
            .await
            .map_err(Failure::from)?;
        if matches!(stage, Stage::Begun) {
            self.opened().await?;
        }
        let params = &self.session.header().params;
        let preparing = prepare(self.job, params, services);
        let ready = waits.wait(|| trouble_of(services), preparing).await?;
        let ready = ready.map_err(|RunAbort(problem)| {
            Cut::Stopped(StopReason::Target(format!("{problem}; {}", problem.advice)))
        })?;
        let somebody_is_half_way =
            has_written(&self.session.reader().await.map_err(Failure::from)?);
        must_be_fit(&ready, somebody_is_half_way)?;
        self.show_header(connected, &ready, stage);
        if let Stage::New(_, Consent::OfPerson) = stage {
            waits.ask().await?;
        }
        match std::mem::replace(stage, Stage::Begun) {
            Stage::New(copied, _) => {
                let begun = self.session.begin(copied, SystemClock.now()).await;
                begun.map_err(Failure::from)?;
                self.opened().await?;
            }
            Stage::Retry(retried) => {
                self.reopen(&retried).await.map_err(Cut::Journal)?;
                self.opened().await?;
            }
            Stage::Begun => {}
        }
        let none = || Failure::program("there are no lookups");
        Ok(ready.settings.ok_or_else(none)?)
    }

    async fn reopen(&self, retried: &Retried) -> Result<(), JournalError> {
        let rows = reopen(self.session, retried, &operator(), &SystemClock).await?;
        let again = counted(rows, "row begins", "rows begin");
        say(format_args!("{again} again"));
        Ok(())
    }

    async fn opened(&self) -> Result<(), Cut> {
        let opened = self.session.opened(SystemClock.now()).await;
        opened.map_err(Cut::Journal)
    }

    fn show_header(&self, connected: &Connected, ready: &Ready, stage: &Stage) {
        let run = self.session.run();
        let rows = match stage {
            Stage::New(copied, _) => copied.rows(),
            Stage::Begun | Stage::Retry(_) => run.rows,
        };
        let header = Header {
            journal: &self.global.journal,
            job: self.job,
            connected,
            ready,
            run: run.id(),
            rows,
            ended: run.counts.total(),
            report: self.report,
        };
        header.show(matches!(stage, Stage::New(_, Consent::OfPerson)));
    }

    async fn dispatch(
        &self,
        services: &Arc<Services>,
        settings: Settings,
        orders: Orders,
    ) -> Result<DispatchEnd, Cut> {
        // The reader first: it waits until the checkpoint, and so what is known of the run, is up to the log.
        let reader = self.session.reader().await.map_err(Failure::from)?;
        let run = self.session.run();
        let admission = Admission::new(reader, &run, &self.job.layout).map_err(Failure::from)?;
        let work = Arc::new(Work {
            services: Arc::clone(services),
            job: Arc::clone(self.job),
            settings,
            session: Arc::clone(self.session),
            claims: Claims::new(self.session),
            exposure_gate: Arc::default(),
            gate: orders.gate,
        });
        let policy = Policy {
            max_failed: self.args.max_failed,
            max_stranded: self.args.max_stranded,
        };
        let dispatcher = Dispatcher::new(
            work,
            admission,
            &run,
            self.args.concurrency.map(|rows| rows as usize),
            policy,
            orders.schedule,
            vec![progress::consumer(self.args.progress)],
        );
        Ok(dispatcher.run(orders.commands).await)
    }
}

/// Who plays in the simulated tenant: the people of the run's rows.
pub(super) fn cast(
    global: &Global,
    input: &Digest,
    header: &RunHeader,
    reader: &mut RunReader,
    job: &Job,
) -> Result<Cast, Failure> {
    if header.target_spec != "sim" {
        return Ok(Cast {
            people: Vec::new(),
            state: None,
        });
    }
    let mut people = Vec::new();
    reader.each::<JournalError>(|input, _| {
        let values = canonical(&header.input.mapping, &job.layout, input);
        people.extend(person(&job.layout, &values));
        Ok(())
    })?;
    Ok(Cast {
        people,
        state: Some(super::sim::state_dir(global, input)),
    })
}

/// The file that the simulated tenant was made from: that of the first run, where people were taken over from one to the next.
pub(super) fn first_input<'r>(runs: &'r [RunRecord], header: &'r RunHeader) -> &'r Digest {
    let mut header = header;
    while let Some(from) = header.adopts
        && let Some(run) = runs.iter().find(|run| run.id() == from)
    {
        header = &run.header;
    }
    &header.input.digest
}

/// What tells the dispatcher when rows may begin, and where it shows that.
struct Orders {
    gate: Gate,
    commands: mpsc::Receiver<Asked>,
    schedule: Schedule,
}

/// Nothing must speak against the run, unless somebody is half way: those people are brought to their end with whatever the app
/// may still do.
fn must_be_fit(ready: &Ready, somebody_is_half_way: bool) -> Result<(), Failure> {
    tell_notes(ready.warnings().chain(ready.unknown()));
    let bad: Vec<&Check> = ready.bad().collect();
    match &ready.settings {
        Some(_) if somebody_is_half_way => bad.iter().for_each(|check| {
            warn(format_args!(
                "{}: {}; {}",
                check.name, check.detail, check.advice
            ));
        }),
        Some(_) if bad.is_empty() => {}
        Some(_) | None => return Err(preflight_failure(&bad)),
    }
    Ok(())
}

/// Whether somebody was changed who is not at an end yet.
fn has_written(reader: &RunReader) -> bool {
    let mut active = reader.active().into_iter();
    active.any(|(_, record)| record.has_begun_writing())
}

/// What somebody should know before it begins.
pub(super) fn tell_notes<'c>(checks: impl Iterator<Item = &'c Check>) {
    for check in checks {
        warn(format_args!("{}: {}", check.name, check.detail));
    }
}

/// What stands in the way of a run or a plan, all of it.
pub(super) fn preflight_failure(bad: &[&Check]) -> Failure {
    let lines = bad
        .iter()
        .map(|check| format!("{}: {}\n    {}", check.name, check.detail, check.advice));
    let lines: Vec<String> = lines.collect();
    Failure::usage(
        format!("the run cannot begin\n{}", lines.join("\n")),
        "`cutover doctor` shows every check; nothing was changed",
    )
    .coded(&errors::PREFLIGHT)
}

/// The session, once nobody else uses it.
async fn released(session: Arc<Session>) -> Result<Session, Failure> {
    let mut shared = session;
    for _ in 0..SESSION_RELEASE_POLLS_MAX {
        match Arc::try_unwrap(shared) {
            Ok(session) => return Ok(session),
            Err(still) => shared = still,
        }
        tokio::time::sleep(SESSION_RELEASE_POLL).await;
    }
    Err(Failure::program(
        "somebody still uses the journal's session",
    ))
}

/// Says how a run ended that this process worked on: first what went wrong with the journal, where something did, then as
/// much as can still be read and written. Answers who is left exposed, where the journal is to be trusted about that.
fn tell_end(
    global: &Global,
    args: &WorkArgs,
    mut closed: Closed,
    fault: Option<JournalError>,
    dir: &Path,
    target_spec: &str,
) -> (Exit, Option<Exposed>) {
    let run = closed.run.clone();
    let fault = fault.or(closed.fault.take());
    let is_whole = fault.is_none();
    let mut exit = Exit::of_run(&run);
    if let Some(error) = fault {
        exit = exit.or_worse(Failure::from(error).tell());
        last_words::put_back(&closed, &global.journal);
    }
    let told = closed
        .reader()
        .map_err(Failure::from)
        .and_then(|mut reader| tell(global, args, &run, &mut reader, dir, target_spec));
    match told {
        Ok(exposed) => (exit, Some(exposed).filter(|_| is_whole)),
        Err(failure) => {
            let exit = exit.or_worse(failure.tell());
            say_end(args, resume_line(global, &run, target_spec));
            (exit, None)
        }
    }
}

/// Writes the report of a run that nobody worked on now and says how it stands.
pub(super) fn finish(
    global: &Global,
    args: &WorkArgs,
    journal: &Journal,
    run: &RunRecord,
    target_spec: &str,
) -> Result<Exit, Failure> {
    let dir = report_dir(args.report.as_ref(), &run.id().to_string());
    name_run(run.id());
    let mut reader = journal.reader(run)?;
    let exposed = tell(global, args, run, &mut reader, &dir, target_spec)?;
    mention_others(journal, run.id(), &global.journal);
    Ok(Exit::of_run(run).if_exposed(!exposed.keys.is_empty()))
}

/// Writes the report and says how the run stands; the second also where the first cannot be done. Answers who is left exposed.
fn tell(
    global: &Global,
    args: &WorkArgs,
    run: &RunRecord,
    reader: &mut RunReader,
    dir: &Path,
    target_spec: &str,
) -> Result<Exposed, Failure> {
    let (paths, summary) = match report::write(run, reader, dir, &Liveness::Nobody) {
        Ok(written) => written,
        Err(error) => {
            let summary = report::summarize(run, reader, &Liveness::Nobody)?;
            tell_numbers(global, args, run, &summary, None)?;
            return Err(error.into());
        }
    };
    tell_numbers(global, args, run, &summary, Some(&paths))?;
    if let Some(next) = next_command(global, run, target_spec, &paths) {
        say_end(args, next);
    }
    let half_way = summary.exposed.iter().filter(|person| !person.stranded);
    Ok(Exposed {
        keys: half_way.map(|person| person.key.clone()).collect(),
        listed: Ok(paths.exposed),
    })
}

/// The run in numbers, as it was asked for.
fn tell_numbers(
    global: &Global,
    args: &WorkArgs,
    run: &RunRecord,
    summary: &report::Summary,
    paths: Option<&report::ReportPaths>,
) -> Result<(), Failure> {
    progress::note_end(last_event(summary, paths)?);
    if args.json {
        return print_json(summary);
    }
    say_result(in_words(global, run, summary)?);
    warn_of_end(run, paths);
    if let Some(paths) = paths {
        say_result(format_args!("report    {}", paths.outcomes.display()));
    }
    Ok(())
}

/// What is left of the numbers when it is to be quiet: what somebody has to look at.
fn warn_of_end(run: &RunRecord, paths: Option<&report::ReportPaths>) {
    let id = run.id();
    if let RunState::Stopped(Stop::Requested(why) | Stop::Fault(why)) = &run.state {
        warn_if_quiet(format_args!("run {id} stopped: {why}"));
    }
    let good = run.outcome_count(Outcome::Done) + run.outcome_count(Outcome::Unchanged);
    if let Some(paths) = paths
        && good < run.rows
    {
        let left = counted(run.rows - good, "row is", "rows are");
        let file = paths.outcomes.display();
        warn_if_quiet(format_args!(
            "run {id}: {left} neither done nor unchanged: {file}"
        ));
    }
}

/// Standard output is the JSON's alone.
fn say_end(args: &WorkArgs, text: String) {
    if args.json {
        say(text);
    } else {
        say_result(text);
    }
}

/// What the last JSON line tells of the run.
fn last_event(
    summary: &report::Summary,
    paths: Option<&report::ReportPaths>,
) -> Result<Map<String, Value>, Failure> {
    let all = to_value(summary)?;
    let told = ["state", "rows", "outcomes", "exposed"];
    let mut facts: Map<String, Value> = told
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), all.get(name)?.clone())))
        .collect();
    if let Some(paths) = paths {
        let path = |path: &Path| path.display().to_string();
        let files = json!({
            "outcomes": path(&paths.outcomes),
            "unfinished": path(&paths.unfinished),
            "summary": path(&paths.summary),
        });
        facts.insert("report".into(), files);
    }
    Ok(facts)
}

/// A summary for a tired person.
fn in_words(
    global: &Global,
    run: &RunRecord,
    summary: &report::Summary,
) -> Result<String, Failure> {
    let value = to_value(summary)?;
    let mut lines = vec![String::new()];
    lines.extend(exposed_in_words(&value, &global.journal));
    lines.push(format!("run       {} ({})", run.id(), summary.state));
    if let RunState::Stopped(Stop::Requested(why) | Stop::Fault(why)) = &run.state {
        lines.push(format!("stopped   {why}"));
    }
    lines.push(format!("rows      {}", summary.rows));
    for outcome in Outcome::ALL {
        let count = run.outcome_count(outcome);
        if count > 0 {
            lines.push(format!(
                "  {:<9} {count:>7}  {}",
                outcome.word(),
                meaning(outcome)
            ));
        }
    }
    lines.push(format!(
        "writes    {} at {:.1} of {:.1} a second; {} reads; {} times throttled",
        summary.writes, summary.rate.mean, summary.rate.budget, summary.reads, summary.throttled
    ));
    if summary.exposed_ms.max > 0 {
        lines.push(format!(
            "exposed   half of the people at most {:.1} s, the longest {:.1} s",
            summary.exposed_ms.p50 as f64 / 1_000.0,
            summary.exposed_ms.max as f64 / 1_000.0
        ));
    }
    lines.extend(warned_in_words(&value));
    let chain = &summary.journal;
    lines.push(format!(
        "journal   {} records, head {}",
        chain.records, chain.head
    ));
    Ok(lines.join("\n"))
}

fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "at their goal, verified",
        Outcome::Unchanged => "were at their goal already",
        Outcome::Refused => "untouched, something speaks against them",
        Outcome::Failed => "as before, the first write was refused",
        Outcome::Reverted => "as before, undone after something failed",
        Outcome::Held => "in doubt: find out by hand",
        Outcome::Stranded => "CHANGED AND NOT PUT BACK: help them now",
        Outcome::Pending => "not begun, or not ended yet",
    }
}

/// The exact command that goes on from here, where something is left to do.
fn next_command(
    global: &Global,
    run: &RunRecord,
    target_spec: &str,
    paths: &report::ReportPaths,
) -> Option<String> {
    if !run.is_complete() {
        return Some(resume_line(global, run, target_spec));
    }
    let journal = quoted(&global.journal.display().to_string());
    let target = quoted(target_spec);
    let good = run.outcome_count(Outcome::Done) + run.outcome_count(Outcome::Unchanged);
    (good < run.rows).then(|| {
        let file = quoted(&paths.unfinished.display().to_string());
        let job = &run.header.job;
        format!(
            "mend the rows in {file}, then: cutover run {job} {file} --target {target} --journal {journal}"
        )
    })
}

fn resume_line(global: &Global, run: &RunRecord, target_spec: &str) -> String {
    let command = resume_command(&run.id().to_string(), target_spec, &global.journal);
    format!("go on with: {command}")
}

/// As a shell takes it.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@+=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
