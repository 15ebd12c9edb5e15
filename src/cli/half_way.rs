//! People who are half way in other runs of the journal: they are mentioned, and no new run starts over them.

use super::{Failure, Global};
use crate::journal::{Journal, RunId};
use crate::progress::{counted, warn};
use crate::report::{listed, resume_command};
use crate::runner::half_way::{HalfWayError, LeftBehind, left_behind};
use std::path::Path;

/// Mentions other runs that have people half way, so that they are not forgotten over this one. If those runs cannot be read,
/// this one goes on all the same.
pub(super) fn mention_others(journal: &Journal, own: RunId, dir: &Path) {
    let left = match left_behind(journal, Some(own)) {
        Ok(left) => left,
        Err(error) => return warn(format_args!("the other runs cannot be read: {error}")),
    };
    for behind in &left {
        let (run, people, command) = (behind.run.id(), count(behind), resume(behind, dir));
        warn(format_args!("run {run} has left {people} half way: {command}"));
    }
}

fn resume(behind: &LeftBehind, journal: &Path) -> String {
    resume_command(&behind.run.id().to_string(), &behind.run.header.target_spec, journal)
}

/// `15 people, 3 of whom cannot sign in`.
fn count(behind: &LeftBehind) -> String {
    let people = counted(behind.people.len() as u64, "person", "people");
    match behind.exposed() {
        0 => people,
        exposed if exposed == behind.people.len() => format!("{people} who cannot sign in"),
        exposed => format!("{people}, {exposed} of whom cannot sign in,"),
    }
}

/// Why a run does not start over people who are half way in another one.
pub(super) fn refusal(error: HalfWayError, global: &Global) -> Failure {
    match error {
        HalfWayError::Journal(error) => error.into(),
        HalfWayError::Input(error) => Failure::from(error),
        HalfWayError::Elsewhere(left) => elsewhere(&left, global),
        error @ HalfWayError::CannotTakeOver { .. } => {
            let help = "`cutover resume` that run to finish them; nothing was written";
            Failure::usage("half-way", error.to_string(), help)
        }
    }
}

fn elsewhere(left: &[LeftBehind], global: &Global) -> Failure {
    let lines = left.iter().map(|behind| {
        let people = listed(behind.people.iter().map(|person| person.key.as_str()));
        format!("run {} has left {} of this file half way: {people}", behind.run.id(), count(behind))
    });
    let lines: Vec<String> = lines.collect();
    let resumed = left.iter().map(|behind| format!("finish them first: {}", resume(behind, &global.journal)));
    let mut help: Vec<String> = resumed.collect();
    if let [behind] = left {
        help.push(format!(
            "or start a new run that knows how they were before: the same command with --adopt-run {}",
            behind.run.id()
        ));
    }
    help.push("nothing was written".into());
    Failure::usage("half-way", lines.join("\n"), help.join("\n"))
}
