//! A run written, cut off, and opened again: the log alone is enough, and nothing is invented.

use super::*;
use crate::batch::{Column, Layout};
use crate::core::Problem;
use crate::job::{Decision, StepId};
use crate::machine::{Attempt, Event, Observation, Outcome, Rules, StepTraits};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        command: "test".into(),
        run: None,
        since: "2026-01-01T00:00:00Z".into(),
        control: None,
    }
}

pub(super) fn rules() -> Rules {
    Rules { steps: vec![StepTraits { exposes: true }], attempts_max: 3, undo_attempts_max: 3, looks_max: 3 }
}

pub(super) fn header(dir: &Path) -> RunHeader {
    let csv = dir.join("in.csv");
    std::fs::write(&csv, "upn\nann@contoso.com\n").unwrap();
    let layout = Layout {
        columns: vec![Column {
            name: "upn".into(),
            kind: crate::values::CellKind::Upn,
            aliases: Vec::new(),
            required: true,
            unique: Some("UPN".into()),
        }],
        key: 0,
    };
    let input = crate::batch::open(&csv, &layout).unwrap();
    RunHeader {
        id: RunId(Uuid::now_v7()),
        program: "0".into(),
        job: "job".into(),
        job_source: String::new(),
        job_digest: input.digest.clone(),
        rules: rules(),
        steps: vec!["step".into()],
        report_columns: Vec::new(),
        params: BTreeMap::new(),
        input: InputFacts {
            path: csv.display().to_string(),
            digest: input.digest,
            header: input.header,
            mapping: input.mapping,
            key_cell: 0,
        },
        target: "t".into(),
        target_spec: "sim".into(),
        write_quota: "1/s".into(),
        operator: "me".into(),
        started_at: 1,
        plan: None,
        adopts: None,
    }
}

fn row(number: u64) -> InputRow {
    InputRow {
        number: RowNumber(number),
        line: number + 1,
        cells: vec![format!("p{number}@contoso.com")],
        planned: None,
    }
}

pub(super) async fn import(journal: &Journal, header: RunHeader, rows: u64) -> Session {
    let mut import = journal.begin(header).unwrap();
    for number in 1..=rows {
        import.push(row(number)).unwrap();
    }
    let problem = Problem { code: "Guid".into(), message: "m".into(), advice: "a".into() };
    import.reject(RowNumber(2), 5, problem.clone()).unwrap();
    import.reject(RowNumber(2), 6, problem).unwrap();
    import.finish(7).await.unwrap()
}

pub(super) fn intended(number: u64) -> Transition {
    let seen = Observation { decision: Decision::Next(StepId(0)), exposed: false };
    Transition {
        row: RowNumber(number),
        events: vec![(10, Event::Admitted), (10, Event::Observed(seen))],
        facts: Facts { before: Some("{\"a\":1}".into()), reads: 1, ..Facts::default() },
    }
}

pub(super) async fn commit(session: &Session, transition: Transition) -> RowRecord {
    let mut record = RowRecord::default();
    record.apply(transition.clone(), &rules()).unwrap();
    session.commit(transition, &Arc::new(record.clone())).await.unwrap();
    record
}

/// What the journal says of every row.
pub(super) fn rows_of(journal: &Journal, run: &RunRecord) -> Vec<(u64, Vec<String>, Option<RowRecord>)> {
    let mut rows = Vec::new();
    let mut reader = journal.reader(run).unwrap();
    reader
        .each::<JournalError>(|input, record| {
            rows.push((input.number.0, input.cells.clone(), record.cloned()));
            Ok(())
        })
        .unwrap();
    rows
}

fn active(reader: &RunReader) -> Vec<RowNumber> {
    reader.active().into_iter().map(|(row, _)| row).collect()
}

#[tokio::test]
async fn a_run_that_was_cut_off_stands_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 600).await;
    let kept = commit(&session, intended(300)).await;
    session.kill().await;
    drop(journal);

    let journal = Journal::open(&place, &holder()).unwrap();
    let run = journal.find(None).unwrap();
    assert_eq!((run.rows, run.state.clone()), (600, RunState::Open));
    assert_eq!(run.outcome_count(Outcome::Refused), 1, "refused once, though said twice");
    assert_eq!(run.outcome_count(Outcome::Pending), 599);
    let rows = rows_of(&journal, &run);
    assert_eq!(rows.len(), 600);
    assert_eq!(rows[299].2, Some(kept));
    assert_eq!(rows[599].1, ["p600@contoso.com"]);
    let mut reader = journal.reader(&run).unwrap();
    assert_eq!(active(&reader), [RowNumber(300)]);
    assert_eq!(reader.input(RowNumber(257)).unwrap(), Some(row(257)));
    assert_eq!(reader.input(RowNumber(601)).unwrap(), None);
}

/// The writer's answer came before the checkpoint's thread was told, and a reading in between missed what had just been stored.
#[tokio::test]
async fn what_was_committed_is_in_the_next_reading() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("journal"), &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 200).await;
    for number in 3..=200 {
        let kept = commit(&session, intended(number)).await;
        let reader = session.reader().await.unwrap();
        assert_eq!(reader.row(RowNumber(number)).unwrap(), Some(kept), "row {number}");
    }
}

#[tokio::test]
async fn the_checkpoint_is_built_again_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 300).await;
    commit(&session, intended(7)).await;
    let run = session.close(20, Stop::Requested("enough".into())).await.whole().unwrap();
    let rows = rows_of(&journal, &run);
    drop(journal);
    std::fs::remove_dir_all(place.join("checkpoint")).unwrap();

    let journal = Journal::open(&place, &holder()).unwrap();
    let rebuilt = journal.find(None).unwrap();
    assert_eq!(rebuilt, run);
    assert_eq!(rows_of(&journal, &rebuilt), rows);
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 3).await;
    let id = session.header().id;
    commit(&session, intended(1)).await;
    session.kill().await;
    drop(journal);
    let log = place.join("runs").join(format!("{id}.log"));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.extend_from_slice(&[0x5a; 100]);
    std::fs::write(&log, bytes).unwrap();

    let journal = Journal::open(&place, &holder()).unwrap();
    let run = journal.find(None).unwrap();
    let session = journal.resume(&run).unwrap();
    session.opened(30).await.unwrap();
    commit(&session, intended(3)).await;
    let run = session.close(40, Stop::Finished).await.whole().unwrap();
    assert_eq!(rows_of(&journal, &run).iter().filter(|row| row.2.is_some()).count(), 3);
}

#[test]
fn a_run_whose_rows_were_not_all_copied_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let mut import = journal.begin(header(dir.path())).unwrap();
    (1..=600).for_each(|number| import.push(row(number)).unwrap());
    drop(import);
    drop(journal);

    let journal = Journal::open(&place, &holder()).unwrap();
    assert!(journal.runs().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(place.join("runs")).unwrap().count(), 0);
}

/// A kill takes the checkpoint back to what it last flushed; a log that was removed stays removed.
#[test]
fn a_discarded_run_that_the_checkpoint_brings_back_is_forgotten_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    drop(Journal::open(&place, &holder()).unwrap());
    let header = header(dir.path());
    let id = header.id;
    let store = sled_store::SledStore::open(&place).unwrap().0;
    let half = RunRecord::new(header, scan::Head::genesis(id));
    let mut fold = fold::RunFold::new(half, BTreeMap::new(), Vec::new());
    let mut cache = cache::Cache::new(Arc::new(store));
    cache.write(&mut fold).unwrap();
    cache.flush().unwrap();
    drop(cache);

    let journal = Journal::open(&place, &holder()).unwrap();
    assert!(journal.runs().unwrap().is_empty());
    let found = journal.find(None);
    assert!(matches!(found, Err(JournalError::NoRun { .. })), "{found:?}");
}

#[tokio::test]
async fn an_edited_record_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 3).await;
    let id = session.header().id;
    for number in [1, 3] {
        commit(&session, intended(number)).await;
    }
    session.kill().await;
    drop(journal);
    std::fs::remove_dir_all(place.join("checkpoint")).unwrap();
    let log = place.join("runs").join(format!("{id}.log"));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&log, bytes).unwrap();

    let error = Journal::open(&place, &holder()).err().unwrap();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn attempts_and_doubts_are_counted_from_events() {
    let token = Attempt { step: StepId(0), number: 1 };
    let problem = Problem { code: "timeout".into(), message: "m".into(), advice: "a".into() };
    let goal = Observation { decision: Decision::Goal, exposed: false };
    let mut transition = intended(1);
    let events = [Event::Durable(token), Event::Doubted(token, problem), Event::Observed(goal)];
    transition.events.extend(events.map(|event| (10, event)));
    let mut record = RowRecord::default();
    record.apply(transition, &rules()).unwrap();
    assert_eq!(record.outcome(), Outcome::Done);
    assert_eq!((record.attempts, record.writes), (1, 1), "the doubtful write took effect");
    assert_eq!(record.begun, [StepId(0)]);
}

/// The write may have waited long for its permit, and left only just before the process died.
#[test]
fn patience_with_an_intent_left_behind_begins_at_the_restart() {
    let mut record = RowRecord::default();
    record.apply(intended(1), &rules()).unwrap();
    assert_eq!(record.left_at, None);
    record.take(5_000, Event::Recovered, &rules()).unwrap();
    assert_eq!(record.left_at, Some(5_000));
    // What was in doubt already has waited from then on.
    record.take(6_000, Event::Recovered, &rules()).unwrap();
    assert_eq!(record.left_at, Some(5_000));
}

/// A first read takes its time: the row began before it, and is said to also when the log is read again.
#[tokio::test]
async fn a_row_began_when_it_was_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 3).await;
    let mut transition = intended(1);
    transition.events[0].0 = 8;
    assert_eq!(commit(&session, transition).await.begun_at, Some(8));
    session.kill().await;
    drop(journal);
    std::fs::remove_dir_all(place.join("checkpoint")).unwrap();

    let journal = Journal::open(&place, &holder()).unwrap();
    let run = journal.find(None).unwrap();
    let record = rows_of(&journal, &run)[0].2.clone().unwrap();
    assert_eq!((record.begun_at, record.intended_at), (Some(8), Some(10)));
}

/// What readers find without the checkpoint is what the checkpoint says, whether or not the summary is there and whole.
#[tokio::test]
async fn readers_come_to_the_same_with_and_without_a_summary() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let session = import(&journal, header(dir.path()), 300).await;
    let id = session.header().id;
    for number in [1, 3] {
        commit(&session, intended(number)).await;
    }
    let summary = place.join("checkpoint").join(format!("{id}.json"));
    session.close(20, Stop::Requested("enough".into())).await.whole().unwrap();
    let run = journal.find(None).unwrap();
    let early = std::fs::read(&summary).unwrap();
    let session = journal.resume(&run).unwrap();
    session.opened(30).await.unwrap();
    commit(&session, intended(5)).await;
    let run = session.close(40, Stop::Finished).await.whole().unwrap();
    let whole = std::fs::read(&summary).unwrap();
    let seen = || {
        let snapshot = Snapshot::take(&place).unwrap();
        let mut seen = snapshot.find(None).unwrap();
        let mut reader = snapshot.reader(&seen).unwrap();
        let exposed = reader.exposed().unwrap().into_iter();
        let exposed: Vec<u64> = exposed.map(|(input, _)| input.number.0).collect();
        assert_eq!(exposed, [1, 3, 5]);
        seen.begun_through = run.begun_through;
        seen
    };
    assert_eq!((run.exposed, seen()), (3, run.clone()));
    for other in [&early[..], &whole[..whole.len() / 2], b"", b"{}\n00000000\n"] {
        std::fs::write(&summary, other).unwrap();
        assert_eq!(seen(), run);
    }
    std::fs::remove_file(&summary).unwrap();
    assert_eq!(seen(), run);
}

/// Found by reading logs of any records: sums went over the greatest number.
#[tokio::test]
async fn the_greatest_numbers_in_a_log_end_no_program() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let journal = Journal::open(&place, &holder()).unwrap();
    let mut session = import(&journal, header(dir.path()), 3).await;
    let mut transition = intended(u64::MAX);
    transition.facts.reads = u32::MAX;
    transition.facts.throttled = u32::MAX;
    let first = commit(&session, transition.clone()).await;
    let mut second = first.clone();
    transition.events = vec![(10, Event::Recovered)];
    second.apply(transition.clone(), &rules()).unwrap();
    session.commit(transition, &Arc::new(second.clone())).await.unwrap();
    for _ in 0..2 {
        let stop = Stop::Requested("enough".into());
        let run = session.close(u64::MAX, stop).await.whole().unwrap();
        session = journal.resume(&run).unwrap();
        session.opened(0).await.unwrap();
    }
    session.kill().await;
    drop(journal);
    std::fs::remove_dir_all(place.join("checkpoint")).unwrap();

    let journal = Journal::open(&place, &holder()).unwrap();
    let run = journal.find(None).unwrap();
    assert_eq!(run.worked_ms(), u64::MAX);
    assert_eq!(run.reads, u64::from(u32::MAX));
    let mut reader = journal.reader(&run).unwrap();
    assert_eq!(reader.row(RowNumber(u64::MAX)).unwrap(), Some(second));
    assert!(reader.input(RowNumber(u64::MAX)).unwrap().is_none());
}

fn seen_as(number: u64, account: &str) -> Transition {
    let mut transition = intended(number);
    transition.facts.account = Some(account.into());
    transition
}

/// Whose account is whose is part of the fold: a checkpoint that is built again from the log knows it, too. And somebody who is
/// half way in a run is that run's for as long as it has not ended.
#[tokio::test]
async fn an_account_is_its_rows_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let first = header(dir.path());
    let id = first.id;
    let mut elsewhere = header(dir.path());
    elsewhere.target = "another".into();
    {
        let journal = Journal::open(dir.path(), &holder()).unwrap();
        let session = import(&journal, first, 4).await;
        commit(&session, seen_as(3, "ann")).await;
        commit(&session, seen_as(1, "bob")).await;
        session.close(20, Stop::Requested("enough".into())).await.whole().unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("checkpoint")).unwrap();
    let journal = Journal::open(dir.path(), &holder()).unwrap();
    let run = journal.find(Some(&id.to_string())).unwrap();
    let reader = journal.reader(&run).unwrap();
    let owner = |account| reader.owner(account).unwrap();
    assert_eq!(
        [owner("ann"), owner("bob"), owner("cid"), owner("an")],
        [Some(RowNumber(3)), Some(RowNumber(1)), None, None]
    );
    let second = import(&journal, header(dir.path()), 4).await;
    let half_way = |session: &Session| session.half_way_elsewhere("ann").unwrap();
    assert_eq!(half_way(&second), Some((id, RowNumber(3))));
    assert_eq!(second.owner("ann").unwrap(), None);
    let other_target = import(&journal, elsewhere, 4).await;
    assert_eq!(half_way(&other_target), None);
}

/// The new run knows the row from its own log alone, and from the moment on at which its rows are all copied, the old one cannot
/// go on: not a moment sooner, and for good.
#[tokio::test]
async fn a_row_that_was_taken_over_is_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let (first, mut second) = (header(dir.path()), header(dir.path()));
    let (id, by) = (first.id, second.id);
    second.adopts = Some(id);
    let journal = Journal::open(dir.path(), &holder()).unwrap();
    let session = import(&journal, first, 4).await;
    let left = commit(&session, intended(3)).await;
    let stop = Stop::Requested("enough".into());
    session.close(20, stop.clone()).await.whole().unwrap();
    assert!(left.is_half_way() && left.exposure(&rules()).is_some());
    assert_eq!(journal.find(None).unwrap().id(), id);

    let mut import = journal.begin(second).unwrap();
    (1..=4).for_each(|number| import.push(row(number)).unwrap());
    let adoption = Adoption { row: RowNumber(2), at: 30, from: id, from_row: RowNumber(3), record: left.clone() };
    import.adopt(adoption).unwrap();
    assert_eq!(journal.taken_over_by(id).unwrap(), None);
    let session = import.finish(31).await.unwrap();
    session.close(40, stop).await.whole().unwrap();
    drop(journal);
    std::fs::remove_dir_all(dir.path().join("checkpoint")).unwrap();

    let journal = Journal::open(dir.path(), &holder()).unwrap();
    assert_eq!(journal.taken_over_by(id).unwrap(), Some(by));
    let run = |id: RunId| journal.find(Some(&id.to_string())).unwrap();
    assert!(matches!(
        journal.resume(&run(id)),
        Err(JournalError::TakenOver { run, by: taker }) if run == id && taker == by
    ));
    let mut reader = journal.reader(&run(by)).unwrap();
    assert_eq!(reader.row(RowNumber(2)).unwrap(), Some(left.taken_over()));
    assert_eq!(active(&reader), [RowNumber(2)]);
    let (input, _) = &reader.half_way().unwrap()[0];
    assert_eq!(input.number, RowNumber(2));
    assert_eq!(journal.find(None).unwrap().id(), by);
}
