//! Verification: whether a journal says what it said when it was written.
//!
//! Every record of a log is checked (checksum, chain from the name of the run on, order), folded anew through the machine
//! that ran live, and what comes of it is compared with the checkpoint, row by row. Memory does not grow with the rows. Nothing
//! is written to the journal: it is a snapshot's checkpoint that is brought up to the end of a good log first.
//!
//! The checkpoint is a witness, too: it knows how much of the log was durable, so a tail that was cut off or damaged is told
//! from one that a power cut tore. What neither can prove is that a whole journal was not made anew; for that there is a
//! head noted elsewhere.

mod audit;
mod compare;
mod describe;
mod diagnose;
mod finding;

#[cfg(test)]
mod tests;

pub use audit::Scratch;
pub(super) use audit::{Audit, Link};
pub(super) use describe::describe_bytes;
pub(super) use finding::Noted;
pub use finding::{Compared, Finding, Kind, Verdict};

use super::disk::{Disk, FileDisk};
use super::error::LogError;
use super::error_run::JournalError;
use super::frame::ChainHash;
use super::keys;
use super::ledger::decode;
use super::medium::Medium;
use super::open::genesis;
use super::run::{RunId, RunRecord, RunState};
use super::scan::{End, Group, Head, Scan, Step};
use super::snapshot::Snapshot;
use diagnose::Suspect;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

/// What is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The run, or the beginning of its name; all, if none is given.
    pub run: Option<&'a str>,
    /// A head that was noted elsewhere and must be in the chain.
    pub head: Option<ChainHash>,
    /// Where the fold is kept.
    pub scratch: Scratch,
}

impl Snapshot {
    /// Verifies runs. Best on a snapshot from [`Snapshot::as_it_is`], since one of a damaged journal cannot be taken otherwise.
    ///
    /// # Errors
    /// [`JournalError`] when there is no such run or the journal cannot be read; what is wrong with it is in the verdicts.
    pub fn verify(&self, request: &Request<'_>) -> Result<Vec<Verdict>, JournalError> {
        let logs: BTreeSet<RunId> = self.disk.logs()?.into_iter().collect();
        let mut runs = logs.clone();
        for entry in self.store.scan_prefix(&keys::RUNS) {
            runs.extend(id_of(&entry?.0));
        }
        let runs = chosen(&self.dir, runs.into_iter().collect(), request.run)?;
        let verify = |id| {
            if logs.contains(&id) {
                self.verify_run(id, request)
            } else {
                Ok(gone(id))
            }
        };
        runs.into_iter().map(verify).collect()
    }

    fn verify_run(&self, id: RunId, request: &Request<'_>) -> Result<Verdict, JournalError> {
        let medium = self.disk.open_to_read(id)?;
        let known = self.known(id);
        let mut check = LogCheck::new(id, request)?;
        if let Err(text) = &known {
            check.verdict.find(Finding::of(Kind::Checkpoint, text));
        }
        let known = known.ok().flatten();
        check.read(&*medium, known.as_ref().map(|run| run.head))?;
        check.verdict.checkpoint = self.compared(id, known.as_ref(), &mut check)?;
        Ok(check.verdict)
    }

    /// The run as the checkpoint has it, or why it cannot be read.
    fn known(&self, id: RunId) -> Result<Option<RunRecord>, String> {
        let unreadable = |error: JournalError| format!("the run's own record: {error}");
        let bytes = self.store.get(&keys::run(id)).map_err(JournalError::from);
        let run = bytes.and_then(|bytes| bytes.map(|bytes| decode(&bytes)).transpose());
        run.map_err(unreadable)
    }

    fn compared(
        &self,
        id: RunId,
        known: Option<&RunRecord>,
        check: &mut LogCheck,
    ) -> Result<Compared, JournalError> {
        if !check.verdict.ok {
            return Ok(Compared::LogNotGood);
        }
        match check.audit.state() {
            // Bringing the checkpoint up to this log would remove it.
            None | Some(RunState::Importing) => return Ok(Compared::NeverBegan),
            Some(RunState::Open | RunState::Stopped(_) | RunState::Finished) => {}
        }
        self.catch_up_run(id, known)?;
        let fold = check.audit.store();
        compare::compare(id, &*self.store, fold, &mut check.verdict)?;
        Ok(Compared::Compared)
    }
}

/// Verifies the logs of a journal that another process has open, beside that process: its checkpoint cannot be compared.
///
/// # Errors
/// As [`Snapshot::verify`].
pub fn verify_beside(dir: &Path, request: &Request<'_>) -> Result<Vec<Verdict>, JournalError> {
    let disk = FileDisk::of(dir);
    let mut verdicts = Vec::new();
    for id in chosen(dir, disk.logs()?, request.run)? {
        let mut check = LogCheck::new(id, request)?;
        check.read(&*disk.open_to_read(id)?, None)?;
        check.verdict.checkpoint = Compared::InUse;
        verdicts.push(check.verdict);
    }
    Ok(verdicts)
}

/// The runs whose name begins so; all, if nothing was named.
pub(super) fn chosen(
    dir: &Path,
    mut runs: Vec<RunId>,
    prefix: Option<&str>,
) -> Result<Vec<RunId>, JournalError> {
    if runs.is_empty() {
        let dir = dir.to_owned();
        return Err(JournalError::NoRun { dir });
    }
    let Some(prefix) = prefix else {
        return Ok(runs);
    };
    let wanted = prefix.to_lowercase();
    runs.retain(|run| run.to_string().starts_with(&wanted));
    let prefix = prefix.to_owned();
    match runs.len() {
        0 => Err(JournalError::UnknownRun { prefix }),
        1 => Ok(runs),
        _ => {
            let runs = runs.iter().map(RunId::to_string).collect();
            Err(JournalError::AmbiguousRun { prefix, runs })
        }
    }
}

/// A run that only the checkpoint has.
fn gone(id: RunId) -> Verdict {
    let mut verdict = Verdict::new(id, genesis(id).hash);
    let text = "its log is gone, but the checkpoint knows the run";
    verdict.find(Finding::of(Kind::Missing, text));
    verdict.checkpoint = Compared::LogNotGood;
    verdict
}

fn id_of(key: &[u8]) -> Option<RunId> {
    let bytes = key.strip_prefix(&keys::RUNS)?;
    Some(RunId(Uuid::from_slice(bytes).ok()?))
}

/// One log being checked.
struct LogCheck {
    id: RunId,
    audit: Audit,
    noted: Option<Noted>,
    verdict: Verdict,
    /// The records still make sense.
    folding: bool,
}

impl LogCheck {
    fn new(id: RunId, request: &Request<'_>) -> Result<LogCheck, JournalError> {
        Ok(LogCheck {
            id,
            audit: Audit::new(id, request.scratch)?,
            noted: request.head.map(Noted::new),
            verdict: Verdict::new(id, genesis(id).hash),
            folding: true,
        })
    }

    /// Reads a log from its beginning. `witness` is how much of it the checkpoint stands for.
    fn read(&mut self, medium: &dyn Medium, witness: Option<Head>) -> Result<(), JournalError> {
        let mut scan = Scan::new(medium, genesis(self.id))?;
        let end = loop {
            match scan.step() {
                Ok(Step::Group(group)) => self.group(&group, witness)?,
                Ok(Step::End(end)) => break Some(end),
                Err(LogError::Damaged { .. }) => break None,
                Err(error) => return Err(error.into()),
            }
        };
        let head = scan.head();
        self.verdict.proven(&head);
        match end {
            Some(end) => self.ended(medium, head, end, witness)?,
            None => self.broken(medium, head)?,
        }
        if let Some(noted) = &self.noted {
            noted.tell(&mut self.verdict);
        }
        if self.folding {
            self.audit.end(head)?;
        }
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>, witness: Option<Head>) -> Result<(), JournalError> {
        let mut before = None;
        for (position, header, payload) in group.frames() {
            let link = Link {
                before: before.unwrap_or_else(|| group.before()),
                position,
                payload,
            };
            let after = link.before.after_frame(header.hash, payload.len());
            before = Some(after);
            if let Some(noted) = &mut self.noted {
                noted.see(after.records, &after.hash);
            }
            if let Some(finding) = self.fold(&link)? {
                self.verdict.find(finding);
            }
        }
        self.question(group, witness);
        Ok(())
    }

    fn fold(&mut self, link: &Link<'_>) -> Result<Option<Finding>, JournalError> {
        if !self.folding {
            return Ok(None);
        }
        let finding = self.audit.take(link)?;
        self.folding = finding.is_none();
        Ok(finding)
    }

    /// Asks the witness about the group in which its word ends.
    fn question(&mut self, group: &Group<'_>, witness: Option<Head>) {
        let Some(known) = witness else {
            return;
        };
        let (from, head) = (group.before(), group.head());
        let ends_here = from.offset < known.offset && known.offset <= head.offset;
        if ends_here && known != head {
            let text = format!(
                "the checkpoint stands for {} records with head {}, which this log does not have: one of the two is not the \
                 original",
                known.records, known.hash
            );
            let kind = Kind::Rewritten;
            self.verdict.find(Finding::at(&from, kind, text));
        }
    }

    fn ended(
        &mut self,
        medium: &dyn Medium,
        head: Head,
        end: End,
        witness: Option<Head>,
    ) -> Result<(), JournalError> {
        let lacking = witness.filter(|known| known.offset > head.offset);
        match (end, lacking) {
            (End::Clean { .. }, None) => {}
            (End::Clean { .. }, Some(known)) => {
                let text = format!(
                    "the log ends here after {} records, but {} were committed: its tail was cut off",
                    head.records, known.records
                );
                self.verdict.find(Finding::at(&head, Kind::Cut, text));
            }
            (End::Torn { at: _, bytes }, None) => self.verdict.notes.push(format!(
                "the last {bytes} bytes are no whole group of records: they were never committed, and are dropped when the \
                 run goes on"
            )),
            (End::Torn { .. }, Some(_)) => self.broken(medium, head)?,
        }
        Ok(())
    }

    fn broken(&mut self, medium: &dyn Medium, sound: Head) -> Result<(), JournalError> {
        let suspect = Suspect {
            medium,
            steps: self.audit.steps(),
        };
        self.verdict.find(suspect.diagnose(sound)?);
        Ok(())
    }
}
