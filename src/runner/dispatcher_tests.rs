//! A whole run on a journal in a temporary folder, against people in memory, on one thread and tokio's paused clock, so that
//! it goes the same way every time: holding, going on and stopping, told from outside by a script that sees every event.

use super::super::admission::Selection;
use super::*;
use crate::batch::Input;
use crate::core::Request;
use crate::job::{AppFacts, Claimed, Job, Settings};
use crate::journal::doubles::{Inline, MemoryStore};
use crate::journal::storage::FolderStorage;
use crate::journal::{Journal, RunId, Session, UnixMillis};
use crate::machine::Outcome;
use crate::runner::claims::{ClaimVerdict, Claims, Wanted};
use crate::runner::start::{Order, begin};
use crate::runner::stop::AdmissionGate;
use crate::runner::worker::Work;
use crate::runner::{Clock, Gauges, MaxFailed, Services};
use crate::services::{Class, Fault, Graph, GraphLimits, Patience, Payload, Registry, Reply, Success, Transport};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use uuid::Uuid;

/// Everybody goes away, is marked, and comes back.
const JOB: &str = r#"
format = 1
name = "mark"
title = "Mark people while they are away"
[columns.upn]
kind = "upn"
key = true
unique = "UPN"
[observe]
properties = ["id", "away", "mark"]
[[observe.look]]
name = "the account"
get = "/users/{{ row.upn }}"
[facts]
is_away = "state.away == true"
[[step]]
name = "away"
title = "go away"
when = "not state.mark and not is_away"
patch = "/users/{{ row.upn }}"
body = { away = true }
exposes = true
undo.when = "is_away"
undo.patch = "/users/{{ row.upn }}"
undo.body = { away = false }
[[step]]
name = "mark"
title = "be marked"
when = "not state.mark"
patch = "/users/{{ row.upn }}"
body = { mark = true }
undo.when = "state.mark"
undo.patch = "/users/{{ row.upn }}"
undo.body = { mark = false }
[[step]]
name = "back"
title = "come back"
when = "is_away"
patch = "/users/{{ row.upn }}"
body = { away = false }
ends_exposure = true
[exposure]
when = "is_away"
[goal]
when = "state.mark and not is_away"
[report]
away = "state.away"
"#;

const ROWS: u64 = 24;
const IN_FLIGHT: usize = 8;

/// Milliseconds that one request takes, by the last digit of its row, so that rows are at different places at any time.
const LATENCY_MS: [u64; 10] = [100, 310, 170, 90, 250, 130, 370, 70, 290, 210];

/// 2026-01-31 12:00 UTC.
const NOON: UnixMillis = 1_769_860_800_000;

/// People in memory, and what they were asked.
#[derive(Default)]
struct People(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    people: BTreeMap<String, Value>,
    /// Requests of this kind take so long.
    slow: Vec<(Kind, Duration)>,
    asked: Vec<(Kind, String)>,
    written: Vec<Instant>,
    away_since: BTreeMap<String, Instant>,
    away_for: Vec<Duration>,
}

impl Memory {
    fn note_way(&mut self, upn: &str, away: bool) {
        if away {
            let since = self.away_since.entry(upn.to_owned());
            since.or_insert_with(Instant::now);
        } else if let Some(since) = self.away_since.remove(upn) {
            self.away_for.push(since.elapsed());
        }
    }
}

impl People {
    fn away(&self) -> usize {
        let memory = self.0.lock().unwrap();
        let people = memory.people.values();
        people.filter(|person| person["away"] == true).count()
    }

    fn asked(&self) -> Vec<(Kind, String)> {
        self.0.lock().unwrap().asked.clone()
    }

    fn slow_down(&self, kind: Kind, time: Duration) {
        self.0.lock().unwrap().slow.push((kind, time));
    }

    fn latency(&self, request: &Request) -> Duration {
        let slow = &self.0.lock().unwrap().slow;
        let slow = slow.iter().rev().find(|(kind, _)| *kind == kind_of(request));
        let digit = request.path.bytes().rfind(u8::is_ascii_digit);
        match slow {
            Some((_, time)) => *time,
            None => Duration::from_millis(LATENCY_MS[usize::from(digit.unwrap() - b'0')]),
        }
    }

    fn note(&self, request: &Request) {
        let asked = (kind_of(request), upn_of(request));
        self.0.lock().unwrap().asked.push(asked);
    }

    fn answer(&self, request: &Request) -> Result<Success, Fault> {
        let mut memory = self.0.lock().unwrap();
        let upn = upn_of(request);
        let fresh = || json!({"id": upn, "away": false, "mark": false});
        let person = memory.people.entry(upn.clone()).or_insert_with(fresh);
        for (key, value) in request.body.iter().flat_map(|body| body.as_object().unwrap()) {
            person[key] = value.clone();
        }
        let (person, away) = (person.clone(), person["away"] == true);
        if request.is_write() {
            memory.written.push(Instant::now());
        }
        memory.note_way(&upn, away);
        Ok(Success { status: 200, payload: Payload::Object(person) })
    }
}

#[async_trait]
impl Transport for People {
    async fn send(&self, request: &Request, _attempt: Uuid) -> Reply {
        if request.path.ends_with("/$batch") {
            return Fault {
                class: Class::Unsupported,
                code: "BadRequest".to_owned(),
                message: "no batches here".to_owned(),
                status: Some(400),
            }
            .into();
        }
        self.note(request);
        tokio::time::sleep(self.latency(request)).await;
        Reply { result: self.answer(request), request_id: None, usage: None, is_echo: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

fn kind_of(request: &Request) -> Kind {
    match request.is_write() {
        true => Kind::Write,
        false => Kind::Read,
    }
}

fn upn_of(request: &Request) -> String {
    request.path.trim_start_matches("/users/").to_owned()
}

/// Goes with tokio's clock.
struct Simulated(Instant);

impl Clock for Simulated {
    fn now(&self) -> UnixMillis {
        NOON + self.0.elapsed().as_millis() as u64
    }
}

/// Sees every event and may send commands.
struct Script<F>(F);

impl<F: FnMut(&RunEvent) + Send> Consumer for Script<F> {
    fn on_event(&mut self, event: &RunEvent) {
        (self.0)(event);
    }
}

struct World {
    _folder: TempDir,
    people: Arc<People>,
    clock: Arc<Simulated>,
    job: Arc<Job>,
    session: Arc<Session>,
    writes: Quota,
    _journal: Journal,
}

impl World {
    async fn new() -> World {
        World::with(JOB, ROWS, "1000/s").await
    }

    async fn with(job: &str, rows: u64, writes: &str) -> World {
        let folder = TempDir::new().unwrap();
        let job = crate::job::parse("mark.toml", job).unwrap_or_else(|found| panic!("{}", found.listing()));
        let mut csv = String::from("upn\n");
        (1..=rows).for_each(|row| csv.push_str(&format!("{}\n", upn(row))));
        std::fs::write(folder.path().join("in.csv"), csv).unwrap();
        let input: Input = crate::batch::open(&folder.path().join("in.csv"), &job.layout).unwrap();
        let disk = FolderStorage::of(folder.path());
        std::fs::create_dir_all(disk.folder()).unwrap();
        let store = Arc::new(MemoryStore::default());
        let barrier = Duration::from_millis(5);
        let inline = Arc::new(Inline { barrier });
        let journal = Journal::assemble(folder.path(), Arc::new(disk), store, inline).unwrap();
        let clock = Arc::new(Simulated(Instant::now()));
        let order = Order {
            run: RunId(Uuid::now_v7()),
            job: &job,
            params: BTreeMap::new(),
            input: &input,
            target: "people".into(),
            target_spec: "people".into(),
            write_quota: writes.into(),
            operator: "me".into(),
            plan: None,
            adopts: None,
        };
        let (session, _) = begin(&journal, &order, None, BTreeMap::new(), &*clock, &mut |_| {}).await.unwrap();
        World {
            _folder: folder,
            people: Arc::default(),
            clock,
            job: Arc::new(job),
            session: Arc::new(session),
            writes: writes.parse().unwrap(),
            _journal: journal,
        }
    }

    /// Works on the run with this script until it ends.
    async fn work(
        &self,
        concurrency: usize,
        schedule: Schedule,
        script: impl FnMut(&RunEvent, &mpsc::Sender<Asked>) + Send + 'static,
    ) -> DispatchEnd {
        let (sender, commands) = mpsc::channel(16);
        let mut script = script;
        let consumer = Script(move |event: &RunEvent| script(event, &sender));
        let reader = self.session.reader().await.unwrap();
        let run = self.session.run();
        let admission = Admission::new(reader, &run, &self.job.layout, Selection::Unfinished);
        let policy = Policy { max_failed: MaxFailed::Rows(0), max_stranded: 0 };
        let work = Arc::new(Work {
            services: Arc::new(self.services(run.id())),
            job: Arc::clone(&self.job),
            settings: Settings::new(&BTreeMap::new(), &serde_json::Map::new()),
            session: Arc::clone(&self.session),
            claims: Claims::new(&self.session),
            exposure_gate: Arc::default(),
            gate: AdmissionGate::default(),
        });
        let dispatcher =
            Dispatcher::new(work, admission, &run, Some(concurrency), policy, schedule, vec![Box::new(consumer)]);
        dispatcher.run(commands).await
    }

    fn services(&self, run: RunId) -> Services {
        let fast = "1000/s".parse().unwrap();
        Services {
            directory: None,
            registry: Registry::of(
                Arc::new(Graph::new(
                    Arc::clone(&self.people) as Arc<dyn Transport>,
                    "contoso.test",
                    GraphLimits { writes: self.writes, reads: fast, identity_protection: fast },
                    Patience { silence: Duration::from_secs(300), sign_in: Duration::from_secs(300) },
                )),
                Vec::new(),
            ),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            run: run.0,
            app: AppFacts::default(),
            process_at: self.clock.now(),
            gauges: Gauges::default(),
        }
    }

    /// Every row is done, with the three writes it needs.
    async fn must_be_done(&self, end: &DispatchEnd) {
        assert!(end.stopped.is_none() && end.journal.is_none(), "{end:?}");
        drop(self.session.reader().await.unwrap());
        assert_eq!(self.session.run().outcome_count(Outcome::Done), ROWS);
        assert_eq!(self.writes().len() as u64, 3 * ROWS);
        assert_eq!(self.people.away(), 0);
    }

    fn writes(&self) -> Vec<String> {
        let asked = self.people.asked().into_iter();
        let writes = asked.filter(|(kind, _)| *kind == Kind::Write);
        writes.map(|(_, upn)| upn).collect()
    }
}

fn upn(row: u64) -> String {
    format!("p{row:02}@contoso.com")
}

fn send(sender: &mpsc::Sender<Asked>, command: Command) -> tokio::sync::oneshot::Receiver<Answer> {
    let (asked, answered) = Asked::new(command);
    sender.try_send(asked).unwrap();
    answered
}

fn window(text: &str, now: UnixMillis) -> Schedule {
    let window = text.parse().unwrap();
    Schedule::new(Some(window), None, now, &jiff::tz::TimeZone::UTC).unwrap()
}

/// What a script saw while nobody was under way and none could begin.
#[derive(Default)]
struct Still {
    ticks: u32,
    asked: usize,
}

/// Ticks with nobody under way after which a pause has been watched for long enough.
const STILL_TICKS: u32 = 40;

#[tokio::test(start_paused = true)]
async fn a_pause_leaves_nobody_exposed_and_sends_nothing_until_it_is_ended() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let still = Arc::new(Mutex::new(Still::default()));
    let seen = Arc::clone(&still);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Tick(snapshot) if snapshot.exposed >= 3 && seen.lock().unwrap().ticks == 0 => {
                drop(send(sender, Command::Pause("lunch".into())));
            }
            RunEvent::Tick(snapshot) if snapshot.in_flight == 0 => {
                let held = RunMode::Paused(AdmissionPause::Operator("lunch".into()));
                assert_eq!(snapshot.mode, held);
                assert_eq!((snapshot.exposed, people.away()), (0, 0));
                let mut still = seen.lock().unwrap();
                still.ticks += 1;
                if still.ticks == 1 {
                    still.asked = people.asked().len();
                }
                assert_eq!(people.asked().len(), still.asked, "nothing is sent while it is paused");
                if still.ticks == STILL_TICKS {
                    drop(send(sender, Command::Continue));
                }
            }
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    let still = still.lock().unwrap();
    assert_eq!(still.ticks, STILL_TICKS);
    let asked = world.people.asked();
    let (before, after) = asked.split_at(still.asked);
    let parked: BTreeSet<String> = people_of(before).into_iter().filter(|upn| was_only_read(before, upn)).collect();
    assert!(!parked.is_empty(), "a pause that parks nobody proves nothing");
    let next = people_of(&after[..parked.len()]);
    assert_eq!(next, parked, "who was sent back comes first");
}

fn people_of(asked: &[(Kind, String)]) -> BTreeSet<String> {
    asked.iter().map(|(_, upn)| upn.clone()).collect()
}

fn was_only_read(asked: &[(Kind, String)], upn: &str) -> bool {
    let mut own = asked.iter().filter(|(_, asked)| asked == upn);
    own.all(|(kind, _)| *kind == Kind::Read)
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_pause_at_once_when_nobody_is_under_way() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let mut drained = false;
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Started { .. } => drop(send(sender, Command::Pause("lunch".into()))),
            RunEvent::Tick(_) if !drained => {
                drained = true;
                drop(send(sender, Command::Drain("enough".into())));
            }
            _ => {}
        })
        .await;
    assert_eq!(end.stopped, Some(StopReason::Requested("enough".into())));
    assert_eq!(people.away(), 0);
    assert_eq!(world.writes().len() % 3, 0, "whoever began was brought to the end");
    assert!((world.writes().len() as u64) < 3 * ROWS);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_for_good_and_a_command_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&answers);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            if let RunEvent::Started { .. } = event {
                let commands = [
                    Command::Continue,
                    Command::Pace("1001/s".parse().unwrap()),
                    Command::Pace("500/s".parse().unwrap()),
                    Command::Drain("enough".into()),
                    Command::Continue,
                    Command::Pause("lunch".into()),
                ];
                let sent = commands.map(|command| send(sender, command));
                kept.lock().unwrap().extend(sent);
            }
        })
        .await;
    assert_eq!(end.stopped, Some(StopReason::Requested("enough".into())));
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    let answers: Vec<Answer> = answers.iter_mut().map(|answer| answer.try_recv().unwrap()).collect();
    let too_fast = Refused::TooFast { wanted: "1001/s".parse().unwrap(), allowed: "1000/s".parse().unwrap() };
    let stopping = || Err(Refused::Stopping("enough".into()));
    let expected = [Err(Refused::NotPaused), Err(too_fast), Ok(()), Ok(()), stopping(), stopping()];
    assert_eq!(answers, expected);
}

/// Simulated time: a read of ten minutes stands for a pause of the budget, a silent target, or a slow one.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_reads_of_people_who_were_not_touched() {
    let world = World::new().await;
    world.people.slow_down(Kind::Read, Duration::from_secs(600));
    let begun = Instant::now();
    let end = world
        .work(IN_FLIGHT, Schedule::default(), |event, sender| {
            if matches!(event, RunEvent::Tick(snapshot) if snapshot.mode == RunMode::Running) {
                drop(send(sender, Command::Interrupt("SIGTERM received".into())));
            }
        })
        .await;
    assert_eq!(end.stopped, Some(StopReason::Requested("SIGTERM received".into())));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(world.writes(), Vec::<String>::new());
}

/// What a script saw of a drain.
#[derive(Default)]
struct Words {
    at_stake: Option<u64>,
    still: Vec<u64>,
    abandoned: Option<u64>,
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_what_it_waits_for_and_what_ends_when_it_is_cut_short() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let words = Arc::new(Mutex::new(Words::default()));
    let seen = Arc::clone(&words);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            let mut words = seen.lock().unwrap();
            match event {
                RunEvent::Tick(snapshot) if snapshot.exposed >= 3 && snapshot.mode == RunMode::Running => {
                    people.slow_down(Kind::Write, Duration::from_secs(60));
                    drop(send(sender, Command::Interrupt("SIGINT received".into())));
                }
                RunEvent::Interrupted { at_stake, .. } => words.at_stake = Some(*at_stake),
                RunEvent::StillDraining { snapshot, .. } => {
                    words.still.push(snapshot.exposed);
                    if words.still.len() == 2 {
                        let stop = Command::StopNow("SIGINT received twice".into());
                        drop(send(sender, stop));
                    }
                }
                RunEvent::StoppingNow { reason, exposed } => {
                    assert_eq!(reason.text(), "SIGINT received twice");
                    words.abandoned = Some(*exposed);
                }
                _ => {}
            }
        })
        .await;
    let reason = StopReason::Requested("SIGINT received twice".into());
    assert_eq!(end.stopped, Some(reason));
    let words = words.lock().unwrap();
    assert!(words.at_stake >= Some(3), "{:?}", words.at_stake);
    assert_eq!(words.still.len(), 2);
    let away = world.people.away() as u64;
    assert!(away > 0);
    assert!(words.abandoned >= Some(away), "{:?}", words.abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_new_pace_is_the_budget_from_then_on_and_may_be_raised_again() {
    let world = World::new().await;
    let budgets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&budgets);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Started { .. } => {
                drop(send(sender, Command::Pace("2/s".parse().unwrap())));
            }
            RunEvent::RowEnded { row, .. } if row.0 == 2 => {
                drop(send(sender, Command::Pace("1000/s".parse().unwrap())));
            }
            RunEvent::Tick(snapshot) => seen.lock().unwrap().push(snapshot.budget_per_s),
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    let budgets = budgets.lock().unwrap();
    let slow = budgets.iter().filter(|budget| **budget <= 2.0).count();
    assert!(slow > 4 && budgets[budgets.len() - 1] > 900.0, "{budgets:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_window_admits_nobody_and_an_open_one_goes_on() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let clock = Arc::clone(&world.clock);
    let opens = NOON + 10 * 60_000;
    let end = world
        .work(IN_FLIGHT, window("12:10-15:00 UTC", NOON), move |event, _| {
            if let RunEvent::Tick(snapshot) = event
                && clock.now() < opens
            {
                assert!(
                    matches!(&snapshot.mode, RunMode::Paused(AdmissionPause::Window { until, .. }) if *until == opens)
                );
                assert_eq!(people.asked().len(), 0);
            }
        })
        .await;
    world.must_be_done(&end).await;
    assert!(world.clock.now() >= opens);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_closes_brings_everybody_to_safety_and_the_next_goes_on() {
    let world = World::new().await;
    // At this pace the minute that the window is still open is too short.
    let people = Arc::clone(&world.people);
    let holds = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&holds);
    let end = world
        .work(2, window("12:10-12:01 UTC", NOON), move |event, sender| match event {
            RunEvent::Started { .. } => drop(send(sender, Command::Pace("12/m".parse().unwrap()))),
            RunEvent::Paused(_) => *seen.lock().unwrap() += 1,
            RunEvent::GoingOn => {
                assert_eq!(people.away(), 0);
                drop(send(sender, Command::Pace("1000/s".parse().unwrap())));
            }
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    assert_eq!(*holds.lock().unwrap(), 1);
    let again = NOON + 10 * 60_000;
    assert!(world.clock.now() >= again, "it went on when it opened again");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drains_and_stops_also_while_it_waits() {
    for concurrency in [1, IN_FLIGHT] {
        let world = World::new().await;
        let deadline = "2026-01-31T12:00:02Z".parse().unwrap();
        let schedule = Schedule::new(None, Some(&deadline), NOON, &jiff::tz::TimeZone::UTC).unwrap();
        let mut first = true;
        let end = world
            .work(concurrency, schedule, move |event, sender| {
                if let RunEvent::RowEnded { .. } = event
                    && std::mem::take(&mut first)
                {
                    drop(send(sender, Command::Pause("lunch".into())));
                }
            })
            .await;
        let why = "the deadline 2026-01-31T12:00:02Z has come".to_owned();
        assert_eq!(end.stopped, Some(StopReason::Requested(why)));
        assert_eq!(world.people.away(), 0);
    }
}

/// A process that was cut off left people exposed. The next one may begin nobody, has room for one, and helps them all.
#[tokio::test(start_paused = true)]
async fn people_left_exposed_are_helped_while_nobody_else_may_begin() {
    for command in [Command::Pause("lunch".into()), Command::Drain("enough".into())] {
        let world = World::new().await;
        let people = Arc::clone(&world.people);
        let mut cut = false;
        world
            .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
                if matches!(event, RunEvent::Tick(_)) && !cut && people.away() > 2 {
                    cut = true;
                    drop(send(sender, Command::StopNow("cut off".into())));
                }
            })
            .await;
        assert!(world.people.away() > 1, "a cut that leaves nobody exposed proves nothing");
        let begun = people_of(&world.people.asked());
        let first = command.clone();
        world
            .work(1, Schedule::default(), move |event, sender| match event {
                RunEvent::Started { .. } => drop(send(sender, first.clone())),
                RunEvent::Tick(snapshot) if snapshot.in_flight == 0 => {
                    drop(send(sender, Command::Drain("enough".into())));
                }
                _ => {}
            })
            .await;
        assert_eq!(world.people.away(), 0, "{command:?}");
        assert_eq!(people_of(&world.people.asked()), begun, "and nobody new began");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait_for_a_place_and_those_who_waited_are_untouched() {
    let world = World::with(JOB, ROWS, "1/s").await;
    let people = Arc::clone(&world.people);
    let mut drained = false;
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            if matches!(event, RunEvent::Tick(_)) && people.away() > 0 && !drained {
                drained = true;
                drop(send(sender, Command::Drain("enough".into())));
            }
        })
        .await;
    assert!(end.stopped.is_some() && world.people.away() == 0, "{end:?}");
    let written: BTreeSet<String> = world.writes().into_iter().collect();
    assert_eq!((people_of(&world.people.asked()).len(), written.len()), (IN_FLIGHT, 1));
    let begun = || world.session.run().begun_max;
    let reader = world.session.reader().await.unwrap();
    for row in 1..=begun() {
        let record = reader.row(RowNumber(row)).unwrap();
        let writes = record.map_or(0, |record| record.attempts);
        assert!(writes == 0 || written.contains(&upn(row)), "row {row}");
    }
    let end = world.work(IN_FLIGHT, Schedule::default(), |_event, _sender| {}).await;
    world.must_be_done(&end).await;
}

/// How long people are away where the budget is used up, and how much of it is used. Without a latency each row has its own.
struct Away {
    p99: Duration,
    used: f64,
}

async fn away(rows: u64, writes: &str, latency: Option<Duration>) -> Away {
    let twice = "[[step]]\nname = \"twice\"\ntitle = \"be marked again\"\nwhen = \"state.mark == true and is_away\"\n\
        patch = \"/users/{{ row.upn }}\"\nbody = { mark = \"twice\" }\n\
        undo.when = \"state.mark == 'twice'\"\nundo.patch = \"/users/{{ row.upn }}\"\nundo.body = { mark = false }\n";
    let back = "[[step]]\nname = \"back\"";
    let job = JOB.replace(back, &format!("{twice}{back}"));
    let world = World::with(&job, rows, writes).await;
    if let Some(latency) = latency {
        world.people.slow_down(Kind::Read, latency);
        world.people.slow_down(Kind::Write, latency);
    }
    let end = world.work(256, Schedule::default(), |_event, _sender| {}).await;
    assert!(end.stopped.is_none() && end.journal.is_none(), "{end:?}");
    let memory = &mut *world.people.0.lock().unwrap();
    memory.away_for.sort();
    let of = |share: usize| memory.away_for[(memory.away_for.len() - 1) * share / 100];
    let written = &memory.written;
    let least = 3 * latency.unwrap_or(Duration::from_millis(LATENCY_MS[3]));
    assert!(of(0) >= least, "{:?}", of(0));
    assert_eq!(written.len() as u64, 4 * rows);
    // Neither the start, when nothing was measured, nor the end, when nobody is left.
    let (from, to) = (written.len() * 4 / 10, written.len() * 9 / 10);
    let seconds = (written[to] - written[from]).as_secs_f64();
    let per_s = writes.parse::<Quota>().unwrap().per_second();
    let used = (to - from) as f64 / seconds / per_s;
    println!("{writes} {latency:?}: away {:?} {:?} {:?}, {used:.4} used", of(50), of(99), of(100));
    Away { p99: of(99), used }
}

/// Those who begin together wait for each other while they are away.
#[tokio::test(start_paused = true)]
async fn nobody_is_away_for_long_though_the_budget_is_used_up() {
    let even = Some(Duration::from_millis(200));
    // Of its own accord the slowest row takes 1,110 ms.
    for (latency, most_ms) in [(even, 1_200), (None, 1_600)] {
        let away = away(400, "3000/150s", latency).await;
        assert!(away.p99 <= Duration::from_millis(most_ms), "{latency:?}: {:?}", away.p99);
        assert!(away.used >= 0.98, "{latency:?}: {}", away.used);
    }
}

/// So many rows at this pace and latency; how much of the budget is used, and within how many milliseconds everybody is back.
const PACES: [(u64, &str, u64, f64, u64); 10] = [
    (200, "3000/150s", 0, 0.98, 300),
    (200, "3000/150s", 20, 0.98, 300),
    (250, "3000/150s", 2_000, 0.98, 7_000),
    (300, "9000/150s", 20, 0.98, 300),
    (300, "9000/150s", 200, 0.98, 1_000),
    (600, "9000/150s", 2_000, 0.98, 7_000),
    (20, "1/s", 0, 0.95, 3_200),
    (20, "1/s", 900, 0.95, 4_500),
    (40, "1/s", 2_000, 0.95, 7_000),
    (20, "30/m", 200, 0.98, 6_200),
];

#[tokio::test(start_paused = true)]
async fn places_for_those_away_cost_nothing_at_any_pace_and_latency() {
    for (rows, writes, latency_ms, least, most_ms) in PACES {
        let case = format!("{writes} {latency_ms} ms");
        let away = away(rows, writes, Some(Duration::from_millis(latency_ms))).await;
        assert!(away.used >= least, "{case}: {}", away.used);
        assert!(away.p99 <= Duration::from_millis(most_ms), "{case}: {:?}", away.p99);
    }
}

/// What a row ended with is not free as long as a replica may show that it is.
#[tokio::test(start_paused = true)]
async fn a_value_stays_spoken_for_after_its_row_has_ended() {
    let world = World::new().await;
    let claims = Claims::new(&world.session);
    let value = Claimed { what: "UPN".into(), value: "p01@contoso.com".into() };
    let claim = |row, now| {
        let values = vec![value.clone()];
        let wanted = Wanted { account: format!("account {row}"), values, in_the_way: None, gives_way_to: Vec::new() };
        claims.claim(RowNumber(row), &wanted, now, Duration::from_secs(60)).unwrap()
    };
    assert_eq!((claim(1, 10), claim(2, 20)), (ClaimVerdict::Free, ClaimVerdict::Waits));
    claims.keep(&[value.clone()], 100);
    assert_eq!(claims.ended(RowNumber(1), Outcome::Done, 30), [RowNumber(2)]);
    assert_eq!((claim(2, 99), claim(2, 100)), (ClaimVerdict::Lagging, ClaimVerdict::Free));
}
