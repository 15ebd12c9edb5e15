//! Every kind of record, with any content, for the properties of records.

use cutover::batch::Digest;
use cutover::core::Problem;
use cutover::job::{Decision, StepId};
use cutover::journal::line::Entry;
use cutover::journal::{
    Adoption, Facts, InputFacts, InputRow, Planned, RowNumber, RowRecord, RunHeader, RunId, Seal, Stop, Transition,
};
use cutover::machine::{Attempt, Event, Forecast, Look, Observation, Rules, StepTraits};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", "(?s).{0,12}"]
}

fn problem() -> impl Strategy<Value = Problem> {
    (text(), text(), text()).prop_map(|(code, message, advice)| Problem { code, message, advice })
}

fn step() -> impl Strategy<Value = StepId> {
    prop_oneof![(0_u8..3).prop_map(StepId), any::<u8>().prop_map(StepId)]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let number = prop_oneof![1_u32..3, any::<u32>()];
    (step(), number).prop_map(|(step, number)| Attempt { step, number })
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        step().prop_map(Decision::Next),
        Just(Decision::Goal),
        problem().prop_map(Decision::Adrift),
        prop::collection::vec(problem(), 0..3).prop_map(Decision::Refused),
        problem().prop_map(Decision::Unknowable),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![step().prop_map(Look::Next), Just(Look::Rest), Just(Look::Again)]
}

fn event() -> impl Strategy<Value = Event> {
    let observation = (decision(), any::<bool>()).prop_map(|(decision, exposed)| Observation { decision, exposed });
    let forecast = (look(), any::<bool>()).prop_map(|(look, exposed)| Forecast { look, exposed });
    prop_oneof![
        Just(Event::Admitted),
        problem().prop_map(Event::Rejected),
        observation.prop_map(Event::Observed),
        Just(Event::Lagging),
        problem().prop_map(Event::Unobservable),
        attempt().prop_map(Event::Durable),
        (attempt(), forecast).prop_map(|(attempt, forecast)| Event::Applied(attempt, forecast)),
        (attempt(), problem()).prop_map(|(attempt, problem)| Event::Refused(attempt, problem)),
        (attempt(), problem()).prop_map(|(attempt, problem)| Event::Contended(attempt, problem)),
        (attempt(), problem()).prop_map(|(attempt, problem)| Event::Doubted(attempt, problem)),
        Just(Event::Recovered),
    ]
}

/// Small numbers, and the greatest one, which nothing may be added to.
fn count() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..9, Just(u32::MAX)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..99, Just(u64::MAX)]
}

fn row_number() -> impl Strategy<Value = RowNumber> {
    prop_oneof![0_u64..9, Just(u64::MAX)].prop_map(RowNumber)
}

/// A state is a JSON object as text.
fn state_of(text: String) -> String {
    serde_json::json!({ "is": text }).to_string()
}

fn facts() -> impl Strategy<Value = Facts> {
    let state = || option::of(text());
    let report = option::of(vec(text(), 0..3));
    let warnings = option::of(vec(problem(), 0..3));
    (warnings, state(), state(), count(), count(), state(), report, state()).prop_map(
        |(warnings, before, expected, reads, throttled, request_id, report, account)| Facts {
            warnings,
            account,
            before: before.map(state_of),
            expected: expected.map(state_of),
            reads,
            throttled,
            request_id,
            report,
        },
    )
}

fn transition() -> impl Strategy<Value = Transition> {
    let events = vec((time(), event()), 0..4);
    (row_number(), events, facts()).prop_map(|(row, events, facts)| Transition { row, events, facts })
}

fn adoption() -> impl Strategy<Value = Adoption> {
    let counts = (count(), count());
    (row_number(), time(), row_number(), transition(), counts).prop_map(
        |(row, at, from_row, transition, (attempts, writes))| {
            let mut record = RowRecord::default();
            // Whether or not it can go this way.
            let _illegal = record.apply(
                transition,
                &Rules {
                    steps: vec![StepTraits { exposes: true }; 3],
                    attempts_max: 9,
                    undo_attempts_max: 9,
                    looks_max: 9,
                },
            );
            Adoption {
                row,
                at,
                from: RunId(Uuid::from_u128(9)),
                from_row,
                record: RowRecord { attempts, writes, ..record },
            }
        },
    )
}

fn stop() -> impl Strategy<Value = Stop> {
    prop_oneof![Just(Stop::Finished), text().prop_map(Stop::Requested), text().prop_map(Stop::Fault),]
}

fn input_row() -> impl Strategy<Value = InputRow> {
    let planned = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Planned::Absent)),
        1 => any::<[u8; 16]>().prop_map(|seal| Some(Planned::Sealed(Seal(seal)))),
    ];
    (row_number(), any::<u64>(), vec(text(), 0..3), planned).prop_map(|(number, line, cells, planned)| InputRow {
        number,
        line,
        cells,
        planned,
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let steps = vec(any::<bool>().prop_map(|exposes| StepTraits { exposes }), 0..3);
    (steps, count(), count(), count()).prop_map(|(steps, attempts_max, undo_attempts_max, looks_max)| Rules {
        steps,
        attempts_max,
        undo_attempts_max,
        looks_max,
    })
}

fn header() -> impl Strategy<Value = RunHeader> {
    let names = || vec(text(), 0..3);
    let params = btree_map(text(), text(), 0..3);
    let texts = proptest::array::uniform8(text());
    (any::<u128>(), rules(), names(), names(), params, texts, time()).prop_map(
        |(id, rules, steps, report_columns, params, texts, started_at)| {
            let [program, job, source, path, target, target_spec, write_quota, operator] = texts;
            RunHeader {
                id: RunId(Uuid::from_u128(id)),
                program,
                job,
                job_digest: Digest::of(source.as_bytes()),
                job_source: source,
                rules,
                steps,
                report_columns,
                params,
                input: InputFacts {
                    digest: Digest::of(path.as_bytes()),
                    path,
                    header: vec!["upn".into()],
                    mapping: cutover::batch::header::map(&super::layout(), &["upn".to_owned()], 1).mapping,
                    key_cell: 0,
                },
                target,
                target_spec,
                write_quota,
                operator,
                started_at,
                plan: (id % 2 == 0).then(|| Digest::of(b"plan")),
                adopts: (id % 3 == 0).then(|| RunId(Uuid::from_u128(id / 3))),
            }
        },
    )
}

/// Any entry.
pub fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        1 => header().prop_map(Entry::began),
        6 => later_entry(),
    ]
}

/// Any entry but the first of a log.
pub fn later_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        1 => vec(input_row(), 0..3).prop_map(Entry::Rows),
        1 => (any::<u64>(), time()).prop_map(|(rows, at)| Entry::Imported { rows, at }),
        1 => (time(), text()).prop_map(|(at, program)| Entry::Opened { at, program }),
        4 => transition().prop_map(Entry::Moved),
        1 => (time(), stop()).prop_map(|(at, stop)| Entry::Closed { at, stop }),
        2 => adoption().prop_map(|adoption| Entry::Adopted(Box::new(adoption))),
    ]
}

/// The records of a log: the first one begins a run, as the others may or may not follow from it.
pub fn log() -> impl Strategy<Value = Vec<Entry>> {
    let first = header().prop_map(|header| Entry::began(RunHeader { id: RunId(Uuid::from_u128(7)), ..header }));
    let imported = Just(Entry::Imported { rows: 3, at: 1 });
    (first, imported, vec(later_entry(), 0..5), any::<bool>()).prop_map(|(first, imported, later, is_imported)| {
        let imported = is_imported.then_some(imported);
        [first].into_iter().chain(imported).chain(later).collect()
    })
}
