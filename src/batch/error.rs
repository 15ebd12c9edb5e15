//! Why a file cannot be read as a batch at all. What is wrong with single rows is a finding, not an error.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;

use super::finding::Finding;
use crate::values::{Rule, Violation};

/// A file that cannot be used. Nothing has been written to any target when it arises.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InputError {
    /// It is not there, or may not be read.
    #[error("cannot open `{}`", path.display())]
    #[diagnostic(code(input::open), help("check the path and whether this account may read the file"))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Reading stopped half way.
    #[error("cannot read `{}` to its end", path.display())]
    #[diagnostic(code(input::read), help("copy the file to a local disk and try again; nothing was changed"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is not even a header.
    #[error("`{}` has no header and no rows", path.display())]
    #[diagnostic(code(input::empty), help("the first line must name the columns; check that the export succeeded"))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is another kind of file.
    #[error("`{}` is {kind}, not CSV", path.display())]
    #[diagnostic(code(input::binary), help("open it with the program it belongs to and save it as \"CSV UTF-8\""))]
    Binary {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A NUL character, which no text has.
    #[error("`{}` is not text: there is a NUL character in line {line}", path.display())]
    #[diagnostic(
        code(input::not_text),
        help(
            "the file is damaged or of another kind, or a part in UTF-16 was appended (PowerShell's >> and \
             -Append); export it again as CSV"
        )
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// Physical line, from 1.
        line: u64,
    },
    /// A quote that is opened and never closed.
    #[error("`{}`: the quote opened in line {line} is never closed", path.display())]
    #[diagnostic(code(input::open_quote), help("close the quote, or double it (\"\") where it belongs to the text"))]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// Physical line in which the quote stands, from 1.
        line: u64,
    },
    /// A record beyond all measure.
    #[error("`{}`: the record in line {line} is longer than {bytes_max} bytes", path.display())]
    #[diagnostic(code(input::record), help("check whether the line ends are missing or the file is not CSV"))]
    RecordTooLong {
        /// The file.
        path: PathBuf,
        /// Physical line in which the record begins, from 1.
        line: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Somebody wrote to it meanwhile.
    #[error("`{}` was changed while it was being read", path.display())]
    #[diagnostic(
        code(input::changed),
        help("wait until the export is finished, then start again; what was read must not be used")
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The search for duplicates, or the copy of a pipe, needs a temporary file.
    #[error("cannot use a temporary file in `{}`", std::env::temp_dir().display())]
    #[diagnostic(code(input::temporary), help("free some space there, or set TMPDIR to another directory"))]
    Temporary {
        /// What the system says.
        source: io::Error,
    },
}

impl InputError {
    /// The error as a finding about the whole file, for those who read findings alone.
    pub fn finding(&self) -> Finding {
        let message = match self.help() {
            Some(help) => format!("{self}; {help}"),
            None => self.to_string(),
        };
        let violation = Violation::error(Rule::Unreadable, message);
        if let InputError::NotText { line, .. }
        | InputError::OpenQuote { line, .. }
        | InputError::RecordTooLong { line, .. } = self
        {
            return violation.in_file(Some(*line));
        }
        violation.in_file(None)
    }

    /// For `map_err` on what fails while the file is read.
    pub(super) fn read(path: &Path) -> impl Fn(io::Error) -> InputError {
        move |source| InputError::Read { path: path.to_owned(), source }
    }

    /// For `map_err` on what fails in a temporary file.
    pub(super) fn temporary(source: io::Error) -> InputError {
        InputError::Temporary { source }
    }
}
