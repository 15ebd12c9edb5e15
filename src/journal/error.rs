//! What can go wrong with the log, in words for the person who reads them at night.
//!
//! Every error can be cloned: the first failed write answers everybody who waits for it, then and later.

use std::io;
use std::sync::Arc;

use miette::Diagnostic;
use thiserror::Error;

use super::line::RecordTooLong;

/// What the log was doing when the disk failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing a group behind the others.
    Append,
    /// Making it durable.
    Sync,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Operation::Append => "written",
            Operation::Sync => "made durable",
        })
    }
}

/// Why a stored record is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its bytes are not those that were written, and it is no torn tail: a later group stands behind it.
    Checksum,
    /// Its bytes are whole, but it does not follow the record before it.
    Chain,
    /// Its bytes are whole, but its group is not the one that comes next.
    Order,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Checksum => "its checksum does not fit, and records that were committed later follow it",
            Fault::Chain => {
                "its checksum fits, but it does not follow the record before it: it was edited, or is another log's"
            }
            Fault::Order => "its checksum fits, but a group of records before it is missing",
        })
    }
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
        /// What failed.
        operation: Operation,
        /// Records known to be durable.
        durable_records: u64,
        /// Bytes known to be durable.
        durable_bytes: u64,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// A torn tail could not be cut off, or what is before it not be made durable.
    #[error("the journal's log could not be made durable up to its last whole group, which ends at byte {at}")]
    #[diagnostic(
        code(journal::log_cut),
        help("the records before that are there; free disk space or fix the disk, then try again")
    )]
    Cut {
        /// Where the last whole group ends, in bytes.
        at: u64,
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

    /// There is no line where a position points.
    #[error("no whole line begins at byte {at} of the journal's log; nothing was changed")]
    #[diagnostic(
        code(journal::log_record),
        help("move the folder `checkpoint` out of the journal: it is built again from the log, and no row is lost")
    )]
    NoRecord {
        /// Offset in bytes.
        at: u64,
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

    /// A new log was to be made where bytes are already.
    #[error("the file for a new log already holds {bytes} bytes; nothing was changed")]
    #[diagnostic(code(journal::log_not_empty), help("open it instead of creating it"))]
    NotEmpty {
        /// How many bytes.
        bytes: u64,
    },

    /// A record is too long to be stored. The log goes on.
    #[error(transparent)]
    #[diagnostic(code(journal::record_too_long))]
    RecordTooLong(#[from] RecordTooLong),

    /// A group is too long to be stored. The log goes on.
    #[error("a group of {bytes} bytes is over the log's limit of {bytes_max} bytes; nothing was written")]
    #[diagnostic(code(journal::group_too_long), help("commit the records in smaller groups"))]
    GroupTooLong {
        /// Its length in bytes, headers included.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
}

/// Why a commit is not known to be durable.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum CommitError {
    /// The log refused the records or has failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),

    /// The writer is gone without a word; a fault of the program.
    #[error(
        "the journal's writer has stopped; whether the last records were stored is known after opening the journal again"
    )]
    #[diagnostic(
        code(journal::writer_stopped),
        help("`cutover resume`: nothing was sent without a stored intent, and rows in doubt are read again first")
    )]
    Stopped,
}
