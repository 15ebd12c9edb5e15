//! Every state meets every event: the whole table is a snapshot to be read by eye, and walks through random replies check
//! what must hold whatever happens.

use super::*;
use crate::core::Problem;
use crate::job::{Decision, StepId};
use proptest::prelude::*;

fn rules() -> Rules {
    Rules {
        steps: vec![StepTraits { exposes: true }, StepTraits { exposes: false }],
        attempts_max: 3,
        undo_attempts_max: 3,
        looks_max: 4,
    }
}

fn problem(code: &str) -> Problem {
    Problem { code: code.into(), message: "m".into(), advice: "a".into() }
}

fn attempt(number: u32) -> Attempt {
    Attempt { step: StepId(0), number }
}

/// What is known of the writes of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Unsettled,
    Changed,
}

fn begun(course: &Course, phase: Phase, known: Known, exposed: bool) -> RowState {
    let changed = known == Known::Changed;
    let back = matches!(course, Course::Back(_));
    RowState::Active(Active {
        course: course.clone(),
        phase,
        progress: Progress {
            begun: vec![Begun {
                step: StepId(0),
                attempts: 2,
                undo_attempts: if back { 2 } else { 0 },
                applied: changed,
                unsettled: known == Known::Unsettled,
                undo_given_up: false,
            }],
            changed,
            exposed,
            looks: 0,
            last_problem: None,
        },
    })
}

/// A row that wrote, and was tried as often as it may be.
fn ended(ending: Ending) -> RowState {
    let state = begun(&Course::Back(problem("")), Phase::Observing, Known::Changed, true);
    let RowState::Active(active) = state else {
        panic!("it is under way");
    };
    let progress = active.progress;
    RowState::Ended(Ended { ending, progress })
}

fn states() -> Vec<(String, RowState)> {
    let mut all = vec![("waiting".to_string(), RowState::Waiting)];
    let phases = [
        Phase::Observing,
        Phase::Intending(attempt(2)),
        Phase::Applying(attempt(2)),
        Phase::Doubtful(attempt(2)),
        Phase::Verifying,
    ];
    for course in [Course::Forward, Course::Back(problem("cause"))] {
        for phase in phases {
            let known = [Known::Nothing, Known::Unsettled, Known::Changed];
            for (known, exposed) in known.into_iter().flat_map(|k| [(k, false), (k, true)]) {
                if matches!(course, Course::Back(_)) && known == Known::Nothing {
                    continue;
                }
                let state = begun(&course, phase, known, exposed);
                let marks = format!(
                    "{}{}",
                    match known {
                        Known::Nothing => "",
                        Known::Unsettled => " unsettled",
                        Known::Changed => " changed",
                    },
                    if exposed { " exposed" } else { "" }
                );
                let direction = if course == Course::Forward { "" } else { "back " };
                all.push((format!("{direction}{phase:?}{marks}"), state));
            }
        }
    }
    let endings = [
        Ending::Done,
        Ending::Unchanged,
        Ending::Refused(problem("cause")),
        Ending::Failed(problem("cause")),
        Ending::Reverted(problem("cause")),
        Ending::Held(problem("cause")),
        Ending::Stranded(problem("cause")),
    ];
    for ending in endings {
        all.push((format!("ended {}", ending.outcome()), ended(ending)));
    }
    all
}

fn decisions() -> Vec<Decision> {
    vec![
        Decision::Next(StepId(0)),
        Decision::Next(StepId(1)),
        Decision::Goal,
        Decision::Adrift(problem("adrift")),
        Decision::Refused(vec![problem("barred")]),
        Decision::Unknowable(problem("unknowable")),
    ]
}

fn events() -> Vec<Event> {
    let mut all = vec![
        Event::Admitted,
        Event::Rejected(problem("rejected")),
        Event::Lagging,
        Event::Unobservable(problem("unobservable")),
        Event::Durable(attempt(2)),
        Event::Refused(attempt(2), problem("refused")),
        Event::Refused(attempt(1), problem("late")),
        Event::Contended(attempt(2), problem("contended")),
        Event::Doubted(attempt(2), problem("doubted")),
        Event::Recovered,
        Event::Retried { by: "ann".into() },
        Event::RolledBack(problem("rollback")),
    ];
    for look in [Look::Next(StepId(1)), Look::Rest, Look::Again] {
        all.push(Event::Applied(attempt(2), Forecast { look, exposed: false }));
    }
    for decision in decisions() {
        for exposed in [false, true] {
            all.push(Event::Observed(Observation { decision: decision.clone(), exposed }));
        }
    }
    all
}

fn short(event: &Event) -> String {
    match event {
        Event::Rejected(problem) => format!("Rejected({})", problem.code),
        Event::Unobservable(problem) => format!("Unobservable({})", problem.code),
        Event::Refused(attempt, problem) => format!("Refused#{} {}", attempt.number, problem.code),
        Event::Contended(attempt, _) => format!("Contended#{}", attempt.number),
        Event::Doubted(attempt, _) => format!("Doubted#{}", attempt.number),
        Event::Durable(attempt) => format!("Durable#{}", attempt.number),
        Event::Applied(attempt, forecast) => {
            format!("Applied#{} {:?}", attempt.number, forecast.look)
        }
        Event::Observed(observation) => {
            let decision = match &observation.decision {
                Decision::Next(step) => format!("next {}", step.0),
                Decision::Goal => "goal".into(),
                Decision::Adrift(_) => "adrift".into(),
                Decision::Refused(_) => "refused".into(),
                Decision::Unknowable(_) => "unknowable".into(),
            };
            let exposed = if observation.exposed { " exposed" } else { "" };
            format!("Observed {decision}{exposed}")
        }
        Event::RolledBack(_) => "RolledBack".into(),
        Event::Retried { .. } => "Retried".into(),
        Event::Admitted | Event::Lagging | Event::Recovered => format!("{event:?}"),
    }
}

fn shape(state: &RowState) -> String {
    match state {
        RowState::Waiting => "waiting".into(),
        RowState::Ended(ended) => match ended.ending.problem() {
            Some(problem) => format!("{} ({})", state.outcome(), problem.code),
            None => state.outcome().to_string(),
        },
        RowState::Active(active) => {
            let step = match active.phase {
                Phase::Observing | Phase::Verifying => String::new(),
                Phase::Intending(a) | Phase::Applying(a) | Phase::Doubtful(a) => {
                    format!(" {}#{}", a.step.0, a.number)
                }
            };
            let progress = &active.progress;
            format!(
                "{}{step}{}{}{}",
                state.name(),
                if progress.changed { " changed" } else { "" },
                if progress.exposed { " exposed" } else { "" },
                if matches!(active.course, Course::Back(_)) { " <back>" } else { "" }
            )
        }
    }
}

#[test]
fn every_state_meets_every_event() {
    let mut table = String::new();
    for (name, state) in states() {
        table.push_str(&format!("{name}\n"));
        for event in events() {
            let line = match state.clone().on(event.clone(), &rules()) {
                Ok(Move { state, effect, took_effect }) => {
                    format!("{} -> {effect:?}{}", shape(&state), if took_effect { " took effect" } else { "" })
                }
                Err(_) => continue,
            };
            table.push_str(&format!("    {:<32} {line}\n", short(&event)));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_illegal_move_names_state_and_event() {
    let error = ended(Ending::Done).on(Event::Admitted, &rules()).unwrap_err();
    assert_eq!(error.to_string(), "a row that is done cannot take the event Admitted");
}

#[test]
fn attempts_of_a_step_are_bounded_and_the_last_trouble_is_told() {
    let mut state = RowState::Waiting.on(Event::Admitted, &rules()).unwrap().state;
    for number in 1..=3 {
        let seen = Event::Observed(Observation { decision: Decision::Next(StepId(1)), exposed: false });
        let token = Attempt { step: StepId(1), number };
        let Move { state: next, effect, .. } = state.on(seen, &rules()).unwrap();
        assert_eq!(effect, Effect::Persist(token));
        let Move { state: next, effect, .. } = next.on(Event::Durable(token), &rules()).unwrap();
        assert_eq!(effect, Effect::Send(token));
        state = next.on(Event::Doubted(token, problem("timeout")), &rules()).unwrap().state;
    }
    let seen = Event::Observed(Observation { decision: Decision::Next(StepId(1)), exposed: false });
    // Three doubts that no read has answered: whether anything has happened is looked for on the way back.
    let Move { state: back, effect, .. } = state.on(seen, &rules()).unwrap();
    assert_eq!((back.name(), effect), ("failing", Effect::Observe));
    let seen = Event::Observed(Observation { decision: Decision::Goal, exposed: false });
    let Move { state: end, effect, .. } = back.on(seen, &rules()).unwrap();
    assert_eq!(effect, Effect::Finish);
    let RowState::Ended(Ended { ending: Ending::Failed(problem), .. }) = end else { panic!("{end:?}") };
    assert_eq!(problem.code, "timeout");
    assert_eq!(problem.message, "m (gave up after 3 attempts)");
}

/// What a driver may answer to an effect, drawn from a number.
fn answer(effect: Effect, draw: u8) -> Event {
    match effect {
        Effect::Observe | Effect::ObserveLater => match draw % 20 {
            0 => Event::Lagging,
            1 => Event::Unobservable(problem("unobservable")),
            2 => Event::Recovered,
            n => {
                let all = decisions();
                Event::Observed(Observation { decision: all[usize::from(n) % all.len()].clone(), exposed: draw >= 128 })
            }
        },
        Effect::Persist(attempt) => match draw % 8 {
            0 => Event::Recovered,
            _ => Event::Durable(attempt),
        },
        Effect::Send(attempt) => match draw % 8 {
            0 => Event::Refused(attempt, problem("refused")),
            1 => Event::Contended(attempt, problem("contended")),
            2 => Event::Doubted(attempt, problem("doubted")),
            3 => Event::Recovered,
            n => Event::Applied(
                attempt,
                Forecast {
                    look: [Look::Next(StepId(1)), Look::Rest, Look::Again, Look::Rest][usize::from(n - 4)],
                    exposed: draw >= 128,
                },
            ),
        },
        Effect::Finish | Effect::Nothing => Event::Recovered,
    }
}

/// Drives a row until it ends; returns where, and how many writes were sent.
fn walk(begun: Move, draws: &[u8]) -> Result<(RowState, u32), TestCaseError> {
    let rules = rules();
    let Move { mut state, mut effect, .. } = begun;
    let mut durable = None;
    let mut sent = 0_u32;
    for draw in draws {
        if effect == Effect::Finish {
            break;
        }
        if let Effect::Send(attempt) = effect {
            prop_assert_eq!(durable, Some(attempt));
            sent += 1;
        }
        let event = answer(effect, *draw);
        if let Event::Durable(attempt) = event {
            durable = Some(attempt);
        }
        let exposed_now = match &event {
            Event::Observed(observation) => Some(observation.exposed),
            _ => None,
        };
        Move { state, effect, .. } = state.on(event, &rules).unwrap();
        if let (RowState::Ended(_), Some(true)) = (&state, exposed_now) {
            let word = state.outcome();
            prop_assert!(
                matches!(word, Outcome::Stranded | Outcome::Done | Outcome::Unchanged),
                "{word} though exposed"
            );
        }
    }
    prop_assert!(matches!(state, RowState::Ended(_)), "still {}", state.name());
    Ok((state, sent))
}

proptest! {
    /// Whatever the replies, the row ends; nothing is sent that was not made durable first; and nobody who is known to be
    /// exposed ends under a harmless word.
    #[test]
    fn every_walk_ends_and_keeps_the_promises(draws in proptest::collection::vec(any::<u8>(), 400)) {
        let rules = rules();
        let begun = RowState::Waiting.on(Event::Admitted, &rules).unwrap();
        let (_, sent) = walk(begun, &draws)?;
        prop_assert!(sent <= 2 * (rules.attempts_max + rules.undo_attempts_max));
    }

    /// A row begins again only from an end that allows it, with all its tries; and whatever was written before is remembered:
    /// nobody who was changed ends as if they had not been.
    #[test]
    fn a_row_that_begins_again_ends_again(
        first in proptest::collection::vec(any::<u8>(), 400),
        again in proptest::collection::vec(any::<u8>(), 400),
        back: bool,
    ) {
        let rules = rules();
        let begun = RowState::Waiting.on(Event::Admitted, &rules).unwrap();
        let (ended, _) = walk(begun, &first)?;
        let outcome = ended.outcome();
        let event = match back {
            true => Event::RolledBack(problem("rollback")),
            false => Event::Retried { by: "ann".into() },
        };
        let may = match back {
            true => outcome == Outcome::Done,
            false => !matches!(outcome, Outcome::Done | Outcome::Unchanged),
        };
        let reopened = ended.on(event, &rules);
        prop_assert_eq!(reopened.is_ok(), may);
        if let Ok(reopened) = reopened {
            let RowState::Active(active) = &reopened.state else {
                panic!("it is under way");
            };
            let touched = active.progress.touched();
            let (end, sent) = walk(reopened, &again)?;
            prop_assert!(sent <= 2 * (rules.attempts_max + rules.undo_attempts_max));
            let untouched = matches!(end.outcome(), Outcome::Unchanged | Outcome::Refused);
            prop_assert!(!(touched && untouched), "{} though changed", end.outcome());
            prop_assert!(!back || !matches!(end.outcome(), Outcome::Done | Outcome::Unchanged));
        }
    }
}
