//! What can go wrong with a journal, in words for the person who reads them at night.
//!
//! Errors of the log can be cloned: the first failed write answers everybody who waits for it, then and later.

use super::line::{EntryError, RecordTooLong};
use super::lock::Holder;
use super::reserve::RESERVE_BYTES;
use super::row::RowNumber;
use super::run::RunId;
use super::store::StoreError;
use crate::machine::IllegalMove;
use miette::Diagnostic;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why a stored record is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Its bytes are not those that were written, and it is no torn tail: a later group follows it.
    #[error("its checksum does not fit, and records that were committed later follow it")]
    Checksum,
    /// Its bytes are whole, but it does not follow the record before it.
    #[error("its checksum fits, but it does not follow the record before it: it was edited, or is another log's")]
    Chain,
    /// Its bytes are whole, but its group is not the one that comes next.
    #[error("its checksum fits, but a group of records before it is missing")]
    Order,
}

/// An error of the log.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum LogError {
    /// The disk failed while reading.
    #[error("the journal's log cannot be read at byte {at}; nothing was changed")]
    #[diagnostic(code(journal::log_read), help("look at the disk and at the system's log, then try again"))]
    Read {
        /// Offset in bytes.
        at: u64,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// The disk failed while a group was written. Final: the log takes no more records.
    #[error(
        "the journal's log could not be {operation}; {durable_records} records ({durable_bytes} bytes) before it are \
         durable, and nothing more is written to it"
    )]
    #[diagnostic(
        code(journal::log_write),
        help(
            "free disk space or fix the disk, then `cutover resume`: nothing was sent without a stored intent, and \
             rows in doubt are read again before anything else is written"
        )
    )]
    Write {
        /// What failed, such as `written`.
        operation: &'static str,
        /// Records known to be durable.
        durable_records: u64,
        /// Bytes known to be durable.
        durable_bytes: u64,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// A committed record is not what was written.
    #[error("the journal's log is damaged at byte {at}, record {record}: {fault}; nothing was changed")]
    #[diagnostic(
        code(journal::log_damaged),
        help("run nothing on this journal: copy its directory away, and put a backup in its place")
    )]
    Damaged {
        /// Offset in bytes.
        at: u64,
        /// Number of the record, from 1 on.
        record: u64,
        /// Why it is not believed.
        fault: Fault,
    },

    /// The log ends before a position that was durable once.
    #[error("the journal's log ends at byte {log_bytes}, but {known} bytes of it were committed; nothing was changed")]
    #[diagnostic(
        code(journal::log_shortened),
        help(
            "committed records are gone, or the checkpoint is of a later copy of the journal: put the whole directory \
             back from a backup; if you know that the log is the right one, move the folder `checkpoint` out of the \
             journal, and it is built again from the log"
        )
    )]
    Shortened {
        /// Bytes that were durable.
        known: u64,
        /// Bytes that are there.
        log_bytes: u64,
    },

    /// A known position is no end of a group of this log.
    #[error(
        "the journal's checkpoint knows a committed record that ends at byte {known} of the log, and the log has \
         something else there; nothing was changed"
    )]
    #[diagnostic(
        code(journal::log_elsewhere),
        help(
            "one of the two was changed, damaged, or is of another copy of the journal: put the whole directory back \
             from a backup; if you know that the log is the right one, move the folder `checkpoint` out of the journal, \
             and it is built again from the log"
        )
    )]
    Elsewhere {
        /// The offset in bytes.
        known: u64,
    },

    /// A record is too long to be stored. The log goes on.
    #[error(transparent)]
    #[diagnostic(code(journal::record_too_long))]
    RecordTooLong(#[from] RecordTooLong),

    /// The writer has ended without a reason; a fault of the program.
    #[error(
        "the journal's writer has stopped; whether the last records were stored is known after opening the journal again"
    )]
    #[diagnostic(
        code(journal::writer_stopped),
        help("`cutover resume`: nothing was sent without a stored intent, and rows in doubt are read again first")
    )]
    Stopped,
}

/// An error of the journal.
#[derive(Debug, Error, Diagnostic)]
pub enum JournalError {
    /// Another process works on it.
    #[error(
        "the journal `{}` is in use by process {} (`cutover {}`) since {}; nothing was changed",
        dir.display(), holder.pid, holder.command, holder.since
    )]
    #[diagnostic(
        code(journal::in_use),
        help(
            "look at it with `cutover status`, stop it with Ctrl-C where it runs, or name another directory with `--journal`"
        )
    )]
    InUse {
        /// The journal.
        dir: PathBuf,
        /// Who works on it.
        holder: Box<Holder>,
    },
    /// Another process works on it, and has not named itself.
    #[error("the journal `{}` is in use by a process that has not said who it is; nothing was changed", dir.display())]
    #[diagnostic(
        code(journal::in_use_unnamed),
        help("it may just be starting: try again in a second, or look with `cutover status`")
    )]
    InUseUnnamed {
        /// The journal.
        dir: PathBuf,
    },
    /// The file system refuses the lock.
    #[error("the journal's lock `{}` cannot be used", path.display())]
    #[diagnostic(code(journal::lock), help("check that the directory is there, is yours, and can be written"))]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
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
    /// The place that an export goes to.
    #[error("the export cannot be written; the journal is not affected")]
    #[diagnostic(
        code(journal::export),
        help("free disk space or name another file with `--output`, then export again")
    )]
    ExportOutput(#[source] io::Error),
    /// A file to be verified does not begin as a log does.
    #[error("this file is no export of a run: its first line begins none")]
    #[diagnostic(code(export::foreign), help("`cutover journal export RUN --output FILE` writes one"))]
    NoExport,
    /// A file to be verified cannot be read.
    #[error("the export cannot be read")]
    #[diagnostic(code(export::read), help("check the path"))]
    UnreadableExport(#[source] io::Error),
}

impl JournalError {
    /// What the system forbids is told as that, with who could, where it is about the journal in `dir`.
    #[must_use]
    pub(super) fn or_not_allowed(self, dir: &Path) -> JournalError {
        match self {
            JournalError::File { path, source, .. } | JournalError::Lock { path, source }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                let owner = owner(&path).or_else(|| owner(dir)).unwrap_or_default();
                JournalError::NotAllowed { dir: dir.to_owned(), owner }
            }
            other => other,
        }
    }

    /// Whether no more transitions can become durable in this process.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, JournalError::Log(LogError::Write { .. } | LogError::Stopped))
    }
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
