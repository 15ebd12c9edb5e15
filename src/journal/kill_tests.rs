//! What is stored is what the log says, at every moment: a session commits, is killed between any two groups, leaves a
//! checkpoint from any moment since its last flush, and goes on. Whatever happened, a verification finds nothing.
//!
//! `CUTOVER_KILL_WORLDS=n` sets the number of worlds, `CUTOVER_KILL_WORLD=seed` replays one.

use super::row::{Facts, RowNumber, RowRecord, Transition};
use super::run::Stop;
use super::session::Session;
use super::session_tests::rules;
use super::test_world::{World, groups, input_row, problem, run_header};
use super::{Journal, RunReader};
use crate::job::{Decision, StepId};
use crate::machine::{Effect, Event, Forecast, Look, Observation, RowState};
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

const WORLDS: u64 = 300;
const ROWS: u64 = 12;
const SESSIONS_MAX: u32 = 4;
const COMMITS_MAX: u32 = 40;

#[tokio::test(start_paused = true)]
async fn whatever_is_killed_the_checkpoint_says_what_the_log_says() {
    if let Some(seed) = number("CUTOVER_KILL_WORLD") {
        return live_through(seed).await;
    }
    for seed in 0..number("CUTOVER_KILL_WORLDS").unwrap_or(WORLDS) {
        live_through(seed).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

async fn live_through(seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let world = World::of(&groups());
    world.disk.remove_all();
    world.store.lose();
    let mut clock = 100;
    let mut session = Some(begin(&world.journal(), &mut dice).await);
    for process in 1..=dice.random_range(1..=SESSIONS_MAX) {
        let journal = world.journal();
        let session = match session.take() {
            Some(session) => session,
            None => journal.resume(&journal.find(None).unwrap()).unwrap(),
        };
        session.opened(clock).await.unwrap();
        work(&session, &mut clock, &mut dice).await;
        if dice.random_bool(0.3) {
            session.close(clock, Stop::Requested("enough".into())).await.whole().unwrap();
        } else {
            session.kill().await;
        }
        if dice.random_bool(0.7) {
            world.store.throw_back(dice.random_range(0..=world.store.unflushed()));
        }
        let verdict = world.verdict(None);
        assert!(verdict.ok, "seed {seed}, process {process}: {verdict:#?}");
        assert_ne!(verdict.records, 0);
    }
}

async fn begin(journal: &Journal, dice: &mut impl Rng) -> Session {
    let mut import = journal.begin(run_header()).unwrap();
    for row in 1..=ROWS {
        import.push(input_row(row)).unwrap();
        if dice.random_bool(0.2) {
            import.reject(RowNumber(row), 50, problem("Guid")).unwrap();
        }
    }
    import.finish(60).await.unwrap()
}

/// Drives rows as a worker does, in any order, and stops anywhere.
async fn work(session: &Session, clock: &mut u64, dice: &mut impl Rng) {
    let reader = session.reader().await.unwrap();
    let mut rows: Vec<Row> = (1..=ROWS).filter_map(|row| Row::of(&reader, row)).collect();
    for _ in 0..dice.random_range(0..=COMMITS_MAX) {
        if rows.is_empty() {
            return;
        }
        let at = dice.random_range(0..rows.len());
        rows[at].go_on(session, clock, dice).await;
        if matches!(rows[at].stored.state, RowState::Ended(_)) {
            rows.swap_remove(at);
        }
    }
}

struct Row {
    number: RowNumber,
    stored: Arc<RowRecord>,
    next: Option<Effect>,
}

impl Row {
    /// None when it has ended.
    fn of(reader: &RunReader, row: u64) -> Option<Row> {
        let number = RowNumber(row);
        let stored = reader.row(number).unwrap().unwrap_or_default();
        let ended = matches!(stored.state, RowState::Ended(_));
        (!ended).then_some(Row { number, stored: Arc::new(stored), next: None })
    }

    /// Until the next transition is committed.
    async fn go_on(&mut self, session: &Session, clock: &mut u64, dice: &mut impl Rng) {
        let mut live = (*self.stored).clone();
        let mut events = Vec::new();
        let mut effect = self.next.take();
        loop {
            let event = match effect {
                None if live.state == RowState::Waiting => Event::Admitted,
                None => Event::Recovered,
                Some(Effect::Observe | Effect::ObserveLater | Effect::Nothing) => seen(dice),
                Some(Effect::Send(attempt)) => answer(attempt, dice),
                Some(Effect::Persist(_) | Effect::Finish) => break,
            };
            *clock += dice.random_range(0..5);
            effect = Some(live.take(*clock, event.clone(), &rules()).unwrap());
            events.push((*clock, event));
        }
        let facts = Facts { reads: dice.random_range(0..3), throttled: dice.random_range(0..2), ..Facts::default() };
        live.learn(facts.clone());
        self.stored = Arc::new(live);
        session.commit(Transition { row: self.number, events, facts }, &self.stored).await.unwrap();
        if let Some(Effect::Persist(attempt)) = effect {
            self.durable(attempt, session, *clock).await;
        }
    }

    async fn durable(&mut self, attempt: crate::machine::Attempt, session: &Session, at: u64) {
        let event = Event::Durable(attempt);
        Arc::make_mut(&mut self.stored).take(at, event.clone(), &rules()).unwrap();
        session.post(Transition::of(self.number, at, event), &self.stored).unwrap();
        self.next = Some(Effect::Send(attempt));
    }
}

fn seen(dice: &mut impl Rng) -> Event {
    let decision = match dice.random_range(0..10) {
        0..5 => Decision::Next(StepId(0)),
        5..7 => Decision::Goal,
        7 => Decision::Adrift(problem("Adrift")),
        _ => return Event::Lagging,
    };
    Event::Observed(Observation { decision, exposed: dice.random_bool(0.5) })
}

fn answer(attempt: crate::machine::Attempt, dice: &mut impl Rng) -> Event {
    match dice.random_range(0..5) {
        0 => Event::Doubted(attempt, problem("timeout")),
        1 => Event::Refused(attempt, problem("refused")),
        2 => Event::Contended(attempt, problem("contended")),
        _ => Event::Applied(attempt, Forecast { look: Look::Rest, exposed: dice.random_bool(0.5) }),
    }
}
