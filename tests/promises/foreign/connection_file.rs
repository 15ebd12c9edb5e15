//! A connection file of any text: a connection, or mistakes that have their places in the text and show no secret.

use cutover::services::{Connection, ConnectionError};
use std::path::Path;

/// What the variable that a connection file names holds.
pub const SECRET: &str = "Zq8~hush.hush";

/// Reads the text as a connection file, twice. Every environment variable holds [`SECRET`]; no secret file is there.
pub fn check(text: &str) -> Result<Connection, ConnectionError> {
    let nowhere = Path::new("/nowhere/target.toml");
    let variable = |_: &str| Some(SECRET.to_owned());
    let read = Connection::parse(nowhere, text, &variable);
    let again = Connection::parse(nowhere, text, &variable);
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
    match &read {
        Ok(connection) => {
            let shown = format!("{connection:?} {}", connection.identity());
            assert!(text.contains(SECRET) || !shown.contains(SECRET), "{shown}");
        }
        Err(ConnectionError::Mistakes { mistakes, .. }) => {
            assert!(!mistakes.is_empty());
            let mut lines: Vec<&str> = text.split('\n').collect();
            lines.push("");
            for mistake in mistakes {
                let line = lines.get(mistake.line - 1);
                let columns = line.map(|line| line.chars().count() + 1);
                let is_inside = columns.is_some_and(|end| (1..=end).contains(&mistake.column));
                assert!(is_inside, "{mistake:?}");
            }
        }
        Err(error @ ConnectionError::Unreadable { .. }) => panic!("{error:?}"),
    }
    read
}
