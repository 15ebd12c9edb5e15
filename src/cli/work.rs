//! Working on a run until it ends or has to stop: what `run` and `resume` share.

use super::args::{Global, WorkArgs};
use super::connect::{Cast, Connected, Target, person};
use super::context::{print_json, report_dir};
use super::errors;
use super::exit::{Exit, Failure};
use super::half_way::{exposed_in_words, mention_others, resume_command, warned_in_words};
use super::last_words::{self, Exposed};
use super::live::{Bridge, Live};
use super::status::to_value;
use crate::batch::Digest;
use crate::job::{Job, Settings};
use crate::journal::{
    Closed, InputRow, Journal, JournalError, RunHeader, RunReader, RunRecord, RunState, Session,
    Stop,
};
use crate::machine::Outcome;
use crate::progress::{self, counted, name_run, say, say_result, warn, warn_if_quiet};
use crate::report::{self, Liveness};
use crate::runner::admission::{Admission, canonical};
use crate::runner::exposed::Person;
use crate::runner::preflight::{Check, Ready, prepare};
use crate::runner::stop::Gate;
use crate::runner::talk::Halt;
use crate::runner::worker::Work;
use crate::runner::{
    Asked, Clock, Command, DispatchEnd, Dispatcher, Policy, Schedule, StopReason, SystemClock,
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

/// Works on an open session until it ends, writes the report and says how it went. Where it cannot even begin, whoever an
/// earlier process left exposed still is.
pub(super) async fn work(
    global: &Global,
    args: &WorkArgs,
    schedule: Schedule,
    journal: Journal,
    session: Session,
    job: Arc<Job>,
    target: Target,
) -> Result<Exit, Failure> {
    let run = session.header().id;
    mention_others(&journal, run, &global.journal);
    let left = left_exposed(&session)?;
    let dir = report_dir(args.report.as_ref(), &run.to_string());
    let worked = work_on(global, args, schedule, journal, session, job, target).await;
    worked.map_err(|failure| {
        let left = Exposed::remembered(&left, run, &dir);
        left.name();
        failure.if_exposed(!left.keys.is_empty())
    })
}

/// Whom an earlier process left exposed.
fn left_exposed(session: &Session) -> Result<Vec<Person>, JournalError> {
    let header = session.header();
    let half_way = session.reader()?.half_way()?.into_iter();
    let exposed = half_way.filter(|(_, record)| record.exposure(&header.rules).is_some());
    let person = |input: InputRow| Person {
        row: input.number,
        key: input
            .cells
            .get(header.input.key_cell)
            .cloned()
            .unwrap_or_default(),
    };
    Ok(exposed.map(|(input, _)| person(input)).collect())
}

async fn work_on(
    global: &Global,
    args: &WorkArgs,
    schedule: Schedule,
    journal: Journal,
    session: Session,
    job: Arc<Job>,
    target: Target,
) -> Result<Exit, Failure> {
    let (sender, mut commands) = mpsc::channel(COMMANDS_WAITING_MAX);
    hear_signals(sender.clone());
    let target_spec = target.spec();
    let cast = cast(global, &journal, &session, &job)?;
    let connecting = target.connect(session.header().id.0, &job, cast);
    let connected = tokio::select! {
        connected = connecting => connected?,
        // A person who has to sign in may be waited for for a quarter of an hour.
        Some(_) = commands.recv() => return Err(stopped_before_signing_in()),
    };
    let (services, run) = (Arc::clone(&connected.services), session.header().id);
    name_run(run);
    let session = Arc::new(session);
    let bridge = Bridge {
        gate: Gate::default(),
        commands: sender,
        services: Arc::clone(&connected.services),
    };
    let orders = Orders {
        gate: bridge.gate.clone(),
        commands,
        schedule,
    };
    let journal = Arc::new(tokio::sync::Mutex::new(journal));
    let live = Live::serve(&journal, &session, bridge).await;
    let end = dispatch(args, &session, &job, &connected, orders).await;
    connected.close().await;
    live.stop().await;
    let end = end?;
    let stop = end
        .stopped
        .as_ref()
        .map_or(Stop::Finished, StopReason::stop);
    let closed = close(session, stop).await?;
    let dir = report_dir(args.report.as_ref(), &closed.run.id().to_string());
    let (exit, exposed) = tell_end(global, args, closed, end.journal, &dir, &target_spec);
    let exposed = exposed.unwrap_or_else(|| {
        let remembered = services.gauges.exposed.list();
        Exposed::remembered(&remembered, run, &dir)
    });
    exposed.name();
    last_words::advise(end.stopped.as_ref(), &global.journal);
    mention_others(&*journal.lock().await, run, &global.journal);
    Ok(exit.if_exposed(!exposed.keys.is_empty()))
}

fn stopped_before_signing_in() -> Failure {
    Failure::said(
        Exit::Requested,
        "stopped before anybody was signed in",
        "nothing was sent; `cutover resume` goes on",
    )
}

/// Who plays in the simulated tenant: the people of the run's rows.
fn cast(global: &Global, journal: &Journal, session: &Session, job: &Job) -> Result<Cast, Failure> {
    let header = session.header();
    if header.target_spec != "sim" {
        return Ok(Cast {
            people: Vec::new(),
            state: None,
        });
    }
    let mut people = Vec::new();
    session
        .reader()?
        .each::<crate::journal::JournalError>(|input, _| {
            let values = canonical(&header.input.mapping, &job.layout, input);
            people.extend(person(&job.layout, &values));
            Ok(())
        })?;
    Ok(Cast {
        people,
        state: Some(super::sim::state_dir(
            global,
            &first_input(journal, header)?,
        )),
    })
}

/// The file that the simulated tenant was made from: that of the first run, where people were taken over from one to the next.
fn first_input(journal: &Journal, header: &RunHeader) -> Result<Digest, JournalError> {
    let runs = journal.runs()?;
    let mut header = header;
    while let Some(from) = header.adopts
        && let Some(run) = runs.iter().find(|run| run.id() == from)
    {
        header = &run.header;
    }
    Ok(header.input.digest.clone())
}

/// What tells the dispatcher when rows may begin, and where it shows that.
struct Orders {
    gate: Gate,
    commands: mpsc::Receiver<Asked>,
    schedule: Schedule,
}

async fn dispatch(
    args: &WorkArgs,
    session: &Arc<Session>,
    job: &Arc<Job>,
    connected: &Connected,
    orders: Orders,
) -> Result<DispatchEnd, Failure> {
    let mut reader = session.reader()?;
    let mapping = &session.header().input.mapping;
    let exposed = &connected.services.gauges.exposed;
    exposed.take_in(&mut reader, mapping, &job.layout)?;
    if let Err(error) = session.opened(SystemClock.now()).await {
        return Ok(DispatchEnd {
            stopped: Some(StopReason::Journal(error.to_string())),
            journal: Some(error),
        });
    }
    let ready = match ready(session, job, connected).await {
        Ok(ready) => ready,
        Err(text) => {
            return Ok(DispatchEnd {
                stopped: Some(StopReason::Target(text)),
                journal: None,
            });
        }
    };
    let somebody_is_half_way = has_written(&reader)?;
    let settings = begin_with(ready, somebody_is_half_way)?;
    let run = session.run();
    let admission = Admission::new(reader, &run, &job.layout)?;
    let work = Arc::new(Work {
        services: Arc::clone(&connected.services),
        job: Arc::clone(job),
        settings,
        session: Arc::clone(session),
        gate: orders.gate,
    });
    let policy = Policy {
        max_failed: args.max_failed,
        max_stranded: args.max_stranded,
    };
    let consumers = progress::consumer(args.progress).into_iter().collect();
    let concurrency = args.concurrency.map(|rows| rows as usize);
    let dispatcher = Dispatcher::new(
        work,
        admission,
        &run,
        concurrency,
        policy,
        orders.schedule,
        consumers,
    );
    Ok(dispatcher.run(orders.commands).await)
}

/// The preflight, within the target's patience.
async fn ready(session: &Session, job: &Job, connected: &Connected) -> Result<Ready, String> {
    let services = &connected.services;
    let preparing = prepare(job, &session.header().params, &connected.tenant, services);
    match tokio::time::timeout(services.patience, preparing).await {
        Ok(Ok(ready)) => Ok(ready),
        Ok(Err(Halt(problem))) => Err(format!("{problem}; {}", problem.advice)),
        Err(_) => Err(format!(
            "the target did not answer for {} s",
            services.patience.as_secs()
        )),
    }
}

/// What the rows are worked on with. Nothing must speak against the run, unless somebody is half way: those people are brought
/// to their end with whatever the app may still do.
fn begin_with(ready: Ready, somebody_is_half_way: bool) -> Result<Settings, Failure> {
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
    ready
        .settings
        .ok_or_else(|| Failure::program("there are no lookups"))
}

/// Whether somebody was changed who is not at an end yet.
fn has_written(reader: &RunReader) -> Result<bool, JournalError> {
    for row in reader.active()? {
        let record = reader.row(row)?;
        if record.is_some_and(|record| record.has_begun_writing()) {
            return Ok(true);
        }
    }
    Ok(false)
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

async fn close(session: Arc<Session>, stop: Stop) -> Result<Closed, Failure> {
    let mut shared = session;
    for _ in 0..SESSION_RELEASE_POLLS_MAX {
        match Arc::try_unwrap(shared) {
            Ok(session) => return Ok(session.close(SystemClock.now(), stop)),
            Err(still) => shared = still,
        }
        tokio::time::sleep(SESSION_RELEASE_POLL).await;
    }
    Err(Failure::program(
        "somebody still uses the journal's session",
    ))
}

/// The first signal drains, the second stops at once. Both are heard from the beginning, so that none is lost in between.
fn hear_signals(sender: mpsc::Sender<Asked>) {
    match Signals::listen() {
        Ok(signals) => drop(tokio::spawn(pass_on(signals, sender))),
        Err(error) => {
            tracing::warn!("signals are not heard; the run ends at once when told to: {error}")
        }
    }
}

async fn pass_on(mut signals: Signals, sender: mpsc::Sender<Asked>) {
    let first = signals.next().await;
    // A run that has ended takes no more commands.
    let drain = Command::Drain(format!("{first} received"));
    let _ended = sender.send(drain.into()).await;
    let second = signals.next().await;
    let stop = Command::StopNow(format!("{second} received twice"));
    let _ended = sender.send(stop.into()).await;
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
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
        listed: paths
            .exposed
            .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
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
