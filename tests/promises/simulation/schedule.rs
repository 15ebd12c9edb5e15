//! What happens to one simulated batch: who is in it, and everything that goes wrong, written down beforehand so that it
//! can be printed, repeated and made shorter.

use super::company::{COMPANIES, Company};
use super::world::LATE_MS_MAX;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Requests of a schedule that can meet a fault; those after them are quiet, so that every run can end.
const FAULTY_REQUESTS: std::ops::RangeInclusive<u64> = 30..=600;

/// A whole schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    /// The people of the batch, by UPN.
    pub people: Vec<&'static str>,
    /// Where their rows touch each other: who they are.
    pub company: Option<&'static Company>,
    pub adopt: &'static str,
    pub swap: &'static str,
    pub clear: &'static str,
    pub restore: &'static str,
    /// What the service makes of the body of a restore.
    pub body: Body,
    /// How long a read may show what was before a write, in milliseconds.
    pub replication_ms: u64,
    /// What a request takes at most, in milliseconds.
    pub latency_ms: u64,
    /// Writes in ten seconds.
    pub writes: u32,
    pub concurrency: Option<usize>,
    /// When rows may begin; the first process begins at 14:13:20.
    pub window: Option<&'static str>,
    /// What a barrier of the log takes, in milliseconds.
    pub barrier_ms: u64,
    /// The process that begins a new run and takes over whoever is half way, if somebody is.
    pub takes_over: Option<usize>,
    /// What happens to each process, one after the other; those that come later are left alone.
    pub processes: Vec<Stress>,
    /// What happens to requests, by their number.
    pub faults: BTreeMap<u64, Fault>,
    /// When every request meets the same, whatever its number.
    pub spells: Vec<Spell>,
    /// What somebody else does before the request of this number arrives.
    pub deeds: BTreeMap<u64, Deed>,
    /// The rows that ended short of their goal are tried again; this happens to the first process that does it.
    pub retry: Option<Stress>,
    /// In the end the finished rows are read again.
    pub verify: Option<Verify>,
}

/// A reading of the finished rows.
#[derive(Debug, Clone, Copy)]
pub struct Verify {
    /// What somebody else does before it.
    pub outside: Option<Deed>,
}

/// How a service treats a body that its description does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Heeded,
    /// The restore is made as if there were none.
    PassedOver,
    /// The restore is refused because of it.
    Refused,
}

/// What happens to one process.
#[derive(Debug, Clone, Default)]
pub struct Stress {
    pub crash: Option<Crash>,
    /// The writing call of the log's medium that fails, by its number.
    pub disk_fails: Option<u64>,
    /// What the operator does, and after how many milliseconds.
    pub orders: Vec<(u64, Order)>,
    /// How long nobody works after it, in milliseconds.
    pub pause_ms: u64,
}

impl Stress {
    /// Whether nothing happens to the process.
    pub fn is_calm(&self) -> bool {
        self.crash.is_none() && self.disk_fails.is_none() && self.orders.is_empty() && self.pause_ms == 0
    }
}

/// The end of a process.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// The edge at which it dies, by its number.
    pub edge: u64,
    pub manner: Manner,
}

/// What a crash takes along.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// The process is killed: what it wrote is there, synced or not.
    Kill,
    /// The power fails: what was not synced may be lost. The number decides what.
    PowerCut(u64),
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Pause,
    Continue,
    /// Writes in ten seconds from now on.
    Pace(u32),
    Drain,
    StopNow,
}

/// Some seconds in which one thing happens to all requests.
#[derive(Debug, Clone, Copy)]
pub struct Spell {
    /// When it begins and how long it lasts, in milliseconds since the first process began.
    pub from_ms: u64,
    pub lasts_ms: u64,
    pub fault: Fault,
    /// Reads pass.
    pub writes_only: bool,
}

/// Longest spell: an undo is tried for longer.
const SPELL_MS_MAX: u64 = 40_000;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    NotConnected,
    /// No answer, and nothing was done.
    LostBefore,
    /// No answer, though it was done.
    LostAfter,
    /// The client gives up, and then it is done.
    Late {
        ms: u64,
    },
    ErrorBefore {
        retry_after_s: Option<u64>,
    },
    ErrorAfter {
        retry_after_s: Option<u64>,
    },
    Throttled {
        retry_after_s: Option<u64>,
    },
    Unauthenticated,
    Contended,
    /// A page of something in between, and nothing was done.
    PageBefore {
        status: u16,
    },
    /// The same, though it was done.
    PageAfter {
        status: u16,
    },
    /// The service refuses, in its own form.
    Refused {
        status: u16,
        code: &'static str,
    },
    Slow {
        ms: u64,
    },
}

/// What another administrator does to a person of the batch, by the person's place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed {
    pub person: usize,
    pub kind: DeedKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeedKind {
    /// Gives the person another ImmutableID.
    Anchor,
    /// Moves the person to a UPN that nobody expects.
    Rename,
    Delete,
}

/// People whose temporary UPNs collide (the two anns), and others.
const SMALL: [&str; 4] = ["ann@contoso.com", "ann@fabrikam.com", "bob@contoso.com", "cid@fabrikam.com"];

/// Most have none; the others are closed for a minute or two, at the beginning or soon after it.
const WINDOWS: [Option<&str>; 8] =
    [None, None, None, None, None, Some("14:15-14:14 UTC"), Some("14:16-14:13 UTC"), Some("14:14-14:13 UTC")];

const BIG: [&str; 40] = [
    "a00@contoso.com",
    "a01@contoso.com",
    "a02@contoso.com",
    "a03@contoso.com",
    "a04@contoso.com",
    "a05@fabrikam.com",
    "a06@fabrikam.com",
    "a07@fabrikam.com",
    "a08@contoso.com",
    "a09@contoso.com",
    "a10@contoso.com",
    "a11@contoso.com",
    "a12@contoso.com",
    "a13@contoso.com",
    "a14@contoso.com",
    "a15@fabrikam.com",
    "a16@fabrikam.com",
    "a17@fabrikam.com",
    "a18@contoso.com",
    "a19@contoso.com",
    "a20@contoso.com",
    "a21@contoso.com",
    "a22@contoso.com",
    "a23@contoso.com",
    "a24@contoso.com",
    "a25@fabrikam.com",
    "a26@fabrikam.com",
    "a27@fabrikam.com",
    "a28@contoso.com",
    "a29@contoso.com",
    "a30@contoso.com",
    "a31@contoso.com",
    "a32@contoso.com",
    "a33@contoso.com",
    "a34@contoso.com",
    "a35@fabrikam.com",
    "a36@fabrikam.com",
    "a37@fabrikam.com",
    "a38@contoso.com",
    "a39@contoso.com",
];

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Schedule {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let people = match dice.random_range(0..16) {
            0..12 => SMALL.to_vec(),
            12..15 => BIG[..12].to_vec(),
            _ => BIG.to_vec(),
        };
        let edges_max = 40 * people.len() as u64;
        let mut schedule = Schedule {
            seed,
            swap: pick(&mut dice, &["auto", "auto", "always", "never"]),
            clear: pick(&mut dice, &["always", "always", "never"]),
            restore: "direct",
            body: Body::Heeded,
            replication_ms: pick(&mut dice, &[0, 0, 800, 8_000, 60_000]),
            latency_ms: pick(&mut dice, &[0, 20, 200]),
            writes: pick(&mut dice, &[20, 200, 2_000]),
            concurrency: pick(&mut dice, &[None, None, Some(1), Some(2), Some(5)]),
            window: pick(&mut dice, &WINDOWS),
            barrier_ms: pick(&mut dice, &[0, 1, 10]),
            takes_over: None,
            processes: processes(&mut dice, edges_max),
            faults: faults(&mut dice),
            spells: Vec::new(),
            deeds: deeds(&mut dice, people.len(), edges_max / 4),
            retry: None,
            verify: None,
            people,
            company: None,
            adopt: "proven",
        };
        // Drawn last, so that all else is as it was for this seed.
        schedule.restore = pick(&mut dice, &["direct", "direct", "direct", "plain"]);
        schedule.body = pick(&mut dice, &[Body::Heeded, Body::Heeded, Body::PassedOver, Body::Refused]);
        if seed % 4 == 3 {
            schedule.meet(&mut dice);
        }
        let after = dice.random_range(1..=3);
        let alone = schedule.company.is_none();
        schedule.takes_over = (dice.random_bool(0.3) && alone).then_some(after);
        schedule.spells = spells(&mut dice);
        if !alone && schedule.faults.is_empty() {
            schedule.spells.clear();
        }
        schedule.end(&mut dice, edges_max);
        schedule
    }

    /// What is done with the run once it has finished. A run that took people over is not tried again.
    fn end(&mut self, dice: &mut ChaCha8Rng, edges_max: u64) {
        let retry = stress(dice, edges_max);
        self.retry = (dice.random_bool(0.5) && self.takes_over.is_none()).then_some(retry);
        let outside = deed(dice, self.people.len());
        let outside = dice.random_bool(0.7).then_some(outside);
        self.verify = dice.random_bool(0.5).then_some(Verify { outside });
    }

    /// The rows touch each other instead.
    fn meet(&mut self, dice: &mut ChaCha8Rng) {
        let company = &COMPANIES[dice.random_range(0..COMPANIES.len())];
        self.people = company.lines.iter().map(|line| line.upn).collect();
        self.company = Some(company);
        self.adopt = pick(dice, &["proven", "always"]);
        // In the managed domain, too.
        self.swap = "always";
        self.deeds.clear();
        if dice.random_bool(0.3) {
            self.faults.clear();
            if dice.random_bool(0.5) {
                self.processes.clear();
            }
        }
    }

    /// The number of the GUID that a person's row brings.
    pub fn anchor(&self, person: usize) -> usize {
        self.company.map_or(person, |company| company.lines[person].anchor)
    }

    /// How the rows must end, sorted, where nothing stands in their way. Where a replica lags, a value that a row has just got may
    /// seem free to a row of the next process; the service refuses that then.
    pub fn ends(&self) -> Option<&'static [&'static str]> {
        let is_seen = self.replication_ms == 0 || self.processes.iter().all(Stress::is_calm);
        let is_calm = self.faults.is_empty() && self.spells.is_empty() && is_seen;
        let company = self.company.filter(|_| is_calm)?;
        (company.lines.len() == self.people.len()).then_some(company.ends)
    }
}

/// Statuses of pages.
const PAGES: [u16; 8] = [200, 302, 403, 404, 407, 429, 502, 503];

/// Refusals that may pass: a permission or a licence that was taken away, a replica that lags, a service that errs.
const REFUSALS: [(u16, &str); 7] = [
    (400, "Request_BadRequest"),
    (403, "Authorization_RequestDenied"),
    (403, "AadPremiumLicenseRequired"),
    (404, "Request_ResourceNotFound"),
    (409, "somethingElse"),
    (409, "Directory_ConcurrencyViolation"),
    (405, "Request_BadRequest"),
];

fn spells(dice: &mut ChaCha8Rng) -> Vec<Spell> {
    if !dice.random_bool(0.4) {
        return Vec::new();
    }
    let count = dice.random_range(1..4);
    let spells = (0..count).map(|_| {
        let status = pick(dice, &PAGES);
        let (refused, code) = pick(dice, &REFUSALS);
        Spell {
            from_ms: dice.random_range(0..60_000),
            lasts_ms: dice.random_range(1..SPELL_MS_MAX),
            fault: match dice.random_range(0..4) {
                0 => Fault::PageBefore { status },
                1 => Fault::PageAfter { status },
                _ => Fault::Refused { status: refused, code },
            },
            writes_only: dice.random_bool(0.7),
        }
    });
    spells.collect()
}

fn pick<T: Copy>(dice: &mut ChaCha8Rng, from: &[T]) -> T {
    from[dice.random_range(0..from.len())]
}

fn processes(dice: &mut ChaCha8Rng, edges_max: u64) -> Vec<Stress> {
    (0..dice.random_range(0..6)).map(|_| stress(dice, edges_max)).collect()
}

fn stress(dice: &mut ChaCha8Rng, edges_max: u64) -> Stress {
    Stress {
        crash: dice.random_bool(0.7).then(|| Crash {
            edge: dice.random_range(0..edges_max),
            manner: if dice.random() { Manner::Kill } else { Manner::PowerCut(dice.random()) },
        }),
        disk_fails: dice.random_bool(0.1).then(|| dice.random_range(0..40)),
        orders: orders(dice),
        pause_ms: pick(dice, &[0, 10, 2_000, 30_000, 600_000]),
    }
}

fn orders(dice: &mut ChaCha8Rng) -> Vec<(u64, Order)> {
    let mut orders = Vec::new();
    if dice.random_bool(0.2) {
        let at_ms = dice.random_range(0..20_000);
        orders.push((at_ms, Order::Pause));
        // Nobody waits for ever.
        orders.push((at_ms + dice.random_range(1..100_000), Order::Continue));
    }
    if dice.random_bool(0.1) {
        let pace = pick(dice, &[1, 10, 2_000]);
        orders.push((dice.random_range(0..20_000), Order::Pace(pace)));
    }
    if dice.random_bool(0.25) {
        orders.push((dice.random_range(0..20_000), Order::Drain));
    }
    if dice.random_bool(0.1) {
        orders.push((dice.random_range(0..20_000), Order::StopNow));
    }
    orders.sort_by_key(|(at, _)| *at);
    orders
}

fn faults(dice: &mut ChaCha8Rng) -> BTreeMap<u64, Fault> {
    let share = pick(dice, &[0.0, 0.02, 0.1, 0.3]);
    let last = dice.random_range(FAULTY_REQUESTS);
    let mut faults = BTreeMap::new();
    for request in 0..last {
        if dice.random_bool(share) {
            faults.insert(request, fault(dice));
        }
    }
    if dice.random_bool(0.15) {
        // A storm: the service is down for a while, in one and the same way.
        let from = dice.random_range(0..100);
        let fault = fault(dice);
        for request in from..from + dice.random_range(3..40) {
            faults.insert(request, fault);
        }
    }
    faults
}

fn fault(dice: &mut ChaCha8Rng) -> Fault {
    let retry_after_s = pick(dice, &[None, Some(0), Some(1), Some(30)]);
    match dice.random_range(0..12) {
        0 => Fault::NotConnected,
        1 => Fault::LostBefore,
        2 | 3 => Fault::LostAfter,
        4 => Fault::Late { ms: dice.random_range(1..LATE_MS_MAX) },
        5 => Fault::ErrorBefore { retry_after_s },
        6 | 7 => Fault::ErrorAfter { retry_after_s },
        8 => Fault::Throttled { retry_after_s },
        9 => Fault::Unauthenticated,
        10 => Fault::Contended,
        _ => Fault::Slow { ms: dice.random_range(1..25_000) },
    }
}

fn deeds(dice: &mut ChaCha8Rng, people: usize, requests: u64) -> BTreeMap<u64, Deed> {
    if !dice.random_bool(0.25) {
        return BTreeMap::new();
    }
    (0..dice.random_range(1..4))
        .map(|_| {
            let deed = deed(dice, people);
            (dice.random_range(0..requests), deed)
        })
        .collect()
}

fn deed(dice: &mut ChaCha8Rng, people: usize) -> Deed {
    let kind = pick(dice, &[DeedKind::Anchor, DeedKind::Rename, DeedKind::Delete]);
    Deed { person: dice.random_range(0..people), kind }
}
