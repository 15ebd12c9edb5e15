//! One row and every sequence of replies: the whole of a small world, walked and not sampled.
//!
//! At every read the target may show the present or any past that a replica can still show, show nobody, or refuse for good;
//! at every write it may do it and say so, do it and say nothing, do nothing and say nothing, refuse, or ask to look again;
//! and everywhere the process may die. States that differ in nothing that matters are walked once. Whatever the
//! sequence, the row ends under a true word, nothing goes round for ever, and nobody is left exposed without being told
//! stranded.
//!
//! The job's bounds on attempts are lowered; `CUTOVER_ATTEMPTS=n` sets them for all (2 takes some ten minutes).

use cutover::core::Problem;
use cutover::job::{RowView, SHIPPED, Settings, State, Write, parse};
use cutover::journal::{RowNumber, RowRecord};
use cutover::machine::{Attempt, Effect, Event, Outcome, RowState, Rules};
use cutover::runner::assess::{Seen, nobody};
use cutover::runner::client::Costs;
use cutover::runner::observe::Found;
use cutover::runner::row::LiveRow;
use cutover::runner::start::rules_of;
use cutover::services::{Class, Fault};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// For how long a read may show what was before a write, in milliseconds: less than a write in doubt is looked for, or more.
const LAG_MS: u64 = 4_000;
const LONG_LAG_MS: u64 = 20_000;
const DOUBT_S: u64 = 10;
const REPLICATION_S: u64 = 30;

/// What a read and a write take, and a look that comes later.
const STEP_MS: u64 = 1_000;
const LATER_MS: u64 = 6_000;

const HOME: &str = "ann@contoso.com";
const AWAY: &str = "ann@contoso.onmicrosoft.com";
const OLD: &str = "b2xkIG9sZCBvbGQgb2xkIQ==";
const GUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const NEW: &str = "MyIRAFVEd2aImaq7zN3u/w==";
const ID: &str = "11111111-2222-3333-4444-555555555555";

/// What everybody here shares.
struct Setting {
    view: RowView,
    rules: Rules,
    lag_ms: u64,
}

/// A moment: the row as a process knows it, and the person as they are.
#[derive(Clone)]
struct Moment {
    row: LiveRow,
    /// The row as its log says.
    stored: RowRecord,
    effect: Effect,
    now: u64,
    person: State,
    /// What the person was, and until when a replica may still show it.
    pasts: Vec<(u64, State)>,
    /// A write has changed the person.
    touched: bool,
    /// A read was refused for good.
    blind: bool,
}

/// What leads from one moment to the next.
struct Move {
    label: &'static str,
    dies: bool,
    to: Moment,
}

impl Setting {
    fn new(bounds: &Bounds, restore: &str) -> Setting {
        let Bounds { attempts, undo_attempts, lag_ms } = bounds;
        // Whoever ships another job gives it a person here.
        assert_eq!(SHIPPED.len(), 1);
        let limits = format!(
            "\n[limits]\nattempts = {attempts}\nundo_attempts = {undo_attempts}\ndoubt_s = {DOUBT_S}\nreplication_s = {REPLICATION_S}\n"
        );
        let source = format!("{}{limits}", SHIPPED[0].source);
        let job = Arc::new(parse("small world", &source).unwrap());
        let domain = |id: &str, kind: &str, is_initial: bool| json!({"id": id, "authenticationType": kind, "isInitial": is_initial, "isVerified": true});
        let domains =
            json!([domain("contoso.com", "Federated", false), domain("contoso.onmicrosoft.com", "Managed", true)]);
        let refused = job.lookups.iter();
        let refused = refused.map(|lookup| (lookup.name.clone(), serde_json::Value::Null));
        let lookups = refused.chain([("domains".to_owned(), domains)]).collect();
        let given = [("restore".to_owned(), restore.to_owned())];
        let settings = Settings::new(&job.parameters(&given).unwrap(), &lookups);
        let columns = job.layout.columns.iter().map(|column| match &column.name[..] {
            "upn" => Some(HOME.to_owned()),
            "object_guid" => Some(GUID.to_owned()),
            _ => None,
        });
        let view = RowView::new(&job, &settings, &columns.collect::<Vec<_>>(), None).unwrap();
        Setting { rules: rules_of(&job), view, lag_ms: *lag_ms }
    }

    fn begin(&self, person: &State) -> Moment {
        let mut row = LiveRow::new(RowNumber(1), None, None);
        let effect = row.tell(row.beginning(), 0, &self.rules).unwrap();
        Moment {
            row,
            stored: RowRecord::default(),
            effect,
            now: 0,
            person: person.clone(),
            pasts: Vec::new(),
            touched: false,
            blind: false,
        }
    }

    fn moves(&self, moment: &Moment) -> Vec<Move> {
        match moment.effect {
            Effect::Observe => self.looks(moment, STEP_MS),
            Effect::ObserveLater => self.looks(&self.posted(moment), LATER_MS),
            Effect::Persist(attempt) => self.persists(moment, attempt),
            Effect::Send(attempt) => self.sends(moment, attempt),
            Effect::Finish | Effect::Nothing => Vec::new(),
        }
    }

    /// As the worker does before it waits.
    fn posted(&self, moment: &Moment) -> Moment {
        let mut moment = moment.clone();
        if moment.row.has_change() {
            self.store(&mut moment);
        }
        moment
    }

    /// What a process that reads the log comes to is what the one that wrote it had.
    fn store(&self, moment: &mut Moment) {
        let transition = moment.row.take_transition(Costs::default());
        moment.stored.apply(transition, &self.rules).expect("what was lived can be stored");
        assert_eq!(moment.stored, **moment.row.record());
    }

    fn tell(&self, moment: &mut Moment, event: Event) {
        let told = moment.row.tell(event, moment.now, &self.rules);
        moment.effect = told.expect("only what can happen is told");
    }

    fn takes_in(&self, moment: &mut Moment, seen: Seen, now: u64) {
        let assessment = moment.row.assess(&self.view, seen, now);
        let event = moment.row.take_in(&self.view, assessment);
        self.tell(moment, event);
    }

    fn dies(&self, moment: &Moment) -> Move {
        let mut to = moment.clone();
        to.now += STEP_MS;
        to.row = LiveRow::new(RowNumber(1), Some(moment.stored.clone()), None);
        to.effect = to.row.tell(to.row.beginning(), to.now, &self.rules).unwrap();
        Move { label: "dies", dies: true, to }
    }

    fn looks(&self, moment: &Moment, takes_ms: u64) -> Vec<Move> {
        let mut moment = self.posted(moment);
        moment.now += takes_ms;
        let now = moment.now;
        moment.pasts.retain(|(until, _)| *until > now);
        let mut shown = vec![("sees", Some(moment.person.clone()))];
        for (_, past) in &moment.pasts {
            if shown.iter().all(|(_, seen)| seen.as_ref() != Some(past)) {
                shown.push(("sees a past", Some(past.clone())));
            }
        }
        if !moment.pasts.is_empty() {
            shown.push(("sees nobody", None));
        }
        let mut moves: Vec<Move> = shown
            .into_iter()
            .map(|(label, seen)| {
                let mut to = moment.clone();
                let found = seen.map_or(Found::Nobody(nobody(None)), Found::One);
                self.takes_in(&mut to, Seen::Found(found), now);
                Move { label, dies: false, to }
            })
            .collect();
        let mut to = moment.clone();
        to.blind = true;
        self.takes_in(&mut to, Seen::Refused(problem("Denied")), now);
        moves.push(Move { label: "may not look", dies: false, to });
        moves.push(self.dies(&moment));
        moves
    }

    fn persists(&self, moment: &Moment, attempt: Attempt) -> Vec<Move> {
        let mut durable = moment.clone();
        self.store(&mut durable);
        let died_after = self.dies(&durable);
        self.tell(&mut durable, Event::Durable(attempt));
        let durable = Move { label: "is durable", dies: false, to: durable };
        vec![durable, self.dies(moment), died_after]
    }

    fn sends(&self, moment: &Moment, attempt: Attempt) -> Vec<Move> {
        let mut moment = moment.clone();
        moment.now += STEP_MS;
        let write = moment.row.write(&self.view, attempt).unwrap().unwrap();
        let done = self.done(&moment, &write.effect);
        let in_part = self.passes_over(&moment, &write);
        let mut moves = Vec::new();
        for (label, done) in [("does it", &done), ("does a part of it", &in_part)] {
            let Some(done) = done else { continue };
            let mut to = done.clone();
            let event = to.row.applied(&self.view, attempt, &write, to.now);
            self.tell(&mut to, event);
            moves.push((label, to));
        }
        let answers = |moment: &Moment, class| {
            let event = moment.row.unanswered(&self.view, attempt, &fault(class));
            self.told(moment, event)
        };
        let silent = Class::InDoubt;
        let and_silent = [("does it and says nothing", &done), ("does a part and says nothing", &in_part)];
        for (label, done) in and_silent {
            moves.extend(done.as_ref().map(|done| (label, answers(done, silent))));
        }
        moves.extend([
            ("does nothing and says nothing", answers(&moment, silent)),
            ("refuses", answers(&moment, Class::Denied)),
            ("does not know that", answers(&moment, Class::InvalidValue)),
            ("says look again", answers(&moment, Class::Contended)),
        ]);
        let lives = moves.into_iter().map(|(label, to)| Move { label, dies: false, to });
        lives
            .chain([self.dies(&moment)])
            .chain(done.map(|done| self.dies(&done)))
            .chain(in_part.map(|done| self.dies(&done)))
            .collect()
    }

    /// The person after the write, where a service that passes a part of its body over makes it another one.
    fn passes_over(&self, moment: &Moment, write: &Write) -> Option<Moment> {
        let body = write.request.body.as_ref()?;
        body.get("newUserPrincipalName")?;
        self.done(moment, &state(json!({"deleted": false, "userPrincipalName": HOME})))
    }

    fn told(&self, moment: &Moment, event: Event) -> Moment {
        let mut to = moment.clone();
        self.tell(&mut to, event);
        to
    }

    /// The person after the write; None where the service cannot do it, as there is nobody to restore or to delete.
    fn done(&self, moment: &Moment, effect: &State) -> Option<Moment> {
        let wanted = effect.get("deleted");
        if !wanted.is_none() && wanted == moment.person.get("deleted") {
            return None;
        }
        let mut to = moment.clone();
        to.person.merge(effect);
        if to.person != moment.person {
            to.pasts.push((to.now + self.lag_ms, moment.person.clone()));
            to.touched = true;
        }
        Some(to)
    }

    /// What is wrong with how the row ended.
    fn untrue(&self, before: &State, end: &Moment) -> Option<&'static str> {
        let person = &end.person;
        let is_home = person.get("userPrincipalName").as_str() == Some(HOME);
        let is_deleted = person.get("deleted").is_true();
        let at_goal = is_home && !is_deleted && person.get("onPremisesImmutableId").as_str() == Some(NEW);
        // Whoever was never seen is not known to be away.
        let was_seen = end.row.record().before.is_some();
        let was_away = was_seen && before.get("userPrincipalName").as_str() == Some(AWAY);
        let exposed = person.get("userPrincipalName").as_str() == Some(AWAY) && !is_deleted;
        let wrong = |wrong: bool, why| wrong.then_some(why);
        match end.row.record().outcome() {
            Outcome::Done => wrong(!at_goal, "done, and not at the goal"),
            Outcome::Unchanged => wrong(!at_goal || end.touched, "unchanged, and it is not so"),
            Outcome::Refused | Outcome::Failed => wrong(person != before || end.touched, "untouched, and it is not so")
                .or(wrong(was_away, "exposed, and not told")),
            Outcome::Reverted => {
                wrong(person != before, "reverted, and not as before").or(wrong(was_away, "exposed, and not told"))
            }
            Outcome::Held => wrong(!end.blind, "held, and it could be seen").or(wrong(exposed, "held, and exposed")),
            Outcome::Stranded => wrong(person == before && !was_away && !end.blind, "stranded, and as before"),
            Outcome::Pending => Some("not ended"),
        }
    }
}

fn fault(class: Class) -> Fault {
    Fault { class, code: String::new(), message: String::new(), status: None }
}

fn problem(code: &str) -> Problem {
    Problem { code: code.into(), message: String::new(), advice: String::new() }
}

fn person(upn: &str, immutable_id: Option<&str>, deleted: bool) -> State {
    let upn = if deleted { format!("{}{upn}", ID.replace('-', "")) } else { upn.to_owned() };
    state(json!({
        "id": ID,
        "userPrincipalName": upn,
        "onPremisesImmutableId": immutable_id,
        "onPremisesSyncEnabled": null,
        "deleted": deleted,
    }))
}

fn state(properties: Value) -> State {
    State::from_text(&properties.to_string()).unwrap()
}

/// What makes a moment different from others: times count from now, and only as far as they matter.
fn mark(moment: &Moment) -> u64 {
    let mut hasher = DefaultHasher::new();
    let since = |at: Option<u64>| at.map(|at| (moment.now - at).min(REPLICATION_S * 1_000));
    for record in [&**moment.row.record(), &moment.stored] {
        let RowRecord { before, expected, .. } = record;
        let state = postcard::to_stdvec(&without_words(&record.state)).unwrap();
        (state, before, expected, &record.begun).hash(&mut hasher);
        (since(record.left_at), since(record.took_effect_at)).hash(&mut hasher);
    }
    let unseen_ms = moment.row.unseen_since().map(|at| moment.now - at);
    unseen_ms.hash(&mut hasher);
    let pasts = moment.pasts.iter();
    let pasts: Vec<_> = pasts
        .filter(|(until, _)| *until > moment.now)
        .map(|(until, past)| (until - moment.now, past.to_text()))
        .collect();
    let known = moment.row.states().map(|states| states.now.to_text());
    (pasts, known, moment.person.to_text()).hash(&mut hasher);
    (format!("{:?}", moment.effect), moment.touched, moment.blind).hash(&mut hasher);
    hasher.finish()
}

/// A state without what is told to people and what only counts towards a bound far away.
fn without_words(state: &RowState) -> RowState {
    let mut state = state.clone();
    match &mut state {
        RowState::Active(active) => {
            active.progress.looks = 0;
            active.progress.last_problem = None;
            if let cutover::machine::Course::Back(cause) = &mut active.course {
                *cause = problem("");
            }
        }
        RowState::Waiting | RowState::Ended(_) => {}
    }
    state
}

/// Where a moment stands in the walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    /// On the way from the beginning to here; at this place of it.
    OnTheWay(usize),
    Done,
}

struct Frame {
    mark: u64,
    label: &'static str,
    dies: bool,
    moves: std::vec::IntoIter<Move>,
}

/// Walks every sequence from a beginning; answers how many moments there are, and in how many ways it ends.
fn walk(setting: &Setting, before: &State) -> (usize, HashMap<Outcome, usize>) {
    let mut colours = HashMap::new();
    let mut ends: HashMap<Outcome, usize> = HashMap::new();
    let mut way = Vec::new();
    let begin = setting.begin(before);
    enter(setting, &mut colours, &mut way, "begins", false, &begin);
    while let Some(frame) = way.last_mut() {
        let Some(next) = frame.moves.next() else {
            colours.insert(frame.mark, Colour::Done);
            way.pop();
            continue;
        };
        if next.to.effect == Effect::Finish {
            let told = setting.untrue(before, &next.to);
            assert!(told.is_none(), "{}: {}", path(&way, next.label), told.unwrap_or_default());
        }
        match colours.get(&mark(&next.to)) {
            Some(Colour::Done) => {}
            Some(Colour::OnTheWay(place)) => {
                // Who lets the process die again and again can go on for ever.
                let dies = next.dies || way[place + 1..].iter().any(|frame| frame.dies);
                assert!(dies, "it goes round: {}", path(&way, next.label));
            }
            None => {
                if next.to.effect == Effect::Finish {
                    *ends.entry(next.to.row.record().outcome()).or_default() += 1;
                }
                enter(setting, &mut colours, &mut way, next.label, next.dies, &next.to);
            }
        }
    }
    (colours.len(), ends)
}

fn enter(
    setting: &Setting,
    colours: &mut HashMap<u64, Colour>,
    way: &mut Vec<Frame>,
    label: &'static str,
    dies: bool,
    moment: &Moment,
) {
    let mark = mark(moment);
    colours.insert(mark, Colour::OnTheWay(way.len()));
    way.push(Frame { mark, label, dies, moves: setting.moves(moment).into_iter() });
}

fn path(way: &[Frame], last: &str) -> String {
    let labels = way.iter().map(|frame| frame.label).chain([last]);
    labels.collect::<Vec<_>>().join(" > ")
}

/// How often a step and its undo are tried, and how far replicas may be behind.
#[derive(Clone, Copy)]
struct Bounds {
    attempts: u32,
    undo_attempts: u32,
    lag_ms: u64,
}

/// Every attempt is the same again, and each of them multiplies the world: where a person takes all steps, one must do.
const ONCE: Bounds = Bounds { attempts: 1, undo_attempts: 1, lag_ms: LAG_MS };

const TWICE: Bounds = Bounds { attempts: 2, undo_attempts: 2, lag_ms: LAG_MS };

/// Replicas so slow that a write in doubt is sent again though it was done.
const SLOW: Bounds = Bounds { attempts: 2, undo_attempts: 1, lag_ms: LONG_LAG_MS };

const DIRECT: &str = "direct";
const PLAIN: &str = "plain";

#[test]
fn at_home() {
    ends_under_a_true_word(&person(HOME, Some(OLD), false), ONCE, DIRECT, Outcome::Done);
}

#[test]
fn deleted() {
    ends_under_a_true_word(&person(HOME, Some(OLD), true), ONCE, DIRECT, Outcome::Done);
}

#[test]
fn deleted_and_restored_plainly() {
    ends_under_a_true_word(&person(HOME, Some(OLD), true), ONCE, PLAIN, Outcome::Done);
}

#[test]
fn deleted_without_an_immutable_id() {
    ends_under_a_true_word(&person(HOME, None, true), ONCE, DIRECT, Outcome::Done);
}

#[test]
fn deleted_and_right_already() {
    ends_under_a_true_word(&person(HOME, Some(NEW), true), TWICE, DIRECT, Outcome::Done);
}

#[test]
fn without_an_immutable_id() {
    ends_under_a_true_word(&person(HOME, None, false), TWICE, DIRECT, Outcome::Done);
}

#[test]
fn left_at_the_temporary_upn() {
    ends_under_a_true_word(&person(AWAY, None, false), TWICE, DIRECT, Outcome::Done);
}

#[test]
fn right_already() {
    ends_under_a_true_word(&person(HOME, Some(NEW), false), TWICE, DIRECT, Outcome::Unchanged);
}

#[test]
fn slowly_shown() {
    ends_under_a_true_word(&person(HOME, None, false), SLOW, DIRECT, Outcome::Done);
}

/// Walks the world of one person; with good luck they end like this.
fn ends_under_a_true_word(before: &State, bounds: Bounds, restore: &str, good: Outcome) {
    let asked = std::env::var("CUTOVER_ATTEMPTS").map(|text| text.parse().unwrap());
    let bounds = asked.map_or(bounds, |attempts| Bounds { attempts, undo_attempts: attempts, ..bounds });
    let (moments, ends) = walk(&Setting::new(&bounds, restore), before);
    println!("{moments} moments, ends {ends:?}");
    assert!(ends.contains_key(&good), "{ends:?}");
    assert!(!ends.contains_key(&Outcome::Pending), "{ends:?}");
}
