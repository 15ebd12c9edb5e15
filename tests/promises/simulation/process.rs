//! One schedule, from the first process to the end of the run.

mod again;
mod watch;

use self::watch::{Watch, Watcher};
use super::disk::{SimDisk, SimStore};
use super::oracle::{self, Ledger, Told, Urgent, is_of_the_disk, over_both};
use super::schedule::{Crash, Manner, Order, Schedule, Stress};
use super::service::Line;
use super::world::{SimClock, World, guid};
use crate::doubles::{Inline, MemoryStore};
use cutover::batch::Input;
use cutover::job::Job;
use cutover::journal::{Journal, JournalError, RunId, RunRecord, Stop, takers};
use cutover::machine::Outcome;
use cutover::runner::admission::{Admission, Selection};
use cutover::runner::claims::Claims;
use cutover::runner::client::ServiceClient;
use cutover::runner::half_way::{HalfWayError, left_behind, take_over};
use cutover::runner::lookups::look_up;
use cutover::runner::reopen::{Retried, reopen};
use cutover::runner::start::{Before, BeginError, Order as RunOrder, copy, look_back};
use cutover::runner::stop::AdmissionGate;
use cutover::runner::worker::Work;
use cutover::runner::{
    Clock as _, Command, DispatchEnd, Dispatcher, Gauges, MaxFailed, Policy, Schedule as Hours, Services, StopKind,
    StopReason,
};
use cutover::services::budget::Quota;
use cutover::services::{Graph, GraphLimits, Patience, Registry};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// Processes that a run may need beyond those of its schedule.
const PROCESSES_MORE: usize = 12;
/// How long it takes whoever reads why a process could not begin to start the next one, in milliseconds.
const COMES_AGAIN_MS: u64 = 30_000;
/// So many requests in vain, one after the other, and the service is down.
const REQUESTS_IN_VAIN: usize = 5;
/// A process that works longer than this hangs.
const PROCESS_MAX: Duration = Duration::from_secs(6 * 60 * 60);
const PERIOD: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// What a schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub complaints: Vec<String>,
    pub told: Told,
    /// Rows that ended otherwise when they were tried again, and rows that were found to drift.
    pub retried: usize,
    pub drifted: usize,
    pub processes: usize,
    pub requests: usize,
    pub trace: Vec<String>,
}

/// How a process ended.
enum End {
    Died,
    Stopped(Option<StopReason>),
    Finished,
    /// The disk did not let it begin.
    Refused,
    /// What the job must look up before the first row was refused or not answered.
    NotTold,
}

fn job() -> Arc<Job> {
    static JOB: OnceLock<Arc<Job>> = OnceLock::new();
    Arc::clone(JOB.get_or_init(|| Arc::new(cutover::job::find("immutable-id").unwrap())))
}

/// Everything that outlives processes.
struct Stage {
    world: Arc<World>,
    disk: Arc<SimDisk>,
    store: SimStore,
    ledger: Arc<Mutex<Ledger>>,
    job: Arc<Job>,
    input: Input,
    watch: Arc<Mutex<Watch>>,
    /// Rows that ended short of their goal are to begin again, and have not yet.
    retry_due: Cell<bool>,
    /// Those who are told not to be there.
    unfound: Vec<usize>,
    complaints: Vec<String>,
}

/// Runs a schedule to its end and finds everything that is wrong with it.
pub fn play(schedule: &Schedule, traced: bool) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(schedule, traced, folder.path());
    let mut processes = 0;
    let mut finished = false;
    let patience = schedule.processes.len() + PROCESSES_MORE;
    while !finished && processes < patience {
        let stress = schedule.processes.get(processes).cloned().unwrap_or_default();
        finished = stage.process(processes, &stress);
        processes += 1;
    }
    if !finished {
        stage.complain(format!("the run has not finished after {processes} processes"));
    }
    stage.world.settle_all();
    let mut told = stage.told();
    let (mut retried, mut drifted) = (0, 0);
    if finished {
        stage.judge_rows(&told);
        let surprise = oracle::not_as_expected(&stage.world, &told);
        stage.complaints.extend(surprise);
        if let Some(stress) = &schedule.retry {
            processes += stage.retry(processes, stress);
            let again = stage.told();
            for (row, outcome) in &mut told {
                let first = *outcome;
                *outcome = again.get(row).map_or(Outcome::Pending, |again| over_both(first, *again));
                retried += usize::from(*outcome != first);
            }
            stage.judge_rows(&told);
        }
        if let Some(verify) = &schedule.verify {
            drifted = stage.verify(processes, verify, &told);
        }
    }
    stage.judge_run(finished);
    Verdict {
        complaints: stage.complaints,
        told,
        retried,
        drifted,
        processes,
        requests: stage.world.seen().len(),
        trace: stage.world.trace(),
    }
}

impl Stage {
    fn new(schedule: &Schedule, traced: bool, folder: &Path) -> Stage {
        let world = Arc::new(World::new(schedule.clone(), traced));
        let disk = SimDisk::new(&world);
        let job = job();
        let csv = folder.join("people.csv");
        let lines = schedule.people.iter().enumerate().map(|(at, upn)| {
            let line = schedule.company.map(|company| &company.lines[at]);
            let being = line.and_then(|line| line.object_id);
            let object_id = being.map_or("", |being| &world.settled[being]);
            format!("{upn},{},{object_id}\n", guid(schedule.anchor(at)))
        });
        let header = "upn,object_guid,object_id\n";
        std::fs::write(&csv, format!("{header}{}", lines.collect::<String>())).unwrap();
        Stage {
            input: cutover::batch::open(&csv, &job.layout).unwrap(),
            ledger: Arc::new(Mutex::new(Ledger::new(Arc::clone(&disk)))),
            store: SimStore { memory: MemoryStore::default(), world: Arc::clone(&world) },
            world,
            disk,
            job,
            watch: Arc::default(),
            retry_due: Cell::new(false),
            unfound: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// One process; whether the run has finished.
    fn process(&mut self, number: usize, stress: &Stress) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let seen_before = self.world.seen().len();
        let urgent = self.urgent();
        let end = runtime.block_on(async {
            self.world.begin(number, stress.clone());
            let began_at = self.world.now_ms();
            let end = tokio::select! {
                biased;
                () = self.world.died.notified() => Ok(End::Died),
                end = tokio::time::timeout(PROCESS_MAX, self.work(number, stress, began_at)) => match end {
                    Ok(end) => end,
                    Err(_) => Err("a process hangs".to_owned()),
                },
            };
            // What a dead process still says, nobody hears.
            let end = if self.world.is_dead() { Ok(End::Died) } else { end };
            let pause_ms = stress.pause_ms.max(self.pause_ms(number, &end));
            self.world.end(pause_ms);
            end
        });
        drop(runtime);
        if let Some(crash) = stress.crash.filter(|_| matches!(end, Ok(End::Died))) {
            self.crash(&crash);
        }
        self.complaints.extend(oracle::exposed_came_last(&self.world, seen_before, &urgent));
        self.complaints.extend(oracle::checkpoint_differs(&self.disk, &self.store));
        match end {
            Ok(End::Finished) => return true,
            Ok(End::Died | End::Refused | End::NotTold) => {}
            Ok(End::Stopped(reason)) => self.stopped(stress, reason.as_ref()),
            Err(complaint) => self.complain(complaint),
        }
        false
    }

    fn journal(&self, barrier: Duration) -> Result<Journal, JournalError> {
        Journal::assemble(
            Path::new("simulated"),
            Arc::clone(&self.disk) as _,
            Arc::new(self.store.clone()),
            Arc::new(Inline { barrier }),
        )
    }

    /// How long nobody works at least after a process that ended so.
    fn pause_ms(&self, number: usize, end: &Result<End, String>) -> u64 {
        let schedule = &self.world.schedule;
        if schedule.takes_over == Some(number + 1) {
            // Whom another run has changed a new one knows from the replicas alone.
            return schedule.replication_ms;
        }
        match end {
            Ok(End::NotTold) => COMES_AGAIN_MS,
            Ok(End::Died | End::Stopped(_) | End::Finished | End::Refused) | Err(_) => 0,
        }
    }

    fn crash(&self, crash: &Crash) {
        let (seed, cut) = match crash.manner {
            Manner::Kill => (crash.edge, false),
            Manner::PowerCut(seed) => (seed, true),
        };
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        if cut {
            self.disk.cut_power(&mut dice);
        }
        if cut && dice.random_bool(0.2) {
            self.store.memory.lose();
        } else {
            let unflushed = self.store.memory.unflushed();
            self.store.memory.throw_back(dice.random_range(0..=unflushed));
        }
    }

    /// Promise 5, first half: a graceful stop leaves nobody exposed.
    fn stopped(&mut self, stress: &Stress, reason: Option<&StopReason>) {
        let graceful = reason.is_some_and(|reason| matches!(reason.kind, StopKind::Requested | StopKind::DiskFull))
            && stress.orders.iter().all(|(_, order)| *order != Order::StopNow);
        // Nobody can be helped while the service is down.
        let last = self.world.seen().into_iter().rev().take(REQUESTS_IN_VAIN);
        let is_down = last.filter(|seen| seen.fault.is_some()).count() == REQUESTS_IN_VAIN;
        if graceful && !is_down {
            let exposed = self.watch.lock().unwrap().exposed(&self.world);
            self.complaints.extend(exposed.map(|who| format!("{who} after a graceful stop")));
        }
    }

    /// Who has to go first in the process that begins now.
    fn urgent(&mut self) -> Urgent {
        let urgent = self.ledger.lock().unwrap().urgent(&self.world);
        urgent.unwrap_or_else(|error| {
            self.complain(format!("the safe part of the log: {error}"));
            Urgent::default()
        })
    }

    async fn work(&self, number: usize, stress: &Stress, began_at: u64) -> Result<End, String> {
        match self.try_work(number, stress, began_at).await {
            Ok(end) => Ok(end),
            Err(error) if is_of_the_disk(&error) => Ok(End::Refused),
            Err(error) => Err(format!("the journal refuses: {error}")),
        }
    }

    async fn try_work(&self, number: usize, stress: &Stress, began_at: u64) -> Result<End, JournalError> {
        let schedule = &self.world.schedule;
        let barrier = Duration::from_millis(schedule.barrier_ms);
        let clock = Arc::new(SimClock(Arc::clone(&self.world)));
        let journal = self.journal(barrier)?;
        let mut order = self.order(number);
        order.adopts = self.left_behind(&journal, number)?;
        let session = match look_back(&journal, &order)? {
            Before::New => {
                let adoptions = match take_over(&journal, &order, clock.now()) {
                    Ok(adoptions) => adoptions,
                    Err(HalfWayError::Journal(error)) => return Err(error),
                    Err(error) => panic!("{error}"),
                };
                match copy(&journal, &order, None, adoptions, &*clock, &mut |_| ()) {
                    Ok((import, _)) => import.finish(clock.now()).await?,
                    Err(BeginError::Journal(error)) => return Err(error),
                    Err(BeginError::Input(error)) => panic!("{error}"),
                    Err(BeginError::Plan(error)) => panic!("{error}"),
                }
            }
            Before::Unfinished(run) => journal.resume(&run)?,
            Before::Finished(run) if self.retry_due.get() => journal.resume(&run)?,
            Before::Finished(_) => return Ok(End::Finished),
            Before::Different(_, differences) => panic!("{differences:?}"),
        };
        self.ledger.lock().unwrap().follow(session.header().id);
        session.opened(clock.now()).await?;
        let services = Arc::new(self.services(&clock, session.header().id, began_at));
        let mut client = ServiceClient::new(&services, "lookups".into());
        let looking = look_up(&self.job, &session.header().params, &mut client);
        let settings = match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(settings)) => settings,
            Ok(Err(_)) | Err(_) => return Ok(End::NotTold),
        };
        if self.retry_due.get() {
            reopen(&session, &Retried::All, "nobody", &*clock).await?;
            self.retry_due.set(false);
        }
        let run = {
            let reader = session.reader().await?;
            let run = session.run();
            let admission = Admission::new(reader, &run, &self.job.layout, Selection::Unfinished);
            let session = Arc::new(session);
            let work = Arc::new(Work {
                services,
                job: Arc::clone(&self.job),
                settings,
                session: Arc::clone(&session),
                claims: Claims::new(&session),
                exposure_gate: Arc::default(),
                gate: AdmissionGate::default(),
            });
            let watcher = Watcher { world: Arc::clone(&self.world), watch: Arc::clone(&self.watch), looked: false };
            let end = dispatch(work, admission, &run, schedule, stress, watcher).await;
            self.world.note(|| format!("the process stops: {end:?}"));
            if let Some(error) = end.journal {
                return Err(error);
            }
            let stop = end.stopped.as_ref().map_or(Stop::Finished, StopReason::stop);
            let session = Arc::into_inner(session).expect("all workers have ended");
            (session.close(clock.now(), stop).await.whole()?, end.stopped)
        };
        Ok(match run {
            (run, None) if run.is_complete() => End::Finished,
            (_, stopped) => End::Stopped(stopped),
        })
    }

    /// The run to take people over from, where the schedule wants it and somebody is half way.
    fn left_behind(&self, journal: &Journal, number: usize) -> Result<Option<RunId>, JournalError> {
        if self.world.schedule.takes_over != Some(number) {
            return Ok(None);
        }
        let left = left_behind(journal, None)?;
        Ok(left.first().map(|behind| behind.run.id()))
    }

    fn order(&self, process: usize) -> RunOrder<'_> {
        let schedule = &self.world.schedule;
        let mut dice = ChaCha8Rng::seed_from_u64(schedule.seed + process as u64);
        let run = uuid::Builder::from_random_bytes(dice.random()).into_uuid();
        let given = [
            ("swap".to_owned(), schedule.swap.to_owned()),
            ("clear".to_owned(), schedule.clear.to_owned()),
            ("restore".to_owned(), schedule.restore.to_owned()),
            ("adopt".to_owned(), schedule.adopt.to_owned()),
        ];
        RunOrder {
            run: RunId(run),
            job: &self.job,
            params: self.job.parameters(&given).unwrap(),
            input: &self.input,
            target: "simulated".into(),
            target_spec: "sim".into(),
            write_quota: self.quota().to_string(),
            operator: "nobody".into(),
            plan: None,
            adopts: None,
        }
    }

    fn quota(&self) -> Quota {
        Quota::new(self.world.schedule.writes, PERIOD)
    }

    fn services(&self, clock: &Arc<SimClock>, run: RunId, began_at: u64) -> Services {
        Services {
            directory: None,
            registry: Registry::of(
                Arc::new(Graph::new(
                    Arc::new(Line::new(&self.world, &self.ledger)),
                    "contoso.test",
                    GraphLimits {
                        writes: self.quota(),
                        reads: Quota::new(3_500, PERIOD),
                        identity_protection: self.quota(),
                    },
                    Patience { silence: PATIENCE, sign_in: PATIENCE },
                )),
                Vec::new(),
            ),
            clock: Arc::clone(clock) as _,
            run: run.0,
            app: cutover::job::AppFacts::default(),
            process_at: began_at,
            gauges: Gauges::default(),
        }
    }

    /// What the program would report: every row once, and how it ended.
    fn told(&mut self) -> Told {
        self.world.look_on(true);
        let journal = self.journal(Duration::ZERO);
        let told = journal.and_then(|journal| self.read(&journal));
        self.world.look_on(false);
        match told {
            Ok(told) => told,
            Err(error) => {
                self.complain(format!("nothing can be reported: {error}"));
                Told::new()
            }
        }
    }

    fn read(&mut self, journal: &Journal) -> Result<Told, JournalError> {
        let mut told = Told::new();
        self.unfound.clear();
        let mut runs = journal.runs()?;
        let takers = takers(&runs);
        // Those whose people were taken over come first; run ids are of chance here.
        runs.sort_by_key(|run| !takers.contains_key(&run.id()));
        let Some(run) = runs.pop() else {
            return Ok(told);
        };
        if runs.iter().any(|run| !takers.contains_key(&run.id())) {
            self.complain("two runs may go on".to_owned());
        }
        let mut earlier = Told::new();
        if let Some(first) = runs.pop() {
            journal.reader(&first)?.each::<JournalError>(|input, record| {
                let ended = record.map(|record| record.outcome());
                earlier.extend(ended.map(|outcome| (input.number.0, outcome)));
                Ok(())
            })?;
        }
        let mut lines = 0;
        journal.reader(&run)?.each::<JournalError>(|input, record| {
            lines += 1;
            if record.is_some_and(oracle::is_told_not_to_be_there) {
                self.unfound.push(input.number.0 as usize - 1);
            }
            let outcome = record.map_or(Outcome::Pending, |record| record.outcome());
            told.insert(input.number.0, outcome);
            Ok(())
        })?;
        if lines != told.len() {
            self.complain(format!("{lines} lines for {} rows", told.len()));
        }
        let lines = |outcome| told.values().filter(|told| **told == outcome).count() as u64;
        let wrong = Outcome::ALL.into_iter().filter(|outcome| run.outcome_count(*outcome) != lines(*outcome));
        let wrong: Vec<_> = wrong.collect();
        if !wrong.is_empty() {
            self.complain(format!("the run does not count its {wrong:?} right"));
        }
        for (row, first) in earlier {
            told.entry(row).and_modify(|second| *second = over_both(first, *second));
        }
        Ok(told)
    }

    /// What a finished run says of its rows.
    fn judge_rows(&mut self, told: &Told) {
        let wrote = self.ledger.lock().unwrap().wrote().clone();
        self.complaints.extend(oracle::judge(&self.world, told, &wrote));
        self.complaints.extend(oracle::overlooked(&self.world, &self.unfound));
    }

    fn judge_run(&mut self, finished: bool) {
        if finished {
            self.complaints.extend(oracle::needless_writes(&self.world));
        }
        self.complaints.append(&mut self.watch.lock().unwrap().complaints);
        let quota = self.quota();
        let over = oracle::over_quota(&self.world, quota.count() as usize, PERIOD.as_millis() as u64);
        self.complaints.extend(over);
        self.complaints.extend(self.ledger.lock().unwrap().complaints().iter().cloned());
    }
}

async fn dispatch(
    work: Arc<Work>,
    admission: Admission,
    run: &RunRecord,
    schedule: &Schedule,
    stress: &Stress,
    watcher: Watcher,
) -> DispatchEnd {
    let policy = Policy { max_failed: MaxFailed::Percent(100.0), max_stranded: u64::MAX };
    let window = schedule.window.map(|window| window.parse().unwrap());
    let hours = Hours::new(window, None, work.services.clock.now(), &jiff::tz::TimeZone::UTC);
    let dispatcher =
        Dispatcher::new(work, admission, run, schedule.concurrency, policy, hours.unwrap(), vec![Box::new(watcher)]);
    let (sender, receiver) = mpsc::channel(8);
    let orders = stress.orders.clone();
    let operator = tokio::spawn(async move {
        let begun = tokio::time::Instant::now();
        for (at_ms, order) in orders {
            tokio::time::sleep_until(begun + Duration::from_millis(at_ms)).await;
            let command = match order {
                Order::Pause => Command::Pause("on purpose".into()),
                Order::Continue => Command::Continue,
                Order::Pace(writes) => Command::Pace(Quota::new(writes, PERIOD)),
                Order::Drain => Command::Drain("on purpose".into()),
                Order::StopNow => Command::StopNow("on purpose".into()),
            };
            let _ended = sender.send(command.into()).await;
        }
        std::future::pending::<()>().await;
    });
    let end = dispatcher.run(receiver).await;
    operator.abort();
    end
}
