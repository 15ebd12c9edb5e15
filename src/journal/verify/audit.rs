//! Folding a run's records anew, from the first on, through the machine and the ledger that live runs go through.
//!
//! The result goes into a store of its own, so that a million rows need no more memory than one. Beside what the machine
//! allows, the records must tell the story of a run: a beginning, its rows in order, their end, then the work.

use super::describe::describe;
use super::finding::{Finding, Kind};
use crate::journal::checkpoint::SledStore;
use crate::journal::entry::{Entry, EntryError};
use crate::journal::error_run::JournalError;
use crate::journal::ledger::Ledger;
use crate::journal::memory_store::MemoryStore;
use crate::journal::run::{InputRow, RunId, RunRecord, RunState};
use crate::journal::scan::{Head, Position};
use crate::journal::scratch::temporary_folder;
use crate::journal::store::Store;
use std::sync::Arc;
use tempfile::TempDir;

/// Where a fold keeps what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scratch {
    /// In a temporary folder that goes with it: memory does not grow with the rows.
    Folder,
    /// In memory, for small worlds.
    Memory,
}

/// One record, proven to follow the one before it.
pub(in crate::journal) struct Link<'a> {
    /// The place before it.
    pub before: Head,
    /// Where it lies.
    pub position: Position,
    /// What it says.
    pub payload: &'a [u8],
}

/// A fold under way.
pub(in crate::journal) struct Audit {
    id: RunId,
    ledger: Option<Ledger>,
    story: Story,
    store: Arc<dyn Store>,
    /// Goes after the store that lies in it.
    _folder: Option<TempDir>,
}

impl Audit {
    /// Of a run, before its first record.
    ///
    /// # Errors
    /// [`JournalError`] when there is no room for it.
    pub(in crate::journal) fn new(id: RunId, scratch: Scratch) -> Result<Audit, JournalError> {
        let (store, folder): (Arc<dyn Store>, _) = match scratch {
            Scratch::Memory => (Arc::new(MemoryStore::default()), None),
            Scratch::Folder => {
                let folder = temporary_folder()?;
                let store = SledStore::open(folder.path())?.store;
                (Arc::new(store), Some(folder))
            }
        };
        Ok(Audit {
            id,
            ledger: None,
            story: Story::default(),
            store,
            _folder: folder,
        })
    }

    /// The names of the job's steps, once they are known.
    pub(in crate::journal) fn steps(&self) -> &[String] {
        let ledger = self.ledger.as_ref();
        ledger.map_or(&[], |ledger| &ledger.run().header.steps)
    }

    /// What came of it so far.
    pub(in crate::journal) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Where the run stands, as far as it was folded.
    pub(in crate::journal) fn state(&self) -> Option<&RunState> {
        self.ledger.as_ref().map(|ledger| &ledger.run().state)
    }

    /// Takes in a record; answers what is wrong with it. After that no more may be taken in.
    ///
    /// # Errors
    /// [`JournalError`] of the store.
    pub(in crate::journal) fn take(
        &mut self,
        link: &Link<'_>,
    ) -> Result<Option<Finding>, JournalError> {
        let entry = match Entry::decode(link.payload) {
            Ok(entry) => entry,
            Err(error @ (EntryError::Version { .. } | EntryError::Malformed(_))) => {
                let finding = Finding::at(&link.before, Kind::Unreadable, error.to_string());
                return Ok(Some(finding));
            }
        };
        let name = describe(&entry, self.steps());
        let wrong = |kind, what: String| Finding::at(&link.before, kind, format!("{name}: {what}"));
        if let Err(what) = self.story.take(self.id, &entry) {
            return Ok(Some(wrong(Kind::Misplaced, what)));
        }
        match self.fold(link, entry) {
            Ok(()) => Ok(None),
            Err(JournalError::Impossible { row: _, source }) => {
                Ok(Some(wrong(Kind::Impossible, source.to_string())))
            }
            Err(error) => Err(error),
        }
    }

    fn fold(&mut self, link: &Link<'_>, entry: Entry) -> Result<(), JournalError> {
        match (&mut self.ledger, entry) {
            (Some(ledger), entry) => {
                ledger.replay(link.position, entry)?;
                if ledger.is_full() {
                    ledger.write_rows()?;
                }
            }
            (ledger @ None, Entry::Began(header)) => {
                let run = RunRecord::new(*header, link.before);
                *ledger = Some(Ledger::new(Arc::clone(&self.store), run));
            }
            // The story begins with the beginning.
            (None, _) => {}
        }
        Ok(())
    }

    /// The last record was taken in; from here on the store has all that follows from them.
    ///
    /// # Errors
    /// [`JournalError`] of the store.
    pub(in crate::journal) fn end(&mut self, head: Head) -> Result<(), JournalError> {
        match &mut self.ledger {
            Some(ledger) => ledger.caught_up(head),
            None => Ok(()),
        }
    }
}

/// The order in which a run's records come.
#[derive(Debug, Default)]
struct Story {
    began: bool,
    /// Rows copied so far.
    copied: u64,
    /// All rows, once they were copied.
    rows: Option<u64>,
    /// The highest row that moved.
    moved_max: u64,
}

impl Story {
    fn take(&mut self, id: RunId, entry: &Entry) -> Result<(), String> {
        if self.began == matches!(entry, Entry::Began(_)) {
            return Err("a run begins with its beginning, and once".into());
        }
        match entry {
            Entry::Began(header) => {
                self.began = true;
                must(header.id == id, || format!("this is the log of run {id}"))
            }
            Entry::Rows(rows) => self.copy(rows),
            Entry::Imported { rows, at: _ } => self.imported(*rows),
            Entry::Moved(transition) => {
                self.moved_max = self.moved_max.max(transition.row.0);
                self.rows_are_there()
            }
            Entry::Adopted(adoption) => {
                self.moved_max = self.moved_max.max(adoption.row.0);
                must(self.rows.is_none(), || {
                    "the end of the input was before it".into()
                })
            }
            Entry::Opened { .. } | Entry::Closed { .. } => must(self.rows.is_some(), || {
                "the rows were not all copied before it".into()
            }),
        }
    }

    fn copy(&mut self, rows: &[InputRow]) -> Result<(), String> {
        must(self.rows.is_none(), || {
            "the end of the input was before it".into()
        })?;
        for row in rows {
            self.copied += 1;
            let due = self.copied;
            must(row.number.0 == due, || {
                format!("row {} stands where row {due} is due", row.number)
            })?;
        }
        Ok(())
    }

    fn imported(&mut self, rows: u64) -> Result<(), String> {
        let copied = self.copied;
        must(self.rows.is_none(), || "the input ended before".into())?;
        must(rows == copied, || format!("{copied} rows were copied"))?;
        self.rows = Some(rows);
        self.rows_are_there()
    }

    /// A row that the input speaks against is refused while the copying goes on, and may be ahead of it.
    fn rows_are_there(&self) -> Result<(), String> {
        let (moved, rows) = (self.moved_max, self.rows);
        must(rows.is_none_or(|rows| moved <= rows), || {
            format!("there is no row {moved}")
        })
    }
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
