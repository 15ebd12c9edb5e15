//! Why a report could not be written. The journal has everything, so it can be written again.

use crate::journal::JournalError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// A file.
    #[error("the report `{}` cannot be written", path.display())]
    #[diagnostic(
        code(report::write),
        help("free disk space or name another folder, then `cutover report`: everything is in the journal")
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

impl ReportError {
    pub(super) fn of_file(path: &Path) -> impl FnOnce(io::Error) -> ReportError + use<> {
        let path = path.to_owned();
        move |source| ReportError::File { path, source }
    }
}
