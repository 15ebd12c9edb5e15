//! Whether a new run may start: the header that shows what is about to happen, and the question.

use super::connect::{Connected, Target};
use super::errors;
use super::failure::Failure;
use super::waits::{Cut, Waits};
use crate::job::Job;
use crate::journal::RunId;
use crate::progress::{print, prompt, short, warn_if_quiet};
use crate::runner::StopReason;
use crate::runner::preflight::Ready;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// Who has to agree before a new run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nobody, or somebody did already.
    Given,
    /// The person at the terminal.
    OfPerson,
}

impl Consent {
    /// Whether somebody is to be asked about a new run. The simulated tenant in the process needs no consent; one that is served
    /// on this machine is asked about on a terminal, so that a rehearsal looks like the real thing.
    ///
    /// # Errors
    /// Nobody is there to be asked.
    pub fn needed(target: &Target, yes: bool) -> Result<Consent, Failure> {
        let is_on_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        match target {
            _ if yes => Ok(Consent::Given),
            Target::Sim => Ok(Consent::Given),
            Target::File { .. } if is_on_terminal => Ok(Consent::OfPerson),
            Target::File { connection, .. } if connection.is_on_this_machine() => Ok(Consent::Given),
            Target::File { .. } => Err(Failure::usage(
                format!("a new run changes {}, and there is no terminal to ask on", target.address()),
                "add --yes to agree beforehand; nothing was written or sent",
            )
            .coded(errors::NOT_AGREED)),
        }
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
    Err(Cut::Stopped(StopReason::Requested(reason)))
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

/// What is about to be worked on.
pub(super) struct RunHeading<'h> {
    pub journal: &'h Path,
    pub job: &'h Job,
    pub connected: &'h Connected,
    pub ready: &'h Ready,
    pub run: RunId,
    /// All rows, and those that have ended already.
    pub rows: u64,
    pub ended: u64,
    pub report: &'h Path,
}

impl RunHeading<'_> {
    /// A person who is asked sees it even with `--quiet`.
    pub fn print(&self, is_asked: bool) {
        let words = self.in_words();
        print(&words);
        if is_asked {
            warn_if_quiet(words);
        }
    }

    fn in_words(&self) -> String {
        let job = self.job;
        let left = self.rows.saturating_sub(self.ended);
        let rows = match self.ended {
            0 => self.rows.to_string(),
            ended => format!("{} ({ended} have ended, {left} to go)", self.rows),
        };
        [
            format!("job       {}: {}", job.name, job.title),
            format!("tenant    {}", self.tenant()),
            format!("app       {}", self.connected.app),
            format!("rows      {rows}"),
            format!("writes    {}", self.writes(left)),
            format!("run       {}", self.run),
            format!("journal   {}", absolute(self.journal)),
            format!("report    {}", absolute(self.report)),
        ]
        .join("\n")
    }

    /// By the name that people know, with everything that tells it from another one.
    fn tenant(&self) -> String {
        let named = &self.connected.tenant;
        let name = self.ready.initial_domain.as_ref().unwrap_or(named);
        let mut more = Vec::new();
        if !name.eq_ignore_ascii_case(named) {
            more.push(format!("named as {named}"));
        }
        let id = self.connected.services.app.tenant.as_ref();
        let id = id.filter(|id| !id.eq_ignore_ascii_case(named));
        more.extend(id.map(|id| format!("id {id}")));
        more.push(format!("at {}", self.connected.endpoint));
        format!("{name} ({})", more.join(", "))
    }

    /// At most: which steps a row needs shows only when its account is read.
    fn writes(&self, rows: u64) -> String {
        let most = rows.saturating_mul(self.job.steps.len() as u64);
        let rate = self.connected.services.registry.main().paced().full_rate();
        let time = Duration::try_from_secs_f64(most as f64 / rate).unwrap_or(Duration::MAX);
        format!("at most {most}, which take {} at {rate:.1} a second; `cutover plan` says how many", short(time))
    }
}

fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
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
