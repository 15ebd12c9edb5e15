//! Verification: whether a journal says what it said when it was written.
//!
//! Every record of a log is checked (checksum, chain from the name of the run on, order), folded anew through the machine
//! that ran live, and what comes of it is compared with the checkpoint, row by row. Memory does not grow with the rows. Nothing
//! is written to the journal. A log is its own export: a copy that lies elsewhere is checked in the same way.
//!
//! The checkpoint is a witness, too: it knows how much of the log was durable, so a tail that was cut off or damaged is told
//! from one that a power cut tore. What neither can prove is that a whole journal was not made anew; for that there is a
//! head noted elsewhere.

mod compare;
mod describe;
mod diagnose;
mod finding;
mod story;

#[cfg(test)]
mod tests;

pub use finding::{Compared, Finding, Kind, Verdict};

use super::cache::read_runs;
use super::error::JournalError;
use super::error::LogError;
use super::fold::{Mark, RunFold};
use super::import::RowSet;
use super::line::{ChainHash, Entry};
use super::log::read_record;
use super::log_file::{DiskLogFile, LogFile};
use super::open::chosen;
use super::reader::temporary_folder;
use super::row::RowNumber;
use super::run::{RunId, RunRecord, RunState};
use super::scan::{Found, Group, Head, Scan};
use super::sled_store::{SledStore, Why, copy};
use super::storage::{FolderStorage, Storage};
use super::store::Store;
use diagnose::Suspect;
use finding::Noted;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use story::Story;

/// What is to be verified.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The run, or the beginning of its name; all, if none is given.
    pub run: Option<&'a str>,
    /// A head that was noted elsewhere and must be in the chain.
    pub head: Option<ChainHash>,
}

/// Verifies the runs of the journal in a folder that nobody works on. Also returns why its checkpoint is not used, if it is not.
///
/// # Errors
/// [`JournalError`] when there is no such run or the journal cannot be read; what is wrong with it is in the verdicts.
pub fn verify(dir: &Path, request: &Request<'_>) -> Result<(Vec<Verdict>, Option<Why>), JournalError> {
    let folder = temporary_folder()?;
    copy(dir, folder.path()).map_err(|source| JournalError::File {
        what: "checkpoint in",
        path: dir.to_owned(),
        source,
    })?;
    let (store, set_aside) = SledStore::open(folder.path())?;
    let verdicts = verify_in(dir, &FolderStorage::of(dir), &store, request)?;
    Ok((verdicts, set_aside.map(|set_aside| set_aside.why)))
}

/// The same of logs and a checkpoint wherever they are.
///
/// # Errors
/// As [`verify`].
pub fn verify_in(
    dir: &Path,
    storage: &dyn Storage,
    store: &dyn Store,
    request: &Request<'_>,
) -> Result<Vec<Verdict>, JournalError> {
    let logs = storage.logs()?;
    let known = read_runs(store);
    let of_checkpoint = known.iter().flatten().map(RunRecord::id);
    let runs: BTreeSet<RunId> = logs.iter().copied().chain(of_checkpoint).collect();
    let mut verdicts = Vec::new();
    for id in chosen(dir, runs.into_iter().collect(), request.run)? {
        if !logs.contains(&id) {
            verdicts.push(gone(id));
            continue;
        }
        let mut check = LogCheck::new(id, request);
        match &known {
            Ok(known) => {
                let known = known.iter().find(|run| run.id() == id).cloned();
                check.witness = known.map(|known| Witness { store, known });
            }
            Err(error) => {
                let text = format!("the run's own record: {error}");
                check.verdict.find(Finding::of(Kind::Checkpoint, text));
            }
        }
        verdicts.push(check.read(&*storage.open_to_read(id)?)?);
    }
    Ok(verdicts)
}

/// Verifies the logs of a journal that another process has open: its checkpoint cannot be compared.
///
/// # Errors
/// As [`verify`].
pub fn verify_beside(dir: &Path, request: &Request<'_>) -> Result<Vec<Verdict>, JournalError> {
    let storage = FolderStorage::of(dir);
    let verify = |id| {
        let verdict = LogCheck::new(id, request).read(&*storage.open_to_read(id)?)?;
        let checkpoint = if verdict.ok { Compared::InUse } else { verdict.checkpoint };
        Ok(Verdict { checkpoint, ..verdict })
    };
    chosen(dir, storage.logs()?, request.run)?.into_iter().map(verify).collect()
}

/// Verifies a copy of a log, wherever it is.
///
/// # Errors
/// [`JournalError`] when it is no log at all; what is wrong with it is in the verdict.
pub fn verify_export(path: &Path, head: Option<ChainHash>) -> Result<Verdict, JournalError> {
    let file = DiskLogFile::open_to_read(path).map_err(JournalError::UnreadableExport)?;
    let first = read_record(&file, 0).ok().flatten().ok_or(JournalError::NoExport)?;
    let Entry::Began { run, format: _ } = Entry::decode(&first)? else {
        return Err(JournalError::NoExport);
    };
    LogCheck::new(run.id, &Request { run: None, head }).read(&file)
}

/// A run that only the checkpoint has.
fn gone(id: RunId) -> Verdict {
    let mut verdict = Verdict::new(id, ChainHash::genesis(id));
    let text = "its log is gone, but the checkpoint knows the run";
    verdict.find(Finding::of(Kind::Missing, text));
    verdict.checkpoint = Compared::LogNotGood;
    verdict
}

/// The checkpoint, as far as it knows a run.
struct Witness<'a> {
    store: &'a dyn Store,
    known: RunRecord,
}

/// One log being checked.
struct LogCheck<'a> {
    id: RunId,
    story: Story,
    fold: Option<RunFold>,
    /// Every row that the log knows.
    moved: RowSet,
    /// Rows of which the checkpoint has something else than how they ended, unless they begin again.
    suspects: BTreeMap<RowNumber, String>,
    witness: Option<Witness<'a>>,
    noted: Option<Noted>,
    verdict: Verdict,
    /// The records still make sense.
    folding: bool,
}

impl<'a> LogCheck<'a> {
    fn new(id: RunId, request: &Request<'_>) -> LogCheck<'a> {
        LogCheck {
            id,
            story: Story::default(),
            fold: None,
            moved: RowSet::default(),
            suspects: BTreeMap::new(),
            witness: None,
            noted: request.head.map(Noted::new),
            verdict: Verdict::new(id, ChainHash::genesis(id)),
            folding: true,
        }
    }

    /// Reads a log from its beginning.
    fn read(mut self, file: &dyn LogFile) -> Result<Verdict, JournalError> {
        let mut scan = Scan::new(file, Head::genesis(self.id))?;
        let is_whole = loop {
            match scan.next_group() {
                Ok(Some(group)) => self.group(&group),
                Ok(None) => break true,
                Err(LogError::Damaged { .. }) => break false,
                Err(error) => return Err(error.into()),
            }
        };
        let head = scan.head();
        self.verdict.records = head.records;
        self.verdict.head = head.hash.to_string();
        match is_whole {
            true => self.ended(file, head, scan.torn_bytes())?,
            false => self.broken(file, head)?,
        }
        if let Some(noted) = &self.noted {
            noted.tell(&mut self.verdict);
        }
        self.verdict.checkpoint = self.compared();
        Ok(self.verdict)
    }

    fn compared(&self) -> Compared {
        let on_log = |finding: &Finding| finding.kind != Kind::Checkpoint;
        if self.verdict.findings.iter().any(on_log) {
            return Compared::LogNotGood;
        }
        match self.fold.as_ref().map(|fold| &fold.run.state) {
            None | Some(RunState::Importing) => Compared::NeverBegan,
            Some(_) if self.witness.is_none() => Compared::None,
            Some(RunState::Open | RunState::Stopped(_) | RunState::Finished) => Compared::Compared,
        }
    }

    fn group(&mut self, group: &Group<'_>) {
        for line in group.lines() {
            if let Some(noted) = &mut self.noted {
                noted.see(line.before.records + 1, &line.line.hash);
            }
            if self.folding
                && let Err(finding) = self.take(&line, group.head)
            {
                self.folding = false;
                self.verdict.find(finding);
            }
        }
        self.question(group);
    }

    fn take(&mut self, line: &Found<'_>, head: Head) -> Result<(), Finding> {
        let wrong = |kind, what| Finding::at(&line.before, kind, what);
        let entry = Entry::decode(&line.record()).map_err(|error| wrong(Kind::Unreadable, error.to_string()))?;
        let steps = self.fold.as_ref().map(|fold| fold.run.header.steps.as_slice());
        let name = describe::describe(&entry, steps.unwrap_or_default());
        self.story.take(self.id, &entry).map_err(|what| wrong(Kind::Misplaced, format!("{name}: {what}")))?;
        let impossible = |error: JournalError| match error {
            JournalError::Impossible { row: _, source } => wrong(Kind::Impossible, format!("{name}: {source}")),
            error => wrong(Kind::Misplaced, format!("{name}: {error}")),
        };
        match &mut self.fold {
            Some(fold) => {
                let mark = fold.mark_of(entry).map_err(impossible)?;
                self.note(line.before.offset, &mark);
                if let Some(fold) = &mut self.fold {
                    fold.take(line.before.offset, mark);
                }
            }
            None => self.fold = Some(RunFold::begun_by(entry, head).map_err(impossible)?),
        }
        Ok(())
    }

    fn note(&mut self, offset: u64, mark: &Mark) {
        let Mark::Moved(moved) = mark else {
            return;
        };
        self.moved.insert(moved.row);
        self.suspects.remove(&moved.row);
        self.story.note(moved.row, &moved.record);
        if let (Some(witness), Some(fold)) = (&self.witness, &self.fold)
            && moved.record.ended_at.is_some()
            && offset < witness.known.head.offset
        {
            let suspect = compare::row(witness.store, fold, moved.row, &moved.record);
            self.suspects.extend(suspect.map(|text| (moved.row, text)));
        }
    }

    /// Asks the witness about the group in which its word ends.
    fn question(&mut self, group: &Group<'_>) {
        let Some(witness) = &self.witness else {
            return;
        };
        let (from, head, known) = (group.before, group.head, witness.known.head);
        if from.offset >= known.offset || known.offset > head.offset {
            return;
        }
        if known != head {
            let text = format!(
                "the checkpoint stands for {} records with head {}, which this log does not have: one of the two is not the \
                 original",
                known.records, known.hash
            );
            let kind = Kind::Rewritten;
            self.verdict.find(Finding::at(&from, kind, text));
        } else if let Some(fold) = self.fold.as_ref().filter(|_| self.folding) {
            for text in std::mem::take(&mut self.suspects).into_values() {
                self.verdict.find(Finding::of(Kind::Checkpoint, text));
            }
            let moved = |row| self.moved.contains(row);
            let (store, verdict) = (witness.store, &mut self.verdict);
            compare::rest(store, fold, &witness.known, moved, verdict);
        }
    }

    fn ended(&mut self, file: &dyn LogFile, head: Head, torn_bytes: u64) -> Result<(), JournalError> {
        let known = self.witness.as_ref().map(|witness| witness.known.head);
        let lacking = known.filter(|known| known.offset > head.offset);
        match (torn_bytes, lacking) {
            (0, None) => {}
            (0, Some(known)) => {
                let text = format!(
                    "the log ends here after {} records, but {} were committed: its tail was cut off",
                    head.records, known.records
                );
                self.verdict.find(Finding::at(&head, Kind::Cut, text));
            }
            (bytes, None) => self.verdict.notes.push(format!(
                "the last {bytes} bytes are no whole group of records: they were never committed, and are dropped when the \
                 run goes on"
            )),
            (_, Some(_)) => self.broken(file, head)?,
        }
        Ok(())
    }

    fn broken(&mut self, file: &dyn LogFile, sound: Head) -> Result<(), JournalError> {
        let fold = self.fold.as_ref();
        let suspect = Suspect { file, steps: fold.map_or(&[], |fold| &fold.run.header.steps) };
        self.verdict.find(suspect.diagnose(sound)?);
        Ok(())
    }
}
