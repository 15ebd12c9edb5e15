//! A run of the library against a service that a test puts in Graph's place, without a process: its journal is in a folder that is
//! thrown away, its time is whatever the test's clock says.

use crate::doubles::{Inline, MemoryStore};
use cutover::job::{AppFacts, Job, Settings};
use cutover::journal::storage::FolderStorage;
use cutover::journal::{Journal, RunId, Session};
use cutover::runner::admission::{Admission, Selection};
use cutover::runner::claims::Claims;
use cutover::runner::directory::DirectoryBatcher;
use cutover::runner::start::{Order, copy};
use cutover::runner::stop::AdmissionGate;
use cutover::runner::worker::Work;
use cutover::runner::{Clock, Dispatcher, Gauges, MaxFailed, Policy, Schedule, Services};
use cutover::services::{Graph, GraphLimits, Patience, Registry, Transport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(300);

/// A run that has begun.
pub struct LibraryRun {
    pub session: Arc<Session>,
    pub services: Arc<Services>,
    job: Arc<Job>,
    _journal: Journal,
    _folder: TempDir,
}

/// What a run is made of.
pub struct Parts<'a> {
    pub job: &'a Job,
    /// The rows, header first.
    pub csv: &'a str,
    pub params: &'a [(String, String)],
    pub clock: Arc<dyn Clock>,
    pub transport: Arc<dyn Transport>,
    pub directory: Option<DirectoryBatcher>,
    /// What a barrier of the journal takes.
    pub barrier: Duration,
}

impl LibraryRun {
    pub async fn begin(parts: Parts<'_>) -> LibraryRun {
        let Parts { job, csv, params, clock, transport, directory, barrier } = parts;
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("people.csv");
        std::fs::write(&file, csv).unwrap();
        let disk = FolderStorage::of(folder.path());
        std::fs::create_dir_all(disk.folder()).unwrap();
        let (store, inline) = (Arc::new(MemoryStore::default()), Arc::new(Inline { barrier }));
        let journal = Journal::assemble(folder.path(), Arc::new(disk), store, inline).unwrap();
        let order = Order {
            run: RunId(Uuid::nil()),
            job,
            params: job.parameters(params).unwrap(),
            input: &cutover::batch::open(&file, &job.layout).unwrap(),
            target: "simulated".into(),
            target_spec: "sim".into(),
            write_quota: "1000/s".into(),
            operator: "nobody".into(),
            plan: None,
            adopts: None,
        };
        let (import, _) = copy(&journal, &order, None, BTreeMap::new(), &*clock, &mut |_| ()).unwrap();
        let session = import.finish(clock.now()).await.unwrap();
        let fast = "1000/s".parse().unwrap();
        let limits = GraphLimits { writes: fast, reads: fast, identity_protection: fast };
        let patience = Patience { silence: PATIENCE, sign_in: PATIENCE };
        let services = Services {
            directory,
            registry: Registry::of(Arc::new(Graph::new(transport, "contoso.test", limits, patience)), Vec::new()),
            app: AppFacts::default(),
            run: session.header().id.0,
            process_at: clock.now(),
            gauges: Gauges::default(),
            clock,
        };
        LibraryRun {
            session: Arc::new(session),
            services: Arc::new(services),
            job: Arc::new(job.clone()),
            _journal: journal,
            _folder: folder,
        }
    }

    /// Leads all rows to their ends; however many fail, the run goes on.
    pub async fn drive(&self, settings: Settings, in_flight: Option<usize>) {
        // The reader first: opening it is what makes the run's counts those of its rows.
        let reader = self.session.reader().await.unwrap();
        let run = self.session.run();
        let admission = Admission::new(reader, &run, &self.job.layout, Selection::Unfinished);
        let work = Arc::new(Work {
            services: Arc::clone(&self.services),
            job: Arc::clone(&self.job),
            settings,
            session: Arc::clone(&self.session),
            claims: Claims::new(&self.session),
            exposure_gate: Arc::default(),
            gate: AdmissionGate::default(),
        });
        let policy = Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX };
        let dispatcher = Dispatcher::new(work, admission, &run, in_flight, policy, Schedule::default(), Vec::new());
        let (_nobody_commands, commands) = mpsc::channel(1);
        let end = dispatcher.run(commands).await;
        assert!(end.stopped.is_none() && end.journal.is_none(), "{end:?}");
    }
}
