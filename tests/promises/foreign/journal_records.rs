//! A journal whose log has whole records of any bytes: opened, or refused without a change to the log.

use cutover::journal::log::Log;
use cutover::journal::log_file::DiskLogFile;
use cutover::journal::{Holder, Journal, JournalError, RunId, RunRecord};
use uuid::Uuid;

/// Opens a journal whose only log has these records, one a group: opened, or refused without a change to the log; opened
/// twice, it says the same twice.
pub fn check(records: &[Vec<u8>]) {
    let dir = tempfile::tempdir().unwrap();
    let id = Uuid::from_u128(7);
    let runs = dir.path().join("runs");
    std::fs::create_dir(&runs).unwrap();
    let path = runs.join(format!("{id}.log"));
    let file = DiskLogFile::create(&path).unwrap();
    let mut log = Log::create(Box::new(file), RunId(id));
    records.iter().for_each(|record| drop(log.append_group(&[record]).unwrap()));
    drop(log);
    let before = std::fs::read(&path).unwrap();
    let first = opened(dir.path());
    let again = opened(dir.path());
    match (first, again) {
        (Ok(first), Ok(again)) => assert_eq!(first, again),
        (Err(_), Err(_)) => assert_eq!(std::fs::read(&path).unwrap(), before),
        (first, again) => panic!("first {first:?}, then {again:?}"),
    }
}

fn opened(dir: &std::path::Path) -> Result<Vec<(RunRecord, u64)>, JournalError> {
    let holder = Holder { pid: 1, command: "test".into(), run: None, since: String::new(), control: None };
    let journal = Journal::open(dir, &holder)?;
    let mut runs = Vec::new();
    for run in journal.runs()? {
        let mut rows = 0;
        let mut reader = journal.reader(&run)?;
        let active: Vec<_> = reader.active().into_iter().map(|(row, _)| row).collect();
        for row in active {
            reader.input(row)?;
        }
        reader.each::<JournalError>(|_, _| {
            rows += 1;
            Ok(())
        })?;
        let _shown = (run.worked_ms(), run.is_complete());
        runs.push((run, rows));
    }
    Ok(runs)
}
