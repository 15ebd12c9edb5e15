//! What can go wrong with a journal as a whole, for the person at night.

use super::error::{CommitError, LogError};
use super::line::EntryError;
use super::lock::LockError;
use super::reserve::RESERVE_BYTES;
use super::row::RowNumber;
use super::run::RunId;
use super::store::StoreError;
use crate::machine::IllegalMove;
use std::io;
use std::path::{Path, PathBuf};

impl JournalError {
    /// What the system forbids is told as that, with who could, where it is about the journal in `dir`.
    #[must_use]
    pub(super) fn or_not_allowed(self, dir: &Path) -> JournalError {
        match self {
            JournalError::File { path, source, .. } | JournalError::Lock(LockError::Io { path, source })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                JournalError::NotAllowed {
                    dir: dir.to_owned(),
                    owner: owner(&path).or_else(|| owner(dir)).unwrap_or_default(),
                }
            }
            other => other,
        }
    }

    /// Whether no more transitions can become durable in this process.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let log = match self {
            JournalError::Log(error) | JournalError::Commit(CommitError::Log(error)) => error,
            JournalError::Commit(CommitError::Stopped) => return true,
            JournalError::Lock(_)
            | JournalError::Store(_)
            | JournalError::Entry(_)
            | JournalError::Checkpoint(_)
            | JournalError::Impossible { .. }
            | JournalError::NoBeginning
            | JournalError::File { .. }
            | JournalError::NoRoom { .. }
            | JournalError::LogGone { .. }
            | JournalError::NotAllowed { .. }
            | JournalError::NoRun { .. }
            | JournalError::UnknownRun { .. }
            | JournalError::AmbiguousRun { .. }
            | JournalError::TakenOver { .. } => return false,
        };
        match log {
            LogError::Write { .. } => true,
            LogError::Read { .. }
            | LogError::Cut { .. }
            | LogError::Damaged { .. }
            | LogError::NoRecord { .. }
            | LogError::Shortened { .. }
            | LogError::Elsewhere { .. }
            | LogError::NotEmpty { .. }
            | LogError::RecordTooLong(_)
            | LogError::GroupTooLong { .. } => false,
        }
    }
}

/// An error of the journal.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum JournalError {
    /// Another process has it, or the lock cannot be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    /// The log.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
    /// A commit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Commit(#[from] CommitError),
    /// The checkpoint's database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A record that cannot be read.
    #[error(transparent)]
    #[diagnostic(code(journal::record), help("use the version of cutover that wrote it; nothing was changed"))]
    Entry(#[from] EntryError),
    /// A value of the checkpoint that cannot be read.
    #[error("the checkpoint cannot be read: {0}")]
    #[diagnostic(
        code(journal::checkpoint),
        help("move the folder `checkpoint` out of the journal: it is built again from the log, and no row is lost")
    )]
    Checkpoint(String),
    /// A log whose first line begins no run, or that begins one twice.
    #[error("the log does not begin with the beginning of a run, or begins one twice")]
    #[diagnostic(
        code(journal::impossible),
        help("the journal was edited, or was written by another version; nothing was sent")
    )]
    NoBeginning,
    /// A record that does not follow from those before it.
    #[error("the journal says of row {row} what cannot have happened: {source}")]
    #[diagnostic(
        code(journal::impossible),
        help("the journal was edited, or was written by another version; nothing was sent")
    )]
    Impossible {
        /// The row.
        row: RowNumber,
        /// What the machine says.
        source: IllegalMove,
    },
    /// A file or folder of the journal.
    #[error("the journal's {what} `{}` cannot be used", path.display())]
    #[diagnostic(code(journal::file), help("check the disk's space and the rights on this path; nothing was sent"))]
    File {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no room for what a run needs kept back.
    #[error("the disk with the journal `{}` is full; nothing was sent", dir.display())]
    #[diagnostic(
        code(journal::no_room),
        help(
            "free some space on that disk, then give the same command again; {} MiB are kept back on it while a run is worked \
             on, so that nobody is left half way when it becomes full",
            RESERVE_BYTES >> 20
        )
    )]
    NoRoom {
        /// The journal.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The checkpoint knows a run whose log is not there.
    #[error(
        "the log of run {run} is not in the journal `{}`, though its checkpoint knows the run; nothing was changed",
        dir.display()
    )]
    #[diagnostic(
        code(journal::log_gone),
        help(
            "put the file back from a backup, into the folder `runs`; if the checkpoint is another journal's, or the run may be forgotten, move \
             the folder `checkpoint` out of the journal: it is built again from the logs that are there"
        )
    )]
    LogGone {
        /// The run.
        run: RunId,
        /// The journal.
        dir: PathBuf,
    },
    /// This user may not look into the journal.
    #[error("the journal `{}` may not be read by this user{owner}", dir.display())]
    #[diagnostic(
        code(journal::not_allowed),
        help(
            "give the command as that user: there may be a run in it, so do not begin another one of the same people"
        )
    )]
    NotAllowed {
        /// The journal.
        dir: PathBuf,
        /// Whose it is, as the end of the sentence; empty where that is hidden, too.
        owner: String,
    },
    /// No run to be found.
    #[error("there is no run in the journal `{}`", dir.display())]
    #[diagnostic(
        code(journal::no_run),
        help(
            "begin one with `cutover run`, or name the journal with `--journal`; a run is in it once all its rows are copied"
        )
    )]
    NoRun {
        /// The journal.
        dir: PathBuf,
    },
    /// No run of this name.
    #[error("no run begins with `{prefix}`")]
    #[diagnostic(code(journal::unknown_run), help("`cutover runs` lists the runs of this journal"))]
    UnknownRun {
        /// What was asked for.
        prefix: String,
    },
    /// Several runs of this name.
    #[error("several runs begin with `{prefix}`: {}", runs.join(", "))]
    #[diagnostic(code(journal::ambiguous_run), help("write more of the run's name"))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// Which there are.
        runs: Vec<String>,
    },
    /// Another run goes on with its people.
    #[error("the people who were half way in run {run} were taken over by run {by}; nothing was sent")]
    #[diagnostic(
        code(journal::taken_over),
        help("continue with `cutover resume {by}`; rows that run {run} had not begun can be run again")
    )]
    TakenOver {
        /// The run.
        run: RunId,
        /// The one that goes on.
        by: RunId,
    },
}

/// Whose a file or folder is.
#[cfg(unix)]
fn owner(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata(path).ok()?.uid();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_uid = |line: &&str| line.split(':').nth(2) == Some(uid.to_string().as_str());
    let name = users.lines().find(of_uid);
    Some(match name.and_then(|line| line.split(':').next()) {
        Some(name) => format!("; it belongs to `{name}` (uid {uid})"),
        None => format!("; it belongs to uid {uid}"),
    })
}

#[cfg(not(unix))]
fn owner(_path: &Path) -> Option<String> {
    None
}
