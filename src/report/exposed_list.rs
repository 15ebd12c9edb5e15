//! `exposed.csv` from memory, for a run that ends with a journal that cannot be trusted: a short list, written wherever there is
//! room.

use super::error::ReportError;
use super::table::CsvTable;
use super::write::make_folder;
use crate::core::defused;
use crate::journal::RunId;
use crate::runner::exposed::Person;
use std::path::{Path, PathBuf};

/// Writes the list into the report's folder, else into the system's folder for temporary files. Without people an old list is
/// removed, and there is none.
///
/// # Errors
/// [`ReportError`] when it fits nowhere.
pub fn write_exposed_list(people: &[Person], run: RunId, report_dir: &Path) -> Result<Option<PathBuf>, ReportError> {
    let path = report_dir.join(super::EXPOSED);
    if people.is_empty() {
        // Mostly there is none.
        let _ = std::fs::remove_file(&path);
        return Ok(None);
    }
    let in_report = make_folder(report_dir).and_then(|()| write_table(people, &path));
    let listed = in_report.or_else(|_| {
        let name = format!("cutover-{run}-{}", super::EXPOSED);
        write_table(people, &std::env::temp_dir().join(name))
    });
    listed.map(Some)
}

fn write_table(people: &[Person], path: &Path) -> Result<PathBuf, ReportError> {
    let mut table = CsvTable::create(path, &["row", "key"])?;
    for person in people {
        table.line([&person.row.to_string(), defused(&person.key).as_ref()])?;
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RowNumber;
    use uuid::Uuid;

    #[test]
    fn the_list_goes_where_it_can_and_an_old_one_is_removed() {
        let people = [1, 2].map(|row| Person { row: RowNumber(row), key: format!("p{row}@contoso.com") });
        let dir = tempfile::tempdir().unwrap();
        let run = RunId(Uuid::now_v7());
        let report = dir.path().join("report");
        let path = write_exposed_list(&people, run, &report).unwrap().unwrap();
        assert_eq!(path, report.join("exposed.csv"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "\u{feff}row,key\r\n1,p1@contoso.com\r\n2,p2@contoso.com\r\n");
        write_exposed_list(&[], run, &report).unwrap();
        assert!(!path.exists());

        let blocked = dir.path().join("a file");
        std::fs::write(&blocked, "").unwrap();
        let path = write_exposed_list(&people, run, &blocked).unwrap().unwrap();
        assert!(path.starts_with(std::env::temp_dir()));
        std::fs::remove_file(path).unwrap();
    }
}
