//! From a target that was named to rows that may be worked on: the sign-in, the checks before the run, the header, and the
//! question whether it may begin.
//!
//! Each wait on the way is said within two seconds, with its reason and its end, and ends at once when the process is told to
//! stop: nobody is under way yet. A new run exists in the journal only once somebody agreed to it; one that comes to nothing
//! before leaves nothing behind.

use super::connect::{Connected, Target};
use super::errors;
use super::exit::{Exit, Failure};
use crate::job::Job;
use crate::journal::{JournalError, RunId, Stop};
use crate::progress::{say, short, waiting_in_words, warn_if_quiet};
use crate::runner::preflight::Ready;
use crate::runner::{Asked, Command, Refused, Services, StopReason};
use crate::services::Endpoint;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at};

/// How often it is looked what a wait is about. The first look comes before a person wonders.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a reason that changes is said again.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why a run does not begin to be worked on. Nothing was sent but reads.
#[derive(Debug)]
pub(super) enum Cut {
    /// It has to stop, for a reason that a run knows.
    Stopped(StopReason),
    /// The journal cannot say that it begins.
    Journal(JournalError),
    /// Anything else, in words.
    Failed(Failure),
}

impl From<Failure> for Cut {
    fn from(failure: Failure) -> Cut {
        Cut::Failed(failure)
    }
}

impl Cut {
    /// Of a run that was never begun, or a command that begins none.
    pub fn into_failure(self) -> Failure {
        match self {
            Cut::Stopped(reason) => Failure::said(
                match reason.stop() {
                    Stop::Requested(_) => Exit::Requested,
                    Stop::Fault(_) | Stop::Finished => Exit::Fault,
                },
                format!("stopped: {}", reason.text()),
                "nothing was changed, and nothing was begun; run the same line again to start",
            ),
            Cut::Journal(error) => error.into(),
            Cut::Failed(failure) => failure,
        }
    }
}

/// The waits of a process that has not begun to work on rows, and what may end them.
pub(super) struct Waits {
    commands: mpsc::Receiver<Asked>,
    /// What is waited for, in words.
    whom: String,
    patience: Duration,
}

impl Waits {
    pub fn new(commands: mpsc::Receiver<Asked>, target: &Target) -> Waits {
        Waits {
            commands,
            whom: target.address(),
            patience: target.patience(),
        }
    }

    /// Who listens for commands from here on.
    pub fn into_commands(self) -> mpsc::Receiver<Asked> {
        self.commands
    }

    /// Waits for something. `why` says what it hangs on at present, if on anything; it may hang for as long as the target's
    /// patience lasts.
    ///
    /// # Errors
    /// [`Cut::Stopped`]: somebody asked for it, or the patience is at its end.
    pub async fn wait<T>(
        &mut self,
        why: impl Fn() -> Option<String>,
        what: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        let mut hang = Hang::new(self.patience);
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        let mut what = pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                Some(asked) = self.commands.recv() => {
                    if let Some(reason) = heed(asked) {
                        let hangs = why().map_or_else(String::new, |why| format!(" ({why})"));
                        let text = format!("{reason} while waiting for {}{hangs}", self.whom);
                        return Err(Cut::Stopped(StopReason::Requested(text)));
                    }
                }
                _ = looks.tick() => match why() {
                    None => hang.since = Instant::now(),
                    Some(why) if hang.is_too_long() => {
                        return Err(Cut::Stopped(out_of_patience(&self.whom, self.patience, &why)));
                    }
                    Some(why) => hang.tell(&self.whom, why),
                },
            }
        }
    }

    /// Asks a person on the terminal whether the run may begin.
    ///
    /// # Errors
    /// [`Cut::Stopped`]: it may not.
    pub async fn ask(&mut self) -> Result<(), Cut> {
        let mut answer = answer_of_a_person();
        loop {
            tokio::select! {
                biased;
                Some(asked) = self.commands.recv() => {
                    if let Some(reason) = heed(asked) {
                        // The question's line is not at its end.
                        show("\n");
                        return Err(Cut::Stopped(StopReason::Requested(reason)));
                    }
                }
                line = &mut answer => return match line {
                    Ok(line) if is_yes(&line) => Ok(()),
                    Ok(_) | Err(_) => {
                        let reason = "the question was not answered with yes".to_owned();
                        Err(Cut::Stopped(StopReason::Requested(reason)))
                    }
                },
            }
        }
    }
}

/// Why the process has to stop, if it has to. Whoever asked is answered.
fn heed(asked: Asked) -> Option<String> {
    let (answer, reason) = match asked.command {
        Command::Drain(why) | Command::Interrupt(why) | Command::StopNow(why) => {
            (Ok(()), Some(why))
        }
        Command::Pause(_) | Command::Continue | Command::Pace(_) => (Err(Refused::NotBegun), None),
    };
    // Who asked may have gone.
    let _gone = asked.answer.send(answer);
    reason
}

fn out_of_patience(whom: &str, patience: Duration, why: &str) -> StopReason {
    StopReason::Target(format!(
        "{whom} did not answer for {}: {why}; check the network, the proxy and the connection file's addresses from here",
        short(patience)
    ))
}

/// A wait that hangs: said once, and again when it hangs on something else.
struct Hang {
    /// When it was last seen to move.
    since: Instant,
    patience: Duration,
    said: Option<(String, Instant)>,
}

impl Hang {
    fn new(patience: Duration) -> Hang {
        Hang {
            since: Instant::now(),
            patience,
            said: None,
        }
    }

    fn is_too_long(&self) -> bool {
        self.since.elapsed() >= self.patience
    }

    fn tell(&mut self, whom: &str, why: String) {
        let is_new = match &self.said {
            Some((said, at)) => *said != why && at.elapsed() >= SAY_EVERY,
            None => true,
        };
        if is_new {
            let left = self.patience.saturating_sub(self.since.elapsed());
            say(format_args!(
                "connecting to {whom}: {why}; trying again until {}; Ctrl-C stops",
                clock_in(left)
            ));
            self.said = Some((why, Instant::now()));
        }
    }
}

/// What a clock on the wall shows then.
fn clock_in(left: Duration) -> String {
    let then = jiff::Zoned::now().checked_add(left);
    then.map_or_else(
        |_| format!("{} from now", short(left)),
        |then| then.strftime("%H:%M:%S").to_string(),
    )
}

/// What reads hang on: the target serves nobody, or has not answered at all.
pub(super) fn trouble_of(services: &Services) -> Option<String> {
    let registry = &services.registry;
    let silent = || {
        let waiting = waiting_in_words(registry.waiting().as_ref());
        waiting.unwrap_or_else(|| "no answer yet".to_owned())
    };
    let trouble = registry.iter().find_map(Endpoint::trouble);
    let unserved = || (!registry.main().has_served()).then(silent);
    trouble.or_else(unserved)
}

/// Who has to agree before a new run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nobody, or somebody did already.
    Given,
    /// The person at the terminal.
    OfPerson,
}

impl Consent {
    /// Whether somebody is to be asked about a new run against this target. The simulated tenant in the process needs no
    /// consent; one that is served on this machine is asked about where somebody can answer, so that a rehearsal looks like the
    /// real thing.
    ///
    /// # Errors
    /// Nobody is there to be asked.
    pub fn needed(target: &Target, yes: bool) -> Result<Consent, Failure> {
        let is_on_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        match target {
            _ if yes => Ok(Consent::Given),
            Target::Sim => Ok(Consent::Given),
            Target::File { .. } if is_on_terminal => Ok(Consent::OfPerson),
            Target::File { connection, .. } if connection.is_on_this_machine() => {
                Ok(Consent::Given)
            }
            Target::File { .. } => Err(Failure::usage(
                format!(
                    "a new run changes {}, and there is no terminal on which to ask whether it may",
                    target.address()
                ),
                "add --yes to agree beforehand; nothing was written, and nothing was sent",
            )
            .coded(&errors::NOT_AGREED)),
        }
    }
}

/// What is about to be worked on.
pub(super) struct Header<'h> {
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

impl Header<'_> {
    /// Whoever is asked sees it, also where it is to be quiet.
    pub fn show(&self, is_asked: bool) {
        let words = self.in_words();
        say(&words);
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

    /// By the name that people know, and by everything that tells it from another one.
    fn tenant(&self) -> String {
        let named = &self.connected.tenant;
        let name = self.ready.initial_domain.as_ref().unwrap_or(named);
        let mut more = Vec::new();
        if !name.eq_ignore_ascii_case(named) {
            more.push(format!("named as {named}"));
        }
        more.extend(
            (self.connected.services.app.tenant.as_ref())
                .filter(|id| !id.eq_ignore_ascii_case(named))
                .map(|id| format!("id {id}")),
        );
        more.push(format!("at {}", self.connected.endpoint));
        format!("{name} ({})", more.join(", "))
    }

    /// No more than these: which of the steps a row needs shows only when its account is read.
    fn writes(&self, rows: u64) -> String {
        let most = rows.saturating_mul(self.job.steps.len() as u64);
        let rate = self.connected.services.registry.main().paced().full_rate();
        let time = Duration::try_from_secs_f64(most as f64 / rate).unwrap_or(Duration::MAX);
        format!(
            "at most {most}, which take {} at {rate:.1} a second; `cutover plan` tells how many",
            short(time)
        )
    }
}

fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}

/// What a person types. The thread that waits for it ends with the process: a read of a terminal cannot be called off.
fn answer_of_a_person() -> oneshot::Receiver<String> {
    show("\nStart this run? Type yes to start: ");
    let (sender, answer) = oneshot::channel();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).is_ok() {
            // The process may be about to end for another reason.
            let _too_late = sender.send(line);
        }
    });
    if let Err(error) = reader {
        tracing::warn!("the answer cannot be read: {error}");
    }
    answer
}

/// Shows a part of a line on the terminal. Where that has gone, no answer comes either.
fn show(text: &str) {
    let mut terminal = std::io::stderr();
    let _unseen = terminal
        .write_all(text.as_bytes())
        .and_then(|()| terminal.flush());
}

fn is_yes(line: &str) -> bool {
    let line = line.trim();
    line.eq_ignore_ascii_case("yes") || line.eq_ignore_ascii_case("y")
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
