//! A job file of any text: read the same way twice, or refused with mistakes that have their places in the text.

use cutover::job::{Job, JobMistakes, parse};

/// Reads the text as a job, twice.
pub fn check(text: &str) -> Result<Job, JobMistakes> {
    let read = parse("a.toml", text);
    match (&read, parse("a.toml", text)) {
        (Ok(job), Ok(again)) => {
            assert_eq!(job.digest, again.digest);
            assert_eq!(format!("{job:?}"), format!("{again:?}"));
            assert!(cutover::job::mermaid(job).contains("stateDiagram"));
        }
        (Err(found), Err(again)) => {
            assert_eq!(found.listing(), again.listing());
            stand_in_the_text(found, text);
        }
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("read and refused:\n{text}"),
    }
    read
}

fn stand_in_the_text(found: &JobMistakes, text: &str) {
    assert!(!found.mistakes.is_empty());
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.push("");
    for mistake in &found.mistakes {
        let line = lines.get(mistake.line - 1);
        let columns = line.map(|line| line.chars().count() + 1);
        assert!(columns.is_some_and(|end| (1..=end).contains(&mistake.column)), "{mistake:?}");
    }
}
