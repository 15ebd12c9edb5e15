//! Reading `plan.csv`, which a run can be held to.
//!
//! Only three of its columns matter: which row, its key, and the seal. All others are for people, who may filter and annotate the
//! file; what they must not do is reorder it, since it is read beside the input, in constant memory.

use super::source::Digest;
use csv::{DeserializeRecordsIntoIter, StringRecord};
use miette::Diagnostic;
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The column of the seal.
pub const SEAL_COLUMN: &str = "seal";
/// Between the seal of the plan as a whole and that of the row.
const BETWEEN: char = '.';
const BOM: &str = "\u{feff}";

/// Sixteen octets that stand for what was planned.
pub type SealOctets = [u8; 16];

/// Why a plan cannot be used. Nothing was sent.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PlanFileError {
    /// The file.
    #[error("the plan `{path}` cannot be read", path = .0.display())]
    #[diagnostic(code(batch::plan_unreadable), help("check the path of --plan; `cutover plan` writes it as plan.csv"))]
    Unreadable(PathBuf, #[source] csv::Error),
    /// It has no such column.
    #[error("the plan `{path}` has no column `{1}`", path = .0.display())]
    #[diagnostic(
        code(batch::plan_column),
        help("use the file as `cutover plan` wrote it: commas between the cells, all columns kept")
    )]
    Column(PathBuf, &'static str),
    /// A line of it is none of a plan, and why.
    #[error("line {1} of the plan `{path}` {2}", path = .0.display())]
    #[diagnostic(
        code(batch::plan_line),
        help("use the file as `cutover plan` wrote it; lines may be taken out, and their rows are then refused")
    )]
    Line(PathBuf, u64, String),
    /// It was made for something else.
    #[error("the plan `{path}` was made for another file, job, parameter or target", path = .0.display())]
    #[diagnostic(
        code(batch::plan_other),
        help("plan again with this run's job, file, --set and --target; nothing was sent")
    )]
    Other(PathBuf),
}

/// A plan, read row by row in the order of the input.
pub struct PlanFile {
    path: PathBuf,
    digest: Digest,
    lines: DeserializeRecordsIntoIter<File, PlanLine>,
    /// What the seal of the plan as a whole must be.
    whole: SealOctets,
    ahead: Option<(PlanLine, Option<SealOctets>)>,
}

#[derive(Deserialize)]
struct PlanLine {
    row: u64,
    key: String,
    seal: String,
}

impl PlanLine {
    /// A key that a spreadsheet would run as a formula has an apostrophe in front of it there.
    fn is_of(&self, row: u64, key: &str) -> bool {
        self.row == row && (self.key == key || self.key.strip_prefix('\'') == Some(key))
    }
}

impl PlanFile {
    /// Opens a plan that must have been made with this seal.
    ///
    /// # Errors
    /// [`PlanFileError`]: it cannot be read, is no plan, or another one.
    pub fn open(path: &Path, whole: SealOctets) -> Result<PlanFile, PlanFileError> {
        let unreadable = |source: csv::Error| PlanFileError::Unreadable(path.to_owned(), source);
        let open = || File::open(path).map_err(|error| unreadable(error.into()));
        let digest = Digest::of_stream(open()?).map_err(|error| unreadable(error.into()))?;
        let mut reader = csv::Reader::from_reader(open()?);
        let headers = reader.headers().map_err(unreadable)?.clone();
        let headers: StringRecord = headers.iter().map(|name| name.trim_start_matches(BOM)).collect();
        let is_missing = |column: &&str| !headers.iter().any(|name| name == *column);
        if let Some(column) = ["row", "key", SEAL_COLUMN].into_iter().find(is_missing) {
            return Err(PlanFileError::Column(path.to_owned(), column));
        }
        reader.set_headers(headers);
        let lines = reader.into_deserialize();
        let mut plan = PlanFile { path: path.to_owned(), digest, lines, whole, ahead: None };
        plan.ahead = plan.next_line(0)?;
        Ok(plan)
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The seal of a row, if the plan changes it or found it at its goal. Rows are asked for in the order of the input.
    ///
    /// # Errors
    /// [`PlanFileError`] when a line is no line of this plan.
    pub fn seal_of(&mut self, row: u64, key: &str) -> Result<Option<SealOctets>, PlanFileError> {
        while let Some((line, _)) = self.ahead.take_if(|(line, _)| line.row < row) {
            self.ahead = self.next_line(line.row)?;
        }
        let Some((line, seal)) = self.ahead.take_if(|(line, _)| line.is_of(row, key)) else {
            return Ok(None);
        };
        self.ahead = self.next_line(line.row)?;
        Ok(seal)
    }

    fn next_line(&mut self, last_row: u64) -> Result<Option<(PlanLine, Option<SealOctets>)>, PlanFileError> {
        let number = self.lines.reader().position().line();
        let wrong = |what: &str| PlanFileError::Line(self.path.clone(), number, what.to_owned());
        let line = match self.lines.next() {
            None => return Ok(None),
            Some(Ok(line)) => line,
            Some(Err(error)) if matches!(error.kind(), csv::ErrorKind::Deserialize { .. }) => {
                return Err(wrong("has no number in `row`"));
            }
            Some(Err(source)) => return Err(PlanFileError::Unreadable(self.path.clone(), source)),
        };
        if line.row <= last_row {
            return Err(wrong("is out of order: rows stand as in the input"));
        }
        let (whole, own) = line.seal.split_once(BETWEEN).ok_or_else(|| wrong("has no seal of a plan"))?;
        let octets = |text: &str| octets(text).ok_or_else(|| wrong("has a damaged seal"));
        if octets(whole)? != self.whole {
            return Err(PlanFileError::Other(self.path.clone()));
        }
        let seal = if own.is_empty() { None } else { Some(octets(own)?) };
        Ok(Some((line, seal)))
    }
}

/// The cell of a seal: that of the plan as a whole, and that of the row if it has one.
#[must_use]
pub fn seal_cell(whole: SealOctets, own: Option<SealOctets>) -> String {
    let own = own.map_or(String::new(), hex);
    format!("{}{BETWEEN}{own}", hex(whole))
}

fn hex(octets: SealOctets) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(text: &str) -> Option<SealOctets> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: SealOctets = [7; 16];

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn line(row: u64, key: &str, own: Option<SealOctets>) -> String {
        format!("{row},{key},note,{}\n", seal_cell(WHOLE, own))
    }

    fn plan(lines: &[String]) -> tempfile::NamedTempFile {
        file(&format!("\u{feff}row,key,anything,seal\n{}", lines.concat()))
    }

    #[test]
    fn rows_that_were_taken_out_or_renamed_have_no_seal() {
        let file = plan(&[
            line(1, "a", Some([1; 16])),
            line(3, "c", Some([3; 16])),
            line(4, "d", None),
            line(5, "other", Some([5; 16])),
        ]);
        let mut plan = PlanFile::open(file.path(), WHOLE).unwrap();
        let seals: Vec<_> = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e"), (6, "f")]
            .map(|(row, key)| plan.seal_of(row, key).unwrap())
            .into();
        assert_eq!(seals, [Some([1; 16]), None, Some([3; 16]), None, None, None]);
    }

    #[test]
    fn what_is_no_plan_of_this_run_is_refused() {
        let error = |text: &str, whole| {
            let file = file(text);
            match PlanFile::open(file.path(), whole) {
                Ok(mut plan) => plan.seal_of(9, "z").unwrap_err(),
                Err(error) => error,
            }
        };
        let head = "row,key,anything,seal\n";
        let good = line(1, "a", None);
        assert!(matches!(error("row,key\n", WHOLE), PlanFileError::Column(_, "seal")));
        assert!(matches!(error(&format!("{head}{good}"), [8; 16]), PlanFileError::Other { .. }));
        for wrong in ["x,a,,b.c\n", "1,a,,b\n", "1,a,,b.c\n"] {
            assert!(matches!(error(&format!("{head}{wrong}"), WHOLE), PlanFileError::Line(_, 2, _)), "{wrong}");
        }
        assert!(matches!(error(&format!("{head}{good}{good}"), WHOLE), PlanFileError::Line(_, 3, _)));
    }

    proptest! {
        #[test]
        fn a_seal_reads_back(octets in any::<SealOctets>()) {
            prop_assert_eq!(super::octets(&hex(octets)), Some(octets));
        }

        #[test]
        fn any_text_is_answered(text in "(?s)(row,key,seal\n)?.{0,60}") {
            let file = file(&text);
            if let Ok(mut plan) = PlanFile::open(file.path(), WHOLE) {
                let _ = plan.seal_of(1, "a");
            }
        }
    }
}
