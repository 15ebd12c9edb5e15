//! What a verification says: findings by name, and a verdict for each run.

use crate::journal::line::ChainHash;
use crate::journal::run::RunId;
use crate::journal::scan::Head;
use serde::Serialize;

/// Findings of one run that are told one by one; there may be as many as rows.
const FINDINGS_MAX: usize = 20;

/// What is wrong, in a word for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Bytes are not those that were written.
    Damaged,
    /// A record was changed, or its checksum was mended to hide something.
    Edited,
    /// Records are gone.
    Removed,
    /// A record stands at another place than it was written at.
    Reordered,
    /// A record is there twice.
    Repeated,
    /// A record was put in.
    Inserted,
    /// The end is gone.
    Cut,
    /// The log is not the one that the checkpoint was made from, though it is whole.
    Rewritten,
    /// The log is gone.
    Missing,
    /// A record is none of this version.
    Unreadable,
    /// A record says what no run says at this place.
    Misplaced,
    /// A row cannot have gone this way.
    Impossible,
    /// The head that was noted is not in this chain.
    Head,
    /// The checkpoint says something else than the log, or cannot be read.
    Checkpoint,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of the record, from 1: that of its line.
    pub record: Option<u64>,
    /// Where its line begins in the log, in bytes.
    pub offset: Option<u64>,
    /// What it is.
    pub kind: Kind,
    /// What it is, in words.
    pub message: String,
}

impl Finding {
    /// About no record by itself.
    pub(super) fn of(kind: Kind, message: impl Into<String>) -> Finding {
        Finding { record: None, offset: None, kind, message: message.into() }
    }

    /// About the record that comes after `before`.
    pub(super) fn at(before: &Head, kind: Kind, message: impl Into<String>) -> Finding {
        Finding { record: Some(before.records + 1), offset: Some(before.offset), ..Finding::of(kind, message) }
    }
}

/// Whether the checkpoint was compared with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Row by row.
    Compared,
    /// Not, since the log is not good.
    LogNotGood,
    /// Not, since a process has it open.
    InUse,
    /// Not, since the run never began: its rows were not all copied, and the next command drops it.
    NeverBegan,
    /// Not, since there is none of this run.
    None,
}

/// What was found about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub run: String,
    /// Records that are proven, from the first on.
    pub records: u64,
    /// The chain's last link after those.
    pub head: String,
    /// Whether nothing was found.
    pub ok: bool,
    /// What was found; the first ones, if they are many.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// What became of the comparison with the checkpoint.
    pub checkpoint: Compared,
    /// What is worth saying and nothing wrong.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Nothing was looked at yet.
    pub(super) fn new(id: RunId, head: ChainHash) -> Verdict {
        Verdict {
            run: id.to_string(),
            records: 0,
            head: head.to_string(),
            ok: true,
            findings: Vec::new(),
            more_findings: 0,
            checkpoint: Compared::None,
            notes: Vec::new(),
        }
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.ok = false;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// A head that somebody noted elsewhere.
pub(super) struct Noted {
    hash: ChainHash,
    record: Option<u64>,
}

impl Noted {
    pub(super) fn new(hash: ChainHash) -> Noted {
        Noted { hash, record: None }
    }

    pub(super) fn see(&mut self, record: u64, hash: &ChainHash) {
        if self.hash == *hash {
            self.record = Some(record);
        }
    }

    /// Says where it was met.
    pub(super) fn tell(&self, verdict: &mut Verdict) {
        let Some(record) = self.record else {
            let text = format!(
                "the head {} is not in this chain: records up to it were cut off or changed, or it is another run's",
                self.hash
            );
            verdict.find(Finding::of(Kind::Head, text));
            return;
        };
        verdict.notes.push(match verdict.records - record {
            0 => format!("the head that was noted is that of record {record}, the last one"),
            more => {
                format!("the head that was noted is that of record {record}; {more} records follow it")
            }
        });
    }
}
