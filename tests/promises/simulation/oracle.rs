//! What must be true, said without the program's help: it knows what the tenant saw, what lay safely on the disk at that
//! moment, and the rules of the job in words of its own.

use super::disk::{SimDisk, SimStore};
use super::schedule::{Fault, Spell};
use super::world::{Account, World, accounts, anchor, is_away};
use crate::doubles::MemoryLogFile;
use cutover::journal::error::LogError;
use cutover::journal::line::Entry;
use cutover::journal::log::inspect;
use cutover::journal::scan::Head;
use cutover::journal::verify::{Kind, Request, verify_in};
use cutover::journal::{JournalError, RowRecord, RunId, Transition};
use cutover::machine::{Outcome, Phase, RowState, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What lies safely in the log, folded as far as it was looked at.
pub struct Ledger {
    disk: Arc<SimDisk>,
    /// The run that is worked on, and how much of its log was looked at.
    at: Option<(RunId, Head)>,
    safe: Folded,
    /// Which rows wrote to which account.
    wrote: Wrote,
    complaints: Vec<String>,
}

/// The rows that wrote to an account, by its id.
pub type Wrote = BTreeMap<String, BTreeSet<u64>>;

impl Ledger {
    pub fn new(disk: Arc<SimDisk>) -> Ledger {
        Ledger { disk, at: None, safe: Folded::default(), wrote: Wrote::default(), complaints: Vec::new() }
    }

    /// Which rows wrote to which account.
    pub fn wrote(&self) -> &Wrote {
        &self.wrote
    }

    /// This run is worked on from now on.
    pub fn follow(&mut self, run: RunId) {
        if self.at.is_none_or(|(known, _)| known != run) {
            self.at = Some((run, genesis(run)));
            self.safe = Folded::default();
        }
    }

    /// Promise 1: when a write leaves, its intent and the before-image are durable.
    pub fn write_leaves(&mut self, account: Option<&str>, number: u64) {
        if let Err(error) = self.look() {
            if self.complaints.is_empty() {
                self.complaints.push(format!("#{number}: the safe part of the log: {error}"));
            }
            return;
        }
        let rows = self.safe.rows.iter();
        let rows = rows.filter(|(_, row)| account.is_some() && is_of(row, account));
        let intending = rows.clone().filter(|(_, row)| is_intending(row));
        let intending: BTreeSet<u64> = intending.map(|(number, _)| *number).collect();
        if intending.is_empty() {
            let states: Vec<_> = rows.map(|(_, row)| row.state.name()).collect();
            self.complaints
                .push(format!("#{number}: a write for {account:?} left, and its durable rows were {states:?}"));
        }
        if let Some(account) = account {
            let wrote = self.wrote.entry(account.to_owned()).or_default();
            wrote.extend(intending);
        }
    }

    /// Reads what has become safe since the last look.
    fn look(&mut self) -> Result<(), JournalError> {
        let Some((run, head)) = self.at else {
            return Ok(());
        };
        let Some(file) = self.disk.file(run) else {
            return Ok(());
        };
        let head = self.safe.take(head, file.lock().unwrap().safe())?;
        self.at = Some((run, head));
        Ok(())
    }

    /// Who has to go first now.
    pub fn urgent(&self, world: &World) -> Result<Urgent, JournalError> {
        // What a killed process wrote and did not sync is still there, and counts.
        let mut there = Folded::default();
        if let Some((run, _)) = self.at
            && let Some(file) = self.disk.file(run)
        {
            there.take(genesis(run), file.lock().unwrap().there())?;
        }
        let Some(rules) = &there.rules else {
            return Ok(Urgent::default());
        };
        let under_way = |person: &usize| {
            let row = there.rows.get(&(*person as u64 + 1));
            row.is_some_and(|row| matches!(row.state, RowState::Active(_)))
        };
        let maybe = there.rows.iter().filter(|(_, row)| row.may_be_exposed(rules) || row.is_going_back());
        let maybe = maybe.map(|(number, _)| *number as usize - 1);
        let exposed = exposed(world).into_iter().filter(under_way);
        Ok(Urgent {
            exposed: exposed.map(|person| world.same_as(person)).collect(),
            maybe: maybe.map(|person| world.same_as(person)).collect(),
        })
    }

    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

fn genesis(run: RunId) -> Head {
    Head::genesis(run)
}

/// Rows, folded from a log.
#[derive(Default)]
struct Folded {
    rules: Option<Rules>,
    rows: BTreeMap<u64, RowRecord>,
}

impl Folded {
    /// Takes in what lies behind `from`, and answers where that ends.
    fn take(&mut self, from: Head, bytes: &[u8]) -> Result<Head, JournalError> {
        let medium = MemoryLogFile::holding(bytes.to_vec());
        let (head, _) = inspect::<JournalError>(&medium, from, |group| {
            for line in group.lines() {
                match Entry::decode(&line.record())? {
                    Entry::Began { run, format: _ } => self.rules = Some(run.rules),
                    Entry::Moved(transition) => self.moved(transition)?,
                    Entry::Reopened(reopening) => self.moved(reopening.moved)?,
                    Entry::Adopted(adoption) => {
                        let row = adoption.record.taken_over();
                        self.rows.insert(adoption.row.0, row);
                    }
                    Entry::Rows(_) | Entry::Imported { .. } | Entry::Opened { .. } | Entry::Closed { .. } => {}
                }
            }
            Ok(())
        })?;
        Ok(head)
    }

    fn moved(&mut self, transition: Transition) -> Result<(), JournalError> {
        let (row, rules) = (transition.row, self.rules.as_ref().unwrap());
        let record = self.rows.entry(row.0).or_default();
        record.apply(transition, rules).map_err(|source| JournalError::Impossible { row, source })
    }
}

fn is_of(row: &RowRecord, account: Option<&str>) -> bool {
    let before = row.before.as_deref();
    let before = before.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    before.is_some_and(|before| before["id"].as_str() == account)
}

fn is_intending(row: &RowRecord) -> bool {
    match &row.state {
        RowState::Active(active) => matches!(active.phase, Phase::Intending(_)),
        RowState::Waiting | RowState::Ended(_) => false,
    }
}

/// Whether an error of the journal is one that a disk which fails may cause.
pub fn is_of_the_disk(error: &JournalError) -> bool {
    matches!(error, JournalError::Log(LogError::Write { .. }) | JournalError::NoRoom { .. })
}

/// People who stand at their temporary UPN and did not before; `spared` are told of elsewhere.
pub fn exposed(world: &World) -> Vec<usize> {
    let now = accounts(&world.tenant);
    let people = world.ids.iter().enumerate();
    let moved = people.filter(|(person, id)| {
        let upn = world.schedule.people[*person];
        let Some(id) = id else { return false };
        let (Some(before), Some(now)) = (world.before.get(id), now.get(id)) else {
            return false;
        };
        before.upn.eq_ignore_ascii_case(upn) && !now.deleted && is_away(upn, &now.upn) && !is_away(upn, upn)
    });
    moved.map(|(person, _)| person).collect()
}

/// Who has to go first after a crash.
#[derive(Debug, Default)]
pub struct Urgent {
    /// They are under way, and exposed.
    exposed: BTreeSet<usize>,
    /// As far as the journal can know, they may be, too; or they are on their way back, which comes before all else.
    maybe: BTreeSet<usize>,
}

/// Promise 5, second half: after a crash, exposed rows go first. The requests of the process are those from number `from`
/// on. Once the disk fails, whoever needs a word in the journal first, as they do, is not worked on any more.
pub fn exposed_came_last(world: &World, from: usize, urgent: &Urgent) -> Option<String> {
    let seen = world.seen();
    let mut waiting = urgent.exposed.clone();
    let until = world.seen_by_a_good_disk().max(from);
    for person in seen[from..until].iter().flat_map(|request| request.people.iter().copied()) {
        waiting.remove(&person);
        if !urgent.maybe.contains(&person) && !waiting.is_empty() {
            return Some(format!("person {person} came before {waiting:?}, who are exposed"));
        }
    }
    None
}

/// What a process handed over with its transitions, and so what the checkpoint has, is what the log folds to.
pub fn checkpoint_differs(disk: &SimDisk, store: &SimStore) -> Vec<String> {
    // A log that cannot be verified is for whoever opens it.
    let verdicts = verify_in(Path::new(""), disk, store, &Request::default()).unwrap_or_default();
    let findings = verdicts.into_iter().flat_map(|verdict| verdict.findings);
    let differences = findings.filter(|finding| finding.kind == Kind::Checkpoint);
    differences.map(|finding| finding.message).collect()
}

/// How the program says that a row ended, by its number.
pub type Told = BTreeMap<u64, Outcome>;

/// How a row ended over two runs, of which the second began with what the first one had left of it.
pub fn over_both(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Outcome::Done | Outcome::Stranded | Outcome::Held, Outcome::Unchanged) => Outcome::Done,
        (Outcome::Reverted, Outcome::Refused | Outcome::Failed) => Outcome::Reverted,
        (Outcome::Stranded | Outcome::Held, Outcome::Refused | Outcome::Failed | Outcome::Reverted) => first,
        (_, second) => second,
    }
}

/// Promises 4 and 10: every row is told once, and truly, and none was changed in another's name.
pub fn judge(world: &World, told: &Told, wrote: &Wrote) -> Vec<String> {
    let now = accounts(&world.tenant);
    let meddled = world.meddled();
    let mut wrong = in_anothers_name(world, wrote, &now);
    for (person, upn) in world.schedule.people.iter().enumerate() {
        let Some(outcome) = told.get(&(person as u64 + 1)) else {
            wrong.push(format!("{upn} has no line"));
            continue;
        };
        let id = world.ids[person].as_ref();
        let row = person as u64 + 1;
        let others = id.and_then(|id| wrote.get(id)).into_iter().flatten();
        if others.clone().any(|other| *other != row) {
            // Its account is another row's.
            if !matches!(outcome, Outcome::Refused | Outcome::Failed) {
                wrong.push(format!("{upn} is told to be {outcome} beside {others:?}"));
            }
            continue;
        }
        let person = world.same_as(person);
        let case = Case {
            unreadable: longest_silence(world, person) >= READS_IN_VAIN,
            hindered: troubles(world, person) >= TROUBLES_MIN,
            upn,
            wanted: anchor(world.schedule.anchor(row as usize - 1)),
            before: id.and_then(|id| world.before.get(id)),
            now: id.and_then(|id| now.get(id)),
            touched: world.seen().iter().any(|seen| seen.people.contains(&person) && seen.writes && seen.changed),
        };
        if meddled.contains(&person) {
            continue;
        }
        if let Err(why) = case.check(*outcome) {
            wrong.push(format!("{upn} is told to be {outcome}, but {why}: {:?} -> {:?}", case.before, case.now));
        }
    }
    if told.len() != world.schedule.people.len() {
        wrong.push(format!("{} lines", told.len()));
    }
    wrong
}

/// Promise 10: an account is one row's, and gets no value but that row's.
fn in_anothers_name(world: &World, wrote: &Wrote, now: &BTreeMap<String, Account>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, rows) in wrote {
        if rows.len() > 1 {
            wrong.push(format!("the rows {rows:?} wrote to the account {id}"));
        }
    }
    let meddled = world.meddled();
    for (id, before) in &world.before {
        let persons = world.ids.iter().enumerate();
        let persons = persons.filter(|(_, own)| own.as_ref() == Some(id));
        let persons: Vec<usize> = persons.map(|(person, _)| person).collect();
        let Some(now) = now.get(id) else { continue };
        let new = now.immutable_id.as_ref();
        let is_its = |person: &usize| new == Some(&anchor(world.schedule.anchor(*person)));
        let is_meddled = persons.iter().any(|person| meddled.contains(person));
        if new.is_some() && new != before.immutable_id.as_ref() && !is_meddled && !persons.iter().any(is_its) {
            wrong.push(format!("{before:?} has become {now:?}"));
        }
    }
    wrong
}

/// Whoever can be changed one after the other is, where nothing goes wrong, and whoever cannot is refused.
pub fn not_as_expected(world: &World, told: &Told) -> Option<String> {
    let expected = world.schedule.ends()?;
    let mut ends: Vec<_> = told.values().map(|outcome| outcome.word()).collect();
    ends.sort_unstable();
    let company = world.schedule.company.map_or("", |company| company.name);
    (ends != expected).then(|| format!("{company}: the rows end {told:?}, and not {expected:?}"))
}

/// The code of a row that nobody was found for.
const NOBODY: &str = "NotFound";

/// Reads in a row without a good answer after which a row may be given up.
const READS_IN_VAIN: usize = 12;

/// Requests about a person that have to go wrong before anybody is given up half way.
const TROUBLES_MIN: usize = 12;

/// Requests about a person that something happened to.
fn troubles(world: &World, person: usize) -> usize {
    let seen = world.seen();
    let about = seen.iter().filter(|seen| seen.people.contains(&person));
    about.filter(|seen| seen.fault.is_some()).count()
}

fn longest_silence(world: &World, person: usize) -> usize {
    let seen = world.seen();
    let reads = seen.iter().filter(|seen| !seen.writes && seen.people.contains(&person));
    let (mut longest, mut silent) = (0, 0);
    for read in reads {
        silent = if read.fault.is_none() { 0 } else { silent + 1 };
        longest = longest.max(silent);
    }
    longest
}

struct Case<'a> {
    upn: &'a str,
    wanted: String,
    before: Option<&'a Account>,
    now: Option<&'a Account>,
    touched: bool,
    /// For so long nothing could be read that the program may give up.
    unreadable: bool,
    /// So much went wrong that the program may give up half way.
    hindered: bool,
}

impl Case<'_> {
    fn check(&self, outcome: Outcome) -> Result<(), &'static str> {
        let as_before = self.before == self.now;
        let must = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(why) };
        match outcome {
            Outcome::Done => must(self.is_at_goal(), "is not at the goal"),
            Outcome::Unchanged => {
                must(self.is_at_goal(), "is not at the goal")?;
                must(!self.touched, "was written to")
            }
            Outcome::Refused | Outcome::Failed => {
                must(as_before, "is not as before")?;
                must(!self.touched, "was written to")
            }
            Outcome::Reverted => must(as_before, "is not as before"),
            Outcome::Held => must(self.unreadable, "could be observed"),
            Outcome::Stranded => {
                let is_away = as_before && self.was_away();
                must(!as_before || is_away || self.unreadable, "is as before")?;
                must(self.hindered || self.was_away(), "was given up early")
            }
            Outcome::Pending => Err("the run has finished"),
        }
    }

    /// Somebody left the person away before the run.
    fn was_away(&self) -> bool {
        let is_away = |before: &Account| !before.upn.eq_ignore_ascii_case(self.upn);
        self.before.is_some_and(is_away)
    }

    fn is_at_goal(&self) -> bool {
        self.now.is_some_and(|now| is_at_goal(now, self.upn, &self.wanted))
    }
}

fn is_at_goal(now: &Account, upn: &str, wanted: &String) -> bool {
    !now.deleted && now.upn.eq_ignore_ascii_case(upn) && now.immutable_id.as_ref() == Some(wanted)
}

/// The rows that ended well and whose people are not at the goal now.
pub fn off_goal(world: &World, told: &Told) -> BTreeSet<u64> {
    let now = accounts(&world.tenant);
    let good = told.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done | Outcome::Unchanged));
    let off = good.filter(|(row, _)| {
        let person = **row as usize - 1;
        let account = world.ids[person].as_ref().and_then(|id| now.get(id));
        let wanted = anchor(world.schedule.anchor(person));
        !account.is_some_and(|account| is_at_goal(account, world.schedule.people[person], &wanted))
    });
    off.map(|(row, _)| *row).collect()
}

/// Whether a row is refused because nobody is there.
pub fn is_told_not_to_be_there(record: &RowRecord) -> bool {
    let problem = record.problem();
    record.outcome() == Outcome::Refused && problem.is_some_and(|problem| problem.code == NOBODY)
}

/// Nobody is told not to be there who is, unless the service itself says so. Where rows touch each other, one may have moved
/// the account to where the other does not look for it.
pub fn overlooked(world: &World, unfound: &[usize]) -> Vec<String> {
    let denies = |spell: &Spell| matches!(spell.fault, Fault::Refused { status: 404, .. });
    if world.schedule.company.is_some() || world.schedule.spells.iter().any(denies) {
        return Vec::new();
    }
    let meddled = world.meddled();
    let there = |person: &&usize| world.ids[**person].is_some() && !meddled.contains(person);
    let overlooked = unfound.iter().filter(there);
    overlooked.map(|person| format!("person {person} is there, and nobody was found")).collect()
}

/// Promise 6: in no window of the quota's period leave more writes than the quota allows.
pub fn over_quota(world: &World, count: usize, period_ms: u64) -> Option<String> {
    let seen = world.seen();
    let times: Vec<u64> = seen.iter().filter(|seen| seen.writes).map(|seen| seen.at_ms).collect();
    let window = times.windows(count + 1).find(|window| window[count] - window[0] < period_ms)?;
    Some(format!("{} writes within {} ms", count + 1, window[count] - window[0]))
}

/// Promise 3: a write that changes nothing is sent only after one whose answer was lost.
pub fn needless_writes(world: &World) -> Vec<String> {
    if world.schedule.replication_ms > 0 {
        // A stale read may make a write look needed.
        return Vec::new();
    }
    let (seen, meddled) = (world.seen(), world.meddled());
    let people = (0..world.schedule.people.len()).filter(|person| !meddled.contains(person));
    people
        .filter_map(|person| {
            let of = seen.iter().filter(|seen| seen.writes && seen.people.contains(&person));
            let needless = of.clone().filter(|seen| seen.answered && !seen.changed).count();
            let doubts = of.filter(|seen| !seen.answered).count();
            (needless > doubts).then(|| format!("person {person}: {needless} needless writes after {doubts} doubts"))
        })
        .collect()
}
