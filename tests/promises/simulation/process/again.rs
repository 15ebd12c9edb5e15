//! What comes after a run has finished: its rows are tried again, and read again.

use super::{COMES_AGAIN_MS, PATIENCE, PROCESS_MAX, PROCESSES_MORE, Stage};
use crate::simulation::oracle::{self, Told};
use crate::simulation::schedule::{Stress, Verify};
use crate::simulation::world::SimClock;
use cutover::journal::{Counts, JournalError, RunRecord, takers};
use cutover::machine::Outcome;
use cutover::runner::admission::{Admission, Selection};
use cutover::runner::client::ServiceClient;
use cutover::runner::lookups::look_up;
use cutover::runner::pass::Pass;
use cutover::runner::reading::{ReadQuestion, ReadWork, Verification};
use cutover::runner::stop::AdmissionGate;
use cutover::runner::{Dispatcher, MaxFailed, Policy, Schedule as Hours};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

impl Stage {
    /// Tries the rows again that ended short of their goal; how many processes that took.
    pub(super) fn retry(&mut self, first: usize, stress: &Stress) -> usize {
        self.world.rest(COMES_AGAIN_MS);
        self.world.note(|| "the run is tried again".into());
        self.retry_due.set(true);
        for more in 0..PROCESSES_MORE {
            let stress = if more == 0 { stress.clone() } else { Stress::default() };
            if self.process(first + more, &stress) {
                self.world.settle_all();
                return more + 1;
            }
        }
        self.complain(format!("the retry has not finished after {PROCESSES_MORE} processes"));
        PROCESSES_MORE
    }

    /// Reads the finished rows again: drift is found exactly where somebody else was, and nothing is written anywhere. Returns
    /// how many rows drift.
    pub(super) fn verify(&mut self, number: usize, verify: &Verify, told: &Told) -> usize {
        self.world.is_over();
        if let Some(deed) = verify.outside {
            self.world.rest(COMES_AGAIN_MS);
            self.world.change(deed, u64::MAX);
        }
        self.world.rest(self.world.schedule.replication_ms + COMES_AGAIN_MS);
        let (began, logs) = (self.world.seen().len(), self.disk.logs());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let read = runtime.block_on(async {
            self.world.begin(number, Stress::default());
            let read = tokio::time::timeout(PROCESS_MAX, self.read_again()).await;
            self.world.end(0);
            read
        });
        let seen = &self.world.seen()[began..];
        let is_disturbed = seen.iter().any(|seen| seen.fault.is_some());
        if seen.iter().any(|seen| seen.writes) || logs != self.disk.logs() {
            self.complain("a reading of the finished rows wrote something".into());
        }
        let readings = match read {
            Ok(Ok(Some(readings))) => readings,
            Ok(Ok(None)) if is_disturbed => return 0,
            other => {
                self.complain(format!("the finished rows were not read: {other:?}"));
                return 0;
            }
        };
        let mut off_goal = oracle::off_goal(&self.world, told);
        let mut drifted = 0;
        for (row, result) in &readings {
            let is_off = off_goal.remove(row);
            match result {
                Verification::Unread(_) if is_disturbed => {}
                Verification::Drifts(drifts) if drifts.is_empty() != is_off => drifted += usize::from(is_off),
                wrong => self.complain(format!("row {row}: {wrong:?}, and {is_off} that it is off its goal")),
            }
        }
        let good = told.values().filter(|outcome| matches!(outcome, Outcome::Done | Outcome::Unchanged)).count();
        if readings.len() != good {
            self.complain(format!("of {good} finished rows {} were read again", readings.len()));
        }
        drifted
    }

    /// What a reading pass says of each row; nothing, when it could not be made.
    async fn read_again(&self) -> Result<Option<Vec<(u64, Verification)>>, JournalError> {
        let clock = Arc::new(SimClock(Arc::clone(&self.world)));
        let journal = self.journal(Duration::ZERO)?;
        let runs = journal.runs()?;
        let takers = takers(&runs);
        let run = runs.into_iter().find(|run| !takers.contains_key(&run.id())).expect("a run has finished");
        let services = Arc::new(self.services(&clock, run.id(), self.world.now_ms()));
        let mut client = ServiceClient::new(&services, "lookups".into());
        let looking = look_up(&self.job, &run.header.params, &mut client);
        let Ok(Ok(settings)) = tokio::time::timeout(PATIENCE, looking).await else {
            return Ok(None);
        };
        let readings = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&readings);
        let work = ReadWork {
            services,
            job: Arc::clone(&self.job),
            settings,
            gate: AdmissionGate::default(),
            question: ReadQuestion::Verify(Box::new(move |row, _, result| told.lock().unwrap().push((row.0, result)))),
        };
        let admission = Admission::new(journal.reader(&run)?, &run, &self.job.layout, Selection::Good);
        let walked = RunRecord { rows: Selection::Good.count(&run), counts: Counts::default(), ..run };
        let policy = Policy { max_failed: MaxFailed::Rows(u64::MAX), max_stranded: u64::MAX };
        let pass = Pass::Read(Arc::new(work));
        let concurrency = self.world.schedule.concurrency;
        let dispatcher = Dispatcher::new(pass, admission, &walked, concurrency, policy, Hours::default(), Vec::new());
        let (_nobody_commands, commands) = mpsc::channel(1);
        let end = dispatcher.run(commands).await;
        self.world.note(|| format!("the reading ends: {end:?}"));
        let readings = std::mem::take(&mut *readings.lock().unwrap());
        Ok(end.stopped.is_none().then_some(readings))
    }
}
