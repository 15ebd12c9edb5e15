//! The waits of a process before it works on rows: the sign-in, the preflight, the question.
//!
//! Each wait is announced within two seconds, with its reason and its end, and ends at once when the process is told to stop:
//! nobody is under way yet.

use super::connect::{Cast, Connected, Hitch, Target};
use super::{Exit, Failure, signals};
use crate::job::Job;
use crate::journal::{JournalError, RunHeader};
use crate::progress::{print, short, waiting_in_words};
use crate::runner::client::RunAbort;
use crate::runner::preflight::{Ready, prepare};
use crate::runner::{Asked, Command, Refused, Services, StopKind, StopReason};
use crate::services::Endpoint;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at};

/// Commands on their way; more of them wait outside.
const COMMANDS_WAITING_MAX: usize = 4;

/// How often the reason of a wait is looked at. The first look comes before a person wonders.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a reason that changes is printed again.
const PRINT_EVERY: Duration = Duration::from_secs(10);

/// Why a run was cut off before its first row. Only reads were sent.
#[derive(Debug)]
pub(super) enum Cut {
    /// It has to stop, for a reason that a run knows.
    Stopped(StopReason),
    /// The journal cannot record that it begins.
    Journal(JournalError),
    /// Anything else.
    Failed(Failure),
}

impl<E> From<E> for Cut
where
    Failure: From<E>,
{
    fn from(error: E) -> Cut {
        Cut::Failed(error.into())
    }
}

impl Cut {
    /// Of a run that was never begun, or a command that begins none.
    pub fn into_failure(self) -> Failure {
        match self {
            Cut::Stopped(reason) => Failure::with(
                Exit::of_stop(&reason.stop()),
                format!("stopped: {}", reason.text),
                "nothing was changed or begun; run the same command again to start",
            ),
            Cut::Journal(error) => error.into(),
            Cut::Failed(failure) => failure,
        }
    }
}

/// Waits, and listens for what may end them.
pub(super) struct Waits {
    commands: mpsc::Receiver<Asked>,
    /// Who is waited for.
    whom: String,
    patience: Duration,
}

impl Waits {
    /// Hears signals from here on. Also returns where other commands go.
    pub fn for_target(target: &Target) -> (Waits, mpsc::Sender<Asked>) {
        let (sender, commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        signals::hear(sender.clone());
        (Waits { commands, whom: target.address(), patience: target.patience() }, sender)
    }

    pub fn into_commands(self) -> mpsc::Receiver<Asked> {
        self.commands
    }

    /// Signs in.
    ///
    /// # Errors
    /// As [`Waits::wait`], and what is wrong with the target.
    pub async fn connect(&mut self, target: Target, run: &RunHeader, job: &Job, cast: Cast) -> Result<Connected, Cut> {
        let hitch = Hitch::default();
        let connecting = target.connect(run.id.0, job, cast, &hitch);
        Ok(self.wait(|| hitch.lock().clone(), connecting).await??)
    }

    /// Looks whether the job can do its work.
    ///
    /// # Errors
    /// As [`Waits::wait`]; [`RunAbort`] is for the caller to say.
    pub async fn prepare(
        &mut self,
        services: &Arc<Services>,
        run: &RunHeader,
        job: &Job,
    ) -> Result<Result<Ready, RunAbort>, Cut> {
        self.wait(|| trouble_of(services), prepare(job, &run.params, services)).await
    }

    /// Waits for something. `why` says what it hangs on at present, if on anything; it may hang for as long as the target's
    /// patience lasts.
    ///
    /// # Errors
    /// [`Cut::Stopped`]: somebody asked for it, or the patience is over.
    async fn wait<T>(&mut self, why: impl Fn() -> Option<String>, what: impl Future<Output = T>) -> Result<T, Cut> {
        // When it last moved, and what was printed last.
        let mut moved_at = Instant::now();
        let mut printed: Option<(String, Instant)> = None;
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        let mut what = pin!(what);
        loop {
            tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                reason = self.stop_asked() => {
                    let hangs = why().map_or_else(String::new, |why| format!(" ({why})"));
                    let text = format!("{reason} while waiting for {}{hangs}", self.whom);
                    return Err(Cut::Stopped(StopKind::Requested.because(text)));
                },
                _ = looks.tick() => {}
            }
            let Some(why) = why() else {
                moved_at = Instant::now();
                continue;
            };
            let left = self.patience.saturating_sub(moved_at.elapsed());
            let (whom, patience) = (&self.whom, short(self.patience));
            if left.is_zero() {
                let help = "check the network, the proxy and the addresses in the connection file";
                let text = format!("{whom} did not reply for {patience}: {why}; {help}");
                return Err(Cut::Stopped(StopKind::Target.because(text)));
            }
            // Once, and again when it hangs on something else.
            if printed.as_ref().is_none_or(|(before, at)| *before != why && at.elapsed() >= PRINT_EVERY) {
                print(format_args!("connecting to {whom}: {why}; retrying until {}; Ctrl-C stops", clock_in(left)));
                printed = Some((why, Instant::now()));
            }
        }
    }

    /// Waits for the answer to a question, or for somebody to stop the process.
    ///
    /// # Errors
    /// The reason to stop.
    pub async fn answer(&mut self, answer: oneshot::Receiver<String>) -> Result<Option<String>, String> {
        tokio::select! {
            biased;
            reason = self.stop_asked() => Err(reason),
            line = answer => Ok(line.ok()),
        }
    }

    /// Why the process has to stop, once it has to. Other commands are refused.
    async fn stop_asked(&mut self) -> String {
        while let Some(asked) = self.commands.recv().await {
            // Nobody may be waiting for the answer any more.
            match asked.command {
                Command::Drain(why) | Command::Interrupt(why) | Command::StopNow(why) => {
                    let _ = asked.answer.send(Ok(()));
                    return why;
                }
                Command::Pause(_) | Command::Continue | Command::Pace(_) => {
                    let _ = asked.answer.send(Err(Refused::NotBegun));
                }
            }
        }
        std::future::pending().await
    }
}

/// The local time then.
fn clock_in(left: Duration) -> String {
    let then = jiff::Zoned::now().checked_add(left);
    then.map_or_else(|_| format!("{} from now", short(left)), |then| then.strftime("%H:%M:%S").to_string())
}

/// What reads hang on: a service is in trouble, or the main one has not replied at all.
fn trouble_of(services: &Services) -> Option<String> {
    let registry = &services.registry;
    let waiting = || waiting_in_words(registry.waiting().as_ref());
    let silent = || waiting().unwrap_or_else(|| "no reply yet".to_owned());
    let trouble = registry.iter().find_map(Endpoint::trouble);
    trouble.or_else(|| (!registry.main().has_served()).then(silent))
}
