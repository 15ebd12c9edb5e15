//! Runs a shipped job with the program's own runner against the simulated tenant, on simulated time, and answers everything that
//! was sent.

use super::line::{Exchange, Line, Trouble};
use super::parts::Tagged;
use super::scenario::Scenario;
use crate::doubles::{Inline, MemoryStore};
use cutover::batch::Input;
use cutover::job::{AppFacts, Job};
use cutover::journal::storage::FolderStorage;
use cutover::journal::{Journal, RunId, Session};
use cutover::machine::Outcome;
use cutover::runner::admission::Admission;
use cutover::runner::claims::Claims;
use cutover::runner::directory::DirectoryBatcher;
use cutover::runner::preflight::prepare;
use cutover::runner::start::{Order, begin};
use cutover::runner::stop::AdmissionGate;
use cutover::runner::worker::Work;
use cutover::runner::{Clock, Dispatcher, Gauges, MaxFailed, Policy, Schedule, Services};
use cutover::services::budget::Budget;
use cutover::services::{Graph, GraphLimits, Patience, Registry};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

const BEGAN_MS: u64 = 1_790_000_000_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// Rows in flight: all of a small file.
const IN_FLIGHT: usize = 64;

/// Goes with tokio's clock.
struct Simulated(Instant);

impl Clock for Simulated {
    fn now(&self) -> u64 {
        BEGAN_MS + self.0.elapsed().as_millis() as u64
    }
}

/// Everything that one run sends.
pub fn run(tagged: &Tagged, scenario: &Scenario, given: &[(String, String)], trouble: Trouble) -> Vec<Exchange> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work(tagged, scenario, given, trouble))
}

async fn work(tagged: &Tagged, scenario: &Scenario, given: &[(String, String)], trouble: Trouble) -> Vec<Exchange> {
    let folder = TempDir::new().unwrap();
    let job = &tagged.job;
    let clock: Arc<dyn Clock> = Arc::new(Simulated(Instant::now()));
    let tenant = Arc::new(scenario.tenant());
    let line = Arc::new(Line::new(&tenant, trouble));
    let (journal, session) = begun(folder.path(), job, &scenario.csv, given, &*clock).await;
    let services = Arc::new(services(scenario, &line, &clock, &session));
    let params = &session.header().params;
    let ready = prepare(job, params, &services).await.unwrap();
    let bad: Vec<_> = ready.bad().collect();
    assert!(bad.is_empty(), "{bad:?}");
    let settings = ready.settings.unwrap();
    line.begin_rows();
    // The reader first: opening it is what makes the run's counts those of its rows.
    let reader = session.reader().await.unwrap();
    let run = session.run();
    let admission = Admission::new(reader, &run, &job.layout).unwrap();
    let session = Arc::new(session);
    let work = Arc::new(Work {
        services,
        job: Arc::new(job.clone()),
        settings,
        session: Arc::clone(&session),
        claims: Claims::new(&session),
        exposure_gate: Arc::default(),
        gate: AdmissionGate::default(),
    });
    let policy = Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX };
    let dispatcher = Dispatcher::new(work, admission, &run, Some(IN_FLIGHT), policy, Schedule::default(), Vec::new());
    let (_nobody_commands, commands) = mpsc::channel(1);
    let end = dispatcher.run(commands).await;
    assert!(end.stopped.is_none() && end.journal.is_none(), "{end:?}");
    drop(session.reader().await.unwrap());
    let run = session.run();
    let began = run.rows - run.outcome_count(Outcome::Refused);
    assert!(began > 0, "of {} rows none was begun", run.rows);
    assert_eq!(run.outcome_count(Outcome::Pending), 0);
    drop(journal);
    line.exchanges()
}

async fn begun(
    folder: &std::path::Path,
    job: &Job,
    csv: &str,
    given: &[(String, String)],
    clock: &dyn Clock,
) -> (Journal, Session) {
    let file = folder.join("people.csv");
    std::fs::write(&file, csv).unwrap();
    let input: Input = cutover::batch::open(&file, &job.layout).unwrap();
    let disk = FolderStorage::of(folder);
    std::fs::create_dir_all(disk.folder()).unwrap();
    let barrier = Duration::from_millis(5);
    let inline = Arc::new(Inline { barrier });
    let store = Arc::new(MemoryStore::default());
    let journal = Journal::assemble(folder, Arc::new(disk), store, inline).unwrap();
    let order = Order {
        run: RunId(Uuid::now_v7()),
        job,
        params: job.parameters(given).unwrap(),
        input: &input,
        target: "simulated".into(),
        target_spec: "sim".into(),
        write_quota: "1000/s".into(),
        operator: "nobody".into(),
        plan: None,
        adopts: None,
    };
    let (session, _) =
        begin(&journal, &order, None, std::collections::BTreeMap::new(), clock, &mut |_| ()).await.unwrap();
    (journal, session)
}

fn services(scenario: &Scenario, line: &Arc<Line>, clock: &Arc<dyn Clock>, session: &Session) -> Services {
    let fast = "1000/s".parse().unwrap();
    let premises = Arc::new(scenario.directory.clone());
    let queries = Budget::new("queries", fast);
    Services {
        directory: Some(DirectoryBatcher::new(premises, queries, 4, PATIENCE)),
        registry: Registry::of(
            Arc::new(Graph::new(
                Arc::clone(line) as _,
                "contoso.test",
                GraphLimits { writes: fast, reads: fast, identity_protection: fast },
                Patience { silence: PATIENCE, sign_in: PATIENCE },
            )),
            Vec::new(),
        ),
        app: AppFacts::default(),
        clock: Arc::clone(clock),
        run: session.header().id.0,
        process_at: clock.now(),
        gauges: Gauges::default(),
    }
}

/// Values of parameters: the defaults, every other value alone, and every two of them together.
pub fn settings(job: &Job) -> Vec<Vec<(String, String)>> {
    let others: Vec<(String, String)> = job
        .params
        .iter()
        .flat_map(|param| {
            let others = param.values.iter().filter(|value| **value != param.default);
            others.map(|value| (param.name.clone(), value.clone()))
        })
        .collect();
    let mut settings = one_at_a_time(job);
    for (at, one) in others.iter().enumerate() {
        let fitting = others[at + 1..].iter().filter(|other| other.0 != one.0);
        settings.extend(fitting.map(|other| vec![one.clone(), other.clone()]));
    }
    settings
}

/// The defaults, and every other value of every parameter alone.
pub fn one_at_a_time(job: &Job) -> Vec<Vec<(String, String)>> {
    let others = job.params.iter().flat_map(|param| {
        let others = param.values.iter().filter(|value| **value != param.default);
        others.map(|value| vec![(param.name.clone(), value.clone())])
    });
    std::iter::once(Vec::new()).chain(others).collect()
}
