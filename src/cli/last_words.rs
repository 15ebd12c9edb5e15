//! What is said when a run stops with people who cannot sign in, or with a journal that cannot be written any more.
//!
//! It goes to standard error and names everybody it can, since the report may not be writable either. The whole list is
//! written beside the report, else into the system's folder for temporary files.

use super::exit::Failure;
use crate::core::defused;
use crate::journal::reserve::RESERVE_BYTES;
use crate::journal::{Closed, RunId};
use crate::progress::warn;
use crate::report::{ReportError, Table, make_folder};
use crate::runner::StopReason;
use crate::runner::exposed::Person;
use std::path::{Path, PathBuf};

/// People named one by one; the rest is counted, and the file has them all.
const PEOPLE_NAMED_MAX: usize = 20;

/// The whole list.
const LIST_FILE: &str = "exposed.csv";

/// Those who cannot sign in until somebody goes on with the run.
pub(super) struct Exposed {
    /// What identifies them.
    pub keys: Vec<String>,
    /// Where the whole list is; None where there is nobody to list.
    pub listed: Result<Option<PathBuf>, ReportError>,
}

impl Exposed {
    /// As this process remembers it, for when the journal cannot be trusted to say so.
    pub fn remembered(people: &[Person], run: RunId, report_dir: &Path) -> Exposed {
        Exposed {
            listed: write_list(people, run, report_dir),
            keys: people.iter().map(|person| person.key.clone()).collect(),
        }
    }

    /// Names them.
    pub fn name(&self) {
        if self.keys.is_empty() {
            return;
        }
        warn(sentence(&self.keys));
        match &self.listed {
            Ok(Some(path)) => warn(format_args!("all of them: {}", path.display())),
            Ok(None) => {}
            Err(error) => warn(format_args!("{error}")),
        }
    }
}

fn sentence(people: &[String]) -> String {
    let named: Vec<&str> = people
        .iter()
        .take(PEOPLE_NAMED_MAX)
        .map(String::as_str)
        .collect();
    let more = match people.len().saturating_sub(PEOPLE_NAMED_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let who = match people.len() {
        1 => "this person".to_owned(),
        count => format!("these {count} people"),
    };
    format!(
        "{who} cannot sign in until the run goes on: {}{more}",
        named.join(", ")
    )
}

/// A list that is not true any more is removed.
fn write_list(
    people: &[Person],
    run: RunId,
    report_dir: &Path,
) -> Result<Option<PathBuf>, ReportError> {
    let path = report_dir.join(LIST_FILE);
    if people.is_empty() {
        // Mostly there is none.
        let _none = std::fs::remove_file(&path);
        return Ok(None);
    }
    let beside_the_report = make_folder(report_dir).and_then(|()| write_table(people, path));
    let listed = beside_the_report.or_else(|_| {
        let name = format!("cutover-{run}-{LIST_FILE}");
        write_table(people, std::env::temp_dir().join(name))
    });
    listed.map(Some)
}

fn write_table(people: &[Person], path: PathBuf) -> Result<PathBuf, ReportError> {
    let mut table = Table::create(path, &["row", "key"])?;
    for person in people {
        table.line([&person.row.to_string(), defused(&person.key).as_ref()])?;
    }
    table.finish()
}

/// Puts a log back that was deleted while the run was worked on.
pub(super) fn put_back(closed: &Closed, journal: &Path) {
    match closed.put_back() {
        Ok(false) => {}
        Ok(true) => warn(format_args!(
            "the journal's log was still open and has been put back into `{}`",
            journal.display()
        )),
        Err(error) => {
            // How it ends is decided already, by what went wrong before.
            let _exit = Failure::from(error).tell();
        }
    }
}

/// What to do before the run can go on, where the disk has to be looked after first.
pub(super) fn advise(stopped: Option<&StopReason>, journal: &Path) {
    match stopped {
        Some(StopReason::DiskFull(text)) => warn(format_args!(
            "{text}: no more people were begun, and those under way were brought to safety\n\
             free at least {} MiB on the disk of `{}`, then go on",
            RESERVE_BYTES >> 20,
            journal.display()
        )),
        Some(
            StopReason::Requested(_)
            | StopReason::Policy(_)
            | StopReason::Target(_)
            | StopReason::Journal(_)
            | StopReason::Program(_),
        )
        | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RowNumber;
    use uuid::Uuid;

    fn people(count: u64) -> Vec<Person> {
        let person = |row| Person {
            row: RowNumber(row),
            key: format!("p{row}@contoso.com"),
        };
        (1..=count).map(person).collect()
    }

    #[test]
    fn a_few_are_named_and_many_are_counted() {
        let keys = |count| -> Vec<String> {
            let people = people(count).into_iter();
            people.map(|person| person.key).collect()
        };
        assert_eq!(
            sentence(&keys(1)),
            "this person cannot sign in until the run goes on: p1@contoso.com"
        );
        let many = sentence(&keys(23));
        assert!(many.starts_with("these 23 people cannot sign in until the run goes on: p1@"));
        assert!(many.ends_with("p20@contoso.com, and 3 more"), "{many}");
    }

    #[test]
    fn the_list_goes_where_it_can_and_an_old_one_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunId(Uuid::now_v7());
        let report = dir.path().join("report");
        let path = write_list(&people(2), run, &report).unwrap().unwrap();
        assert_eq!(path, report.join(LIST_FILE));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "\u{feff}row,key\r\n1,p1@contoso.com\r\n2,p2@contoso.com\r\n"
        );
        write_list(&[], run, &report).unwrap();
        assert!(!path.exists());

        let blocked = dir.path().join("a file");
        std::fs::write(&blocked, "").unwrap();
        let path = write_list(&people(1), run, &blocked).unwrap().unwrap();
        assert!(path.starts_with(std::env::temp_dir()));
        std::fs::remove_file(path).unwrap();
    }
}
