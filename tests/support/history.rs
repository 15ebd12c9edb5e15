//! What a run's log says of each row, counted straight from its records: so a test knows how many writes a row can have
//! made, without asking the program that is tested.

use cutover::core::Problem;
use cutover::journal::line::Entry;
use cutover::journal::log::inspect;
use cutover::journal::log_file::DiskLogFile;
use cutover::journal::scan::{Group, Head};
use cutover::journal::{JournalError, RowRecord, RunId, Transition};
use cutover::machine::{Event, Phase, RowState, Rules};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// The attempts of one row.
#[derive(Debug, Default)]
pub struct Tally {
    /// Intents that were made durable.
    pub intents: u64,
    /// Writes that were answered with success.
    pub applied: u64,
    /// Writes that were answered, and certainly changed nothing.
    pub refused: u64,
    /// Writes whose answer was lost.
    pub doubted: u64,
    /// Intents that a process left behind when it was killed.
    pub orphaned: u64,
    record: RowRecord,
}

impl Tally {
    fn take(&mut self, transition: &Transition, rules: &Rules) {
        for (at, event) in &transition.events {
            match event {
                Event::Applied(..) => self.applied += 1,
                Event::Refused(..) | Event::Contended(..) => self.refused += 1,
                Event::Doubted(..) => self.doubted += 1,
                Event::Recovered
                | Event::Admitted
                | Event::Rejected(Problem { .. })
                | Event::Observed(_)
                | Event::Lagging
                | Event::Unobservable(_)
                | Event::Durable(_)
                | Event::Retried { .. }
                | Event::RolledBack(_) => {}
            }
            let left_behind = self.is_intending() && *event == Event::Recovered;
            let record = &mut self.record;
            record.take(*at, event.clone(), rules).unwrap();
            // Whoever forgets such a doubt has an attempt too many.
            self.orphaned += u64::from(left_behind && self.is_doubtful());
        }
        self.intents = u64::from(self.record.attempts);
    }

    fn phase(&self) -> Option<Phase> {
        match &self.record.state {
            RowState::Active(active) => Some(active.phase),
            RowState::Waiting | RowState::Ended(_) => None,
        }
    }

    fn is_intending(&self) -> bool {
        matches!(self.phase(), Some(Phase::Intending(_) | Phase::Applying(_)))
    }

    fn is_doubtful(&self) -> bool {
        matches!(self.phase(), Some(Phase::Doubtful(_)))
    }

    /// Writes that may have been made, and may not.
    pub fn doubts(&self) -> u64 {
        self.doubted + self.orphaned
    }

    /// Whether every attempt of an ended row came to something.
    pub fn is_whole(&self) -> bool {
        self.intents == self.applied + self.refused + self.doubts()
    }

    /// Whether the tenant can have made so many writes.
    pub fn allows(&self, made: u64) -> bool {
        (self.applied..=self.applied + self.doubts()).contains(&made)
    }
}

/// Reads the log of the only run of a journal.
pub fn tallies(journal: &Path) -> BTreeMap<u64, Tally> {
    let logs = std::fs::read_dir(journal.join("runs")).unwrap();
    let mut logs: Vec<_> = logs.map(|log| log.unwrap().path()).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    let path = logs.remove(0);
    let id = Uuid::parse_str(path.file_stem().unwrap().to_str().unwrap()).unwrap();
    let genesis = Head::genesis(RunId(id));
    let file = DiskLogFile::open_to_read(&path).unwrap();
    let mut rules = None;
    let mut rows = BTreeMap::<u64, Tally>::new();
    inspect(&file, genesis, |group: &Group<'_>| {
        for line in group.lines() {
            match Entry::decode(&line.record())? {
                Entry::Began { run, format: _ } => rules = Some(run.rules),
                Entry::Moved(transition) => {
                    let row = rows.entry(transition.row.0).or_default();
                    row.take(&transition, rules.as_ref().unwrap());
                }
                Entry::Reopened(reopening) => {
                    let row = rows.entry(reopening.moved.row.0).or_default();
                    row.take(&reopening.moved, rules.as_ref().unwrap());
                }
                Entry::Rows(_)
                | Entry::Imported { .. }
                | Entry::Opened { .. }
                | Entry::Adopted(_)
                | Entry::Closed { .. } => {}
            }
        }
        Ok::<(), JournalError>(())
    })
    .unwrap();
    rows
}
