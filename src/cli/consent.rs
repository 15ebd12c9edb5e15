//! Whether a new run may start: the header that shows what is about to happen, and the question.

use super::Failure;
use super::connect::{Connected, Target};
use super::waits::{Cut, Waits};
use crate::job::Job;
use crate::progress::{prompt, short};
use crate::runner::StopKind;
use crate::runner::preflight::Ready;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::sync::oneshot;

/// Whether the person at the terminal is to be asked about a new run. The simulated tenant in the process needs no consent; one
/// that is served on this machine is asked about on a terminal, so that a rehearsal looks like the real thing.
///
/// # Errors
/// Nobody is there to be asked.
pub(super) fn must_ask(target: &Target, yes: bool) -> Result<bool, Failure> {
    let is_on_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match &target.connection {
        None => Ok(false),
        Some(_) if yes => Ok(false),
        Some(_) if is_on_terminal => Ok(true),
        Some(connection) if connection.is_on_this_machine() => Ok(false),
        Some(_) => Err(Failure::usage(
            "not-agreed",
            format!("a new run changes {}, and there is no terminal to ask on", target.address()),
            "add --yes to agree beforehand; nothing was written or sent",
        )),
    }
}

/// Asks the person at the terminal whether the run may start.
///
/// # Errors
/// [`Cut::Stopped`]: it may not.
pub(super) async fn ask(waits: &mut Waits) -> Result<(), Cut> {
    prompt("\nStart this run? Type yes to start: ");
    let reason = match waits.answer(line_of_a_person()).await {
        Ok(Some(line)) if is_yes(&line) => return Ok(()),
        Ok(_) => "the question was not answered with yes".to_owned(),
        Err(reason) => {
            // Ends the question's line.
            prompt("\n");
            reason
        }
    };
    Err(Cut::Stopped(StopKind::Requested.because(reason)))
}

/// The thread ends with the process: a read of a terminal cannot be cancelled.
fn line_of_a_person() -> oneshot::Receiver<String> {
    let (sender, answer) = oneshot::channel();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).is_ok() {
            // The process may be ending for another reason.
            let _ = sender.send(line);
        }
    });
    if let Err(error) = reader {
        tracing::warn!("the answer cannot be read: {error}");
    }
    answer
}

fn is_yes(line: &str) -> bool {
    let line = line.trim();
    line.eq_ignore_ascii_case("yes") || line.eq_ignore_ascii_case("y")
}

/// What is about to be done, and to whom. `ended` of the rows need nothing more.
pub(super) fn heading(job: &Job, connected: &Connected, ready: &Ready, rows: u64, ended: u64) -> String {
    let left = rows.saturating_sub(ended);
    let more = if ended == 0 { String::new() } else { format!(" ({ended} have ended, {left} to go)") };
    // At most: which steps a row needs shows only when its account is read.
    let writes = left.saturating_mul(job.steps.len() as u64);
    let rate = connected.services.registry.main().paced().full_rate();
    let time = short(Duration::try_from_secs_f64(writes as f64 / rate).unwrap_or(Duration::MAX));
    [
        format!("job       {}: {}", job.name, job.title),
        format!("tenant    {}", tenant(connected, ready)),
        format!("app       {}", connected.app),
        format!("rows      {rows}{more}"),
        format!("writes    at most {writes}, which take {time} at {rate:.1} a second; `cutover plan` says how many"),
    ]
    .join("\n")
}

/// By the name that people know, with everything that tells it from another one.
fn tenant(connected: &Connected, ready: &Ready) -> String {
    let named = &connected.tenant;
    let name = ready.initial_domain.as_ref().unwrap_or(named);
    let mut more = Vec::new();
    if !name.eq_ignore_ascii_case(named) {
        more.push(format!("named as {named}"));
    }
    let id = connected.services.app.tenant.as_ref().filter(|id| !id.eq_ignore_ascii_case(named));
    more.extend(id.map(|id| format!("id {id}")));
    more.push(format!("at {}", connected.endpoint));
    format!("{name} ({})", more.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for yes in ["yes\n", " Y \r\n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "no\n", "yes please\n", "ye\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
