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
use crate::runner::start::{Order, copy};
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

#[path = "dispatcher_tests/away.rs"]
mod away;
#[path = "dispatcher_tests/claims.rs"]
mod claims;
#[path = "dispatcher_tests/draining.rs"]
mod draining;
#[path = "dispatcher_tests/pausing.rs"]
mod pausing;
#[path = "dispatcher_tests/window.rs"]
mod window;

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
        let (import, _) = copy(&journal, &order, None, BTreeMap::new(), &*clock, &mut |_| {}).unwrap();
        let session = import.finish(clock.now()).await.unwrap();
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

fn people_of(asked: &[(Kind, String)]) -> BTreeSet<String> {
    asked.iter().map(|(_, upn)| upn.clone()).collect()
}

fn was_only_read(asked: &[(Kind, String)], upn: &str) -> bool {
    let mut own = asked.iter().filter(|(_, asked)| asked == upn);
    own.all(|(kind, _)| *kind == Kind::Read)
}
