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
    #[error("cannot open `{path}`", path = .0.display())]
    #[diagnostic(code(input::open), help("check the path and whether this account may read the file"))]
    Open(PathBuf, #[source] io::Error),
    /// Reading stopped half way.
    #[error("cannot read `{path}` to its end", path = .0.display())]
    #[diagnostic(code(input::read), help("copy the file to a local disk and try again; nothing was changed"))]
    Read(PathBuf, #[source] io::Error),
    /// There is not even a header.
    #[error("`{path}` has no header and no rows", path = .0.display())]
    #[diagnostic(code(input::empty), help("the first line must name the columns; check that the export succeeded"))]
    Empty(PathBuf),
    /// It is another kind of file, which is named.
    #[error("`{path}` is {1}, not CSV", path = .0.display())]
    #[diagnostic(code(input::binary), help("open it with the program it belongs to and save it as \"CSV UTF-8\""))]
    Binary(PathBuf, &'static str),
    /// A NUL character, which no text has, and its line.
    #[error("`{path}` is not text: there is a NUL character in line {1}", path = .0.display())]
    #[diagnostic(
        code(input::not_text),
        help(
            "the file is damaged or of another kind, or a part in UTF-16 was appended (PowerShell's >> and \
             -Append); export it again as CSV"
        )
    )]
    NotText(PathBuf, u64),
    /// A quote that is opened in this line and never closed.
    #[error("`{path}`: the quote opened in line {1} is never closed", path = .0.display())]
    #[diagnostic(code(input::open_quote), help("close the quote, or double it (\"\") where it belongs to the text"))]
    OpenQuote(PathBuf, u64),
    /// A record beyond all measure: the line in which it begins, and how many bytes are the most.
    #[error("`{path}`: the record in line {1} is longer than {2} bytes", path = .0.display())]
    #[diagnostic(code(input::record), help("check whether the line ends are missing or the file is not CSV"))]
    RecordTooLong(PathBuf, u64, u64),
    /// Somebody wrote to it meanwhile.
    #[error("`{path}` was changed while it was being read", path = .0.display())]
    #[diagnostic(
        code(input::changed),
        help("wait until the export is finished, then start again; what was read must not be used")
    )]
    Changed(PathBuf),
    /// The search for duplicates, or the copy of a pipe, needs a temporary file.
    #[error("cannot use a temporary file in `{}`", std::env::temp_dir().display())]
    #[diagnostic(code(input::temporary), help("free some space there, or set TMPDIR to another directory"))]
    Temporary(#[source] io::Error),
}

impl InputError {
    /// The error as a finding about the whole file, for those who read findings alone.
    pub fn finding(&self) -> Finding {
        let message = match self.help() {
            Some(help) => format!("{self}; {help}"),
            None => self.to_string(),
        };
        let violation = Violation::error(Rule::Unreadable, message);
        if let InputError::NotText(_, line) | InputError::OpenQuote(_, line) | InputError::RecordTooLong(_, line, _) =
            self
        {
            return violation.in_file(Some(*line));
        }
        violation.in_file(None)
    }

    /// For `map_err` on what fails while the file is read.
    pub(super) fn read(path: &Path) -> impl Fn(io::Error) -> InputError {
        move |source| InputError::Read(path.to_owned(), source)
    }
}
