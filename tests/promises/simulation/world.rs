//! The world outside of the program: the time, the tenant, the edges at which a process can die, and a record of what the
//! tenant saw. It outlives processes; what happens in it is decided by the schedule alone.

use super::company::Being;
use super::disk::DiskEdge;
use super::schedule::{Deed, DeedKind, Fault, Schedule, Stress};
use axum::http::{Request, Response};
use cutover::runner::Clock;
use cutover::sim::{Direct, Faults, Options, Person, Population, ServiceLimits};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

/// When the first process begins, in Unix milliseconds.
const EPOCH_MS: u64 = 1_790_000_000_000;

/// How much later a write can arrive than its sender gave up or died, in milliseconds: less than the program waits.
pub const LATE_MS_MAX: u64 = 8_000;

/// A place where a process can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Disk(DiskEdge),
    /// The permit is taken and nothing has left.
    BeforeSend,
    /// The request is on its way.
    InFlight,
    /// The service has done it.
    Done,
    /// The answer is here and nobody has looked at it.
    Answered,
}

impl From<DiskEdge> for Edge {
    fn from(edge: DiskEdge) -> Edge {
        Edge::Disk(edge)
    }
}

/// A person of the tenant, as its own pages show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub upn: String,
    pub mail: Option<String>,
    pub immutable_id: Option<String>,
    pub deleted: bool,
}

/// One request as it left the program.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at_ms: u64,
    pub writes: bool,
    /// The people of the batch it was about, in its order: reads of several may go together.
    pub people: Vec<usize>,
    /// What happened to it.
    pub fault: Option<Fault>,
    /// The tenant was not the same afterwards.
    pub changed: bool,
    /// It was answered, and the process lived to see it.
    pub answered: bool,
}

pub struct World {
    pub schedule: Schedule,
    pub tenant: Direct,
    /// The people before anything was done.
    pub before: BTreeMap<String, Account>,
    /// The ids of the batch's people, by place; None where the tenant has nobody.
    pub ids: Vec<Option<String>>,
    /// The ids of the company's beings.
    pub settled: Vec<String>,
    pub died: Notify,
    state: Mutex<State>,
}

struct State {
    began_ms: u64,
    since: Option<Instant>,
    edges: u64,
    stress: Stress,
    dead: bool,
    disk_calls: u64,
    /// The number of the request at which the disk failed this process.
    disk_failed: Option<usize>,
    requests: u64,
    late: Vec<(u64, Request<Vec<u8>>)>,
    seen: Vec<Seen>,
    /// People whom somebody else has changed.
    meddled: Vec<usize>,
    is_over: bool,
    trace: Option<Vec<String>>,
}

/// How long the tenant was there before the first process, in milliseconds.
const SETTLED_MS: u64 = 3_600_000;

/// The ImmutableID that the GUID of this number makes.
pub fn anchor(number: usize) -> String {
    use base64::Engine as _;
    let guid = guid(number);
    base64::engine::general_purpose::STANDARD.encode(guid.to_bytes_le())
}

/// An objectGUID on premises, by its number.
pub fn guid(number: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_0000_0000 + number as u128)
}

impl World {
    pub fn new(schedule: Schedule, traced: bool) -> World {
        let people = schedule.people.iter().enumerate();
        let population = people.map(|(at, upn)| Person {
            upn: (*upn).to_owned(),
            temp_upn: None,
            wanted_immutable_id: Some(anchor(at)),
        });
        let population = match schedule.company {
            None => Population::People(population.collect()),
            Some(_) => Population::Generated { users: 0 },
        };
        let options = Options {
            seed: schedule.seed,
            population,
            faults: Faults::none(),
            limits: ServiceLimits::off(),
            replication_ms: schedule.replication_ms,
            token_life_s: 1 << 40,
            ..Options::default()
        };
        let born_ms = match schedule.company {
            None => EPOCH_MS,
            Some(_) => EPOCH_MS - SETTLED_MS,
        };
        let tenant = Direct::new(&options, born_ms as i64).unwrap();
        let beings = schedule.company.map(|company| company.beings);
        let settled: Vec<String> =
            beings.into_iter().flatten().map(|being| settle(&tenant, being, born_ms as i64)).collect();
        let before = accounts(&tenant);
        let ids = schedule.people.iter().enumerate().map(|(at, upn)| {
            let line = schedule.company.map(|company| &company.lines[at]);
            match line.and_then(|line| line.object_id) {
                Some(being) => Some(settled[being].clone()),
                None => find(&before, upn).map(|account| account.id.clone()),
            }
        });
        World {
            ids: ids.collect(),
            settled,
            before,
            tenant,
            died: Notify::new(),
            state: Mutex::new(State {
                began_ms: EPOCH_MS,
                since: None,
                edges: 0,
                stress: Stress::default(),
                dead: true,
                disk_calls: 0,
                disk_failed: None,
                requests: 0,
                late: Vec::new(),
                seen: Vec::new(),
                meddled: Vec::new(),
                is_over: false,
                trace: traced.then(Vec::new),
            }),
            schedule,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A process begins; must be called inside its runtime.
    pub fn begin(&self, process: usize, stress: Stress) {
        let mut state = self.state();
        state.since = Some(Instant::now());
        state.stress = stress;
        state.edges = 0;
        state.disk_calls = 0;
        state.disk_failed = None;
        state.dead = false;
        drop(state);
        self.note(|| format!("process {process} begins"));
    }

    /// The process has ended, one way or the other, and nobody works for a while. Must be called inside its runtime.
    pub fn end(&self, pause_ms: u64) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.dead = true;
        // With its sender gone, a request is not under way for much longer.
        for (at_ms, _) in &mut state.late {
            *at_ms = (*at_ms).min(now_ms + LATE_MS_MAX);
        }
        state.began_ms = now_ms + pause_ms;
        state.since = None;
    }

    /// The rows have ended: whatever others were still going to do, they do not.
    pub fn is_over(&self) {
        self.state().is_over = true;
    }

    /// Nobody works for so long, and whatever was on its way has arrived.
    pub fn rest(&self, ms: u64) {
        self.state().began_ms += ms;
        self.settle(self.now_ms());
    }

    pub fn now_ms(&self) -> u64 {
        let state = self.state();
        let passed = state.since.map_or(0, |since| since.elapsed().as_millis());
        state.began_ms + passed as u64
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Somebody looks at the journal afterwards, and nothing happens to them.
    pub fn look_on(&self, looking: bool) {
        let mut state = self.state();
        state.dead = !looking;
        state.stress = Stress::default();
    }

    /// Whether the process is still alive behind this edge.
    pub fn lives_past(&self, edge: Edge) -> bool {
        let mut state = self.state();
        if state.dead {
            return false;
        }
        let number = state.edges;
        state.edges += 1;
        if state.stress.crash.is_none_or(|crash| crash.edge != number) {
            return true;
        }
        state.dead = true;
        drop(state);
        self.note(|| format!("the process dies at edge {number}, {edge:?}"));
        self.died.notify_one();
        false
    }

    /// Whether this writing call of the log fails.
    pub fn disk_fails(&self) -> bool {
        let mut state = self.state();
        let number = state.disk_calls;
        state.disk_calls += 1;
        let fails = state.stress.disk_fails == Some(number);
        if fails {
            state.disk_failed = Some(state.seen.len());
        }
        drop(state);
        if fails {
            self.note(|| "the disk fails".into());
        }
        fails
    }

    /// A line of the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let now_ms = self.now_ms();
        if let Some(trace) = &mut self.state().trace {
            let line = line();
            trace.push(format!("{:>9} ms  {line}", now_ms - EPOCH_MS));
        }
    }

    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone().unwrap_or_default()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many requests had left when the disk failed the present process; all, if it did not.
    pub fn seen_by_a_good_disk(&self) -> usize {
        let state = self.state();
        state.disk_failed.unwrap_or(state.seen.len())
    }

    pub fn meddled(&self) -> Vec<usize> {
        self.state().meddled.clone()
    }

    /// Notes that a request leaves; answers its number and what happens to it.
    pub fn departs(&self, writes: bool, people: Vec<usize>) -> (u64, Option<Fault>) {
        let at_ms = self.now_ms();
        let mut state = self.state();
        let number = state.requests;
        state.requests += 1;
        let fault = self.schedule.faults.get(&number).copied();
        let fault = fault.or_else(|| self.spell(at_ms, writes));
        state.seen.push(Seen { at_ms, writes, people, fault, changed: false, answered: false });
        (number, fault)
    }

    fn spell(&self, at_ms: u64, writes: bool) -> Option<Fault> {
        let since_ms = at_ms - EPOCH_MS;
        let spells = self.schedule.spells.iter();
        let mut due = spells.filter(|spell| {
            let lasts = spell.from_ms..spell.from_ms + spell.lasts_ms;
            lasts.contains(&since_ms) && (writes || !spell.writes_only)
        });
        due.next().map(|spell| spell.fault)
    }

    pub fn was_answered(&self, number: u64) {
        self.state().seen[number as usize].answered = true;
    }

    /// The person of the batch that a path is about.
    pub fn person_of(&self, path: &str) -> Option<usize> {
        let path = path.to_lowercase();
        let by_id = |id: &Option<String>| id.as_ref().is_some_and(|id| path.contains(&**id));
        self.ids.iter().position(by_id).or_else(|| {
            let has = |upn: &&str| path.contains(upn) || path.contains(&upn.replace('@', "%40"));
            self.schedule.people.iter().position(has)
        })
    }

    /// The first of the rows that are this person: two rows may be one.
    pub fn same_as(&self, person: usize) -> usize {
        let id = &self.ids[person];
        let first = self.ids.iter().position(|other| other == id);
        first.filter(|_| id.is_some()).unwrap_or(person)
    }

    /// The account that a path names by its id.
    pub fn account_of(&self, path: &str) -> Option<&str> {
        let path = path.to_lowercase();
        let mut ids = self.before.keys();
        ids.find(|id| path.contains(&***id)).map(String::as_str)
    }

    /// Carries a request out on the tenant, after everything that was still on its way.
    pub fn carry_out(&self, number: Option<u64>, request: Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        let now_ms = self.now_ms();
        self.settle(now_ms);
        if let Some(number) = number {
            self.meddle(number);
        }
        let about = self.person_of(request.uri().path());
        let id = about.and_then(|person| self.ids[person].clone());
        let look = || id.as_ref().map(|id| page(&self.tenant, &format!("/sim/users?id={id}")));
        let before = look();
        let answer = self.tenant.answer(request, now_ms as i64);
        if let Some(number) = number {
            self.state().seen[number as usize].changed = before != look();
        }
        answer
    }

    /// Puts a write on a way that takes longer than its sender waits.
    pub fn will_arrive(&self, at_ms: u64, request: Request<Vec<u8>>) {
        self.state().late.push((at_ms, request));
    }

    /// Everything that is still on its way arrives.
    pub fn settle_all(&self) {
        self.settle(u64::MAX);
    }

    fn settle(&self, until_ms: u64) {
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        let (due, rest): (Vec<_>, Vec<_>) = late.into_iter().partition(|(at, _)| *at <= until_ms);
        state.late = rest;
        drop(state);
        for (at_ms, request) in due {
            self.note(|| format!("a late {} {} arrives", request.method(), request.uri().path()));
            let _too_late_for_anybody = self.tenant.answer(request, at_ms as i64);
        }
    }

    /// Somebody else changes a person.
    fn meddle(&self, number: u64) {
        let deed = self.schedule.deeds.get(&number).filter(|_| !self.state().is_over);
        if let Some(deed) = deed {
            self.change(*deed, number);
        }
    }

    /// Somebody else does this; `number` tells their new names apart.
    pub fn change(&self, deed: Deed, number: u64) {
        let Some(Some(id)) = self.ids.get(deed.person) else {
            return;
        };
        self.state().meddled.push(deed.person);
        self.note(|| format!("somebody else: {deed:?}"));
        let (method, body) = match deed.kind {
            DeedKind::Anchor => ("PATCH", json!({"onPremisesImmutableId": "c29tZWJvZHkgZWxzZQ=="})),
            DeedKind::Rename => {
                ("PATCH", json!({"userPrincipalName": format!("renamed{number}@contoso.onmicrosoft.com")}))
            }
            DeedKind::Delete => ("DELETE", Value::Null),
        };
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        let now_ms = self.now_ms() as i64;
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1.0/users/{id}"))
            .header("authorization", format!("Bearer {}", self.tenant.token(now_ms)))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let _refused_or_not = self.tenant.answer(request, now_ms);
    }
}

/// A page of the tenant's own.
fn page(tenant: &Direct, uri: &str) -> String {
    let request = Request::get(uri).body(Vec::new()).unwrap();
    let Some(reply) = tenant.answer(request, EPOCH_MS as i64) else {
        panic!("the tenant's own pages are never cut");
    };
    String::from_utf8(reply.into_body()).unwrap()
}

/// Puts somebody into the tenant; answers the id.
fn settle(tenant: &Direct, being: &Being, now_ms: i64) -> String {
    let ask = |method: &str, path: &str, body: Value| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", tenant.token(now_ms)))
            .header("content-type", "application/json");
        let body = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(&body).unwrap(),
        };
        let Some(reply) = tenant.answer(request.body(body).unwrap(), now_ms) else {
            panic!("this tenant makes no troubles of its own");
        };
        assert!(reply.status().is_success(), "{being:?}: {reply:?}");
        serde_json::from_slice::<Value>(reply.body()).unwrap_or_default()
    };
    let local = being.upn.split('@').next();
    let made = ask(
        "POST",
        "/v1.0/users",
        json!({
            "accountEnabled": true,
            "displayName": local,
            "mailNickname": local,
            "passwordProfile": {"password": "x"},
            "userPrincipalName": being.upn,
            "mail": being.mail,
            "onPremisesImmutableId": being.anchor.map(anchor),
        }),
    );
    let id = made["id"].as_str().unwrap().to_owned();
    if being.deleted {
        ask("DELETE", &format!("/v1.0/users/{id}"), Value::Null);
    }
    id
}

/// Everybody in the tenant, by id.
pub fn accounts(tenant: &Direct) -> BTreeMap<String, Account> {
    let text = page(tenant, "/sim/users");
    let accounts = text.lines().map(|line| {
        let user: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| user[key].as_str().map(str::to_owned);
        Account {
            id: text("id").unwrap(),
            upn: text("homeUserPrincipalName").unwrap(),
            mail: text("mail"),
            immutable_id: text("onPremisesImmutableId"),
            deleted: user["deleted"].as_bool().unwrap(),
        }
    });
    accounts.map(|account| (account.id.clone(), account)).collect()
}

/// The account at this UPN, live or deleted; else the one that an earlier script left at the temporary one, which still has
/// its mail address.
pub fn find<'a>(accounts: &'a BTreeMap<String, Account>, upn: &str) -> Option<&'a Account> {
    let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
    let at_home = accounts.values().find(|account| is(&account.upn, upn));
    let stuck = |account: &&Account| {
        is(&account.upn, &temporary(upn)) && account.mail.as_ref().is_some_and(|mail| is(mail, upn))
    };
    at_home.or_else(|| accounts.values().find(stuck))
}

/// Where a person stands meanwhile.
fn temporary(upn: &str) -> String {
    let local = upn.split('@').next().unwrap_or_default();
    format!("{local}@contoso.onmicrosoft.com")
}

/// Where a person stands meanwhile when somebody else is there.
fn spare(upn: &str) -> String {
    format!("{}@contoso.onmicrosoft.com", upn.replace('@', "."))
}

/// Whether a person with this UPN is away there.
pub fn is_away(upn: &str, at: &str) -> bool {
    at.eq_ignore_ascii_case(&temporary(upn)) || at.eq_ignore_ascii_case(&spare(upn))
}

/// The program's clock.
pub struct SimClock(pub std::sync::Arc<World>);

impl Clock for SimClock {
    fn now(&self) -> u64 {
        self.0.now_ms()
    }
}
